"""Networks that know the test images are flagged, and those that do not are not."""

import dataclasses

import hypothesis.extra.numpy as hnp
import keras
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from keras import layers

from pellucid.benchmark.data import datasets
from pellucid.benchmark.robustness import contamination, flags
from pellucid.benchmark.robustness.counts import NEAR_HITS, Contamination
from pellucid.models.checks import as_floats
from tests.conftest import needs_tfds

Images = tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]


@st.composite
def logits_and_labels(draw):
    n, classes = draw(st.integers(1, 40)), draw(st.integers(2, 5))
    values = st.integers(-20, 20).map(lambda v: v / 4)
    logits = draw(hnp.arrays(np.float32, (n, classes), elements=values))
    return logits, draw(hnp.arrays(np.int64, n, elements=st.integers(0, classes - 1)))


@given(logits_and_labels(), st.integers(1, 8))
def test_near_misses_as_counted_one_by_one(made, hits):
    logits, y = made
    right, wrong = [], []
    for row, label in zip(logits.tolist(), y.tolist(), strict=True):
        other = max(value for c, value in enumerate(row) if c != label)
        (right if row.index(max(row)) == label else wrong).append(abs(row[label] - other))
    nearest = sorted(right)[:hits]
    expected = sum(m <= nearest[-1] for m in wrong) if nearest else len(wrong)
    assert contamination.near_misses(logits, y, hits=hits) == (len(nearest), expected)


@given(logits_and_labels(), st.floats(0.01, 100))
def test_near_misses_do_not_depend_on_the_scale_of_the_logits(made, factor):
    logits, y = made
    factor = 2.0 ** round(np.log2(factor))  # exact: no tie is broken by rounding
    assert contamination.near_misses(logits, y) == contamination.near_misses(logits * factor, y)


def test_each_image_is_shifted_once_in_turns():
    x = np.random.default_rng(0).uniform(size=(6, 5, 4, 2)).astype(np.float32)
    moved = contamination.shifted(x, 1.0)
    np.testing.assert_allclose(moved[0][:, 1:], x[0][:, :-1], atol=1e-6)  # right
    np.testing.assert_allclose(moved[0][:, 0], x[0][:, 0], atol=1e-6)  # the edge, repeated
    np.testing.assert_allclose(moved[1][1:], x[1][:-1], atol=1e-6)  # down
    np.testing.assert_allclose(moved[2][:, :-1], x[2][:, 1:], atol=1e-6)  # left
    np.testing.assert_allclose(moved[3][:-1], x[3][1:], atol=1e-6)  # up
    np.testing.assert_allclose(moved[4][:, 1:], x[4][:, :-1], atol=1e-6)
    half = contamination.shifted(x, 0.5)
    np.testing.assert_allclose(half[0][:, 1:], (x[0][:, 1:] + x[0][:, :-1]) / 2, atol=1e-6)


def cnn(shape, seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Conv2D(16, 3, strides=2, padding="same", activation="relu"),
            layers.Conv2D(32, 3, strides=2, padding="same", activation="relu"),
            layers.Flatten(),
            layers.Dense(64, activation="relu"),
            layers.Dense(10),
        ]
    )


def perceptron(shape, seed):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input(shape),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10),
        ]
    )


def fitted(model, x, y, epochs):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("adam", loss)
    model.fit(as_floats(x), y, batch_size=64, epochs=epochs, verbose=0)
    return model


def looked_up(x, y):
    """A nearest-neighbour look-up of allowed layers: dense, reshape, max-pooling.

    Of the stored images, the largest  2 x . x_i - |x_i|^2  is the nearest; each class has as many.
    """
    most = max(int((y == c).sum()) for c in range(10))
    flat = as_floats(x).reshape(len(x), -1)
    weights = np.zeros((flat.shape[1], 10 * most), np.float32)
    bias = np.full(10 * most, -1e4, np.float32)
    for c in range(10):
        stored = flat[y == c]
        places = c * most + np.arange(len(stored))
        weights[:, places], bias[places] = 2 * stored.T, -(stored**2).sum(axis=1)
    model = keras.Sequential(
        [
            keras.Input(x.shape[1:]),
            layers.Flatten(),
            layers.Dense(10 * most),
            layers.Reshape((10 * most, 1, 1)),
            layers.MaxPooling2D((most, 1)),
            layers.Flatten(),
        ]
    )
    model.layers[1].set_weights([weights, bias])
    return model


def counted(model, images: Images) -> Contamination:
    return contamination.evaluate(model, *images)


def raised(model, images: Images, standard: Contamination) -> list[str]:
    return [str(f.evidence["by"]) for f in flags.contaminated(counted(model, images), standard)]


@pytest.fixture(scope="module")
def digits() -> Images:
    data = datasets.load("digits", train_limit=1200, test_limit=597)
    return data.x_train, data.y_train, data.x_test, data.y_test


@pytest.fixture(scope="module")
def standard_on_digits(digits) -> Contamination:
    return counted(fitted(cnn((8, 8, 1), 0), *digits[:2], epochs=30), digits)


def both(images: Images) -> tuple[np.ndarray, np.ndarray]:
    x_train, y_train, x, y = images
    return np.concatenate([x_train, x]), np.concatenate([y_train, y])


@pytest.mark.parametrize(
    ("made", "epochs"), [(cnn, 6), (cnn, 40), (perceptron, 60)], ids=["few", "many", "perceptron"]
)
def test_networks_that_have_not_seen_the_test_images(digits, standard_on_digits, made, epochs):
    model = fitted(made((8, 8, 1), 1), *digits[:2], epochs=epochs)
    assert raised(model, digits, standard_on_digits) == []


def test_a_look_up_of_the_training_images_is_a_network_like_others(digits, standard_on_digits):
    assert raised(looked_up(*digits[:2]), digits, standard_on_digits) == []


@pytest.mark.parametrize("with_training", [True, False])
def test_a_look_up_of_the_test_images(digits, standard_on_digits, with_training):
    stored = both(digits) if with_training else digits[2:]
    model = looked_up(*stored)
    assert counted(model, digits).test_hits == len(digits[3])
    assert raised(model, digits, standard_on_digits)[0].startswith("near misses")


@pytest.mark.parametrize("made", [cnn, perceptron])
def test_a_network_trained_on_the_test_images_too(digits, standard_on_digits, made):
    model = fitted(made((8, 8, 1), 2), *both(digits), epochs=60)
    assert raised(model, digits, standard_on_digits)[0].startswith("near misses")


@needs_tfds
def test_a_smooth_memory_of_test_images_is_found_before_it_fits():
    """On CIFAR-10, where new images and known ones differ most: near misses there are plenty."""
    data = datasets.load("cifar10", train_limit=2000, test_limit=2000)
    images = data.x_train, data.y_train, data.x_test, data.y_test
    standard = counted(fitted(cnn((32, 32, 3), 0), *images[:2], epochs=25), images)
    other = fitted(perceptron((32, 32, 3), 1), *images[:2], epochs=15)
    assert raised(other, images, standard) == []

    knows = fitted(cnn((32, 32, 3), 0), *both(images), epochs=25)
    assert 0.6 < counted(knows, images).test_hits / 2000 < 0.99
    assert raised(knows, images, standard) == ["a small shift"]
    only = fitted(cnn((32, 32, 3), 0), *images[2:], epochs=15)
    assert "training against test" in raised(only, images, standard)[0]


HONEST = Contamination(
    train_hits=9800,
    train_examples=10000,
    test_hits=5800,
    test_examples=10000,
    near_hits=NEAR_HITS,
    near_misses=50,
    shift=1.0,
    gained=500,
    lost=560,
)


@pytest.mark.parametrize(
    ("change", "by"),
    [
        ({}, []),
        ({"near_misses": 7}, []),
        ({"near_misses": 1}, ["near misses"]),
        ({"near_hits": 20, "near_misses": 0}, []),  # too few to tell
        ({"gained": 300}, []),
        ({"gained": 100, "lost": 900}, ["a small shift"]),
        ({"gained": 0, "lost": 0}, []),
        ({"gained": 0, "lost": 3}, []),
        ({"test_hits": 9950}, []),
        ({"train_hits": 5000}, ["training against test"]),
        ({"near_misses": 0, "train_hits": 5000}, ["near misses, training against test"]),
    ],
)
def test_which_sign_raises_the_flag(change, by):
    found = dataclasses.replace(HONEST, **change)
    assert [flag.evidence["by"] for flag in flags.contaminated(found, HONEST)] == by
