"""Max-sensitivity, against closed forms with the same draws and against maps that say nothing."""

import functools
import sys
import types

import numpy as np
import pytest
from keras import ops

from pellucid.attacks.autoattack import randomness
from pellucid.metrics import ATTRIBUTIONS, Attribution, spectrum
from pellucid.metrics.max_sensitivity import largest_change, max_sensitivity
from pellucid.models import backend
from pellucid.models.errors import InputError
from tests.conftest import linear_model

RNG = np.random.default_rng(5)
SHAPE = (2, 3, 2)
X = RNG.uniform(0, 1, (6, *SHAPE)).astype(np.float32)
WEIGHTS = RNG.normal(0, 0.6, 12)
KEYS = randomness.keys_of(0, np.arange(len(X)))


@functools.cache
def noisy_images(draws: int = 50, radius: float = 0.2) -> np.ndarray:
    """`(draws, n, h, w, c)` float64."""
    drawn = [
        ops.convert_to_numpy(randomness.uniform(randomness.fold_in(KEYS, k), SHAPE))
        for k in range(draws)
    ]
    return np.clip(X + radius * (2 * np.array(drawn, np.float64) - 1), 0, 1)


def norm(maps: np.ndarray) -> np.ndarray:
    """Over the last three axes."""
    return np.sqrt((np.asarray(maps, np.float64) ** 2).sum(axis=(-1, -2, -3)))


def two_classes():
    """Margins near zero, so that noise changes predictions."""
    centre = X.reshape(6, -1).astype(np.float64).mean(0) @ WEIGHTS
    return linear_model(np.stack([WEIGHTS, -WEIGHTS], axis=1), np.array([-centre, centre]), SHAPE)


def other_class(x: np.ndarray, label: np.ndarray | None = None) -> np.ndarray:
    """The probability of the class that is not the label, or not predicted: the gradient's size."""
    margin = 2 * (x.reshape(*x.shape[:-3], -1) - X.reshape(6, -1).mean(0)) @ WEIGHTS
    sign = np.where(margin > 0, 1, -1) if label is None else label
    return 1 / (1 + np.exp(sign * margin))


def with_record(monkeypatch, name: str, function, **options) -> str:
    """An attribution that exists for one test."""
    module = types.ModuleType(f"pellucid.metrics.{name}")
    setattr(module, name, function)
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(ATTRIBUTIONS, name, Attribution(name, name, name, module=name, **options))
    return name


def of_maps(attribute, **options) -> np.ndarray:
    compiled = backend.jit(lambda x, keys: largest_change(attribute, x, keys, **options))
    return ops.convert_to_numpy(compiled(*map(backend.to_device, (X, KEYS))))


def test_gradient_of_a_linear_function_does_not_change():
    weights = WEIGHTS.reshape(SHAPE).astype(np.float32)

    def attribute(x):
        return backend.value_and_gradient(lambda z: ops.sum(z * weights), x)[1]

    assert (of_maps(attribute) == 0).all()


@pytest.mark.parametrize(("radius", "draws"), [(0.2, 50), (0.05, 3)])
def test_closed_form_of_a_quadratic_function(radius, draws):
    """f = sum q x^2 / 2 has the gradient q x: S = max ||q (x_k - x)|| / ||q x||."""
    q = WEIGHTS.reshape(SHAPE)

    def attribute(x):
        half = lambda z: ops.sum(np.float32(q / 2) * ops.square(z))  # noqa: E731
        return backend.value_and_gradient(half, x)[1]

    changed = norm(q * (noisy_images(draws, radius) - X)).max(0)
    np.testing.assert_allclose(
        of_maps(attribute, radius=radius, draws=draws), changed / norm(q * X), rtol=1e-5
    )


@pytest.mark.parametrize("radius", [0.2, 0.4])
def test_linear_network_by_hand_with_its_label_fixed(radius):
    """Its map is the other class's probability times a constant. Some predictions change."""
    label = np.where(other_class(X) == other_class(X, 1), 1, -1)
    clean, noisy = other_class(X, label), other_class(noisy_images(50, radius), label)
    assert (noisy > 0.5).any()
    np.testing.assert_allclose(
        max_sensitivity("gradient", two_classes(), X, radius=radius),
        np.abs(noisy / clean - 1).max(0),
        rtol=1e-5,
    )


def test_an_attribution_without_a_label_follows_the_prediction(monkeypatch):
    from pellucid.metrics.attributions import gradient

    def unlabelled(logits, x):
        return gradient(logits, x)

    name = with_record(monkeypatch, "unlabelled", unlabelled)
    expected = np.abs(other_class(noisy_images()) / other_class(X) - 1).max(0)
    np.testing.assert_allclose(max_sensitivity(name, two_classes(), X), expected, rtol=1e-5)


def test_channel_means_reach_the_attribution(monkeypatch):
    """|x - fill| summed over channels, against the same by hand."""
    name = with_record(
        monkeypatch,
        "beside_the_mean",
        lambda logits, x, fill: ops.sum(ops.abs(x - fill), axis=-1),
        takes_fill=True,
    )
    fill = np.float32([0.2, 0.9])
    maps = [np.abs(x - fill).sum(-1, keepdims=True) for x in (X, noisy_images())]
    np.testing.assert_allclose(
        max_sensitivity(name, two_classes(), X, fill=fill),
        norm(maps[1] - maps[0]).max(0) / norm(maps[0]),
        rtol=1e-5,
    )
    with pytest.raises(InputError, match="needs `fill`"):
        max_sensitivity(name, two_classes(), X)


@pytest.mark.parametrize("sigma", [0.0, 1.3])
def test_of_blurred_maps(monkeypatch, sigma):
    """The image's channels summed, a map that is known at every noisy image; blurred by hand."""
    name = with_record(monkeypatch, "summed", lambda logits, x: ops.sum(x, axis=-1))

    def by_hand(x: np.ndarray) -> np.ndarray:
        summed = x.astype(np.float64).sum(-1)
        found = spectrum.blur(summed.reshape(-1, *SHAPE[:2]), sigma)
        return found.reshape(*summed.shape, 1)

    clean = by_hand(X)
    expected = norm(by_hand(noisy_images()) - clean).max(0) / norm(clean)
    found = max_sensitivity(name, two_classes(), X, blur=sigma)
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    if sigma:
        assert (found < max_sensitivity(name, two_classes(), X)).all()


def test_blurred_maps_of_a_network_keep_their_label():
    """With one pixel there is nothing to blur; the label is that of the clean image."""
    x = np.random.default_rng(2).uniform(0, 1, (5, 1, 1, 3)).astype(np.float32)
    model = linear_model(np.random.default_rng(3).normal(size=(3, 2)), np.zeros(2), (1, 1, 3))
    np.testing.assert_allclose(
        max_sensitivity("gradient", model, x, blur=2.0),
        max_sensitivity("gradient", model, x),
        rtol=1e-5,
    )


def test_draws_depend_on_seed_and_place_and_not_on_the_batch():
    model = two_classes()
    values = max_sensitivity("gradient", model, X)
    assert values.shape == (6,)
    assert values.dtype == np.float64
    np.testing.assert_allclose(
        max_sensitivity("gradient", model, X, batch_size=4), values, rtol=1e-5
    )
    twice = max_sensitivity("gradient", model, np.stack([X[0], X[0]]))
    assert twice[0] == pytest.approx(values[0], rel=1e-5)
    assert abs(twice[1] / twice[0] - 1) > 1e-3
    assert (np.abs(max_sensitivity("gradient", model, X, seed=1) / values - 1) > 1e-3).all()


def test_more_draws_and_a_larger_ball_never_lower_it():
    few, all_ = (of_maps(lambda x: x, draws=draws) for draws in (5, 50))
    assert (few <= all_).all()
    assert (few < all_).any()
    assert (of_maps(lambda x: x, radius=0.1) < all_).all()
    assert (all_ <= 0.2 * np.sqrt(12) / norm(X)).all()


def test_the_scale_of_a_map_does_not_matter():
    np.testing.assert_allclose(
        of_maps(lambda x: -1e-30 * ops.square(x)), of_maps(ops.square), rtol=1e-5
    )


def test_null_a_map_that_ignores_the_image_is_stable():
    fixed = np.float32(RNG.exponential(size=(6, 4, 5)))
    assert (of_maps(lambda x: 0 * x[:, :1, :1, 0] + fixed) == 0).all()


def test_null_a_map_drawn_anew_for_every_image():
    """Pixels of mean 0: ||e' - e||^2 / ||e||^2 is 2, with a standard deviation of sqrt(6 / d)."""
    d = 32 * 32

    def attribute(x):
        seeds = ops.cast(1e5 * ops.sum(x, axis=(1, 2, 3)), "uint32")
        return randomness.normal(seeds, (32, 32))

    assert (np.abs(of_maps(attribute) ** 2 - 2) < 5 * np.sqrt(6 / d)).all()


def test_a_flat_network_has_none():
    assert np.isnan(
        max_sensitivity("gradient", linear_model(np.zeros((12, 2)), np.zeros(2), SHAPE), X)
    ).all()


def test_uint8_and_float_images_agree(digits, digits_model):
    x = digits.x_test[:4]
    values = max_sensitivity("gradient_input", digits_model, x, draws=3)
    assert (values > 0).all()
    np.testing.assert_allclose(
        max_sensitivity("gradient_input", digits_model, x / np.float32(255), draws=3),
        values,
        rtol=1e-5,
    )


@pytest.mark.parametrize(
    ("name", "x", "options", "message"),
    [
        ("gradients", X, {}, "Unknown attribution 'gradients'. Did you mean 'gradient'"),
        ("gradient", 255 * X, {}, "divide by 255 first"),
        ("gradient", X, {"radius": 0.0}, "must be above 0. Received 0.0 and 50"),
        ("gradient", X, {"draws": 0}, "must be above 0. Received 0.2 and 0"),
    ],
)
def test_mistakes(name, x, options, message):
    with pytest.raises(InputError, match=message):
        max_sensitivity(name, two_classes(), x, **options)
