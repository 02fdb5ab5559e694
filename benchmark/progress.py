"""What a user sees while a plan runs: the stage, units done and left, an estimate of the time left."""

import itertools
import time
from collections import defaultdict
from collections.abc import Callable

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from robust_interpretability.benchmark.units.plan import Plan, Unit
from robust_interpretability.models.errors import printable

STAGES = {
    "train": "training base models",
    "vae_gan": "training the manifold model",
    "accuracy": "measuring accuracy",
    "manifold": "measuring manifold distances",
    "pictures": "drawing gradients",
    "retrain": "retraining for ROAR and KAR",
    "tilt": "measuring the tilt of boundaries",
    "robustness": "attacking at rising radii",
    "autoattack": "attacking with AutoAttack",
    "submitted": "letting the model in",
    "agreement": "comparing bfloat16 with float32",
}


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
    """What prints a line as it is, whatever file names in it hold."""
    return lambda text: console.print(
        printable(text), markup=False, highlight=False, soft_wrap=True
    )


class Estimate:
    """The time left, from what units took per unit of cost, kind by kind.

    Args:
        workers: Units at a time.
    """

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.cost: dict[str, float] = defaultdict(float)
        self.seconds: dict[str, float] = defaultdict(float)

    def add(self, unit: Unit, seconds: float) -> None:
        """Takes note of a unit that ended."""
        self.cost[unit.kind] += unit.cost
        self.seconds[unit.kind] += seconds

    def left(self, units: list[Unit]) -> tuple[float, bool] | None:
        """Seconds for these units and whether every kind among them has been measured; None before the first.

        A kind that has not been measured is taken to go at the pace of all that has.
        """
        if not self.cost:
            return None
        pace = sum(self.seconds.values()) / max(sum(self.cost.values()), 1e-9)
        total, known = 0.0, True
        for unit in units:
            if unit.kind in self.cost:
                total += unit.cost * self.seconds[unit.kind] / max(self.cost[unit.kind], 1e-9)
            else:
                total, known = total + unit.cost * pace, False
        return total / self.workers, known

    def text(self, units: list[Unit]) -> str:
        """The estimate in words; `roughly` while a kind of unit is still ahead that none has been seen of."""
        found = self.left(units)
        if found is None:
            return "estimating the time"
        seconds, known = found
        return f"{'about' if known else 'roughly'} {duration(seconds)} left"


class AttackDisplay:
    """Shows how far each attack of an ensemble is: a live bar each on a terminal, plain lines elsewhere.

    Args:
        console: Where to write.
        images: How many images there are.
        every: Seconds between plain lines.
    """

    def __init__(self, console: Console, images: int, every: float = 10.0) -> None:
        self.console, self.images, self.every = console, images, every
        self.done: dict[str, int] = defaultdict(int)
        self.broken: dict[str, int] = defaultdict(int)
        self.tasks: dict[str, TaskID] = {}
        self.last_line = time.monotonic()
        self.bar: Progress | None = None

    def __enter__(self) -> "AttackDisplay":
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[broken]} broken"),
            )
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def update(self, attack: str, done: int, broken: int) -> None:
        """An attack is done with so many images more, and has broken so many of them."""
        self.done[attack] += done
        self.broken[attack] += broken
        before = itertools.takewhile(lambda name: name != attack, self.broken)
        most = self.images - sum(self.broken[name] for name in before)
        if self.bar:
            if attack not in self.tasks:
                self.tasks[attack] = self.bar.add_task(attack, total=most, broken=0)
            self.bar.update(
                self.tasks[attack],
                completed=self.done[attack],
                total=most,
                broken=self.broken[attack],
            )
        elif time.monotonic() - self.last_line >= self.every:
            self.last_line = time.monotonic()
            said = (
                f"{attack}: {self.done[attack]:,} of at most {most:,} images,"
                f" {self.broken[attack]:,} broken"
            )
            self.console.print(said, markup=False, highlight=False, soft_wrap=True)


class Display:
    """Shows a run's course: a live bar on a terminal, plain lines elsewhere.

    Args:
        plan: The plan.
        done: Keys of units that were done before.
        workers: Units at a time.
        console: Where to write.
        every: Seconds between plain lines.
    """

    def __init__(
        self, plan: Plan, done: set[str], workers: int, console: Console, every: float = 10.0
    ) -> None:
        self.console, self.every = console, every
        self.left = {unit.key: unit for unit in plan.units if unit.key not in done}
        self.total = len(plan.units)
        self.estimate = Estimate(workers)
        self.stage = "starting"
        self.last_line = 0.0
        self.bar: Progress | None = None
        self.task: TaskID | None = None

    def __enter__(self) -> "Display":
        if self.console.is_terminal:
            columns = (
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[left]}"),
            )
            self.bar = Progress(*columns, console=self.console, transient=True)
            self.bar.start()
            done = self.total - len(self.left)
            self.task = self.bar.add_task(self.stage, total=self.total, completed=done, left="")
        return self

    def __exit__(self, *_: object) -> None:
        if self.bar:
            self.bar.stop()

    def started(self, unit: Unit) -> None:
        """A unit's work begins."""
        stage = STAGES[unit.kind]
        if stage != self.stage:
            self.stage = stage
            self._show(force=True)

    def finished(self, unit: Unit, seconds: float) -> None:
        """A unit's result is stored."""
        self.estimate.add(unit, seconds)
        self.left.pop(unit.key, None)
        self._show(force=not self.left)

    def lost(self, unit: Unit, worker: str) -> None:
        """The worker that did a unit is gone."""
        sayer(self.console)(f"lost: {worker}; '{unit.kind} {unit.label}' is done again")

    def waiting(self) -> None:
        """Time passes."""
        self._show()

    def _show(self, force: bool = False) -> None:
        done = self.total - len(self.left)
        if self.bar and self.task is not None:
            if not force and time.monotonic() - self.last_line < 0.2:
                return
            left = self.estimate.text(list(self.left.values()))
            self.bar.update(self.task, completed=done, description=self.stage, left=left)
        elif force or time.monotonic() - self.last_line >= self.every:
            left = self.estimate.text(list(self.left.values())) if self.left else "all done"
            self.console.print(
                f"[{done}/{self.total}] {self.stage}, {left}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
        else:
            return
        self.last_line = time.monotonic()
