"""The protocol's networks computed with another implementation of convolution than Keras'.

`backend.convolution` is for attacks and attributions on a CPU: its gradient at an image is faster.
"""

from collections.abc import Callable

import keras
from keras import layers, ops

from pellucid.models import backend
from pellucid.models.types import Tensor

Forward = Callable[[list[Tensor], Tensor], Tensor]
"""`(trainable weights, pixels) -> logits`"""


def _layer(layer: keras.Layer) -> Forward | None:
    """A layer as a function of its weights and input; None for a layer of another kind."""
    if type(layer) is layers.Conv2D:
        plain = (
            layer.padding == "same"
            and layer.groups == 1
            and layer.dilation_rate == (1, 1)
            and layer.use_bias
        )
        if not plain or layer.data_format != "channels_last":
            return None
        return lambda w, x: layer.activation(
            backend.add_bias(backend.convolution(x, w[0], layer.strides), w[1])
        )
    if type(layer) is layers.Dense and layer.use_bias:
        return lambda w, x: layer.activation(backend.add_bias(ops.matmul(x, w[0]), w[1]))
    if type(layer) in (layers.Rescaling, layers.MaxPooling2D, layers.Flatten, layers.ReLU):
        return lambda w, x: layer(x)
    return None


def forward(model: keras.Model) -> Forward | None:
    """A classifier as a function of its weights, with `backend.convolution` for Keras'.

    Args:
        model: The classifier.

    Returns:
        The traceable function; None for a model with layers that the protocol's networks do not
        have, or one that does not compute in float32.
    """
    if type(model) is not keras.Sequential or model.compute_dtype != "float32":
        return None
    steps = [(_layer(layer), len(layer.trainable_variables)) for layer in model.layers]
    if any(step is None for step, _ in steps):
        return None

    def run(weights: list[Tensor], x: Tensor) -> Tensor:
        at = 0
        for step, count in steps:
            x = step(weights[at : at + count], x)  # type: ignore[misc]
            at += count
        return x

    return run
