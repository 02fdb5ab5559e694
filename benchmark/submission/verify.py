"""A submission from outside, checked and measured anew without waiting for a person.

As `measure.submit` does it, on a copy of the board; what its authors report is compared with what
was measured, and one comment says what came out.
"""

import hashlib
import shutil
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from pellucid.benchmark.progress import sayer
from pellucid.benchmark.results import tracks
from pellucid.benchmark.results.tracks import Track
from pellucid.benchmark.submission import (
    agreement,
    comment,
    download,
    measure,
    request,
    source,
)
from pellucid.benchmark.submission.agreement import Difference
from pellucid.benchmark.submission.limits import Resources
from pellucid.benchmark.submission.measure import Measurement
from pellucid.benchmark.submission.request import Submission
from pellucid.benchmark.submission.source import Source
from pellucid.leaderboard import entry as entries
from pellucid.leaderboard import links, outcomes, retractions
from pellucid.leaderboard.board import ENTRIES, Board
from pellucid.leaderboard.card import Card
from pellucid.leaderboard.entry import Entry
from pellucid.models.errors import InputError
from pellucid.models.files import write, writing

FOLDER = Path("runs/verify")
COMMENT, BOARD, MODEL = "comment.md", "board", "model"
"""In the folder: the comment, the copy of the board, the model's file."""
_MARK = ".copy"
"""In a copy of a board: what shows that it may be made again."""


class Verified(NamedTuple):
    """A measured submission.

    Attributes:
        measurement: The entry and how it stands.
        differences: Reported scores that were not measured.
        accepted: Whether the entry is on the board.
    """

    measurement: Measurement
    differences: list[Difference]
    accepted: bool


def verify(
    folder: Path | None,
    *,
    commit: str | None = None,
    board: Path,
    out: Path = FOLDER,
    replace: bool = False,
    accept: bool = False,
    resources: Resources,
    console: Console,
    open_address: download.Open = download.open_https,
) -> Verified:
    """Checks a submission, measures it anew, and compares that with what its authors report.

    Args:
        folder: The submission's folder; with a commit, the one folder that it changes by default.
        commit: The commit that holds the folder; it is read from git's objects. By default the
            folder is read from disk.
        board: The board's folder, which stays as it is.
        out: Where the comment, a copy of the board with the entry, and the model's file are
            written.
        replace: Whether it may replace an entry of the same model, or a retraction.
        accept: Whether it is put on the board if what is reported agrees.
        resources: What may be used.
        console: Where progress goes.
        open_address: What opens the address of a model.

    Raises:
        InputError: The submission is refused, or cannot be measured here. The comment says so.
    """
    where = out / COMMENT
    write(where, comment.UNFINISHED)
    resources = resources._replace(told=lambda line: write(where, comment.refused(line)))
    try:
        found = _read(folder, commit)
        submission, card, track, model = _checked(
            found, out / MODEL, resources, console, open_address
        )
        there = Board(board, sayer(console)).entries()
        known = {name for entry in _of(track, there) for name in entry.scores}
        if known:
            agreement.check_names(submission.reported, known)
        _copy(there, board, out / BOARD)
        start = time.perf_counter()
        measured = measure.measure(
            model, track, card, verified=True, resources=resources, console=console
        )
        if not known:
            agreement.check_names(submission.reported, set(measured.entry.scores))
        placed = measure.put(measured, out / BOARD, replace=replace, console=console)
        seconds = time.perf_counter() - start
        differences = agreement.differences(submission.reported, measured.entry)
        if accept and not differences:
            measure.put(measured, board, replace=replace, console=console)
    except InputError as error:
        write(where, comment.refused(str(error)))
        raise
    report = comment.Report(found, submission.reported, differences, placed, seconds)
    write(where, comment.measured(report))
    return Verified(placed, differences, accept and not differences)


def _read(folder: Path | None, commit: str | None) -> Source:
    if commit is not None:
        return source.from_commit(commit, None if folder is None else str(folder))
    if folder is None:
        raise InputError("verify needs SUBMISSION_DIR, --commit REF, or both.")
    return source.from_disk(folder)


def _checked(
    found: Source,
    to: Path,
    resources: Resources,
    console: Console,
    open_address: download.Open,
) -> tuple[Submission, Card, Track, Path]:
    """What a folder states, and its model's file; every mistake at once.

    Raises:
        InputError: A file has mistakes, the track is unknown, or the model cannot be had. Where
            the model's file is there, it is tried too, and its mistakes follow.
    """
    submission, card, wrong = request.read_both(found.files)
    if submission is None:
        raise InputError(" ".join(wrong))
    track = model = None
    try:
        track = tracks.get(submission.track)
    except InputError as error:
        wrong.append(f"{request.SUBMISSION}: {error}")
    try:
        model = _model(found, submission, to, open_address)
    except InputError as error:
        wrong.append(str(error))
    if wrong or card is None or track is None or model is None:
        if track and model:
            try:
                measure.check(model, track.name, resources=resources, console=console)
            except InputError as error:
                wrong.append(str(error))
        raise InputError(" ".join(wrong))
    return submission, card, track, model


def _model(found: Source, submission: Submission, to: Path, open_address: download.Open) -> Path:
    """Writes the model's file, from the folder or from its address, and checks its hash."""
    there = [name for name in found.files if name.endswith(".keras")]
    if submission.address and submission.sha256:
        if there:
            raise InputError(f"{request.SUBMISSION} states an address, so {there[0]} is not used.")
        path = to / f"{found.name}.keras"
        download.fetch(submission.address, submission.sha256, path, open_address=open_address)
        return path
    name = submission.model or ""
    if there != [name]:
        raise InputError(
            f"{request.SUBMISSION} names the model {name}, and the folder holds"
            f" {', '.join(there) or 'no .keras file'}."
        )
    content = found.files[name]
    if submission.sha256 and hashlib.sha256(content).hexdigest() != submission.sha256:
        raise InputError(f"{name} is another file than {request.SUBMISSION} states by its SHA-256.")
    write(to / name, content)
    return to / name


def _of(track: Track, board: list[Entry]) -> list[Entry]:
    return [entry for entry in board if entry.track.digest == track.digest]


def _copy(there: list[Entry], board: Path, to: Path) -> None:
    """Copies a board's entries, their outcomes and the retractions, in place of an earlier copy.

    Raises:
        InputError: The folder holds something else; it cannot be written.
    """
    if to.exists() and not (to / _MARK).exists() and any(to.iterdir()):
        raise InputError(f"{to} is not a copy that verify made of a board. Choose another --out.")
    names = [f"{ENTRIES}/{entries.place(entry)}" for entry in there]
    names += [outcomes.path(entry) for entry in there if entry.outcomes]
    names += [name for name in (retractions.FILE, links.FILE) if (board / name).exists()]
    with writing(to):
        shutil.rmtree(to, ignore_errors=True)
        (to / ENTRIES).mkdir(parents=True, exist_ok=True)
        (to / _MARK).touch()
        for name in names:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(board / name, to / name)
