"""One network trained in float32 or in another type, which `agreement` compares."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.benchmark.config.sections import Model, Training
from pellucid.benchmark.units.kind import Kind
from pellucid.benchmark.units.unit import AttackSpec, DataSpec, Result

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Planner


@dataclass(frozen=True)
class Spec:
    """A training; `training.compute` says in which type, `number` by which seed."""

    data: DataSpec
    model: Model
    training: Training
    attack: AttackSpec | None
    number: int


@dataclass(frozen=True)
class Values:
    """Correctly classified test images."""

    hits: int
    examples: int


def add(planner: "Planner", compute: str, attack: AttackSpec | None, number: int) -> str:
    """Adds a training in a type of computation; returns its key."""
    training = planner.training.model_copy(update={"compute": compute})
    images = planner.info.train_size * training.epochs
    against = f"{attack.norm} {attack.epsilon:g}" if attack else "standard"
    unit = KIND.unit(
        f"{against} in {compute} seed {number}",
        Spec(planner.data, planner.model, training, attack, number),
        images=images,
        cost=float(images * planner.passes(attack)),
    )
    return planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Trains the network and counts the test images that it classifies correctly."""
    from pellucid.benchmark.training.classifier import train
    from pellucid.benchmark.training.prediction import predicted_classes
    from pellucid.benchmark.units.context import derived_seed

    seed = derived_seed("agreement", spec.number)
    model = context.initial(spec.model, seed)
    values, _ = train(
        model,
        context.x_train,
        context.data.y_train,
        seed=seed,
        epochs=spec.training.epochs,
        batch_size=spec.training.batch_size,
        learning_rate=spec.training.learning_rate,
        compute=spec.training.compute,
        reshuffle=spec.training.reshuffle is not False,
        attack=spec.attack.attack() if spec.attack else None,
    )
    classes = predicted_classes(model, context.data.x_test, values=values)
    correct = classes == context.data.y_test
    return Result(Values(int(correct.sum()), len(correct)))


KIND = Kind(
    name="trial",
    version=1,
    stage="comparing a type of computation with float32",
    spec=Spec,
    values=Values,
    work=work,
)
