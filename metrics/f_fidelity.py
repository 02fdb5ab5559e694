"""F-Fidelity: how much accuracy falls when random pixels among the most important are removed.

Let r be the evaluated network, fine-tuned on images without a random fraction β of their d pixels
(`benchmark.training.fine_tuning`), x an image with label y, and T_s the s d pixels of x that rank
highest, rounded. Of a set T of m pixels, each is removed independently with the probability

    p(m) = min(α, β d / m),

so that on average at most β d pixels are missing, as many as in fine-tuning. With x - T the image
after such a draw from T, and R_s all pixels outside T_s,

    FFid+(s) = 1[r(x) = y] - mean over masks of 1[r(x - T_s) = y],
    FFid-(s) = 1[r(x) = y] - mean over masks of 1[r(x - R_s) = y].

High FFid+ and low FFid- speak for the order. α = .5, β = .1, 50 masks; s = .1, .3, .5, .7, .9, as
in the retraining curves. An order that knows nothing has FFid+(s) = FFid-(1 - s) in expectation for
every s. At one and the same s its two values differ by the number of missing pixels, on average
d min(α s, β) and d min(α (1 - s), β): equal for β/α <= s <= 1 - β/α, from .2 to .8.

A removed pixel loses all its channels. What is drawn depends on an image's place and a seed, and
is shared by all networks, orders and s: they are compared on the same draws.

Reference: Zheng et al., arXiv 2410.02970. The probability with its limit is that of the authors'
evaluation program; like here, that program limits FFid- by the size of the set FFid- removes from.
Their short example uses the size of the other set, and compares a fraction with a count.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from pellucid.attacks.autoattack import randomness
from pellucid.metrics.masking import masked, pixel_count
from pellucid.models import backend
from pellucid.models.batching import in_batches
from pellucid.models.checks import check_images, check_labels
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

FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Shares of the pixels that count as the most important."""

ALPHA = 0.5
"""Largest probability of a pixel to be removed."""

BETA = 0.1
"""Largest share of an image's pixels removed on average; the share removed in fine-tuning."""

MASKS = 50
"""Random masks per image and set of pixels."""


@dataclass(frozen=True)
class Hits:
    """Correct predictions, image by image.

    Attributes:
        fractions: `(k,)`: the shares s of the most important pixels.
        masks: Random masks per image.
        untouched: `(n,)` bool: whether the image itself is classified correctly.
        without_top: `(k, n)` int32: of how many masks on the top pixels this is so.
        without_rest: `(k, n)` int32: the same of masks on all other pixels.
    """

    fractions: tuple[float, ...]
    masks: int
    untouched: Array
    without_top: Array
    without_rest: Array

    def plus(self) -> Array:
        """FFid+, `(k, n)` float64 in [-1, 1]."""
        return self.untouched - self.without_top / self.masks

    def minus(self) -> Array:
        """FFid-, `(k, n)` float64 in [-1, 1]."""
        return self.untouched - self.without_rest / self.masks


class Removal(NamedTuple):
    """Which pixels can be removed, and how.

    Attributes:
        fill: `(c,)` float32: what a removed pixel becomes.
        count: How many pixels are the most important; an integer scalar.
        top: Whether pixels are removed from these, or from all others; a boolean scalar.
        probability: Of each pixel of the set to be removed; a float32 scalar.
        masks: Random masks per image; an integer scalar.
    """

    fill: Tensor
    count: Tensor
    top: Tensor
    probability: Tensor
    masks: Tensor


def removal_probability(size: int, pixels: int, *, alpha: float, beta: float) -> float:
    """min(alpha, beta d / m), for a set of m = `size` pixels of an image with d = `pixels`."""
    return min(alpha, beta * pixels / size) if size else alpha


def hits(
    logits: Callable[..., Tensor],
    x: Tensor,
    y: Tensor,
    ranks: Tensor,
    keys: Tensor,
    removal: Removal,
) -> Tensor:
    """How many masks leave an image's prediction correct. Traceable; one mask after the other.

    Args:
        logits: Function `(x, draw)` from pixels to logits, as from `functional.logits_of`.
        x: `(n, h, w, c)` in [0, 1].
        y: Labels `(n,)`, int32.
        ranks: `(n, h, w)` integers, 0 the most important pixel.
        keys: Keys of the images, `(n,)` uint32 (`autoattack.randomness`).
        removal: Which pixels are removed.

    Returns:
        `(n,)` int32.
    """
    in_set = ops.equal(ops.cast(ranks, "int32") < removal.count, removal.top)

    def one(number: Tensor, correct: Tensor) -> Tensor:
        drawn = randomness.uniform(randomness.fold_in(keys, number), x.shape[1:3])
        stays = ops.logical_not(ops.logical_and(in_set, drawn < removal.probability))
        images = masked(x, stays, 1, False, removal.fill)
        predicted = ops.cast(ops.argmax(logits(images, number), axis=-1), "int32")
        return correct + ops.cast(predicted == y, "int32")

    return backend.fori_loop(removal.masks, one, ops.zeros_like(y))


def _program(model: keras.Model) -> Callable:
    def run(
        trainable: list[Tensor],
        other: list[Tensor],
        x: Tensor,
        y: Tensor,
        ranks: Tensor,
        keys: Tensor,
        removal: Removal,
    ) -> Tensor:
        return hits(logits_of(model, State(trainable, other)), pixels(x), y, ranks, keys, removal)

    return run


def _check(
    x: Array, ranks: Array, places: Array, fill: Array, *, masks: int, alpha: float, beta: float
) -> None:
    for name, value, shape in (
        ("ranks", ranks, x.shape[:3]),
        ("places", places, x.shape[:1]),
        ("fill", fill, x.shape[3:]),
    ):
        if value.shape != shape:
            raise InputError(f"`{name}` must have shape {shape}. Received {value.shape}.")
    if masks < 1:
        raise InputError(f"`masks` must be at least 1. Received {masks}.")
    if not (0 < alpha <= 1 and beta > 0):
        raise InputError(
            f"`alpha` must lie in (0, 1] and `beta` above 0. Received {alpha} and {beta}."
        )


def run(
    model: keras.Model,
    x: Array,
    y: Array,
    ranks: Array,
    *,
    fill: Array,
    seed: int,
    fractions: Sequence[float] = FRACTIONS,
    masks: int = MASKS,
    alpha: float = ALPHA,
    beta: float = BETA,
    values: State | None = None,
    places: Array | None = None,
    batch_size: int = 500,
) -> Hits:
    """What F-Fidelity counts, for every image in an array.

    One compiled program serves all fractions, both sets of pixels and any number of masks: they are
    its arguments. It holds one masked copy of a batch at a time.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`, integers.
        ranks: `(n, h, w)` integers: the order that is scored, 0 the most important pixel
            (`ranking.pieces`).
        fill: `(c,)`: what a removed pixel becomes, the training set's channel means.
        seed: Seed of the masks.
        fractions: Shares s of the most important pixels, in (0, 1).
        masks: Random masks per image and set of pixels.
        alpha: Largest probability of a pixel to be removed, in (0, 1].
        beta: Largest share of an image's pixels removed on average, above 0.
        values: Variables to use in place of the model's: the fine-tuned weights.
        places: The images' places in their set, `(n,)`, to which the masks belong; None for 0, 1,
            ..., n - 1.
        batch_size: Images at a time; the result does not depend on it.

    Returns:
        The correct predictions of every image.

    Raises:
        InputError: Images outside [0, 1], labels outside the classes, another shape than stated,
            or a number out of its range.
    """
    check_images(x)
    check_labels(y, len(x), int(model.output_shape[-1]))
    y, fill = np.asarray(y, np.int32), np.asarray(fill, np.float32)
    places = np.arange(len(x)) if places is None else np.asarray(places)
    _check(x, ranks, places, fill, masks=masks, alpha=alpha, beta=beta)
    total = int(np.prod(x.shape[1:3]))
    counts = [pixel_count(fraction, total) for fraction in fractions]
    values = values or state(model)
    before = (values.trainable, values.other)
    compiled = program(model, ("f-fidelity",), _program)
    rows = [x, y, ranks, randomness.keys_of(seed, places)]

    def correct(count: int, top: bool) -> Array:
        size = count if top else total - count
        probability = removal_probability(size, total, alpha=alpha, beta=beta)
        removal = Removal(
            backend.to_device(fill),
            backend.to_device(np.asarray(count, np.int32)),
            backend.to_device(np.asarray(top)),
            backend.to_device(np.asarray(probability, np.float32)),
            backend.to_device(np.asarray(masks, np.int32)),
        )
        parts = in_batches(compiled, before, rows, lambda _: (removal,), batch_size=batch_size)
        return np.concatenate([part for _, part in parts])

    return Hits(
        tuple(fractions),
        masks,
        predict(model, x, values=values, batch_size=batch_size).argmax(-1) == y,
        np.stack([correct(count, True) for count in counts]),
        np.stack([correct(count, False) for count in counts]),
    )
