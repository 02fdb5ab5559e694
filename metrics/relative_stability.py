"""Relative stability: the change of an attribution map against that of the image or the logits.

    RIS(x) = max_k || (e_k - e) / e ||_2 / max(|| (x_k - x) / x ||_2, 1e-6)
    ROS(x) = max_k || (e_k - e) / e ||_2 / max(|| f(x_k) - f(x) ||_2, 1e-6)

with e and e_k the attribution maps of the image x and of a noisy image x_k = clip(x + n_k, 0, 1),
and n_k, k = 1 .. 50, Gaussian noise of standard deviation .05 in pixel units. Division is
elementwise. Only those x_k count at which the network predicts the same class as at x. The scale of
a map does not matter for either; that of the logits f does for ROS.

What the paper leaves open:
- In (x_k - x) / x pixels are on the scale [-1, 1], as in attributions. In [0, 1] black pixels, most
  of a digit's image, would have no relative change.
- An entry of e or x that is zero has no relative change, and is left out of the norm. Entries near
  zero dominate it: values of different networks differ by orders of magnitude, and their logarithms
  or ranks are what to compare.
- Noisy images are clipped to the box, outside of which no network is trained.
- A maximum over fewer draws tends to be smaller, so the number that counted is returned too.

A map that does not look at the image has RIS = ROS = 0, the best value: a low value says that a map
is stable, not that it is right.

Reference: Agarwal et al., arXiv 2203.06877.
"""

import functools
from collections.abc import Callable
from typing import NamedTuple

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

SIGMA = 0.05
"""Standard deviation of the noise, in pixel units."""

DRAWS = 50
"""Noisy copies of an image."""

SMALLEST = 1e-6
"""The least that a change of the image or the logits counts as."""


class Stability(NamedTuple):
    """Relative stability of a map to the image and to the logits, `(n,)` float64 each.

    Attributes:
        input: RIS; NaN where no draw counted or the map is zero.
        output: ROS; likewise.
        counted: Draws at which the prediction was that of the clean image, `(n,)` integers.
    """

    input: Array
    output: Array
    counted: Array


def _relative_change(value: Tensor, changed: Tensor) -> Tensor:
    """|| (changed - value) / value ||_2 over the entries that are not zero, `(n,)`."""
    nonzero = value != 0
    divisor = ops.where(nonzero, value, 1.0)
    return change_norm(ops.where(nonzero, (changed - value) / divisor, 0.0), "l2")


def largest_ratios(
    attribute: Callable[[Tensor], Tensor],
    logits: Logits,
    x: Tensor,
    keys: Tensor,
    *,
    sigma: Tensor | float = SIGMA,
    draws: int = DRAWS,
) -> Tensor:
    """RIS, ROS and the number of draws that counted, `(n, 3)`. Traceable.

    Args:
        attribute: From pixels `(n, h, w, c)` to maps `(n, ...)`.
        logits: From pixels to `(n, classes)`.
        x: Images in [0, 1], `(n, h, w, c)` float32.
        keys: The images' random keys, `(n,)` (`attacks.autoattack.randomness`).
        sigma: Standard deviation of the noise, in pixel units.
        draws: Noisy copies of each image.
    """
    map_, output, label = attribute(x), logits(x), predicted(logits, x)

    def widen(draw: Tensor, best: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        noise = randomness.normal(randomness.fold_in(keys, draw), x.shape[1:])
        noisy = ops.clip(x + sigma * noise, 0.0, 1.0)
        output_noisy = logits(noisy)
        counts = ops.argmax(output_noisy, axis=-1) == label
        change = _relative_change(map_, attribute(noisy))
        of_input = _relative_change(2.0 * x - 1.0, 2.0 * noisy - 1.0)
        of_output = change_norm(output_noisy - output, "l2")
        ris, ros = (
            ops.where(counts, ops.maximum(largest, change / ops.maximum(moved, SMALLEST)), largest)
            for largest, moved in zip(best, (of_input, of_output), strict=False)
        )
        return ris, ros, best[2] + ops.cast(counts, "float32")

    zeros = ops.zeros_like(change_norm(map_, "l2"))
    ris, ros, counted = backend.fori_loop(draws, widen, (zeros, zeros, zeros))
    defined = (counted > 0) & (change_norm(map_, "l2") > 0)
    ratios = (ops.where(defined, ratio, float("nan")) for ratio in (ris, ros))
    return ops.stack([*ratios, counted], axis=1)


def _program(function: Callable[..., Tensor], draws: int, model: keras.Model) -> Callable:
    def ratios(
        trainable: list[Tensor],
        other: list[Tensor],
        x: Tensor,
        keys: Tensor,
        sigma: Tensor,
        *fill: Tensor,
    ) -> Tensor:
        logits: Logits = logits_of(model, State(trainable, other))
        return largest_ratios(
            lambda noisy: function(logits, noisy, *fill),
            logits,
            pixels(x),
            keys,
            sigma=sigma,
            draws=draws,
        )

    return ratios


def relative_stability(
    name: str,
    model: keras.Model,
    x: Array,
    *,
    sigma: float = SIGMA,
    draws: int = DRAWS,
    seed: int = 0,
    batch_size: int = 500,
    fill: Array | None = None,
    blur: float | None = None,
) -> Stability:
    """RIS and ROS of an attribution at every image.

    Args:
        name: A key of `ATTRIBUTIONS`, or `"log_likelihood_gradient"`.
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1].
        sigma: Standard deviation of the noise, in pixel units.
        draws: Noisy copies of each image.
        seed: Seed of the noise, which depends on an image's place in `x` and not on its batch; both
            backends draw the same.
        batch_size: Images at a time. Draws are computed one after the other.
        fill: The training set's channel means, as for `attributions.run`.
        blur: Measure the maps blurred by so many pixels (`spectrum.blur`).

    Returns:
        RIS, ROS and the number of draws that counted, for every image.

    Raises:
        InputError: As `attributions.run`, and if `sigma` or `draws` is not above 0.
    """
    if not (sigma > 0 and draws > 0):
        raise InputError(f"`sigma` and `draws` must be above 0. Received {sigma} and {draws}.")
    function, further = prepared(name, x, fill, blur)
    after = (backend.to_device(np.array(sigma, np.float32)), *further)
    compiled = program(
        model,
        ("relative_stability", name, draws, blur is None),
        functools.partial(_program, function, draws),
    )
    variables = state(model)
    values = np.empty((len(x), 3), np.float64)
    for part, batch in in_batches(
        compiled,
        (variables.trainable, variables.other),
        [x, randomness.keys_of(seed, np.arange(len(x)))],
        lambda _: after,
        batch_size=batch_size,
    ):
        values[part] = batch
    return Stability(values[:, 0], values[:, 1], values[:, 2].astype(np.int64))
