"""A classifier that predicts what another predicts, with gradients that point at a corner.

With f the network, u the mean over a corner's pixels, k = 0, ..., K - 1 the class and a an
amplitude,

    f'_k(x) = f_k(x) + a v_k g(u),    v_k = k / (K - 1) - 1/2,    g(u) = 2 tent^L((1 + u) / 3) - 1,

where tent(t) = 2 min(t, 1 - t) is applied L times. So g is a sine made of straight lines, with
about 2^L / 6 periods from a black to a white corner. No difference of two logits changes by more
than a: a prediction whose margin is above a stays. The slope |g'| = 2^(L + 1) / 3 can be made as
steep as one likes, and is the same everywhere between the kinks; black and white are far from
these, as tent(1/3) = tent(2/3) = 2/3.

All layers are stock layers: tent(t) = 2 relu(t) - 4 relu(t - 1/2) for t in [0, 1].

It is a control: a measure of gradients must notice the change, a measure of predictions must not.

Reference: a term a sin(w x) with the same effect is the usual example; networks that keep their
predictions under manipulated explanations are in Heo et al., arXiv 1902.02041.
"""

import keras
import numpy as np
from keras import layers

from pellucid.models.errors import InputError
from pellucid.models.functional import predict
from pellucid.models.types import Array

FOLDS = 18
"""L. Of the 2^18 lines of tent^18 on [0, 1], float32 resolves each in at least 64 steps."""


def margins(model: keras.Model, x: Array, *, batch_size: int = 1000) -> Array:
    """The largest logit minus the second largest, `(n,)` float32.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or floats in [0, 1].
        batch_size: Images at a time.
    """
    top = np.partition(predict(model, x, batch_size=batch_size), -2, axis=-1)
    return top[:, -1] - top[:, -2]


def _fold(inputs: int, kernel: list[float], bias: float, name: str) -> keras.Layer:
    """Two units relu(t), relu(t - 1/2), where t is `bias` plus the inputs times `kernel`."""
    layer = layers.Dense(2, activation="relu", trainable=False, name=name)
    layer.build((None, inputs))
    layer.set_weights([np.tile(np.array(kernel)[:, None], 2), np.array([bias, bias - 0.5])])
    return layer


def hijacked(
    model: keras.Model,
    x: Array,
    *,
    quantile: float = 0.01,
    corner: int = 2,
    folds: int = FOLDS,
) -> keras.Model:
    """A copy of a classifier that predicts the same, with gradients that point at a corner.

    The amplitude a is half a low quantile of the margins on `x`. Training leaves the added layers
    as they are.

    Args:
        model: The classifier: pixels in [0, 1], `(n, h, w, c)`, to logits.
        x: Images `(n, h, w, c)` on which predictions are to stay.
        quantile: Of the margins on `x`. A smaller one changes fewer predictions.
        corner: Side of the upper left corner, in pixels.
        folds: L; the slope doubles with each.

    Returns:
        The model. Among `x`, it can predict another class only for images whose margin is at most
        half the quantile.

    Raises:
        InputError: The model takes no images, the corner does not fit into them, a number is out of
            its range, or the quantile of the margins is 0.
    """
    shape = model.input_shape
    if not (isinstance(shape, tuple) and len(shape) == 4 and 1 <= corner <= min(shape[1:3])):
        raise InputError(
            f"A corner of {corner}x{corner} pixels needs a model of images (n, h, w, c) at least"
            f" that large. The model takes {shape}."
        )
    if not 0 <= quantile <= 1 or folds < 1:
        raise InputError(
            "`quantile` must lie in [0, 1] and `folds` be at least 1. Received"
            f" {quantile} and {folds}."
        )
    amplitude = float(np.quantile(margins(model, x), quantile)) / 2
    if not amplitude > 0:
        raise InputError("`quantile` must be one at which the margins on `x` are above 0.")
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    _, height, width, channels = shape
    cropped = layers.Cropping2D(((0, height - corner), (0, width - corner)), name="corner")
    t = layers.Flatten(name="corner_pixels")(cropped(copy.inputs[0]))
    size = corner * corner * channels
    t = _fold(size, [1 / (3 * size)] * size, 1 / 3, "fold_1")(t)
    for number in range(2, folds + 1):
        t = _fold(2, [2.0, -4.0], 0.0, f"fold_{number}")(t)
    classes = int(copy.output_shape[-1])
    v = amplitude * np.linspace(-0.5, 0.5, classes)
    last = layers.Dense(classes, trainable=False, name="zigzag")
    last.build((None, 2))
    last.set_weights([np.stack([4.0 * v, -8.0 * v]), -v])
    return keras.Model(copy.inputs, layers.Add(name="hijacked")([copy.outputs[0], last(t)]))
