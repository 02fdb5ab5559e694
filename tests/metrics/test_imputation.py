"""Imputation against sparse float64 solutions and closed forms; the statistics of its noise."""

import threading

import numpy as np
import pytest
import scipy.sparse
import scipy.sparse.linalg
from scipy import ndimage, stats
from threadpoolctl import threadpool_limits

from pellucid.metrics import imputation
from pellucid.metrics.imputation import ERROR, WORST, impute
from pellucid.models.errors import InputError

KERNEL = np.array([[1, 2, 1], [2, 0, 2], [1, 2, 1]]) / 12


def laplacian(h: int, w: int) -> scipy.sparse.csr_matrix:
    """sum_j w_ij (u_i - u_j) for all pixels: column i is what a unit at pixel i does to others."""
    units = np.eye(h * w).reshape(-1, h, w)
    around = ndimage.convolve(units, KERNEL[None], mode="constant").reshape(h * w, -1)
    return scipy.sparse.csr_matrix(np.diag(around.sum(1)) - around)


def exact(x: np.ndarray, removed: np.ndarray) -> np.ndarray:
    """The solution for images `(n, h, w, c)` in [0, 1], one sparse float64 solve an image."""
    n, h, w, c = x.shape
    matrix, out = laplacian(h, w), x.astype(float).reshape(n, h * w, c)
    for values, missing in zip(out, removed.reshape(n, -1), strict=True):
        if missing.any():
            rows = matrix[missing]
            right = -rows[:, ~missing] @ values[~missing]
            solved = scipy.sparse.linalg.spsolve(rows[:, missing].tocsc(), right)
            values[missing] = solved.reshape(-1, c)
    return out.reshape(x.shape)


def importance(shape: str, h: int, w: int, rng: np.random.Generator) -> np.ndarray:
    """What a mask of that shape removes first."""
    y, x = np.mgrid[:h, :w]
    to_edge = np.minimum(np.minimum(y, h - 1 - y) / h, np.minimum(x, w - 1 - x) / w)
    return {
        "random": rng.random((h, w)),
        "all but the border": to_edge,
        "border": -to_edge,
        "all but a corner": np.hypot(y, x),
        "all but a side": y + 0.0 * x,
        "smooth": ndimage.gaussian_filter(rng.normal(size=(h, w)), 3, mode="wrap"),
        "rough": ndimage.gaussian_filter(rng.normal(size=(h, w)), 1, mode="wrap"),
    }[shape]


SHAPES = (
    "random",
    "all but the border",
    "border",
    "all but a corner",
    "all but a side",
    "smooth",
    "rough",
)


def masks(h: int, w: int, fractions: tuple[float, ...], seed: int) -> np.ndarray:
    rng, out = np.random.default_rng(seed), []
    for shape in SHAPES:
        for fraction in fractions:
            ranks = np.argsort(np.argsort(-importance(shape, h, w, rng), axis=None))
            out.append((ranks < round(fraction * h * w)).reshape(h, w))
    return np.array(out)


def images(kind: str, n: int, h: int, w: int, c: int, seed: int) -> np.ndarray:
    """White noise, black and white pixels, or smooth images: their errors differ in frequency."""
    noise = np.random.default_rng(seed).random((n, h, w, c))
    if kind == "noise":
        return noise.astype(np.float32)
    if kind == "black and white":
        return (noise > 0.5).astype(np.float32)
    smooth = ndimage.gaussian_filter(noise, (0, 4, 4, 0), mode="wrap")
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


@pytest.mark.parametrize("kind", ["noise", "black and white", "smooth"])
@pytest.mark.parametrize(
    ("h", "w", "c"), [(32, 32, 3), (28, 28, 1), (8, 8, 1), (7, 12, 2), (28, 14, 1)]
)
def test_agrees_with_a_sparse_solution(h, w, c, kind):
    removed = masks(h, w, (0.1, 0.5, 0.9), seed=h)
    x = images(kind, len(removed), h, w, c, seed=w)
    found = impute(x, removed, noise=0)
    assert found.dtype == np.float32
    assert np.abs(found - exact(x, removed)).max() <= ERROR
    np.testing.assert_array_equal(found[~removed], x[~removed])


@pytest.mark.parametrize(
    ("h", "w"), [(32, 32), (28, 28), (33, 17), (5, 20), (3, 3), (2, 2), (1, 2), (1, 9)]
)
def test_few_pixels_left(h, w):
    """The hardest masks: one pixel left, so the image is constant, or two in opposite corners."""
    one, two = np.ones((2, h, w), bool)
    one[0, 0] = two[0, 0] = two[-1, -1] = False
    removed = np.stack([one, one[::-1], one[:, ::-1], two])
    x = images("black and white", 4, h, w, 2, seed=1)
    x[3, 0, 0], x[3, -1, -1] = 0, 1
    found = impute(x, removed, noise=0)
    assert np.abs(found - exact(x, removed)).max() <= ERROR
    np.testing.assert_allclose(found[0], np.broadcast_to(x[0, 0, 0], (h, w, 2)), atol=ERROR)


@pytest.mark.parametrize(("h", "w"), [(1, 60), (60, 1), (2, 50), (40, 3)])
def test_strips(h, w):
    """Where an error can be larger for the same residual; three pixels are left."""
    rng = np.random.default_rng(h)
    removed = np.ones((40, h, w), bool)
    for mask in removed.reshape(40, -1):
        mask[rng.choice(h * w, 3, replace=False)] = False
    x = images("black and white", 40, h, w, 1, seed=2)
    assert np.abs(impute(x, removed, noise=0) - exact(x, removed)).max() <= ERROR


def preconditioner(removed: np.ndarray) -> np.ndarray:
    """The matrix M of a mask, column by column, as the solver applies it."""
    pixels = np.flatnonzero(removed)
    solver = imputation._Solver(*removed.shape, len(pixels))
    missing, units, out = np.zeros((3, solver.pixels, len(pixels)), np.float32)
    solver.image(missing)[:] = removed[..., None]
    solver.image(units)[(*np.unravel_index(pixels, removed.shape), np.arange(len(pixels)))] = 1
    solver.weights(missing)
    solver.precondition(units, missing, out)
    return solver.image(out)[removed].astype(float)


def largest_ratio(removed: np.ndarray) -> float:
    """K, the largest error in units of sqrt(r' M r), over all residuals r."""
    missing = removed.ravel()
    inverse = np.linalg.inv(laplacian(*removed.shape)[missing][:, missing].toarray())
    m = preconditioner(removed)
    np.testing.assert_allclose(m, m.T, atol=1e-5)
    return float(np.sqrt(np.diag(inverse @ np.linalg.solve(m, inverse)).max()))


def test_the_bound_on_the_error_holds_for_every_residual():
    """K is largest where a corner pixel is all that is left, and it stays below `WORST`."""
    corner, strip = np.ones((12, 12), bool), np.ones((3, 18), bool)
    corner[0, 0] = strip[0, 0] = False
    with threadpool_limits(1):
        most = largest_ratio(corner)
        assert most == pytest.approx(5.82, abs=0.01)
        for removed in masks(12, 12, (0.1, 0.5, 0.9, 0.98), seed=3):
            assert largest_ratio(removed) < most < WORST
        assert WORST < largest_ratio(strip) < WORST * 3**2


def test_few_steps_whatever_the_mask():
    removed = masks(32, 32, (0.1, 0.5, 0.9), seed=5).transpose(1, 2, 0)
    x = images("noise", removed.shape[-1], 32, 32, 1, seed=6)[..., 0].transpose(1, 2, 0)
    solver = imputation._Solver(32, 32, removed.shape[-1])
    u, missing = np.zeros((2, solver.pixels, removed.shape[-1]), np.float32)
    solver.image(u)[:], solver.image(missing)[:] = x, removed
    assert solver.solve(u, missing) <= 20


def test_gives_up_when_steps_do_not_end(monkeypatch):
    monkeypatch.setattr(imputation, "MOST_STEPS", 3)
    with pytest.raises(ArithmeticError, match="does not converge"):
        impute(images("noise", 1, 12, 12, 1, seed=0), random_mask(12, 12, 0))


# In closed form


def ramp(h: int, w: int, along_y: float, along_x: float) -> np.ndarray:
    y, x = np.mgrid[:h, :w]
    return (0.1 + along_y * y + along_x * x).astype(np.float32)[None, :, :, None]


def random_mask(h: int, w: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).random((1, h, w)) < 0.6


@pytest.mark.parametrize("seed", range(5))
def test_ramps_are_restored_inside_the_border(seed):
    removed = random_mask(12, 15, seed)
    removed[:, [0, -1]] = removed[:, :, [0, -1]] = False
    x = ramp(12, 15, 0.03, 0.02)
    np.testing.assert_allclose(impute(x, removed, noise=0), x, atol=ERROR)


@pytest.mark.parametrize("seed", range(5))
def test_ramps_along_the_border_are_restored_there_too(seed):
    removed = random_mask(12, 15, seed)
    along_x, along_y = removed.copy(), removed.copy()
    along_x[:, :, [0, -1]] = along_y[:, [0, -1]] = False
    assert along_x[:, 0].any()
    for slopes, mask in (((0, 0.05), along_x), ((0.05, 0), along_y), ((0, 0), removed)):
        x = ramp(12, 15, *slopes)
        np.testing.assert_allclose(impute(x, mask, noise=0), x, atol=ERROR)


def test_lone_pixels_by_hand():
    """In the border's middle the ramp half a row further in, in a corner .6 rows and columns."""
    x, removed = ramp(8, 8, 0.04, 0.07), np.zeros((4, 8, 8), bool)
    places = [(3, 3), (0, 4), (5, 7), (7, 0)]
    inwards = [(0, 0), (0.5, 0), (0, -0.5), (-0.6, 0.6)]
    for mask, place in zip(removed, places, strict=True):
        mask[place] = True
    found = impute(np.repeat(x, 4, axis=0), removed, noise=0)
    for image, place, (down, right) in zip(found, places, inwards, strict=True):
        expected = x[0, *place, 0] + 0.04 * down + 0.07 * right
        assert image[*place, 0] == pytest.approx(expected, abs=ERROR)


def test_between_the_known_pixels():
    """A mean of known values: never below the least nor above the greatest of them."""
    removed = masks(16, 16, (0.5, 0.9), seed=1)
    x = 0.3 + 0.2 * images("black and white", len(removed), 16, 16, 1, seed=2)
    found = impute(x, removed, noise=0)
    assert found.min() >= 0.3 - ERROR
    assert found.max() <= 0.5 + ERROR


# Noise


def residual(noise: float, **options: int) -> np.ndarray:
    """The noise on 60 grey images with a mask each, where none is clipped."""
    removed = np.concatenate([random_mask(16, 16, seed) for seed in range(60)])
    x = np.full((60, 16, 16, 3), 0.5, np.float32)
    found = impute(x, removed, noise=noise, **options)
    np.testing.assert_array_equal(found[~removed], x[~removed])
    return found[removed] - 0.5


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_normal_with_the_given_deviation(seed):
    """Of n draws: the mean within 4 / sqrt(n), the variance within 4 sqrt(2 / n), and the shape."""
    z = residual(0.02, seed=seed).ravel() / 0.02
    assert abs(z.mean()) < 4 / np.sqrt(z.size)
    assert abs(z.var() - 1) < 4 * np.sqrt(2 / z.size)
    assert stats.kstest(z, "norm").pvalue > 1e-3


def test_noise_of_pixels_channels_and_images_is_independent():
    """Correlations of n pairs stay within 4 / sqrt(n)."""
    x, removed = np.full((40, 16, 16, 3), 0.5, np.float32), np.ones((40, 16, 16), bool)
    removed[:, 0, 0] = False
    z = (impute(x, removed, noise=0.02) - 0.5)[:, 1:] / 0.02
    pairs = [
        (z[1:], z[:-1]),
        (z[:, 1:], z[:, :-1]),
        (z[:, :, 1:], z[:, :, :-1]),
        (z[..., 1:], z[..., :-1]),
        (z[:, :8], z[:, 7:]),
    ]
    for first, second in pairs:
        products = first * second
        assert abs(products.mean()) < 4 / np.sqrt(products.size)
    assert len(np.unique(z)) > 0.9 * z.size


def test_noise_depends_on_seed_and_place_alone():
    np.testing.assert_array_equal(residual(0.02, seed=4), residual(0.02, seed=4))
    for other in ({"seed": 5}, {"seed": 4, "offset": 1}):
        assert np.abs(residual(0.02, seed=4) - residual(0.02, **other)).mean() > 0.01

    x = np.full((1, 9, 9, 1), 0.5, np.float32)
    less, more = (np.ones((1, 9, 9), bool) for _ in range(2))
    more[0, 0], less[0, :5] = False, False
    np.testing.assert_allclose(
        impute(x, more, noise=0.05)[less], impute(x, less, noise=0.05)[less], atol=1e-6
    )


def test_noise_is_clipped_at_black_and_white():
    removed = np.concatenate([random_mask(16, 16, seed) for seed in range(40)])
    x = np.zeros((40, 16, 16, 1), np.float32)
    x[20:] = 1
    found = impute(x, removed, noise=0.1)
    assert found.min() == 0
    assert found.max() == 1
    away = np.abs(found - x)[removed]
    # The mean of max(0, N(0, 1)) is 1 / sqrt(2 pi), its standard deviation .58.
    assert away.mean() == pytest.approx(0.1 / np.sqrt(2 * np.pi), abs=4 * 0.058 / away.size**0.5)


# Arrays


@pytest.mark.parametrize("block", [1, 3000, 200_000])
@pytest.mark.parametrize("c", [1, 3])
def test_does_not_depend_on_the_batch(monkeypatch, block, c):
    removed = masks(10, 9, (0.2, 0.6, 0.9), seed=8)
    x = images("noise", len(removed), 10, 9, c, seed=9)
    together = impute(x, removed, seed=3, offset=7)
    monkeypatch.setattr(imputation, "BLOCK", block)
    monkeypatch.setattr(imputation, "COLUMNS", 1)
    parts = [
        impute(x[part], removed[part], seed=3, offset=7 + part.start)
        for part in (slice(0, 1), slice(1, 9), slice(9, len(x)))
    ]
    assert np.concatenate(parts).tobytes() == together.tobytes()


def test_bytes_in_and_out():
    removed = masks(14, 13, (0.3, 0.8), seed=2)
    x = np.random.default_rng(3).integers(0, 256, (len(removed), 14, 13, 3)).astype(np.uint8)
    before = x.copy(), removed.copy()
    floats = impute(x, removed, seed=1)
    np.testing.assert_array_equal(floats[~removed], (x / np.float32(255))[~removed])
    np.testing.assert_array_equal(floats, impute(x / np.float32(255), removed, seed=1))
    rounded = impute(x, removed, seed=1, dtype=np.uint8)
    assert rounded.dtype == np.uint8
    np.testing.assert_array_equal(rounded, np.rint(floats * np.float32(255)))
    np.testing.assert_array_equal(rounded[~removed], x[~removed])
    np.testing.assert_array_equal(x, before[0])
    np.testing.assert_array_equal(removed, before[1])


def test_nothing_removed():
    x = images("noise", 3, 6, 6, 2, seed=1)
    np.testing.assert_array_equal(impute(x, np.zeros((3, 6, 6), bool)), x)


def test_threads_do_not_meet():
    removed = masks(16, 16, (0.3, 0.8), seed=2)
    x = images("noise", len(removed), 16, 16, 3, seed=4)
    alone, found = [impute(x, removed, seed=seed) for seed in range(4)], {}
    threads = [
        threading.Thread(target=lambda s=seed: found.update({s: impute(x, removed, seed=s)}))
        for seed in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for seed, expected in enumerate(alone):
        np.testing.assert_array_equal(found[seed], expected)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"removed": np.ones((2, 4, 4), bool)}, "All are in 2 of 2, first at index 0"),
        ({"removed": np.zeros((2, 4, 5), bool)}, r"shape \(2, 4, 4\), one for each pixel"),
        ({"removed": np.zeros((2, 4, 4))}, "Received float64"),
        ({"x": np.full((2, 4, 4, 1), 2.0)}, r"`x` must lie in \[0, 1\]"),
        ({"x": np.zeros((2, 4, 4))}, r"shape \(n, h, w, c\)"),
        ({"noise": -0.1}, "`noise` must not be negative"),
        ({"noise": float("nan")}, "`noise` must not be negative"),
        ({"seed": -1}, "`seed` must not be negative"),
        ({"offset": -1}, "`offset` must not be negative"),
        ({"dtype": np.float64}, "`dtype` must be float32 or uint8"),
    ],
)
def test_mistakes(change, message):
    arguments = {"x": np.zeros((2, 4, 4, 1)), "removed": np.zeros((2, 4, 4), bool)} | change
    with pytest.raises(InputError, match=message):
        impute(arguments.pop("x"), arguments.pop("removed"), **arguments)
