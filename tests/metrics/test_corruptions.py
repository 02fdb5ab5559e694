"""Corruptions, against closed forms and bounds that follow from rounding."""

import numpy as np
import pytest
from scipy import ndimage

from pellucid.metrics import corruptions
from pellucid.metrics.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from pellucid.models.errors import InputError

HALF = 0.5 / 255
"""What rounding to a byte changes a pixel by, at most."""


def natural(n=12, size=32, channels=3, seed=0) -> np.ndarray:
    """Images whose power falls with frequency, and whose pixels fill 0 to 255."""
    rng = np.random.default_rng(seed)
    white = rng.normal(size=(n, size, size, channels))
    x = sum(s * ndimage.gaussian_filter(white, (0, s, s, 0)) for s in (0.7, 1.5, 3, 6))
    low, high = x.min((1, 2, 3), keepdims=True), x.max((1, 2, 3), keepdims=True)
    return np.rint(255 * (x - low) / (high - low)).astype(np.uint8)


def change(name, x, severity) -> np.ndarray:
    """The L2 norm of what a corruption changes, for each image."""
    difference = corrupt(name, x, severity=severity) / 255 - x / 255
    return np.sqrt((difference**2).sum((1, 2, 3)))


@pytest.mark.parametrize("name", CORRUPTIONS)
@pytest.mark.parametrize("seed", range(3))
def test_every_severity_changes_more_than_the_one_before(name, seed):
    """In every image; stored as JPEG, on average: its blocks are rounded, not scaled."""
    x = natural(seed=seed)
    changes = np.array([change(name, x, severity) for severity in SEVERITIES])
    if name == "jpeg":
        changes = changes.mean(1)
    assert (changes[0] > 0).all()
    assert (np.diff(changes, axis=0) > 0).all()


@pytest.mark.parametrize("severity", SEVERITIES)
def test_brightness_and_contrast_pixel_by_pixel(severity):
    x = natural(3, 8)
    added = CORRUPTIONS["brightness"].constants[severity - 1]
    factor = CORRUPTIONS["contrast"].constants[severity - 1]
    bright, flat = (corrupt(name, x, severity=severity) for name in ("brightness", "contrast"))
    for i in range(3):
        for c in range(3):
            mean = sum(map(int, x[i, :, :, c].ravel())) / 64
            for place, value in np.ndenumerate(x[i, :, :, c]):
                assert abs(bright[i][place][c] - min(value + 255 * added, 255)) <= 0.5 + 1e-9
                assert abs(flat[i][place][c] - (mean + factor * (value - mean))) <= 0.5 + 1e-9


@pytest.mark.parametrize("severity", SEVERITIES)
def test_noise_has_the_stated_deviation(severity):
    """On gray, five deviations from both ends, where clipping is rare; 122,880 draws."""
    stated = CORRUPTIONS["gaussian_noise"].constants[severity - 1]
    x = np.full((40, 32, 32, 3), 128, np.uint8)
    noise = corrupt("gaussian_noise", x, severity=severity, seed=3) / 255 - 128 / 255
    expected = np.sqrt(stated**2 + 1 / 12 / 255**2)  # rounding adds the variance of a uniform
    assert noise.std() == pytest.approx(expected, rel=5 / np.sqrt(2 * x.size))
    assert abs(noise.mean()) < 5 * expected / np.sqrt(x.size)
    of_images = noise.reshape(40, -1)
    assert abs(np.corrcoef(of_images)[np.triu_indices(40, 1)]).max() < 6 / np.sqrt(3072)


def test_severities_scale_the_same_noise():
    x = np.full((4, 16, 16, 1), 128, np.uint8)
    mild, strong = (
        corrupt("gaussian_noise", x, severity=severity) / 255 - 128 / 255 for severity in (1, 3)
    )
    assert abs(mild / 0.04 - strong / 0.08).max() <= HALF / 0.04 + HALF / 0.08 + 1e-9


def test_draws_belong_to_the_image_and_the_seed(monkeypatch):
    x = natural(7, 8)
    whole = corrupt("gaussian_noise", x, severity=2, seed=5)
    monkeypatch.setattr(corruptions, "CHUNK", 3)
    np.testing.assert_array_equal(corrupt("gaussian_noise", x, severity=2, seed=5), whole)
    places = np.array([6, 1])
    part = corrupt("gaussian_noise", x[places], severity=2, seed=5, places=places)
    np.testing.assert_array_equal(part, whole[places])
    assert not np.array_equal(corrupt("gaussian_noise", x, severity=2, seed=6), whole)


@pytest.mark.parametrize("point", [(10, 10), (1, 18)], ids=["middle", "corner"])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_spreads_a_point_and_its_mirror_images(severity, point):
    """In one channel of three, by products of exp(-d^2 / 2 s^2); the sides are mirrors."""
    s = CORRUPTIONS["blur"].constants[severity - 1]
    x = np.zeros((1, 21, 20, 3), np.uint8)
    x[(0, *point, 1)] = 255
    weights = []
    for place, length in zip(point, (21, 20), strict=True):
        sources = (place, -1 - place, 2 * length - 1 - place)
        away = np.arange(length)[:, None] - np.array(sources)
        total = np.exp(-(np.arange(-50, 51) ** 2) / (2 * s**2)).sum()
        weights.append(np.exp(-(away**2) / (2 * s**2)).sum(1) / total)
    expected = np.zeros((21, 20, 3))
    expected[..., 1] = np.outer(*weights)
    blurred = corrupt("blur", x, severity=severity)[0] / 255
    # the filter ends at four deviations, beyond which lies less than 1e-4
    np.testing.assert_allclose(blurred, expected, atol=HALF + 1e-4)


@pytest.mark.parametrize("severity", SEVERITIES)
def test_blur_keeps_means_and_constants(severity):
    """The border is mirrored: what leaves an image comes back."""
    x = natural()
    blurred = corrupt("blur", x, severity=severity)
    np.testing.assert_allclose(blurred.mean((1, 2)), x.mean((1, 2)), atol=0.5)
    assert abs(blurred.mean() - x.mean()) < 5 / np.sqrt(12 * x.size)  # roundings cancel
    levels = np.arange(0, 256, 15, dtype=np.uint8)
    constant = np.broadcast_to(levels[:, None, None, None], (len(levels), 9, 9, 1))
    np.testing.assert_array_equal(corrupt("blur", constant, severity=severity), constant)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("severity", SEVERITIES)
def test_jpeg_of_a_gray_image_is_at_most_one_level_off(severity, channels):
    """A block's mean has steps of 16 (5000 / q) / 100 = 20 eighths of a level at quality 40."""
    levels = np.arange(256, dtype=np.uint8)
    gray = np.broadcast_to(levels[:, None, None, None], (256, 16, 16, channels))
    off = corrupt("jpeg", gray, severity=severity).astype(int) - gray
    assert abs(off).max() <= 1
    assert (off.reshape(256, -1) == off.reshape(256, -1)[:, :1]).all()


def test_jpeg_follows_its_image_and_not_its_neighbour():
    x = natural(4)
    stored = corrupt("jpeg", x, severity=1)
    for i in range(4):
        distances = [np.linalg.norm(stored[i].astype(float) - image) for image in x]
        assert np.argmin(distances) == i
    np.testing.assert_array_equal(corrupt("jpeg", x[2:3], severity=1)[0], stored[2])


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_bytes_and_floats_agree(name):
    x = natural(3, 16)
    np.testing.assert_array_equal(
        corrupt(name, x, severity=4), corrupt(name, x / np.float32(255), severity=4)
    )
    gray = corrupt(name, x[..., :1], severity=4)
    assert gray.shape == (3, 16, 16, 1)
    assert gray.dtype == np.uint8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "fog"}, "Unknown corruption 'fog'"),
        ({"severity": 0}, "`severity` must be an integer from 1 to 5. Received 0"),
        ({"severity": 6}, "`severity` must be an integer from 1 to 5"),
        ({"x": np.full((2, 8, 8, 1), 2.0)}, r"`x` must lie in \[0, 1\]"),
        ({"x": np.zeros((2, 8, 8))}, r"must have shape \(n, h, w, c\)"),
        ({"places": np.zeros(3)}, r"`places` \(n,\)"),
        ({"name": "jpeg", "x": np.zeros((2, 8, 8, 2))}, "JPEG needs images of 1 or 3 channels"),
    ],
)
def test_mistakes(options, message):
    options = {"name": "blur", "x": np.zeros((2, 8, 8, 1)), "severity": 1} | options
    with pytest.raises(InputError, match=message):
        corrupt(options.pop("name"), options.pop("x"), **options)
