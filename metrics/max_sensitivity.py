"""Max-sensitivity: how far noise in the image can change its attribution map.

    S(x) = max_k || phi(clip(x + d_k, 0, 1)) - phi(x) ||_2 / || phi(x) ||_2,   k = 1 .. 50

with phi the attribution for the class that the network predicts at the clean image x, also where it
predicts another one at the noisy image, and every entry of d_k drawn uniformly from [-.2, .2] in
pixel units. The scale of an attribution does not matter.

The maximum over draws is a lower bound of the maximum over the ball, and grows with their number.

Deviation from the paper: noisy images are clipped to the box. A network is trained, attacked and
scored there only; outside it, its map says nothing about an image. Where pixels are black or white,
half of the noise is lost.

A map that does not look at the image has S = 0, the best value, and one that is drawn anew for
every image, its pixels independent with mean 0, about sqrt(2), whatever the network: a low S says
that a map is stable, not that it is right.

Trap: the published code divides the running maximum by the norm again at every draw.

Reference: Yeh et al., arXiv 1901.09392.
"""

import functools
import inspect
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from pellucid.attacks.autoattack import randomness
from pellucid.attacks.projections import change_norm
from pellucid.metrics.attributions import Logits, predicted, prepared
from pellucid.models import backend
from pellucid.models.batching import in_batches
from pellucid.models.errors import InputError
from pellucid.models.functional import State, logits_of, pixels, program, state
from pellucid.models.types import Array, Tensor

RADIUS = 0.2
"""Largest change of a pixel, in pixel units."""

DRAWS = 50
"""Noisy copies of an image."""


def largest_change(
    attribute: Callable[[Tensor], Tensor],
    x: Tensor,
    keys: Tensor,
    *,
    radius: Tensor | float = RADIUS,
    draws: int = DRAWS,
) -> Tensor:
    """The largest change of a map among noisy images, over the map's norm. Traceable.

    Args:
        attribute: From pixels `(n, h, w, c)` to maps `(n, ...)`.
        x: Images in [0, 1], `(n, h, w, c)` float32.
        keys: The images' random keys, `(n,)` (`attacks.autoattack.randomness`).
        radius: Largest change of a pixel, in pixel units.
        draws: Noisy copies of each image.

    Returns:
        `(n,)`; NaN where a map is zero.
    """
    clean = attribute(x)

    def widen(draw: Tensor, largest: Tensor) -> Tensor:
        noise = 2.0 * randomness.uniform(randomness.fold_in(keys, draw), x.shape[1:]) - 1.0
        noisy = ops.clip(x + radius * noise, 0.0, 1.0)
        return ops.maximum(largest, change_norm(attribute(noisy) - clean, "l2"))

    norm = change_norm(clean, "l2")
    largest = backend.fori_loop(draws, widen, ops.zeros_like(norm))
    return ops.where(norm > 0, largest / ops.where(norm > 0, norm, 1.0), float("nan"))


def _program(function: Callable[..., Tensor], draws: int, model: keras.Model) -> Callable:
    takes_label = "label" in inspect.signature(function).parameters

    def change(
        trainable: list[Tensor],
        other: list[Tensor],
        x: Tensor,
        keys: Tensor,
        radius: Tensor,
        *fill: Tensor,
    ) -> Tensor:
        logits: Logits = logits_of(model, State(trainable, other))
        x = pixels(x)
        fixed = {"label": predicted(logits, x)} if takes_label else {}
        return largest_change(
            lambda noisy: function(logits, noisy, *fill, **fixed),
            x,
            keys,
            radius=radius,
            draws=draws,
        )

    return change


def max_sensitivity(
    name: str,
    model: keras.Model,
    x: Array,
    *,
    radius: float = RADIUS,
    draws: int = DRAWS,
    seed: int = 0,
    batch_size: int = 500,
    fill: Array | None = None,
    blur: float | None = None,
) -> Array:
    """The max-sensitivity of an attribution at every image.

    Args:
        name: A key of `ATTRIBUTIONS`, or `"log_likelihood_gradient"`. If its function takes no
            `label`, it explains what is predicted at the noisy image.
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1].
        radius: Largest change of a pixel, in pixel units.
        draws: Noisy copies of each image.
        seed: Seed of the noise, which depends on an image's place in `x` and not on its batch; both
            backends draw the same.
        batch_size: Images at a time. Draws are computed one after the other.
        fill: The training set's channel means, as for `attributions.run`.
        blur: Measure the maps blurred by so many pixels (`spectrum.blur`).

    Returns:
        `(n,)` float64; NaN where the map of the clean image is zero.

    Raises:
        InputError: As `attributions.run`, and if `radius` or `draws` is not above 0.
    """
    if not (radius > 0 and draws > 0):
        raise InputError(f"`radius` and `draws` must be above 0. Received {radius} and {draws}.")
    function, further = prepared(name, x, fill, blur)
    after = (backend.to_device(np.array(radius, np.float32)), *further)
    compiled = program(
        model,
        ("max_sensitivity", name, draws, blur is None),
        functools.partial(_program, function, draws),
    )
    variables = state(model)
    values = np.empty(len(x), np.float64)
    for part, batch in in_batches(
        compiled,
        (variables.trainable, variables.other),
        [x, randomness.keys_of(seed, np.arange(len(x)))],
        lambda _: after,
        batch_size=batch_size,
    ):
        values[part] = batch
    return values
