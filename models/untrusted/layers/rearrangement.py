"""Layers that move, repeat, drop or pool values, as effects.

In each function `a` holds the layer's clean arguments and `shape` leaves out the batch axis.
"""

import math
from collections.abc import Callable

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.effect import (
    Effect,
    Shape,
    effect,
    image_shape,
)
from pellucid.models.untrusted.layers.rules import Unfit


def flatten(a: Json, shape: Shape) -> Effect:
    """All values on one axis."""
    return effect((math.prod(shape),))


def reshape(a: Json, shape: Shape) -> Effect:
    """The same values in another shape."""
    target, values = list(a["target_shape"]), math.prod(shape)
    if target.count(-1) > 1 or 0 in target or not target:
        raise Unfit("target_shape must hold positive sizes and at most one -1")
    known = math.prod(size for size in target if size != -1)
    target = [values // known if size == -1 else size for size in target]
    if math.prod(target) != values:
        raise Unfit(f"its input of {values} values does not fit target_shape")
    return effect(tuple(target))


def permute(a: Json, shape: Shape) -> Effect:
    """The same values with their axes in another order."""
    if sorted(a["dims"]) != list(range(1, len(shape) + 1)):
        raise Unfit(f"dims must be a permutation of 1 to {len(shape)}")
    return effect(tuple(shape[i - 1] for i in a["dims"]))


def pad(a: Json, shape: Shape) -> Effect:
    """An image with a border added."""
    (top, bottom), (left, right) = a["padding"]
    height, width, channels = image_shape(shape)
    return effect((height + top + bottom, width + left + right, channels))


def crop(a: Json, shape: Shape) -> Effect:
    """An image without its border."""
    (top, bottom), (left, right) = a["cropping"]
    height, width, channels = image_shape(shape)
    return effect((height - top - bottom, width - left - right, channels))


def resize(a: Json, shape: Shape) -> Effect:
    """An image of another size, interpolated."""
    return effect((a["height"], a["width"], image_shape(shape)[2]), more=math.prod(shape))


def center_crop(a: Json, shape: Shape) -> Effect:
    """The middle of an image."""
    height, width, channels = image_shape(shape)
    if a["height"] > height or a["width"] > width:
        raise Unfit(f"it crops to {a['height']} x {a['width']} from {height} x {width} pixels")
    return effect((a["height"], a["width"], channels))


def upsample(a: Json, shape: Shape) -> Effect:
    """An image with each pixel repeated."""
    height, width, channels = image_shape(shape)
    return effect((height * a["size"][0], width * a["size"][1], channels))


def global_pool(axes: int) -> Callable[[Json, Shape], Effect]:
    """The maximum or mean over all places of an input with so many axes before the channels."""

    def infer(a: Json, shape: Shape) -> Effect:
        if len(shape) != axes + 1:
            raise Unfit(f"it takes {axes + 1} axes besides the batch, not {len(shape)}")
        return effect(
            (*(1,) * axes, shape[-1]) if a["keepdims"] else shape[-1:], work=math.prod(shape)
        )

    return infer
