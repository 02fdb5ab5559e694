"""Robust accuracy under AutoAttack; each attack's outcome is stored, so a killed one resumes."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import field_validator

from robust_interpretability.attacks import NORMS
from robust_interpretability.benchmark.config.sections import Count, Radius, Section, known
from robust_interpretability.benchmark.robustness.counts import EnsembleAccuracy
from robust_interpretability.benchmark.units.kind import Kind, Row
from robust_interpretability.benchmark.units.unit import DataSpec, Result, Unit, to_json
from robust_interpretability.models.types import Array, Json

if TYPE_CHECKING:
    from robust_interpretability.benchmark.robustness.accuracy import OutcomeCache
    from robust_interpretability.benchmark.units.context import Context
    from robust_interpretability.benchmark.units.plan import Plan, Planner
    from robust_interpretability.benchmark.units.store import Store

PASSES = 2000
"""Passes through the network per image, roughly, when half of the images survive."""


class AutoAttack(Section):
    """AutoAttack on the first test images: the board's robust accuracy. Radius in pixel units."""

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


@dataclass(frozen=True)
class PartSpec:
    """One attack of an ensemble on one block of images.

    Attributes:
        of: The specification of the evaluation that it is a part of.
        block: Number of the block.
        images_in_block: Its size.
        attack: The attack's name.
    """

    of: object
    block: int
    images_in_block: int
    attack: str

    def json(self) -> Json:
        """As it is hashed: beside the evaluation's own fields."""
        return to_json(self.of) | {
            "block": self.block,
            "images_in_block": self.images_in_block,
            "attack": self.attack,
        }


@dataclass(frozen=True)
class NoValues:
    """A part has arrays only."""


def plan(planner: "Planner") -> None:
    """Every network."""
    section = planner.config.section(AutoAttack)
    if section is None:
        return
    images = min(section.images or planner.info.test_size, planner.info.test_size)
    for network, seed, model in planner.measured:
        spec = Spec(
            planner.data, model, section.version, section.norm, section.epsilon, images
        )
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
    from robust_interpretability.benchmark.robustness import accuracy
    from robust_interpretability.benchmark.units.context import derived_seed

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


def outcomes_in(store: "Store", spec: object, label: str) -> "Callable[[int], OutcomeCache]":
    """Stores the outcomes of the attacks, block by block.

    Args:
        store: The store.
        spec: What the outcomes depend on, a frozen dataclass: the model, the images and labels,
            norm, radius, version, seed.
        label: What they are called in file names.

    Returns:
        Given a block's number, where the outcomes of its attacks are read and written.
    """
    from robust_interpretability.benchmark import environment
    from robust_interpretability.benchmark.robustness.accuracy import BLOCK, OutcomeCache

    def block(number: int) -> "OutcomeCache":
        def unit(attack: str) -> Unit[PartSpec, NoValues]:
            part = PartSpec(spec, number, BLOCK, attack)
            return PART.unit(f"{label} block {number} {attack}", part)

        def get(attack: str) -> tuple[dict[str, Array], float] | None:
            part = unit(attack)
            if not store.done(part):
                return None
            return store.arrays(part), store.stored(part).seconds

        def put(attack: str, arrays: dict[str, Array], seconds: float) -> None:
            result = Result(NoValues(), arrays)
            store.put(unit(attack), result, environment=environment.collect(), seconds=seconds)

        return OutcomeCache(get, put)

    return block


def _no_work(spec: PartSpec, context: "Context") -> Result[NoValues]:
    """Parts are stored by the evaluation that they belong to.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(f"{spec.attack} is computed by its evaluation")


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

PART = Kind(
    name="attacked",
    version=1,
    stage="attacking with AutoAttack",
    spec=PartSpec,
    values=NoValues,
    work=_no_work,
)
