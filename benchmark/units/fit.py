"""How many epochs the standard network needs to fit its training images: base models take as many.

A network that has not fitted tells its class by the shape of its maps more than one that has, so
networks are compared once the standard one fits, all after the same number of epochs.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.benchmark.config.sections import Model, Training
from pellucid.benchmark.units.kind import Kind
from pellucid.benchmark.units.unit import DataSpec, Result

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Planner


@dataclass(frozen=True)
class Spec:
    """The standard network, and the training accuracy that it must reach (`training.until`)."""

    data: DataSpec
    model: Model
    training: Training


@dataclass(frozen=True)
class Values:
    """The first epoch with that accuracy, over the epoch's batches as they were trained on.

    Attributes:
        epochs: Its number; where no epoch has the accuracy, `training.epochs`.
        reached: Whether one has.
        accuracy: Of every epoch.
    """

    epochs: int
    reached: bool
    accuracy: tuple[float, ...]


def add(planner: "Planner") -> str | None:
    """Adds the unit where the configuration says `training.until`; returns its key."""
    if planner.training.until is None:
        return None
    images = planner.info.train_size * planner.training.epochs
    spec = Spec(planner.data, planner.model, planner.training)
    return planner.add(KIND.unit("standard", spec, images=images, cost=float(images)))


def epochs(context: "Context", key: str | None, training: Training) -> int:
    """The epochs of a base model: those found, or those configured where nothing is searched."""
    return training.epochs if key is None else context.values(KIND, key).epochs


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Trains the standard network for as long as is allowed."""
    from pellucid.benchmark.training.classifier import train
    from pellucid.benchmark.units.context import derived_seed

    seed, training = derived_seed("train", 0), spec.training
    assert training.until is not None
    _, history = train(
        context.initial(spec.model, seed),
        context.x_train,
        context.data.y_train,
        seed=seed,
        epochs=training.epochs,
        batch_size=training.batch_size,
        learning_rate=training.learning_rate,
        compute=training.compute,
        reshuffle=training.reshuffle is not False,
    )
    accuracy = tuple(epoch.accuracy for epoch in history)
    first = next((n for n, value in enumerate(accuracy, 1) if value >= training.until), None)
    return Result(Values(first or training.epochs, first is not None, accuracy))


KIND = Kind(
    name="fit",
    version=1,
    stage="finding how long the standard network takes to fit",
    spec=Spec,
    values=Values,
    work=work,
)
