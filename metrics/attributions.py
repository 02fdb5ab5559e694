"""Attributions: how much each pixel matters for the prediction, from the gradient at the input.

With f the network, x an image and c the class that f predicts, the loss is the cross-entropy of
f(x) at c. Gradients are taken with respect to the rescaled image 2x - 1 in [-1, 1], as the network
sees it and the paper defines it.

An attribution is a traceable function of `logits`, from pixels `(n, h, w, c)` in [0, 1] to
`(n, classes)`, and of such pixels; it returns `(n, h, w)`. One that takes a `label`,
`(n,)` integers, can explain another class than the predicted one; one whose record says
`takes_fill` has the training set's channel means, `(c,)`, as its third argument.

Reference: arXiv 1903.11626, section 3.2.
"""

import functools
import importlib
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from pellucid.attacks.losses import xent
from pellucid.metrics import ATTRIBUTIONS, SIGNED_GRADIENT, Attribution, spectrum
from pellucid.models import backend
from pellucid.models.batching import in_batches
from pellucid.models.checks import check_images
from pellucid.models.errors import InputError, unknown
from pellucid.models.functional import State, logits_of, pixels, program, state
from pellucid.models.types import Array, Tensor

Logits = Callable[[Tensor], Tensor]


def predicted(logits: Logits, x: Tensor) -> Tensor:
    """The class of the highest logit, `(n,)`, constant for every gradient. Traceable."""
    return backend.stop_gradient(ops.argmax(logits(x), axis=-1))


def loss_gradient(logits: Logits, x: Tensor, label: Tensor | None = None) -> Tensor:
    """The gradient d xent(f(x), c) / d(2x - 1), `(n, h, w, c)`. Traceable."""
    if label is None:
        label = predicted(logits, x)
    _, gradient = backend.value_and_gradient(lambda z: ops.sum(xent(logits(z), label)), x)
    return gradient / 2.0


def gradient(logits: Logits, x: Tensor, label: Tensor | None = None) -> Tensor:
    """Gradient (G): |d xent / dx|, summed over channels; `(n, h, w)`."""
    return ops.sum(ops.abs(loss_gradient(logits, x, label)), axis=-1)


def gradient_input(logits: Logits, x: Tensor, label: Tensor | None = None) -> Tensor:
    """Gradient x Input (GX): |x * d xent / dx|, x in [-1, 1], summed over channels; `(n, h, w)`."""
    return ops.sum(ops.abs((2.0 * x - 1.0) * loss_gradient(logits, x, label)), axis=-1)


def log_likelihood_gradient(logits: Logits, x: Tensor, label: Tensor | None = None) -> Tensor:
    """The signed map of the pictures: d log p(c | x) / dx, summed over channels; `(n, h, w)`."""
    return ops.sum(-loss_gradient(logits, x, label), axis=-1)


def _record(name: str) -> Attribution:
    records = ATTRIBUTIONS | {SIGNED_GRADIENT.name: SIGNED_GRADIENT}
    if name not in records:
        raise unknown("attribution", name, records)
    return records[name]


def _function(record: Attribution) -> Callable[..., Tensor]:
    module = importlib.import_module(f"pellucid.metrics.{record.module}")
    return getattr(module, record.name)


def _check_fill(name: str, fill: Array | None, channels: int) -> Array:
    """The channel means as float32.

    Raises:
        InputError: There are none, or they are not one number in [0, 1] for each channel.
    """
    if fill is None:
        raise InputError(
            f"The attribution '{name}' needs `fill`, the training set's channel means, shape"
            f" ({channels},)."
        )
    means = np.asarray(fill, np.float32)
    if means.shape != (channels,) or not ((means >= 0) & (means <= 1)).all():
        raise InputError(
            f"`fill` must be the training set's channel means in [0, 1], shape ({channels},)."
            f" Received {means.tolist()}."
        )
    return means


def prepared(
    name: str, x: Array, fill: Array | None = None, blur: float | None = None
) -> tuple[Callable[..., Tensor], tuple[Tensor, ...]]:
    """The function of an attribution, and its arguments after `logits` and pixels.

    Args:
        name: As for `run`.
        x: As for `run`.
        fill: As for `run`.
        blur: By how many pixels maps are blurred, as by `spectrum.blur`; None for not at all.

    Raises:
        InputError: As `run`.
    """
    record = _record(name)
    check_images(x)
    function = _function(record)
    further: tuple[Tensor, ...] = ()
    if record.takes_fill:
        further = (backend.to_device(_check_fill(name, fill, x.shape[-1])),)
    if blur is None:
        return function, further
    matrices = (spectrum.blur_matrix(side, blur).astype(np.float32) for side in x.shape[1:3])
    return _blurred(function), (*further, *map(backend.to_device, matrices))


def _blurred(attribution: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """An attribution that takes the blur of rows and of columns as its last two arguments."""

    @functools.wraps(attribution)
    def blurred(logits: Logits, x: Tensor, *further: Tensor, **fixed: Tensor) -> Tensor:
        *before, rows, columns = further
        maps = attribution(logits, x, *before, **fixed)
        return ops.einsum("ih,nhw,jw->nij", rows, maps, columns)

    return blurred


def _program(attribution: Callable[..., Tensor], model: keras.Model) -> Callable:
    return lambda trainable, other, x, *fill: attribution(
        logits_of(model, State(trainable, other)), pixels(x), *fill
    )


def run(
    name: str,
    model: keras.Model,
    x: Array,
    *,
    batch_size: int = 500,
    fill: Array | None = None,
) -> Array:
    """An attribution of every image in an array.

    Args:
        name: A key of `ATTRIBUTIONS`, or `"log_likelihood_gradient"`.
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1].
        batch_size: Images at a time.
        fill: The training set's channel means, `(c,)` in [0, 1]; only an attribution whose record
            says `takes_fill` reads them.

    Returns:
        `(n, h, w)` float32.

    Raises:
        InputError: The name is unknown, there are images outside [0, 1], or the attribution takes
            channel means and there are none or others.
    """
    function, after = prepared(name, x, fill)
    compiled = program(model, ("attribution", name), functools.partial(_program, function))
    variables = state(model)
    before = (variables.trainable, variables.other)
    maps = np.empty(x.shape[:3], np.float32)
    for part, batch in in_batches(compiled, before, [x], lambda _: after, batch_size=batch_size):
        maps[part] = batch
    return maps
