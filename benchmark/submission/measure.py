"""A model from outside: let in, measured as its track says, and put on the board."""

import json
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from rich.console import Console

from robust_interpretability import models
from robust_interpretability.benchmark.config import configuration, tracks
from robust_interpretability.benchmark.config.tracks import Track
from robust_interpretability.benchmark.data import datasets
from robust_interpretability.benchmark.execution import runner
from robust_interpretability.benchmark.progress import Display, duration, sayer
from robust_interpretability.benchmark.results import entries, tables
from robust_interpretability.benchmark.units import plan
from robust_interpretability.benchmark.units.store import Result, Store
from robust_interpretability.leaderboard import card as cards
from robust_interpretability.leaderboard import render, tradeoff
from robust_interpretability.leaderboard.board import Board
from robust_interpretability.leaderboard.card import Card
from robust_interpretability.leaderboard.entry import Entry
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.files import write

PROBED = 64
"""Test images on which a submitted model is tried before it is let in."""


class Evaluated(NamedTuple):
    """A measured entry and the comparable entries of the board, itself among them."""

    entry: Entry
    rows: list[Entry]


def measure(
    path: Path,
    track: Track,
    card: Card,
    *,
    verified: bool,
    data_dir: str | None,
    workers: int | None,
    console: Console,
) -> Entry:
    """Lets a model in and measures it under a track's protocol; stopped, the same call goes on.

    Args:
        path: The submitted `.keras` file.
        track: The track.
        card: The model's card.
        verified: Whether the entry is for a board.
        data_dir: The TFDS folder.
        workers: Units at a time; one a core where not given.
        console: Where progress goes.

    Returns:
        The entry.

    Raises:
        InputError: The file is refused; the data cannot be had; the folder cannot be written.
    """
    from robust_interpretability.models import untrusted

    untrusted.check_path(path)  # before TensorFlow is imported, which takes seconds
    models.choose_kernels(track.config.model.name)
    from robust_interpretability.models import backend

    say = sayer(console)
    config = track.config
    limits = {"train_limit": config.data.train_limit, "test_limit": config.data.test_limit}
    backend.configure()
    data = datasets.load(config.data.name, data_dir=data_dir, notice=say, **limits)
    say(f"checking {path.name}")
    images = data.x_test[:PROBED] / np.float32(255)
    admitted = untrusted.admit(
        path, input_shape=data.info.shape, num_classes=data.info.num_classes, images=images
    )
    say(
        f"let in: {admitted.parameters:,} parameters, checked behind"
        f" {', '.join(admitted.confinement)}"
    )
    work = plan.submission(config, data.info, admitted.sha256)
    with runner.locked(track.folder, wait=say):
        from robust_interpretability.benchmark import environment
        from robust_interpretability.benchmark.execution import threads
        from robust_interpretability.benchmark.units.context import Context

        if not (track.folder / "config.toml").exists():
            write(track.folder / "config.toml", configuration.dumps(config))
        store = Store(track.folder, say)
        store.sweep()
        own = next(work.of("submitted"))
        if not store.done(own):
            result = Result({"probe": admitted.probe}, models={"model": admitted.model})
            store.put(own, result, environment=environment.collect(), seconds=0)
        done = {unit.key for unit in work.units if store.done(unit)}
        pool = threads.Threads(workers, store, Context(work, store, data))
        say(
            f"{track.name}: {len(work.units)} units of work, {len(done)} done before,"
            f" {pool.workers} at a time"
        )
        with Display(work, done, pool.workers, console) as display:
            for unit in work.units:  # what was measured here before gives the estimate its pace
                if unit.key in done and unit.cost:
                    display.estimate.add(unit, store.body(unit)["seconds"])
            threads.run(work, done, pool, display)
        return entries.entry(
            work,
            store,
            plan.SUBMISSION,
            tables.build(work, store),
            track=tracks.record(track.name, config, data),
            card=card,
            name=entries.submission_id(card, admitted.sha256),
            role="submission",
            verified=verified,
            sha256=[admitted.sha256],
        )


def _comparable(entry: Entry, board: list[Entry]) -> list[Entry]:
    return [entry, *(e for e in board if e.track == entry.track and e.id != entry.id)]


def evaluate(
    path: Path,
    track_name: str,
    card_path: Path | None,
    *,
    board: Path,
    data_dir: str | None,
    workers: int | None,
    console: Console,
) -> Evaluated:
    """Measures a model and keeps the entry in the track's folder; the board stays as it is.

    Raises as `measure`.
    """
    card = cards.read(card_path) if card_path else cards.anonymous(path)
    track = tracks.get(track_name)
    there = Board(board).entries()
    start = time.perf_counter()
    entry = measure(
        path, track, card, verified=False, data_dir=data_dir, workers=workers, console=console
    )
    place = track.folder / "evaluations" / f"{entry.id}.json"
    write(place, json.dumps(entry.model_dump(), indent=1, sort_keys=True) + "\n")
    sayer(console)(
        f"done in {duration(time.perf_counter() - start)}: {place}; the board is as it was"
    )
    return Evaluated(entry, _comparable(entry, there))


def submit(
    path: Path,
    track_name: str,
    card_path: Path,
    *,
    board: Path,
    data_dir: str | None,
    workers: int | None,
    console: Console,
) -> Evaluated:
    """Measures a model and puts it on the board, in place of an entry with the same id.

    Raises as `measure`.
    """
    card, track, say = cards.read(card_path), tracks.get(track_name), sayer(console)
    standing = Board(board, say)
    standing.entries()  # a board that is not whole is refused before the work
    start = time.perf_counter()
    entry = measure(
        path, track, card, verified=True, data_dir=data_dir, workers=workers, console=console
    )
    standing.put([entry])
    say(
        f"done in {duration(time.perf_counter() - start)}: entry {track.name}/{entry.id} in {board}"
    )
    return Evaluated(entry, _comparable(entry, standing.entries()))


def reference(
    track_name: str, *, board: Path, data_dir: str | None, workers: int | None, console: Console
) -> list[Entry]:
    """Trains and measures what is not done of a track's reference grid, and puts its networks on the board.

    Raises:
        InputError: As `runner.run` and `Board.put`.
    """
    track, say = tracks.get(track_name), sayer(console)
    config = track.config
    runner.run(
        config, track.folder, data_dir=data_dir, fresh=False, workers=workers, console=console
    )
    limits = {"train_limit": config.data.train_limit, "test_limit": config.data.test_limit}
    data = datasets.load(config.data.name, data_dir=data_dir, notice=say, **limits)
    work, store = plan.build(config, data.info), Store(track.folder, say)
    record = tracks.record(track.name, config, data)
    found = entries.grid_entries(
        work, store, tables.build(work, store), track=record, verified=True
    )
    Board(board, say).put(found)
    say(f"{len(found)} reference networks of {track.name} in {board}")
    return found


def verdict(evaluated: Evaluated) -> list[tuple[str, str, str]]:
    """How an entry stands: `(score, value, against the trade-off)` rows in words."""
    entry, rows = evaluated
    accuracies = [name for name in ("test_accuracy", "robust_accuracy") if name in entry.scores]
    out = [(render.TITLES[name], render.cell(entry.scores[name]), "") for name in accuracies]
    for name in tradeoff.INTERPRETABILITY:
        if name not in entry.scores:
            continue
        own = tradeoff.headlines(rows, name)[entry.id]
        if math.isnan(own.advantage):
            said = "no reference grid of this track on the board"
        else:
            word = (
                "beats the trade-off"
                if own.beats
                else "falls short of it"
                if own.high < 0
                else "within it"
            )
            far = ", beyond the grid's accuracies" if own.extrapolated else ""
            rank = f"rank {own.rank} of {sum(name in e.scores for e in rows)}"
            said = f"{own.advantage:+.3f} [{own.low:+.3f}, {own.high:+.3f}] {word}{far}; {rank}"
        out.append((render.TITLES[name], render.cell(entry.scores[name]), said))
    return out


def check(board: Path, *, run: bool = False) -> list[str]:
    """What is wrong with a board: as `Board.check`; scores that do not follow from their curves; foreign tracks.

    Args:
        board: The board's folder.
        run: Whether it is a run's own, whose entries are not verified and need be of no track.
    """
    wrong = Board(board).check()
    if wrong:
        return wrong
    for entry in Board(board).entries():
        what = f"Entry {entry.track.name}/{entry.id}"
        if problem := entries.recheck(entry):
            wrong.append(f"{what}: {problem}.")
        if run:
            continue
        if not entry.verified:
            wrong.append(
                f"{what} is not verified: it was not measured for a board by `submit` or"
                " `reference`."
            )
        if entry.track.name not in tracks.TRACKS:
            wrong.append(f"{what} is of no track of this program.")
    return wrong


def raise_on(wrong: list[str]) -> None:
    """Raises `InputError` with the first of several problems and their number."""
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise InputError(f"{wrong[0]}{more}")
