"""What is said of a submitted model before anything is measured."""

from pathlib import Path

import keras
import pytest

from robust_interpretability.benchmark.data import datasets
from robust_interpretability.benchmark.submission.admission import check_range, failures_in_one_line
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.untrusted import Refused

FILE = Path("mine.keras")


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def trained(digits, pixels, *first: keras.Layer) -> keras.Model:
    """A network fitted to pixels of some range."""
    keras.utils.set_random_seed(0)
    layers = [*first, keras.layers.Flatten(), keras.layers.Dense(32, activation="relu")]
    model = keras.Sequential([keras.Input(digits.info.shape), *layers, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    model.fit(pixels, digits.y_train, epochs=8, verbose=0)
    return model


def test_pixels_to_255_are_told(digits):
    model = trained(digits, digits.x_train.astype("float32"), keras.layers.Rescaling(1 / 255))
    with pytest.raises(Refused) as refused:
        check_range(FILE, model, digits)
    message = str(refused.value)
    assert message.startswith("mine.keras: this model expects pixels in [0, 255]")
    assert "remove its Rescaling(1/255) layer, or put keras.layers.Rescaling(255) before" in message
    mended = keras.Sequential([keras.Input(digits.info.shape), keras.layers.Rescaling(255), model])
    check_range(FILE, mended, digits)


def test_pixels_from_minus_1_are_told(digits):
    model = trained(digits, digits.x_train / 127.5 - 1)
    with pytest.raises(Refused, match=r"in \[-1, 1\].* put keras.layers.Rescaling\(2, -1\) before"):
        check_range(FILE, model, digits)


@pytest.mark.parametrize("first", [(), (keras.layers.Rescaling(2, -1),)])
def test_pixels_to_1_pass(digits, first):
    check_range(FILE, trained(digits, digits.x_train / 255, *first), digits)


def test_a_network_that_knows_nothing_is_not_accused(digits):
    for seed in range(5):
        keras.utils.set_random_seed(seed)
        layers = [keras.Input(digits.info.shape), keras.layers.Flatten(), keras.layers.Dense(10)]
        check_range(FILE, keras.Sequential(layers), digits)


@pytest.mark.parametrize(
    "error",
    [RecursionError("maximum recursion depth exceeded"), ValueError("a\x1b\nb"), Exception()],
)
def test_whatever_fails_after_admission_is_one_line(error):
    with pytest.raises(InputError) as told, failures_in_one_line(FILE):
        raise error
    message = str(told.value)
    assert message.startswith("mine.keras was admitted, but failed when it was measured")
    assert type(error).__name__ in message
    assert message.isprintable()


def test_a_users_mistake_stays_what_it_says():
    with pytest.raises(InputError, match=r"^as it was$"), failures_in_one_line(FILE):
        raise InputError("as it was")
    with pytest.raises(KeyboardInterrupt), failures_in_one_line(FILE):
        raise KeyboardInterrupt
