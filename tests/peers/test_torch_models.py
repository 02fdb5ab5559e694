"""The ports to PyTorch compute what the Keras models compute."""

import numpy as np
import pytest

from pellucid import models
from pellucid.models.functional import predict

NETWORKS = [
    ("digits_cnn", (8, 8, 1)),
    ("digits_cnn", (9, 7, 3)),
    ("strided_cnn", (28, 28, 1)),
    ("strided_cnn", (27, 30, 3)),
    ("mnist_cnn", (28, 28, 1)),
    ("cifar_cnn", (32, 32, 3)),
]


def network(name, shape, seed):
    """A model with biases that are not zero."""
    model = models.get(name)(shape, 10, seed=seed)
    rng = np.random.default_rng(seed)
    model.set_weights(
        [
            w if w.ndim > 1 else rng.normal(0, 0.1, w.shape).astype("float32")
            for w in model.get_weights()
        ]
    )
    return model


def logits_of(module, x):
    import torch

    with torch.no_grad():
        return module(torch.from_numpy(np.ascontiguousarray(x.transpose(0, 3, 1, 2)))).numpy()


@pytest.mark.parametrize(("name", "shape"), NETWORKS)
def test_same_logits(name, shape):
    pytest.importorskip("torch")
    from tests.peers.torch_models import to_torch

    model = network(name, shape, seed=0)
    x = np.random.default_rng(1).random((16, *shape), np.float32)
    np.testing.assert_allclose(logits_of(to_torch(model), x), predict(model, x), atol=1e-4, rtol=0)


@pytest.mark.parametrize(("name", "shape"), NETWORKS)
def test_there_and_back(name, shape):
    pytest.importorskip("torch")
    from tests.peers.torch_models import to_keras, to_torch

    model, other = network(name, shape, seed=0), network(name, shape, seed=1)
    to_keras(to_torch(model), other)
    for written, original in zip(other.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(written, original)


def test_a_layer_without_a_port_is_named():
    pytest.importorskip("torch")
    import keras

    from tests.peers.torch_models import to_torch

    model = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.BatchNormalization(name="normal")]
    )
    with pytest.raises(ValueError, match="normal"):
        to_torch(model)
