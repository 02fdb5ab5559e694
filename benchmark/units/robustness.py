"""Accuracy under several attacks at rising radii, with controls: what an entry's flags rest on."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

from pydantic import Field, field_validator

from pellucid.attacks import LOSSES, NORMS
from pellucid.benchmark.config.sections import (
    Count,
    Positive,
    Section,
    increasing,
    known,
)
from pellucid.benchmark.robustness.counts import RisingRadii
from pellucid.benchmark.units.kind import Kind
from pellucid.benchmark.units.unit import DataSpec, Result, added_later

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Planner


class Robustness(Section):
    """Accuracy under several attacks at rising radii, with controls.

    At each radius of each norm: FGSM, PGD with each loss (steps of 2.5 radius / steps), noise of
    the same norm, and examples made on the standard network (transfer). Radii in pixel units.

    Attributes:
        steps: Gradient steps of PGD.
        losses: PGD's losses: `"xent"`, `"cw"`.
        l2: Radii in L2, increasing.
        linf: Radii in Linf, increasing.
        images: How many of the first test images are attacked; by default all.
    """

    key: ClassVar[str] = "robustness"
    later: ClassVar[dict[str, object]] = {"images": None}

    steps: Count = 20
    losses: Annotated[list[str], Field(min_length=1)] = ["xent", "cw"]
    l2: list[Positive] = []
    linf: list[Positive] = []
    images: Count | None = None

    _losses = field_validator("losses")(known("attack loss", LOSSES))
    _rising = field_validator("l2", "linf")(increasing("radii"))

    def radii(self) -> dict[str, list[float]]:
        """The radii of each norm that has any."""
        return {norm: list(getattr(self, norm)) for norm in NORMS if getattr(self, norm)}


@dataclass(frozen=True)
class Spec:
    """The network, the network that transferred examples are made on, and the attacks."""

    data: DataSpec
    model: str
    source: str | None
    radii: dict[str, list[float]]
    steps: int
    losses: list[str]
    images: int | None = added_later(None)


def plan(planner: "Planner") -> None:
    """Every network."""
    section = planner.config.section(Robustness)
    if section is None:
        return
    radii, test = section.radii(), planner.info.test_size
    images = min(section.images or test, test)
    for network, seed, model in planner.measured:
        # a network's own examples would be PGD's once more
        source = planner.standard[seed] if planner.standard[seed] != model else None
        passes = section.steps * (len(section.losses) + (source is not None)) + 4
        unit = KIND.unit(
            f"{network.label} seed {seed}",
            Spec(planner.data, model, source, radii, section.steps, section.losses, section.images),
            *filter(None, [model, source]),
            cost=float(images * sum(map(len, radii.values())) * passes),
            network=network,
            seed=seed,
        )
        planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[RisingRadii]:
    """Attacks the test images at every radius."""
    from pellucid.benchmark.robustness import radii
    from pellucid.benchmark.units.context import derived_seed

    found = radii.evaluate(
        context.model(spec.model),
        context.data.x_test[: spec.images],
        context.data.y_test[: spec.images],
        radii=spec.radii,
        steps=spec.steps,
        losses=spec.losses,
        source=context.model(spec.source) if spec.source else None,
        seed=derived_seed("robustness"),
    )
    return Result(found)


KIND = Kind(
    name="robustness",
    version=1,
    stage="attacking at rising radii",
    spec=Spec,
    values=RisingRadii,
    work=work,
    plan=plan,
    section=Robustness,
)
