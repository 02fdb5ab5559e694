"""What a user did wrong, in one line."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """A mistake in what the user gave. The command line prints it on one line and exits with 2."""


def printable(text: str) -> str:
    """Text on which a terminal does nothing: what is not printable, escape sequences above all, is spelt out."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


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
    close = difflib.get_close_matches(str(name), known, n=1, cutoff=0.5)
    hint = f" Did you mean '{close[0]}'?" if close else ""
    listing = f" Known: {', '.join(known)}." if len(known) <= 20 else ""
    return InputError(f"Unknown {kind} '{name}'.{hint}{listing}")
