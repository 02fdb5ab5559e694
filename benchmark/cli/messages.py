"""What the command line says besides a command's output, and its exit codes."""

import sys

FAILED = 1
"""Exit code of a run some of whose units failed."""
MISTAKE = 2
"""Exit code of a user's mistake."""
INTERRUPTED = 130
"""Exit code after Ctrl-C; also how Typer reports it."""


def note(text: str) -> None:
    """Prints a line on stderr."""
    print(text, file=sys.stderr, flush=True)


def mistake(message: str) -> int:
    """Prints a user's mistake as one line on stderr; returns the exit code."""
    from pellucid.models.errors import printable

    note(f"error: {printable(' '.join(message.split()))}")
    return MISTAKE
