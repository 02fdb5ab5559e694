"""A base model fine-tuned on images without random pixels: the network that F-Fidelity asks.

The model as it was trained stays as it is; one fine-tuned copy serves all of its attributions.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.benchmark.units.kind import Kind
from pellucid.benchmark.units.train import Epoch
from pellucid.benchmark.units.unit import DataSpec, Result

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import BaseModel, Planner


@dataclass(frozen=True)
class Spec:
    """The network, and for how many epochs it is fine-tuned."""

    data: DataSpec
    model: str
    epochs: int
    batch_size: int


@dataclass(frozen=True)
class Values:
    """What is stored beside the fine-tuned model."""

    history: tuple[Epoch, ...]


def add(planner: "Planner", base: "BaseModel", epochs: int) -> str:
    """Adds the fine-tuning of a network to the plan; returns its key."""
    spec = Spec(planner.data, base.model, epochs, planner.training.batch_size)
    images = planner.info.train_size * epochs
    unit = KIND.unit(
        f"{base.network.label} seed {base.seed}",
        spec,
        base.model,
        images=images,
        cost=float(images),
        network=base.network,
        seed=base.seed,
    )
    return planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Fine-tunes a copy of the network, in float32."""
    import keras

    from pellucid.benchmark.training.fine_tuning import fine_tune
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.models import KERAS_LOCK
    from pellucid.models.functional import assign

    model = context.model(spec.model)
    values, history = fine_tune(
        model,
        context.x_train,
        context.data.y_train,
        seed=derived_seed("fine-tune"),
        epochs=spec.epochs,
        fill=context.fill,
        batch_size=spec.batch_size,
    )
    with KERAS_LOCK:
        tuned = keras.models.clone_model(model)
    assign(tuned, values)
    epochs = tuple(Epoch(epoch.loss, epoch.accuracy) for epoch in history)
    return Result(Values(epochs), models={"model": tuned})


KIND = Kind(
    name="fine_tune",
    version=1,
    stage="fine-tuning for F-Fidelity",
    spec=Spec,
    values=Values,
    work=work,
)
