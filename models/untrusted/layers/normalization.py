"""Layers that shift, scale or normalise values, as effects.

In each function `a` holds the layer's clean arguments and `shape` leaves out the batch axis.
"""

import math

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.effect import (
    Effect,
    Shape,
    Variable,
    axis_index,
    axis_indices,
    effect,
    image_shape,
    numbered,
)
from pellucid.models.untrusted.layers.rules import Unfit


def rescaling(a: Json, shape: Shape) -> Effect:
    """Values times a scale plus an offset, each a number or one per channel."""
    for value in (a["scale"], a["offset"]):
        if isinstance(value, list) and len(value) not in (1, shape[-1]):
            raise Unfit(
                f"scale and offset must be numbers, or lists of one number per channel:"
                f" {shape[-1]}, not {len(value)}"
            )
    return effect(shape)


def normalization(a: Json, shape: Shape) -> Effect:
    """Values less a mean, divided by a standard deviation, both from data."""
    size = tuple(shape[i] for i in axis_indices(a["axis"], shape))
    mean, variance = a["mean"], a["variance"]
    if mean is None and variance is None:
        weights = numbered(("adapt_mean", size), ("adapt_variance", size))
        return effect(shape, [*weights, Variable("vars/2", "count", (), counter=True)])
    sizes = [len(v) if isinstance(v, list) else None for v in (mean, variance)]
    if (
        mean is None
        or variance is None
        or sizes[0] != sizes[1]
        or (sizes[0] and size[-1:] != (sizes[0],))
    ):
        raise Unfit(
            "mean and variance must be set together, as numbers or as lists of one number per"
            " channel"
        )
    return effect(shape)


def _centred(a: Json, size: Shape, *more: str) -> list[Variable]:
    names = ("gamma",) * a["scale"] + ("beta",) * a["center"] + more
    return numbered(*((name, size) for name in names))


def batch_norm(a: Json, shape: Shape) -> Effect:
    """Batch normalisation, which at inference is an affine map of each channel."""
    size = (shape[axis_index(a["axis"], shape)],)
    return effect(shape, _centred(a, size, "moving_mean", "moving_variance"))


def layer_norm(a: Json, shape: Shape) -> Effect:
    """Each image normalised over some axes."""
    axes = axis_indices(a["axis"], shape)
    if not axes:
        raise Unfit("it must normalise over at least one axis")
    return effect(shape, _centred(a, tuple(shape[i] for i in axes)), more=math.prod(shape))


def group_norm(a: Json, shape: Shape) -> Effect:
    """Each image normalised over groups of channels."""
    size = shape[axis_index(a["axis"], shape)]
    groups = size if a["groups"] == -1 else a["groups"]
    if groups < 1 or size % groups:
        raise Unfit(f"groups {groups} does not divide its {size} channels")
    return effect(shape, _centred(a, (size,)), more=math.prod(shape))


def along_axes(a: Json, shape: Shape) -> Effect:
    """A function that mixes the values along some axes: softmax, unit norm."""
    axis_indices(a["axis"] if isinstance(a["axis"], list) else [a["axis"]], shape)
    return effect(shape, more=math.prod(shape))


def prelu(a: Json, shape: Shape) -> Effect:
    """Negative values times a learned slope."""
    shared = axis_indices(a["shared_axes"] or [], shape)
    return effect(
        shape, numbered(("alpha", tuple(1 if i in shared else n for i, n in enumerate(shape))))
    )


def layer_scale(a: Json, shape: Shape) -> Effect:
    """Each channel times a learned factor: a depthwise convolution with a window of one pixel."""
    channels = image_shape(shape)[2]
    if a["projection_dim"] != channels:
        raise Unfit(f"it has {a['projection_dim']} factors for {channels} channels")
    kernel = (1, 1, channels, 1)
    return effect(shape, [Variable("vars/0", "kernel", kernel, saved_shape=(channels,))])
