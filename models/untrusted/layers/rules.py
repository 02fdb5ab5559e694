"""Rules for the values of layer arguments: each takes a value of the JSON and returns it clean.

A rule is a function from a value to a clean value. It raises `Unfit` with the end of a sentence:
"must be ...". Clean values are plain numbers, strings, booleans, None and lists of these.
"""

from collections.abc import Callable
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Rule: TypeAlias = Callable[[object], T]

MAX_INTEGER = 1 << 16
"""Units, filters, sizes of any kind; parameters and activations are capped besides, in `graph`."""
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


def integer(low: int, high: int = MAX_INTEGER) -> Rule[int]:
    """An integer from `low` to `high`."""

    def rule(value: object) -> int:
        if type(value) is not int or not low <= value <= high:
            raise Unfit(f"must be an integer from {low} to {high}")
        return value

    return rule


def number(low: float = -MAX_NUMBER, high: float = MAX_NUMBER) -> Rule[float]:
    """A finite number from `low` to `high`, as a float."""

    def rule(value: object) -> float:
        if (type(value) is not int and type(value) is not float) or not low <= value <= high:
            raise Unfit(f"must be a number from {low:g} to {high:g}")
        return float(value)

    return rule


def choice(*values: T) -> Rule[T]:
    """One of a few values."""
    words = " or ".join("null" if value is None else str(value).lower() for value in values)

    def rule(value: object) -> T:
        for allowed in values:
            if type(value) is type(allowed) and value == allowed:
                return allowed
        raise Unfit(f"must be {words}")

    return rule


flag: Rule[bool] = choice(False, True)


def optional(inner: Rule[T]) -> Rule[T | None]:
    """None, or what `inner` takes."""

    def rule(value: object) -> T | None:
        if value is None:
            return None
        try:
            return inner(value)
        except Unfit as unfit:
            raise Unfit(f"{unfit} or null") from None

    return rule


def pair(inner: Rule[T]) -> Rule[list[T]]:
    """One value for both sides of an image, or a list of two; returned as a list of two."""

    def rule(value: object) -> list[T]:
        values = value if isinstance(value, list) else [value, value]
        if len(values) != 2:
            raise Unfit("must be a list of two")
        try:
            return [inner(v) for v in values]
        except Unfit as unfit:
            raise Unfit(f"{unfit}, or two of these") from None

    return rule


def listed(inner: Rule[T], longest: int = 8) -> Rule[list[T]]:
    """One value or a list of at most `longest`; returned as a list."""

    def rule(value: object) -> list[T]:
        values = value if isinstance(value, list) else [value]
        if len(values) > longest:
            raise Unfit(f"must be a list of at most {longest}")
        try:
            return [inner(v) for v in values]
        except Unfit as unfit:
            raise Unfit(f"{unfit}, or a list of these") from None

    return rule


def numbers(value: object) -> float | list[float]:
    """A number, or a list of numbers: also the form in which Keras saves a NumPy vector."""
    if isinstance(value, dict) and value.get("class_name") == "__numpy__":
        config = value.get("config")
        value = config.get("value") if isinstance(config, dict) else value
    if not isinstance(value, list):
        return number()(value)
    if not value:
        raise Unfit("must be a number or a list of numbers")
    return listed(number(), MAX_LIST)(value)


def edges(value: object) -> list[list[int]]:
    """Padding or cropping: an integer, two, or two pairs; returned as two pairs."""
    side = pair(integer(0, 1024))
    values = value if isinstance(value, list) and len(value) == 2 else [value, value]
    try:
        return [side(v) for v in values]
    except Unfit:
        raise Unfit("must be [[top, bottom], [left, right]], integers from 0 to 1024") from None


def activation(value: object) -> str:
    """The name of an activation function; None is linear."""
    if value is None:
        return "linear"
    if not isinstance(value, str) or value not in ACTIVATIONS:
        raise Unfit(
            "must be the name of a built-in activation that works on each value (or softmax)"
        )
    return value


def small_text(value: object) -> str:
    """Text of any content, at most 128 characters."""
    if not isinstance(value, str) or not 0 < len(value) <= 128:
        raise Unfit("must be text of 1 to 128 characters")
    return value
