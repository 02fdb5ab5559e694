"""Layers that slide a window over an image or multiply channels by a kernel, as effects.

In each function `a` holds the layer's clean arguments and `shape` leaves out the batch axis.
"""

import math

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.effect import (
    Effect,
    Shape,
    effect,
    image_shape,
    numbered,
)
from pellucid.models.untrusted.layers.rules import Unfit


def _windows(size: int, window: int, stride: int, dilation: int, padding: str) -> int:
    """The number of places of a sliding window along one side."""
    if padding == "same":
        return -(-size // stride)
    return (size - dilation * (window - 1) - 1) // stride + 1


def _slide(a: Json, shape: Shape, window: list[int], strides: list[int]) -> Shape:
    dilation = a.get("dilation_rate", [1, 1])
    if max(strides) > 1 and max(dilation) > 1:
        raise Unfit("strides and dilation_rate cannot both be above 1")
    return tuple(
        _windows(n, w, s, d, a["padding"])
        for n, w, s, d in zip(shape, window, strides, dilation, strict=False)
    )


def _bias(a: Json, size: int) -> list[tuple[str, Shape]]:
    return [("bias", (size,))] if a["use_bias"] else []


def dense(a: Json, shape: Shape) -> Effect:
    """A product of the channels with a kernel."""
    out, units = (*shape[:-1], a["units"]), a["units"]
    weights = numbered(("kernel", (shape[-1], units)), *_bias(a, units))
    return effect(out, weights, work=math.prod(out) * shape[-1])


def conv(a: Json, shape: Shape) -> Effect:
    """A convolution, perhaps in groups of channels."""
    *_, channels = image_shape(shape)
    filters, groups = a["filters"], a["groups"]
    if channels % groups or filters % groups:
        raise Unfit(
            f"groups {groups} does not divide its {channels} input channels and {filters} filters"
        )
    out = (*_slide(a, shape, a["kernel_size"], a["strides"]), filters)
    kernel = (*a["kernel_size"], channels // groups, filters)
    work = math.prod(out) * math.prod(kernel[:-1])
    return effect(out, numbered(("kernel", kernel), *_bias(a, filters)), work=work)


def depthwise(a: Json, shape: Shape) -> Effect:
    """A convolution of each channel by itself."""
    *_, channels = image_shape(shape)
    if a["strides"][0] != a["strides"][1]:
        raise Unfit("its two strides must be equal")
    filters = channels * a["depth_multiplier"]
    out = (*_slide(a, shape, a["kernel_size"], a["strides"]), filters)
    kernel = (*a["kernel_size"], channels, a["depth_multiplier"])
    return effect(
        out,
        numbered(("kernel", kernel), *_bias(a, filters)),
        work=math.prod(out) * math.prod(a["kernel_size"]),
    )


def separable(a: Json, shape: Shape) -> Effect:
    """A depthwise convolution, then a product of the channels with a kernel."""
    *_, channels = image_shape(shape)
    if a["strides"][0] != a["strides"][1]:
        raise Unfit("its two strides must be equal")
    places = _slide(a, shape, a["kernel_size"], a["strides"])
    middle, filters = channels * a["depth_multiplier"], a["filters"]
    depthwise = (*a["kernel_size"], channels, a["depth_multiplier"])
    pointwise = (1, 1, middle, filters)
    work = math.prod(places) * middle * (math.prod(a["kernel_size"]) + filters)
    weights = numbered(
        ("depthwise_kernel", depthwise), ("pointwise_kernel", pointwise), *_bias(a, filters)
    )
    effect((*places, middle))
    return effect((*places, filters), weights, work=work, more=math.prod(places) * middle)


def transposed(a: Json, shape: Shape) -> Effect:
    """A transposed convolution."""
    *_, channels = image_shape(shape)
    if max(a["strides"]) > 1 and max(a["dilation_rate"]) > 1:
        raise Unfit("strides and dilation_rate cannot both be above 1")
    sides = []
    for n, k, s, d in zip(shape, a["kernel_size"], a["strides"], a["dilation_rate"], strict=False):
        sides.append(n * s if a["padding"] == "same" else n * s + max((k - 1) * d + 1 - s, 0))
    kernel = (*a["kernel_size"], a["filters"], channels)
    work = math.prod(shape) * math.prod(kernel[:-1])
    return effect(
        (*sides, a["filters"]), numbered(("kernel", kernel), *_bias(a, a["filters"])), work=work
    )


def pool(a: Json, shape: Shape) -> Effect:
    """The maximum or mean of each window."""
    *_, channels = image_shape(shape)
    out = (*_slide(a, shape, a["pool_size"], a["strides"] or a["pool_size"]), channels)
    return effect(out, work=math.prod(out) * math.prod(a["pool_size"]))
