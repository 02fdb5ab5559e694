"""The tables of figures in a document, between two marks."""

from pathlib import Path

from tabulate import tabulate

BEGIN, END = "<!-- figures begin -->", "<!-- figures end -->"
RACE = ("ours", "theirs", "ratio", "least", "greatest")
PROCESSOR = "processor ratio"
"""Of processor seconds; rows that are older have none."""


def _text(found: dict) -> str:
    value = found["value"]
    return f"{value:{',.0f' if value >= 100 else '.3g'}} {found.get('unit', '')}".strip()


def _made(row: dict) -> str:
    return (row["made_with"]["commit"] or "")[:7] + (
        "+" if row["made_with"]["uncommitted_changes"] else ""
    )


def _race(name: str, row: dict) -> tuple[str, ...]:
    """Against another: both times, the ratios and their range, and what else was found."""
    texts = {what: _text(found) for what, found in row["figures"].items()}
    ours, theirs, ratio, least, greatest = (texts.pop(what) for what in RACE)
    processor = texts.pop(PROCESSOR, "")
    rest = "; ".join(f"{what} {text}" for what, text in texts.items())
    ratios = f"**{ratio}** ({least} to {greatest})", processor
    return f"`{name}`", ours, theirs, *ratios, rest, _made(row)


def _other(name: str, row: dict) -> tuple[str, ...]:
    return (
        f"`{name}`",
        "; ".join(f"{what} {_text(found)}" for what, found in row["figures"].items()),
        _made(row),
    )


def write_table(rows: dict[str, dict], document: Path) -> None:
    """Replaces the tables: a row a benchmark, its figures, and the commit it was measured at."""
    races = {name: row for name, row in sorted(rows.items()) if set(RACE) <= set(row["figures"])}
    others = {name: row for name, row in sorted(rows.items()) if name not in races}
    tables = (
        tabulate(
            [_race(*item) for item in races.items()],
            headers=("benchmark", "ours", "theirs", "ratio", "by processor", "also", "commit"),
            tablefmt="github",
            disable_numparse=True,
        ),
        tabulate(
            [_other(*item) for item in others.items()],
            headers=("benchmark", "figures", "commit"),
            tablefmt="github",
            disable_numparse=True,
        ),
    )
    text = document.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    document.write_text(
        f"{before}{BEGIN}\n" + "\n\n".join(tables) + f"\n{END}{after}", encoding="utf-8"
    )
