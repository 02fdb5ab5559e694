"""What the runner needs of workers, whoever they are: threads here, or Ray's elsewhere."""

import signal
import threading
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple, Protocol, Self

from pellucid.benchmark.units.unit import Unit

LOSSES = 3
"""Workers that may be lost with one unit before the run gives up: it may be what kills them."""


class Observer(Protocol):
    """Told of a run's course."""

    def started(self, unit: Unit) -> None:
        """A unit's work begins."""

    def finished(self, unit: Unit, seconds: float) -> None:
        """A unit's result is stored."""

    def lost(self, unit: Unit, worker: str) -> None:
        """A unit's worker is lost; the unit is computed again."""

    def given_up(self, units: list[Unit]) -> None:
        """These units are not computed: the first failed, the others need it."""

    def waiting(self) -> None:
        """Called several times a second."""


class Ended(NamedTuple):
    """How the work on a unit ended.

    Attributes:
        unit: The unit.
        seconds: How long it took, its result being stored; None where it is not.
        error: What it raised; None where its worker was lost.
        worker: The lost worker; its `str` names it.
    """

    unit: Unit
    seconds: float | None
    error: BaseException | None = None
    worker: Hashable = None


class Pool(Protocol):
    """Workers that compute units and store the results.

    Attributes:
        workers: Units at a time.
        holds: How many things that units share, as ranks, the workers hold together; None where
            each worker holds its own.
    """

    workers: int
    holds: int | None

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def busy(self) -> bool:
        """Whether a unit is under way."""

    @property
    def at_once(self) -> int:
        """How many units that share their ranks one worker computes together."""

    def free(self) -> list[Hashable]:
        """Workers without work."""

    def start(self, worker: Hashable, units: list[Unit]) -> None:
        """Begins units on a free worker: one, or several that share their ranks."""

    def wait(self, timeout: float) -> list[Ended]:
        """The units that ended since the last call; waits at most `timeout` seconds for one."""


@contextmanager
def interruptible() -> Iterator[Callable[[], None]]:
    """Remembers Ctrl-C, whose exception is lost where it strikes inside a destructor.

    Yields:
        A check that raises `KeyboardInterrupt` where Ctrl-C was pressed.
    """
    pressed = threading.Event()

    def remember(_: int, frame: FrameType | None) -> None:
        pressed.set()
        raise KeyboardInterrupt

    def check() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    in_main_thread = threading.current_thread() is threading.main_thread()
    ours = in_main_thread and signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if ours:
        signal.signal(signal.SIGINT, remember)
    try:
        yield check
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)
