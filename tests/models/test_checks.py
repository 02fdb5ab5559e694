"""What a classifier and its images must be."""

import keras
import numpy as np
import pytest

from pellucid.models.checks import as_floats, check_classifier
from pellucid.models.errors import InputError


def build(*layers) -> keras.Model:
    return keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), *layers])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            build(keras.layers.Dense(3, activation="softmax")),
            "It outputs probabilities: remove the last softmax",
        ),
        (build(keras.layers.Dense(4)), r"logits of shape \(n, 3\)\. It outputs \(2, 4\)"),
        (
            build(keras.layers.Dense(3, bias_initializer=keras.initializers.Constant(np.inf))),
            "NaN or infinity",
        ),
        (
            keras.Sequential(
                [keras.Input((3, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
            ),
            "must take inputs",
        ),
    ],
)
def test_models_that_are_not_classifiers(model, message):
    with pytest.raises(InputError, match=message):
        check_classifier(model, np.zeros((2, 2, 2, 1), np.float32), 3)


def test_images_as_floats():
    """The quotient is float32's, to the bit; floats are the same array."""
    x = np.arange(256, dtype=np.uint8).reshape(4, 8, 8, 1)
    floats = as_floats(x)
    assert floats.dtype == np.float32
    np.testing.assert_array_equal(floats, x.astype(np.float32) / np.float32(255))
    assert as_floats(floats) is floats
