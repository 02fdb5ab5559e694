"""Layers of several inputs, and `infer` for all; see `shapes.py`."""

import math
from typing import Any

from robust_interpretability.models.untrusted.layers.rules import Unfit
from robust_interpretability.models.untrusted.layers.shapes import (
    ONE,
    Effect,
    Shape,
    Variable,
    _axis,
    _effect,
)


def _alike(shapes: list[Shape]) -> Shape:
    """The shape of an elementwise combination: equal sizes, or 1 where an input is repeated along an axis."""
    if len({len(shape) for shape in shapes}) > 1:
        raise Unfit("its inputs must have the same number of axes")
    out = tuple(max(sizes) for sizes in zip(*shapes, strict=True))
    if any(
        size not in (1, want) for shape in shapes for size, want in zip(shape, out, strict=True)
    ):
        raise Unfit("its inputs have shapes that do not fit each other")
    return out


def _concatenate(a: dict[str, Any], shapes: list[Shape]) -> Effect:
    axis = _axis(a["axis"], shapes[0])
    rests = {(*shape[:axis], *shape[axis + 1 :]) for shape in shapes}
    if len(rests) > 1 or len({len(shape) for shape in shapes}) > 1:
        raise Unfit("its inputs have shapes that do not fit each other")
    out = list(shapes[0])
    out[axis] = sum(shape[axis] for shape in shapes)
    return _effect(tuple(out))


def _dot(a: dict[str, Any], shapes: list[Shape]) -> Effect:
    if len(shapes) != 2 or any(len(shape) > 2 for shape in shapes):
        raise Unfit("it takes two inputs of one or two axes beside the batch")
    axes = [_axis(axis, shape) for axis, shape in zip(a["axes"], shapes, strict=True)]
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
    return _effect(rest or (1,), work=math.prod(rest) * sizes[0], more=more)


def _attention(a: dict[str, Any], shapes: list[Shape]) -> Effect:
    if len(shapes) not in (2, 3):
        raise Unfit(f"it takes a query, a value and perhaps a key, not {len(shapes)} inputs")
    query, value, key = shapes[0], shapes[1], shapes[-1]
    if {len(query), len(value), len(key)} != {2} or key[0] != value[0]:
        raise Unfit(
            "it takes a query, a value and a key of shape (places, channels); value and key equally"
            " long"
        )
    heads, key_dim = a["num_heads"], a["key_dim"]
    value_dim = a["value_dim"] or key_dim
    out = a["output_shape"][0] if a["output_shape"] else query[1]
    parts = (("query", query[1], key_dim), ("key", key[1], key_dim), ("value", value[1], value_dim))
    weights, work, more = (
        [],
        heads * query[0] * key[0] * (key_dim + value_dim),
        2 * heads * query[0] * key[0],
    )
    for (name, size, dim), shape in zip(parts, (query, key, value), strict=True):
        weights += _projection(f"{name}_dense", (size, heads, dim), (heads, dim), a["use_bias"])
        work += shape[0] * size * heads * dim
        more += shape[0] * heads * dim
    weights += _projection("output_dense", (heads, value_dim, out), (out,), a["use_bias"])
    work += query[0] * heads * value_dim * out
    return _effect((query[0], out), weights, work=work, more=more + query[0] * heads * value_dim)


def _projection(name: str, kernel: Shape, bias: Shape, use_bias: bool) -> list[Variable]:
    found = [Variable(f"{name}/vars/0", f"{name}.kernel", kernel)]
    return [*found, Variable(f"{name}/vars/1", f"{name}.bias", bias)] if use_bias else found


def infer(class_name: str, arguments: dict[str, Any], shapes: list[Shape]) -> Effect:
    """What a layer makes of its inputs.

    Args:
        class_name: A key of `allowed.LAYERS`.
        arguments: Its clean arguments.
        shapes: The shapes of its inputs.

    Returns:
        The effect.

    Raises:
        Unfit: The layer does not take such inputs; the text says why.
    """
    if class_name == "MultiHeadAttention":
        return _attention(arguments, shapes)
    if class_name in ONE:
        if len(shapes) != 1:
            raise Unfit(f"it takes one input, not {len(shapes)}")
        return ONE[class_name](arguments, shapes[0])
    if not 1 <= len(shapes) <= 64:
        raise Unfit(f"it takes 1 to 64 inputs, not {len(shapes)}")
    if class_name == "Concatenate":
        return _concatenate(arguments, shapes)
    if class_name == "Dot":
        return _dot(arguments, shapes)
    if class_name == "Subtract" and len(shapes) != 2:
        raise Unfit(f"it takes two inputs, not {len(shapes)}")
    return _effect(_alike(shapes), work=len(shapes) * math.prod(shapes[0]))
