"""The one exception of this package, and how text from a hostile file is put into its message."""

from typing import Any

from robust_interpretability.models.errors import InputError

MESSAGE_CHARACTERS = 380
SHOWN_CHARACTERS = 60


def one_line(text: str) -> str:
    """Makes any text safe to print: printable ASCII on one line, at most `MESSAGE_CHARACTERS` long."""
    clean = "".join(c if " " <= c <= "~" else "?" for c in text[: 4 * MESSAGE_CHARACTERS])
    return clean if len(clean) <= MESSAGE_CHARACTERS else clean[: MESSAGE_CHARACTERS - 3] + "..."


def shown(value: Any) -> str:
    """How a value from the file appears in a message: escaped, quoted where it is text, and short.

    Escaping turns control characters and bidirectional marks into visible ASCII, so no file can
    redraw a terminal.
    """
    if isinstance(value, str):
        cut = value if len(value) <= SHOWN_CHARACTERS else value[:SHOWN_CHARACTERS] + "..."
        text = ascii(cut)
        return text if len(text) <= 3 * SHOWN_CHARACTERS else text[: 3 * SHOWN_CHARACTERS] + "...'"
    if value is None:
        return "null"
    if isinstance(value, dict):
        name = value.get("class_name")
        return f"an object of class {shown(name)}" if isinstance(name, str) else "an object"
    if isinstance(value, (list, tuple)):
        text = (
            "[" + ", ".join(shown(v) for v in value[:8]) + (", ..." if len(value) > 8 else "") + "]"
        )
        return text if len(text) <= SHOWN_CHARACTERS else f"a list of {len(value)}"
    text = str(value)
    return text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."


class Refused(InputError):  # noqa: N818  reads as what it says: raise Refused
    """A submitted file is refused. The message is one printable line that names the member or layer and the rule.

    Args:
        message: What is wrong; made printable and short here, whatever it holds.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))
