"""Runs the units of a plan that are not done, side by side: in threads of this process, or on Ray (`ray_workers`)."""

import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Hashable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType
from typing import NamedTuple, Protocol, Self

from robust_interpretability.benchmark import environment
from robust_interpretability.benchmark.execution.schedule import Schedule
from robust_interpretability.benchmark.units.context import Context
from robust_interpretability.benchmark.units.kinds import perform, units_at_once
from robust_interpretability.benchmark.units.plan import Plan, Unit
from robust_interpretability.benchmark.units.store import Store
from robust_interpretability.models import backend
from robust_interpretability.models.errors import InputError

LOSSES = 3
"""Workers that may be lost with the same unit before the run gives up: the unit itself may be what kills them."""


class Observer(Protocol):
    """Told of a run's course."""

    def started(self, unit: Unit) -> None:
        """A unit's work begins."""

    def finished(self, unit: Unit, seconds: float) -> None:
        """A unit's result is stored."""

    def lost(self, unit: Unit, worker: str) -> None:
        """The worker that did a unit is gone; the unit is done again."""

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
    """Workers that do units and store the results.

    Attributes:
        workers: Units at a time.
    """

    workers: int

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...

    @property
    def busy(self) -> bool:
        """Whether a unit is under way."""

    def free(self) -> list[Hashable]:
        """Workers without work; None, once for each, where they hold everything together."""

    @property
    def at_once(self) -> int:
        """How many units that share their ranks one worker does together."""

    def start(self, worker: Hashable, units: list[Unit]) -> None:
        """Begins units on a free worker: one, or several that share their ranks."""

    def wait(self, timeout: float) -> list[Ended]:
        """The units that ended since the last call; waits for one at most `timeout` seconds."""


class Threads:
    """Threads of this process, which share data, models and ranks.

    A thread a core: TensorFlow leaves Python's lock while a program runs, and uses one thread
    inside an operation (see `models.backend.configure`), so small networks fill the machine and
    sums have one order. On an accelerator, one.

    Args:
        workers: Units at a time; `default_workers()` where not given.
        store: Where results go.
        context: What units share.
        work: Does units that are done together; tests put another in its place.
    """

    def __init__(
        self, workers: int | None, store: Store, context: Context, work: Callable = perform
    ) -> None:
        self.workers = workers or default_workers()
        self.store, self.context, self.work = store, context, work
        self.here = environment.collect()
        self.at_once = units_at_once()
        self.threads = ThreadPoolExecutor(self.workers, thread_name_prefix="unit")
        self.running: dict[Future, list[Unit]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)

    @property
    def busy(self) -> bool:
        """Whether a unit is under way."""
        return bool(self.running)

    def free(self) -> list[Hashable]:
        """None for each idle thread."""
        return [None] * (self.workers - len(self.running))

    def _perform(self, units: list[Unit]) -> list[float]:
        return perform_and_store(units, self.context, self.store, self.here, self.work)

    def start(self, worker: Hashable, units: list[Unit]) -> None:
        """Begins units."""
        self.running[self.threads.submit(self._perform, units)] = units

    def wait(self, timeout: float) -> list[Ended]:
        """The units that ended."""
        ended, _ = wait(self.running, timeout=timeout, return_when=FIRST_COMPLETED)
        out = []
        for future in ended:
            units, error = self.running.pop(future), future.exception()
            seconds = [None] * len(units) if error else future.result()
            out += [Ended(unit, taken, error) for unit, taken in zip(units, seconds, strict=True)]
        return out


def perform_and_store(
    units: list[Unit], context: Context, store: Store, here: dict, work: Callable = perform
) -> list[float]:
    """Does units together, stores their results, and returns the seconds that each took: of several, its share."""
    start = time.perf_counter()
    results = work(units, context)
    seconds = (time.perf_counter() - start) / len(units)
    for unit, result in zip(units, results, strict=True):
        store.put(unit, result, environment=here, seconds=seconds)
    return [seconds] * len(units)


@contextmanager
def _interruptible() -> Iterator[Callable[[], None]]:
    """Remembers Ctrl-C: what it raises is lost where it strikes inside a destructor or a library that clears errors.

    Yields:
        A check that raises `KeyboardInterrupt` where one was pressed.
    """
    pressed = threading.Event()

    def remember(_: int, frame: FrameType | None) -> None:
        pressed.set()
        raise KeyboardInterrupt

    def check() -> None:
        if pressed.is_set():
            raise KeyboardInterrupt

    ours = threading.current_thread() is threading.main_thread() and (
        signal.getsignal(signal.SIGINT) is signal.default_int_handler
    )
    if ours:
        signal.signal(signal.SIGINT, remember)
    try:
        yield check
    finally:
        if ours:
            signal.signal(signal.SIGINT, signal.default_int_handler)


def default_workers() -> int:
    """One for an accelerator, else one a core."""
    return 1 if backend.has_accelerator() else os.cpu_count() or 1


def run(plan: Plan, done: set[str], pool: Pool, observer: Observer) -> None:
    """Runs all units that are not in `done`, each after what it needs.

    Args:
        plan: The plan.
        done: Keys of the units whose results are stored.
        pool: Who does the work; entered and left here.
        observer: Told of units as they begin and end, from this thread.

    Raises:
        Exception: What the first failing unit raised. Units under way end first, and their results
            are kept.
        InputError: A unit's worker was lost for the third time.
    """
    schedule = Schedule(plan.units, done)
    failure: BaseException | None = None
    losses: Counter[str] = Counter()
    with pool, _interruptible() as check_interrupt:
        while pool.busy or (len(schedule) and failure is None):
            check_interrupt()
            for worker in pool.free() if failure is None else ():
                if units := schedule.take(worker, pool.at_once):
                    for unit in units:
                        observer.started(unit)
                    pool.start(worker, units)
            for unit, seconds, error, worker in pool.wait(0.25):
                if seconds is not None:
                    schedule.finish(unit)
                    observer.finished(unit, seconds)
                elif error is not None:
                    failure = failure or error
                else:
                    observer.lost(unit, str(worker))
                    schedule.forget(worker)
                    schedule.give_back(unit)
                    losses[unit.key] += 1
                    if losses[unit.key] == LOSSES:
                        failure = failure or InputError(
                            f"'{unit.kind} {unit.label}' lost its worker {LOSSES} times, the last"
                            f" time {worker}. It may need more memory than a worker has. What is"
                            " done is kept."
                        )
            observer.waiting()
    if failure is not None:
        raise failure
