"""What a user sees while work is under way: how far it is and how long it will still take."""

import itertools
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Literal, Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)

from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.unit import Unit
from pellucid.models import compiling
from pellucid.models.errors import printable

BETWEEN_UPDATES = 0.2
"""Seconds between two updates of a live bar."""
BETWEEN_LINES = 10.0
"""Seconds between two plain lines."""
OVERRUN = 0.25
"""Of the seconds of a unit that takes longer than estimated: what it may take beyond them."""
WORTH_A_LINE = 1.0
"""Seconds that programs are compiled before a plain line says so."""


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


def countdown(seconds: float) -> str:
    """As `duration`, to the second, so that it is seen to fall: `3 h 31 min 20 s`."""
    minutes, second = divmod(round(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    parts = ((days, "d"), (hour, "h"), (minute, "min"), (second, "s"))
    first = next((i for i, (value, _) in enumerate(parts) if value), len(parts) - 1)
    return " ".join(f"{value} {unit}" for value, unit in parts[first:])


def _not_a_terminal(stream: TextIO) -> Literal[False] | None:
    """What Rich is told of a stream: FORCE_COLOR, which notebooks set, makes no terminal of it."""
    return None if stream.isatty() else False


def stdout(width: int | None = None) -> Console:
    """Where a command writes.

    Args:
        width: Columns where it is no terminal; by default Rich's.
    """
    terminal = _not_a_terminal(sys.stdout)
    return Console(force_terminal=terminal, width=width if terminal is False else None)


def stderr(verbose: bool) -> Console:
    """Where a function called from Python shows its progress; in a notebook, as plain lines too."""
    terminal = _not_a_terminal(sys.stderr)
    return Console(stderr=True, quiet=not verbose, force_jupyter=False, force_terminal=terminal)


class TimeLeft:
    """The time left, from the seconds that finished units took per unit of cost, kind by kind.

    It is worked out anew when a unit ends, and counts down in between.

    Args:
        workers: Units at a time.
        clock: Tells the time in seconds.
    """

    def __init__(self, workers: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.workers = workers
        self.clock = clock
        self.cost: dict[str, float] = defaultdict(float)
        self.seconds: dict[str, float] = defaultdict(float)
        self.running: dict[str, float] = {}
        self.began = self.at = clock()
        self.estimate: tuple[float, bool] | None = None

    def started(self, unit: Unit) -> None:
        """A unit's computation begins."""
        self.running[unit.key] = self.clock()

    def add(self, unit: Unit, seconds: float) -> None:
        """Records the seconds that a unit took."""
        self.cost[unit.kind.name] += unit.cost
        self.seconds[unit.kind.name] += seconds
        self.ended(unit)

    def ended(self, unit: Unit) -> None:
        """A unit's computation has ended, one way or another."""
        self.running.pop(unit.key, None)

    def left(self, units: list[Unit]) -> tuple[float, bool] | None:
        """Seconds for these units, and whether units of every kind among them have been timed.

        A kind that has not been timed is assumed to take as long per unit of cost as all that have.
        The workers share the work, but no number of them shortens a chain of units that need each
        other. None before the first unit has been timed.

        Args:
            units: All that are not done, each after those of them that it needs.
        """
        if not self.cost:
            return None
        pace = sum(self.seconds.values()) / max(sum(self.cost.values()), 1e-9)
        total, longest, known, now = 0.0, 0.0, True, self.clock()
        behind: dict[str, float] = {}
        for unit in reversed(units):
            kind = unit.kind.name
            known = known and kind in self.cost
            each = self.seconds[kind] / max(self.cost[kind], 1e-9) if kind in self.cost else pace
            seconds = unit.cost * each
            if unit.key in self.running:
                took = now - self.running[unit.key]
                seconds = max(seconds - took, OVERRUN * took)
            total += seconds
            chain = seconds + behind.get(unit.key, 0.0)
            longest = max(longest, chain)
            for need in unit.needs:
                behind[need] = max(behind.get(need, 0.0), chain)
        return max(total / self.workers, longest), known

    def renew(self, units: list[Unit]) -> None:
        """Works the estimate out anew; `units` as for `left`."""
        self.estimate, self.at = self.left(units), self.clock()

    def text(self) -> str:
        """The estimate in words, less the time since it was worked out.

        It is `roughly` while a kind of unit that is left has not been timed.
        """
        now = self.clock()
        if self.estimate is None:
            so_far = now - self.began
            return "estimating the time" + (f", {countdown(so_far)} so far" if so_far >= 1 else "")
        seconds, known = self.estimate
        left = seconds - (now - self.at)
        if left <= -1:
            return f"{countdown(-left)} longer than estimated"
        return f"{'about' if known else 'roughly'} {countdown(max(left, 0.0))} left"


class _Display:
    """A live bar on a terminal; elsewhere, plain lines from time to time.

    Args:
        console: Where to write.
        every: Seconds between plain lines.
        notes: What a bar shows at its end.
    """

    def __init__(self, console: Console, every: float, *notes: ProgressColumn) -> None:
        self.console, self.every, self.notes = console, every, notes
        self.last_shown = 0.0
        self.bar: Progress | None = None

    def __enter__(self) -> Self:
        if self.console.is_terminal:
            self.bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(bar_width=None),
                MofNCompleteColumn(),
                *self.notes,
                console=self.console,
                transient=True,
                expand=True,
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
    """Shows the progress of each attack of an ensemble, and the time that it still takes.

    Args:
        console: Where to write.
        images: How many images there are.
        every: Seconds between plain lines.
        clock: Tells the time in seconds.
    """

    def __init__(
        self,
        console: Console,
        images: int,
        every: float = BETWEEN_LINES,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        successes = TextColumn("{task.fields[successes]} attacked successfully")
        super().__init__(console, every, successes, TimeRemainingColumn(compact=True))
        self.images = images
        self.clock = clock
        self.seconds: dict[str, float] = defaultdict(float)
        self.updated = clock()
        self.done: dict[str, int] = defaultdict(int)
        self.successes: dict[str, int] = defaultdict(int)
        self.tasks: dict[str, TaskID] = {}
        self.compiling: TaskID | None = None
        self.last_shown = time.monotonic()

    def __enter__(self) -> Self:
        super().__enter__()
        if self.bar:
            self.compiling = self.bar.add_task("compiling the attacks", total=None, successes=0)
        else:
            self.print("compiling the attacks")
        return self

    def update(self, attack: str, done: int, successes: int) -> None:
        """An attack has finished with `done` more images; for `successes` of them it succeeded."""
        self.updated, before_it = self.clock(), self.updated
        self.seconds[attack] += self.updated - before_it
        self.done[attack] += done
        self.successes[attack] += successes
        before = itertools.takewhile(lambda name: name != attack, self.successes)
        most = self.images - sum(self.successes[name] for name in before)
        if self.bar:
            if self.compiling is not None:
                self.bar.remove_task(self.compiling)
                self.compiling = None
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
                f" {self.successes[attack]:,} attacked successfully{self._left(attack, most)}"
            )

    def _left(self, attack: str, most: int) -> str:
        """The time that an attack takes for the images that are left, at its pace so far."""
        if not self.done[attack] or most <= self.done[attack]:
            return ""
        pace = self.seconds[attack] / self.done[attack]
        return f", about {countdown((most - self.done[attack]) * pace)} left of this attack"


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
        super().__init__(console, every, TextColumn("{task.fields[left]}"))
        self.left = {unit.key: unit for unit in plan.units if unit.key not in done}
        self.total = len(plan.units)
        self.estimate = TimeLeft(workers)
        self.stage = "starting"
        self.compiling_since: float | None = None
        self.said_compiling = False
        self.task: TaskID | None = None

    def __enter__(self) -> Self:
        super().__enter__()
        if self.bar:
            done = self.total - len(self.left)
            self.task = self.bar.add_task(self.stage, total=self.total, completed=done, left="")
        return self

    def started(self, unit: Unit) -> None:
        """The computation of a unit begins."""
        self.estimate.started(unit)
        if unit.kind.stage != self.stage:
            self.stage = unit.kind.stage
            self._show(force=True)

    def finished(self, unit: Unit, seconds: float) -> None:
        """A unit's result is stored."""
        self.estimate.add(unit, seconds)
        self.left.pop(unit.key, None)
        self._renew()
        self._show(force=not self.left)

    def given_up(self, units: list[Unit]) -> None:
        """These units are not computed: the first failed, the others need it."""
        for unit in units:
            self.estimate.ended(unit)
            self.left.pop(unit.key, None)
        self._renew()

    def lost(self, unit: Unit, worker: str) -> None:
        """The worker that computed a unit is gone."""
        self.estimate.ended(unit)
        self.print(f"lost: {worker}; '{unit.kind.name} {unit.label}' is done again")

    def waiting(self) -> None:
        """Time passes."""
        self._show()

    def _renew(self) -> None:
        self.estimate.renew(list(self.left.values()))

    def _compiling(self) -> bool:
        """Whether programs are compiled; plain lines say so where it takes a while."""
        now = time.monotonic()
        if not compiling.anywhere():
            self.compiling_since, self.said_compiling = None, False
            return False
        self.compiling_since = self.compiling_since or now
        return self.bar is not None or now - self.compiling_since >= WORTH_A_LINE

    def _show(self, force: bool = False) -> None:
        compiles = self._compiling()
        news = compiles and not self.said_compiling and self.bar is None
        if not self.due(0 if force or news else BETWEEN_UPDATES if self.bar else self.every):
            return
        self.said_compiling = compiles
        done = self.total - len(self.left)
        stage = f"{self.stage}, compiling" if compiles else self.stage
        left = self.estimate.text() if self.left else "all done"
        if self.bar and self.task is not None:
            self.bar.update(self.task, completed=done, description=stage, left=left)
        else:
            self.print(f"[{done}/{self.total}] {stage}, {left}")
