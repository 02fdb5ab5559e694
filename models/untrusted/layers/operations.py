"""The allowed functions of `keras.ops` that no layer of the list computes, as effects.

A functional model holds them where its author wrote `h[..., :3]` or `keras.ops.exp(h)`. Arithmetic
with numbers, activations and the like become layers instead (`model/operations.py`), so that a
model has one graph however it was written.

In each function `a` holds the operation's clean arguments; shapes leave out the batch axis.
"""

import math

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.effect import (
    Effect,
    Shape,
    axis_index,
    axis_indices,
    effect,
)
from pellucid.models.untrusted.layers.rules import Unfit

PREFIX = "ops."
"""What the names of operations begin with in a graph, where layers have their class names."""

Index = list[int | None]
"""A part of a key of `h[...]`: `[i]` for an integer, `[start, stop, step]` for a slice."""
ELLIPSIS: Index = []
"""The part that stands for all axes that are not named."""


def elementwise(a: Json, shape: Shape) -> Effect:
    """A function of each value."""
    return effect(shape, more=math.prod(shape))


def reduction(a: Json, shape: Shape) -> Effect:
    """One value from the values along some axes."""
    axes = axis_indices(a["axis"], shape)
    if a["keepdims"]:
        kept = tuple(1 if i in axes else n for i, n in enumerate(shape))
    else:
        kept = tuple(n for i, n in enumerate(shape) if i not in axes)
    return effect(kept, work=math.prod(shape))


def squeeze(a: Json, shape: Shape) -> Effect:
    """Axes of size 1 left out."""
    axes = axis_indices(a["axis"], shape)
    if any(shape[i] != 1 for i in axes):
        raise Unfit("an axis to be left out must have size 1")
    return effect(tuple(n for i, n in enumerate(shape) if i not in axes))


def expand(a: Json, shape: Shape) -> Effect:
    """An axis of size 1 more."""
    at = axis_index(a["axis"], (*shape, 1))
    return effect((*shape[:at], 1, *shape[at:]))


def parts(key: list[Index], shape: Shape) -> list[Index]:
    """A key with one part per axis of a shape.

    Args:
        key: The key as it is written, with the batch axis.
        shape: The shape without it.

    Raises:
        Unfit: The key reaches into the batch axis, or has more parts than there are axes.
    """
    rank = len(shape) + 1
    every: Index = [None, None, None]
    named = sum(part != ELLIPSIS for part in key)
    if named > rank or len(key) > named + 1:
        raise Unfit(f"its key has {len(key)} parts for {rank} axes")
    at = key.index(ELLIPSIS) if ELLIPSIS in key else len(key)
    full = key[:at] + [every] * (rank - named) + key[at + 1 :]
    if full[0] != every:
        raise Unfit("its key must take the whole batch axis: h[:, ...] or h[..., i]")
    return full[1:]


def get_item(a: Json, shape: Shape) -> Effect:
    """A part of the values."""
    sizes = []
    for part, size in zip(parts(a["key"], shape), shape, strict=True):
        if len(part) == 1:
            (i,) = part
            if i is None or not -size <= i < size:
                raise Unfit(f"its key has {i} for an axis of size {size}")
        else:
            sizes.append(len(range(*slice(*part).indices(size))))
    return effect(tuple(sizes))


def stack(a: Json, shapes: list[Shape]) -> Effect:
    """The inputs one after the other along a new axis."""
    if len(set(shapes)) > 1:
        raise Unfit("its inputs must have the same shape")
    at = axis_index(a["axis"], (*shapes[0], 1))
    return effect((*shapes[0][:at], len(shapes), *shapes[0][at:]))


def matmul(a: Json, shapes: list[Shape]) -> Effect:
    """Matrix products over the last two axes; all axes before them are equal."""
    first, second = shapes
    if (
        len(first) != len(second)
        or len(first) < 2
        or first[:-2] != second[:-2]
        or first[-1] != second[-2]
    ):
        raise Unfit("its inputs have shapes that do not fit each other")
    out = (*first[:-1], second[-1])
    return effect(out, work=math.prod(out) * first[-1])
