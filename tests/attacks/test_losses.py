"""Losses against values worked out by hand."""

import keras
import numpy as np
import pytest

from robust_interpretability.attacks import losses
from robust_interpretability.models import backend
from robust_interpretability.models.errors import InputError

Z = np.array([[2.0, 1.0, -1.0], [0.0, 3.0, 1.0], [-2.0, -1.0, -4.0]], np.float32)
Y = np.array([0, 2, 2])


def value(loss, **options) -> np.ndarray:
    return keras.ops.convert_to_numpy(loss(keras.ops.convert_to_tensor(Z), Y, **options))


def test_xent():
    expected = np.log(np.exp(Z).sum(1)) - Z[np.arange(3), Y]
    np.testing.assert_allclose(value(losses.xent), expected, rtol=1e-6)


def test_gradient_of_xent_at_a_confident_prediction():
    """With margin 30 the other class has probability e^-30; the components are opposite."""
    logits = keras.ops.convert_to_tensor(np.array([[30.0, 0.0]], np.float32))
    _, gradient = backend.value_and_gradient(
        lambda z: keras.ops.sum(losses.xent(z, np.array([0]))), logits
    )
    expected = np.exp(-30.0) * np.array([[-1, 1]])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(gradient), expected, rtol=1e-5)


def test_cw_takes_the_best_of_the_other_classes_only():
    """Margins 2 - 1, 1 - 3, -4 - (-1); the 2019 code would take a zero in the last row."""
    np.testing.assert_allclose(value(losses.cw), [-501, -498, -497], rtol=1e-6)
    np.testing.assert_allclose(value(losses.cw, confidence=0.0), [-1, 0, 0], atol=1e-6)


def test_unknown_loss():
    with pytest.raises(InputError, match=r"Unknown attack loss 'xnt'\. Did you mean 'xent'"):
        losses.get("xnt")
