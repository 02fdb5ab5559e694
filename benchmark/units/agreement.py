"""Whether networks trained in another type are as accurate as in float32; trainings rest on it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from robust_interpretability.benchmark.config.sections import Model, Training
from robust_interpretability.benchmark.training.precision_check import Comparison, compare
from robust_interpretability.benchmark.training.precision_check import require as _require
from robust_interpretability.benchmark.units.kind import Kind
from robust_interpretability.benchmark.units.unit import AttackSpec, DataSpec, Network, Result

if TYPE_CHECKING:
    from robust_interpretability.benchmark.units.context import Context
    from robust_interpretability.benchmark.units.plan import Planner

SEEDS = 5
"""Networks trained in each of the two types."""


@dataclass(frozen=True)
class Spec:
    """The networks that are trained in both types of computation."""

    data: DataSpec
    model: Model
    training: Training
    attacks: tuple[AttackSpec | None, ...]
    seeds: int


@dataclass(frozen=True)
class Values:
    """One comparison per network, and the number of test images."""

    networks: tuple[Comparison[AttackSpec], ...]
    examples: int


def add(planner: "Planner") -> str | None:
    """Adds the comparison where training needs one; returns its key.

    Compared are the standard network and the strongest of the first grid.
    """
    if planner.training.compute == "float32":
        return None
    first = next(iter(planner.config.grid), None)
    attacks: tuple[AttackSpec | None, ...] = (None,)
    if first is not None:
        strongest = Network(first.norm, max(first.epsilons), first.losses[0])
        attacks += (planner.training_attack(strongest),)
    spec = Spec(planner.data, planner.model, planner.training, attacks, SEEDS)
    images = 2 * SEEDS * planner.info.train_size * planner.training.epochs
    unit = KIND.unit(
        planner.training.compute,
        spec,
        images=images * len(attacks),
        cost=float(images * sum(map(planner.passes, attacks))),
    )
    return planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Trains the networks in both types and counts the test images they classify correctly."""
    from robust_interpretability.benchmark.training.classifier import train
    from robust_interpretability.benchmark.training.prediction import predicted_classes
    from robust_interpretability.benchmark.units.context import derived_seed

    y = context.data.y_test

    def hits(attack: AttackSpec | None, compute: str, number: int) -> int:
        seed = derived_seed("agreement", number)
        model = context.initial(spec.model, seed)
        values, _ = train(
            model,
            context.x_train,
            context.data.y_train,
            seed=seed,
            epochs=spec.training.epochs,
            batch_size=spec.training.batch_size,
            learning_rate=spec.training.learning_rate,
            compute=compute,
            attack=attack.attack() if attack else None,
        )
        classes = predicted_classes(model, context.data.x_test, values=values)
        return int((classes == y).sum())

    found = compare(hits, spec.attacks, spec.training.compute, spec.seeds, len(y))
    return Result(Values(tuple(found), len(y)))


def require(context: "Context", key: str | None, compute: str) -> None:
    """Raises `InputError` where a training rests on an agreement that does not hold."""
    if key is not None:
        _require(context.values(KIND, key).networks, compute)


KIND = Kind(
    name="agreement",
    version=1,
    stage="comparing a type of computation with float32",
    spec=Spec,
    values=Values,
    work=work,
)
