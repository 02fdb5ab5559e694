"""Rules for the values of layer arguments: each takes a value out of the JSON and returns it clean, or says no.

A rule is a function from a value to a clean value that raises `Unfit` with the end of a sentence:
"must be ...". Clean values are plain numbers, strings, booleans, None and lists of these;
initialisers, regularisers and constraints are a class name and its arguments.
"""

from collections.abc import Callable
from typing import Any

Rule = Callable[[Any], Any]

MAX_INTEGER = 1 << 16
"""Units, filters, sizes of any kind; parameters and activations are capped besides, in `shapes.py`."""
MAX_NUMBER = 1e30
"""Any float argument; well inside float32."""
MAX_LIST = 4096
"""Numbers in a list argument, such as the means of a `Normalization` layer."""

ACTIVATIONS = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_swish",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "squareplus",
    "swish",
    "tanh",
    "tanh_shrink",
]
"""Activation functions by name: elementwise ones, and softmax over the last axis."""


class Unfit(Exception):  # noqa: N818  not an error until a layer is named
    """A value breaks a rule; the text says what the value must be."""


def integer(low: int, high: int = MAX_INTEGER) -> Rule:
    """An integer from `low` to `high`."""

    def rule(value: Any) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Unfit(f"must be an integer from {low} to {high}")
        return value

    return rule


def number(low: float = -MAX_NUMBER, high: float = MAX_NUMBER) -> Rule:
    """A finite number from `low` to `high`, as a float."""

    def rule(value: Any) -> float:
        if type(value) not in (int, float) or not low <= value <= high:
            raise Unfit(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return rule


def choice(*values: Any) -> Rule:
    """One of a few values."""

    def rule(value: Any) -> Any:
        if not any(type(value) is type(v) and value == v for v in values):
            raise Unfit(
                "must be " + " or ".join("null" if v is None else str(v).lower() for v in values)
            )
        return value

    return rule


flag = choice(False, True)


def optional(inner: Rule) -> Rule:
    """None, or what `inner` takes."""

    def rule(value: Any) -> Any:
        if value is None:
            return None
        try:
            return inner(value)
        except Unfit as unfit:
            raise Unfit(f"{unfit} or null") from None

    return rule


def pair(inner: Rule) -> Rule:
    """One value for both sides of an image, or a list of two; returned as a list of two."""

    def rule(value: Any) -> list:
        values = value if isinstance(value, list) else [value, value]
        if len(values) != 2:
            raise Unfit("must be a list of two")
        try:
            return [inner(v) for v in values]
        except Unfit as unfit:
            raise Unfit(f"{unfit}, or two of these") from None

    return rule


def listed(inner: Rule, longest: int = 8) -> Rule:
    """One value or a list of at most `longest`; returned as a list."""

    def rule(value: Any) -> list:
        values = value if isinstance(value, list) else [value]
        if len(values) > longest:
            raise Unfit(f"must be a list of at most {longest}")
        try:
            return [inner(v) for v in values]
        except Unfit as unfit:
            raise Unfit(f"{unfit}, or a list of these") from None

    return rule


def numbers(value: Any) -> float | list[float]:
    """A number, or a list of numbers: also the form in which Keras saves a NumPy vector."""
    if (
        isinstance(value, dict)
        and value.get("class_name") == "__numpy__"
        and isinstance(value.get("config"), dict)
    ):
        value = value["config"].get("value")
    if not isinstance(value, list):
        return number()(value)
    if not value:
        raise Unfit("must be a number or a list of numbers")
    return listed(number(), MAX_LIST)(value)


def _edges(value: Any) -> list[list[int]]:
    side = integer(0, 1024)
    values = value if isinstance(value, list) and len(value) == 2 else [value, value]
    try:
        return [pair(side)(v) for v in values]
    except Unfit:
        raise Unfit("must be [[top, bottom], [left, right]], integers from 0 to 1024") from None


edges: Rule = _edges
"""Padding or cropping of an image: an integer, two, or two pairs; returned as two pairs."""


def _object(kind: str, module: str, classes: dict[str, dict[str, tuple[Rule, Any]]]) -> Rule:
    """A serialised object of one of a few classes, each with rules and defaults for its arguments."""
    names = ", ".join(classes)

    def rule(value: Any) -> list:
        if not isinstance(value, dict):
            raise Unfit(f"must be {kind} object: {names}")
        name, config = value.get("class_name"), value.get("config")
        if not isinstance(name, str) or name not in classes:
            raise Unfit(f"must be one of {kind}s {names}")
        if value.get("module") != module or value.get("registered_name") not in (None, name):
            raise Unfit(f"must be Keras' own {kind}, of module {module}")
        if set(value) - {"module", "class_name", "config", "registered_name", "shared_object_id"}:
            raise Unfit(f"must be {kind} with no other keys than Keras writes")
        if not isinstance(config, dict) or set(config) - set(classes[name]):
            raise Unfit(
                f"must be {kind} {name} with no other arguments than"
                f" {', '.join(classes[name]) or 'none'}"
            )
        try:
            return [
                name,
                {
                    key: inner(config.get(key, default))
                    for key, (inner, default) in classes[name].items()
                },
            ]
        except Unfit as unfit:
            raise Unfit(f"must be {kind} {name} whose arguments each fit: one {unfit}") from None

    return rule


def _seed(value: Any) -> None:
    """Any seed, dropped: the weights are there already."""
    if value is None or type(value) is int:
        return
    if (
        isinstance(value, dict)
        and value.get("class_name") == "SeedGenerator"
        and value.get("module") == "keras.random"
    ):
        config = value.get("config")
        if isinstance(config, dict) and all(
            v is None or type(v) in (int, str) for v in config.values()
        ):
            return
    raise Unfit("must be an integer or null")


seed: Rule = _seed
_SEEDED = {"seed": (seed, None)}
_AXES = optional(listed(integer(-8, 8)))
_FAN = _SEEDED | {"input_axes": (_AXES, None), "output_axes": (_AXES, None)}
_SCALED = {
    "scale": (number(1e-30), 1.0),
    "mode": (choice("fan_in", "fan_out", "fan_avg"), "fan_in"),
    "distribution": (
        choice("truncated_normal", "untruncated_normal", "uniform"),
        "truncated_normal",
    ),
}
_INITIALIZERS: dict[str, dict[str, tuple[Rule, Any]]] = {
    "Zeros": {},
    "Ones": {},
    "Constant": {"value": (number(), 0.0)},
    "GlorotNormal": _FAN,
    "GlorotUniform": _FAN,
    "HeNormal": _FAN,
    "HeUniform": _FAN,
    "LecunNormal": _FAN,
    "LecunUniform": _FAN,
    "VarianceScaling": _SCALED | _FAN,
    "RandomNormal": {"mean": (number(), 0.0), "stddev": (number(0), 0.05)} | _SEEDED,
    "TruncatedNormal": {"mean": (number(), 0.0), "stddev": (number(0), 0.05)} | _SEEDED,
    "RandomUniform": {"minval": (number(), -0.05), "maxval": (number(), 0.05)} | _SEEDED,
    "Orthogonal": {"gain": (number(), 1.0)} | _SEEDED,
    "OrthogonalInitializer": {"gain": (number(), 1.0)} | _SEEDED,
    "Identity": {"gain": (number(), 1.0)},
    "IdentityInitializer": {"gain": (number(), 1.0)},
}
_AXIS = {"axis": (listed(integer(-8, 8)), 0)}
_FACTOR = number(0, 1e6)

initializer = _object("an initializer", "keras.initializers", _INITIALIZERS)
regularizer = optional(
    _object(
        "a regularizer",
        "keras.regularizers",
        {
            "L1": {"l1": (_FACTOR, 0.01)},
            "L2": {"l2": (_FACTOR, 0.01)},
            "L1L2": {"l1": (_FACTOR, 0.0), "l2": (_FACTOR, 0.0)},
            "OrthogonalRegularizer": {
                "factor": (_FACTOR, 0.01),
                "mode": (choice("rows", "columns"), "rows"),
            },
        },
    )
)
constraint = optional(
    _object(
        "a constraint",
        "keras.constraints",
        {
            "MaxNorm": {"max_value": (number(0), 2.0)} | _AXIS,
            "MinMaxNorm": (
                {
                    "min_value": (number(0), 0.0),
                    "max_value": (number(0), 1.0),
                    "rate": (number(0, 1), 1.0),
                }
                | _AXIS
            ),
            "NonNeg": {},
            "UnitNorm": _AXIS,
        },
    )
)


def activation(value: Any) -> str:
    """The name of an activation function; `None` is linear."""
    if value is None:
        return "linear"
    if not isinstance(value, str) or value not in ACTIVATIONS:
        raise Unfit(
            "must be the name of a built-in activation that works on each value (or softmax)"
        )
    return value


def float32(value: Any) -> str:
    """The one dtype policy: float32, as a name or as Keras saves the policy."""
    if isinstance(value, dict):
        if (value.get("module"), value.get("class_name")) != ("keras", "DTypePolicy"):
            raise Unfit("must be Keras' own policy float32")
        if set(value) - {"module", "class_name", "config", "registered_name", "shared_object_id"}:
            raise Unfit("must be Keras' own policy float32")
        config = value.get("config")
        value = config.get("name") if isinstance(config, dict) else None
    if value != "float32":
        raise Unfit("must be float32; train in another precision if you like, but save in this one")
    return "float32"


def small_text(value: Any) -> str:
    """Text of any content, at most 128 characters."""
    if not isinstance(value, str) or not 0 < len(value) <= 128:
        raise Unfit("must be text of 1 to 128 characters")
    return value
