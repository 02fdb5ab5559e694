"""Figures of a benchmark: shown after pytest-benchmark's table, stored by `--figures FILE`."""

import json
from datetime import date
from pathlib import Path

import pytest

from pellucid.benchmark import environment
from tests.performance.table import write_table

ROWS: dict[str, dict] = {}


def pytest_addoption(parser):
    parser.addoption(
        "--figures",
        type=Path,
        help="Keep the figures in this JSON file, and their table in the document.",
    )
    parser.addoption("--document", type=Path, help="A Markdown file with the marks of the table.")


@pytest.fixture
def figure(benchmark):
    """Notes a figure: `figure("ratio", 3.2)`."""
    row = ROWS.setdefault(benchmark.name, {})

    def note(name: str, value: float, unit: str = "") -> None:
        benchmark.extra_info[name] = value
        row[name] = {"value": value, "unit": unit} if unit else {"value": value}

    return note


def pytest_terminal_summary(terminalreporter):
    for name, figures in ROWS.items():
        for what, found in figures.items():
            terminalreporter.write_line(
                f"{name}: {what} = {found['value']:.4g} {found.get('unit', '')}".rstrip()
            )


def pytest_sessionfinish(session):
    path, document = session.config.getoption("--figures"), session.config.getoption("--document")
    if not (path and ROWS):
        return
    known = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    here = {k: v for k, v in environment.collect().items() if k != "onednn"} | {
        "date": date.today().isoformat()
    }
    rows = known.get("figures", {}) | {
        name: {"figures": found, "made_with": here} for name, found in ROWS.items()
    }
    path.write_text(
        json.dumps({"figures": rows}, indent=1, sort_keys=True) + "\n", encoding="utf-8"
    )
    if document:
        write_table(rows, document)
