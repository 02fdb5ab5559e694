"""The point of the manifold model nearest to an image, by gradient descent in the latent space.

    z* = argmin_z || x - decode(z) ||_2,   d(x) = || x - decode(z*) ||_2,   x on the scale [-1, 1]

Adam (rate .05, 200 steps) descends || x - decode(z) ||^2 for each image from three starts: the
encoder's posterior mean of x and two draws from the prior N(0, I). The square has the same minimum,
and its gradient vanishes at a perfect fit, which the norm's does not. The best point of all paths
counts, the starts included, so d(x) is never above the encoder's distance (`manifold`): what lies
between the two is the encoder's error, not the image's distance.

Adam's moments belong to an entry of z and prior draws to an image's place, so images do not depend
on the batch beyond rounding. The minimum need not be the global one.

Reference: Samangouei et al., arXiv 1805.06605 (the descent with restarts).
"""

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from pellucid.attacks.autoattack import randomness
from pellucid.attacks.projections import axes_of
from pellucid.metrics import manifold
from pellucid.models import backend
from pellucid.models.adam import Adam, adam_start, adam_step
from pellucid.models.batching import in_batches
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
from pellucid.models.types import Array, Tensor
from pellucid.models.vae_gan import VaeGan

STEPS = 200
"""Steps of Adam from each start."""

LEARNING_RATE = 0.05
"""Adam's, in units of the prior's standard deviation."""

PRIOR_DRAWS = 2
"""Starts besides the encoder's."""


class Projection(NamedTuple):
    """Projections of images, and the images' distances to them.

    Attributes:
        projection: `(n, h, w, c)` float32 in [0, 1].
        distance: `(n,)` float64 in paper units.
    """

    projection: Array
    distance: Array


def posterior_mean(vae_gan: VaeGan, x: Array) -> Array:
    """The encoder's mean of z for each image: `(n, latent)` from uint8 or floats in [0, 1]."""
    return predict(vae_gan.encoder, x)[:, : vae_gan.latent]


def places_of(x: Array, places: Array | None) -> Array:
    """The images' places in their set, on which what is drawn for them depends.

    Args:
        x: Images, `(n, ...)`.
        places: `(n,)` integers; None for 0 .. n - 1.

    Returns:
        `(n,)` integers.

    Raises:
        InputError: Not one integer for each image.
    """
    places = np.arange(len(x)) if places is None else np.asarray(places)
    if places.shape != (len(x),) or not np.issubdtype(places.dtype, np.integer):
        raise InputError(
            f"`places` must be {len(x)} integers. Received {places.dtype} of shape {places.shape}."
        )
    return places


def _descent(steps: int, learning_rate: float, decoder: keras.Model) -> Callable[..., Tensor]:
    """The program from images and starts `(n, latent)` to the best z of each path."""

    def nearest(trainable: list[Tensor], other: list[Tensor], x: Tensor, z: Tensor) -> Tensor:
        decode, x = logits_of(decoder, State(trainable, other)), pixels(x)

        def error(z: Tensor) -> tuple[Tensor, Tensor]:
            each = ops.sum(ops.square(x - decode(z)), axis=axes_of(x))
            return ops.sum(each), each

        def step(
            _: Tensor, moving: tuple[Tensor, Adam, Tensor, Tensor]
        ) -> tuple[Tensor, Adam, Tensor, Tensor]:
            z, adam, best, smallest = moving
            _, each, gradient = backend.value_aux_and_gradient(error, z)
            nearer = each < smallest
            best, smallest = backend.select(nearer, z, best), ops.where(nearer, each, smallest)
            z, adam = adam_step(z, gradient, adam, learning_rate)
            return z, adam, best, smallest

        before = (z, adam_start(z), z, ops.full_like(z[:, 0], math.inf))
        # once more than there are steps: the last point is compared too
        return backend.fori_loop(steps + 1, step, before)[2]

    return nearest


def project(
    vae_gan: VaeGan,
    x: Array,
    *,
    steps: int = STEPS,
    learning_rate: float = LEARNING_RATE,
    prior_draws: int = PRIOR_DRAWS,
    seed: int = 0,
    places: Array | None = None,
    batch_size: int = 256,
) -> Projection:
    """The nearest decoded point that descents from all starts find.

    Args:
        vae_gan: The manifold model; its discriminator is not used.
        x: `(n, h, w, c)`, uint8 or floats in [0, 1].
        steps: Steps of Adam from each start.
        learning_rate: Adam's.
        prior_draws: Starts besides the encoder's.
        seed: Seed of the draws from the prior.
        places: The images' places in their set, `(n,)` integers; None for 0 .. n - 1.
        batch_size: Images at a time.

    Returns:
        Projections and distances; no distance is above `manifold.manifold_distance`.

    Raises:
        InputError: Images outside [0, 1], fewer than 0 steps or draws, or places that do not fit.
    """
    check_images(x)
    if steps < 0 or prior_draws < 0:
        raise InputError(
            f"`steps` and `prior_draws` must be 0 or more. Received {steps} and {prior_draws}."
        )
    keys = randomness.keys_of(seed, places_of(x, places))
    starts = [posterior_mean(vae_gan, x)]
    for number in range(prior_draws):
        folded = randomness.fold_in(backend.to_device(keys), number)
        starts.append(ops.convert_to_numpy(randomness.normal(folded, (vae_gan.latent,))))

    decoder, images = vae_gan.decoder, as_floats(x)
    make = functools.partial(_descent, steps, learning_rate)
    run = program(decoder, ("latent projection", steps, learning_rate), make)
    variables = state(decoder)
    before = (variables.trainable, variables.other)

    nearest = manifold.project(vae_gan, x)
    distance = manifold.distance(images, nearest)
    for start in starts:
        batches = in_batches(run, before, [x, start], batch_size=batch_size)
        projection = predict(decoder, np.concatenate([z for _, z in batches]))
        from_start = manifold.distance(images, projection)
        nearer = from_start < distance
        nearest[nearer], distance[nearer] = projection[nearer], from_start[nearer]
    return Projection(nearest, distance)
