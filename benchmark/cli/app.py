"""Is a robust image classifier also an interpretable one? The command line of the benchmark.

Without a subcommand it runs the `quick` preset.
"""

import os
import sys
from pathlib import Path
from typing import Annotated, Literal

import typer

app = typer.Typer(
    help=(
        "Is a robust image classifier also an interpretable one? Without a command: run the quick"
        " preset."
    ),
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

Preset = Annotated[
    str | None, typer.Option(help="A preset: quick, reduced-mnist, paper-cifar10, ...")
]
ConfigFile = Annotated[
    Path | None,
    typer.Option("--config", help="A TOML file: a whole configuration, or changes to --preset."),
]
Set = Annotated[
    list[str], typer.Option("--set", help="key=value, as training.epochs=10; may be repeated.")
]
Out = Annotated[Path | None, typer.Option(help="The run's folder; runs/PRESET by default.")]
RunFolder = Annotated[Path, typer.Option("--out", help="The folder of a finished run.")]
BoardFolder = Annotated[Path, typer.Option("--board", help="The board's folder.")]
BOARD = Path("leaderboard")
ModelFile = Annotated[
    Path, typer.Argument(metavar="MODEL.keras", help="A trained Keras classifier.")
]
TrackName = Annotated[
    str, typer.Option(help="A track: digits, mnist-reduced, cifar10-reduced, cifar10, ...")
]
Workers = Annotated[int | None, typer.Option(min=1, help="Units at a time; one a core by default.")]
DataDir = Annotated[
    str | None, typer.Option(help="The TFDS folder; else TFDS_DATA_DIR, else TFDS's own default.")
]


def _folder(out: Path | None, name: str) -> Path:
    return out or Path("runs") / name


@app.callback()
def main(context: typer.Context) -> None:
    """Runs the quick preset where no command is given."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run(
    preset: Preset = None,
    config: ConfigFile = None,
    out: Out = None,
    assignments: Set = [],  # noqa: B006  Typer copies it
    data_dir: DataDir = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Remove what the folder holds and begin anew.")
    ] = False,
    workers: Workers = None,
    executor: Annotated[
        Literal["threads", "ray"], typer.Option(help="In this process, or on Ray.")
    ] = "threads",
    address: Annotated[
        str | None,
        typer.Option(
            help="Of Ray: HOST:PORT of a cluster's head, or auto; else Ray is started here."
        ),
    ] = None,
    cores: Annotated[
        int, typer.Option(min=1, help="Of Ray: cores of a worker, which share its memory.")
    ] = 1,
) -> None:
    """Train the grid, measure, write results, leaderboard and figures.

    Stopped, it goes on where it was.
    """
    from rich.console import Console

    from robust_interpretability.benchmark.config import configuration
    from robust_interpretability.benchmark.execution import runner
    from robust_interpretability.models.errors import InputError

    resolved = configuration.resolve(preset, config, assignments)
    if executor != "ray" and (address or cores > 1):
        raise InputError("--address and --cores are Ray's: add --executor ray.")
    cluster = runner.Cluster(address, cores) if executor == "ray" else None
    folder = _folder(out, resolved.name)
    runner.run(
        resolved,
        folder,
        data_dir=data_dir,
        fresh=fresh,
        workers=workers,
        console=Console(),
        cluster=cluster,
    )


@app.command()
def plan(
    preset: Preset = None,
    config: ConfigFile = None,
    out: Out = None,
    assignments: Set = [],  # noqa: B006  Typer copies it
    data_dir: DataDir = None,
    probe: Annotated[
        bool, typer.Option(help="Measure a few batches and estimate the time on this device.")
    ] = True,
    workers: Workers = None,
    simulate: Annotated[
        int | None,
        typer.Option(
            min=1, help="Print the wall time on 1 to so many workers, from measured unit times."
        ),
    ] = None,
) -> None:
    """List every unit of work, which are done, what each trains on, and what is left to do in time on this device."""
    from robust_interpretability import models
    from robust_interpretability.benchmark.config import configuration
    from robust_interpretability.benchmark.execution import runner
    from robust_interpretability.benchmark.units import plan as plans
    from robust_interpretability.benchmark.units.store import Store

    resolved = configuration.resolve(preset, config, assignments)
    models.choose_kernels(resolved.model.name)
    work = runner.plan(resolved, data_dir)
    store = Store(_folder(out, resolved.name), lambda text: print(text, file=sys.stderr))
    done = {unit.key for unit in work.units if store.done(unit)}
    lines = [f"{'':5} {'kind':9} {'images':>13}  {'key':16}  unit"]
    for unit in work.units:
        state = "done" if unit.key in done else "-"
        lines.append(f"{state:5} {unit.kind:9} {unit.images:>13,}  {unit.key:16}  {unit.label}")
    lines.append("")
    for kind, count, images in plans.summary(work):
        finished = sum(unit.key in done for unit in work.of(kind))
        lines.append(f"{kind:9} {count:>6,} units, {finished:,} done, {images:,} images trained on")
    if masked := [unit for unit in work.of("retrain") if "network" in unit.tags]:
        measured = len({unit.tags["network"] for unit in masked})
        others = sum(1 for _ in work.of("retrain")) - len(masked)
        lines.append(
            f"          {len(masked):,} retrainings of {measured} networks' ROAR and KAR, {others}"
            " for comparison"
        )
    total = sum(unit.images for unit in work.units)
    lines.append(
        f"{'all':9} {len(work.units):>6,} units, {len(done):,} done, {total:,} images trained on; "
        f"{len(work.networks)} networks, {resolved.seeds} base-model seed(s)"
    )
    print("\n".join(lines), flush=True)
    left = [unit for unit in work.units if unit.key not in done]

    def say(text: str) -> None:
        print(text, file=sys.stderr, flush=True)

    if simulate:
        from robust_interpretability.benchmark.execution import simulation

        took = {unit.key: store.body(unit)["seconds"] for unit in work.units if unit.key in done}
        print(
            "\n" + simulation.report(work, took, simulate, workers=workers, probe=probe, notice=say)
        )
    elif probe and left:
        from robust_interpretability.benchmark.execution import estimate as probes

        say("measuring the pace of this device ...")
        print(probes.report(work, left, workers))


@app.command()
def plots(
    out: RunFolder = Path("runs/quick"),
    leaderboard: Annotated[
        bool,
        typer.Option(
            "--leaderboard", help="The board's trade-off figures, from its entries alone."
        ),
    ] = False,
    board: BoardFolder = BOARD,
) -> None:
    """Draw every figure again from stored results. Trains nothing."""
    if leaderboard:
        from robust_interpretability.benchmark.results.figures import board as board_figures

        drawn = board_figures.draw(board)
    else:
        from robust_interpretability.benchmark.results import report

        drawn = report.draw(out, lambda text: print(text, file=sys.stderr))
    for path in drawn:
        print(path)


@app.command()
def paper(
    out: Annotated[
        list[Path], typer.Option(help="The folder of a finished run; several may follow.")
    ],
    more: Annotated[
        list[Path] | None, typer.Argument(metavar="[DIR]...", help="Further folders.")
    ] = None,
    report: Annotated[
        Path, typer.Option(help="The file to write; figures and tables go beside it.")
    ] = Path("runs/paper/paper.md"),
) -> None:
    """Compare finished runs with every claim of the paper: one report, with figures.

    Trains nothing.
    """
    from robust_interpretability.benchmark.paper import document

    for path in document.write_report(
        [*out, *(more or [])], report, lambda text: print(text, file=sys.stderr)
    ):
        print(path)


@app.command()
def submit(
    model: ModelFile,
    track: TrackName,
    card: Annotated[
        Path, typer.Option(help="The model's card, a TOML file; see docs/submitting.md.")
    ],
    board: BoardFolder = BOARD,
    data_dir: DataDir = None,
    workers: Workers = None,
) -> None:
    """Check a model, measure it as its track says, and put it on the board.

    Stopped, it goes on where it was.
    """
    from rich.console import Console

    from robust_interpretability.benchmark.cli import printing
    from robust_interpretability.benchmark.submission import measure

    printing.scores(
        measure.submit(
            model, track, card, board=board, data_dir=data_dir, workers=workers, console=Console()
        )
    )
    print(f"board: {board / 'LEADERBOARD.md'}, {board / 'index.html'}")


@app.command()
def evaluate(
    model: ModelFile,
    track: Annotated[
        str | None, typer.Option(help="A track: every score, as `submit` measures it.")
    ] = None,
    card: Annotated[Path | None, typer.Option(help="The model's card; may be left out.")] = None,
    board: BoardFolder = BOARD,
    data_dir: DataDir = None,
    workers: Workers = None,
    data: Annotated[
        str | None, typer.Option(help="A data set: robust accuracy on it, under --attack.")
    ] = None,
    attack: Annotated[
        Literal["autoattack"], typer.Option(help="The attack on --data.")
    ] = "autoattack",
    version: Annotated[
        str, typer.Option(help="AutoAttack's: standard, plus, or rand for random models.")
    ] = "standard",
    norm: Annotated[str, typer.Option(help="linf or l2.")] = "linf",
    epsilon: Annotated[
        float | None, typer.Option(help="The radius, in pixel units ([0, 1]).")
    ] = None,
    images: Annotated[
        int, typer.Option(min=1, help="How many test images, from the first.")
    ] = 1000,
    seed: Annotated[int, typer.Option(min=0, help="Seed of what attacks draw at random.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="Where outcomes are kept; runs/robust-accuracy by default.")
    ] = None,
) -> None:
    """With --track the same as `submit`, with nothing added to the board; with --data robust accuracy alone."""
    from rich.console import Console

    from robust_interpretability.models.errors import InputError

    if (track is None) == (data is None):
        raise InputError("evaluate takes either --track (every score) or --data (robust accuracy).")
    if data is None:
        from robust_interpretability.benchmark.cli import printing
        from robust_interpretability.benchmark.submission import measure

        printing.scores(
            measure.evaluate(
                model,
                str(track),
                card,
                board=board,
                data_dir=data_dir,
                workers=workers,
                console=Console(),
            )
        )
        return
    if epsilon is None:
        raise InputError("--data needs --epsilon, the radius in pixel units ([0, 1]).")
    from robust_interpretability.benchmark.cli import printing
    from robust_interpretability.benchmark.submission import robust_accuracy

    values, _ = robust_accuracy.assess(
        model,
        data_name=data,
        norm=norm,
        epsilon=epsilon,
        version=version,
        images=images,
        seed=seed,
        out=out or robust_accuracy.FOLDER,
        data_dir=data_dir,
        threads=workers,
        console=Console(),
    )
    printing.robust(values)


@app.command()
def reference(
    track: TrackName, board: BoardFolder = BOARD, data_dir: DataDir = None, workers: Workers = None
) -> None:
    """Train and measure a track's reference grid, in the folder of its preset, and put its networks on the board."""
    from rich.console import Console

    from robust_interpretability.benchmark.submission import measure

    measure.reference(track, board=board, data_dir=data_dir, workers=workers, console=Console())


@app.command()
def leaderboard(
    out: Annotated[
        Path | None, typer.Option(help="A run's folder: its own board instead of the leaderboard.")
    ] = None,
    board: BoardFolder = BOARD,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Change nothing: validate entries, scores and everything rendered."
        ),
    ] = False,
) -> None:
    """Render the board again from its entries: Markdown, CSV, Parquet, the page, the schema."""
    from robust_interpretability.leaderboard.board import Board

    folder = board if out is None else out / "leaderboard"
    if not (folder / "entries").is_dir():
        from robust_interpretability.models.errors import InputError

        raise InputError(f"No leaderboard entries in {folder}. Run the benchmark there first.")
    if check:
        from robust_interpretability.benchmark.submission import measure

        measure.raise_on(measure.check(folder, run=out is not None))
        print(f"{folder}: {len(Board(folder).entries())} entries; all is as it should be")
        return
    for path in Board(folder).render():
        print(path)


@app.command()
def doctor(out: Out = None, data_dir: DataDir = None) -> None:
    """Show Python, Keras, backend, devices, data sets found and where, disk."""
    from robust_interpretability.benchmark import environment

    for what, found, fine in environment.doctor(data_dir, _folder(out, "quick")):
        print(f"{'ok' if fine else '--':3} {what:18} {found}")


def entry_point(arguments: list[str] | None = None) -> int:
    """Runs the command line; a user's mistake is one line on stderr and exit code 2."""
    from typer.exceptions import TyperException

    from robust_interpretability.models.errors import InputError, printable

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    stopped = 130
    try:
        code = app(arguments, standalone_mode=False)
    except InputError as error:
        print(f"error: {printable(' '.join(str(error).split()))}", file=sys.stderr)
        return 2
    except (KeyboardInterrupt, typer.Abort):
        code = stopped
    except TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr)
        return 2
    if code == stopped:  # Typer's way to report Ctrl-C
        print("\nStopped. The same command goes on from here.", file=sys.stderr, flush=True)
        os._exit(
            stopped
        )  # units under way have nothing to save: a result is stored whole or not at all
    return code if isinstance(code, int) else 0

