"""Robustness to noise along and away from the image manifold, and how tangent a gradient is.

At z, the encoder's posterior mean of x, the decoder's Jacobian J = d decode / dz has the singular
value decomposition J = U S V^T. The columns of U whose singular values exceed a tolerance are an
orthonormal basis Q of the manifold's tangent space. It splits Gaussian noise n:

    u_tangent = Q Q^T n / || Q Q^T n ||,    u_normal = (n - Q Q^T n) / || n - Q Q^T n ||
    change(u, t) = || softmax f(x + t u) - softmax f(x) ||_1
    tangent fraction of a gradient g:  || Q^T g ||^2 / || g ||^2

A network is off-manifold robust if normal noise changes it less than tangent noise of the same
length: the ratio of mean changes, normal to tangent, is below 1. A network that treats all
directions alike has the ratio 1, and a gradient of random direction the fraction rank / pixels.

The lengths t are L2 norms in pixel units, those of the paper for CIFAR-10. Noisy images are not
clipped to [0, 1]: clipping would turn normal noise partly into tangent noise. What is drawn for an
image depends on the seed and the image's place in its set.

Reference: Srinivas et al., arXiv 2305.19101.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops
from scipy import special
from threadpoolctl import threadpool_limits

from pellucid.attacks.autoattack import randomness
from pellucid.metrics.attributions import loss_gradient
from pellucid.metrics.latent_projection import places_of, posterior_mean
from pellucid.metrics.statistics import CONFIDENCE, Estimate
from pellucid.models import backend
from pellucid.models.batching import batches, in_batches
from pellucid.models.checks import as_floats, check_images
from pellucid.models.errors import InputError
from pellucid.models.functional import (
    State,
    logits_of,
    pixels,
    predict,
    program,
    state,
)
from pellucid.models.types import Array
from pellucid.models.vae_gan import VaeGan

LENGTHS = (1.44, 2.64, 4.83, 8.86)
"""Lengths of the noise in pixel units, the paper's for CIFAR-10."""

DRAWS = 4
"""Draws of noise for each image, over which its changes are averaged."""

RESAMPLES = 1000
"""Of the bootstrap."""

TAILS = (50 * (1 - CONFIDENCE), 100 - 50 * (1 - CONFIDENCE))
"""Percentiles between which its interval lies."""

CHUNK = 16
"""Images whose Jacobians are held at a time."""


class Changes(NamedTuple):
    """Mean changes of the softmax for each image and length, each `(n, lengths)`.

    Attributes:
        tangent: Under tangent noise; NaN where the Jacobian has rank 0.
        normal: Under normal noise; NaN where the Jacobian's rank is the number of pixels.
    """

    tangent: Array
    normal: Array


class TangentFraction(NamedTuple):
    """Shares of gradients that lie in the tangent space, and those of random directions.

    Attributes:
        fraction: `(n,)`; NaN where the gradient is zero.
        null: The expected fraction of a direction drawn at random, rank / pixels, `(n,)`.
    """

    fraction: Array
    null: Array


def jacobian(decoder: keras.Model, z: Array, *, batch_size: int = 1024) -> Array:
    """The derivative of every decoded pixel with respect to every latent dimension.

    By forward mode: one row of a batch for each latent dimension of each z.

    Args:
        decoder: From `(n, latent)` to images.
        z: `(n, latent)`.
        batch_size: Rows at a time.

    Returns:
        `(n, pixels, latent)` float32; channels count as pixels.
    """
    n, latent = z.shape
    run = program(
        decoder,
        ("jacobian",),
        lambda model: (
            lambda trainable, other, z, direction: backend.jvp(
                logits_of(model, State(trainable, other)), z, direction
            )
        ),
    )
    variables = state(decoder)
    rows = [
        np.repeat(np.asarray(z, np.float32), latent, axis=0),
        np.tile(np.eye(latent, dtype=np.float32), (n, 1)),
    ]
    before = (variables.trainable, variables.other)
    columns = [out for _, out in in_batches(run, before, rows, batch_size=batch_size)]
    return np.swapaxes(np.concatenate(columns).reshape(n, latent, -1), 1, 2)


def basis(matrix: Array, *, tolerance: float | None = None) -> Array:
    """An orthonormal basis of a matrix's columns.

    Args:
        matrix: `(pixels, latent)`.
        tolerance: Directions count whose singular value is above this share of the largest. None
            for max(pixels, latent) times float32's spacing at 1, below which a matrix of float32
            cannot tell its singular values from zero.

    Returns:
        `(pixels, rank)` float32; of rank 0 for a matrix of zeros.
    """
    if tolerance is None:
        tolerance = max(matrix.shape) * float(np.finfo(np.float32).eps)
    left, values, _ = np.linalg.svd(np.asarray(matrix, np.float64), full_matrices=False)
    return left[:, values > tolerance * values[0]].astype(np.float32)


def tangent_bases(
    vae_gan: VaeGan, x: Array, *, tolerance: float | None = None, batch_size: int = 1024
) -> Iterator[Array]:
    """An orthonormal basis of the manifold's tangent space at each image's posterior mean.

    A list of them takes 4 x pixels x rank bytes for each image.

    Args:
        vae_gan: The manifold model; its discriminator is not used.
        x: `(n, h, w, c)`, uint8 or floats in [0, 1].
        tolerance: As for `basis`.
        batch_size: Rows of the Jacobian at a time.

    Yields:
        `(pixels, rank)` float32, image by image.
    """
    z = posterior_mean(vae_gan, x)
    for part in batches(len(z), CHUNK):
        matrices = jacobian(vae_gan.decoder, z[part], batch_size=batch_size)
        with threadpool_limits(1):  # for one order of the sums on every machine
            found = [basis(matrix, tolerance=tolerance) for matrix in matrices]
        yield from found


def _unit(vectors: Array, scale: Array) -> Array:
    """Rows of length 1; NaN where a row is zero but for rounding next to `scale`."""
    length = np.linalg.norm(vectors, axis=-1, keepdims=True)
    is_rounding = length <= scale * np.sqrt(vectors.shape[-1]) * np.finfo(np.float32).eps
    return vectors / np.where(is_rounding, np.nan, length)


def split(noise: Array, tangent_basis: Array) -> tuple[Array, Array]:
    """The tangent and the normal part of noise, each of length 1.

    Args:
        noise: `(draws, pixels)`.
        tangent_basis: `(pixels, rank)`, orthonormal.

    Returns:
        Two arrays `(draws, pixels)` float64; NaN where there is no such direction.
    """
    noise, tangent_basis = np.asarray(noise, np.float64), np.asarray(tangent_basis, np.float64)
    length = np.linalg.norm(noise, axis=-1, keepdims=True)
    tangent = (noise @ tangent_basis) @ tangent_basis.T
    return _unit(tangent, length), _unit(noise - tangent, length)


def noise_directions(
    bases: Iterable[Array],
    x: Array,
    *,
    draws: int = DRAWS,
    seed: int = 0,
    places: Array | None = None,
) -> tuple[Array, Array]:
    """Unit noise along and away from the manifold.

    Args:
        bases: One `(pixels, rank)` for each image (`tangent_bases`).
        x: `(n, h, w, c)`; its shape is used only.
        draws: Draws of noise for each image.
        seed: Seed of the noise.
        places: The images' places in their set, `(n,)` integers; None for 0 .. n - 1.

    Returns:
        Tangent and normal directions, each `(draws, n, h, w, c)` float32.

    Raises:
        InputError: As many bases as images are needed, and one draw or more.
    """
    if draws < 1:
        raise InputError(f"`draws` must be 1 or more. Received {draws}.")
    keys = backend.to_device(randomness.keys_of(seed, places_of(x, places)))
    size = (int(np.prod(x.shape[1:])),)
    noise = np.stack(
        [
            ops.convert_to_numpy(randomness.normal(randomness.fold_in(keys, draw), size))
            for draw in range(draws)
        ]
    )
    tangent, normal = np.empty_like(noise), np.empty_like(noise)
    with threadpool_limits(1):  # for one order of the sums on every machine
        for image, tangent_basis in _for_each(bases, x):
            tangent[:, image], normal[:, image] = split(noise[:, image], tangent_basis)
    return tangent.reshape(draws, *x.shape), normal.reshape(draws, *x.shape)


def _for_each(bases: Iterable[Array], x: Array) -> Iterator[tuple[int, Array]]:
    """Bases with their image's number.

    Raises:
        InputError: There are not as many bases as images, or they are of another size.
    """
    size = int(np.prod(x.shape[1:]))
    mismatch = InputError(
        f"`bases` must hold one basis of {size} pixels for each of the {len(x)} images."
    )
    seen = 0
    for tangent_basis in bases:
        if seen == len(x) or len(tangent_basis) != size:
            raise mismatch
        yield seen, tangent_basis
        seen += 1
    if seen < len(x):
        raise mismatch


def noise_changes(
    model: keras.Model,
    x: Array,
    directions: tuple[Array, Array],
    *,
    lengths: Sequence[float] = LENGTHS,
    batch_size: int = 1000,
) -> Changes:
    """How far noise along and away from the manifold moves a classifier's softmax.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: `(n, h, w, c)`, uint8 or floats in [0, 1].
        directions: Tangent and normal, each `(draws, n, h, w, c)` (`noise_directions`); the same
            for every network that is compared.
        lengths: L2 norms of the noise in pixel units.
        batch_size: Images at a time.

    Returns:
        For each image and length the L1 norm of the change, 0 to 2, averaged over draws.

    Raises:
        InputError: Images outside [0, 1], or directions of another shape.
    """
    check_images(x)
    for unit in directions:
        if unit.ndim != x.ndim + 1 or not len(unit) or unit.shape[1:] != x.shape:
            raise InputError(
                f"`directions` must have the shape (draws, {', '.join(map(str, x.shape))})."
                f" Received {unit.shape}."
            )
    images = as_floats(x).astype(np.float32)

    def probabilities(pixels: Array) -> Array:
        logits = predict(model, pixels, batch_size=batch_size)
        return special.softmax(logits.astype(np.float64), axis=-1)

    clean = probabilities(images)

    def change(directions: Array, length: float) -> Array:
        each = [
            np.abs(probabilities(images + np.float32(length) * unit) - clean).sum(axis=-1)
            for unit in directions
        ]
        # where there is no direction it is NaN, which a network may hide
        missing = np.isnan(directions.reshape(*directions.shape[:2], -1)).any(axis=-1)
        return np.where(missing, np.nan, each).mean(axis=0)

    tangent, normal = (
        np.stack([change(unit, length) for length in lengths], axis=1) for unit in directions
    )
    return Changes(tangent, normal)


def ratios(changes: Changes, *, resamples: int = RESAMPLES, seed: int = 0) -> list[Estimate]:
    """Mean change under normal noise over that under tangent noise, for each length.

    Images that lack one of the two are left out. The interval is a bootstrap of images, which keeps
    an image's two changes together.

    Args:
        changes: What `noise_changes` measured.
        resamples: Number of bootstrap samples.
        seed: Seed of the resampling.

    Returns:
        One estimate for each length; NaN where tangent noise changes nothing, or no image is left.
    """
    estimates = []
    for tangent, normal in zip(changes.tangent.T, changes.normal.T, strict=True):
        pairs = np.stack([normal, tangent], axis=1)
        pairs = pairs[np.isfinite(pairs).all(axis=1)]
        n, value, low, high = len(pairs), float("nan"), float("nan"), float("nan")
        if pairs[:, 1].any():
            value = float(pairs[:, 0].mean() / pairs[:, 1].mean())
        if n > 1 and np.isfinite(value):
            rng = np.random.default_rng(seed)
            means = (pairs[rng.integers(n, size=n)].mean(axis=0) for _ in range(resamples))
            drawn = [above / below for above, below in means if below > 0]
            low, high = map(float, np.percentile(drawn, TAILS))
        estimates.append(Estimate(value, low, high, n))
    return estimates


def input_gradients(model: keras.Model, x: Array, *, batch_size: int = 500) -> Array:
    """The loss gradient at every image, with its channels (see `attributions.loss_gradient`).

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: `(n, h, w, c)`, uint8 or floats in [0, 1].
        batch_size: Images at a time.

    Returns:
        `(n, h, w, c)` float32.

    Raises:
        InputError: Images outside [0, 1].
    """
    check_images(x)
    run = program(
        model,
        ("loss gradient",),
        lambda network: (
            lambda trainable, other, x: loss_gradient(
                logits_of(network, State(trainable, other)), pixels(x)
            )
        ),
    )
    variables = state(model)
    before = (variables.trainable, variables.other)
    parts = [out for _, out in in_batches(run, before, [x], batch_size=batch_size)]
    return np.concatenate(parts)


def tangent_fraction(gradients: Array, bases: Iterable[Array]) -> TangentFraction:
    """How much of each gradient's square lies in the manifold's tangent space.

    Args:
        gradients: `(n, h, w, c)`, of any scale.
        bases: One `(pixels, rank)` for each image (`tangent_bases`).

    Returns:
        Fractions in [0, 1], and what a random direction has in expectation.

    Raises:
        InputError: As many bases as gradients are needed.
    """
    flat = np.asarray(gradients, np.float64).reshape(len(gradients), -1)
    largest = np.max(np.abs(flat), axis=1, keepdims=True)
    flat = flat / np.where(largest > 0, largest, np.nan)
    fraction, null = np.empty(len(flat)), np.empty(len(flat))
    with threadpool_limits(1):  # for one order of the sums on every machine
        for image, tangent_basis in _for_each(bases, gradients):
            inside = flat[image] @ np.asarray(tangent_basis, np.float64)
            fraction[image] = (inside @ inside) / (flat[image] @ flat[image])
            null[image] = tangent_basis.shape[1] / tangent_basis.shape[0]
    return TangentFraction(fraction, null)
