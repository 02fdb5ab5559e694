"""The effect of a layer, and what the rules of all layers share: axes, images, numbered weights.

Shapes leave out the batch axis; the last axis is the channels.
"""

import math
from typing import NamedTuple, TypeAlias

from pellucid.models.untrusted.layers.rules import Unfit

MAX_DIMENSION = 1 << 24
"""The largest size of an axis."""
Shape: TypeAlias = tuple[int, ...]


class Variable(NamedTuple):
    """A weight of a layer.

    Attributes:
        path: Where Keras saves it, below the layer's group.
        attribute: The layer's attribute that holds it.
        shape: Its shape.
        counter: Whether it is an integer that inference does not use.
        saved_shape: Its shape in the file, where that is another.
    """

    path: str
    attribute: str
    shape: Shape
    counter: bool = False
    saved_shape: Shape | None = None


class Effect(NamedTuple):
    """What a layer makes of its inputs.

    Attributes:
        shape: The output's shape.
        variables: The layer's weights.
        activations: Numbers that it holds at once for one image: output and intermediate results.
        multiply_adds: Multiplications with addition for one image.
    """

    shape: Shape
    variables: list[Variable]
    activations: int
    multiply_adds: int


def effect(
    shape: Shape, variables: list[Variable] | None = None, *, work: int = 0, more: int = 0
) -> Effect:
    """The effect of a layer.

    Args:
        shape: The output's shape.
        variables: The layer's weights.
        work: Multiplications with addition for one image; at least one per output is counted.
        more: Numbers that the layer holds besides its output.

    Returns:
        The effect.

    Raises:
        Unfit: The output is empty or has an axis that is too large.
    """
    if not shape or any(not 1 <= size <= MAX_DIMENSION for size in shape):
        raise Unfit(f"its output would have shape {shape}")
    values = math.prod(shape)
    return Effect(shape, variables or [], values + more, max(work, values))


def numbered(*named: tuple[str, Shape]) -> list[Variable]:
    """Weights that Keras numbers in this order.

    Args:
        *named: For each weight the layer's attribute and the shape.
    """
    return [Variable(f"vars/{i}", attribute, shape) for i, (attribute, shape) in enumerate(named)]


def image_shape(shape: Shape) -> tuple[int, int, int]:
    """Height, width and channels.

    Raises:
        Unfit: The shape is not an image's.
    """
    if len(shape) != 3:
        raise Unfit(f"it takes images (height, width, channels), not {len(shape)} axes")
    height, width, channels = shape
    return height, width, channels


def axis_index(axis: int, shape: Shape) -> int:
    """Turns an axis that counts the batch as 0 into an index into a shape without batch.

    Raises:
        Unfit: It is the batch axis, or the shape has no such axis.
    """
    index = axis + len(shape) if axis < 0 else axis - 1
    if not 0 <= index < len(shape):
        what = "is the batch axis" if axis in (0, -len(shape) - 1) else "is beyond the input's axes"
        raise Unfit(f"axis {axis} {what}")
    return index


def axis_indices(axes: list[int], shape: Shape) -> list[int]:
    """The indices of several axes, in order; see `axis_index`.

    Raises:
        Unfit: One is the batch axis, is not there, or is named twice.
    """
    indices = sorted(axis_index(axis, shape) for axis in axes)
    if len(set(indices)) != len(indices):
        raise Unfit("an axis is named twice")
    return indices
