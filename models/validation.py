"""Pydantic's errors in one line, with the closest match for an unknown key."""

import difflib
import functools
from typing import TypeVar, get_args

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from pellucid.models.errors import InputError, printable

T = TypeVar("T")

SHOWN = 200
"""Characters of a received value that a message repeats at most."""
MOST = 10
"""Mistakes that one message names at most."""


def _model_in(annotation: object) -> type[BaseModel] | None:
    """The first model in a type such as `list[Annotated[Model, ...]] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((inner for part in get_args(annotation) if (inner := _model_in(part))), None)


def shown(value: object, length: int = SHOWN) -> str:
    """The `repr` of a received value as printable text of bounded length."""
    try:
        return printable(repr(value), length)
    except ValueError:  # an integer, alone or within a list, too long for Python to write
        return "a number of thousands of digits"


def _mistake(first: ErrorDetails, model: type[BaseModel], what: str) -> str:
    """One error of pydantic's as a sentence."""
    where = shown(".".join(str(part) for part in first["loc"]))[1:-1]
    if first["type"] == "extra_forbidden":
        section: type[BaseModel] = model
        for part in first["loc"][:-1]:
            if isinstance(part, str) and part in section.model_fields:
                section = _model_in(section.model_fields[part].annotation) or section
        known = list(section.model_fields)
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else f" Known: {', '.join(known)}."
        return f"Unknown key '{where}' in {what}.{hint}"
    cause = first.get("ctx", {}).get("error")
    message = str(cause) if cause else f"{first['msg']}. Received {shown(first['input'])}"
    if first["type"] == "missing":
        message = "This key is missing"
    return f"{where or what}: {' '.join(message.split()).rstrip('.')}."


def one_line(error: ValidationError, model: type[BaseModel], what: str) -> InputError:
    """The first mistake as an `InputError`, to be raised by the caller.

    An unknown key comes before any other mistake: it explains why another key is missing.

    Args:
        error: What validation raised.
        model: The class validated against.
        what: What was validated, as `"the configuration"`.
    """
    errors = error.errors()
    first = next((e for e in errors if e["type"] == "extra_forbidden"), errors[0])
    return InputError(_mistake(first, model, what))


def all_in_one_line(error: ValidationError, model: type[BaseModel], what: str) -> InputError:
    """As `one_line`, with every mistake, up to `MOST`."""
    errors = sorted(error.errors(), key=lambda e: e["type"] != "extra_forbidden")
    if len(errors) == 1:
        return InputError(f"{what}: {_mistake(errors[0], model, what)}")
    told = [f"({n}) {_mistake(e, model, what)}" for n, e in enumerate(errors[:MOST], start=1)]
    return InputError(f"{what} has {len(errors)} mistakes: {' '.join(told)}")


_adapter = functools.cache(TypeAdapter)
"""The validator of a dataclass, made once."""


def revive(cls: type[T], values: object) -> T:
    """A dataclass from the JSON values that it was stored as.

    Fields with a default may be absent from the values.

    Args:
        cls: The dataclass; its fields may be dataclasses, tuples and dictionaries of such.
        values: What `json.loads` returned.

    Raises:
        InputError: The values do not fit the fields.
    """
    try:
        return _adapter(cls).validate_python(values)  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise InputError(
            f"Stored values do not fit {cls.__name__}: {shown(where)[1:-1]}: {first['msg']}."
        ) from None
