"""`infer`: what an allowed layer makes of its inputs, worked out in plain Python.

This is known before Keras is asked for anything: a model too large to build is refused without
building it, and the weights file is compared with these shapes before any value of it is read. When
Keras builds the model afterwards, its shapes must be the same.
"""

from collections.abc import Callable

from pellucid.models.types import Json
from pellucid.models.untrusted.layers import (
    merging,
    normalization,
    operations,
    rearrangement,
    windows,
)
from pellucid.models.untrusted.layers.effect import Effect, Shape, effect
from pellucid.models.untrusted.layers.rules import Unfit


def _same(a: Json, shape: Shape) -> Effect:
    """A function of each value, or of none at inference."""
    return effect(shape)


ONE_INPUT: dict[str, Callable[[Json, Shape], Effect]] = {
    "Rescaling": normalization.rescaling,
    "Normalization": normalization.normalization,
    "Dense": windows.dense,
    "Conv2D": windows.conv,
    "DepthwiseConv2D": windows.depthwise,
    "SeparableConv2D": windows.separable,
    "Conv2DTranspose": windows.transposed,
    "MaxPooling2D": windows.pool,
    "AveragePooling2D": windows.pool,
    "GlobalMaxPooling2D": rearrangement.global_pool(2),
    "GlobalAveragePooling2D": rearrangement.global_pool(2),
    "GlobalMaxPooling1D": rearrangement.global_pool(1),
    "GlobalAveragePooling1D": rearrangement.global_pool(1),
    "Flatten": rearrangement.flatten,
    "Reshape": rearrangement.reshape,
    "Permute": rearrangement.permute,
    "Activation": _same,
    "ReLU": _same,
    "LeakyReLU": _same,
    "PReLU": normalization.prelu,
    "ELU": _same,
    "Softmax": normalization.along_axes,
    "BatchNormalization": normalization.batch_norm,
    "LayerNormalization": normalization.layer_norm,
    "GroupNormalization": normalization.group_norm,
    "UnitNormalization": normalization.along_axes,
    "Dropout": _same,
    "AlphaDropout": _same,
    "SpatialDropout2D": _same,
    "GaussianDropout": _same,
    "GaussianNoise": _same,
    "ZeroPadding2D": rearrangement.pad,
    "Cropping2D": rearrangement.crop,
    "UpSampling2D": rearrangement.upsample,
    "Identity": _same,
    "Resizing": rearrangement.resize,
    "CenterCrop": rearrangement.center_crop,
    "LayerScale": normalization.layer_scale,
    "ops.absolute": operations.elementwise,
    "ops.clip": operations.elementwise,
    "ops.erf": operations.elementwise,
    "ops.exp": operations.elementwise,
    "ops.gelu": operations.elementwise,
    "ops.log": operations.elementwise,
    "ops.power": operations.elementwise,
    "ops.reciprocal": operations.elementwise,
    "ops.rsqrt": operations.elementwise,
    "ops.sqrt": operations.elementwise,
    "ops.max": operations.reduction,
    "ops.mean": operations.reduction,
    "ops.min": operations.reduction,
    "ops.sum": operations.reduction,
    "ops.expand_dims": operations.expand,
    "ops.get_item": operations.get_item,
    "ops.squeeze": operations.squeeze,
}
"""The effect of each layer of one input."""

SEVERAL_INPUTS: dict[str, Callable[[Json, list[Shape]], Effect]] = {
    "Add": merging.elementwise,
    "Subtract": merging.subtract,
    "Multiply": merging.elementwise,
    "Average": merging.elementwise,
    "Maximum": merging.elementwise,
    "Minimum": merging.elementwise,
    "Concatenate": merging.concatenate,
    "Dot": merging.dot,
    "MultiHeadAttention": merging.attention,
    "ops.matmul": operations.matmul,
    "ops.stack": operations.stack,
}
"""The effect of each layer of several inputs."""

MAX_INPUTS = 64
"""Inputs of one layer."""


def infer(class_name: str, arguments: Json, shapes: list[Shape]) -> Effect:
    """What a layer makes of its inputs.

    Args:
        class_name: A key of `allowed.LAYERS`.
        arguments: Its clean arguments.
        shapes: The shapes of its inputs, without the batch axis.

    Returns:
        The effect.

    Raises:
        Unfit: The layer does not take such inputs; the text says why.
    """
    if class_name in ONE_INPUT:
        if len(shapes) != 1:
            raise Unfit(f"it takes one input, not {len(shapes)}")
        return ONE_INPUT[class_name](arguments, shapes[0])
    if not 1 <= len(shapes) <= MAX_INPUTS:
        raise Unfit(f"it takes 1 to {MAX_INPUTS} inputs, not {len(shapes)}")
    return SEVERAL_INPUTS[class_name](arguments, shapes)
