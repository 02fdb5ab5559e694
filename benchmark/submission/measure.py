"""A submitted model: admitted, measured as its track says, and put on the board."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from pellucid.benchmark.config.names import CONFIG
from pellucid.benchmark.data import datasets
from pellucid.benchmark.data.dataset import Dataset
from pellucid.benchmark.execution import runner
from pellucid.benchmark.progress import duration, sayer
from pellucid.benchmark.results import entries, tables, tracks
from pellucid.benchmark.results.entries import Evidenced
from pellucid.benchmark.results.tracks import Track
from pellucid.benchmark.submission import admission
from pellucid.benchmark.submission.admission import failures_in_one_line
from pellucid.benchmark.submission.limits import Resources
from pellucid.benchmark.units import configuration, plan, submitted
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import SUBMISSION, Result
from pellucid.leaderboard import card as cards
from pellucid.leaderboard import outcomes
from pellucid.leaderboard.board import Board
from pellucid.leaderboard.card import Card
from pellucid.leaderboard.entry import Entry, TrackRecord
from pellucid.leaderboard.entry import place as place_of
from pellucid.leaderboard.tradeoff import Standings
from pellucid.models.errors import InputError
from pellucid.models.files import write

if TYPE_CHECKING:
    from pellucid.benchmark.submission.cost import Cost
    from pellucid.models.untrusted import Admitted


class Measurement(NamedTuple):
    """A measured entry.

    Attributes:
        entry: The entry.
        rows: The comparable entries of the board, and itself.
        placed: How they stand.
    """

    entry: Entry
    rows: list[Entry]
    placed: Standings


def measure(
    path: Path,
    track: Track,
    card: Card,
    *,
    verified: bool,
    resources: Resources,
    console: Console,
    role: str = "submission",
) -> Evidenced:
    """Admits a model and measures it under a track's protocol; stopped, the same call resumes.

    Args:
        path: The submitted `.keras` file.
        track: The track.
        card: The model's card.
        verified: Whether the entry is for a board.
        resources: What may be used.
        console: Where progress goes.
        role: The entry's.

    Returns:
        The entry and the outcomes behind it.

    Raises:
        InputError: The file is refused; the data cannot be had, or is not the track's; the folder
            cannot be written; it would take too long.
    """
    data, record = _prepared(path, track, resources, console)
    with resources.watched(path.name), failures_in_one_line(path):
        admitted = admission.admit(path, data, sayer(console), weaker=resources.weaker)
        work = plan.submission(track.config, data.info, admitted.sha256)
        with admission.store_in(track.folder, data, sayer(console), wait=True) as store:
            _store(work, store, admitted)
            _compute(work, store, data, admitted, path, resources, console)
            return entries.entry(
                tables.build(work, store),
                SUBMISSION,
                track=record,
                card=card,
                name=entries.entry_id(role, card, admitted.sha256),
                role=role,
                verified=verified,
                sha256=[admitted.sha256],
            )


def _prepared(
    path: Path, track: Track, resources: Resources, console: Console
) -> tuple[Dataset, TrackRecord]:
    """The track's data and record, once the path is known to name a `.keras` file."""
    admission.prepare(path, track.config.model.name)
    where = runner.limited(track.config, resources.data_dir)
    data = datasets.load(**where, notice=sayer(console))
    return data, tracks.record(track.name, track.config, data)


def _store(work: Plan, store: Store, admitted: "Admitted") -> None:
    """Stores the admitted model as a unit that is done."""
    from pellucid.benchmark import environment

    if not (store.root / CONFIG).exists():
        write(store.root / CONFIG, configuration.dumps(work.config))
    unit = next(work.of(submitted.KIND))
    if not store.done(unit):
        values = submitted.Values(admitted.probe)
        result = Result(values, models={"model": admitted.model})
        store.put(unit, result, environment=environment.collect(), seconds=0)


def _compute(
    work: Plan,
    store: Store,
    data: Dataset,
    admitted: "Admitted",
    path: Path,
    resources: Resources,
    console: Console,
) -> None:
    """Computes the units of a submission, if that does not take too long."""
    from pellucid.benchmark.submission import cost

    left = cost.estimate(work, store, admitted.model, data, resources.workers)
    sayer(console)(_told(left))
    if left.seconds > 3600 * resources.hours:
        raise InputError(
            f"{path.name}: {_told(left)}, and at most {resources.hours:g} hours are allowed. Choose"
            " a smaller model, an accelerator, or --max-hours."
        )
    pool = runner.threads(work, store, data, resources.workers)
    with runner.progress(work, store, pool, console, name=path.name) as (done, observer):
        runner.execute(work, done, pool, observer)


def _told(left: "Cost") -> str:
    return (
        f"measuring takes roughly {duration(left.seconds)} here, with {left.passes:,.0f} passes of"
        f" {1000 * left.per_pass:.2g} ms"
    )


def check(path: Path, track_name: str, *, resources: Resources, console: Console) -> None:
    """Admits a model and says what it would take to measure it; nothing is stored.

    Arguments and errors as for `measure`.
    """
    track, say = tracks.get(track_name), sayer(console)
    data, _ = _prepared(path, track, resources, console)
    from pellucid.benchmark.submission import cost  # which imports Keras

    with resources.watched(path.name), failures_in_one_line(path):
        admitted = admission.admit(path, data, say, weaker=resources.weaker)
        work = plan.submission(track.config, data.info, admitted.sha256)
        store = Store(track.folder, say)
        say(_told(cost.estimate(work, store, admitted.model, data, resources.workers)))


def _comparable(entry: Entry, board: list[Entry]) -> list[Entry]:
    return [entry, *(e for e in board if e.track == entry.track and e.id != entry.id)]


def evaluate(
    path: Path,
    track_name: str,
    card_path: Path | None,
    *,
    board: Path,
    resources: Resources,
    console: Console,
) -> Measurement:
    """Measures a model and writes the entry to the track's folder; the board stays as it is.

    Raises as `measure`.
    """
    card = cards.read(card_path) if card_path else cards.anonymous(path)
    track = tracks.get(track_name)
    there = Board(board).entries()
    start = time.perf_counter()
    entry, behind = measure(
        path,
        track,
        card,
        verified=False,
        resources=resources,
        console=console,
    )
    place = track.folder / "evaluations" / f"{entry.id}.json"
    write(place, json.dumps(entry.model_dump(), indent=1, sort_keys=True) + "\n")
    write(place.with_suffix(".outcomes.json"), outcomes.dumps(behind))
    taken = duration(time.perf_counter() - start)
    sayer(console)(f"done in {taken}: {place}; the board is unchanged")
    known = Board(board).standings().outcomes
    placed = Standings({**known, place_of(entry): behind})
    return Measurement(entry, _comparable(entry, there), placed)


def submit(
    path: Path,
    track_name: str,
    card: Card,
    *,
    board: Path,
    replace: bool,
    resources: Resources,
    console: Console,
) -> Measurement:
    """Measures a model and puts it on the board, in place of an entry of the same model.

    Raises as `measure` and `Board.put`.
    """
    track, say = tracks.get(track_name), sayer(console)
    Board(board, say).entries()  # a damaged board is refused before the work
    start = time.perf_counter()
    measured = measure(
        path,
        track,
        card,
        verified=True,
        resources=resources,
        console=console,
    )
    placed = put(measured, board, replace=replace, console=console)
    taken = duration(time.perf_counter() - start)
    say(f"done in {taken}: entry {track.name}/{measured.entry.id} in {board}")
    return placed


def put(measured: Evidenced, board: Path, *, replace: bool, console: Console) -> Measurement:
    """Puts a measured model on a board, in place of an entry of the same model.

    Raises as `Board.put`.
    """
    standing, entry = Board(board, sayer(console)), measured.entry
    entries.put(standing, [measured], replace=replace)
    return Measurement(entry, _comparable(entry, standing.entries()), standing.standings())


def reference(
    track_name: str, *, board: Path, data_dir: str | None, workers: int | None, console: Console
) -> list[Entry]:
    """Completes a track's reference grid and puts its networks on the board.

    Raises:
        InputError: As `runner.run` and `Board.put`.
    """
    track, say = tracks.get(track_name), sayer(console)
    config = track.config
    data = datasets.load(**runner.limited(config, data_dir), notice=say)
    record = tracks.record(track.name, config, data)  # refused now, not after hours
    runner.run(
        config, track.folder, data_dir=data_dir, fresh=False, workers=workers, console=console
    )
    work, store = plan.build(config, data.info), Store(track.folder, say)
    found = entries.grid_entries(tables.build(work, store), track=record, verified=True)
    entries.put(Board(board, say), found)
    say(f"{len(found)} reference networks of {track.name} in {board}")
    return [one.entry for one in found]
