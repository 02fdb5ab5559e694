"""Attributions and gradients of a caller's model."""

import functools
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from pellucid.attacks import losses
from pellucid.benchmark.library.classifier import check_scale, classifier
from pellucid.benchmark.library.inputs import image_maps, images, labels
from pellucid.metrics import ATTRIBUTIONS, attributions
from pellucid.models import backend
from pellucid.models.batching import in_batches
from pellucid.models.errors import InputError
from pellucid.models.functional import State, logits_of, pixels, program, state
from pellucid.models.types import Array, Tensor

Loss = Callable[[Tensor, Tensor], Tensor]
"""From logits `(n, classes)` and labels `(n,)` to one value per image, `(n,)`; traceable."""


def list_attributions() -> list[str]:
    """The names that `attribute` takes.

    >>> import pellucid
    >>> "gradient_input" in pellucid.list_attributions()
    True
    """
    return list(ATTRIBUTIONS)


def attribute(
    attribution: str,
    model: object,
    x: object,
    *,
    logits: bool = True,
    scale: float = 1.0,
    batch_size: int = 500,
    fill: object = None,
) -> Array:
    """How much each pixel matters to a model's prediction: larger is more.

    Args:
        attribution: A name from `list_attributions`.
        model: A Keras model of images `(n, h, w, c)` to `(n, classes)`.
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1]; what NumPy can convert.
        logits: Whether the model outputs logits; False for probabilities.
        scale: What pixels in [0, 1] are multiplied by before the model: 255 if it takes 0 to 255.
        batch_size: Images at a time.
        fill: The training images' channel means, `(c,)` in [0, 1], where the attribution compares
            with a mean image, as `"integrated_gradients_mean"` does.

    Returns:
        `(n, h, w)` float32.

    Raises:
        InputError: An unknown attribution, images of another kind, a model that does not do what
            `logits` says, or no `fill` where the attribution needs it.

    >>> import keras
    >>> import pellucid
    >>> x = pellucid.load_data("digits").x_test[:10]
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    ... )
    >>> pellucid.attribute("gradient_input", model, x).shape
    (10, 8, 8)
    """
    x = image_maps(x)
    network = classifier(model, x, logits=logits, scale=scale)
    means = None if fill is None else np.asarray(fill)
    return attributions.run(attribution, network, x, batch_size=batch_size, fill=means)


def _gradients(loss: Loss, model: keras.Model) -> Callable[..., Tensor]:
    """The program of `input_gradient`."""

    def gradients(trainable: list[Tensor], other: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
        network = logits_of(model, State(trainable, other))

        def total(point: Tensor) -> Tensor:
            values = loss(network(point), y)
            if len(values.shape) != 1:
                raise InputError(
                    "`loss` must return one value per image, shape (n,). It returns shape"
                    f" {tuple(values.shape)}."
                )
            return ops.sum(values)

        return backend.value_and_gradient(total, pixels(x))[1]

    return gradients


def input_gradient(
    model: object,
    x: object,
    y: object,
    *,
    loss: str | Loss = "xent",
    logits: bool = True,
    scale: float = 1.0,
    batch_size: int = 500,
) -> Array:
    """The gradient of each image's loss with respect to its pixels, d loss / dx, x in [0, 1].

    The same call works with TensorFlow and with JAX.

    Args:
        model: A Keras model of images `(n, ...)` to `(n, classes)`.
        x: Images `(n, ...)`, uint8 or floats in [0, 1]; what NumPy can convert.
        y: Labels, integers `(n,)` or one-hot `(n, classes)`.
        loss: `"xent"` (cross-entropy), `"cw"`, `"margin"`, `"dlr"`, or a function of logits
            `(n, classes)` and labels `(n,)` to `(n,)`, written with `keras.ops`. A function is
            compiled once for each model: define it outside a loop.
        logits: Whether the model outputs logits; False for probabilities. The loss is of logits in
            both cases, for probabilities of their logarithms.
        scale: What pixels in [0, 1] are multiplied by before the model: 255 if it takes 0 to 255.
        batch_size: Images at a time.

    Returns:
        `(n, ...)` float32.

    Raises:
        InputError: An unknown loss, one that does not return `(n,)`, images or labels of another
            kind, or a model that does not do what `logits` says.

    >>> import keras
    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> x, y = digits.x_test[:10], digits.y_test[:10]
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    ... )
    >>> pellucid.input_gradient(model, x, y).shape
    (10, 8, 8, 1)
    >>> def first_logit(logits, y):
    ...     return logits[:, 0]
    >>> gradient = pellucid.input_gradient(model, x, y, loss=first_logit)
    >>> weights = model.layers[-1].kernel.numpy()[:, 0].reshape(8, 8, 1)
    >>> bool(abs(gradient - weights).max() < 1e-6)
    True
    """
    function = losses.get(loss) if isinstance(loss, str) else loss
    x = images(x)
    network = classifier(model, x, logits=logits, scale=scale)
    y = labels(y, len(x), network.output_shape[-1])
    check_scale(model, x, y, scale)
    run = program(network, ("input gradient", function), functools.partial(_gradients, function))
    values = state(network)
    gradient = np.empty(x.shape, np.float32)
    before = (values.trainable, values.other)
    for part, batch in in_batches(run, before, [x, y], batch_size=batch_size):
        gradient[part] = batch
    return gradient
