"""Commands that measure a model from outside: `submit`, `evaluate` and `verify`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from pellucid.benchmark.cli.options import (
    BOARD,
    BoardFolder,
    DataDir,
    MaxHours,
    ModelFile,
    WeakerConfinement,
    Workers,
    in_pixel_units,
    radius,
    refuse,
    stated,
)
from pellucid.benchmark.cli.options import norm as norm_of

OF_DATA = ("attack", "version", "norm", "epsilon", "images", "seed", "out")
"""Options of `evaluate` that go with `--data` alone."""
OF_TRACK = ("card", "board")
"""Options of `evaluate` that go with `--track` alone."""
SUBMISSION = (
    "model",
    "track",
    "check_only",
    "replace",
    "board",
    "data_dir",
    "workers",
    "max_hours",
    "weaker_confinement",
)
"""Options of `submit` that say nothing of a card."""


def submit(
    context: typer.Context,
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
    from pellucid.models.startup import check_backend

    if new_card:
        if stated(context, *SUBMISSION):
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
    if check_only:
        refuse(context, "board", "replace", because="not with --check-only, which adds nothing")
    mistakes: list[str] = []
    read = None
    try:
        read = cards.read(card) if card else None  # before anything slow is imported
    except InputError as error:
        if not check_only:
            raise
        mistakes.append(str(error))
    check_backend()
    from pellucid.benchmark.progress import stdout
    from pellucid.benchmark.submission import limits, measure

    resources = limits.Resources(data_dir, workers, max_hours, weaker_confinement)
    if read is None or check_only:
        try:
            measure.check(model, track, resources=resources, console=stdout())
        except InputError as error:
            mistakes.append(str(error))
        if mistakes:
            raise InputError("\n".join(mistakes))
        return
    from pellucid.benchmark.cli.result_tables import print_scores

    measurement = measure.submit(
        model, track, read, board=board, replace=replace, resources=resources, console=stdout()
    )
    print_scores(measurement)
    print(f"board: {board / 'LEADERBOARD.md'}, {board / 'index.html'}")


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
    from pellucid.models.errors import InputError
    from pellucid.models.startup import check_backend

    if (track is None) == (data is None):
        raise InputError("evaluate takes either --track (every score) or --data (robust accuracy).")
    if data is None:
        refuse(context, *OF_DATA, because="not with --track")
    else:
        refuse(context, *OF_TRACK, because="not with --data")
        if epsilon is None:
            raise InputError("--data needs --epsilon, the radius in pixel units ([0, 1]).")
        epsilon = in_pixel_units(epsilon, norm)
    check_backend()
    from pellucid.benchmark.cli import result_tables
    from pellucid.benchmark.progress import stdout
    from pellucid.benchmark.submission import limits

    resources = limits.Resources(data_dir, workers, max_hours, weaker_confinement)
    if track is not None:
        from pellucid.benchmark.submission import measure

        measurement = measure.evaluate(
            model, track, card, board=board, resources=resources, console=stdout()
        )
        result_tables.print_scores(measurement)
    if data is not None and epsilon is not None:
        from pellucid.benchmark.submission import robust_accuracy

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
            console=stdout(),
        )
        result_tables.print_robust_accuracy(assessment)


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
    from pellucid.models.startup import check_backend

    check_backend()
    from pellucid.benchmark.cli.result_tables import print_scores
    from pellucid.benchmark.progress import stdout
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
        console=stdout(),
    )
    print_scores(verified.measurement)
    for name, reported, measured in verified.differences:
        what = "no such score" if measured is None else f"{measured:.3f}"
        print(f"{name}: reported {reported:.3f}, measured {what}")
    print(f"comment: {out / verifying.COMMENT}; board with it: {out / verifying.BOARD}")
    print(f"{board}: {'the entry is on it' if verified.accepted else 'unchanged'}")
    if verified.differences:
        raise typer.Exit(1)
