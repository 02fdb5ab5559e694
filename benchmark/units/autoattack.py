"""Robust accuracy under AutoAttack; each attack's outcome is stored, so a killed one resumes."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import field_validator

from pellucid.attacks import NORMS
from pellucid.benchmark.config.sections import Count, Radius, Section, known
from pellucid.benchmark.robustness.counts import EnsembleAccuracy
from pellucid.benchmark.units.attacked import outcomes_in
from pellucid.benchmark.units.kind import Kind, Row
from pellucid.benchmark.units.unit import DataSpec, Result

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store

PASSES = 2000
"""Passes through the network per image, roughly, when half of the images survive."""


class AutoAttack(Section):
    """AutoAttack on the first test images: the board's robust accuracy.

    Attributes:
        version: AutoAttack's version; `"rand"` is for models that draw at random.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units.
        images: How many of the first test images are attacked; by default all.
    """

    key: ClassVar[str] = "autoattack"

    version: Literal["standard", "plus", "rand"] = "standard"
    norm: str = "l2"
    epsilon: Radius
    images: Count | None = None

    _norm = field_validator("norm")(known("norm", NORMS))


@dataclass(frozen=True)
class Spec:
    """The network, and AutoAttack's version, norm, radius and number of images."""

    data: DataSpec
    model: str
    version: str
    norm: str
    epsilon: float
    images: int


def plan(planner: "Planner") -> None:
    """Every network."""
    section = planner.config.section(AutoAttack)
    if section is None:
        return
    images = min(section.images or planner.info.test_size, planner.info.test_size)
    for network, seed, model in planner.measured:
        spec = Spec(planner.data, model, section.version, section.norm, section.epsilon, images)
        unit = KIND.unit(
            f"{network.label} seed {seed}",
            spec,
            model,
            cost=float(images * PASSES),
            network=network,
            seed=seed,
        )
        planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[EnsembleAccuracy]:
    """Attacks the first test images."""
    from pellucid.benchmark.robustness import accuracy
    from pellucid.benchmark.units.context import derived_seed

    label = f"{spec.model} {spec.norm} {spec.epsilon:g} {spec.version}"
    found = accuracy.evaluate(
        context.model(spec.model),
        context.data.x_test[: spec.images],
        context.data.y_test[: spec.images],
        norm=spec.norm,
        epsilon=spec.epsilon,
        version=spec.version,
        seed=derived_seed("autoattack"),
        outcomes=outcomes_in(context.store, spec, label),
    )
    return Result(found.counts, found.arrays)


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, examples, attack, loss, steps, broken, hits, accuracy, low, high.

    One row after each attack of the ensemble; `broken`: images it attacked successfully.
    """
    for unit in plan.of(KIND):
        values = store.values(unit)
        for row in values.attacks:
            yield plan.about(unit) | {
                "examples": values.examples,
                "attack": row.attack,
                "loss": row.loss,
                "steps": row.steps,
                "broken": row.broken,
                "hits": row.hits,
                "accuracy": row.accuracy,
                "low": row.low,
                "high": row.high,
            }


KIND = Kind(
    name="autoattack",
    version=1,
    stage="attacking with AutoAttack",
    spec=Spec,
    values=EnsembleAccuracy,
    work=work,
    plan=plan,
    section=AutoAttack,
    rows={"autoattack": rows},
)
