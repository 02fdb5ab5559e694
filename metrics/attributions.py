"""Attributions: how much each pixel matters for the prediction, from the gradient at the input.

With f the network, x an image and c the class that f predicts, the loss is the cross-entropy of
f(x) at c. Gradients are taken with respect to the rescaled image 2x - 1 in [-1, 1], as the network
sees it and the paper defines it.

An attribution is a traceable function of `logits`, from pixels `(n, h, w, c)` in [0, 1] to
`(n, classes)`, and of such pixels; it returns `(n, h, w)`.

Reference: arXiv 1903.11626, section 3.2.
"""

import functools
import importlib
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from robust_interpretability.attacks.losses import xent
from robust_interpretability.metrics import ATTRIBUTIONS, SIGNED_GRADIENT
from robust_interpretability.models import backend
from robust_interpretability.models.batching import in_batches
from robust_interpretability.models.checks import check_images
from robust_interpretability.models.errors import unknown
from robust_interpretability.models.functional import State, logits_of, pixels, program, state
from robust_interpretability.models.types import Array, Tensor

Logits = Callable[[Tensor], Tensor]


def loss_gradient(logits: Logits, x: Tensor) -> Tensor:
    """The gradient d xent(f(x), c) / d(2x - 1), `(n, h, w, c)`. Traceable."""
    label = backend.stop_gradient(ops.argmax(logits(x), axis=-1))
    _, gradient = backend.value_and_gradient(lambda z: ops.sum(xent(logits(z), label)), x)
    return gradient / 2.0


def gradient(logits: Logits, x: Tensor) -> Tensor:
    """Gradient (G): |d xent / dx|, summed over channels; `(n, h, w)`."""
    return ops.sum(ops.abs(loss_gradient(logits, x)), axis=-1)


def gradient_input(logits: Logits, x: Tensor) -> Tensor:
    """Gradient x Input (GX): |x * d xent / dx|, x in [-1, 1], summed over channels; `(n, h, w)`."""
    return ops.sum(ops.abs((2.0 * x - 1.0) * loss_gradient(logits, x)), axis=-1)


def log_likelihood_gradient(logits: Logits, x: Tensor) -> Tensor:
    """The signed map of the pictures: d log p(c | x) / dx, summed over channels; `(n, h, w)`."""
    return ops.sum(-loss_gradient(logits, x), axis=-1)


def _function(name: str) -> Callable[[Logits, Tensor], Tensor]:
    records = ATTRIBUTIONS | {SIGNED_GRADIENT.name: SIGNED_GRADIENT}
    if name not in records:
        raise unknown("attribution", name, records)
    module = importlib.import_module(f"robust_interpretability.metrics.{records[name].module}")
    return getattr(module, name)


def _program(attribution: Callable[[Logits, Tensor], Tensor], model: keras.Model) -> Callable:
    return lambda trainable, other, x: attribution(
        logits_of(model, State(trainable, other)), pixels(x)
    )


def run(name: str, model: keras.Model, x: Array, *, batch_size: int = 500) -> Array:
    """An attribution of every image in an array.

    Args:
        name: A key of `ATTRIBUTIONS`, or `"log_likelihood_gradient"`.
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1].
        batch_size: Images at a time.

    Returns:
        `(n, h, w)` float32.

    Raises:
        InputError: The name is unknown, or there are images outside [0, 1].
    """
    function = _function(name)
    check_images(x)
    compiled = program(model, ("attribution", name), functools.partial(_program, function))
    variables = state(model)
    before = (variables.trainable, variables.other)
    maps = np.empty(x.shape[:3], np.float32)
    for part, batch in in_batches(compiled, before, [x], batch_size=batch_size):
        maps[part] = batch
    return maps
