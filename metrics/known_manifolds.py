"""Manifolds to which the distance is known: a PCA's subspace, and pictures of discs.

*Subspace.* With B an orthonormal basis and m the mean, P(x) = m + B B^T (x - m) is the exact
projection. It stands beside a manifold model as the linear one of as many dimensions.

*Discs.* G(row, column, radius) is a disc with a soft edge, at a pixel of distance rho from the
centre

    dark + (bright - dark) sigmoid((radius - rho) / edge)

so G is smooth and its three derivatives are written down. The nearest disc to an image is found by
a search over a grid of parameters, refined by Levenberg and Marquardt's steps; a grid with the
spacings h_k is off by at most sum_k L_k h_k / 2, L_k the largest length of the k-th derivative.

*Calibration.* x = G(z) + t n with n a unit vector orthogonal to the three derivatives at z: its
distance from the manifold is t, as long as t is below the manifold's radius of curvature along n
and no other part of the manifold is nearer. An estimator of distances is calibrated by its rank
correlation with t.

All distances are in paper units, twice the L2 norm in pixel units.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import linalg, special
from threadpoolctl import threadpool_limits

from pellucid.metrics import manifold, spectrum, statistics
from pellucid.models.batching import batches
from pellucid.models.checks import as_floats
from pellucid.models.errors import InputError
from pellucid.models.types import Array

CALIBRATED = 0.9
"""The least rank correlation at which a manifold model may decide a claim."""

LONGEST = 1.5
"""The longest distance of the calibration, in paper units."""

GRID = 17
"""Values of each parameter on the grid."""

REFINEMENTS = 30
"""Steps of Levenberg and Marquardt after the grid's search."""

FACTOR = 10.0
"""By which their damping falls after a step that gains, and rises after one that does not."""

CHUNK = 256
"""Images that are handled at a time."""


@dataclass(frozen=True)
class Subspace:
    """An affine subspace of images.

    Attributes:
        mean: `(h, w, c)` float64, a point of it.
        basis: `(pixels, dimensions)` float64, orthonormal.
    """

    mean: Array
    basis: Array

    def project(self, x: Array) -> Array:
        """The nearest points of the subspace, which may leave [0, 1].

        Args:
            x: `(n, h, w, c)`, uint8 or floats in [0, 1].

        Returns:
            `(n, h, w, c)` float64.
        """
        projection = np.empty(x.shape)
        for part in batches(len(x), CHUNK):
            centred = (as_floats(x[part]) - self.mean).reshape(len(x[part]), -1)
            with threadpool_limits(1):  # for one order of the sums on every machine
                inside = (centred @ self.basis) @ self.basis.T
            projection[part] = self.mean + inside.reshape(x[part].shape)
        return projection

    def distance(self, x: Array) -> Array:
        """Distance of each image to the subspace, `(n,)` in paper units."""
        return manifold.distance(as_floats(x), self.project(x))


def pca(x_train: Array, dimensions: int) -> Subspace:
    """The subspace of a dimension that is nearest to images in the mean square.

    Args:
        x_train: `(n, h, w, c)`, uint8 or floats in [0, 1].
        dimensions: Fewer than images, and at most as many as pixels.

    Raises:
        InputError: The dimension does not fit.
    """
    size = int(np.prod(x_train.shape[1:]))
    most = min(len(x_train) - 1, size)
    if not 1 <= dimensions <= most:
        raise InputError(
            f"`dimensions` must be 1 to {most} for {len(x_train)} images of {size} pixels. Received"
            f" {dimensions}."
        )
    parts = batches(len(x_train), CHUNK)
    sums = [np.sum(as_floats(x_train[part]), axis=0, dtype=np.float64) for part in parts]
    mean = np.sum(sums, axis=0) / len(x_train)
    scatter = np.zeros((size, size))
    with threadpool_limits(1):  # for one order of the sums on every machine
        for part in parts:
            centred = (as_floats(x_train[part]) - mean).reshape(-1, size)
            scatter += centred.T @ centred
        _, vectors = linalg.eigh(scatter, subset_by_index=(size - dimensions, size - 1))
    return Subspace(mean, vectors)


@dataclass(frozen=True)
class Discs:
    """Pictures of one bright disc on a dark ground.

    The disc and twice its edge fit on the canvas. Parameters are `(n, 3)`: row and column of the
    centre, and radius, in pixels; the first pixel's centre is at 0.

    Attributes:
        size: Rows and columns of the canvas.
        edge: Width of the soft edge in pixels.
        dark: The ground's pixels.
        bright: The disc's pixels. Both leave room for changes within [0, 1].
    """

    size: tuple[int, int] = (16, 16)
    edge: float = 0.75
    dark: float = 0.25
    bright: float = 0.75

    def __post_init__(self) -> None:
        """Checks that a disc of any radius has room to move.

        Raises:
            InputError: It has none, or edge or pixels are out of range.
        """
        if not (self.edge > 0 and 0 <= self.dark < self.bright <= 1):
            raise InputError("Discs need an edge above 0 and 0 <= dark < bright <= 1.")
        low, high = self.bounds
        if not (low < high).all():
            raise InputError(f"Discs of edge {self.edge} do not fit a canvas of {self.size}.")

    @property
    def bounds(self) -> tuple[Array, Array]:
        """Lowest and highest parameters, each `(3,)`; radii are 1/8 to 1/4 of the shorter side."""
        side = min(self.size)
        margin = side / 4 + 2 * self.edge
        low = np.array([margin, margin, side / 8])
        return low, np.array([*(length - 1 - margin for length in self.size), side / 4])

    def parameters(self, n: int, seed: int) -> Array:
        """Parameters drawn uniformly within the bounds, `(n, 3)`."""
        return np.random.default_rng(seed).uniform(*self.bounds, (n, 3))

    def _geometry(self, parameters: Array) -> tuple[Array, Array, Array, Array]:
        """Offsets of rows and columns from the centre, distance from it, and the sigmoid."""
        row, column, radius = (v[:, None, None] for v in np.asarray(parameters, np.float64).T)
        rows, columns = np.indices(self.size)
        down, right = rows - row, columns - column
        rho = np.hypot(down, right)
        return down, right, rho, special.expit((radius - rho) / self.edge)

    def render(self, parameters: Array) -> Array:
        """G: pictures `(n, h, w, 1)` float64 from parameters `(n, 3)`."""
        *_, inside = self._geometry(parameters)
        return (self.dark + (self.bright - self.dark) * inside)[..., None]

    def jacobian(self, parameters: Array) -> Array:
        """Derivatives of the pictures: `(n, pixels, 3)` from parameters `(n, 3)`."""
        down, right, rho, inside = self._geometry(parameters)
        outwards = (self.bright - self.dark) * inside * (1.0 - inside) / self.edge
        # at the very centre the picture has a tip; zero lies in the middle of its slopes
        slope = np.divide(outwards, rho, out=np.zeros_like(rho), where=rho > 0)
        columns = np.stack([slope * down, slope * right, outwards], axis=-1)
        return columns.reshape(len(columns), -1, 3)

    def grid(self, points: int = GRID) -> Array:
        """All combinations of equally spaced parameters within the bounds, `(points^3, 3)`."""
        axes = [np.linspace(low, high, points) for low, high in zip(*self.bounds, strict=True)]
        return np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)

    def nearest(self, x: Array, *, points: int = GRID, refinements: int = REFINEMENTS) -> Array:
        """Parameters of the nearest disc to each image.

        Args:
            x: `(n, h, w, 1)`, uint8 or floats in [0, 1].
            points: Values of each parameter on the grid.
            refinements: Steps from the grid's best point; 0 for the grid alone.

        Returns:
            `(n, 3)`.

        Raises:
            InputError: Images of another shape.
        """
        if x.shape[1:] != (*self.size, 1):
            raise InputError(f"`x` must be pictures of {(*self.size, 1)}. Received {x.shape[1:]}.")
        grid = self.grid(points)
        pictures = self.render(grid).reshape(len(grid), -1)
        squares = np.sum(pictures**2, axis=1)
        found = np.empty((len(x), 3))
        for part in batches(len(x), CHUNK):
            flat = np.asarray(as_floats(x[part]), np.float64).reshape(len(x[part]), -1)
            with threadpool_limits(1):  # for one order of the sums on every machine
                start = grid[np.argmin(squares - 2.0 * flat @ pictures.T, axis=1)]
            found[part] = self._refined(flat, start, refinements)
        return found

    def _refined(self, x: Array, parameters: Array, steps: int) -> Array:
        """Parameters after steps of Levenberg and Marquardt that stay within the bounds."""

        def squared(parameters: Array) -> tuple[Array, Array]:
            residual = x - self.render(parameters).reshape(x.shape)
            return np.sum(residual**2, axis=1), residual

        damping = np.full((len(x), 1, 1), 1.0 / FACTOR)
        error, residual = squared(parameters)
        for _ in range(steps):
            slopes = self.jacobian(parameters)
            gram = np.einsum("npi,npj->nij", slopes, slopes)
            uphill = np.einsum("npi,np->ni", slopes, residual)
            damped = gram + damping * gram * np.eye(3)
            moved = parameters + np.linalg.solve(damped, uphill[..., None])[..., 0]
            moved = np.clip(moved, *self.bounds)
            error_there, residual_there = squared(moved)
            gains = error_there < error
            parameters = np.where(gains[:, None], moved, parameters)
            residual = np.where(gains[:, None], residual_there, residual)
            error = np.minimum(error, error_there)
            damping = np.where(gains[:, None, None], damping / FACTOR, damping * FACTOR)
        return parameters

    def project(self, x: Array) -> Array:
        """The nearest disc's picture, `(n, h, w, 1)` float64."""
        return self.render(self.nearest(x))

    def distance(self, x: Array) -> Array:
        """Distance of each image to the nearest disc's picture, `(n,)` in paper units."""
        return manifold.distance(as_floats(x), self.project(x))

    def normals(self, parameters: Array, *, sigma: float = 0.0, seed: int = 0) -> Array:
        """Random unit vectors orthogonal to the derivatives of G.

        With Q R the derivatives' QR decomposition, n = (g - Q Q^T g) / || g - Q Q^T g ||, g
        Gaussian noise, blurred where sigma is above 0.

        Args:
            parameters: `(n, 3)`.
            sigma: Standard deviation of the blur in pixels; 0 for white noise.
            seed: Seed of the noise.

        Returns:
            `(n, h, w, 1)` float64.
        """
        noise = np.random.default_rng(seed).standard_normal((len(parameters), *self.size))
        flat = spectrum.blur(noise, sigma).reshape(len(noise), -1)
        orthonormal, _ = np.linalg.qr(self.jacobian(parameters))
        for _ in range(2):  # the second time removes what rounding left
            inside = np.einsum("npk,np->nk", orthonormal, flat)
            flat = flat - np.einsum("npk,nk->np", orthonormal, inside)
        flat = flat / np.linalg.norm(flat, axis=1, keepdims=True)
        return flat.reshape(*noise.shape, 1)

    def away(self, parameters: Array, t: Array, *, sigma: float = 0.0, seed: int = 0) -> Array:
        """Images at a distance from the manifold: x = G(z) + t n / 2, n as in `normals`.

        Args:
            parameters: z, `(n, 3)`.
            t: Distances in paper units, `(n,)`.
            sigma: Standard deviation of the blur of n in pixels.
            seed: Seed of n.

        Returns:
            `(n, h, w, 1)` float32.

        Raises:
            InputError: A pixel leaves [0, 1].
        """
        lengths = np.asarray(t, np.float64)[:, None, None, None] / 2.0
        x = self.render(parameters) + lengths * self.normals(parameters, sigma=sigma, seed=seed)
        if x.min() < 0 or x.max() > 1:
            raise InputError(f"Images at {np.max(t):g} from the discs leave [0, 1]: use less.")
        return x.astype(np.float32)


def calibration(
    estimate: Callable[[Array], Array],
    discs: Discs,
    *,
    n: int = 256,
    longest: float = LONGEST,
    sigma: float = 0.0,
    seed: int = 0,
) -> statistics.Estimate:
    """Spearman's correlation of estimated distances with the true ones, on discs.

    Distances are drawn uniformly from 0 to the longest, discs uniformly within their bounds. An
    estimator below `CALIBRATED` should not decide a claim.

    Args:
        estimate: From images `(n, h, w, 1)`, float32 in [0, 1], to distances `(n,)` in any units;
            for a manifold model, one that was fitted to `discs.render(discs.parameters(m, seed))`
            of another seed.
        discs: The manifold.
        n: Number of images.
        longest: In paper units.
        sigma: Standard deviation of the blur of the normal direction; 0 for white noise, which is
            the easiest to tell from a picture.
        seed: Seed of discs, distances and directions.

    Returns:
        The correlation with its interval; NaN where the estimates are all the same.

    Raises:
        InputError: The estimator does not return one finite number for each image, or the images
            leave [0, 1].
    """
    place, length, direction = np.random.SeedSequence(seed).generate_state(3)
    t = np.random.default_rng(length).uniform(0.0, longest, n)
    x = discs.away(discs.parameters(n, place), t, sigma=sigma, seed=direction)
    estimated = np.asarray(estimate(x), np.float64)
    if estimated.shape != (n,) or not np.isfinite(estimated).all():
        raise InputError(f"`estimate` must return {n} finite distances, shape ({n},).")
    found = statistics.correlation(estimated, t)
    return statistics.Estimate(found.spearman, found.spearman_low, found.spearman_high, n)
