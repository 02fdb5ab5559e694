"""What pydantic found wrong, in one line, with the close match for an unknown key."""

import difflib
from typing import Any, get_args

from pydantic import BaseModel, ValidationError

from robust_interpretability.models.errors import InputError

SHOWN = 200
"""Characters of a received value that a message repeats."""


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The first model in a type such as `list[Annotated[Model, ...]] | None`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part))), None)


def shown(value: object, length: int = SHOWN) -> str:
    """A value from outside as printable text of bounded length."""
    text = repr(value)[: length + 1]
    text = "".join(c if c.isprintable() else f"\\u{ord(c):04x}" for c in text)
    return text if len(text) <= length else f"{text[:length]}..."


def one_line(error: ValidationError, model: type[BaseModel], what: str) -> InputError:
    """The first mistake, an unknown key before any other, as an `InputError`, to be raised by the caller.

    Args:
        error: What validation raised.
        model: The class validated against.
        what: What was validated, as `"the configuration"`.
    """
    errors = error.errors()
    first = next(
        (e for e in errors if e["type"] == "extra_forbidden"), errors[0]
    )  # it explains what is missing
    where = shown(".".join(str(part) for part in first["loc"]))[1:-1]
    if first["type"] == "extra_forbidden":
        section: type[BaseModel] = model
        for part in first["loc"][:-1]:
            if isinstance(part, str) and part in section.model_fields:
                section = _model_in(section.model_fields[part].annotation) or section
        known = list(section.model_fields)
        close = difflib.get_close_matches(str(first["loc"][-1]), known, n=1)
        hint = f" Did you mean '{close[0]}'?" if close else f" Known: {', '.join(known)}."
        return InputError(f"Unknown key '{where}' in {what}.{hint}")
    cause = first.get("ctx", {}).get("error")
    message = str(cause) if cause else f"{first['msg']}. Received {shown(first['input'])}"
    if first["type"] == "missing":
        message = "This key is missing"
    return InputError(f"{where or what}: {' '.join(message.split()).rstrip('.')}.")
