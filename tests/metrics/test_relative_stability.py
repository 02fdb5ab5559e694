"""Relative stability, against closed forms with the same draws and maps that say nothing."""

import functools

import numpy as np
import pytest
from keras import ops

from pellucid.attacks.autoattack import randomness
from pellucid.metrics import attributions, spectrum
from pellucid.metrics.relative_stability import largest_ratios, relative_stability
from pellucid.models import backend
from pellucid.models.errors import InputError
from pellucid.models.functional import predict
from tests.conftest import linear_model

RNG = np.random.default_rng(8)
SHAPE = (2, 3, 2)
X = RNG.uniform(0, 1, (6, *SHAPE)).astype(np.float32)
X[0, 0, 0, 0] = 0.5
WEIGHTS = RNG.normal(0, 0.6, 12)
KEYS = randomness.keys_of(0, np.arange(len(X)))


@functools.cache
def noisy_images(sigma: float = 0.05) -> np.ndarray:
    """`(draws, n, h, w, c)` float64."""
    drawn = [
        ops.convert_to_numpy(randomness.normal(randomness.fold_in(KEYS, k), SHAPE))
        for k in range(50)
    ]
    return np.clip(X + sigma * np.array(drawn, np.float64), 0, 1)


def norm(x: np.ndarray) -> np.ndarray:
    """Over the last three axes."""
    return np.sqrt((x**2).sum(axis=(-1, -2, -3)))


def moved(x: np.ndarray) -> np.ndarray:
    """The relative change of pixels on [-1, 1], that of a pixel at 0 left out."""
    scaled = 2 * X.astype(np.float64) - 1
    return norm(2 * (x - X) / np.where(scaled == 0, np.inf, scaled))


def scaled(x):
    return 2.0 * x - 1.0


def one_class(x):
    """Logits that always predict the first class, and do not change."""
    return ops.stack([0 * x[:, 0, 0, 0] + 1, 0 * x[:, 0, 0, 0]], axis=1)


def ratios(attribute, logits=one_class, x: np.ndarray = X, **options) -> np.ndarray:
    """RIS, ROS and the number of draws, `(3, n)`."""
    compiled = backend.jit(lambda x, keys: largest_ratios(attribute, logits, x, keys, **options))
    return ops.convert_to_numpy(compiled(*map(backend.to_device, (x, KEYS)))).T


def two_classes():
    """Margins near zero, so that noise changes predictions."""
    centre = X.reshape(6, -1).astype(np.float64).mean(0) @ WEIGHTS
    return linear_model(np.stack([WEIGHTS, -WEIGHTS], axis=1), np.array([-centre, centre]), SHAPE)


def test_the_image_as_its_own_map_has_one():
    """Numerator and denominator of RIS are the same number."""
    np.testing.assert_allclose(ratios(scaled)[0], 1, rtol=1e-6)


def test_gradient_of_a_linear_function_does_not_change():
    weights = WEIGHTS.reshape(SHAPE).astype(np.float32)

    def attribute(x):
        return backend.value_and_gradient(lambda z: ops.sum(z * weights), x)[1]

    assert (ratios(attribute)[:2] == 0).all()


@pytest.mark.parametrize("slope", [0.1, 10.0])
def test_closed_form_of_stability_to_the_logits(slope):
    """Map 2x - 1 of absolute value 1/2 and logits slope (2x - 1): ROS = 2 / slope."""
    x = np.where(RNG.random(X.shape) < 0.5, 0.25, 0.75).astype(np.float32)
    x[:, 0, 0, 0] = 0.75

    def logits(x):
        flat = ops.reshape(slope * scaled(x), (-1, 12))
        return ops.concatenate([flat, 0 * flat[:, :1] + 100], axis=1)

    found = ratios(scaled, logits, x)
    np.testing.assert_allclose(found[1], 2 / slope, rtol=1e-5)
    assert (found[2] == 50).all()


@pytest.mark.parametrize("sigma", [0.05, 0.2])
def test_linear_network_by_hand(sigma):
    """Its map is the other class's probability times a constant; some draws do not count."""
    x = noisy_images(sigma)
    margin, clean = (
        2 * (z.reshape(*z.shape[:-3], 12) - X.reshape(6, -1).mean(0)) @ WEIGHTS for z in (x, X)
    )
    counts = (margin > 0) == (clean > 0)
    other, other_clean = (1 / (1 + np.exp(np.abs(m))) for m in (margin, clean))
    change = np.sqrt(6) * np.abs(other / other_clean - 1)
    of_logits = np.abs(margin - clean) / np.sqrt(2)
    found = relative_stability("gradient", two_classes(), X, sigma=sigma)
    assert 0 < counts.sum(0).min() < 50
    np.testing.assert_array_equal(found.counted, counts.sum(0))
    for values, divisor in ((found.input, moved(x)), (found.output, of_logits)):
        assert values.dtype == np.float64
        np.testing.assert_allclose(values, np.where(counts, change / divisor, 0).max(0), rtol=1e-3)


def test_entries_that_are_zero_are_left_out():
    """The map max(2x - 1, 0): only pixels above 1/2 have a relative change."""
    map_ = np.maximum(2 * X.astype(np.float64) - 1, 0)
    change = np.maximum(2 * noisy_images() - 1, 0) - map_
    expected = norm(change / np.where(map_ > 0, map_, np.inf)) / moved(noisy_images())
    np.testing.assert_allclose(ratios(lambda x: ops.relu(scaled(x)))[0], expected.max(0), rtol=1e-5)


def test_a_change_of_the_logits_counts_as_a_millionth_at_least():
    """Logits that move by less: ROS is the relative change of the map, a million times."""
    change = moved(noisy_images()).max(0)
    for tiny in (0.0, 1e-9):
        logits = lambda x, tiny=tiny: one_class(x) + tiny * ops.reshape(x, (-1, 12))[:, :2]  # noqa: E731
        np.testing.assert_allclose(ratios(scaled, logits)[1], 1e6 * change, rtol=1e-5)


def test_without_a_draw_that_counts_there_is_no_value():
    """A network that predicts the first class at the clean images alone."""
    clean = ops.convert_to_tensor(X)

    def logits(x):
        same = ops.all(x == clean, axis=(1, 2, 3))
        return ops.stack([ops.cast(same, "float32"), 0 * x[:, 0, 0, 0] + 0.5], axis=1)

    found = ratios(scaled, logits)
    assert np.isnan(found[:2]).all()
    assert (found[2] == 0).all()


def test_a_flat_network_has_none():
    found = relative_stability("gradient", linear_model(np.zeros((12, 2)), np.zeros(2), SHAPE), X)
    assert np.isnan([found.input, found.output]).all()
    assert (found.counted == 50).all()


def test_the_scale_of_a_map_does_not_matter():
    small, plain = ratios(lambda x: -1e-30 * (x + 1)), ratios(lambda x: x + 1)
    np.testing.assert_allclose(small, plain, rtol=1e-5)


def test_of_blurred_maps():
    """A blur so wide that all pixels of a map are equal: its relative change is that of its sum."""
    model, sides = two_classes(), np.sqrt(SHAPE[0] * SHAPE[1])
    wide = relative_stability("gradient", model, X, blur=1e3)
    keys = [spectrum.blur_matrix(side, 1e3).astype(np.float32) for side in SHAPE[:2]]
    np.testing.assert_allclose(keys[0], 1 / SHAPE[0], atol=1e-7)

    def mean(x: np.ndarray) -> np.ndarray:
        return np.stack([attributions.run("gradient", model, z).mean((1, 2)) for z in x])

    images = noisy_images().astype(np.float32)
    change = np.abs(mean(images) / mean(X[None]) - 1) * sides
    same = np.stack([predict(model, z).argmax(1) for z in images]) == predict(model, X).argmax(1)
    ratio = np.where(same, change / moved(images), 0)
    np.testing.assert_allclose(wide.input, ratio.max(0), rtol=1e-3)
    own = relative_stability("gradient", model, X)
    np.testing.assert_array_equal(wide.counted, own.counted)


def test_draws_depend_on_seed_and_place_and_not_on_the_batch():
    model = two_classes()
    found = relative_stability("gradient_input", model, X)
    for same, values in zip(
        relative_stability("gradient_input", model, X, batch_size=4), found, strict=True
    ):
        # a batch of another size rounds otherwise, and a ratio's denominator is a small difference
        np.testing.assert_allclose(same, values, rtol=5e-3)
    twice = relative_stability("gradient_input", model, np.stack([X[0], X[0]]))
    assert twice.input[0] == pytest.approx(found.input[0], rel=1e-4)
    assert abs(twice.input[1] / twice.input[0] - 1) > 1e-3
    seeded = relative_stability("gradient_input", model, X, seed=1)
    assert (np.abs(seeded.output / found.output - 1) > 0.1).all()


def test_channel_means_reach_the_attribution():
    name = "integrated_gradients_mean"
    black, grey = (
        relative_stability(name, two_classes(), X, draws=2, fill=np.full(2, fill)).input
        for fill in (0.0, 0.5)
    )
    assert (np.abs(black / grey - 1) > 1e-3).all()
    with pytest.raises(InputError, match="needs `fill`"):
        relative_stability(name, two_classes(), X)


def test_null_a_map_that_ignores_the_image_is_stable():
    fixed = np.float32(RNG.exponential(size=(6, 4, 5)))
    assert (ratios(lambda x: 0 * x[:, :1, :1, 0] + fixed)[:2] == 0).all()


def test_null_a_map_drawn_anew_for_every_image():
    """Its change does not shrink with the noise, so RIS grows as one over the noise.

    That of a map which follows the image smoothly does not. Both factors of the ratio are norms of
    hundreds of independent numbers, which differ by some percent.
    """
    x = np.full((6, 16, 16, 1), 0.75, np.float32)

    def anew(x):
        seeds = ops.cast(1e6 * ops.sum(x, axis=(1, 2, 3)), "uint32")
        return 1.0 + randomness.uniform(seeds, (16, 16))

    for attribute, expected in ((anew, 10.0), (lambda x: ops.square(scaled(x)), 1.0)):
        wide, narrow = (ratios(attribute, x=x, sigma=sigma)[0] for sigma in (0.05, 0.005))
        np.testing.assert_allclose(narrow / wide, expected, rtol=0.25)


@pytest.mark.parametrize(
    ("name", "x", "options", "message"),
    [
        ("gradients", X, {}, "Unknown attribution 'gradients'. Did you mean 'gradient'"),
        ("gradient", 255 * X, {}, "divide by 255 first"),
        ("gradient", X, {"sigma": 0.0}, "must be above 0. Received 0.0 and 50"),
        ("gradient", X, {"draws": 0}, "must be above 0. Received 0.05 and 0"),
    ],
)
def test_mistakes(name, x, options, message):
    with pytest.raises(InputError, match=message):
        relative_stability(name, two_classes(), x, **options)
