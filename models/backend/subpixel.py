"""A strided convolution in TensorFlow whose gradient at the image is a convolution too.

oneDNN is slow at the gradient with respect to the input under strides. Cut the padded input into
blocks of stride x stride pixels: all pixels of a block see the same outputs, through different
taps. So the gradient is a convolution with stride 1 whose output channels are the pixels of a
block, which are then laid out in space (sub-pixel convolution).

Reference: Shi et al., arXiv 1609.05158.
"""

import tensorflow as tf

from pellucid.models.types import Tensor


def _padding(size: int, taps: int, stride: int) -> int:
    """Zeros that "same" padding puts before an axis."""
    return max((-(-size // stride) - 1) * stride + taps - size, 0) // 2


def _gradient(upstream: Tensor, kernel: Tensor, shape: tuple[int, int, int], stride: int) -> Tensor:
    """The gradient at an input of shape `(h, w, c)`, from that at the output.

    Block b holds the padded pixels b s to b s + s - 1. Pixel a of it sees output b - d through tap
    d s + a, for d = 0 .. D - 1 with D s the number of taps, rounded up.
    """
    *size, channels = shape
    taps, filters = kernel.shape[:2], kernel.shape[-1]
    distances = [-(-count // stride) for count in taps]
    before = [_padding(*axis, stride) for axis in zip(size, taps, strict=True)]
    blocks = [-(-(zeros + length) // stride) for zeros, length in zip(before, size, strict=True)]

    missing = [[0, d * stride - count] for d, count in zip(distances, taps, strict=True)]
    spread = tf.pad(kernel, [*missing, [0, 0], [0, 0]])
    spread = tf.reshape(spread, (distances[0], stride, distances[1], stride, channels, filters))
    spread = tf.transpose(tf.reverse(spread, (0, 2)), (0, 2, 5, 1, 3, 4))
    spread = tf.reshape(spread, (*distances, filters, stride * stride * channels))

    margins = [
        [d - 1, count - length]
        for d, count, length in zip(distances, blocks, upstream.shape[1:3], strict=True)
    ]
    padded = tf.pad(upstream, [[0, 0], *margins, [0, 0]])
    pixels = tf.nn.conv2d(padded, spread, 1, "VALID")
    pixels = tf.reshape(pixels, (-1, *blocks, stride, stride * channels))
    pixels = tf.transpose(pixels, (0, 1, 3, 2, 4))  # moves longer pieces than `depth_to_space`
    pixels = tf.reshape(pixels, (-1, *(stride * count for count in blocks), channels))
    (top, left), (height, width) = before, size
    return pixels[:, top : top + height, left : left + width]


def strided_convolution(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """A convolution with "same" padding.

    Args:
        x: `(n, h, w, c)`, all but n static.
        kernel: `(kh, kw, c, filters)`.
        stride: Of rows and columns.

    Returns:
        `(n, ceil(h / stride), ceil(w / stride), filters)`.
    """

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
        at_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=x,
            filter_sizes=kernel.shape,
            out_backprop=upstream,
            strides=(1, stride, stride, 1),
            padding="SAME",
        )
        return _gradient(upstream, kernel, x.shape[1:], stride), at_kernel

    return tf.custom_gradient(
        lambda x, kernel: (tf.nn.conv2d(x, kernel, stride, "SAME"), gradient)
    )(x, kernel)
