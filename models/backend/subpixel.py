"""A strided convolution in TensorFlow whose gradient at the image is a convolution too.

oneDNN is slow at the gradient with respect to an input of few channels under strides. Here it is a
convolution with stride 1 whose output channels are the pixels within a stride, which are then laid
out in space (sub-pixel convolution).

Reference: Shi et al., arXiv 1609.05158.
"""

import numpy as np
import tensorflow as tf

from robust_interpretability.models.types import Array, Tensor


def _phases(size: int, taps: int, stride: int) -> tuple[Array, int, int]:
    """Which tap of a kernel joins an output at distance d with each pixel within a stride.

    Args:
        size: Length of the input along one axis.
        taps: Length of the kernel along it.
        stride: The stride along it.

    Returns:
        Zeros and ones `(distances, stride, taps)`, the least distance and the greatest.
    """
    before = max((-(-size // stride) - 1) * stride + taps - size, 0) // 2
    tap = np.arange(stride) + before - stride * np.arange(-taps, taps + 1)[:, None]
    used = np.flatnonzero(((tap >= 0) & (tap < taps)).any(axis=1)) - taps
    least, greatest = min(int(used[0]), 0), max(int(used[-1]), 0)
    joined = tap[least + taps : greatest + taps + 1, :, None] == np.arange(taps)
    return joined.astype(np.float32), least, greatest


def strided_convolution(x: Tensor, kernel: Tensor, stride: int) -> Tensor:
    """A convolution with "same" padding.

    Args:
        x: `(n, h, w, c)`, all but n static.
        kernel: `(kh, kw, c, filters)`.
        stride: Of rows and columns.

    Returns:
        `(n, ceil(h / stride), ceil(w / stride), filters)`.
    """
    height, width, channels = x.shape[1:]
    filters = kernel.shape[-1]

    def gradient(upstream: Tensor) -> tuple[Tensor, Tensor]:
        (rows, up, down), (columns, left, right) = (
            _phases(size, taps, stride)
            for size, taps in zip((height, width), kernel.shape[:2], strict=True)
        )
        spread = tf.einsum("dat,ebu,tuio->deoabi", tf.constant(rows), tf.constant(columns), kernel)
        spread = tf.reshape(spread, (len(rows), len(columns), filters, stride * stride * channels))
        padded = tf.pad(upstream, ((0, 0), (-up, down), (-left, right), (0, 0)))
        pixels = tf.nn.depth_to_space(tf.nn.conv2d(padded, spread, 1, "VALID"), stride)
        at_kernel = tf.raw_ops.Conv2DBackpropFilter(
            input=x,
            filter_sizes=kernel.shape,
            out_backprop=upstream,
            strides=(1, stride, stride, 1),
            padding="SAME",
        )
        return pixels[:, :height, :width], at_kernel

    return tf.custom_gradient(
        lambda x, kernel: (tf.nn.conv2d(x, kernel, stride, "SAME"), gradient)
    )(x, kernel)
