"""The one exception of this package, and how text from a hostile file enters its message.

`errors.printable` is for what a user typed and spells out what a terminal acts upon. A hostile file
may also hold look-alike letters and a gigabyte of text, so here only ASCII passes, and not much.
"""

from pellucid.models.errors import InputError

MESSAGE_CHARACTERS = 380
"""The longest message."""
SHOWN_CHARACTERS = 60
"""The longest part of a message that shows a value of the file."""


def one_line(text: str) -> str:
    """Turns any text into printable ASCII on one line, at most `MESSAGE_CHARACTERS` long."""
    clean = "".join(c if " " <= c <= "~" else "?" for c in text[: 4 * MESSAGE_CHARACTERS])
    return clean if len(clean) <= MESSAGE_CHARACTERS else clean[: MESSAGE_CHARACTERS - 3] + "..."


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[:most] + "..."


def shown(value: object) -> str:
    """How a value of the file appears in a message: as JSON, escaped and short.

    Escaping turns control characters and bidirectional marks into visible ASCII, so no file can
    redraw a terminal.
    """
    if isinstance(value, str):
        text = ascii(_cut(value, SHOWN_CHARACTERS))
        return text if len(text) <= 3 * SHOWN_CHARACTERS else text[: 3 * SHOWN_CHARACTERS] + "...'"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        name = value.get("class_name")
        return f"an object of class {shown(name)}" if isinstance(name, str) else "an object"
    if isinstance(value, list | tuple):
        items = [shown(item) for item in value[:8]] + ["..."] * (len(value) > 8)
        text = f"[{', '.join(items)}]"
        return text if len(text) <= SHOWN_CHARACTERS else f"a list of {len(value)}"
    return _cut(str(value), SHOWN_CHARACTERS)


class Refused(InputError):  # noqa: N818  reads as what it says: raise Refused
    """A submitted file is refused.

    The message is one printable line that names the part of the file and the rule it breaks.

    Args:
        message: What is wrong; made printable and short here, whatever it holds.
    """

    def __init__(self, message: str) -> None:
        super().__init__(one_line(message))
