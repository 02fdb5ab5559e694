"""Loss gradients and adversarial examples of a few test images, to look at."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from pellucid.benchmark.units import manifold
from pellucid.benchmark.units.kind import Kind
from pellucid.benchmark.units.unit import AttackSpec, DataSpec, Result
from pellucid.models.types import Array

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Planner


@dataclass(frozen=True)
class Spec:
    """The network, how many images, and the attack on them."""

    data: DataSpec
    model: str
    images: int
    attack: AttackSpec | None


@dataclass(frozen=True)
class Values:
    """The places of the images in the test set."""

    index: tuple[int, ...]


def plan(planner: "Planner") -> None:
    """Every network, where the data are images and pictures are asked for."""
    count = planner.config.pictures
    if not count or len(planner.info.shape) != 3:
        return
    section = planner.config.section(manifold.Manifold)
    attack = section.attack(section.losses[0]) if section else None
    for network, seed, model in planner.measured:
        unit = KIND.unit(
            f"{network.label} seed {seed}",
            Spec(planner.data, model, count, attack),
            model,
            cost=float(count * 100),
            network=network,
            seed=seed,
        )
        planner.add(unit)


def shown_images(y: Array, count: int) -> Array:
    """Indices of the first `count` test images of different classes, while classes last."""
    _, first = np.unique(y, return_index=True)
    return np.sort(first)[:count]


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Computes the gradients and, with an attack, the adversarial examples."""
    from pellucid.attacks.attack import run
    from pellucid.benchmark.training.prediction import predicted_classes
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import attributions
    from pellucid.models.checks import as_floats

    model = context.model(spec.model)
    index = shown_images(context.data.y_test, spec.images)
    x, y = np.ascontiguousarray(context.data.x_test[index]), context.data.y_test[index]
    arrays = {
        "images": as_floats(x),
        "maps": attributions.run("log_likelihood_gradient", model, x),
        "labels": y,
        "predicted": predicted_classes(model, x),
    }
    if spec.attack:
        x_adv = run(spec.attack.attack(), model, x, y, seed=derived_seed("pictures"))
        arrays["adversarial"] = x_adv
        arrays["adversarial_predicted"] = predicted_classes(model, x_adv)
    return Result(Values(tuple(index.tolist())), arrays)


KIND = Kind(
    name="pictures",
    version=1,
    stage="drawing gradients",
    spec=Spec,
    values=Values,
    work=work,
    plan=plan,
)
