"""Attributions: how much each pixel matters for the prediction, from the gradient at the input.

With f the network, x an image and c the class that f predicts, the loss is the cross-entropy of
f(x) at c. Gradients are taken with respect to the rescaled image 2x - 1 in [-1, 1], as the network
sees it and the paper has it.

Reference: arXiv 1903.11626, section 3.2.
"""

import functools
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from robust_interpretability.attacks.losses import xent
from robust_interpretability.models import backend
from robust_interpretability.models.batching import in_batches
from robust_interpretability.models.checks import check_images
from robust_interpretability.models.errors import unknown
from robust_interpretability.models.functional import State, logits_of, pixels, program, state


def _loss_gradient(logits: Callable, x: Any) -> Any:
    """The gradient d xent(f(x), c) / d(2x - 1), `(n, h, w, c)`."""
    label = backend.stop_gradient(ops.argmax(logits(x), axis=-1))
    _, gradient = backend.value_and_gradient(lambda z: ops.sum(xent(logits(z), label)), x)
    return gradient / 2.0


def gradient(logits: Callable, x: Any) -> Any:
    """Gradient (G): |d xent / dx|, summed over channels.

    `(n, h, w, c)` in [0, 1] to `(n, h, w)`.
    """
    return ops.sum(ops.abs(_loss_gradient(logits, x)), axis=-1)


def gradient_input(logits: Callable, x: Any) -> Any:
    """Gradient*Input (GX): |x * d xent / dx| with x in [-1, 1], summed over channels.

    `(n, h, w, c)` in [0, 1] to `(n, h, w)`.
    """
    return ops.sum(ops.abs((2.0 * x - 1.0) * _loss_gradient(logits, x)), axis=-1)


def log_likelihood_gradient(logits: Callable, x: Any) -> Any:
    """The signed map of the pictures: gradient of log p(c | x), summed over channels; `(n, h, w)`."""
    return ops.sum(-_loss_gradient(logits, x), axis=-1)


_FUNCTIONS = {f.__name__: f for f in (gradient, gradient_input, log_likelihood_gradient)}


def _program(attribution: Callable, model: keras.Model) -> Callable:
    return lambda trainable, other, x: attribution(
        logits_of(model, State(trainable, other)), pixels(x)
    )


def run(name: str, model: keras.Model, x: np.ndarray, *, batch_size: int = 500) -> np.ndarray:
    """An attribution of every image in an array.

    Args:
        name: `"gradient"`, `"gradient_input"` or `"log_likelihood_gradient"`.
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1].
        batch_size: Images at a time.

    Returns:
        `(n, h, w)` float32.

    Raises:
        InputError: The name is unknown; images outside [0, 1].
    """
    if name not in _FUNCTIONS:
        raise unknown("attribution", name, _FUNCTIONS)
    check_images(x)
    compiled = program(model, ("attribution", name), functools.partial(_program, _FUNCTIONS[name]))
    values = state(model)
    out = np.empty(x.shape[:3], np.float32)
    for part, found in in_batches(
        compiled, (values.trainable, values.other), [x], batch_size=batch_size
    ):
        out[part] = found
    return out
