"""Spectrum-matched nulls, power spectra and blurs, against closed forms and other code."""

import numpy as np
import pytest
from scipy import ndimage, optimize, special

from pellucid.metrics import spectrum
from pellucid.metrics.known_manifolds import Subspace
from pellucid.models.errors import InputError

SHAPE = (8, 9, 2)
SEEDS = pytest.mark.parametrize("seed", range(3))


def pink(rng: np.random.Generator, n: int, shape: tuple[int, int, int] = SHAPE) -> np.ndarray:
    """Periodic Gaussian noise of low frequencies, with channels that are correlated."""
    h, w, c = shape
    radius = np.hypot(*np.meshgrid(np.fft.fftfreq(h), np.fft.fftfreq(w), indexing="ij"))
    white = rng.normal(size=(n, h, w, c)) @ rng.normal(size=(c, c))
    transform = np.fft.fft2(white, axes=(1, 2)) * np.exp(-8 * radius)[..., None]
    return np.fft.ifft2(transform, axes=(1, 2)).real


def norms(change: np.ndarray) -> np.ndarray:
    return np.linalg.norm(change.reshape(len(change), -1), axis=1)


@SEEDS
def test_a_change_has_its_norm_after_clipping(seed):
    """Against a root finder, on images of which many pixels meet a wall of the box.

    Pixels rounded to float32 are each off by at most 2^-25, a norm of d pixels by sqrt(d) 2^-25.
    """
    rng = np.random.default_rng(seed)
    x = rng.integers(0, 5, (6, *SHAPE)).astype(np.float32) / 4
    direction = rng.normal(size=x.shape) * 10.0 ** rng.integers(-30, 30, (6, 1, 1, 1))
    direction[rng.random(x.shape) < 0.2] = 0
    norm = rng.uniform(0.1, 3, 6)
    found = spectrum.with_norm(x, direction, norm)
    bound = np.sqrt(x[0].size) * 2.0**-25
    np.testing.assert_allclose(norms(found - x.astype(np.float64)), norm, rtol=0, atol=bound)
    for image in range(6):
        unit = direction[image] / np.abs(direction[image]).max()
        clipped = lambda t, i=image, u=unit: np.clip(x[i] + t * u, 0, 1)  # noqa: E731
        short = lambda t, i=image, f=clipped: np.linalg.norm(f(t) - x[i]) - norm[i]  # noqa: E731
        t = optimize.brentq(short, 0, 1e3, xtol=1e-13)
        np.testing.assert_allclose(found[image], clipped(t), rtol=0, atol=2.0**-24)
    assert (np.isin(found, [0, 1]) & (x > 0) & (x < 1)).any()


def test_a_norm_that_the_box_does_not_hold():
    """Every pixel that moves ends at its wall; a direction of zeros moves none."""
    x = np.full((3, 1, 2, 1), 0.25, np.float32)
    direction = np.array([[3.0, -1e-9], [0.0, 2.0], [0.0, 0.0]]).reshape(x.shape)
    found = spectrum.with_norm(x, direction, np.full(3, 9.0))
    np.testing.assert_array_equal(found.reshape(3, 2), [[1, 0], [0.25, 1], [0.25, 0.25]])
    np.testing.assert_array_equal(spectrum.with_norm(x, direction, np.zeros(3)), x)


@pytest.mark.parametrize("n", [2, 3, 50])
def test_derangement_leaves_none_in_its_place(n):
    for seed in range(20):
        found = spectrum.derangement(n, seed)
        assert sorted(found) == list(range(n))
        assert (found != np.arange(n)).all()


def test_every_other_image_is_as_likely():
    """3 of 4 places, each in a third of 3,000 permutations, within 5 standard deviations."""
    first = np.bincount([spectrum.derangement(4, seed)[0] for seed in range(3000)], minlength=4)
    assert first[0] == 0
    assert np.abs(first[1:] - 1000).max() < 5 * np.sqrt(3000 * 2 / 9)
    with pytest.raises(InputError, match="needs 2 or more images"):
        spectrum.derangement(1, 0)


@SEEDS
def test_random_phases_keep_power_and_channels(seed):
    """Power and the cross spectrum of the channels are those of the change; the change is not."""
    change = pink(np.random.default_rng(seed), 5)
    found = spectrum.random_phases(change, seed=seed)
    before, after = (np.fft.fft2(v, axes=(1, 2)) for v in (change, found))
    scale = np.abs(before).max()
    np.testing.assert_allclose(np.abs(after), np.abs(before), rtol=0, atol=1e-13 * scale)
    cross = [v[..., 0] * v[..., 1].conj() for v in (before, after)]
    np.testing.assert_allclose(cross[1], cross[0], rtol=0, atol=1e-13 * scale**2)
    assert (norms(found - change) > 0.3 * norms(change)).all()


def test_random_phases_forget_the_change():
    """The cosine with the change has mean zero over places: within 4 standard errors."""
    change = np.repeat(pink(np.random.default_rng(5), 1), 2000, axis=0)
    found = spectrum.random_phases(change)
    cosine = np.sum(found * change, axis=(1, 2, 3)) / norms(change) ** 2
    assert abs(cosine.mean()) < 4 * cosine.std() / np.sqrt(2000)


def test_phases_belong_to_an_images_place(monkeypatch):
    change = pink(np.random.default_rng(6), 7)
    whole = spectrum.random_phases(change, seed=3)
    monkeypatch.setattr(spectrum, "CHUNK", 2)
    np.testing.assert_array_equal(spectrum.random_phases(change, seed=3), whole)
    part = spectrum.random_phases(change[4:6], seed=3, places=np.array([4, 5]))
    np.testing.assert_array_equal(part, whole[4:6])
    assert not np.allclose(spectrum.random_phases(change, seed=4), whole)
    with pytest.raises(InputError, match=r"`places` must be 7 integers"):
        spectrum.random_phases(change, places=np.arange(3))


def smooth_plane() -> Subspace:
    """All images of the lowest frequencies: what has low frequencies lies near it."""
    rows, columns = np.indices(SHAPE[:2])
    waves = [
        np.cos(np.pi * k * (rows + 0.5) / SHAPE[0]) * np.cos(np.pi * j * (columns + 0.5) / SHAPE[1])
        for k in range(3)
        for j in range(3)
    ]
    spread = np.stack([np.kron(w[..., None], np.eye(2)[i]) for w in waves for i in range(2)])
    orthonormal, _ = np.linalg.qr(spread.reshape(18, -1).T)
    return Subspace(np.full(SHAPE, 0.5), orthonormal)


@SEEDS
@pytest.mark.parametrize("null", [spectrum.permuted_null, spectrum.phases_null])
def test_a_change_that_does_not_know_the_image_has_no_excess(null, seed):
    """Within 4 standard errors of zero, where white noise is more than 10 away.

    Changes are independent of images, all of one norm and far from the box's walls. Neighbours
    in the permutation share a change with opposite signs, so the sum's variance is at most the sum
    of the variances and the standard error is no smaller than it should be.
    """
    rng, plane, n = np.random.default_rng(seed), smooth_plane(), 500
    x = 0.5 + 0.01 * rng.normal(size=(n, *SHAPE))
    white = rng.normal(size=x.shape)
    change = pink(rng, n)
    x_adv, white = (x + 0.4 * (v.T / norms(v)).T for v in (change, white))
    excess = plane.distance(x_adv) - plane.distance(null(x, x_adv, seed=seed))
    error = excess.std() / np.sqrt(n)
    assert abs(excess.mean()) < 4 * error
    assert (plane.distance(white) - plane.distance(x_adv)).mean() > 10 * error


@pytest.mark.parametrize("null", [spectrum.permuted_null, spectrum.phases_null])
def test_a_change_that_knows_the_image_has_an_excess(null):
    """Images are moved towards the plane, by low frequencies too: the nulls do not get there."""
    rng, plane = np.random.default_rng(8), smooth_plane()
    x = 0.5 + 0.05 * pink(rng, 200)
    x_adv = x + 0.9 * (plane.project(x) - x)
    found = null(x, x_adv)
    np.testing.assert_allclose(norms(found - x), norms(x_adv - x), rtol=1e-5)
    excess = plane.distance(x_adv) - plane.distance(found)
    assert excess.mean() < -10 * excess.std() / np.sqrt(200)


def test_images_without_a_change_have_none_in_the_null():
    rng = np.random.default_rng(9)
    x = rng.uniform(0, 1, (6, *SHAPE)).astype(np.float32)
    x_adv = np.clip(x + 0.1 * rng.normal(size=x.shape), 0, 1).astype(np.float32)
    x_adv[[1, 4]] = x[[1, 4]]
    for null in (spectrum.permuted_null, spectrum.phases_null):
        found = null(x, x_adv)
        np.testing.assert_array_equal(found[[1, 4]], x[[1, 4]])
        np.testing.assert_allclose(norms(found - x), norms(x_adv - x), rtol=1e-5)
        with pytest.raises(InputError, match="images of one shape"):
            null(x, x_adv[:3])
    as_bytes = np.rint(255 * x).astype(np.uint8)
    assert np.array_equal(
        spectrum.phases_null(as_bytes, x_adv),
        spectrum.phases_null(as_bytes / np.float32(255), x_adv),
    )


@pytest.mark.parametrize("size", [(8, 8), (7, 12), (28, 28)])
def test_radial_power_sums_to_the_mean_square(size):
    maps = np.random.default_rng(0).normal(1, 1, (3, *size))
    counts = np.bincount(
        [
            round(np.hypot(a, b) * min(size))
            for a in np.fft.fftfreq(size[0])
            for b in np.fft.fftfreq(size[1])
        ]
    )
    power = spectrum.radial_power(maps)
    np.testing.assert_allclose(power @ counts, np.mean(maps**2, axis=(1, 2)), rtol=1e-12)
    np.testing.assert_allclose(power[:, 0], np.mean(maps, axis=(1, 2)) ** 2, rtol=1e-12)


def test_a_wave_is_in_the_bin_of_its_frequency():
    """a cos over (3, 4) of 16 cycles: power a^2 / 2, shared by the frequencies of radius 5."""
    rows, columns = np.indices((16, 16))
    wave = 3 * np.cos(2 * np.pi * (3 * rows + 4 * columns) / 16)[None]
    radius = np.hypot(*np.meshgrid(*[np.fft.fftfreq(16, 1 / 16)] * 2))
    expected = np.zeros(12)
    expected[5] = 4.5 / np.sum(np.rint(radius) == 5)
    np.testing.assert_allclose(spectrum.radial_power(wave)[0], expected, atol=1e-14)


def test_radial_power_of_white_noise_is_flat():
    """1 / pixels in every bin; a bin's mean over maps is off by at most 5 standard errors.

    Powers are exponential, and a frequency and its negative are one, so the error of a bin's mean
    over n maps is at most sqrt(2 / (n count)) of it.
    """
    power = spectrum.radial_power(np.random.default_rng(1).normal(size=(4000, 8, 8))).mean(axis=0)
    counts = np.bincount(
        np.rint(np.hypot(*np.meshgrid(*[np.fft.fftfreq(8, 1 / 8)] * 2))).astype(int).ravel()
    )
    assert (np.abs(64 * power - 1) < 5 * np.sqrt(2 / (4000 * counts))).all()


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_blur_is_a_convolution_with_the_lattice_gaussian(sigma):
    """exp(-s^2) I_k(s^2), mirrored at the outer edges; a kernel of 30 pixels leaves out 1e-20."""
    maps = np.random.default_rng(2).uniform(0, 1, (3, 9, 14))
    kernel = special.ive(np.abs(np.arange(-30, 31)), sigma**2)
    expected = maps
    for axis in (1, 2):
        expected = ndimage.convolve1d(expected, kernel, axis=axis, mode="reflect")
    found = spectrum.blur(maps, sigma)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    np.testing.assert_allclose(found.sum(axis=(1, 2)), maps.sum(axis=(1, 2)), rtol=1e-13)
    rows, columns = spectrum.blur_matrix(9, sigma), spectrum.blur_matrix(14, sigma)
    np.testing.assert_allclose(rows @ maps @ columns.T, found, rtol=0, atol=1e-14)
    again = spectrum.blur(spectrum.blur(maps, 0.6 * sigma), 0.8 * sigma)
    np.testing.assert_allclose(again, found, rtol=0, atol=1e-14)


def test_no_blur_changes_nothing():
    maps = np.random.default_rng(3).normal(size=(2, 5, 5))
    np.testing.assert_array_equal(spectrum.blur(maps, 0.0), maps)
    with pytest.raises(InputError, match="must be 0 or more"):
        spectrum.blur(maps, -1.0)
    with pytest.raises(InputError, match=r"shape \(n, h, w\)"):
        spectrum.blur(maps[0], 1.0)


@pytest.mark.parametrize("sigma", [0.2, 0.7, 1.5, 3.0])
def test_a_known_blur_is_recovered(sigma):
    """From the target's power alone; a factor and a constant on either side do not count."""
    maps = np.abs(np.random.default_rng(4).standard_t(4, (20, 16, 16)))
    target = spectrum.radial_power(7 * spectrum.blur(maps, sigma) + 2)
    found = spectrum.matching_blur(0.1 * maps + 5, target)
    assert found == pytest.approx(sigma, abs=spectrum.TOLERANCE)


@SEEDS
def test_nothing_is_blurred_for_a_rougher_target(seed):
    rough = np.random.default_rng(seed).exponential(size=(20, 12, 12))
    smooth = spectrum.blur(rough, 1.0)
    assert spectrum.matching_blur(smooth, spectrum.radial_power(rough)) == 0
    assert spectrum.matching_blur(rough, spectrum.radial_power(rough)) == 0
    assert spectrum.matching_blur(rough, spectrum.radial_power(smooth)) > 0.9


@SEEDS
def test_no_other_blur_is_nearer(seed):
    """A target that is no blur of the maps: the distance is smallest among 300 widths."""
    rng = np.random.default_rng(seed)
    maps = rng.exponential(size=(10, 12, 12))
    target = spectrum.radial_power(pink(rng, 10, (12, 12, 1))[..., 0])
    found = spectrum.matching_blur(maps, target)

    def distance(sigma: float) -> float:
        return spectrum.spectral_distance(spectrum.blur(maps, sigma), target)

    widths = np.linspace(0, 12, 301)
    nearest = widths[np.argmin([distance(sigma) for sigma in widths])]
    assert distance(found) <= distance(nearest)
    assert 0 < found == pytest.approx(nearest, abs=widths[1])


def test_maps_without_a_spectrum():
    maps = np.random.default_rng(0).exponential(size=(4, 8, 8))
    flat = np.ones((2, 8, 8))
    target = spectrum.radial_power(spectrum.blur(maps, 1.0))
    together = spectrum.matching_blur(np.concatenate([maps, flat]), target)
    assert together == spectrum.matching_blur(maps, target)
    with pytest.raises(InputError, match="must vary"):
        spectrum.matching_blur(flat, target)
    with pytest.raises(InputError, match=r"must have 7 bins .* Received shape \(4, 12\)"):
        spectrum.matching_blur(maps, spectrum.radial_power(np.ones((4, 16, 16))))
