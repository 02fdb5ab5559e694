"""Phrases that several paragraphs share, and the one that only a surviving score may have."""

from collections.abc import Sequence

CLAIM = "rises with adversarial training"
"""What is said of a score that survives every control under both fills, and of no other."""


def listed(parts: Sequence[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} and {parts[-1]}"


def counted(n: int, noun: str, plural: str = "") -> str:
    """`1 seed`, `3 seeds`; the plural is the noun with an s unless it is given."""
    return f"{n} {noun if n == 1 else plural or noun + 's'}"


def of(n: int, total: int) -> str:
    """`3 of 6`, `all 6`, `both`, `none of 6`."""
    if n == total > 1:
        return "both" if n == 2 else f"all {total}"
    return f"{n or 'none'} of {total}"


def claim(title: str, series: Sequence[str], total: int) -> str:
    """That a score rises in the series named, of so many; it survives in each of them."""
    return f"{title} {CLAIM} in {of(len(series), total)} series ({', '.join(series)})"
