"""A kind of unit: everything the benchmark must know of it, in one record.

Each kind is one file of this package, which defines the record `KIND`; `kinds.KINDS` lists them.
"""

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Generic, Literal, NamedTuple, TypeVar, cast

from pellucid.benchmark.config.sections import Config, Section
from pellucid.benchmark.data.dataset import Info
from pellucid.benchmark.units.unit import Result, Unit
from pellucid.models.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store
    from pellucid.metrics.statistics import Estimate

S = TypeVar("S")
V = TypeVar("V")
T = TypeVar("T")
Row = dict[str, object]
Rows = Callable[["Plan", "Store"], Iterator[Row]]


class Measured(NamedTuple):
    """A score of one network.

    Attributes:
        name: The score's name, as `roar_gradient`.
        estimate: Its value with the 95 percent interval.
        trainings: How many trainings it averages.
        contributions: `(seeds, repeats, fractions, images)`, as `hierarchical.mean` takes them,
            where the score is such a mean: NaN for an image without a value. Of retrainings, images
            are averaged already.
    """

    name: str
    estimate: "Estimate"
    trainings: int
    contributions: Array | None = None


class Description(NamedTuple):
    """What a score's name stands for.

    Attributes:
        title: For a table's head or an axis.
        better: Which way is better, for a score that is set against accuracy; None for others.
    """

    title: str
    better: Literal["higher", "lower"] | None = None


@dataclass(frozen=True)
class Finished:
    """A plan whose units are all done, and the tables made of it so far.

    Attributes:
        plan: The plan.
        store: Its results.
        tables: Tables by name.
    """

    plan: "Plan"
    store: "Store"
    tables: "dict[str, pd.DataFrame]"
    _made: dict[str, object] = field(default_factory=dict, repr=False)

    def once(self, name: str, make: "Callable[[Finished], T]") -> T:
        """What `make` gives for it, made at the first call for all networks."""
        if name not in self._made:
            self._made[name] = make(self)
        return cast(T, self._made[name])


def _nothing(*_: object) -> None:
    """No check, nothing in common."""


def _no_scores(*_: object) -> Iterator[Measured]:
    return iter(())


@dataclass(frozen=True)
class Kind(Generic[S, V]):
    """A kind of unit.

    Attributes:
        name: Part of every key, and the folder of its results.
        version: Raised when the same specification gives another result: stored ones are not used.
        stage: What the progress line says while such a unit is computed.
        spec: Type of the specification, a frozen dataclass.
        values: Type of the result's values, a frozen dataclass.
        work: Computes a unit from its specification, the data and the results it needs.
        plan: Adds the units of a run to its plan.
        section: Its part of the configuration; without it there are no such units.
        required: Whether every configuration must have that section.
        selectable: Whether a grid chooses the networks that it measures (`measures`).
        check_config: Raises `InputError` where sections do not fit each other.
        check_data: Raises `InputError` where the data does not fit the section.
        rows: For each table that it fills, a function that gives the table's rows.
        scores: Gives the scores of the network of that label.
        describe: What a score's name stands for; None for a name that is not its own.
        shares: What units have in common that are best done by one worker.
        together: Computes several units that share something; without it, one at a time.
    """

    name: str
    version: int
    stage: str
    spec: type[S]
    values: type[V]
    work: "Callable[[S, Context], Result[V]]"
    plan: "Callable[[Planner], None]" = _nothing
    section: type[Section] | None = None
    required: bool = False
    selectable: bool = False
    check_config: Callable[[Config], None] = _nothing
    check_data: Callable[[Config, Info], None] = _nothing
    rows: Mapping[str, Rows] = field(default_factory=dict)
    scores: Callable[[Finished, str], Iterator[Measured]] = _no_scores
    describe: Callable[[str], Description | None] = _nothing
    shares: Callable[[S], Hashable] = _nothing
    together: "Callable[[list[S], Context], list[Result[V]]] | None" = None

    def unit(self, label: str, spec: S, *needs: str, **about: object) -> Unit[S, V]:
        """A unit of this kind; `about` as `Unit`'s attributes."""
        return Unit(self, label, spec, needs, **about)  # type: ignore[arg-type]

    def __hash__(self) -> int:
        return hash(self.name)

    def __reduce__(self) -> tuple:
        """Kinds travel to other processes by name: their functions are there already."""
        from pellucid.benchmark.units.kinds import named

        return named, (self.name,)
