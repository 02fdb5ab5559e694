"""A user's mistakes, each reported in one line."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A mistake in the input. The command line prints it on one line and exits with status 2."""


class UnwritableError(InputError):
    """A folder that results are to be stored in cannot be written, or the disk is full."""


class UnitsFailedError(Exception):
    """Some units of a run failed; what did not need them is stored.

    The command line prints the lines and exits with status 1.

    Args:
        lines: One for each unit, and what to do.
    """

    def __init__(self, lines: list[str]) -> None:
        super().__init__("\n".join(lines))
        self.lines = lines


def printable(text: str, length: int | None = None) -> str:
    """Text that is safe on a terminal: every character that is not printable as an escape.

    Args:
        text: Any text.
        length: The most characters to show, after which "..." stands for the rest; None shows all.
    """
    if length is not None:
        text = text[: length + 1]
    text = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)
    return text if length is None or len(text) <= length else f"{text[:length]}..."


def closest(name: object, choices: Iterable[str]) -> str:
    """` Did you mean 'that'?` for the choice that resembles a name; empty where none does."""
    close = difflib.get_close_matches(str(name), sorted(choices), n=1, cutoff=0.5)
    return f" Did you mean '{close[0]}'?" if close else ""


def unknown(kind: str, name: object, choices: Iterable[str]) -> InputError:
    """Builds the error for a name that is not among `choices`, with the closest match.

    Args:
        kind: What the name stands for, e.g. `"dataset"`.
        name: The name received.
        choices: The names that exist.

    Returns:
        The error, to be raised by the caller.
    """
    known = sorted(choices)
    listing = f" Known: {', '.join(known)}." if len(known) <= 20 else ""
    return InputError(f"Unknown {kind} '{name}'.{closest(name, known)}{listing}")
