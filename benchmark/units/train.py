"""A base model: the classifier, trained alone or against an adversary."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.benchmark.config.sections import Config, Model, Training
from pellucid.benchmark.data.embedded import draw_of, drawn
from pellucid.benchmark.units import agreement, fit
from pellucid.benchmark.units.kind import Kind, Row
from pellucid.benchmark.units.unit import (
    STANDARD,
    AttackSpec,
    DataSpec,
    Network,
    Result,
    added_later,
)
from pellucid.models.errors import InputError

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store


@dataclass(frozen=True)
class Spec:
    """How a base model is trained; without an attack: standard training.

    Attributes:
        draw: Of data that each seed draws anew (`embedded.DRAWN`).
        fit: Key of the unit that says for how many epochs.
        warmup_epochs: Over which the attack's radius rises.
    """

    data: DataSpec
    model: Model
    training: Training
    attack: AttackSpec | None
    seed: int
    agreement: str | None = added_later(None)
    draw: int = added_later(0)
    fit: str | None = added_later(None)
    warmup_epochs: int = added_later(0)


@dataclass(frozen=True)
class Epoch:
    """Means over the batches of an epoch, as trained on."""

    loss: float
    accuracy: float


@dataclass(frozen=True)
class Values:
    """What is stored beside the trained model."""

    history: tuple[Epoch, ...]


def add(planner: "Planner", network: Network, seed: int) -> str:
    """Adds the training of a network to the plan; returns its key."""
    attack = planner.training_attack(network)
    required = agreement.add(planner)
    draw = draw_of(seed, planner.data.name)
    until = fit.add(planner)
    warmup = planner.config.adversary.warmup_epochs if attack else 0
    spec = Spec(
        planner.data, planner.model, planner.training, attack, seed, required, draw, until, warmup
    )
    images = planner.info.train_size * planner.training.epochs
    unit = KIND.unit(
        f"{network.label} seed {seed}",
        spec,
        *filter(None, [required, until]),
        images=images,
        cost=float(images * planner.passes(attack)),
        network=network,
        seed=seed,
    )
    return planner.add(unit)


def check_config(config: Config) -> None:
    """Raises `InputError` where no network would be trained at its grid's radius."""
    warmup, epochs = config.adversary.warmup_epochs, config.training.epochs
    if warmup >= epochs:
        raise InputError(
            f"adversary.warmup_epochs, {warmup}, must be less than training.epochs, {epochs}: no"
            " network would be trained at its radius."
        )


def plan(planner: "Planner") -> None:
    """Every network of the grid with every seed; for a submitted model, the standard network."""
    if planner.submitted is not None:
        planner.standard[0] = add(planner, STANDARD, 0)
        return
    for seed in range(planner.config.seeds):
        for network in planner.networks:
            planner.measure(network, seed, add(planner, network, seed))


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Trains the network."""
    from pellucid.benchmark.training import classifier
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.models.functional import assign

    agreement.require(context, spec.agreement, spec.training.compute)
    seed = derived_seed("train", spec.seed)
    model = context.build(spec.model, seed)
    data = drawn(context.data, spec.draw)
    values, history = classifier.train(
        model,
        data.x_train if spec.draw else context.x_train,
        data.y_train,
        seed=seed,
        epochs=fit.epochs(context, spec.fit, spec.training),
        batch_size=spec.training.batch_size,
        learning_rate=spec.training.learning_rate,
        compute=spec.training.compute,
        reshuffle=spec.training.reshuffle is not False,
        attack=spec.attack.attack() if spec.attack else None,
        warmup_epochs=spec.warmup_epochs,
    )
    assign(model, values)
    epochs = tuple(Epoch(epoch.loss, epoch.accuracy) for epoch in history)
    return Result(Values(epochs), models={"model": model})


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: network, norm, epsilon, strength, loss, seed, epoch, training_loss, ..._accuracy."""
    for unit in plan.of(KIND):
        for number, epoch in enumerate(store.values(unit).history, 1):
            yield plan.about(unit) | {
                "epoch": number,
                "training_loss": epoch.loss,
                "training_accuracy": epoch.accuracy,
            }


KIND = Kind(
    name="train",
    version=1,
    stage="training base models",
    spec=Spec,
    values=Values,
    work=work,
    plan=plan,
    check_config=check_config,
    rows={"training": rows},
)
