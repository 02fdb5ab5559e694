"""What tells whether a network knows the test images: what one of an entry's flags rests on."""

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from pellucid.benchmark.robustness.counts import Contamination
from pellucid.benchmark.units.kind import Kind, Row
from pellucid.benchmark.units.robustness import Robustness
from pellucid.benchmark.units.unit import FORWARD, STANDARD, DataSpec, Result

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store


@dataclass(frozen=True)
class Spec:
    """The network."""

    data: DataSpec
    model: str


def plan(planner: "Planner") -> None:
    """Every network and the standard one, where a [robustness] section asks for flags."""
    if planner.config.section(Robustness) is None:
        return
    standard = [(STANDARD, seed, model) for seed, model in planner.standard.items()]
    for network, seed, model in dict.fromkeys([*planner.measured, *standard]):
        unit = KIND.unit(
            f"{network.label} seed {seed}",
            Spec(planner.data, model),
            model,
            cost=FORWARD * (planner.info.train_size + 2 * planner.info.test_size),
            network=network,
            seed=seed,
        )
        planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Contamination]:
    """Classifies training images, test images, and test images that are slightly shifted."""
    from pellucid.benchmark.robustness import contamination

    data = context.data
    found = contamination.evaluate(
        context.model(spec.model), data.x_train, data.y_train, data.x_test, data.y_test
    )
    return Result(found)


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, and the attributes of `Contamination`."""
    for unit in plan.of(KIND):
        yield plan.about(unit) | asdict(store.values(unit))


KIND = Kind(
    name="contamination",
    version=1,
    stage="looking for test images that are known",
    spec=Spec,
    values=Contamination,
    work=work,
    plan=plan,
    rows={"contamination": rows},
)
