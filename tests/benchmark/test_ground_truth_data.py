"""Data sets with known truth: what is in every image, byte for byte, and what the truth tells."""

import dataclasses
import itertools
import pickle

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter1d

from pellucid import models
from pellucid.benchmark.data import blocks, datasets, tetrominoes, tfds
from pellucid.benchmark.execution.runner import plan
from pellucid.benchmark.units import configuration
from pellucid.models.errors import InputError
from tests.commands import TINY
from tests.conftest import needs_tfds

SHA256 = {
    "xai_tris_linear_white": "0eed5204cc8fa224",
    "xai_tris_linear_correlated": "3ba3771df410e04e",
    "xai_tris_multiplicative_white": "f4366ffdb67f69de",
    "xai_tris_multiplicative_correlated": "02c4dea4849a0996",
    "xai_tris_translations_rotations_white": "58f2c8822d243641",
    "xai_tris_translations_rotations_correlated": "da75ab022892e368",
    "xai_tris_xor_white": "032e5870b73cdce4",
    "xai_tris_xor_correlated": "38da5546725a0b41",
}
ALPHA = [0.18, 0.0125, 0.7, 0.1, 0.65, 0.2, 0.35, 0.15]
"""The paper's, in the order of `SHA256`."""
ROWS = "00000000 01000000 01100000 01000000 00000200 00000200 00000220 00000000"
FIXED = np.array([list(map(int, row)) for row in ROWS.split()])
"""The T (1) and the L (2) where they do not move."""


@pytest.fixture(scope="module")
def mnist() -> datasets.Dataset:
    """Random images in place of MNIST's, without a black row or column."""
    rng = np.random.default_rng(0)
    x = rng.integers(1, 255, (3000, 28, 28, 1), np.uint8)
    y = rng.integers(0, 10, 3000).astype(np.int32)
    info = datasets.Info("mnist", "3.0.1", 2000, 1000, (28, 28, 1), 10, "source", "/folder")
    return datasets.Dataset(info, x[:2000], y[:2000], x[2000:], y[2000:])


def splits(data: datasets.Dataset) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Images, labels and truth of each split."""
    return [
        (data.x_train, data.y_train, data.truth_train),
        (data.x_test, data.y_test, data.truth_test),
    ]


# blocks


@pytest.mark.parametrize("name", blocks.NAMES)
def test_every_image_is_a_digit_and_a_block_that_is_always_the_same(name, mnist):
    data = blocks.build(name, mnist)
    assert data.info == blocks.describe(name, mnist.info)
    assert (data.info.shape, data.info.num_classes) == ((56, 28, 1), 10)
    others = []
    for (x, y, truth), digits, labels in zip(
        splits(data), (mnist.x_train, mnist.x_test), (mnist.y_train, mnist.y_test), strict=True
    ):
        n = len(digits)
        assert (x.shape, x.dtype, truth.shape) == ((n, 56, 28, 1), np.uint8, (n, 56, 28))
        np.testing.assert_array_equal(y, labels)
        np.testing.assert_array_equal(x[truth].reshape(n, 28, 28, 1), digits)
        np.testing.assert_array_equal(truth.sum((1, 2)), 784)
        others.append(x[~truth].reshape(n, 28, 28))
        upper = truth[:, :28].all((1, 2))
        np.testing.assert_array_equal(upper, ~truth[:, 28:].any((1, 2)))
        if name == "block_mnist_top":
            assert upper.all()
        else:  # as a coin falls, whatever the class: 5 standard deviations
            assert abs(upper.sum() - n / 2) < 5 * np.sqrt(n) / 2
            assert abs(np.corrcoef(upper, y)[0, 1]) < 5 / np.sqrt(n)
    other = np.concatenate(others)
    assert (other == other[0]).all()


def test_the_drawings():
    """Within the 20x20 pixels of a MNIST digit; the letter has one axis, the square four."""
    square, letter = (
        blocks._drawing(lines)[..., 0] for lines in (blocks.CROSSED_SQUARE, blocks.LETTER_A)
    )
    for drawing in (square, letter):
        assert drawing[4:24, 4:24].sum() == drawing.sum() > 20 * 255
        assert drawing.max() == 255
        np.testing.assert_array_equal(drawing, drawing[:, ::-1])
    np.testing.assert_array_equal(square, np.rot90(square))
    assert (square[range(6, 22), range(6, 22)] == 255).all(), "a diagonal of the X"
    assert (square[5, 5:23] == 255).all(), "a side of the square"
    assert not square[8, 12:16].any(), "nothing between them"
    assert (letter[16, 10:18] == 255).all(), "the bar"
    assert not letter[21, 10:18].any(), "nothing between the legs"
    assert not np.array_equal(letter, letter[::-1])


def test_distractor_mnist_is_block_mnist_with_a_letter(mnist):
    square, letter = (blocks.build(name, mnist) for name in ("block_mnist", "distractor_mnist"))
    np.testing.assert_array_equal(square.truth_test, letter.truth_test)
    assert (square.x_test != letter.x_test).any(axis=(1, 2, 3)).all()


@needs_tfds
@pytest.mark.parametrize("name", blocks.NAMES)
def test_an_image_does_not_depend_on_the_limits(name):
    limits = {"train_limit": 300, "test_limit": 90}
    few, some = datasets.load(name, **limits), datasets.load(name, train_limit=900, test_limit=400)
    assert few.info == datasets.describe(name, **limits)
    assert (few.info.train_size, few.info.test_size) == (300, 90)
    for (x, y, truth), (more_x, more_y, more_truth) in zip(splits(few), splits(some), strict=True):
        np.testing.assert_array_equal(x, more_x[: len(x)])
        np.testing.assert_array_equal(y, more_y[: len(x)])
        np.testing.assert_array_equal(truth, more_truth[: len(x)])


@needs_tfds
def test_blocks_come_from_the_mnist_of_the_folder():
    heard: list[str] = []
    data = datasets.load("block_mnist", train_limit=50, test_limit=5, notice=heard.append)
    digits = datasets.load("mnist", train_limit=50, test_limit=5)
    np.testing.assert_array_equal(
        data.x_train[data.truth_train].reshape(50, 28, 28, 1), digits.x_train
    )
    assert data.info.folder == digits.info.folder
    assert heard[-1] == f"data: block_mnist/1.0.0 from {data.info.folder}"
    assert data.info.source.startswith("tensorflow_datasets mnist/")


@pytest.mark.parametrize("function", [datasets.load, datasets.describe])
def test_blocks_without_mnist(function, monkeypatch, tmp_path):
    def no_network(*_):
        raise OSError("Name or service not known")

    monkeypatch.setattr(tfds.socket, "getaddrinfo", no_network)
    monkeypatch.setattr(tfds.urllib.request, "getproxies", dict)
    with pytest.raises(InputError, match=f"'mnist' is not prepared in {tmp_path} and"):
        function("block_mnist", data_dir=str(tmp_path))


# tetrominoes


@pytest.fixture(scope="module")
def noise() -> dict[str, np.ndarray]:
    """The noise of all 10,000 images, before anything is added."""
    white = np.random.default_rng(0).normal(0, 0.5, (10_000, 8, 8))
    smooth = gaussian_filter1d(gaussian_filter1d(white, 3, axis=2), 3, axis=1)
    return {"white": white, "correlated": smooth}


def of_splits(values: np.ndarray) -> np.ndarray:
    """Of 10,000, those of the training and of the test images."""
    return np.concatenate([values[:8000], values[9000:]])


def joined(data: datasets.Dataset) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels in [-1, 1], labels and truth of both splits."""
    x, y, truth = (np.concatenate(pair) for pair in zip(*splits(data), strict=True))
    return x[..., 0] / 127.5 - 1, y, truth


@pytest.mark.parametrize(("name", "sha256"), SHA256.items())
def test_tetrominoes_are_fixed_and_balanced(name, sha256):
    assert set(SHA256) == set(tetrominoes.NAMES)
    data = datasets.load(name)
    assert data.info == datasets.describe(name)
    assert dataclasses.astuple(data.info)[:6] == (name, "1.0.0", 8000, 1000, (8, 8, 1), 2)
    assert data.sha256()[:16] == sha256
    assert (data.x_train.dtype, data.y_train.dtype, data.truth_train.dtype) == (
        np.uint8,
        np.int32,
        bool,
    )
    for x, y, truth in splits(data):
        assert (x.shape, truth.shape) == ((len(y), 8, 8, 1), (len(y), 8, 8))
        np.testing.assert_array_equal(np.bincount(y), len(y) / 2)
        first = y[:200].sum()
        assert abs(first - 100) < 5 * np.sqrt(50), "classes are mixed, so limits keep both"


def fitted(x: np.ndarray, background: np.ndarray, where: np.ndarray) -> tuple[float, float]:
    """The slope of x on the noise, and how far x can be from the line.

    Rounding errs by at most 1/255 in [-1, 1]; the slope, by rounding too, hardly by more than five
    of its standard errors.
    """
    squares = (background[where] ** 2).sum()
    error = 2 / 255 / np.sqrt(12 * squares)
    slope = (x * background)[where].sum() / squares
    return slope, 1 / 255 + 5 * error * abs(background).max()


@pytest.mark.parametrize(
    ("name", "alpha"), [pair for pair in zip(SHA256, ALPHA, strict=True) if "multi" not in pair[0]]
)
def test_what_is_left_without_the_noise_is_the_truth(name, alpha, noise):
    """x = s (α F / ||F|| + (1 - α) B / ||B||): off the truth, the slope on B is s (1 - α) / ||B||.

    The rest is s α F / ||F||, where ||F|| is the root of the number of pixels with a pattern.
    """
    x, y, truth = joined(datasets.load(name))
    every = noise[name.rsplit("_", 1)[1]]
    background = of_splits(every)
    slope, error = fitted(x, background, ~truth)
    rest = x - slope * background
    patterned = 10_000 * (8 if "xor" in name else 4)
    height = slope * np.sqrt((every**2).sum() / patterned) * alpha / (1 - alpha)
    assert height > 2 * error, "the test sees the pattern"
    if "linear" in name:
        expected = height * (FIXED[None] == 1 + y[:, None, None])
    elif "xor" in name:
        signs = np.sign(rest[truth].reshape(-1, 2, 4).mean(-1))  # the T's pixels come first
        np.testing.assert_array_equal(signs.prod(1), 1 - 2 * y)
        for label, sign in itertools.product((0, 1), (-1, 1)):
            assert (signs[y == label, 0] == sign).sum() == 9000 / 4
        t, l = signs[:, :1, None], signs[:, 1:, None]  # noqa: E741
        expected = height * (t * (FIXED == 1) + l * (FIXED == 2))
    else:
        expected = height * truth
    np.testing.assert_allclose(rest, expected, rtol=0, atol=error)


@pytest.mark.parametrize(("kind", "alpha"), [("white", 0.7), ("correlated", 0.1)])
def test_multiplicative_patterns_dim_the_noise(kind, alpha, noise):
    """x = s (1 - α F) B: the slope on B is 1 - α times as steep where the class's pattern is."""
    x, y, _ = joined(datasets.load(f"xai_tris_multiplicative_{kind}"))
    background = of_splits(noise[kind])
    own = FIXED[None] == 1 + y[:, None, None]
    (inside, error), (outside, _) = (fitted(x, background, where) for where in (own, ~own))
    assert inside / outside == pytest.approx(1 - alpha, abs=3e-4)  # five standard errors: 2e-4
    assert abs(x - np.where(own, inside, outside) * background).max() < error


@pytest.mark.parametrize("name", [n for n in SHA256 if "translations" not in n])
def test_where_patterns_stay_both_are_the_truth(name):
    for _, _, truth in splits(datasets.load(name)):
        np.testing.assert_array_equal(truth, np.broadcast_to(FIXED > 0, truth.shape))


def test_wandering_patterns_take_every_place_and_rotation():
    _, y, truth = joined(datasets.load("xai_tris_translations_rotations_white"))
    shapes = {0: [[1, 0], [1, 1], [1, 0]], 1: [[1, 0], [1, 0], [1, 1]]}
    for label, shape in shapes.items():
        expected = set()
        for turns, row, column in itertools.product(range(4), range(8), range(8)):
            pattern = np.rot90(shape, turns)
            if row + pattern.shape[0] <= 8 and column + pattern.shape[1] <= 8:
                image = np.zeros((8, 8), bool)
                image[row : row + pattern.shape[0], column : column + pattern.shape[1]] = pattern
                expected.add(image.tobytes())
        assert len(expected) == 168
        found = [image.tobytes() for image in truth[y == label]]
        assert set(found) == expected
        counts = np.unique(found, return_counts=True)[1]
        # chi-squared of 167 degrees of freedom, 5 standard deviations
        squares = ((counts - len(found) / 168) ** 2).sum() / (len(found) / 168)
        assert abs(squares - 167) < 5 * np.sqrt(2 * 167)


def test_the_best_linear_classifier_weighs_the_truth_most():
    """In white noise, (mean of class 1 - mean of class 0) / variance is not zero there alone."""
    x, y, truth = joined(datasets.load("xai_tris_linear_white"))
    flat = x.reshape(len(x), -1)
    covariance = sum(np.cov(flat[y == k].T) for k in (0, 1))
    weights = np.linalg.solve(covariance, flat[y == 1].mean(0) - flat[y == 0].mean(0))
    top = np.argsort(-abs(weights))[:8]
    assert set(top) == set(np.flatnonzero(truth[0]))
    np.testing.assert_array_equal(np.sign(weights)[FIXED.ravel() > 0] > 0, FIXED[FIXED > 0] == 2)


# both


def test_data_without_a_truth_keep_their_hash(digits):
    assert digits.truth_train is digits.truth_test is None
    assert digits.sha256() == "4fd0603c46c7594b11d871a074e878e65ed5fe22f0e5ccc3d059e012f0a280f9"


def test_truth_is_limited_hashed_and_sent_with_the_images():
    data = datasets.load("xai_tris_xor_white", train_limit=30, test_limit=20)
    assert data.info == datasets.describe("xai_tris_xor_white", train_limit=30, test_limit=20)
    assert (len(data.truth_train), len(data.truth_test)) == (30, 20)
    copy = pickle.loads(pickle.dumps(data))
    assert copy.sha256() == data.sha256()
    np.testing.assert_array_equal(copy.truth_test, data.truth_test)
    changed = np.array(data.truth_test)
    changed[3, 4, 5] ^= True
    assert dataclasses.replace(data, truth_test=changed).sha256() != data.sha256()


@pytest.mark.parametrize(
    ("network", "shape"),
    [("strided_cnn", (56, 28, 1)), ("digits_cnn", (8, 8, 1)), ("mlp", (8, 8, 1))],
)
def test_networks_that_fit(network, shape):
    assert models.get(network)(shape, 10, seed=0).output_shape == (None, 10)


@pytest.mark.parametrize(
    "name",
    ["xai_tris_linear_white", pytest.param("block_mnist", marks=needs_tfds)],
)
def test_a_run_can_be_planned(name):
    config = configuration.resolve(None, TINY, [f"data.name={name}"])
    work = plan(config, None)
    assert work.info == datasets.describe(name, train_limit=300, test_limit=100)
    assert all(unit.spec.data.name == name for unit in work.units if hasattr(unit.spec, "data"))
