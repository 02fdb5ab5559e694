"""The record in words: a Markdown file with a table for each step."""

import textwrap

from pellucid.benchmark.accelerator.record import DONE, FAILED, WRONG, Record
from pellucid.models.errors import printable
from pellucid.models.types import Json

WIDTH = 100


def value(entry: object) -> str:
    """A cell: numbers with three or four digits, `-` for what does not exist."""
    match entry:
        case None:
            return "-"
        case bool():
            return "yes" if entry else "**no**"
        case int():
            return f"{entry:,}"
        case float():
            return f"{entry:,.0f}" if abs(entry) >= 1000 else f"{entry:.3g}"
    return printable(str(entry)).replace("|", "\\|")


def table(rows: list[Json]) -> list[str]:
    """Rows as a Markdown table; columns in the order in which they first occur."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    if not columns:
        return []
    lines = [columns, ["---"] * len(columns)]
    lines += [[value(row.get(column)) for column in columns] for row in rows]
    return [f"| {' | '.join(line)} |" for line in lines]


def _paragraph(text: str) -> list[str]:
    return [*textwrap.wrap(printable(text), WIDTH, break_long_words=False), ""]


def _item(text: str) -> list[str]:
    return textwrap.wrap(printable(text), WIDTH, initial_indent="- ", subsequent_indent="  ")


def verdict(record: Record) -> str:
    """What came of all steps, in a sentence or two."""
    of = {
        status: [name for name, step in record.steps.items() if step["status"] == status]
        for status in {step["status"] for step in record.steps.values()}
    }
    wrong, failed = of.get(WRONG, []), of.get(FAILED, [])
    left = sum(len(names) for status, names in of.items() if status.startswith("not run"))
    parts = [f"{len(of.get(DONE, []))} of {len(record.steps)} steps are done and right."]
    if wrong:
        parts.append(f"WRONG RESULTS: {', '.join(wrong)}.")
    if failed:
        parts.append(f"Failed: {', '.join(failed)}.")
    if left:
        parts.append(f"Not run: {left}; the same command goes on with what is left.")
    return " ".join(parts)


def text(record: Record, day: str) -> str:
    """The whole report.

    Args:
        record: What is known.
        day: The date, as `2026-01-31`.
    """
    about = record.about
    lines = ["# First contact with a device", ""]
    if about["scale"]["name"] == "reduced":
        cpu = not about["accelerator"]
        lines += _paragraph(
            f"**Reduced run{' on a CPU' if cpu else ''}**: few images, few steps, one small"
            " network. It shows that all steps work; its figures say little about speed."
        )
    lines += _paragraph(verdict(record))
    commit = about["commit"] or "unknown"
    changed = " with uncommitted changes" if about["uncommitted_changes"] else ""
    names = zip(about["devices"], about["device_names"], strict=True)
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    flags = ", ".join(f"`{name}={flag}`" for name, flag in about["flags"].items()) or "none"
    for item in (
        f"Date: {day}",
        f"Devices: {', '.join(f'{place} ({name})' for place, name in names)}",
        f"Backend: {about['backend']}, Python {about['python']}, {about['platform']},"
        f" {about['processors']} processors",
        f"Packages: {packages}",
        f"Flags: {flags}",
        f"Commit: {commit}{changed}",
    ):
        lines += _item(item)
    lines.append("")
    for name, step in record.steps.items():
        lines += [f"## {name[0].upper()}{name[1:]}", ""]
        if step["status"] != DONE:
            lines += _paragraph(f"**{step['status']}** {step.get('error', '')}".rstrip())
        for note in step.get("notes", ()):
            lines += _paragraph(note)
        if rows := table(step.get("rows", [])):
            lines += [*rows, ""]
        if step["seconds"]:
            lines += [f"({step['seconds']:.1f} s)", ""]
    return "\n".join(lines).rstrip() + "\n"
