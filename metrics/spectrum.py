"""Nulls and controls with the spectrum of what they stand beside.

*Null perturbations.* An adversarial example may lie near the manifold merely because its change
d = x' - x has low frequencies; white noise cannot tell. Two changes that do not know the image but
have the frequencies of d:

    permuted:  d_pi(i), another image's change; pi is a permutation without fixed points
    phases:    F^-1( exp(i theta) F(d) ), F the 2-D Fourier transform over rows and columns, theta
               the phases of F(w), with w real white noise: the result is real. All channels are
               turned by the same theta, so their correlations stay.

Both are scaled by t so that the change's L2 norm *after* clipping to [0, 1] is ||d||. Take a change
drawn independently of x, of a norm independent of its direction, and so small that nothing is
clipped: the excess of its distance over the permuted null is zero in expectation, and that over the
phases too if the change is Gaussian with the same statistics at every place of a periodic canvas.

*Blur.* The Gaussian on the pixel lattice: the heat equation, discrete in space, for sigma^2 / 2.
The boundary is mirrored at the outer edge of the outer pixels, so nothing flows out. With
k = 0 .. h - 1 the index of the discrete cosine transform (type II), each axis is multiplied by

    exp(-sigma^2 (1 - cos(pi k / h)))

The kernel is positive, its variance is sigma^2 on each axis, sums are kept, and blurs by s and t
are one blur by sqrt(s^2 + t^2).

Reference: Lindeberg, "Scale-space for discrete signals", IEEE PAMI 1990; Theiler et al., Physica D
1992 (random phases).
"""

import numpy as np
from keras import ops
from scipy import fft, optimize

from pellucid.attacks.autoattack import randomness
from pellucid.metrics.latent_projection import places_of
from pellucid.models import backend
from pellucid.models.batching import batches
from pellucid.models.checks import as_floats
from pellucid.models.errors import InputError
from pellucid.models.types import Array

CHUNK = 500
"""Images or maps that are transformed at a time."""

NEGLIGIBLE = 1e-100
"""Entries of a direction below this share of its largest are taken as zero."""

SMALLEST = 0.1
"""The narrowest blur of the first search but none, in pixels."""

WIDTHS = 24
"""Blurs of the first search, from the narrowest to the canvas' longer side."""

TOLERANCE = 1e-4
"""Of the width of a matching blur, in pixels."""

FLOOR = 1e-8
"""Added to a power whose mean over frequencies is 1 before its logarithm is taken: what maps of
float32 cannot tell from nothing."""


def with_norm(x: Array, direction: Array, norm: Array) -> Array:
    """clip(x + t d, 0, 1), t >= 0 such that || clip(x + t d, 0, 1) - x ||_2 is a given norm.

    A pixel moves by t |d_j| until it meets its wall of the box, r_j away. Between two such meetings
    the squared norm, sum_j min(t |d_j|, r_j)^2, is quadratic in t, so t follows without iteration.
    If the box does not hold a change that long in this direction, it is the longest there is.

    Args:
        x: `(n, ...)`, uint8 or floats in [0, 1].
        direction: Of any scale, `(n, ...)`.
        norm: In pixel units, `(n,)`.

    Returns:
        `(n, ...)` float32 in [0, 1].
    """
    moved = np.empty(x.shape, np.float32)
    for part in batches(len(x), CHUNK):
        flat = as_floats(x[part]).reshape(len(x[part]), -1).astype(np.float64)
        change = np.asarray(direction[part], np.float64).reshape(flat.shape)
        t, unit = _length(flat, change, np.asarray(norm, np.float64)[part])
        moved[part] = np.clip(flat + t * unit, 0.0, 1.0).reshape(moved[part].shape)
    return moved


def _length(x: Array, direction: Array, norm: Array) -> tuple[Array, Array]:
    """t, `(n, 1)`, and the direction that it belongs to, of largest entry 1; see `with_norm`."""
    largest = np.max(np.abs(direction), axis=1, keepdims=True)
    unit = direction / np.where(largest > 0, largest, 1.0)
    unit[np.abs(unit) < NEGLIGIBLE] = 0.0
    moves = unit != 0
    room = np.where(moves, np.where(unit > 0, 1.0 - x, x), 0.0)
    wall = np.divide(room, np.abs(unit), out=np.zeros_like(room), where=moves)

    order = np.argsort(wall, axis=1, kind="stable")
    room, wall, speed = (
        np.take_along_axis(v, order, axis=1) for v in (room, wall, unit**2 * moves)
    )
    stopped = np.cumsum(room**2, axis=1) - room**2
    moving = np.cumsum(speed[:, ::-1], axis=1)[:, ::-1]

    enough = stopped + wall**2 * moving >= norm[:, None] ** 2
    first = np.argmax(enough, axis=1)[:, None]
    stopped, moving = (np.take_along_axis(v, first, axis=1) for v in (stopped, moving))
    missing = np.maximum(norm[:, None] ** 2 - stopped, 0.0)
    t = np.sqrt(np.divide(missing, moving, out=np.zeros_like(missing), where=moving > 0))
    return np.where(enough.any(axis=1, keepdims=True), t, wall[:, -1:]), unit


def _change(x: Array, x_adv: Array) -> tuple[Array, Array]:
    """The change of each image, `(n, h, w, c)` float64, and its L2 norm, `(n,)`.

    Raises:
        InputError: The shapes differ, or are not those of images.
    """
    if x.shape != x_adv.shape or x.ndim != 4 or not len(x):
        raise InputError(
            "`x` and `x_adv` must be images of one shape (n, h, w, c). Received"
            f" {x.shape} and {x_adv.shape}."
        )
    change = as_floats(x_adv).astype(np.float64) - as_floats(x)
    return change, np.sqrt(np.sum(change**2, axis=(1, 2, 3)))


def derangement(n: int, seed: int) -> Array:
    """A random permutation of 0 .. n - 1 that leaves none in its place: a single cycle, `(n,)`.

    Raises:
        InputError: n is 1, for which there is none.
    """
    if n == 1:
        raise InputError("A permutation without fixed points needs 2 or more images. Received 1.")
    order = np.random.default_rng(seed).permutation(n)
    following = np.empty(n, np.int64)
    following[order] = np.roll(order, -1)
    return following


def permuted_null(x: Array, x_adv: Array, *, seed: int = 0) -> Array:
    """Images changed by another image's perturbation, scaled to the norm of their own.

    Images whose perturbation is zero neither give nor take one.

    Args:
        x: `(n, h, w, c)`, uint8 or floats in [0, 1].
        x_adv: Likewise.
        seed: Seed of the permutation of the set.

    Returns:
        `(n, h, w, c)` float32 in [0, 1].

    Raises:
        InputError: The shapes differ, or there is a single perturbed image.
    """
    change, norm = _change(x, x_adv)
    perturbed = np.flatnonzero(norm)
    change[perturbed] = change[perturbed[derangement(len(perturbed), seed)]]
    return with_norm(x, change, norm)


def random_phases(change: Array, *, seed: int = 0, places: Array | None = None) -> Array:
    """Changes with the same power at every frequency and random phases, the same for all channels.

    Args:
        change: `(n, h, w, c)`.
        seed: Seed of the phases.
        places: The images' places in their set, `(n,)` integers; None for 0 .. n - 1.

    Returns:
        `(n, h, w, c)` float64.
    """
    keys = randomness.keys_of(seed, places_of(change, places))
    size = change.shape[1:3]
    turned = np.empty(change.shape, np.float64)
    for part in batches(len(change), CHUNK):
        white = randomness.normal(backend.to_device(keys[part]), size)
        noise = fft.rfft2(np.asarray(ops.convert_to_numpy(white), np.float64), axes=(1, 2))
        turn = np.exp(1j * np.angle(noise))[..., None]
        transform = fft.rfft2(np.asarray(change[part], np.float64), axes=(1, 2))
        turned[part] = fft.irfft2(turn * transform, s=size, axes=(1, 2))
    return turned


def phases_null(x: Array, x_adv: Array, *, seed: int = 0, places: Array | None = None) -> Array:
    """Images changed by their own perturbation with random phases, scaled to its norm.

    Args:
        x: `(n, h, w, c)`, uint8 or floats in [0, 1].
        x_adv: Likewise.
        seed: Seed of the phases.
        places: The images' places in their set, `(n,)` integers; None for 0 .. n - 1.

    Returns:
        `(n, h, w, c)` float32 in [0, 1].

    Raises:
        InputError: The shapes differ.
    """
    change, norm = _change(x, x_adv)
    return with_norm(x, random_phases(change, seed=seed, places=places), norm)


def _rings(size: tuple[int, int]) -> tuple[Array, Array, Array]:
    """Frequencies of a canvas in the order of their ring, where each ring begins, and its count."""
    rows, columns = (np.fft.fftfreq(side) for side in size)
    radius = np.hypot(rows[:, None], columns[None, :]) * min(size)
    ring = np.rint(radius).astype(int).ravel()
    _, starts, counts = np.unique(np.sort(ring), return_index=True, return_counts=True)
    return np.argsort(ring, kind="stable"), starts, counts


def _check_maps(maps: Array) -> Array:
    """Maps as float64.

    Raises:
        InputError: They are not finite numbers of shape `(n, h, w)`.
    """
    maps = np.asarray(maps, np.float64)
    if maps.ndim != 3 or not maps.size or not np.isfinite(maps).all():
        raise InputError(
            f"`maps` must be one or more finite maps, shape (n, h, w). Received {maps.shape}."
        )
    return maps


def radial_power(maps: Array) -> Array:
    """Mean power of each map's frequencies at every radius.

    The power is |F|^2 / (h w)^2, whose sum over all frequencies is the mean of the map's squares.
    Bin b holds the frequencies whose radius, in cycles per length of the shorter side, rounds to b;
    bin 0 is the mean's square, and the last ones are the corners of the frequency plane.

    Args:
        maps: `(n, h, w)`.

    Returns:
        `(n, bins)` float64.

    Raises:
        InputError: No finite maps of that shape.
    """
    maps = _check_maps(maps)
    order, starts, counts = _rings(maps.shape[1:])
    power = np.empty((len(maps), len(counts)))
    for part in batches(len(maps), CHUNK):
        each = np.abs(fft.fft2(maps[part], axes=(1, 2))).reshape(len(maps[part]), -1) ** 2
        power[part] = np.add.reduceat(each[:, order], starts, axis=1) / counts
    return power / maps[0].size ** 2


def _damping(side: int, sigma: float) -> Array:
    """What the cosines of one axis are multiplied by in a blur, `(side,)`."""
    return np.exp(-(sigma**2) * (1.0 - np.cos(np.pi * np.arange(side) / side)))


def blur_matrix(side: int, sigma: float) -> Array:
    """The blur along one axis as a matrix, `(side, side)` float64, for traceable functions.

    A map m blurred by sigma is B m B', with B and B' those of its rows and columns.
    """
    cosines = fft.dct(np.eye(side), axis=0, norm="ortho")
    return np.asarray(cosines.T @ (_damping(side, sigma)[:, None] * cosines))


def blur(maps: Array, sigma: float) -> Array:
    """Gaussian blur of maps, mirrored at their borders.

    Args:
        maps: `(n, h, w)`.
        sigma: Standard deviation in pixels; 0 changes nothing.

    Returns:
        `(n, h, w)` float64.

    Raises:
        InputError: No finite maps of that shape, or sigma below 0.
    """
    maps = _check_maps(maps)
    if not sigma >= 0:
        raise InputError(f"`sigma` must be 0 or more. Received {sigma}.")
    if sigma == 0:
        return maps.copy()
    rows, columns = (_damping(side, sigma) for side in maps.shape[1:])
    transform = fft.dctn(maps, axes=(1, 2), norm="ortho") * rows[:, None] * columns
    return fft.idctn(transform, axes=(1, 2), norm="ortho")


def _log_shape(power: Array, size: tuple[int, int]) -> Array:
    """Logarithm of the mean over maps of their power, each divided by its sum without bin 0.

    Args:
        power: `(n, bins)` (`radial_power`).
        size: Of the maps, `(h, w)`.

    Returns:
        `(bins - 1,)`; the mean over frequencies of what the logarithm is of is 1.
    """
    counts = _rings(size)[2][1:]
    varying = power[:, 1:]
    total = varying @ counts
    shares = np.divide(
        varying, total[:, None], out=np.zeros_like(varying), where=total[:, None] > 0
    )
    return np.log(shares.mean(axis=0) * counts.sum() + FLOOR)


def spectral_distance(maps: Array, target_power: Array) -> float:
    """How much the shape of the maps' mean radial power spectrum differs from a target's.

    Each map's spectrum is first divided by the power of all its frequencies but the mean, so that
    neither a factor on a map nor a constant added to it counts: an order of pixels does not see
    them either. With P and Q the means over maps, the distance is the mean over bins above 0 of
    (log P_b - log Q_b)^2.

    Args:
        maps: `(n, h, w)`.
        target_power: `radial_power` of the target's maps, `(m, bins)`, which are as large.

    Returns:
        0 where the spectra have one shape.
    """
    size = maps.shape[1:]
    difference = _log_shape(radial_power(maps), size) - _log_shape(target_power, size)
    return float(np.mean(difference**2))


def vary(maps: Array) -> Array:
    """Which maps have a spectrum: those whose pixels are not all equal.

    Args:
        maps: `(n, h, w)`.

    Returns:
        `(n,)` booleans.
    """
    return np.ptp(maps, axis=(1, 2)) > 0


def matching_blur(maps: Array, target_power: Array) -> float:
    """The width of the one Gaussian blur after which maps are spectrally nearest to a target.

    The distance (`spectral_distance`) is searched on widths in a geometric row, then between the
    neighbours of the best. Maps that do not vary have no spectrum and are left out.

    Args:
        maps: `(n, h, w)`.
        target_power: `radial_power` of the target's maps, `(m, bins)`, which are as large.

    Returns:
        The standard deviation in pixels, at most the canvas' longer side, to within `TOLERANCE`; 0
        where no blur is nearer than none, as for a target rougher than the maps.

    Raises:
        InputError: No map varies, or none of the target's, or their sizes differ.
    """
    maps, target_power = _check_maps(maps), np.atleast_2d(np.asarray(target_power, np.float64))
    bins = len(_rings(maps.shape[1:])[2])
    if target_power.ndim != 2 or target_power.shape[1] != bins:
        raise InputError(
            f"`target_power` must have {bins} bins for maps of {maps.shape[1]} x {maps.shape[2]}."
            f" Received shape {target_power.shape}."
        )
    maps = maps[vary(maps)]
    target_power = target_power[(target_power[:, 1:] > 0).any(axis=1)]
    if not len(maps) or not len(target_power):
        raise InputError("Maps and target must vary to compare their spectra.")

    def distance(sigma: float) -> float:
        return spectral_distance(blur(maps, sigma), target_power)

    sigmas = np.concatenate([[0.0], np.geomspace(SMALLEST, max(maps.shape[1:]), WIDTHS)])
    best = int(np.argmin([distance(sigma) for sigma in sigmas]))
    ends = sigmas[max(best - 1, 0)], sigmas[min(best + 1, WIDTHS)]
    found = optimize.minimize_scalar(
        distance, bounds=ends, method="bounded", options={"xatol": TOLERANCE / 4}
    )
    return float(found.x) if found.fun < distance(0.0) else 0.0
