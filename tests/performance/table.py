"""The table of figures in a document, between two marks."""

from pathlib import Path

from tabulate import tabulate

BEGIN, END = "<!-- figures begin -->", "<!-- figures end -->"


def _text(found: dict) -> str:
    return f"{found['value']:,.3g} {found.get('unit', '')}".strip()


def write_table(rows: dict[str, dict], document: Path) -> None:
    """Replaces the table: a row a benchmark, its figures in words, and the commit it was measured at."""
    lines = []
    for name, row in sorted(rows.items()):
        figures = "; ".join(f"{what} {_text(found)}" for what, found in row["figures"].items())
        commit = (row["made_with"]["commit"] or "")[:7]
        lines.append((f"`{name}`", figures, commit + ("+" if row["made_with"]["uncommitted_changes"] else "")))
    table = tabulate(lines, headers=("benchmark", "figures", "commit"), tablefmt="github")
    text = document.read_text(encoding="utf-8")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    document.write_text(f"{before}{BEGIN}\n{table}\n{END}{after}", encoding="utf-8")
