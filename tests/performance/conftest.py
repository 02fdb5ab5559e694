"""Figures that a benchmark found, shown after pytest-benchmark's own table and kept in its JSON."""

import pytest

FIGURES: list[str] = []


@pytest.fixture
def figure(benchmark):
    """Notes a figure: `figure("ratio", 3.2)`."""

    def note(name: str, value: float, unit: str = "") -> None:
        benchmark.extra_info[name] = value
        FIGURES.append(f"{benchmark.name}: {name} = {value:.4g} {unit}".rstrip())

    return note


def pytest_terminal_summary(terminalreporter):
    for line in FIGURES:
        terminalreporter.write_line(line)
