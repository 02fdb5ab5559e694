"""Whether networks trained in another type are as accurate as in float32; trainings rest on it."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.benchmark.training.precision_check import Comparison, compare
from pellucid.benchmark.training.precision_check import require as _require
from pellucid.benchmark.units import trial
from pellucid.benchmark.units.kind import Kind
from pellucid.benchmark.units.unit import AttackSpec, Network, Result

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Planner

SEEDS = 5
"""Networks trained in each of the two types, for each adversary."""


@dataclass(frozen=True)
class Spec:
    """The trainings that are compared: for each adversary in both types, for each seed.

    Attributes:
        attacks: The adversary of each network; None for standard training.
        trials: Keys of the trainings: by adversary, by type (float32 first), by seed.
    """

    compute: str
    attacks: tuple[AttackSpec | None, ...]
    seeds: int
    trials: tuple[str, ...]


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
    compute = planner.training.compute
    trials = tuple(
        trial.add(planner, computation, attack, number)
        for attack in attacks
        for computation in ("float32", compute)
        for number in range(SEEDS)
    )
    return planner.add(KIND.unit(compute, Spec(compute, attacks, SEEDS, trials), *trials))


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Compares the accuracies of networks trained in both types."""
    counted = [context.values(trial.KIND, key) for key in spec.trials]
    order = [
        (attack, computation, number)
        for attack in spec.attacks
        for computation in ("float32", spec.compute)
        for number in range(spec.seeds)
    ]
    hits = {case: values.hits for case, values in zip(order, counted, strict=True)}
    examples = counted[0].examples
    found = compare(lambda *case: hits[case], spec.attacks, spec.compute, spec.seeds, examples)
    return Result(Values(tuple(found), examples))


def require(context: "Context", key: str | None, compute: str) -> None:
    """Raises `InputError` where a training rests on an agreement that does not hold."""
    if key is not None:
        _require(context.values(KIND, key).networks, compute)


KIND = Kind(
    name="agreement",
    version=2,
    stage="comparing a type of computation with float32",
    spec=Spec,
    values=Values,
    work=work,
)
