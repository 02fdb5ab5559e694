"""Options and arguments that several commands take."""

from pathlib import Path
from typing import Annotated

import typer

BOARD = Path("leaderboard")

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
Out = Annotated[Path | None, typer.Option(help="The run's folder; by default runs/PRESET.")]
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
