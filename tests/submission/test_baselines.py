"""Baselines: what the masked network computes, and that nothing is left of its gradients."""

import keras
import numpy as np
import pytest
from keras import ops

from pellucid.benchmark.submission import baselines
from pellucid.models import backend


@pytest.mark.parametrize("channels", [1, 3])
def test_a_staircase_of_every_grey_value_before_the_network(channels):
    """By hand: how many of the steps, each between two grey values, lie below."""
    layers = [keras.layers.Flatten(), keras.layers.Dense(10)]
    standard = keras.Sequential([keras.Input((4, 64, channels)), *layers])
    model = baselines.masked(standard)
    values = np.arange(256)
    x = np.repeat((values / 255).astype(np.float32).reshape(1, 4, 64, 1), channels, axis=-1)
    at = np.floor(255 * (np.arange(baselines.STEPS) + 0.5) / baselines.STEPS) + 0.5
    stairs = (values[:, None] > at).sum(axis=1) / baselines.STEPS
    stairs = np.repeat(stairs.astype(np.float32).reshape(1, 4, 64, 1), channels, axis=-1)
    assert len(np.unique(stairs)) == baselines.STEPS + 1
    np.testing.assert_allclose(model(x), standard(stairs), atol=1e-5)

    def loss(z):
        return ops.sum(model(z)[:, 3])

    _, gradient = backend.value_and_gradient(loss, ops.convert_to_tensor(x))
    assert not np.any(ops.convert_to_numpy(gradient))
