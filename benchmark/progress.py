"""What a user sees while work is under way: how far it is and how long it will still take."""

import itertools
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.unit import Unit
from pellucid.models.errors import printable

BETWEEN_UPDATES = 0.2
"""Seconds between two updates of a live bar."""
BETWEEN_LINES = 10.0
"""Seconds between two plain lines."""


def duration(seconds: float) -> str:
    """As `45 s`, `3 min 20 s`, `2 h 5 min`, `12 d 3 h`."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds} s"
    if seconds < 3600:
        return f"{seconds // 60} min {seconds % 60} s"
    if seconds < 2 * 86400:
        return f"{seconds // 3600} h {seconds % 3600 // 60} min"
    return f"{seconds // 86400} d {seconds % 86400 // 3600} h"


def sayer(console: Console) -> Callable[[str], None]:
    """A function that prints a line as it is, whatever the names of files in it."""
    return lambda text: console.print(
        printable(text), markup=False, highlight=False, soft_wrap=True
    )


def stderr(verbose: bool) -> Console:
    """Where a function called from Python shows its progress; in a notebook, as plain lines too."""
    return Console(stderr=True, quiet=not verbose, force_jupyter=False)


class TimeLeft:
    """The time left, from the seconds that finished units took per unit of cost, kind by kind.

    Args:
        workers: Units at a time.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.cost: dict[str, float] = defaultdict(float)
        self.seconds: dict[str, float] = defaultdict(float)

    def add(self, unit: Unit, seconds: float) -> None:
        """Records the seconds that a unit took."""
        self.cost[unit.kind.name] += unit.cost
        self.seconds[unit.kind.name] += seconds

    def left(self, units: list[Unit]) -> tuple[float, bool] | None:
        """Seconds for these units, and whether units of every kind among them have been timed.

        A kind that has not been timed is assumed to take as long per unit of cost as all that have.
        None before the first unit has been timed.
        """
        if not self.cost:
            return None
        pace = sum(self.seconds.values()) / max(sum(self.cost.values()), 1e-9)
        total, known = 0.0, True
        for unit in units:
            kind = unit.kind.name
            if kind in self.cost:
                total += unit.cost * self.seconds[kind] / max(self.cost[kind], 1e-9)
            else:
                total, known = total + unit.cost * pace, False
        return total / self.workers, known

    def text(self, units: list[Unit]) -> str:
        """The estimate in words; `roughly` while a kind of unit among them has not been timed."""
        estimate = self.left(units)
        if estimate is None:
            return "estimating the time"
        seconds, known = estimate
        return f"{'about' if known else 'roughly'} {duration(seconds)} left"


class _Display:
    """A live bar on a terminal; elsewhere, plain lines from time to time.

    Args:
        console: Where to write.
        every: Seconds between plain lines.
        note: What a bar shows at its end: a template over the task's fields.
    """

    def __init__(self, console: Console, every: float, note: str) -> None:
        self.console, self.every, self.note = console, every, note
        self.last_shown = 0.0
        self.bar: Progress | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn(self.note),
                console=self.console,
                transient=True,
            )
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def due(self, seconds: float) -> bool:
        """Whether that much time has passed since something was last shown; if so, it is now."""
        now = time.monotonic()
        if now - self.last_shown < seconds:
            return False
        self.last_shown = now
        return True

    def print(self, line: str) -> None:
        """Prints a plain line."""
        sayer(self.console)(line)


class AttackDisplay(_Display):
    """Shows the progress of each attack of an ensemble.

    Args:
        console: Where to write.
        images: How many images there are.
        every: Seconds between plain lines.
    """

    def __init__(self, console: Console, images: int, every: float = BETWEEN_LINES) -> None:
        super().__init__(console, every, "{task.fields[successes]} attacked successfully")
        self.images = images
        self.done: dict[str, int] = defaultdict(int)
        self.successes: dict[str, int] = defaultdict(int)
        self.tasks: dict[str, TaskID] = {}
        self.last_shown = time.monotonic()

    def update(self, attack: str, done: int, successes: int) -> None:
        """An attack has finished with `done` more images; for `successes` of them it succeeded."""
        self.done[attack] += done
        self.successes[attack] += successes
        before = itertools.takewhile(lambda name: name != attack, self.successes)
        most = self.images - sum(self.successes[name] for name in before)
        if self.bar:
            if attack not in self.tasks:
                self.tasks[attack] = self.bar.add_task(attack, total=most, successes=0)
            self.bar.update(
                self.tasks[attack],
                completed=self.done[attack],
                total=most,
                successes=self.successes[attack],
            )
        elif self.due(self.every):
            self.print(
                f"{attack}: {self.done[attack]:,} of at most {most:,} images,"
                f" {self.successes[attack]:,} attacked successfully"
            )


class Display(_Display):
    """Shows the progress of a run: the stage, units done and left, the time left.

    Args:
        plan: The plan.
        done: Keys of units that were done before.
        workers: Units at a time.
        console: Where to write.
        every: Seconds between plain lines.
    """

    def __init__(
        self,
        plan: Plan,
        done: set[str],
        workers: int,
        console: Console,
        every: float = BETWEEN_LINES,
    ) -> None:
        super().__init__(console, every, "{task.fields[left]}")
        self.left = {unit.key: unit for unit in plan.units if unit.key not in done}
        self.total = len(plan.units)
        self.estimate = TimeLeft(workers)
        self.stage = "starting"
        self.task: TaskID | None = None

    def __enter__(self) -> Self:
        super().__enter__()
        if self.bar:
            done = self.total - len(self.left)
            self.task = self.bar.add_task(self.stage, total=self.total, completed=done, left="")
        return self

    def started(self, unit: Unit) -> None:
        """The computation of a unit begins."""
        if unit.kind.stage != self.stage:
            self.stage = unit.kind.stage
            self._show(force=True)

    def finished(self, unit: Unit, seconds: float) -> None:
        """A unit's result is stored."""
        self.estimate.add(unit, seconds)
        self.left.pop(unit.key, None)
        self._show(force=not self.left)

    def lost(self, unit: Unit, worker: str) -> None:
        """The worker that computed a unit is gone."""
        self.print(f"lost: {worker}; '{unit.kind.name} {unit.label}' is done again")

    def waiting(self) -> None:
        """Time passes."""
        self._show()

    def _show(self, force: bool = False) -> None:
        if not self.due(0 if force else BETWEEN_UPDATES if self.bar else self.every):
            return
        done = self.total - len(self.left)
        left = self.estimate.text(list(self.left.values()))
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=done, description=self.stage, left=left)
        else:
            self.print(f"[{done}/{self.total}] {self.stage}, {left if self.left else 'all done'}")
