"""Images beside a manifold: planes, where every distance is known, and discs, nearly so."""

import numpy as np
import pytest

from pellucid.metrics import calibration
from pellucid.metrics.known_manifolds import Discs, Subspace
from pellucid.models.errors import InputError

SEEDS = pytest.mark.parametrize("seed", range(3))
SHAPE = (4, 5, 2)
PIXELS = 40
ROUNDING = 2 * np.sqrt(PIXELS) * 2.0**-25
"""How far pixels in [0, 1] that are rounded to float32 are moved at most, in paper units."""


def plane(seed: int, *, ground: float) -> Subspace:
    """Three dimensions of the first half of the pixels; the other half is the ground."""
    rng = np.random.default_rng(seed)
    basis = np.zeros((PIXELS, 3))
    basis[: PIXELS // 2], _ = np.linalg.qr(rng.normal(size=(PIXELS // 2, 3)))
    mean = np.where(np.arange(PIXELS) < PIXELS // 2, 0.5, ground)
    return Subspace(mean.reshape(SHAPE), basis)


def points(of: Subspace, n: int, seed: int) -> np.ndarray:
    inside = np.random.default_rng(seed).uniform(-0.4, 0.4, (n, 3)) @ of.basis.T
    return of.mean + inside.reshape(n, *SHAPE)


def residual(of: Subspace, x: np.ndarray) -> np.ndarray:
    """The distance from a plane as the residual of a least-squares fit, in paper units."""
    flat = (x - of.mean).reshape(len(x), -1).T.astype(np.float64)
    fit = np.linalg.lstsq(of.basis, flat, rcond=None)[0]
    return 2 * np.linalg.norm(flat - of.basis @ fit, axis=0)


@SEEDS
@pytest.mark.parametrize("sigma", [0.0, 1.0])
@pytest.mark.parametrize("ground", [0.5, 0.0, 1.0])
def test_distance_from_a_plane(seed, sigma, ground):
    """Within the box, also where half of the pixels can only move one way."""
    of, n = plane(seed, ground=ground), 60
    near, t = points(of, n, seed), calibration.lengths(n, 2.0, seed=seed)
    x, distance = calibration.away(near, [of.basis] * n, t, sigma=sigma, seed=seed)
    assert x.dtype == np.float32
    assert x.min() >= 0
    assert x.max() <= 1
    np.testing.assert_allclose(residual(of, x), distance, rtol=0, atol=ROUNDING)
    np.testing.assert_allclose(distance, t, rtol=1e-3, atol=ROUNDING)
    assert 0 < t.min() < 0.2 < 1.8 < t.max() < 2
    if ground != 0.5:
        moved = (x - near).reshape(n, -1)[:, PIXELS // 2 :]
        at_wall = np.isclose(moved, 0, atol=1e-7).mean()
        assert 0.1 < at_wall < 0.9, "the wall is met, and not by all"


@SEEDS
def test_outside_the_box_the_distance_is_that_asked_for(seed):
    """Points outside too, and tangent spaces of every rank up to nearly all pixels."""
    rng, n = np.random.default_rng(seed), 12
    t = calibration.lengths(n, 9.0, seed=seed)
    for rank in (0, 3, PIXELS - 1):
        basis, _ = np.linalg.qr(rng.normal(size=(PIXELS, PIXELS)))
        of = Subspace(rng.normal(size=SHAPE), basis[:, :rank])
        near = points(of, n, seed) if rank == 3 else np.repeat(of.mean[None], n, axis=0)
        x, distance = calibration.away(near, [of.basis] * n, t, seed=seed, within_box=False)
        assert x.min() < 0
        np.testing.assert_allclose(residual(of, x), distance, rtol=1e-6)
        np.testing.assert_allclose(distance, t, rtol=1e-5)


@SEEDS
@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_distance_from_a_curved_manifold(seed, sigma):
    """Discs' pictures: the nearest disc, found by search, is as far away."""
    discs = Discs()
    z = discs.parameters(40, seed)
    bases = [np.linalg.qr(matrix)[0] for matrix in discs.jacobian(z)]
    t = calibration.lengths(40, 1.5, seed=seed)
    x, distance = calibration.away(discs.render(z), bases, t, sigma=sigma, seed=seed)
    bound = 2 * np.sqrt(256) * 2.0**-25
    np.testing.assert_allclose(discs.distance(x), distance, rtol=0, atol=bound)
    np.testing.assert_allclose(distance, t, rtol=0, atol=bound)


def test_what_the_box_takes_does_not_count():
    """At the corner of the box, with the tangent along (1, 1) and the normal along (1, -1).

    A change along the normal is clipped to one along an axis, half of whose square is tangent: t
    is t / sqrt(2).
    """
    corner = np.zeros((8, 1, 2, 1))
    basis = np.full((2, 1), np.sqrt(0.5))
    x, distance = calibration.away(corner, [basis] * 8, np.full(8, 0.5))
    flat = np.sort(x.reshape(8, 2), axis=1)
    np.testing.assert_allclose(flat, [[0, 0.25]] * 8, atol=1e-7)
    np.testing.assert_allclose(distance, 0.5 / np.sqrt(2), atol=1e-7)


def test_no_distance_leaves_the_points():
    of = plane(0, ground=0.0)
    near = points(of, 5, 0)
    x, distance = calibration.away(near, [of.basis] * 5, np.zeros(5))
    np.testing.assert_array_equal(x, near.astype(np.float32))
    assert (distance <= ROUNDING).all()


def test_an_image_s_direction_is_its_place_s():
    of, t = plane(1, ground=0.0), np.linspace(0.2, 1.5, 7)
    near = points(of, 7, 1)
    whole, _ = calibration.away(near, [of.basis] * 7, t, sigma=1.0, seed=5)
    part, _ = calibration.away(
        near[3:6], [of.basis] * 3, t[3:6], sigma=1.0, seed=5, places=np.arange(3, 6)
    )
    np.testing.assert_array_equal(part, whole[3:6])
    other, _ = calibration.away(near, [of.basis] * 7, t, sigma=1.0, seed=6)
    assert not np.allclose(other, whole)


def test_blurred_directions_are_smooth_and_channels_their_own():
    rough, smooth = (calibration.noise((16, 16, 2), np.arange(50), sigma=s) for s in (0.0, 2.0))
    for noise in (rough, smooth):
        channels = noise.reshape(-1, 2)
        assert abs(np.corrcoef(channels.T)[0, 1]) < 0.1
    steps, squares = (np.sum(np.diff(v, axis=1) ** 2) / np.sum(v**2) for v in (smooth, rough))
    assert steps < 0.3 * squares


@SEEDS
def test_rank_correlation_of_estimators_that_are_known(seed):
    """The truth in other units has 1, and what knows only the point about 0.

    Within 4 standard errors 1 / sqrt(n - 1).
    """
    of, n = plane(seed, ground=0.5), 300
    near, t = points(of, n, seed), calibration.lengths(n, 2.0, seed=seed + 50)
    x, distance = calibration.away(near, [of.basis] * n, t, seed=seed)
    right = calibration.rank_correlation(3 * of.distance(x) ** 2 + 1, distance)
    assert right.value > 0.9999
    assert right.n == n
    inside = (x - of.mean).reshape(n, -1) @ of.basis[:, 0]
    blind = calibration.rank_correlation(inside, distance)
    assert abs(blind.value) < 4 / np.sqrt(n - 1)
    assert np.isnan(calibration.rank_correlation(np.ones(n), distance).value)


def test_mistakes():
    of = plane(0, ground=0.5)
    near = points(of, 3, 0)
    with pytest.raises(InputError, match="must be 3 distances of 0 or more"):
        calibration.away(near, [of.basis] * 3, np.ones(2))
    with pytest.raises(InputError, match="must be 3 distances of 0 or more"):
        calibration.away(near, [of.basis] * 3, np.array([1.0, -1.0, 0.0]))
    with pytest.raises(InputError, match=r"must lie in \[0, 1\]"):
        calibration.away(near + 1, [of.basis] * 3, np.ones(3))
    with pytest.raises(InputError, match="one basis for each of the 3 points"):
        calibration.away(near, [of.basis] * 2, np.ones(3))
