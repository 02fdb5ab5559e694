"""A run's folder: who may write in it, and what a fresh run removes."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from pellucid.benchmark.config.names import CONFIG, ENVIRONMENT
from pellucid.benchmark.execution.failures import FOLDER as FAILED
from pellucid.models.errors import InputError
from pellucid.models.files import WRITING

WRITTEN = (
    "units",
    "models",
    "results",
    "figures",
    "leaderboard",
    FAILED,
    "data.json",
    ENVIRONMENT,
    CONFIG,
)
"""What a run writes. Its configuration, which marks the folder as a run's, is removed last."""
LOCK = ".lock"
MARKS = (CONFIG, "evaluations")
"""What shows that a folder is this program's to write in."""


@contextmanager
def locked(out: Path, *, wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Holds a folder for this process; the folder is made if need be.

    The lock is the operating system's: a killed process holds nothing.

    Args:
        out: The folder.
        wait: Wait for another process that holds it, after saying so in a line; by default,
            refuse.

    Raises:
        InputError: Another process holds it, it cannot be written, or it does not hold a run.
    """
    existed = out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        names = (path.name for path in out.iterdir())
        inside = {name for name in names if not name.startswith((LOCK, WRITING))}
        if inside and not inside & set(MARKS):
            raise InputError(
                f"{out} is not empty and does not hold a run (it has no config.toml). Choose"
                " another folder with --out."
            )
        lock = FileLock(out / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            if wait is None:
                raise
            wait(f"waiting for another process at work in {out}")
            lock.acquire(timeout=-1)
    except Timeout:
        raise InputError(
            f"Another run is at work in {out}. Wait for it, or choose another folder with --out."
        ) from None
    except OSError as error:
        raise InputError(
            f"The output folder {out} cannot be written ({error.strerror})."
        ) from error
    try:
        yield
    finally:
        lock.release()
        if not existed and [path.name for path in out.iterdir()] == [LOCK]:
            # refused before anything was written
            (out / LOCK).unlink()
            out.rmdir()


def clear(out: Path) -> None:
    """Removes what a run has written; a user's own files stay."""
    for name in WRITTEN:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)
