"""The protocol's networks layer by layer, with another convolution than Keras' own.

`shifted` is for many networks at once on an accelerator: side by side, their convolutions become a
grouped convolution, which accelerators' libraries run poorly; as shifted slices of the image and
one product with the kernel, they become a batched matrix product. `backend.convolution` is for
attacks and attributions on a CPU.
"""

import math
from collections.abc import Callable
from typing import Any

import keras
from keras import layers, ops

from robust_interpretability.models import backend

Convolution = Callable[[Any, Any, tuple[int, int]], Any]
"""`(x, kernel, strides) -> y` with "same" padding, shapes as for `shifted`."""


def shifted(x: Any, kernel: Any, strides: tuple[int, int]) -> Any:
    """A convolution with "same" padding: shifted slices beside each other, then one matrix product. Traceable.

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


def _layer(layer: keras.Layer, convolution: Convolution) -> Callable[[list[Any], Any], Any] | None:
    """The layer as a function of its weights, or None where it is none that this file knows."""
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


def forward(model: keras.Model, convolution: Convolution) -> Callable[[list[Any], Any], Any] | None:
    """A classifier as `(trainable weights, pixels) -> logits`, each convolution by the function given.

    Returns:
        The traceable function; None for a model with other layers than the protocol's networks
        have, or another type of computation than float32.
    """
    if type(model) is not keras.Sequential or model.compute_dtype != "float32":
        return None
    steps = [(_layer(layer, convolution), len(layer.trainable_variables)) for layer in model.layers]
    if any(step is None for step, _ in steps):
        return None

    def run(weights: list[Any], x: Any) -> Any:
        at = 0
        for step, count in steps:
            x = step(weights[at : at + count], x)  # type: ignore[misc]
            at += count
        return x

    return run
