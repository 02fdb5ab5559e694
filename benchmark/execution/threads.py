"""Workers that are threads of this process and share data, models and ranks."""

import os
from collections.abc import Callable, Hashable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import Self

from pellucid.benchmark.execution.pool import Ended
from pellucid.benchmark.units.unit import Unit
from pellucid.models import backend


def default_workers() -> int:
    """One for an accelerator, else one per core."""
    return 1 if backend.has_accelerator() else os.cpu_count() or 1


class Threads:
    """A thread per core; with an accelerator, one.

    TensorFlow releases Python's lock while a program runs, and uses one thread inside an operation
    (see `models.backend.configure`), so small networks fill the machine and sums have one order.

    Args:
        workers: Units at a time; `default_workers()` where not given.
        work: Computes and stores units; returns the seconds of each.
        at_once: How many units that share their ranks one thread computes together.
        holds: How many things that units share the threads hold together; None for any number.
    """

    def __init__(
        self,
        workers: int | None,
        work: Callable[[list[Unit]], list[float]],
        at_once: int = 1,
        holds: int | None = None,
    ) -> None:
        self.workers = workers or default_workers()
        self.work = work
        self.at_once, self.holds = at_once, holds
        self.threads = ThreadPoolExecutor(self.workers, thread_name_prefix="unit")
        self.running: dict[Future, tuple[Hashable, list[Unit]]] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.threads.shutdown(wait=False, cancel_futures=True)

    @property
    def busy(self) -> bool:
        """Whether a unit is under way."""
        return bool(self.running)

    def free(self) -> list[Hashable]:
        """The numbers of idle threads."""
        busy = {worker for worker, _ in self.running.values()}
        return [number for number in range(self.workers) if number not in busy]

    def start(self, worker: Hashable, units: list[Unit]) -> None:
        """Begins units."""
        self.running[self.threads.submit(self.work, units)] = worker, units

    def wait(self, timeout: float) -> list[Ended]:
        """The units that ended."""
        ended, _ = wait(self.running, timeout=timeout, return_when=FIRST_COMPLETED)
        out = []
        for future in ended:
            (_, units), error = self.running.pop(future), future.exception()
            seconds = [None] * len(units) if error else future.result()
            out += [Ended(unit, taken, error) for unit, taken in zip(units, seconds, strict=True)]
        return out
