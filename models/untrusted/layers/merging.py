"""Layers of several inputs, as effects.

In each function `a` holds the layer's clean arguments and `shapes` leave out the batch axis.
"""

import math

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.effect import (
    Effect,
    Shape,
    Variable,
    axis_index,
    effect,
)
from pellucid.models.untrusted.layers.rules import Unfit


def _common_shape(shapes: list[Shape]) -> Shape:
    """The shape of an elementwise combination: equal sizes, or 1 where an input is repeated."""
    if len({len(shape) for shape in shapes}) > 1:
        raise Unfit("its inputs must have the same number of axes")
    out = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    for shape in shapes:
        if any(size not in (1, want) for size, want in zip(shape, out, strict=True)):
            raise Unfit("its inputs have shapes that do not fit each other")
    return out


def elementwise(a: Json, shapes: list[Shape]) -> Effect:
    """One value from the values at the same place; axes of size 1 are repeated."""
    return effect(_common_shape(shapes), work=len(shapes) * math.prod(shapes[0]))


def subtract(a: Json, shapes: list[Shape]) -> Effect:
    """The first of two inputs less the second."""
    if len(shapes) != 2:
        raise Unfit(f"it takes two inputs, not {len(shapes)}")
    return elementwise(a, shapes)


def concatenate(a: Json, shapes: list[Shape]) -> Effect:
    """The inputs one after the other along an axis."""
    axis = axis_index(a["axis"], shapes[0])
    rests = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(rests) > 1 or len({len(shape) for shape in shapes}) > 1:
        raise Unfit("its inputs have shapes that do not fit each other")
    out = list(shapes[0])
    out[axis] = sum(shape[axis] for shape in shapes)
    return effect(tuple(out))


def dot(a: Json, shapes: list[Shape]) -> Effect:
    """Products of two inputs, summed over an axis of each."""
    if len(shapes) != 2 or any(len(shape) > 2 for shape in shapes):
        raise Unfit("it takes two inputs of one or two axes besides the batch")
    axes = [axis_index(axis, shape) for axis, shape in zip(a["axes"], shapes, strict=True)]
    sizes = [shape[axis] for axis, shape in zip(axes, shapes, strict=True)]
    if sizes[0] != sizes[1]:
        raise Unfit("its inputs have shapes that do not fit each other")
    rest = tuple(
        n
        for axis, shape in zip(axes, shapes, strict=True)
        for i, n in enumerate(shape)
        if i != axis
    )
    more = sum(math.prod(shape) for shape in shapes)
    return effect(rest or (1,), work=math.prod(rest) * sizes[0], more=more)


def _projection(name: str, kernel: Shape, bias: Shape, use_bias: bool) -> list[Variable]:
    """The weights of one of the dense layers inside an attention layer."""
    weights = [Variable(f"{name}/vars/0", f"{name}.kernel", kernel)]
    if use_bias:
        weights.append(Variable(f"{name}/vars/1", f"{name}.bias", bias))
    return weights


def attention(a: Json, shapes: list[Shape]) -> Effect:
    """Multi-head attention of a query to a value and a key."""
    if len(shapes) not in (2, 3):
        raise Unfit(
            f"it takes two or three inputs (query, value, optionally key), not {len(shapes)}"
        )
    query, value, key = shapes[0], shapes[1], shapes[-1]
    if {len(query), len(value), len(key)} != {2} or key[0] != value[0]:
        raise Unfit(
            "it takes a query, a value and a key of shape (places, channels); value and key must"
            " have the same number of places"
        )
    heads, key_dim = a["num_heads"], a["key_dim"]
    value_dim = a["value_dim"] or key_dim
    out = a["output_shape"][0] if a["output_shape"] else query[1]
    parts = (("query", query[1], key_dim), ("key", key[1], key_dim), ("value", value[1], value_dim))
    weights: list[Variable] = []
    work = heads * query[0] * key[0] * (key_dim + value_dim)
    more = 2 * heads * query[0] * key[0]
    for (name, size, dim), shape in zip(parts, (query, key, value), strict=True):
        weights += _projection(f"{name}_dense", (size, heads, dim), (heads, dim), a["use_bias"])
        work += shape[0] * size * heads * dim
        more += shape[0] * heads * dim
    weights += _projection("output_dense", (heads, value_dim, out), (out,), a["use_bias"])
    work += query[0] * heads * value_dim * out
    return effect((query[0], out), weights, work=work, more=more + query[0] * heads * value_dim)
