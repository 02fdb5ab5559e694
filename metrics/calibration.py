"""A manifold model calibrated on its own manifold, where the distance is set beforehand.

    x = G(z) + t n / 2,    d(x) = t

With G the model's decoder, z a code, and n a unit vector orthogonal to the columns of G's Jacobian
at z: x lies at the distance t (in paper units) from the tangent space at G(z), and from the
manifold as long as t is below its radius of curvature along n and no other part of it is nearer. An
estimator of distances is calibrated by its rank correlation with t. (`known_manifolds` does the
same on manifolds that are rendered.)

x is an image: it stays in [0, 1]. Steps off the tangent space and back into the box alternate, as
noise is clipped on a black ground. What the last clipping leaves of the change within the tangent
space does not count towards t. A subspace leaves the box itself; there x may.

White noise is the easiest direction to tell from a picture, so n is blurred too: adversarial
changes are smoother than white noise.
"""

from collections.abc import Iterable

import numpy as np
from keras import ops
from threadpoolctl import threadpool_limits

from pellucid.attacks.autoattack import randomness
from pellucid.metrics import spectrum, statistics
from pellucid.metrics.latent_projection import places_of
from pellucid.models import backend
from pellucid.models.errors import InputError
from pellucid.models.types import Array

ALTERNATIONS = 20
"""Steps off the tangent space, each followed by one into the box."""


def lengths(n: int, longest: float, *, seed: int = 0) -> Array:
    """Distances drawn uniformly from 0 to the longest, `(n,)`."""
    return np.random.default_rng(seed).uniform(0.0, longest, n)


def noise(shape: tuple[int, ...], places: Array, *, sigma: float = 0.0, seed: int = 0) -> Array:
    """Gaussian noise for images at places of their set, blurred channel by channel.

    Args:
        shape: Of one image, `(h, w, c)`.
        places: `(n,)` integers.
        sigma: Standard deviation of the blur in pixels; 0 for white noise.
        seed: Seed of the noise.

    Returns:
        `(n, h, w, c)` float64.
    """
    keys = backend.to_device(randomness.keys_of(seed, places))
    white = np.asarray(ops.convert_to_numpy(randomness.normal(keys, shape)), np.float64)
    return np.stack([spectrum.blur(white[..., c], sigma) for c in range(shape[-1])], axis=-1)


def away(
    points: Array,
    bases: Iterable[Array],
    t: Array,
    *,
    sigma: float = 0.0,
    seed: int = 0,
    places: Array | None = None,
    within_box: bool = True,
) -> tuple[Array, Array]:
    """Images beside a manifold, and their distances from its tangent spaces.

    Args:
        points: Points of the manifold, `(n, h, w, c)` floats.
        bases: An orthonormal basis `(pixels, rank)` of the tangent space at each point.
        t: Distances in paper units, `(n,)`.
        sigma: Standard deviation of the blur of the direction in pixels; 0 for white noise.
        seed: Seed of the directions.
        places: The points' places in their set, `(n,)` integers; None for 0 .. n - 1.
        within_box: Whether the images stay in [0, 1], as the points then must.

    Returns:
        `(n, h, w, c)` float32, and `(n,)` float64 in paper units: t, but for what the box takes.

    Raises:
        InputError: As many bases and distances as points are needed, or a point is outside [0, 1].
    """
    points, t = np.asarray(points, np.float64), np.asarray(t, np.float64)
    if t.shape != points.shape[:1] or not (t >= 0).all():
        raise InputError(f"`t` must be {len(points)} distances of 0 or more. Received {t.shape}.")
    if within_box and not (points.min() >= 0 and points.max() <= 1):
        raise InputError("`points` must lie in [0, 1] for images that do.")
    directions = noise(points.shape[1:], places_of(points, places), sigma=sigma, seed=seed)
    x, distance = np.empty(points.shape, np.float32), np.empty(len(points))
    seen = 0
    with threadpool_limits(1):  # for one order of the sums on every machine
        for image, basis in zip(range(len(points)), bases, strict=False):
            moved, normal = _moved(
                points[image], directions[image], t[image] / 2.0, basis, within_box
            )
            x[image], distance[image] = moved, 2.0 * np.linalg.norm(normal)
            seen += 1
    if seen < len(points):
        raise InputError(f"`bases` must hold one basis for each of the {len(points)} points.")
    return x, distance


def _moved(
    point: Array, direction: Array, length: float, basis: Array, within_box: bool
) -> tuple[Array, Array]:
    """An image beside one point, and the part of its change that is normal to the tangent space."""
    basis = np.asarray(basis, np.float64)

    def normal(change: Array) -> Array:
        flat = change.ravel()
        for _ in range(2):  # the second time removes what rounding left
            flat = flat - basis @ (basis.T @ flat)
        return flat.reshape(change.shape)

    change = normal(direction)
    if not within_box:
        size = np.linalg.norm(change)
        moved = (point + change * (length / size if size > 0 else 0.0)).astype(np.float32)
        return moved, normal(moved - point)
    for _ in range(ALTERNATIONS):
        moved = spectrum.with_norm(point[None], change[None], np.array([length]))[0]
        change = normal(moved - point)
    return moved, change


def rank_correlation(estimated: Array, t: Array) -> statistics.Estimate:
    """Spearman's correlation of estimated distances with the true ones, with its interval.

    Args:
        estimated: `(n,)`, in any units.
        t: `(n,)`.

    Returns:
        The correlation; NaN where the estimates are all the same.
    """
    found = statistics.correlation(estimated, t)
    return statistics.Estimate(found.spearman, found.spearman_low, found.spearman_high, found.n)
