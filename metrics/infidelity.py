"""Infidelity: how badly a signed map predicts what noise in the image does to a logit.

    INFD(x) = min_b mean_k (b I_k.phi - (f(x) - f(x - I_k)))^2,   k = 1 .. K,   K = 50

with f the logit of the class that is predicted at x, phi a map with one signed number per pixel and
channel, and I_k = x - clip(x - n_k, 0, 1) Gaussian noise of standard deviation .2 in pixel units,
clipped so that x - I_k stays in the box. Every image has its own factor b, that of least squares,
which may be negative: neither the scale of a map matters nor the sign that all of it has. INFD is 0
for the gradient of a linear f.

INFD grows with the square of the logits' scale, so networks are compared by

    INFD(x) / mean_k (f(x) - f(x - I_k))^2   in [0, 1]

the share of the change that the map does not explain. For a linear f and noise that clipping leaves
isotropic it is 1 - cos^2 of the angle between the map and the gradient, for many draws. A map that
was drawn without looking at the network has about (1 - 1/K) (1 - 1/d) on average, with d the number
of entries: one factor, fitted to K draws, explains 1/K of anything. A map of zeros has 1.

A map without sign, or one summed over channels, has no meaning in I.phi: attributions that rank
pixels are not measured by this. Without a map, it is the gradient of f that is measured.

Reference: Yeh et al., arXiv 1901.09392. In their experiments x - I_k is noise around black; here
noise is added to the image, as for max-sensitivity. The factor b is from their code.
"""

import functools
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from pellucid.attacks.autoattack import randomness
from pellucid.attacks.projections import axes_of
from pellucid.metrics.attributions import Logits, predicted
from pellucid.models import backend
from pellucid.models.batching import in_batches
from pellucid.models.checks import check_images, check_paired
from pellucid.models.errors import InputError
from pellucid.models.functional import State, logits_of, pixels, program, state
from pellucid.models.types import Array, Tensor

SIGMA = 0.2
"""Standard deviation of the noise, in pixel units."""

DRAWS = 50
"""Noisy copies of an image."""


def _logit(logits: Logits, x: Tensor, label: Tensor) -> Tensor:
    """The logit of a class, `(n,)`."""
    output = logits(x)
    return ops.sum(ops.one_hot(label, output.shape[-1], dtype="float32") * output, axis=-1)


def logit_gradient(logits: Logits, x: Tensor) -> Tensor:
    """The gradient of the predicted class's logit, with its sign; `(n, h, w, c)`. Traceable."""
    label = predicted(logits, x)
    _, gradient = backend.value_and_gradient(lambda z: ops.sum(_logit(logits, z, label)), x)
    return gradient


def changes(
    logits: Logits, x: Tensor, maps: Tensor, keys: Tensor, *, sigma: Tensor | float, draws: int
) -> Tensor:
    """I_k.phi and f(x) - f(x - I_k) for every draw, `(n, draws, 2)`. Traceable.

    Args:
        logits: From pixels `(n, h, w, c)` to `(n, classes)`.
        x: Images in [0, 1], `(n, h, w, c)` float32.
        maps: Signed maps, `(n, h, w, c)`.
        keys: The images' random keys, `(n,)` (`attacks.autoattack.randomness`).
        sigma: Standard deviation of the noise, in pixel units.
        draws: Noisy copies of each image.
    """
    label = predicted(logits, x)
    clean = _logit(logits, x, label)

    def add(draw: Tensor, values: Tensor) -> Tensor:
        noise = sigma * randomness.normal(randomness.fold_in(keys, draw), x.shape[1:])
        noisy = ops.clip(x - noise, 0.0, 1.0)
        expected = ops.sum((x - noisy) * maps, axis=axes_of(x))
        pair = ops.stack([expected, clean - _logit(logits, noisy, label)], axis=1)
        return values + ops.reshape(ops.one_hot(draw, draws), (1, draws, 1)) * pair[:, None]

    start = ops.zeros_like(clean)[:, None, None] + ops.zeros((1, draws, 2))
    return backend.fori_loop(draws, add, start)


def unexplained(expected: Array, change: Array) -> tuple[Array, Array]:
    """The mean squared error of a map's best multiple, and the mean squared change; `(n,)` each.

    Args:
        expected: I_k.phi, `(n, draws)`.
        change: f(x) - f(x - I_k), `(n, draws)`.
    """
    expected, change = np.asarray(expected, np.float64), np.asarray(change, np.float64)
    squares = np.sum(expected**2, axis=1, keepdims=True)
    factor = np.sum(expected * change, axis=1, keepdims=True) / np.where(squares > 0, squares, 1.0)
    return np.mean((factor * expected - change) ** 2, axis=1), np.mean(change**2, axis=1)


def _checked(maps: Array, shape: tuple[int, ...]) -> Array:
    """Signed maps as float32.

    Raises:
        InputError: They are of another shape, or not finite.
    """
    maps = np.asarray(maps, np.float32)
    if maps.shape != shape:
        raise InputError(
            f"`maps` must be signed and have the shape of `x`, {shape}. Received {maps.shape}."
        )
    if not np.isfinite(maps).all():
        raise InputError("`maps` must be finite. Received NaN or infinity.")
    return maps


def _program(draws: int, maps_are_given: bool, model: keras.Model) -> Callable:
    def measure(
        trainable: list[Tensor], other: list[Tensor], x: Tensor, keys: Tensor, *further: Tensor
    ) -> Tensor:
        *given, sigma = further
        logits: Logits = logits_of(model, State(trainable, other))
        x = pixels(x)
        if maps_are_given:
            maps = given[0]
        else:
            maps = logit_gradient(logits, pixels(given[0]) if given else x)
        return changes(logits, x, maps, keys, sigma=sigma, draws=draws)

    return measure


def infidelity(
    model: keras.Model,
    x: Array,
    maps: Array | None = None,
    *,
    at: Array | None = None,
    relative: bool = False,
    sigma: float = SIGMA,
    draws: int = DRAWS,
    seed: int = 0,
    batch_size: int = 500,
) -> Array:
    """The infidelity of signed maps at every image.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1].
        maps: One signed number per pixel and channel, as `x`; None for the gradient of the
            predicted class's logit.
        at: The images whose gradients are taken, as `x`: a control, as it has other images'. None
            for the same.
        relative: Whether to divide by the mean squared change of the logit.
        sigma: Standard deviation of the noise, in pixel units.
        draws: Noisy copies of each image.
        seed: Seed of the noise, which depends on an image's place in `x` and not on its batch; both
            backends draw the same.
        batch_size: Images at a time. Draws are computed one after the other.

    Returns:
        `(n,)` float64, in squared units of the logits, or without unit if `relative`; then NaN
        where noise does not change the logit.

    Raises:
        InputError: Images are outside [0, 1], maps are of another shape or not finite, both `maps`
            and `at` are given, or `sigma` or `draws` is not above 0.
    """
    check_images(x)
    if at is not None:
        check_paired(x, at)
    if not (sigma > 0 and draws > 0):
        raise InputError(f"`sigma` and `draws` must be above 0. Received {sigma} and {draws}.")
    rows = [x, randomness.keys_of(seed, np.arange(len(x)))]
    if maps is not None and at is not None:
        raise InputError("`maps` are given, so no gradient is taken at the images `at`. Pass one.")
    if maps is not None:
        rows.append(_checked(maps, x.shape))
    elif at is not None:
        rows.append(at)
    compiled = program(
        model,
        ("infidelity", draws, maps is None, at is None),
        functools.partial(_program, draws, maps is not None),
    )
    variables = state(model)
    noise = backend.to_device(np.array(sigma, np.float32))
    values = np.empty((len(x), draws, 2), np.float32)
    for part, batch in in_batches(
        compiled,
        (variables.trainable, variables.other),
        rows,
        lambda _: (noise,),
        batch_size=batch_size,
    ):
        values[part] = batch
    error, change = unexplained(values[..., 0], values[..., 1])
    if not relative:
        return error
    return np.divide(error, change, out=np.full(len(x), np.nan), where=change > 0)
