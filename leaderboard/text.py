"""Text for readers: spelled out, printable, and harmless in Markdown."""

import re

from pellucid.leaderboard.entry import Entry

_SPELLED = {"xent": "cross-entropy", "cw": "CW loss", "Linf": "L∞", "linf": "L∞", "l2": "L2"}
_SHORT = re.compile(r"\b(loss )?(" + "|".join(_SPELLED) + r")\b")

_MARKUP = re.compile(r"[\\`*_{}\[\]()#+!|<>~&$:@^=-]|(?<=[wW])\.")
"""Markup, and the dot of `www.`, which some readers turn into a link, as they do addresses."""
_INSTEAD = {"<": "&lt;", ">": "&gt;", "&": "&amp;", "@": "<!-- -->\\@"}


def printable(text: str, length: int | None = None) -> str:
    """Text from outside without control characters and marks that reverse or hide text.

    Args:
        text: The text.
        length: Cut to this many characters, the last an ellipsis.
    """
    plain = text
    if not text.isprintable():
        plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return plain if length is None or len(plain) <= length else f"{plain[: length - 1]}…"


def spelled(text: str) -> str:
    """This program's own text with names of losses and norms spelled out."""
    return _SHORT.sub(lambda short: _SPELLED[short[2]], text)


def name(entry: Entry, length: int | None = None) -> str:
    """The name of an entry, printable; that of a network of this program spelled out."""
    stated = entry.card.name
    return printable(stated if entry.role == "submission" else spelled(stated), length)


def escaped(text: str) -> str:
    """Text from outside, harmless in Markdown and in the HTML made of it: all markup is escaped."""
    return _MARKUP.sub(lambda mark: _INSTEAD.get(mark[0], f"\\{mark[0]}"), printable(text))
