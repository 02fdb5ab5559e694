"""The tilt of a decision boundary in the plane: the paper's two-dimensional toy."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field, field_validator

from pellucid.attacks import LOSSES
from pellucid.benchmark.config.sections import (
    Config,
    Count,
    Positive,
    PublishedAttack,
    known,
)
from pellucid.benchmark.data.dataset import Info
from pellucid.benchmark.data.embedded import draw_of, drawn
from pellucid.benchmark.units.kind import (
    Description,
    Finished,
    Kind,
    Measured,
    Row,
)
from pellucid.benchmark.units.unit import AttackSpec, DataSpec, Result, to_json
from pellucid.metrics import statistics
from pellucid.models.errors import InputError
from pellucid.models.types import Json

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store

DECISION_GRID = 161
"""Points per side at which the decision regions are stored."""


class Tilt(PublishedAttack):
    """The L2 attack on one class of two-dimensional data. Lengths in pixel units.

    Attributes:
        epsilon: Radius.
        steps: Gradient steps.
        step_size: Length of a step.
        loss: The attack's loss: `"xent"` or `"cw"`.
        attacked_class: Its label. The paper attacks label 0, which its figure calls class 1.
    """

    key: ClassVar[str] = "tilt"

    epsilon: Positive
    steps: Count = 40
    step_size: Positive = 1.0
    loss: str = "xent"
    attacked_class: Annotated[int, Field(ge=0)] = 1

    _loss = field_validator("loss")(known("attack loss", LOSSES))


@dataclass(frozen=True)
class Spec:
    """The network, the attack, the class that is attacked, and the draw of the data.

    Attributes:
        draw: As in `train.Spec`.
    """

    data: DataSpec
    model: str
    attack: AttackSpec
    attacked_class: int
    draw: int = 0

    def json(self) -> Json:
        """As it is hashed: the class is called `class`, and draw 0 leaves no trace."""
        found = {name: to_json(getattr(self, name)) for name in ("data", "model", "attack")}
        return found | {"class": self.attacked_class} | ({"draw": self.draw} if self.draw else {})


@dataclass(frozen=True)
class Values:
    """The angle in degrees, the mean L2 norm of the attack in pixel units, and its successes."""

    angle: float
    mean_change: float
    fooled: int
    examples: int


def check_data(config: Config, info: Info) -> None:
    """Raises `InputError` where the data are not two classes in the plane."""
    section = config.section(Tilt)
    if section is None:
        return
    if info.shape != (2,) or info.num_classes != 2:
        raise InputError(
            f"[tilt] needs two classes in the plane, examples of shape (2,). '{info.name}' has"
            f" {info.num_classes} classes of shape {info.shape}."
        )
    if section.attacked_class >= info.num_classes:
        raise InputError(f"tilt.attacked_class must be 0 or 1. Received {section.attacked_class}.")


def plan(planner: "Planner") -> None:
    """The networks of the grids that ask for it."""
    section = planner.config.section(Tilt)
    if section is None:
        return
    attack = AttackSpec(
        "pgd",
        "l2",
        section.epsilon,
        section.loss,
        section.steps,
        section.step_size,
        **section.published(),
    )
    for network, seed, model in planner.selected("tilt"):
        unit = KIND.unit(
            f"{network.label} seed {seed}",
            Spec(
                planner.data,
                model,
                attack,
                section.attacked_class,
                draw_of(seed, planner.data.name),
            ),
            model,
            cost=planner.info.test_size * section.steps / planner.info.num_classes,
            network=network,
            seed=seed,
        )
        planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Attacks one class and measures the angle of the mean change."""
    from pellucid.attacks.attack import run
    from pellucid.benchmark.training.prediction import predicted_classes
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics.tilt import tilt

    model, data = context.model(spec.model), drawn(context.data, spec.draw)
    attacked = data.y_test == spec.attacked_class
    x, y = np.ascontiguousarray(data.x_test[attacked]), data.y_test[attacked]
    x_adv = run(spec.attack.attack(), model, x, y, seed=derived_seed("tilt"))
    means = np.array([data.x_train[data.y_train == k].mean(0) for k in range(2)], np.float64)

    side = np.linspace(0, 1, DECISION_GRID, dtype=np.float32)
    plane = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    regions = predicted_classes(model, plane).reshape(DECISION_GRID, DECISION_GRID)
    values = Values(
        angle=tilt(x, x_adv, means[1] - means[0]),
        mean_change=float(np.linalg.norm(x_adv.astype(np.float64) - x, axis=1).mean()),
        fooled=int((predicted_classes(model, x_adv) != y).sum()),
        examples=len(x),
    )
    arrays = {
        "x": x,
        "x_adv": x_adv,
        "others": data.x_test[~attacked],
        "class_means": means,
        "regions": regions.astype(np.uint8),
    }
    return Result(values, arrays)


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, angle (degrees), fooled, examples, mean_change (L2, pixel units)."""
    for unit in plan.of(KIND):
        values = store.values(unit)
        yield plan.about(unit) | {
            "angle": values.angle,
            "fooled": values.fooled,
            "examples": values.examples,
            "mean_change": values.mean_change,
        }


def scores(finished: Finished, network: str) -> Iterator[Measured]:
    """The mean angle over seeds."""
    table = finished.tables["tilt"]
    if table.empty:
        return
    angles = table.loc[table["network"] == network, "angle"].to_numpy()
    if len(angles):
        yield Measured("tilt", statistics.mean(angles), len(angles))


def describe(score: str) -> Description | None:
    """The tilt."""
    return Description("tilt (degrees)") if score == "tilt" else None


KIND = Kind(
    name="tilt",
    version=1,
    stage="measuring the tilt of boundaries",
    spec=Spec,
    values=Values,
    work=work,
    plan=plan,
    section=Tilt,
    selectable=True,
    check_data=check_data,
    rows={"tilt": rows},
    scores=scores,
    describe=describe,
)
