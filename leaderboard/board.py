"""The board: entries as files and what is rendered from them, changed together or not at all.

A change is staged in a folder beside the board, committed by one rename of that folder, and its
files are then moved into place. A process killed before the rename leaves the old board and some
rubbish; one killed after it leaves the new board, and whoever opens the board next completes the
move. A lock of the operating system serialises changes.
"""

import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

from pellucid.leaderboard import entry as entries
from pellucid.leaderboard import links, render, retractions, table
from pellucid.leaderboard import outcomes as evidence
from pellucid.leaderboard.entry import Entry
from pellucid.leaderboard.html import entry_page, page
from pellucid.leaderboard.html_table import PAGES, page_of
from pellucid.leaderboard.outcomes import Outcomes
from pellucid.leaderboard.retractions import Retraction
from pellucid.leaderboard.tradeoff import Standings
from pellucid.models.errors import InputError
from pellucid.models.files import WRITING, write, writing

ENTRIES = "entries"
PENDING = ".pending"
LOCK = ".lock"
GONE = "gone.json"
"""In a staged change: the list of files it removes."""
_ENTRY = re.compile(
    rf"(?:{ENTRIES}|{evidence.FOLDER})/[^/.][^/]*/[^/.][^/]*\.json"
    rf"|{PAGES}/[^/.][^/]*/[^/.][^/]*\.html"
)
"""Files that belong to an entry: the entry itself, its outcomes, and its page."""

Contents = dict[str, bytes]
RENDERED = (
    "LEADERBOARD.md",
    "leaderboard.csv",
    "leaderboard.parquet",
    "index.html",
    "entry.schema.json",
)
_WRITTEN = (*RENDERED, retractions.FILE)
"""What a change writes besides entries and outcomes."""


def rendered(
    board: list[Entry],
    outcomes: Mapping[str, Outcomes] | None = None,
    links: dict[str, str] | None = None,
    retracted: list[Retraction] | None = None,
) -> Contents:
    """The files that are rendered from all entries, by path in the board's folder.

    Args:
        board: All entries.
        outcomes: By the entry's `place`, the outcomes of those that state any.
        links: Of the page's head; see `links`.
        retracted: Submissions that were removed, which the page lists.

    Raises:
        InputError: Entries contradict each other; see `scores.direction` and `render.frame`.
    """
    tables = table.of(board, Standings(outcomes))
    frame = render.frame(tables)
    contents = (
        render.markdown(tables).encode(),
        render.csv(frame).encode(),
        render.parquet(frame),
        page(tables, links, retracted).encode(),
        (json.dumps(entries.schema(), indent=1, sort_keys=True) + "\n").encode(),
    )
    return dict(zip(RENDERED, contents, strict=True))


def pages(board: Iterable[Entry]) -> Contents:
    """The pages of entries, by path in the board's folder."""
    return {page_of(entry): entry_page(entry).encode() for entry in board}


def _same(name: str, stored: bytes, fresh: bytes) -> bool:
    """Whether two files agree.

    Parquet files hold the version of the library that wrote them, so their tables are compared.
    """
    if name.endswith(".parquet") and stored != fresh:
        try:
            return pd.read_parquet(io.BytesIO(stored)).equals(pd.read_parquet(io.BytesIO(fresh)))
        except (OSError, ValueError):
            return False
    return stored == fresh


_FOLDERS = {ENTRIES: ".json", evidence.FOLDER: ".json", PAGES: ".html"}
"""Folders of files that belong to entries, and how their names end."""


def _belongs(name: str) -> str:
    """A pattern of the files that belong to an entry, whose own file is named."""
    place = name.removeprefix(f"{ENTRIES}/").removesuffix(".json")
    return "|".join(re.escape(f"{of}/{place}{ending}") for of, ending in _FOLDERS.items())


class Board:
    """A board in a folder, which may hold other files too.

    Args:
        root: The folder.
        notice: Receives a line, such as that another process is waited for.
    """

    def __init__(self, root: Path, notice: Callable[[str], None] = lambda _: None) -> None:
        self.root, self.notice = root, notice

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with writing(self.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / LOCK)
            try:
                lock.acquire(timeout=0)
            except Timeout:
                self.notice(f"waiting for another process that writes {self.root}")
                lock.acquire()
        try:
            self._finish()
            yield
        finally:
            lock.release()

    def _finish(self) -> None:
        """Moves a committed change into place and removes uncommitted ones."""
        pending = self.root / PENDING
        with writing(self.root):
            if pending.is_dir():
                staged, gone = self._staged()
                for name in staged:
                    target = self.root / name
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(pending / name, target)
                for name in gone:  # the list itself goes last, with the folder
                    (self.root / name).unlink(missing_ok=True)
                shutil.rmtree(pending)
            for left in self.root.glob(f"{WRITING}*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)

    def _staged(self) -> tuple[list[str], list[str]]:
        """The files that a committed change writes and those that it removes.

        Raises:
            InputError: It names files that no change of a board touches: someone made it by hand.
        """
        pending = self.root / PENDING
        inside = [path for path in pending.rglob("*") if path.is_symlink() or not path.is_dir()]
        staged = sorted(str(path.relative_to(pending)) for path in inside if path != pending / GONE)
        listed = pending / GONE
        try:
            gone = json.loads(listed.read_text()) if listed.exists() else []
        except ValueError:
            gone = [GONE]
        sound = (
            not pending.is_symlink()
            and not any(path.is_symlink() for path in inside)
            and all(name in _WRITTEN or _ENTRY.fullmatch(name) for name in staged)
            and isinstance(gone, list)
            and all(isinstance(name, str) and _ENTRY.fullmatch(name) for name in gone)
        )
        if not sound:
            raise InputError(
                f"{pending} is not an unfinished change of this program. Inspect it, and remove it."
            )
        return staged, gone

    def _commit(self, contents: Contents, gone: list[str]) -> None:
        with writing(self.root):
            staged = Path(tempfile.mkdtemp(dir=self.root, prefix=WRITING))
        try:
            for name, content in contents.items():
                write(staged / name, content)
            write(staged / GONE, json.dumps(gone))
            os.chmod(staged, 0o755)
            with writing(self.root):
                staged.rename(self.root / PENDING)
        except BaseException:
            shutil.rmtree(staged, ignore_errors=True)
            raise
        self._finish()

    def _changed(self, contents: Contents) -> Contents:
        """What differs from the files that there are."""
        return {
            name: content
            for name, content in contents.items()
            if not (path := self.root / name).is_file() or path.read_bytes() != content
        }

    def standings(self) -> Standings:
        """How the board's entries stand. Raises as `entries` and `outcomes.read`."""
        return Standings(self._outcomes(self.entries()))

    def entries(self) -> list[Entry]:
        """All entries, by track and id.

        Raises:
            InputError: One does not fit the schema, was changed, or lies in the wrong place.
        """
        if (self.root / PENDING).is_dir():
            with self._locked():
                pass
        return entries.read(self.root / ENTRIES)

    def put(
        self,
        new: list[Entry],
        outcomes: Mapping[str, Outcomes] | None = None,
        *,
        only: bool = False,
        replace: bool = False,
        again: bool = False,
    ) -> list[Path]:
        """Adds entries, replacing those with the same track and id.

        Their pages are rendered, and what is rendered from all entries.

        Args:
            new: The sealed entries.
            outcomes: By the entry's id, those of the new entries that state some.
            only: Whether all other entries are removed.
            replace: Whether a submission may replace one of the same model with another card, or
                bring back a retracted model.
            again: Whether the pages of all entries are rendered, and stray ones removed.

        Returns:
            The files rendered from all entries.

        Raises:
            InputError: The board cannot be written, an entry on it is invalid, entries contradict
                each other, or a submission would replace another model or another's card, or was
                retracted. The board is then unchanged.
        """
        with self._locked():
            old = {} if only else {self._place(e): e for e in entries.read(self.root / ENTRIES)}
            replaced: set[str] = set()
            known = retractions.read(self.root)
            retracted = self._left_retracted(known, new, replace)
            for entry in new:
                self._check_replaced(old.get(self._place(entry)), entry)
                replaced |= self._same_model(old, entry, replace)
            old = {name: entry for name, entry in old.items() if name not in replaced}
            # as they will be read: in the file's order of keys, too
            added = {
                self._place(e): entries.loads(entries.dumps(e).encode(), self._place(e))
                for e in new
            }
            everything = old | added
            brought = self._brought(new, outcomes or {})
            standing = self._outcomes(e for name, e in everything.items() if name not in added)
            files = rendered(
                [everything[name] for name in sorted(everything)],
                standing | brought,
                links.read(self.root),
                retracted,
            )
            if retracted != known:
                files[retractions.FILE] = retractions.dumps(retracted)
            behind = {
                evidence.path(e): evidence.dumps(brought[entries.place(e)])
                for e in new
                if entries.place(e) in brought
            }
            kept = set(everything) | {evidence.path(e) for e in everything.values() if e.outcomes}
            kept |= {page_of(e) for e in everything.values()}
            old_pages = (e for name, e in everything.items() if name not in added)
            shown = pages(e for e in old_pages if again or not (self.root / page_of(e)).exists())
            shown |= pages(added.values())
            there = {
                str(path.relative_to(self.root))
                for folder, ending in _FOLDERS.items()
                for path in (self.root / folder).rglob(f"*{ending}")
            }
            belong = re.compile("|".join(map(_belongs, replaced)) or r"(?!)")
            leaving = there if only or again else {n for n in there if belong.fullmatch(n)}
            gone = sorted(name for name in leaving - kept if _ENTRY.fullmatch(name))
            written = {name: entries.dumps(e).encode() for name, e in added.items()}
            self._commit(self._changed(written | behind | shown | files), gone)
        return [self.root / name for name in files]

    def _outcomes(self, of: Iterable[Entry]) -> dict[str, Outcomes]:
        """The outcomes on the board, by the entry's place.

        Raises:
            InputError: As `outcomes.read`.
        """
        found = {entries.place(entry): evidence.read(self.root, entry) for entry in of}
        return {place: outcomes for place, outcomes in found.items() if outcomes}

    def _brought(self, new: list[Entry], given: Mapping[str, Outcomes]) -> dict[str, Outcomes]:
        """The outcomes of new entries, by place: those given, else those on the board.

        Raises:
            InputError: An entry states outcomes that are neither.
        """
        brought = {}
        for entry in new:
            found = given.get(entry.id)
            if entry.outcomes is None:
                continue
            if found is not None and evidence.digest(found) != entry.outcomes:
                raise InputError(f"Entry {entry.id} states other outcomes than those given.")
            brought[entries.place(entry)] = found or evidence.read(self.root, entry)
        return {place: outcomes for place, outcomes in brought.items() if outcomes}

    def render(self) -> list[Path]:
        """Renders everything again. Returns the files rendered from all entries.

        Raises as `put`.
        """
        return self.put([], again=True)

    def rule_out(self, place: str, flag: str, reason: str) -> list[Path]:
        """States of a flag that it does not apply to an entry, and renders everything.

        Args:
            place: The entry, as `entry.place` gives it, with or without the version and `.json`.
            flag: The flag's name.
            reason: Why.

        Returns:
            The rendered files.

        Raises:
            InputError: There is no such entry, or not that one alone; it does not have the flag;
                the reason is empty or too long; or as `put`.
        """
        entry = self._named(place, self.entries())
        if flag not in {raised.name for raised in entry.flags}:
            has = ", ".join(raised.name for raised in entry.flags) or "none"
            raise InputError(f"{place} does not have the flag {flag}. Its flags: {has}.")
        return self.put([entries.ruled_out(entry, flag, reason)])

    def retract(self, place: str, reason: str) -> list[Path]:
        """Removes a submission, records why, and renders everything.

        Args:
            place: The entry, as for `rule_out`.
            reason: Why.

        Returns:
            The files written.

        Raises:
            InputError: There is no such entry, or not that one alone; it is of the reference grid;
                the reason is empty or too long; or as `put`.
        """
        with self._locked():
            board = entries.read(self.root / ENTRIES)
            entry = self._named(place, board)
            if entry.role != "submission":
                raise InputError(
                    f"{place} is a {entry.role} network, not a submission. `reference` and"
                    " `baselines` measure these again."
                )
            left = [e for e in board if e is not entry]
            known = [*retractions.read(self.root), retractions.of(entry, reason)]
            written = rendered(left, self._outcomes(left), links.read(self.root), known)
            written[retractions.FILE] = retractions.dumps(known)
            gone = [self._place(entry), evidence.path(entry), page_of(entry)]
            self._commit(
                self._changed(written), [name for name in gone if (self.root / name).exists()]
            )
        return [self.root / name for name in written]

    @staticmethod
    def _named(place: str, board: list[Entry]) -> Entry:
        """The one entry of a name, with or without the version and `.json`."""
        named = {entries.place(e): e for e in board}
        found = [e for name, e in named.items() if place in (name, name.rsplit("-v", 1)[0])]
        if len(found) != 1:
            versions = ", ".join(entries.place(e) for e in found)
            raise InputError(
                f"The board has several entries {place}: {versions}. Name one."
                if found
                else f"The board has no entry {place}."
            )
        return found[0]

    @staticmethod
    def _left_retracted(
        known: list[Retraction], new: list[Entry], replace: bool
    ) -> list[Retraction]:
        """The known retractions without those of new submissions.

        Raises:
            InputError: A new submission was retracted, and may not replace that.
        """
        submitted = [entry for entry in new if entry.role == "submission"]
        back = [one for entry in submitted for one in retractions.standing(entry, known)]
        if back and not replace:
            raise InputError(
                f"This model was retracted as {back[0].place}: '{back[0].because}'. The board's"
                " maintainer can put it back: submit it with --replace."
            )
        return [one for one in known if one not in back]

    def _check_replaced(self, old: Entry | None, new: Entry) -> None:
        """Refuses another model under the same id."""
        if old is None or old.role == new.role != "submission":  # a grid trained again
            return
        if old.model.sha256 != new.model.sha256:
            raise InputError(
                f"The board has another model with the id {new.track.name}/{new.id}. Give this one"
                " another name."
            )

    def _same_model(self, old: dict[str, Entry], new: Entry, replace: bool) -> set[str]:
        """Places of submissions of the same model to the same track, with another card.

        Raises:
            InputError: There are some, and they may not be replaced.
        """
        same = {
            name: entry
            for name, entry in old.items()
            if entry.role == new.role == "submission"
            and entry.track == new.track
            and entry.model.sha256 == new.model.sha256
            and entry.card != new.card
        }
        for entry in same.values():
            known = f"'{entry.card.name}' by {', '.join(entry.card.authors)}"
            if not replace:
                raise InputError(
                    f"The same model is on the board as {known}. The board's maintainer can"
                    " replace its card: submit it with --replace."
                )
            self.notice(f"the same model was on the board as {known}; this entry replaces it")
        return set(same)

    def check(self) -> list[str]:
        """What is wrong: invalid entries, rendered files that differ from a fresh rendering."""
        wrong = self._differences()
        # once more where anything is: another process may have changed the board meanwhile
        return self._differences() if wrong else wrong

    def _differences(self) -> list[str]:
        try:
            board = self.entries()
            contents = rendered(
                board,
                self._outcomes(board),
                links.read(self.root),
                retractions.read(self.root),
            )
            contents |= pages(board)
        except InputError as error:
            return [str(error)]
        wrong = []
        for name, fresh in contents.items():
            path = self.root / name
            if not path.exists() or not _same(name, path.read_bytes(), fresh):
                wrong.append(
                    f"{path} differs from what its entries give. Render it again: run_benchmark.py"
                    " leaderboard."
                )
        return wrong

    @staticmethod
    def _place(entry: Entry) -> str:
        return f"{ENTRIES}/{entries.place(entry)}"
