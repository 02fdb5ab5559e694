"""The report on what was found: paragraphs from the tables, with figures beside it.

The report is two pages; the long tables behind it stand in a document of their own.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import NamedTuple

from pellucid.benchmark.findings import (
    headline,
    manifold,
    maps,
    power,
    retraining,
    runs,
    scale,
    swept,
    trust,
)
from pellucid.benchmark.findings.runs import Sources
from pellucid.models.files import write

TITLE = "What adversarial training does to interpretability"
TABLES_TITLE = "Tables behind the findings"


class Section(NamedTuple):
    """A part of the report.

    Attributes:
        title: Its heading.
        text: From the runs to its Markdown; None where their tables do not have what it needs.
        about: What is then said not to have been measured.
    """

    title: str
    text: Callable[[Sources], str | None]
    about: str


SECTIONS = (
    Section("Before and after the controls", retraining.controls, "ROAR and KAR with controls"),
    Section("What the fill decides", retraining.fills, "ROAR and KAR under both fills"),
    Section("What is left for the image itself", retraining.image, "scores specific to the image"),
    Section("Measures without retraining", maps.measures, "measures without retraining"),
    Section("Which scores agree", maps.agreement, "which scores rank networks alike"),
    Section("Distance to the manifold", manifold.manifold, "distances to the manifold"),
    Section("Which scores can be trusted", trust.trust, "which scores follow a known truth"),
    Section("Settings that were swept", swept.swept, "settings that were swept"),
    Section("How small a difference can be seen", power.power, "groups that scores tell apart"),
)
"""In order. A further paragraph is a function and a line here."""

TABLES: tuple[tuple[str, Callable[[Sources], str | None]], ...] = (
    ("Every rise before and after the controls", retraining.rises),
    ("Distances to the manifold", manifold.distances),
    ("Scores and the truth", trust.correlations),
    ("How small a difference can be seen", power.differences),
)
"""The long tables, by title."""

PARTS: tuple[tuple[str, Callable[[Sources], bool]], ...] = (
    ("whether distances to the manifold model are right", manifold.calibrated),
    ("how gradients and noise lie to the manifold's tangent spaces", manifold.off_manifold),
)
"""What a paragraph has only where a run measured it."""


class Drawn(NamedTuple):
    """A figure: its PNG file and what it tells."""

    path: Path
    title: str


def missing(sources: Sources, texts: dict[str, str | None]) -> list[str]:
    """What no run has measured."""
    without = [section.about for section in SECTIONS if not texts[section.title]]
    return without + [about for about, measured in PARTS if not measured(sources)]


def of_sweeps(sources: Sources, folder: Path) -> list[Drawn]:
    """The figures that sweeps drew beside their tables, as far as they lie within a folder."""
    return [
        Drawn(path, f"Accuracy and scores of every network, {name}")
        for name in sources.swept
        for path in sorted(sources.origins[name].folder.glob("sweep_*.png"))
        if path.is_relative_to(folder)
    ]


def _picture(target: Path, drawn: Drawn) -> str:
    """A figure in a document beside the report."""
    path = drawn.path.relative_to(target.parent).as_posix()
    return f"![{drawn.path.stem}]({path})\n\n*{drawn.title}.*"


def text(sources: Sources, folders: list[Path], target: Path, drawn: list[Drawn]) -> str:
    """The report as Markdown.

    Args:
        sources: What it is generated from.
        folders: The folders that were named, for the command that makes it.
        target: The file that it is written to.
        drawn: The figures, of which the first stands under the answer, the others at the end.
    """
    texts = {section.title: section.text(sources) for section in SECTIONS}
    pictures = [_picture(target, one) for one in drawn]
    scales = [scale.of(run.config) for run in sources.runs]
    tables = f"[{TABLES_TITLE}]({_tables_file(target).name})"
    answer = headline.headline(retraining.every(sources), scales)
    parts = [f"# {TITLE}", answer, *pictures[:1], f"The numbers behind each sentence: {tables}."]
    for title, body in texts.items():
        if body:
            parts += [f"## {title}", body]
    parts += ["## Scale", scale.scale(sources)]
    if absent := missing(sources, texts):
        parts.append(f"Not measured in these runs: {'; '.join(absent)}.")
    parts += ["## How this page is made", scale.commands(sources, folders, target)]
    if pictures[1:]:
        parts += ["## Figures", *pictures[1:]]
    return "\n\n".join(parts) + "\n"


def _tables_file(target: Path) -> Path:
    """Where the long tables go: beside the report."""
    return target.with_name(f"{target.stem}-tables.md")


def tables_text(sources: Sources, target: Path, drawn: list[Drawn]) -> str:
    """The document of long tables as Markdown.

    Args:
        sources: What it is generated from.
        target: The report's file, by the same command.
        drawn: The figure of which scores agree.
    """
    parts = [f"# {TABLES_TITLE}", f"[{TITLE}]({target.name}) says what follows from them."]
    for title, table in TABLES:
        if body := table(sources):
            parts += [f"## {title}", body]
    if drawn:
        parts += ["## Which scores agree", *(_picture(target, one) for one in drawn)]
    if pictures := of_sweeps(sources, target.parent):
        parts += ["## Settings that were swept", *(_picture(target, one) for one in pictures)]
    return "\n\n".join(parts) + "\n"


def write_findings(
    folders: list[Path], target: Path, notice: Callable[[str], None] = lambda _: None
) -> list[Path]:
    """Writes the report, its long tables and its figures beside it.

    Args:
        folders: Folders of finished runs, or of their published tables.
        target: The Markdown file.
        notice: Receives a line about each step.

    Returns:
        The files written, the report first.

    Raises:
        InputError: As `runs.read`.
    """
    from pellucid.benchmark.findings import figures

    sources = runs.read(folders)
    files: list[Path] = []

    def pictures(made: Iterable[tuple[list[Path], str]]) -> list[Drawn]:
        found = []
        for paths, title in made:
            files.extend(paths)
            found += [Drawn(path, title) for path in paths if path.suffix == ".png"]
        return found

    drawn = pictures(figures.drawings(target.parent, sources))
    behind = pictures([figures.agreement(target.parent, sources)])
    notice(f"drawn: {len(drawn) + len(behind)} figures")
    write(target, text(sources, folders, target, drawn))
    write(_tables_file(target), tables_text(sources, target, behind))
    return [target, _tables_file(target), *files]
