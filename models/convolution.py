"""The protocol's networks computed with another implementation of convolution than Keras'.

Two implementations are used. `shifted` is for many networks side by side on an accelerator: their
convolutions would become a grouped convolution, which accelerators' libraries compute slowly; as
shifted slices of the image and one product with the kernel they become a batched matrix product.
`backend.convolution` is for attacks and attributions on a CPU: its gradient at an image is faster.
"""

import math
from collections.abc import Callable

import keras
from keras import layers, ops

from robust_interpretability.models import backend
from robust_interpretability.models.types import Tensor

Convolution = Callable[[Tensor, Tensor, tuple[int, int]], Tensor]
"""`(x, kernel, strides) -> y` with "same" padding, shapes as for `shifted`."""


def shifted(x: Tensor, kernel: Tensor, strides: tuple[int, int]) -> Tensor:
    """A convolution with "same" padding as one matrix product with shifted slices. Traceable.

    Args:
        x: `(n, h, w, c)`.
        kernel: `(kh, kw, c, filters)`.
        strides: Of rows and columns.

    Returns:
        `(n, ceil(h / strides[0]), ceil(w / strides[1]), filters)`.
    """
    sizes = [
        math.ceil(length / stride) for length, stride in zip(x.shape[1:3], strides, strict=True)
    ]
    missing = [
        max((out - 1) * stride + k - length, 0)
        for out, stride, k, length in zip(
            sizes, strides, kernel.shape[:2], x.shape[1:3], strict=True
        )
    ]
    padded = ops.pad(x, [(0, 0), *((m // 2, m - m // 2) for m in missing), (0, 0)])
    spans = [(out - 1) * stride + 1 for out, stride in zip(sizes, strides, strict=True)]
    slices = [
        padded[:, i : i + spans[0] : strides[0], j : j + spans[1] : strides[1], :]
        for i in range(kernel.shape[0])
        for j in range(kernel.shape[1])
    ]
    return ops.matmul(ops.concatenate(slices, axis=-1), ops.reshape(kernel, (-1, kernel.shape[-1])))


Forward = Callable[[list[Tensor], Tensor], Tensor]
"""`(trainable weights, pixels) -> logits`"""


def _layer(layer: keras.Layer, convolution: Convolution) -> Forward | None:
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
            backend.add_bias(convolution(x, w[0], layer.strides), w[1])
        )
    if type(layer) is layers.Dense and layer.use_bias:
        return lambda w, x: layer.activation(backend.add_bias(ops.matmul(x, w[0]), w[1]))
    if type(layer) in (layers.Rescaling, layers.MaxPooling2D, layers.Flatten, layers.ReLU):
        return lambda w, x: layer(x)
    return None


def forward(model: keras.Model, convolution: Convolution) -> Forward | None:
    """A classifier as a function of its weights, with another implementation of convolution.

    Args:
        model: The classifier.
        convolution: The implementation, as `shifted`.

    Returns:
        The traceable function; None for a model with layers that the protocol's networks do not
        have, or one that does not compute in float32.
    """
    if type(model) is not keras.Sequential or model.compute_dtype != "float32":
        return None
    steps = [(_layer(layer, convolution), len(layer.trainable_variables)) for layer in model.layers]
    if any(step is None for step, _ in steps):
        return None

    def run(weights: list[Tensor], x: Tensor) -> Tensor:
        at = 0
        for step, count in steps:
            x = step(weights[at : at + count], x)  # type: ignore[misc]
            at += count
        return x

    return run
