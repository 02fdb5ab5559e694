"""The board: entries as files, and all that is rendered from them, changed together or not at all.

A change is staged whole in a folder beside the board, then committed by one rename of that folder; its files are moved
into place after that. A process killed before the rename leaves the old board and rubbish; one killed after it leaves
the new board, which whoever opens the board next finishes moving. A lock, the operating system's, keeps two changes
apart.
"""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
from filelock import FileLock, Timeout

from leaderboard import entry as entries
from leaderboard import render
from leaderboard.entry import Entry
from leaderboard.page import page
from models.errors import InputError
from models.files import WRITING, write, writing

ENTRIES = "entries"
PENDING = ".pending"
LOCK = ".lock"
GONE = "gone.json"
"""In a staged change: the files it removes."""

Contents = dict[str, bytes]


def rendered(found: list[Entry]) -> Contents:
    """Every file that follows from the entries, by its path in the board's folder."""
    return {
        "LEADERBOARD.md": render.markdown(found).encode(),
        "leaderboard.csv": render.csv(found).encode(),
        "leaderboard.parquet": render.parquet(found),
        "index.html": page(found).encode(),
        "entry.schema.json": (json.dumps(entries.schema(), indent=1, sort_keys=True) + "\n").encode(),
    }


def _same(name: str, stored: bytes, fresh: bytes) -> bool:
    """Whether two files say the same; Parquet names the version that wrote it, so its tables are compared."""
    if name.endswith(".parquet") and stored != fresh:
        try:
            return pd.read_parquet(io.BytesIO(stored)).equals(pd.read_parquet(io.BytesIO(fresh)))
        except (OSError, ValueError):
            return False
    return stored == fresh


class Board:
    """A board in a folder, which may hold other files too.

    Args:
        root: The folder.
        notice: Told, in a line, when another process is waited for.
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
        """Moves a committed change into place, and removes what was never committed."""
        pending = self.root / PENDING
        with writing(self.root):
            if pending.is_dir():
                gone = pending / GONE
                for path in sorted(p for p in pending.rglob("*") if p.is_file() and p != gone):
                    target = self.root / path.relative_to(pending)
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(path, target)
                for name in json.loads(gone.read_text()) if gone.exists() else []:  # it goes when all else is done
                    (self.root / name).unlink(missing_ok=True)
                shutil.rmtree(pending)
            for left in self.root.glob(f"{WRITING}*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)

    def _commit(self, contents: Contents, gone: list[str]) -> None:
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

    def entries(self) -> list[Entry]:
        """All entries, by track and id.

        Raises:
            InputError: One does not fit the schema, was changed by hand, or lies in the wrong place.
        """
        if (self.root / PENDING).is_dir():
            with self._locked():
                pass
        return entries.read(self.root / ENTRIES)

    def put(self, new: list[Entry], *, only: bool = False) -> list[Path]:
        """Adds entries, each in place of one with the same track and id, and renders everything.

        Args:
            new: The entries, sealed.
            only: Whether all others are removed.

        Returns:
            The rendered files.

        Raises:
            InputError: The board cannot be written, or an entry on it is not whole. The board is then the old one.
        """
        with self._locked():
            old = {} if only else {self._place(e): e for e in entries.read(self.root / ENTRIES)}
            # as they will be read: the order of keys, too, must be the file's
            added = {self._place(e): entries.loads(entries.dumps(e).encode(), self._place(e)) for e in new}
            everything = old | added
            files = rendered([everything[name] for name in sorted(everything)])
            there = {str(path.relative_to(self.root)) for path in (self.root / ENTRIES).rglob("*.json")}
            gone = sorted(there - set(everything)) if only else []
            self._commit({name: entries.dumps(e).encode() for name, e in added.items()} | files, gone)
        return [self.root / name for name in files]

    def render(self) -> list[Path]:
        """Renders everything again from the entries. Returns the rendered files. Raises as `put`."""
        return self.put([])

    def check(self) -> list[str]:
        """What is wrong with the board: entries that are not whole, rendered files that differ from a fresh render."""
        try:
            found = self.entries()
        except InputError as error:
            return [str(error)]
        wrong = []
        for name, fresh in rendered(found).items():
            path = self.root / name
            if not path.exists() or not _same(name, path.read_bytes(), fresh):
                wrong.append(f"{path} is not what its entries give. Render it again: run_benchmark.py leaderboard.")
        return wrong

    @staticmethod
    def _place(entry: Entry) -> str:
        return f"{ENTRIES}/{entry.track.name}/{entry.id}.json"
