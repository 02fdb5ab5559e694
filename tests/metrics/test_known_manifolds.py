"""A subspace and discs: projections against other code, distances that are known beforehand."""

import numpy as np
import pytest
from scipy import optimize

from pellucid.metrics.known_manifolds import (
    CALIBRATED,
    LONGEST,
    Discs,
    calibration,
    pca,
)
from pellucid.models.errors import InputError

SEEDS = pytest.mark.parametrize("seed", range(3))
DISCS = Discs()
ROUNDING = 2 * np.sqrt(np.prod(DISCS.size)) * 2.0**-25
"""How far pixels in [0, 1] that are rounded to float32 are moved at most, in paper units."""


@SEEDS
@pytest.mark.parametrize("kind", ["uint8", "float32"])
def test_pca_is_the_least_squares_fit_of_the_leading_directions(seed, kind):
    """The directions by an SVD of the images, mixed; the distance as the fit's residual."""
    rng = np.random.default_rng(seed)
    mixing = rng.normal(size=(24, 24)) * 0.9 ** np.arange(24)[:, None]
    images = 128 + 12 * rng.normal(size=(300, 24)) @ mixing
    x = np.clip(images, 0, 255).astype(np.uint8).reshape(300, 4, 3, 2)
    flat = x.reshape(300, -1) / 255.0
    if kind == "float32":
        x = x / np.float32(255)
    subspace, other = pca(x[:200], 5), rng.uniform(0, 1, (40, 4, 3, 2)).astype(np.float32)

    mean = flat[:200].mean(axis=0)
    leading = np.linalg.svd(flat[:200] - mean)[2][:5].T @ rng.normal(size=(5, 5))
    for images in (x[200:], other):
        pixels = (images / 255.0 if images.dtype == np.uint8 else images).reshape(len(images), -1)
        fit = np.linalg.lstsq(leading, (pixels - mean).T, rcond=None)[0]
        residual = (pixels - mean).T - leading @ fit
        np.testing.assert_allclose(
            subspace.distance(images), 2 * np.linalg.norm(residual, axis=0), rtol=1e-5
        )
    again = subspace.project(subspace.project(other))
    np.testing.assert_allclose(again, subspace.project(other), rtol=0, atol=1e-13)


def test_pca_leaves_what_the_smallest_variances_hold(monkeypatch):
    """The mean squared distance of its own images is four times the sum of the other variances."""
    monkeypatch.setattr("pellucid.metrics.known_manifolds.CHUNK", 7)
    x = np.random.default_rng(0).uniform(0, 1, (50, 2, 3, 2))
    values = np.linalg.svd((x - x.mean(axis=0)).reshape(50, -1), compute_uv=False)
    for dimensions in (1, 7, 12):
        expected = 4 * np.sum(values[dimensions:] ** 2) / 50
        found = np.mean(pca(x, dimensions).distance(x) ** 2)
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-25)
    for dimensions in (0, 13):
        with pytest.raises(InputError, match="must be 1 to 12 for 50 images of 12 pixels"):
            pca(x, dimensions)


def test_a_disc_by_hand():
    """Half way at the edge, bright in the middle, dark outside; rows come first."""
    picture = DISCS.render(np.array([[6.0, 9.0, 3.0]]))[0, :, :, 0]
    assert picture[6, 12] == picture[6, 6] == picture[9, 9] == pytest.approx(0.5)
    assert picture[6, 9] == pytest.approx(0.25 + 0.5 / (1 + np.exp(-3 / 0.75)))
    assert picture[6, 15] == pytest.approx(0.25 + 0.5 / (1 + np.exp(3 / 0.75)))
    assert picture.shape == (16, 16)


@SEEDS
def test_derivatives_are_those_of_the_pictures(seed):
    """Central differences of step h are off by h^2 / 6 times a third derivative.

    That of a sigmoid is at most 1 / 8 / edge^3 along the radius; curvature of the circle adds to it
    near the centre, from which these discs' edges and pixels keep away.
    """
    discs, h = Discs((14, 17)), 1e-4
    parameters = discs.parameters(5, seed)
    found = discs.jacobian(parameters)
    for k in range(3):
        step = h * np.eye(3)[k]
        change = discs.render(parameters + step) - discs.render(parameters - step)
        slope = change.reshape(5, -1) / (2 * h)
        np.testing.assert_allclose(found[:, :, k], slope, rtol=0, atol=h**2)
    centre = discs.jacobian(np.array([[6.0, 8.0, 3.0]]))[0].reshape(14, 17, 3)[6, 8]
    assert centre[:2].tolist() == [0, 0]


@SEEDS
def test_pictures_of_discs_have_distance_zero(seed):
    """After the grid's search at most sum_k L_k h_k / 2, refined zero but for rounding."""
    z = DISCS.parameters(100, seed)
    x, points = DISCS.render(z), 17
    longest = np.linalg.norm(DISCS.jacobian(np.concatenate([z, DISCS.grid()])), axis=1).max(axis=0)
    spacing = np.subtract(*DISCS.bounds[::-1]) / (points - 1)
    near = DISCS.render(DISCS.nearest(x, points=points, refinements=0))
    from_grid = 2 * np.linalg.norm((x - near).reshape(100, -1), axis=1)
    assert (from_grid <= 2 * (longest * spacing).sum() / 2).all()
    assert from_grid.mean() > 0.05
    np.testing.assert_allclose(DISCS.distance(x), 0, atol=1e-12)
    np.testing.assert_allclose(DISCS.nearest(x), z, rtol=0, atol=1e-10)


@SEEDS
@pytest.mark.parametrize("sigma", [0.0, 2.0])
@pytest.mark.parametrize("size", [(16, 16), (20, 28)])
def test_a_picture_moved_along_a_normal_is_as_far_away(seed, sigma, size):
    discs = Discs(size)
    z = discs.parameters(50, seed)
    normals = discs.normals(z, sigma=sigma, seed=seed).reshape(50, -1)
    np.testing.assert_allclose(np.linalg.norm(normals, axis=1), 1, rtol=1e-12)
    inside = np.einsum("npk,np->nk", discs.jacobian(z), normals)
    np.testing.assert_allclose(inside, 0, atol=1e-13)

    t = np.random.default_rng(seed).uniform(0, LONGEST, 50)
    x = discs.away(z, t, sigma=sigma, seed=seed)
    bound = 2 * np.sqrt(np.prod(size)) * 2.0**-25
    np.testing.assert_allclose(discs.distance(x), t, rtol=0, atol=bound)


def test_blurred_normals_are_smooth():
    z = DISCS.parameters(50, 0)
    rough, smooth = (DISCS.normals(z, sigma=s)[..., 0] for s in (0.0, 2.0))
    assert np.sum(np.diff(smooth, axis=1) ** 2) < 0.2 * np.sum(np.diff(rough, axis=1) ** 2)


@SEEDS
def test_the_nearest_disc_is_that_of_another_search(seed):
    """SciPy's bounded least squares from the centre and all corners, on images of anything."""
    rng, (low, high) = np.random.default_rng(seed), DISCS.bounds
    larger = DISCS.render(np.array([[7.0, 8.0, 4.6], [4.6, 8.0, 3.0]]))
    x = np.concatenate([larger, DISCS.render(DISCS.parameters(3, seed))])
    x = np.clip(x + rng.normal(0, 0.1, x.shape), 0, 1)
    corners = np.stack(np.meshgrid(*zip(low, high, strict=True)), axis=-1).reshape(-1, 3)
    starts = np.clip(0.5 * corners + 0.25 * (low + high), low, high)
    for image, found in zip(x, DISCS.distance(x), strict=True):
        searches = [
            optimize.least_squares(
                lambda z, image=image: (DISCS.render(z[None])[0] - image).ravel(),
                start,
                jac=lambda z: DISCS.jacobian(z[None])[0],
                bounds=(low, high),
                xtol=1e-12,
                ftol=1e-12,
            )
            for start in starts
        ]
        assert found == pytest.approx(2 * np.sqrt(2 * min(s.cost for s in searches)), rel=1e-6)


@SEEDS
def test_no_refinement_moves_away(seed):
    """From the corners of the parameters alone, on hard discs: there undamped steps overshoot."""
    x = (DISCS.render(DISCS.parameters(30, seed)) > 0.5).astype(float)
    before = np.inf
    for refinements in range(8):
        near = DISCS.render(DISCS.nearest(x, points=2, refinements=refinements))
        error = np.sum((x - near) ** 2, axis=(1, 2, 3))
        assert (error <= before).all()
        before = error


def test_images_do_not_depend_on_their_batch(monkeypatch):
    x = DISCS.away(DISCS.parameters(9, 0), np.full(9, 1.0))
    together = DISCS.distance(x)
    monkeypatch.setattr("pellucid.metrics.known_manifolds.CHUNK", 2)
    np.testing.assert_allclose(DISCS.distance(x), together, rtol=1e-12)


@pytest.mark.parametrize("sigma", [0.0, 2.0])
def test_calibration_of_estimators_that_are_known(sigma):
    """The truth in any units has 1, its negative -1, and what knows nothing of t about 0.

    The brightness knows the disc alone: within 4 standard errors 1 / sqrt(n - 1) of zero.
    """
    exact = calibration(lambda x: 3 * DISCS.distance(x) ** 2 + 1, DISCS, n=100, sigma=sigma)
    assert exact.value > 0.99999 > CALIBRATED
    assert exact.low > 0.99
    assert exact.n == 100
    assert calibration(lambda x: -DISCS.distance(x), DISCS, n=100, sigma=sigma).value < -0.99999
    blind = calibration(lambda x: x.mean(axis=(1, 2, 3)), DISCS, n=400, sigma=sigma)
    assert abs(blind.value) < 4 / np.sqrt(399)
    assert np.isnan(calibration(lambda x: np.ones(len(x)), DISCS, n=10).value)


def test_calibration_hands_out_images():
    seen = []

    def estimate(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return DISCS.distance(x)

    calibration(estimate, DISCS, n=20, seed=1)
    calibration(estimate, DISCS, n=20, seed=1)
    calibration(estimate, DISCS, n=20, seed=2)
    assert seen[0].dtype == np.float32
    assert seen[0].shape == (20, 16, 16, 1)
    np.testing.assert_array_equal(seen[0], seen[1])
    assert not np.array_equal(seen[0], seen[2])


def test_mistakes():
    with pytest.raises(InputError, match="must return 10 finite distances"):
        calibration(lambda x: x, DISCS, n=10)
    with pytest.raises(InputError, match=r"Images at 9 from the discs leave \[0, 1\]"):
        DISCS.away(DISCS.parameters(2, 0), np.array([1.0, 9.0]))
    with pytest.raises(InputError, match=r"must be pictures of \(16, 16, 1\)"):
        DISCS.distance(np.zeros((2, 8, 8, 1)))
    with pytest.raises(InputError, match="do not fit a canvas"):
        Discs((8, 8))
    with pytest.raises(InputError, match="an edge above 0"):
        Discs(edge=0)
