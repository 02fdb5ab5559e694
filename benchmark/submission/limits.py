"""Bounds on the process that measures a submitted model: memory and wall-clock time.

A submission that passes every check may still cost more than it was estimated to. A thread watches
the process and ends it with one line; what is stored so far stays, and other runs of the folder can
go on at once, since locks are the operating system's.
"""

import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

from pellucid.models.errors import InputError

BASE, EACH = 4 << 30, 1 << 30
"""Bytes of resident memory that a process may take, and for each of its workers besides."""
SHARE = 0.25
"""Of the machine's memory, where that is more: large tracks hold much data of their own."""
LOOK = 0.2
"""Seconds between two looks."""
_STATUS = Path("/proc/self/statm")


def resident() -> int:
    """Bytes of memory that this process holds."""
    pages = int(_STATUS.read_text(encoding="ascii").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


def _silent(_: str) -> None:
    """Tells nobody."""


def _end(line: str, told: Callable[[str], None] = _silent) -> None:
    """Ends the process at once: its threads may be in a kernel that lasts for hours."""
    with suppress(Exception):  # whatever fails, the process ends
        told(line)
    sys.stdout.flush()
    sys.stderr.write(f"\nerror: {line}\n")
    sys.stderr.flush()
    os._exit(2)


@contextmanager
def watched(
    what: str, *, workers: int, hours: float, told: Callable[[str], None] = _silent
) -> Iterator[None]:
    """Ends this process where it exceeds its memory or its time.

    Args:
        what: What is measured, for the message.
        workers: Units at a time.
        hours: Wall-clock time at most.
        told: Receives the message before the process ends.

    Raises:
        InputError: This system does not tell how much memory a process holds.
    """
    if not _STATUS.exists():
        raise InputError("The memory of a submission can be watched on Linux alone.")
    machine = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    most = max(BASE + workers * EACH, int(SHARE * machine))
    until, over = time.monotonic() + 3600 * hours, threading.Event()

    def watch() -> None:
        while not over.wait(LOOK):
            if (held := resident()) > most:
                _end(
                    f"Measuring {what} took {held / 2**30:.1f} GiB of memory; at most"
                    f" {most / 2**30:.1f} GiB are allowed. Choose a smaller model.",
                    told,
                )
            if time.monotonic() > until:
                _end(
                    f"Measuring {what} took longer than {hours:g} hours. The same command resumes;"
                    " --max-hours allows more.",
                    told,
                )

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        over.set()


class Resources(NamedTuple):
    """What measuring a model may use.

    Attributes:
        data_dir: The TFDS folder.
        workers: Units at a time; one per core where not given.
        hours: Wall-clock time at most, by the estimate before it is begun, and while it lasts.
        weaker: Whether the model may be read on a system that confines less; see `confinement`.
        told: Receives the message where the process is ended for its memory or its time.
    """

    data_dir: str | None = None
    workers: int | None = None
    hours: float = 12.0
    weaker: bool = False
    told: Callable[[str], None] = _silent

    def watched(self, what: str) -> AbstractContextManager[None]:
        """Bounds on this process' memory and time."""
        from pellucid.benchmark.execution.threads import default_workers

        workers = self.workers or default_workers()
        return watched(what, workers=workers, hours=self.hours, told=self.told)
