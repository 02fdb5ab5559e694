"""The command line of the benchmark: its commands and how it ends.

Heavy imports wait until a command needs them, so that `--help` is quick.
"""

import hashlib
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal

import typer

from pellucid.benchmark.cli.options import (
    BOARD,
    Assignments,
    BoardFolder,
    ConfigFile,
    DataDir,
    MaxHours,
    ModelFile,
    Out,
    Preset,
    RunFolder,
    TrackName,
    WeakerConfinement,
    Workers,
    radius,
    stated,
)
from pellucid.benchmark.cli.options import norm as norm_of

MISTAKE = 2
"""Exit code of a user's mistake."""
LONGEST = 60
"""Characters of a folder's name that say what was changed."""
INTERRUPTED = 130
"""Exit code after Ctrl-C; also how Typer reports it."""

app = typer.Typer(
    help=(
        "Is a robust image classifier also an interpretable one? Without a command, the quick"
        " preset is run."
    ),
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _folder(out: Path | None, name: str, assignments: Sequence[str] = ()) -> Path:
    """A run's folder: that of its preset where nothing was changed, else one of its own."""
    changes = re.sub(r"[^A-Za-z0-9.=-]+", "-", "+".join(assignments)).strip("-")
    if len(changes) > LONGEST:
        digest = hashlib.sha256("+".join(assignments).encode()).hexdigest()
        changes = f"{changes[:LONGEST]}-{digest[:8]}"
    return out or Path("runs") / (f"{name}+{changes}" if changes else name)


def _note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _version(wanted: bool) -> None:
    if wanted:
        from pellucid.benchmark.config.versions import PROTOCOL_VERSION, __version__

        print(f"pellucid {__version__}, protocol version {PROTOCOL_VERSION}")
        raise typer.Exit


@app.callback()
def default(
    context: typer.Context,
    _: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and stop."
        ),
    ] = False,
) -> None:
    """Runs the quick preset where there is no command."""
    if context.invoked_subcommand is None:
        run()


@app.command()
def run(
    preset: Preset = None,
    config: ConfigFile = None,
    out: Out = None,
    assignments: Assignments = [],  # noqa: B006  Typer copies it
    data_dir: DataDir = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Remove the results in the folder first.")
    ] = False,
    workers: Workers = None,
    executor: Annotated[
        Literal["threads", "ray"],
        typer.Option(help="Run in threads of this process or on Ray."),
    ] = "threads",
    address: Annotated[
        str | None,
        typer.Option(
            help="With Ray, HOST:PORT of a cluster's head or auto; by default Ray is started here."
        ),
    ] = None,
    cores: Annotated[
        int,
        typer.Option(min=1, help="With Ray, the cores of one worker, which share its memory."),
    ] = 1,
    share: Annotated[int, typer.Option(min=1, help="With Ray, how many workers share a GPU.")] = 1,
) -> None:
    """Train the networks, measure them, and write results, leaderboard and figures.

    When it was stopped, the same command resumes where it was.
    """
    from rich.console import Console

    from pellucid.benchmark.execution import runner
    from pellucid.benchmark.results import sweeps
    from pellucid.benchmark.units import configuration
    from pellucid.models.errors import InputError

    variants = configuration.variants(preset, config, assignments)
    if executor != "ray" and (address or cores > 1 or share > 1):
        raise InputError("--address, --cores and --share need --executor ray.")
    folder = _folder(out, variants[0].config.name, assignments)
    for variant in variants:
        runner.run(
            variant.config,
            folder / variant.name,
            data_dir=data_dir,
            fresh=fresh,
            workers=workers,
            console=Console(),
            cluster=runner.Cluster(address, cores, share) if executor == "ray" else None,
        )
    if variants[0].swept:
        sweeps.record(folder, {variant.name: variant.swept for variant in variants})
        for path in sweeps.write_joined(folder):
            print(path)


@app.command()
def plan(
    preset: Preset = None,
    config: ConfigFile = None,
    out: Out = None,
    assignments: Assignments = [],  # noqa: B006  Typer copies it
    data_dir: DataDir = None,
    probe: Annotated[
        bool, typer.Option(help="Time a few batches on this device to estimate the time left.")
    ] = True,
    workers: Workers = None,
    simulate: Annotated[
        int | None,
        typer.Option(
            min=1, help="Print the wall time on 1 to N workers, from the times of finished units."
        ),
    ] = None,
) -> None:
    """List every unit of work, which are done, and the time that the others will take."""
    from pellucid import models
    from pellucid.benchmark.cli import plan_table
    from pellucid.benchmark.execution import runner
    from pellucid.benchmark.units import configuration
    from pellucid.benchmark.units.store import Store

    variants = configuration.variants(preset, config, assignments)
    folder = _folder(out, variants[0].config.name, assignments)
    models.choose_kernels(variants[0].config.model.name)
    for variant in variants:
        if variant.name:
            print(f"\n{variant.name}")
        work = runner.plan(variant.config, data_dir)
        store = Store(folder / variant.name, _note)
        done = [unit for unit in work.units if store.done(unit)]
        keys = {unit.key for unit in done}
        print(plan_table.text(work, keys), flush=True)
        if simulate:
            from pellucid.benchmark.execution import simulation

            took = {unit.key: store.stored(unit).seconds for unit in done}
            times = simulation.report(
                work, took, simulate, workers=workers, probe=probe, notice=_note
            )
            print(f"\n{times}")
        elif probe and len(done) < len(work.units):
            from pellucid.benchmark.execution import estimate

            _note("measuring the pace of this device ...")
            left = [unit for unit in work.units if unit.key not in keys]
            print(estimate.report(work, left, workers))


@app.command()
def plots(
    out: RunFolder = Path("runs/quick"),
    leaderboard: Annotated[
        bool,
        typer.Option(
            "--leaderboard",
            help="Draw the board's trade-off figures from its entries, not those of a run.",
        ),
    ] = False,
    board: BoardFolder = BOARD,
) -> None:
    """Draw every figure again from stored results. Nothing is trained."""
    if leaderboard:
        from pellucid.benchmark.results.figures import board as board_figures

        drawn = board_figures.draw(board)
    else:
        from pellucid.benchmark.results import report, sweeps

        folders = [out / name for name in sweeps.runs(out)] if sweeps.is_sweep(out) else [out]
        drawn = [path for folder in folders for path in report.draw(folder, _note)]
        if folders != [out]:
            drawn += sweeps.write_joined(out)
    for path in drawn:
        print(path)


@app.command()
def paper(
    runs: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of finished runs.")],
    report: Annotated[
        Path,
        typer.Option(help="The file to write; figures and tables are written beside it."),
    ] = Path("runs/paper/paper.md"),
) -> None:
    """Compare finished runs with every claim of the paper in one report with figures.

    Nothing is trained.
    """
    from pellucid.benchmark.paper.report import write_report

    for path in write_report(runs, report, _note):
        print(path)


@app.command()
def findings(
    runs: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN...", help="Folders of finished runs, or of their published tables."
        ),
    ],
    report: Annotated[
        Path, typer.Option(help="The file to write; figures are written beside it.")
    ] = Path("runs/findings/findings.md"),
) -> None:
    """Say in two pages what finished runs found, and what not, by the verdicts in their tables.

    Nothing is trained.
    """
    from pellucid.benchmark.findings.report import write_findings

    for path in write_findings(runs, report, _note):
        print(path)


@app.command()
def submit(
    model: Annotated[
        Path | None, typer.Argument(metavar="MODEL.keras", help="A trained Keras classifier.")
    ] = None,
    track: Annotated[
        str | None, typer.Option(help="The name of a track, as digits, mnist-reduced or cifar10.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="The model's card, a TOML file; --new-card writes one.")
    ] = None,
    check_only: Annotated[
        bool,
        typer.Option(
            "--check-only", help="Check the model and its card, and say how long measuring takes."
        ),
    ] = False,
    new_card: Annotated[
        bool, typer.Option("--new-card", help="Write a card to fill in, by default card.toml.")
    ] = False,
    replace: Annotated[
        bool, typer.Option("--replace", help="Replace the same model's entry, whatever its card.")
    ] = False,
    board: BoardFolder = BOARD,
    data_dir: DataDir = None,
    workers: Workers = None,
    max_hours: MaxHours = 12.0,
    weaker_confinement: WeakerConfinement = False,
) -> None:
    """Check a model, measure it under a track's protocol, and put it on the board.

    When it was stopped, the same command resumes where it was.
    """
    from pellucid.leaderboard import card as cards
    from pellucid.models.errors import InputError

    if new_card:
        if model or track or check_only:
            raise InputError("--new-card goes with --card FILE.toml alone.")
        path = card or Path("card.toml")
        cards.write_new(path)
        print(f"{path}: fill it in, then pass it as --card {path}")
        return
    needed = {"MODEL.keras": model, "--track": track, "--card": card or check_only}
    missing = [name for name, value in needed.items() if not value]
    if missing or model is None or track is None:
        raise InputError(
            f"submit needs {', '.join(missing)}. `submit --new-card` writes a card to fill in."
        )
    read = cards.read(card) if card else None  # before anything slow is imported
    from rich.console import Console

    from pellucid.benchmark.submission import limits, measure

    resources = limits.Resources(data_dir, workers, max_hours, weaker_confinement)
    if read is None or check_only:
        measure.check(model, track, resources=resources, console=Console())
        return
    from pellucid.benchmark.cli.result_tables import print_scores

    measurement = measure.submit(
        model, track, read, board=board, replace=replace, resources=resources, console=Console()
    )
    print_scores(measurement)
    print(f"board: {board / 'LEADERBOARD.md'}, {board / 'index.html'}")


@app.command()
def verify(
    submission: Annotated[
        Path | None,
        typer.Argument(
            metavar="SUBMISSION_DIR",
            help="A folder with submission.toml, card.toml and the model. With --commit, by"
            " default the one folder of submissions/ that the commit changes.",
        ),
    ] = None,
    commit: Annotated[
        str | None,
        typer.Option(
            metavar="REF",
            help="Read the folder out of this commit, which is not checked out and may change"
            " nothing else.",
        ),
    ] = None,
    board: BoardFolder = BOARD,
    out: Annotated[
        Path, typer.Option(help="Where comment.md and a copy of the board are written.")
    ] = Path("runs/verify"),
    accept: Annotated[
        bool,
        typer.Option(
            "--accept", help="Put the entry on the board if the reported scores agree with it."
        ),
    ] = False,
    replace: Annotated[
        bool,
        typer.Option(
            "--replace",
            help="Replace the same model's entry, or its retraction, whatever its card.",
        ),
    ] = False,
    data_dir: DataDir = None,
    workers: Workers = None,
    max_hours: MaxHours = 12.0,
    weaker_confinement: WeakerConfinement = False,
) -> None:
    """Measure a submission from outside anew, and compare that with what its authors report.

    The exit status is 0 where they agree, 1 where they differ, 2 where it is refused; comment.md
    says why. The board stays as it is without --accept.
    """
    from rich.console import Console

    from pellucid.benchmark.cli.result_tables import print_scores
    from pellucid.benchmark.submission import limits
    from pellucid.benchmark.submission import verify as verifying

    verified = verifying.verify(
        submission,
        commit=commit,
        board=board,
        out=out,
        accept=accept,
        replace=replace,
        resources=limits.Resources(data_dir, workers, max_hours, weaker_confinement),
        console=Console(),
    )
    print_scores(verified.measurement)
    for name, reported, measured in verified.differences:
        what = "no such score" if measured is None else f"{measured:.3f}"
        print(f"{name}: reported {reported:.3f}, measured {what}")
    print(f"comment: {out / verifying.COMMENT}; board with it: {out / verifying.BOARD}")
    print(f"{board}: {'the entry is on it' if verified.accepted else 'unchanged'}")
    if verified.differences:
        raise typer.Exit(1)


@app.command()
def evaluate(
    context: typer.Context,
    model: ModelFile,
    track: Annotated[
        str | None, typer.Option(help="The track under which every score is measured.")
    ] = None,
    card: Annotated[
        Path | None, typer.Option(help="With --track, the model's card; may be left out.")
    ] = None,
    board: BoardFolder = BOARD,
    data_dir: DataDir = None,
    workers: Workers = None,
    data: Annotated[
        str | None, typer.Option(help="The data set on which robust accuracy is measured.")
    ] = None,
    attack: Annotated[
        Literal["autoattack"], typer.Option(help="With --data, the attack.")
    ] = "autoattack",
    version: Annotated[
        str,
        typer.Option(
            help="AutoAttack's version: standard, plus, or rand for models with randomness."
        ),
    ] = "standard",
    norm: Annotated[
        str, typer.Option(parser=norm_of, metavar="NORM", help="With --data: linf or l2.")
    ] = "linf",
    epsilon: Annotated[
        float | None,
        typer.Option(
            parser=radius,
            metavar="RADIUS",
            help="With --data, the attack's radius in pixel units ([0, 1]), as 0.03 or 8/255.",
        ),
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="With --data, how many test images are attacked, from the first; by default 1,000"
            " or all.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="The seed of the attacks.")] = 0,
    out: Annotated[
        Path | None,
        typer.Option(help="Where outcomes are stored; by default runs/robust-accuracy."),
    ] = None,
    max_hours: MaxHours = 12.0,
    weaker_confinement: WeakerConfinement = False,
) -> None:
    """Measure a model: with --track as `submit` but off the board, with --data robust accuracy.

    When it was stopped, the same command resumes where it was.
    """
    from rich.console import Console

    from pellucid.benchmark.cli import result_tables
    from pellucid.benchmark.submission import limits
    from pellucid.models.errors import InputError

    if (track is None) == (data is None):
        raise InputError("evaluate takes either --track (every score) or --data (robust accuracy).")
    of_data = ("attack", "version", "norm", "epsilon", "images", "seed", "out")
    other = ("card", "board") if data else of_data
    if unused := stated(context, *other):
        raise InputError(f"{', '.join(unused)}: not with {'--data' if data else '--track'}.")
    resources = limits.Resources(data_dir, workers, max_hours, weaker_confinement)
    if track is not None:
        from pellucid.benchmark.submission import measure

        measurement = measure.evaluate(
            model, track, card, board=board, resources=resources, console=Console()
        )
        result_tables.print_scores(measurement)
    if data is not None:
        from pellucid.benchmark.submission import robust_accuracy

        if epsilon is None:
            raise InputError("--data needs --epsilon, the radius in pixel units ([0, 1]).")
        if norm == "linf" and epsilon > 1:
            raise InputError(
                f"--epsilon {epsilon:g}: radii are in pixel units, where the box is [0, 1]. Did you"
                f" mean --epsilon {epsilon:g}/255?"
            )
        assessment = robust_accuracy.assess(
            model,
            data_name=data,
            norm=norm,
            epsilon=epsilon,
            version=version,
            images=images,
            seed=seed,
            out=out or robust_accuracy.FOLDER,
            resources=resources,
            console=Console(),
        )
        result_tables.print_robust_accuracy(assessment)


@app.command()
def reference(
    track: TrackName, board: BoardFolder = BOARD, data_dir: DataDir = None, workers: Workers = None
) -> None:
    """Train and measure a track's reference networks, and put them on the board."""
    from rich.console import Console

    from pellucid.benchmark.submission import measure

    measure.reference(track, board=board, data_dir=data_dir, workers=workers, console=Console())


@app.command()
def baselines(
    track: TrackName,
    board: BoardFolder = BOARD,
    data_dir: DataDir = None,
    workers: Workers = None,
    weaker_confinement: WeakerConfinement = False,
) -> None:
    """Measure a track's baselines, an untrained network and one that masks its gradients.

    They are made of the track's networks, which `reference` trains, and put on the board.
    """
    from rich.console import Console

    from pellucid.benchmark.submission import baselines as made
    from pellucid.benchmark.submission import limits

    resources = limits.Resources(data_dir, workers, 12.0, weaker_confinement)
    made.measured(track, board=board, resources=resources, console=Console())


@app.command()
def leaderboard(
    out: Annotated[
        Path | None,
        typer.Option(help="A run's folder, whose board is used in place of --board."),
    ] = None,
    board: BoardFolder = BOARD,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Validate entries, scores and all rendered files; change nothing."
        ),
    ] = False,
) -> None:
    """Render the board again from its entries: Markdown, CSV, Parquet, the page, the schema."""
    from pellucid.leaderboard.board import Board
    from pellucid.models.errors import InputError

    folder = board if out is None else out / "leaderboard"
    if not (folder / "entries").is_dir():
        raise InputError(f"No leaderboard entries in {folder}. Run the benchmark there first.")
    if check:
        from pellucid.benchmark.submission import check as checks

        checks.raise_on(checks.check(folder, run=out is not None))
        print(f"{folder}: {len(Board(folder).entries())} entries; all is as it should be")
        return
    for path in Board(folder).render():
        print(path)


@app.command("rule-out")
def rule_out(
    entry: Annotated[str, typer.Argument(metavar="TRACK/ID", help="An entry of the board.")],
    flag: Annotated[str, typer.Option(help="The flag's name, such as test_contamination.")],
    because: Annotated[str, typer.Option(help="Why it does not apply, in a line.")],
    board: BoardFolder = BOARD,
) -> None:
    """State why a flag does not apply to an entry, which is then ranked; for maintainers."""
    from pellucid.leaderboard.board import Board

    for path in Board(board).rule_out(entry, flag, because):
        print(path)


@app.command()
def retract(
    entry: Annotated[str, typer.Argument(metavar="TRACK/ID", help="A submission on the board.")],
    because: Annotated[str, typer.Option(help="Why, in a line.")],
    board: BoardFolder = BOARD,
) -> None:
    """Remove a submission from the board and record why; for maintainers."""
    from pellucid.leaderboard.board import Board

    for path in Board(board).retract(entry, because):
        print(path)


@app.command()
def publish_models(track: TrackName, board: BoardFolder = BOARD, data_dir: DataDir = None) -> None:
    """Put a track's reference networks among those that `load_model` knows; for maintainers."""
    from pellucid.benchmark.library.zoo.publish import publish

    for name in publish(track, board=board, data_dir=data_dir):
        print(name)


@app.command()
def doctor(out: Out = None, data_dir: DataDir = None) -> None:
    """Show versions, backend, devices, data sets with their folders, and free disk space."""
    from pellucid.benchmark import environment

    for what, state, fine in environment.doctor(data_dir, _folder(out, "quick")):
        print(f"{'ok' if fine else '--':3} {what:18} {state}")


@app.command("gpu-check")
def gpu_check(
    out: Annotated[Path, typer.Option(help="The folder of the report and its figures.")] = Path(
        "runs/gpu-check"
    ),
    small: Annotated[
        bool, typer.Option("--small", help="A reduced run, as without an accelerator.")
    ] = False,
    budget: Annotated[
        float, typer.Option(min=0, help="Seconds; steps for which none are left are listed.")
    ] = 600.0,
    only: Annotated[
        list[str] | None,
        typer.Option(help="Only steps whose names begin so; may be repeated."),
    ] = None,
) -> None:
    """Try a GPU: results against a CPU's, floors, speed, and how long paper-cifar10 would take.

    It needs no data set. When it was stopped, the same command resumes where it was.
    """
    from pellucid import models

    models.choose_kernels("cifar_cnn")
    from pellucid.benchmark.accelerator import contact

    fine = contact.run(
        out, small=small, budget=budget, only=only or [], say=lambda text: print(text, flush=True)
    )
    if not fine:
        raise typer.Exit(1)


def entry_point(arguments: list[str] | None = None) -> int:
    """Runs the command line; returns its exit code.

    A user's mistake is one line on stderr and exit code 2. After Ctrl-C the process ends at once:
    units under way have nothing to save, since a result is stored completely or not at all.
    """
    from typer.exceptions import TyperException

    from pellucid.models.errors import InputError

    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        code = app(arguments, standalone_mode=False)
    except InputError as error:
        return _mistake(str(error))
    except TyperException as error:
        message = error.format_message() if hasattr(error, "format_message") else str(error)
        return _mistake(message)
    except (KeyboardInterrupt, typer.Abort):
        code = INTERRUPTED
    if code == INTERRUPTED:
        print("\nStopped. The same command resumes from here.", file=sys.stderr, flush=True)
        os._exit(INTERRUPTED)
    return code if isinstance(code, int) else 0


def _mistake(message: str) -> int:
    from pellucid.models.errors import printable

    print(f"error: {printable(' '.join(message.split()))}", file=sys.stderr)
    return MISTAKE


def main() -> None:
    """The console script `pellucid`."""
    sys.exit(entry_point())
