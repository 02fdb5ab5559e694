"""Max-pooling whose gradient is a mask: for accelerators.

A compiler's own gradient of max-pooling scatters (JAX), or has no deterministic kernel for a GPU
(TensorFlow). Here the gradient goes to the first maximum of each window, in the order of rows and
then columns, by comparisons alone, which compilers fuse with what is around them. On a CPU the
libraries' own kernels do the same, ties included, and are used.
"""

import math
from collections.abc import Callable

import keras
from keras import ops

from pellucid.models import KERAS_LOCK
from pellucid.models.structure import structure
from pellucid.models.types import Tensor

Pair = tuple[int, int]


def max_pool(x: Tensor, size: Pair, strides: Pair, padding: str) -> Tensor:
    """The maximum of each window; its gradient goes to the window's first maximum. Traceable.

    Args:
        x: `(n, h, w, c)`.
        size: Rows and columns of a window.
        strides: Rows and columns from a window to the next.
        padding: `"valid"`, or `"same"` for windows that reach over the edge, where only pixels of
            the image count.

    Returns:
        `(n, rows, columns, c)`.
    """

    @ops.custom_gradient
    def pooled(x: Tensor) -> tuple[Tensor, Callable[..., Tensor]]:
        y = ops.max_pool(x, size, strides, padding)

        def gradient(*args: Tensor, upstream: Tensor | None = None) -> Tensor:
            above = upstream if upstream is not None else args[0]  # TensorFlow names it, JAX not
            return _to_first_maxima(x, y, above, size, strides, padding)

        return y, gradient

    return pooled(x)


def _to_first_maxima(
    x: Tensor, y: Tensor, above: Tensor, size: Pair, strides: Pair, padding: str
) -> Tensor:
    """The gradient at `x` from the gradient `above` at the maxima `y`."""
    edges = [
        _edge(length, k, stride, padding)
        for length, k, stride in zip(x.shape[1:3], size, strides, strict=True)
    ]
    padded = ops.pad(x, [(0, 0), *edges, (0, 0)], constant_values=-math.inf)
    spans = [(out - 1) * stride + 1 for out, stride in zip(y.shape[1:3], strides, strict=True)]
    found = ops.zeros(ops.shape(y), "bool")
    total = None
    for row in range(size[0]):
        for column in range(size[1]):
            window = padded[
                :, row : row + spans[0] : strides[0], column : column + spans[1] : strides[1], :
            ]
            first = ops.logical_and(window == y, ops.logical_not(found))
            found = ops.logical_or(found, first)
            share = _spread(
                ops.where(first, above, ops.zeros_like(above)),
                strides,
                (row, column),
                (padded.shape[1], padded.shape[2]),
            )
            total = share if total is None else total + share
    assert total is not None
    (top, _), (left, _) = edges
    return total[:, top : top + x.shape[1], left : left + x.shape[2], :]


def _edge(length: int, size: int, stride: int, padding: str) -> Pair:
    """Rows added before and after, as TensorFlow's "same" padding has them."""
    if padding == "valid":
        return 0, 0
    missing = max((math.ceil(length / stride) - 1) * stride + size - length, 0)
    return missing // 2, missing - missing // 2


def _spread(values: Tensor, strides: Pair, at: Pair, shape: Pair) -> Tensor:
    """Values `(n, rows, columns, c)` at every `strides`-th pixel from `at` on, zero elsewhere."""
    _, rows, columns, channels = values.shape
    apart = ops.reshape(values, (-1, rows, 1, columns, 1, channels))
    zeros = [(0, stride - 1) for stride in strides]
    apart = ops.pad(apart, [(0, 0), (0, 0), zeros[0], (0, 0), zeros[1], (0, 0)])
    apart = ops.reshape(apart, (-1, rows * strides[0], columns * strides[1], channels))
    apart = apart[:, : shape[0] - at[0], : shape[1] - at[1], :]
    around = [
        (start, full - start - have)
        for start, full, have in zip(at, shape, apart.shape[1:3], strict=True)
    ]
    return ops.pad(apart, [(0, 0), *around, (0, 0)])


class FirstMaximumPooling2D(keras.layers.MaxPooling2D):
    """`MaxPooling2D` computed by `max_pool`."""

    def call(self, inputs: Tensor) -> Tensor:
        """As `MaxPooling2D`."""
        return max_pool(inputs, tuple(self.pool_size), tuple(self.strides), self.padding)


def _pools(layer: keras.Layer) -> bool:
    return type(layer) is keras.layers.MaxPooling2D and layer.data_format == "channels_last"


def _replaced(layer: keras.Layer) -> keras.Layer:
    kind = FirstMaximumPooling2D if _pools(layer) else type(layer)
    return kind.from_config(layer.get_config())


def first_maxima(model: keras.Model) -> keras.Model:
    """A model of the same structure whose max-pooling is `max_pool`.

    Args:
        model: A model. Its variables are not used.

    Returns:
        The model, to be called with the variables of `model` in the same order. It is `model`
        itself where that has no max-pooling of images, or where its configuration does not make the
        same model again, as with layers of a user's own.
    """
    if not any(map(_pools, model._flatten_layers())):
        return model
    with KERAS_LOCK:
        try:
            same = structure(keras.models.clone_model(model, recursive=True)) == structure(model)
        except (NotImplementedError, TypeError, ValueError):  # as Keras refuses
            same = False
        return (
            keras.models.clone_model(model, clone_function=_replaced, recursive=True)
            if same
            else model
        )
