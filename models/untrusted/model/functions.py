"""What each function of `keras.ops` becomes: the layers of the list that compute the same.

Division by a number becomes multiplication by its inverse, which may differ in the last bit.
"""

from collections.abc import Callable
from typing import NamedTuple

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.operations import Index
from pellucid.models.untrusted.layers.rules import (
    MAX_NUMBER,
    Unfit,
    integer,
    listed,
    optional,
    pair,
)
from pellucid.models.untrusted.model.nested import LayerCall, NestedLayer, Output
from pellucid.models.untrusted.model.serialized import clean_arguments

Constant = float | list[float]
Given = Output | list[Output] | Constant | list[Index]
"""What an argument of a call may be: a tensor, several, a number or one per channel, a key."""


class Node:
    """An operation as it becomes layers; the last that is made has the operation's name.

    Attributes:
        name: The operation's name.
        group: A path that is the operation's alone, for its layers.
        config: Its arguments, as saved.
        given: The arguments of its call, in order.
        layers: The layers made so far.
    """

    def __init__(self, name: str, group: str, config: Json, given: list[Given]) -> None:
        self.name, self.group, self.config, self.given = name, group, config, given
        self.layers: list[NestedLayer] = []

    def __call__(self, class_name: str, *inputs: Output, **arguments: object) -> Output:
        """Makes a layer; returns its output."""
        name, group = (f"{path}/{len(self.layers)}" for path in (self.name, self.group))
        clean = clean_arguments(class_name, {"name": self.name, **arguments}, self.name)
        call = LayerCall(list(inputs), {})
        self.layers.append(NestedLayer(class_name, name, group, clean, [call]))
        return Output(name, 0)

    def finished(self) -> list[NestedLayer]:
        """The layers, the last under the operation's name."""
        *before, last = self.layers
        return [*before, last._replace(name=self.name)]

    def tensors(self) -> list[Output]:
        """The arguments, which must all be tensors."""
        if not all(isinstance(value, Output) for value in self.given):
            raise Unfit("takes outputs of layers alone")
        return [value for value in self.given if isinstance(value, Output)]


def _negative(value: Constant) -> Constant:
    return [-v for v in value] if isinstance(value, list) else -value


def _inverse(value: Constant) -> Constant:
    values = value if isinstance(value, list) else [value]
    if any(abs(v) < 1 / MAX_NUMBER for v in values):
        raise Unfit("divides by zero")
    return [1 / v for v in value] if isinstance(value, list) else 1 / value


def _shifted(node: Node, x: Output, scale: Constant, offset: Constant) -> Output:
    return node("Rescaling", x, scale=scale, offset=offset)


class _Pair(NamedTuple):
    """The two arguments of arithmetic.

    Attributes:
        x: The first tensor.
        other: The second, or a constant.
        constant_first: Whether the constant is the first argument.
    """

    x: Output
    other: Output | Constant
    constant_first: bool


def _tensor_or_constant(value: Given) -> Output | Constant:
    if isinstance(value, Output):
        return value
    values = value if isinstance(value, list) else [value]
    found = [v for v in values if isinstance(v, float)]
    if len(found) != len(values):
        raise Unfit("takes several tensors in place of one")
    return found if isinstance(value, list) else found[0]


def _pair(node: Node) -> _Pair:
    first, second = (_tensor_or_constant(value) for value in node.given)
    if isinstance(first, Output):
        return _Pair(first, second, constant_first=False)
    if isinstance(second, Output):
        return _Pair(second, first, constant_first=True)
    raise Unfit("takes no output of a layer")


def _add(node: Node) -> None:
    x, other, _ = _pair(node)
    if isinstance(other, Output):
        node("Add", x, other)
    else:
        _shifted(node, x, 1.0, other)


def _subtract(node: Node) -> None:
    x, other, constant_first = _pair(node)
    if isinstance(other, Output):
        node("Subtract", x, other)
    elif constant_first:
        _shifted(node, x, -1.0, other)
    else:
        _shifted(node, x, 1.0, _negative(other))


def _multiply(node: Node) -> None:
    x, other, _ = _pair(node)
    if isinstance(other, Output):
        node("Multiply", x, other)
    else:
        _shifted(node, x, other, 0.0)


def _divide(node: Node) -> None:
    x, other, constant_first = _pair(node)
    if isinstance(other, Output):
        node("Multiply", x, node("ops.reciprocal", other))
    elif constant_first:
        _shifted(node, node("ops.reciprocal", x), other, 0.0)
    else:
        _shifted(node, x, _inverse(other), 0.0)


def _extreme(layer: str, bound: str) -> Callable[[Node], None]:
    """The larger or smaller of two tensors, or of a tensor and a number."""

    def make(node: Node) -> None:
        x, other, _ = _pair(node)
        if isinstance(other, Output):
            node(layer, x, other)
        else:
            node("ops.clip", x, **{bound: other})

    return make


def _power(node: Node) -> None:
    x, exponent = node.given
    if not isinstance(x, Output) or not isinstance(exponent, int | float):
        raise Unfit("takes the output of a layer and a number")
    node("ops.power", x, exponent=exponent)


def _negate(node: Node) -> None:
    (x,) = node.tensors()
    _shifted(node, x, -1.0, 0.0)


def _square(node: Node) -> None:
    (x,) = node.tensors()
    node("Multiply", x, x)


def _gelu(node: Node) -> None:
    (x,) = node.tensors()
    if node.config.get("approximate", True) is True:
        node("ops.gelu", x)
    else:
        node("Activation", x, activation="gelu")


def _reshape(node: Node) -> None:
    (x,) = node.tensors()
    shape = listed(optional(integer(-1, 1 << 24)), 9)(node.config.get("newshape"))
    if len(shape) < 2 or shape[0] not in (None, -1) or None in shape[1:]:
        raise Unfit("must keep the batch axis: ops.reshape(h, (-1, ...)) with the other sizes")
    node("Reshape", x, target_shape=shape[1:])


def _transpose(node: Node) -> None:
    (x,) = node.tensors()
    axes = node.config.get("axes")
    if not isinstance(axes, list) or not axes or axes[0] != 0:
        raise Unfit("must keep the batch axis first: axes=(0, ...)")
    node("Permute", x, dims=axes[1:])


def _cast(node: Node) -> None:
    (x,) = node.tensors()
    if node.config.get("dtype") not in ("float16", "bfloat16", "float32"):
        raise Unfit("may only cast to a float type")
    node("Identity", x)


def _concatenate(node: Node) -> None:
    node("Concatenate", *_several(node), axis=node.config.get("axis", 0))


def _stack(node: Node) -> None:
    node("ops.stack", *_several(node), axis=node.config.get("axis", 0))


def _several(node: Node) -> list[Output]:
    (values,) = node.given
    if not isinstance(values, list) or not all(isinstance(v, Output) for v in values):
        raise Unfit("takes a list of outputs of layers")
    return [v for v in values if isinstance(v, Output)]


def _get_item(node: Node) -> None:
    x, key = node.given
    if not isinstance(x, Output):
        raise Unfit("takes the output of a layer")
    node("ops.get_item", x, key=key)


def _matmul(node: Node) -> None:
    node("ops.matmul", *node.tensors())


def _pool(layer: str) -> Callable[[Node], None]:
    def make(node: Node) -> None:
        (x,) = node.tensors()
        arguments = {k: v for k, v in node.config.items() if k != "name" and v is not None}
        node(layer, x, **arguments)

    return make


def _pad(node: Node) -> None:
    x, *rest = node.given
    if not isinstance(x, Output) or any(rest) or node.config.get("mode") != "constant":
        raise Unfit("may only pad with zeros")
    sides = listed(pair(integer(0, 1024)))(node.config.get("pad_width"))
    if len(sides) != 4 or sides[0] != [0, 0] or sides[3] != [0, 0]:
        raise Unfit("may only pad height and width of images: ((0, 0), (t, b), (l, r), (0, 0))")
    node("ZeroPadding2D", x, padding=sides[1:3])


def _into(class_name: str, **fixed: object) -> Callable[[Node], None]:
    """The layer, or the operation, of the same arguments."""

    def make(node: Node) -> None:
        (x,) = node.tensors()
        arguments = {k: v for k, v in node.config.items() if k != "name"}
        node(class_name, x, **arguments | fixed)

    return make


class Operation(NamedTuple):
    """How a function is called, and what it becomes.

    Attributes:
        make: Makes its layers.
        parameters: Names of the arguments of a call, in order.
    """

    make: Callable[[Node], None]
    parameters: tuple[str, ...] = ("x",)


_BOTH = ("x1", "x2")
_ACTIVATIONS = {
    "HardSigmoid": "hard_sigmoid",
    "HardSilu": "hard_silu",
    "HardTanh": "hard_tanh",
    "LogSigmoid": "log_sigmoid",
    "Relu6": "relu6",
    "Selu": "selu",
    "Sigmoid": "sigmoid",
    "Silu": "silu",
    "Softplus": "softplus",
    "Softsign": "softsign",
    "Tanh": "tanh",
    "TanhShrink": "tanh_shrink",
}

OPERATIONS: dict[str, Operation] = {
    "Add": Operation(_add, _BOTH),
    "Subtract": Operation(_subtract, _BOTH),
    "Multiply": Operation(_multiply, _BOTH),
    "TrueDivide": Operation(_divide, _BOTH),
    "Divide": Operation(_divide, _BOTH),
    "Maximum": Operation(_extreme("Maximum", "x_min"), _BOTH),
    "Minimum": Operation(_extreme("Minimum", "x_max"), _BOTH),
    "Power": Operation(_power, _BOTH),
    "Matmul": Operation(_matmul, _BOTH),
    "Negative": Operation(_negate),
    "Square": Operation(_square),
    "Absolute": Operation(_into("ops.absolute")),
    "Abs": Operation(_into("ops.absolute")),
    "Exp": Operation(_into("ops.exp")),
    "Log": Operation(_into("ops.log")),
    "Sqrt": Operation(_into("ops.sqrt")),
    "Rsqrt": Operation(_into("ops.rsqrt")),
    "Erf": Operation(_into("ops.erf")),
    "Reciprocal": Operation(_into("ops.reciprocal")),
    "Clip": Operation(_into("ops.clip")),
    "Relu": Operation(_into("ReLU")),
    "LeakyRelu": Operation(_into("LeakyReLU")),
    "Elu": Operation(_into("ELU")),
    "Gelu": Operation(_gelu),
    "Softmax": Operation(_into("Softmax")),
    "Mean": Operation(_into("ops.mean")),
    "Sum": Operation(_into("ops.sum")),
    "Max": Operation(_into("ops.max")),
    "Min": Operation(_into("ops.min")),
    "MaxPool": Operation(_pool("MaxPooling2D"), ("inputs",)),
    "AveragePool": Operation(_pool("AveragePooling2D"), ("inputs",)),
    "Reshape": Operation(_reshape),
    "Transpose": Operation(_transpose),
    "Squeeze": Operation(_into("ops.squeeze")),
    "ExpandDims": Operation(_into("ops.expand_dims")),
    "Concatenate": Operation(_concatenate, ("xs",)),
    "Stack": Operation(_stack),
    "GetItem": Operation(_get_item, ("x", "key")),
    "Pad": Operation(_pad, ("x", "constant_values")),
    "Cast": Operation(_cast),
} | {
    name: Operation(_into("Activation", activation=function))
    for name, function in _ACTIVATIONS.items()
}
"""The allowed functions, by the class of their node."""

HINTS = {
    "StopGradient": "a network that hides its gradient cannot be compared: leave it out",
    "Einsum": "use Dense, Dot or MultiHeadAttention",
    "Normalize": "use keras.layers.UnitNormalization",
    "Flip": "use h[..., ::-1]",
}
"""What to do instead of some of the functions that are refused."""
