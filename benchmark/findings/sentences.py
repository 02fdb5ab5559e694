"""Phrases that several paragraphs share, and the one that only a surviving score may have."""

from collections.abc import Sequence

CLAIM = "rises with adversarial training"
"""What is said of a score that survives every control under both fills, and of no other."""


ALTERED = "altered from the paper's"
"""The scale of a run that says it is of the paper's, and is none of its presets."""


def scale(name: str) -> str:
    """`reduced scale`, `scale altered from the paper's`."""
    return f"scale {name}" if name == ALTERED else f"{name} scale"


def scales(names: Sequence[str]) -> str:
    """`the reduced scale`, `the quick and reduced scales`, `a scale altered from the paper's`."""
    plain = [name for name in dict.fromkeys(names) if name != ALTERED]
    found = [f"the {listed(plain)} scale{'s' if len(plain) > 1 else ''}"] if plain else []
    return listed([*found, *([f"a {scale(ALTERED)}"] if ALTERED in names else [])])


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
