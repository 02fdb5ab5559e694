"""Runs the units of a plan that are not done, side by side in this process.

A thread a core: TensorFlow leaves Python's lock while a program runs, and uses one thread inside an operation (see
`models.backend.configure`), so small networks fill the machine and sums have one order. On an accelerator, one thread.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from types import FrameType
from typing import Protocol

from benchmark import environment
from benchmark.plan import Plan, Unit
from benchmark.store import Store
from benchmark.units import Context, perform
from models import backend


class Observer(Protocol):
    """Told of a run's course."""

    def started(self, unit: Unit) -> None:
        """A unit's work begins."""

    def finished(self, unit: Unit, seconds: float) -> None:
        """A unit's result is stored."""

    def waiting(self) -> None:
        """Called several times a second."""


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


def run(
    plan: Plan,
    done: set[str],
    store: Store,
    context: Context,
    observer: Observer,
    *,
    workers: int | None = None,
    work: Callable = perform,
) -> None:
    """Runs all units that are not in `done`, each after what it needs.

    Args:
        plan: The plan.
        done: Keys of the units whose results are stored.
        store: Where results go.
        context: What units share.
        observer: Told of units as they begin and end, from this thread.
        workers: Units at a time; `default_workers()` where not given.
        work: Does one unit; tests put another in its place.

    Raises:
        Exception: What the first failing unit raised. Units under way end first, and their results are kept.
    """
    finished = set(done)
    left = [unit for unit in plan.units if unit.key not in finished]
    here = environment.collect()
    limit = workers or default_workers()

    def perform_and_store(unit: Unit) -> float:
        start = time.perf_counter()
        result = work(unit, context)
        seconds = time.perf_counter() - start
        store.put(unit, result, environment=here, seconds=seconds)
        return seconds

    pool = ThreadPoolExecutor(limit, thread_name_prefix="unit")
    running: dict[Future, Unit] = {}
    failure: BaseException | None = None
    try:
        with _interruptible() as check_interrupt:
            while running or (left and failure is None):
                check_interrupt()
                if failure is None:
                    at = 0
                    while len(running) < limit and at < len(left):
                        if finished.issuperset(left[at].needs):
                            unit = left.pop(at)
                            observer.started(unit)
                            running[pool.submit(perform_and_store, unit)] = unit
                        else:
                            at += 1
                ended, _ = wait(running, timeout=0.25, return_when=FIRST_COMPLETED)
                for future in ended:
                    unit = running.pop(future)
                    if error := future.exception():
                        failure = failure or error
                    else:
                        finished.add(unit.key)
                        observer.finished(unit, future.result())
                observer.waiting()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
    if failure is not None:
        raise failure
