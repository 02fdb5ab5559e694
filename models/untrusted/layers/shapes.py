"""What each allowed layer makes of its inputs: the output's shape, the weights, and what it costs.

Known here, in plain Python, before Keras is asked for anything: a model too large to build is
refused without building it, and the weights file is held against these shapes before a single value
of it is read. When Keras builds the model afterwards, its shapes must be the same. Shapes leave out
the batch axis; the last axis is the channels.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

from robust_interpretability.models.untrusted.layers.rules import Unfit

MAX_DIMENSION = 1 << 24
Shape = tuple[int, ...]


class Variable(NamedTuple):
    """A weight of a layer.

    Attributes:
        path: Where Keras saves it, below the layer's group.
        attribute: The layer's attribute that holds it.
        shape: Its shape.
        counter: Whether it is an integer that inference does not use.
    """

    path: str
    attribute: str
    shape: Shape
    counter: bool = False


class Effect(NamedTuple):
    """What a layer makes of its inputs.

    Attributes:
        shape: The output's shape.
        variables: The layer's weights.
        values: Numbers it holds at once for one image: its output and what it makes on the way.
        multiply_adds: Multiplications with addition for one image.
    """

    shape: Shape
    variables: list[Variable]
    values: int
    multiply_adds: int


def _own(*named: tuple[str, Shape]) -> list[Variable]:
    """A layer's own weights in the order in which Keras numbers them."""
    return [Variable(f"vars/{i}", attribute, shape) for i, (attribute, shape) in enumerate(named)]


def _effect(
    shape: Shape, variables: list[Variable] | None = None, *, work: int = 0, more: int = 0
) -> Effect:
    if not shape or any(not 1 <= size <= MAX_DIMENSION for size in shape):
        raise Unfit(f"its output would have shape {shape}")
    values = math.prod(shape)
    return Effect(shape, variables or [], values + more, max(work, values))


def _image(shape: Shape) -> Shape:
    if len(shape) != 3:
        raise Unfit(f"it takes images (height, width, channels), not {len(shape)} axes")
    return shape


def _axis(axis: int, shape: Shape) -> int:
    """An axis that counts the batch as 0, as an index into a shape without batch."""
    index = axis + len(shape) if axis < 0 else axis - 1
    if not 0 <= index < len(shape):
        what = "is the batch axis" if axis in (0, -len(shape) - 1) else "is beyond the input's axes"
        raise Unfit(f"axis {axis} {what}")
    return index


def _axes(axes: list[int], shape: Shape) -> list[int]:
    found = sorted(_axis(axis, shape) for axis in axes)
    if len(set(found)) != len(found):
        raise Unfit("an axis is named twice")
    return found


def _windows(size: int, window: int, stride: int, dilation: int, padding: str) -> int:
    """How many places a sliding window takes along one side."""
    if padding == "same":
        return -(-size // stride)
    return (size - dilation * (window - 1) - 1) // stride + 1


def _slide(a: dict[str, Any], shape: Shape, window: list[int], strides: list[int]) -> Shape:
    dilation = a.get("dilation_rate", [1, 1])
    if max(strides) > 1 and max(dilation) > 1:
        raise Unfit("strides and dilation_rate cannot both be above 1")
    return tuple(
        _windows(n, w, s, d, a["padding"])
        for n, w, s, d in zip(shape, window, strides, dilation, strict=False)
    )


def _bias(a: dict[str, Any], size: int) -> list[tuple[str, Shape]]:
    return [("bias", (size,))] if a["use_bias"] else []


def _dense(a: dict[str, Any], shape: Shape) -> Effect:
    out, units = (*shape[:-1], a["units"]), a["units"]
    weights = _own(("kernel", (shape[-1], units)), *_bias(a, units))
    return _effect(out, weights, work=math.prod(out) * shape[-1])


def _conv(a: dict[str, Any], shape: Shape) -> Effect:
    *_, channels = _image(shape)
    filters, groups = a["filters"], a["groups"]
    if channels % groups or filters % groups:
        raise Unfit(
            f"groups {groups} does not divide its {channels} input channels and {filters} filters"
        )
    out = (*_slide(a, shape, a["kernel_size"], a["strides"]), filters)
    kernel = (*a["kernel_size"], channels // groups, filters)
    work = math.prod(out) * math.prod(kernel[:-1])
    return _effect(out, _own(("kernel", kernel), *_bias(a, filters)), work=work)


def _depthwise(a: dict[str, Any], shape: Shape) -> Effect:
    *_, channels = _image(shape)
    if a["strides"][0] != a["strides"][1]:
        raise Unfit("its two strides must be equal")
    filters = channels * a["depth_multiplier"]
    out = (*_slide(a, shape, a["kernel_size"], a["strides"]), filters)
    kernel = (*a["kernel_size"], channels, a["depth_multiplier"])
    return _effect(
        out,
        _own(("kernel", kernel), *_bias(a, filters)),
        work=math.prod(out) * math.prod(a["kernel_size"]),
    )


def _separable(a: dict[str, Any], shape: Shape) -> Effect:
    *_, channels = _image(shape)
    if a["strides"][0] != a["strides"][1]:
        raise Unfit("its two strides must be equal")
    places = _slide(a, shape, a["kernel_size"], a["strides"])
    middle, filters = channels * a["depth_multiplier"], a["filters"]
    depthwise, pointwise = (
        (*a["kernel_size"], channels, a["depth_multiplier"]),
        (1, 1, middle, filters),
    )
    work = math.prod(places) * middle * (math.prod(a["kernel_size"]) + filters)
    weights = _own(
        ("depthwise_kernel", depthwise), ("pointwise_kernel", pointwise), *_bias(a, filters)
    )
    _effect((*places, middle))
    return _effect((*places, filters), weights, work=work, more=math.prod(places) * middle)


def _transposed(a: dict[str, Any], shape: Shape) -> Effect:
    *_, channels = _image(shape)
    if max(a["strides"]) > 1 and max(a["dilation_rate"]) > 1:
        raise Unfit("strides and dilation_rate cannot both be above 1")
    sides = []
    for n, k, s, d in zip(shape, a["kernel_size"], a["strides"], a["dilation_rate"], strict=False):
        sides.append(n * s if a["padding"] == "same" else n * s + max((k - 1) * d + 1 - s, 0))
    kernel = (*a["kernel_size"], a["filters"], channels)
    work = math.prod(shape) * math.prod(kernel[:-1])
    return _effect(
        (*sides, a["filters"]), _own(("kernel", kernel), *_bias(a, a["filters"])), work=work
    )


def _pool(a: dict[str, Any], shape: Shape) -> Effect:
    *_, channels = _image(shape)
    out = (*_slide(a, shape, a["pool_size"], a["strides"] or a["pool_size"]), channels)
    return _effect(out, work=math.prod(out) * math.prod(a["pool_size"]))


def _global_pool(axes: int) -> Callable[[dict[str, Any], Shape], Effect]:
    def infer(a: dict[str, Any], shape: Shape) -> Effect:
        if len(shape) != axes + 1:
            raise Unfit(f"it takes {axes + 1} axes beside the batch, not {len(shape)}")
        return _effect(
            (*(1,) * axes, shape[-1]) if a["keepdims"] else shape[-1:], work=math.prod(shape)
        )

    return infer


def _same(a: dict[str, Any], shape: Shape) -> Effect:
    return _effect(shape)


def _rescaling(a: dict[str, Any], shape: Shape) -> Effect:
    for value in (a["scale"], a["offset"]):
        if isinstance(value, list) and len(value) not in (1, shape[-1]):
            raise Unfit(
                f"a list of scales must hold one number a channel, {shape[-1]}, not {len(value)}"
            )
    return _effect(shape)


def _normalization(a: dict[str, Any], shape: Shape) -> Effect:
    kept = tuple(shape[i] for i in _axes(a["axis"], shape))
    mean, variance = a["mean"], a["variance"]
    if mean is None and variance is None:
        weights = _own(("adapt_mean", kept), ("adapt_variance", kept))
        return _effect(shape, [*weights, Variable("vars/2", "count", (), counter=True)])
    sizes = [len(v) if isinstance(v, list) else None for v in (mean, variance)]
    if (
        mean is None
        or variance is None
        or sizes[0] != sizes[1]
        or (sizes[0] and kept[-1:] != (sizes[0],))
    ):
        raise Unfit(
            "mean and variance must be given together, as numbers or as one number for each kept"
            " channel"
        )
    return _effect(shape)


def _centred(a: dict[str, Any], size: Shape, *more: str) -> list[Variable]:
    names = ("gamma",) * a["scale"] + ("beta",) * a["center"] + more
    return _own(*((name, size) for name in names))


def _batch_norm(a: dict[str, Any], shape: Shape) -> Effect:
    size = (shape[_axis(a["axis"], shape)],)
    return _effect(shape, _centred(a, size, "moving_mean", "moving_variance"))


def _layer_norm(a: dict[str, Any], shape: Shape) -> Effect:
    axes = _axes(a["axis"], shape)
    if not axes:
        raise Unfit("it must normalise over at least one axis")
    return _effect(shape, _centred(a, tuple(shape[i] for i in axes)), more=math.prod(shape))


def _group_norm(a: dict[str, Any], shape: Shape) -> Effect:
    size = shape[_axis(a["axis"], shape)]
    groups = size if a["groups"] == -1 else a["groups"]
    if groups < 1 or size % groups:
        raise Unfit(f"groups {groups} does not divide its {size} channels")
    return _effect(shape, _centred(a, (size,)), more=math.prod(shape))


def _on_axis(a: dict[str, Any], shape: Shape) -> Effect:
    _axes(a["axis"] if isinstance(a["axis"], list) else [a["axis"]], shape)
    return _effect(shape, more=math.prod(shape))


def _prelu(a: dict[str, Any], shape: Shape) -> Effect:
    shared = _axes(a["shared_axes"] or [], shape)
    return _effect(
        shape, _own(("alpha", tuple(1 if i in shared else n for i, n in enumerate(shape))))
    )


def _reshape(a: dict[str, Any], shape: Shape) -> Effect:
    target, values = list(a["target_shape"]), math.prod(shape)
    if target.count(-1) > 1 or 0 in target or not target:
        raise Unfit("target_shape must hold positive sizes and at most one -1")
    known = math.prod(size for size in target if size != -1)
    target = [values // known if size == -1 else size for size in target]
    if math.prod(target) != values:
        raise Unfit(f"its input of {values} values does not fit target_shape")
    return _effect(tuple(target))


def _permute(a: dict[str, Any], shape: Shape) -> Effect:
    if sorted(a["dims"]) != list(range(1, len(shape) + 1)):
        raise Unfit(f"dims must be an order of 1 to {len(shape)}")
    return _effect(tuple(shape[i - 1] for i in a["dims"]))


def _pad(a: dict[str, Any], shape: Shape) -> Effect:
    (top, bottom), (left, right) = a["padding"]
    height, width, channels = _image(shape)
    return _effect((height + top + bottom, width + left + right, channels))


def _crop(a: dict[str, Any], shape: Shape) -> Effect:
    (top, bottom), (left, right) = a["cropping"]
    height, width, channels = _image(shape)
    return _effect((height - top - bottom, width - left - right, channels))


def _upsample(a: dict[str, Any], shape: Shape) -> Effect:
    height, width, channels = _image(shape)
    return _effect((height * a["size"][0], width * a["size"][1], channels))


def _flatten(a: dict[str, Any], shape: Shape) -> Effect:
    return _effect((math.prod(shape),))


ONE: dict[str, Callable[[dict[str, Any], Shape], Effect]] = {
    "Rescaling": _rescaling,
    "Normalization": _normalization,
    "Dense": _dense,
    "Conv2D": _conv,
    "DepthwiseConv2D": _depthwise,
    "SeparableConv2D": _separable,
    "Conv2DTranspose": _transposed,
    "MaxPooling2D": _pool,
    "AveragePooling2D": _pool,
    "GlobalMaxPooling2D": _global_pool(2),
    "GlobalAveragePooling2D": _global_pool(2),
    "GlobalMaxPooling1D": _global_pool(1),
    "GlobalAveragePooling1D": _global_pool(1),
    "Flatten": _flatten,
    "Reshape": _reshape,
    "Permute": _permute,
    "PReLU": _prelu,
    "Softmax": _on_axis,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "GroupNormalization": _group_norm,
    "UnitNormalization": _on_axis,
    "ZeroPadding2D": _pad,
    "Cropping2D": _crop,
    "UpSampling2D": _upsample,
}
"""Layers of one input."""
ONE |= dict.fromkeys(("Activation", "ReLU", "LeakyReLU", "ELU", "Identity"), _same)
ONE |= dict.fromkeys(
    ("Dropout", "AlphaDropout", "SpatialDropout2D", "GaussianDropout", "GaussianNoise"), _same
)
