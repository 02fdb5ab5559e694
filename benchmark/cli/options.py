"""Options and arguments that several commands take."""

import hashlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

BOARD = Path("leaderboard")
LONGEST = 60
"""Characters of a folder's name that say what was changed."""


def radius(text: str) -> float:
    """A radius: a number, or a fraction as 8/255."""
    found = re.fullmatch(r"\s*([0-9.eE+-]+)\s*(?:/\s*([0-9.eE+-]+)\s*)?", text)
    try:
        if not found:
            raise ValueError
        return float(found[1]) / float(found[2] or 1)
    except (ValueError, ZeroDivisionError):
        raise typer.BadParameter(f"{text!r} is neither a number nor a fraction as 8/255") from None


def norm(text: str) -> str:
    """A norm, however it is written: `l2` or `linf`."""
    plain = re.sub(r"[\s_-]", "", text.lower()).replace("∞", "inf")
    if plain not in ("l2", "linf"):
        raise typer.BadParameter(f"{text!r} is neither l2 nor linf")
    return plain


def in_pixel_units(epsilon: float, norm: str) -> float:
    """A radius; one that was meant in 0..255 is asked about where somebody can answer.

    Raises:
        InputError: Nobody can, or it was not meant so.
    """
    from pellucid.models.errors import InputError

    if norm != "linf" or epsilon <= 1:
        return epsilon
    about = f"--epsilon {epsilon:g}: radii are in pixel units, where an image lies in [0, 1]."
    if epsilon > 255:
        raise InputError(f"{about} At 1 every image is reached.")
    meant = f"{epsilon:g}/255"
    there = sys.stdin.isatty() and sys.stderr.isatty()
    if there and typer.confirm(f"{about} Measure at {meant}?", default=True, err=True):
        return epsilon / 255
    raise InputError(f"{about} Did you mean --epsilon {meant}?")


def refuse(context: typer.Context, *names: str, because: str) -> None:
    """Raises `InputError` where one of the options was stated."""
    from pellucid.models.errors import InputError

    if unused := stated(context, *names):
        raise InputError(f"{', '.join(unused)}: {because}.")


def stated(context: typer.Context, *names: str) -> list[str]:
    """Those of the options that were stated, as they are written."""
    sources = {name: context.get_parameter_source(name) for name in names}
    return [
        f"--{name.replace('_', '-')}"
        for name, source in sources.items()
        if source and source.name != "DEFAULT"
    ]


def run_folder(out: Path | None, name: str, changes: Sequence[str] = ()) -> Path:
    """A run's folder: that of its preset where nothing was changed, else one of its own."""
    changed = re.sub(r"[^A-Za-z0-9.=-]+", "-", "+".join(changes)).strip("-")
    if len(changed) > LONGEST:
        digest = hashlib.sha256("+".join(changes).encode()).hexdigest()
        changed = f"{changed[:LONGEST]}-{digest[:8]}"
    return out or Path("runs") / (f"{name}+{changed}" if changed else name)


def changes(preset: str | None, config: Path | None, assignments: Sequence[str]) -> list[str]:
    """In what a run differs from its preset: a file beside `--preset`, and assignments."""
    return [*([config.stem] if preset and config else []), *assignments]


Preset = Annotated[
    str | None,
    typer.Option(help="The name of a preset, as quick, reduced-mnist or paper-cifar10."),
]
ConfigFile = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="A TOML file with a complete configuration or, with --preset, changes to it.",
    ),
]
Assignments = Annotated[
    list[str],
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="A change to the configuration, as training.epochs=10; may be repeated.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(help="The run's folder; by default runs/PRESET or, changed, runs/PRESET+CHANGES."),
]
RunFolder = Annotated[Path, typer.Option("--out", help="The folder of a finished run.")]
BoardFolder = Annotated[Path, typer.Option("--board", help="The board's folder.")]
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL.keras", help="A trained Keras classifier.")
]
TrackName = Annotated[
    str,
    typer.Option(help="The name of a track, as digits, mnist-reduced or cifar10."),
]
Workers = Annotated[
    int | None,
    typer.Option(min=1, help="How many units run at a time; by default one per core."),
]
DataDir = Annotated[
    str | None,
    typer.Option(help="The TFDS folder; by default TFDS_DATA_DIR, then TFDS's own."),
]
MaxHours = Annotated[
    float,
    typer.Option(
        "--max-hours",
        min=0.01,
        help="The longest that measuring a model may take; a model that would take longer is"
        " refused.",
    ),
]
WeakerConfinement = Annotated[
    bool,
    typer.Option(
        "--weaker-confinement",
        help="Read the model even where the system has neither Landlock nor user namespaces.",
    ),
]
