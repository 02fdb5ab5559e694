"""ROAR and KAR: a network retrained on images without, or with only, the most important pixels.

What orders the pixels is a network's map, or a control (`orders`); what fills removed pixels is
their channel's mean, or their neighbours' (`metrics.imputation`).
"""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field, field_validator

from pellucid.benchmark.config.sections import (
    Config,
    Count,
    Fraction,
    Model,
    Section,
    Training,
    increasing,
    known,
)
from pellucid.benchmark.data.dataset import Info
from pellucid.benchmark.units import agreement
from pellucid.benchmark.units.kind import Finished, Kind, Measured, Row
from pellucid.benchmark.units.orders import (
    NO_CONTROL,
    OWN,
    RANDOM,
    UNTOUCHED,
    Order,
)
from pellucid.benchmark.units.outcomes import (
    IMPUTED,
    MASKS,
    MEAN,
    Outcomes,
    contributions,
    describe,
    gathered,
)
from pellucid.benchmark.units.unit import (
    DataSpec,
    Network,
    Result,
    Unit,
    added_later,
    packed,
    unpacked,
)
from pellucid.metrics import (
    ATTRIBUTIONS,
    CONTROLS,
    FILLS,
    MODES,
    OF_THE_PAPER,
    SHUFFLES,
    hierarchical,
)
from pellucid.models.errors import InputError
from pellucid.models.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store


class Retraining(Section):
    """ROAR and KAR.

    Attributes:
        attributions: The maps whose order is scored, of every selected network.
        modes: What is removed.
        fractions: Of the pixels.
        repeats: Networks retrained at each point for each base model; for the random order, and
            for the controls that ask no network, as many for each base-model seed.
        epochs: Of each retraining.
        train_limit: Retrain on the first so many training images; by default on all.
        controlled: The attributions of which controls are made, if they are scored.
        controls: The controls; the random order is always there.
        fills: What removed pixels become. Under imputation stand the maps of `controlled`, their
            shuffled maps and the random order.
    """

    key: ClassVar[str] = "retraining"
    later: ClassVar[dict[str, object]] = {"train_limit": None}

    attributions: Annotated[list[str], Field(min_length=1)] = list(OF_THE_PAPER)
    modes: Annotated[list[str], Field(min_length=1)] = list(MODES)
    fractions: Annotated[list[Fraction], Field(min_length=1)] = [0.1, 0.3, 0.5, 0.7, 0.9]
    repeats: Count = 2
    epochs: Count
    train_limit: Count | None = None
    controlled: list[str] = ["gradient"]
    controls: list[str] = list(CONTROLS)
    fills: Annotated[list[str], Field(min_length=1)] = list(FILLS)

    _attributions = field_validator("attributions")(known("attribution", ATTRIBUTIONS))
    _modes = field_validator("modes")(known("mode", MODES))
    _fractions = field_validator("fractions")(increasing("fractions"))
    _controlled = field_validator("controlled")(known("attribution", ATTRIBUTIONS))
    _controls = field_validator("controls")(known("control", CONTROLS))
    _fills = field_validator("fills")(known("fill", FILLS))


@dataclass(frozen=True)
class Spec:
    """One retraining: its order, what is removed, and the number of its draw.

    Trainings of one draw at one fraction start from the same weights and see the images in the same
    order, whatever orders the pixels.
    """

    data: DataSpec
    model: Model
    training: Training
    order: Order
    mode: str
    fraction: float
    draw: int
    fill: str = MEAN
    train_limit: int | None = None
    agreement: str | None = added_later(None)


@dataclass(frozen=True)
class Values:
    """Correctly classified masked test images, which those are, and the seed of the training."""

    hits: int
    examples: int
    seed: int
    correct: str

    def outcomes(self) -> Array:
        """Which test images are classified correctly, `(examples,)` bool."""
        return unpacked(self.correct, self.examples)


def check_data(config: Config, info: Info) -> None:
    """Raises `InputError` where the data are not images."""
    if config.section(Retraining) and len(info.shape) != 3:
        raise InputError(
            f"ROAR and KAR need images of shape (h, w, c). '{info.name}' has shape {info.shape}."
        )


def plan(planner: "Planner") -> None:
    """Untouched images, the orders that ask no network, then every order of the networks."""
    section = planner.config.section(Retraining)
    if section is None:
        return
    seeds = 1 if planner.submitted is not None else planner.config.seeds
    draws = range(seeds * section.repeats)
    for order, fill in _free_orders(section):
        drawn = [replace(order, draw=draw) if order.drawn else order for draw in draws]
        _add(planner, section, drawn, fill, draws)
    for network, seed, model in planner.selected("retraining"):
        own_draws = range(seed * section.repeats, (seed + 1) * section.repeats)
        for order, fill in _orders(section, model, planner.standard.get(seed)):
            _add(planner, section, [order] * len(own_draws), fill, own_draws, network, seed)


def _controlled(section: Retraining) -> list[str]:
    return [name for name in section.controlled if name in section.attributions]


def _free_orders(section: Retraining) -> Iterator[tuple[Order, str]]:
    """The orders that ask no trained network, and what fills removed pixels."""
    yield Order(UNTOUCHED), MEAN
    for fill in section.fills:
        yield Order(RANDOM), fill
    for name in section.controls:
        control = CONTROLS[name]
        if not control.of_map:
            yield Order(name), MEAN
        elif not control.of_network:
            for attribution in _controlled(section):
                yield Order(attribution, name), MEAN


def _orders(section: Retraining, model: str, standard: str | None) -> Iterator[tuple[Order, str]]:
    """The orders of one trained network, and what fills removed pixels.

    The standard network's maps, blurred to match, are compared with those of other networks.
    """
    for attribution in section.attributions:
        yield Order(attribution, OWN, model), MEAN
    for attribution in _controlled(section):
        of_network = [name for name in section.controls if CONTROLS[name].of_network]
        for name in of_network:
            reference = standard if name == "blur_matched" else None
            if name != "blur_matched" or (standard is not None and standard != model):
                yield Order(attribution, name, model, reference), MEAN
        if IMPUTED in section.fills:
            for name in (OWN, *(shuffle for shuffle in SHUFFLES if shuffle in of_network)):
                yield Order(attribution, name, model), IMPUTED


def _add(
    planner: "Planner",
    section: Retraining,
    orders: list[Order],
    fill: str,
    draws: range,
    network: Network | None = None,
    seed: int | None = None,
) -> None:
    """The retrainings of an order at every mode, fraction and draw."""
    if fill not in section.fills and not orders[0].untouched:
        return
    training = planner.training.model_copy(update={"epochs": section.epochs, "until": None})
    most = planner.info.train_size
    limit = section.train_limit if (section.train_limit or most) < most else None
    images = (limit or most) * section.epochs
    required = agreement.add(planner)
    for mode, fraction in _points(section, orders[0]):
        for order, draw in zip(orders, draws, strict=True):
            spec = Spec(
                planner.data,
                planner.model,
                training,
                order,
                mode,
                fraction,
                draw,
                fill,
                limit,
                required,
            )
            unit = KIND.unit(
                _label(spec, network, seed),
                spec,
                *filter(None, [order.source, order.reference, required]),
                images=images,
                cost=float(images),
                network=network,
                seed=seed,
            )
            planner.add(unit)


def _points(section: Retraining, order: Order) -> list[tuple[str, float]]:
    """Modes and fractions at which an order is scored."""
    if order.untouched:
        return [("none", 0.0)]
    modes = [m for m in section.modes if order.control != MASKS or MODES[m].top_pixels == "kept"]
    return [(mode, fraction) for mode in modes for fraction in section.fractions]


def _label(spec: Spec, network: Network | None, seed: int | None) -> str:
    control = "" if spec.order.control in (OWN, NO_CONTROL) else f"{spec.order.control} "
    return (
        (f"{network.label} seed {seed} " if network else "")
        + f"{spec.order.attribution} {control}{spec.mode} {spec.fraction:g} {spec.fill}"
        + f" draw {spec.draw}"
    )


def shares(spec: Spec) -> Hashable:
    """The order, whose ranks it retrains with."""
    return None if spec.order.untouched else spec.order


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Retrains one network and evaluates it on the masked test images."""
    return together([spec], context)[0]


def together(specs: list[Spec], context: "Context") -> list[Result[Values]]:
    """Retrainings of one order: at a time those that see the same images (`_same_images`)."""
    results: dict[Spec, Result[Values]] = {}
    for spec in specs:
        if spec not in results:
            some = [s for s in specs if _same_images(s) == _same_images(spec)]
            results |= dict(zip(some, _retrained(some, context), strict=True))
    return [results[spec] for spec in specs]


def _same_images(spec: Spec) -> Hashable:
    """What retrainings have in common that may differ in masks alone; imputation has none."""
    imputed = (spec.mode, spec.fraction) if spec.fill == IMPUTED else None
    return spec.order, spec.fill, imputed


def _retrained(specs: list[Spec], context: "Context") -> list[Result[Values]]:
    """Retrainings that differ in masks, initial weights and order of batches alone."""
    from pellucid.benchmark.training import batched
    from pellucid.benchmark.training.masks import Mask
    from pellucid.benchmark.training.prediction import predicted_classes
    from pellucid.benchmark.units.context import derived_seed

    first = specs[0]
    agreement.require(context, first.agreement, first.training.compute)
    limit = first.train_limit
    x_train, x_test, fill = context.x_train[:limit], context.data.x_test, context.fill
    train_masks: list[Mask] | None = None
    test_masks: list[Mask | None] = [None] * len(specs)
    if first.fill == IMPUTED:
        x_train, x_test = context.imputed(first.order, first.fraction, first.mode, limit)
    elif not first.order.untouched:
        if first.order.control == MASKS:
            x_train, x_test, fill = (
                context.white[:limit],
                np.full_like(x_test, 255),
                np.zeros_like(fill),
            )
        train_ranks, test_ranks = context.ranks(first.order, limit)
        train_masks = [Mask(train_ranks, spec.fraction, spec.mode, fill) for spec in specs]
        test_masks = [Mask(test_ranks, spec.fraction, spec.mode, fill) for spec in specs]

    seeds = [derived_seed("retrain", spec.fraction, spec.draw) for spec in specs]
    networks = [context.initial(first.model, seed) for seed in seeds]
    trained = batched.train_together(
        networks,
        x_train,
        context.data.y_train[: first.train_limit],
        seeds=seeds,
        masks=train_masks,
        way=context.way.name if len(specs) > 1 else "one",
        epochs=first.training.epochs,
        batch_size=first.training.batch_size,
        learning_rate=first.training.learning_rate,
        compute=first.training.compute,
        reshuffle=first.training.reshuffle is not False,
    )
    results = []
    for model, (values, _), mask, seed in zip(networks, trained, test_masks, seeds, strict=True):
        correct = predicted_classes(model, x_test, mask=mask, values=values) == context.data.y_test
        results.append(Result(Values(int(correct.sum()), len(correct), seed, packed(correct))))
    return results


def _repeat(plan: "Plan", unit: Unit) -> int:
    """The number of a unit's draw among those of its base model."""
    section = plan.config.required(Retraining)
    return unit.spec.draw - (unit.seed or 0) * section.repeats


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, attribution, control, fill, mode, fraction, repeat, ..., accuracy.

    `seed` is the base model's. Orders that ask no trained network have the network `none` and the
    seed -1; their repeats are those of all seeds, in order.
    """
    for unit in plan.of(KIND):
        values, spec = store.values(unit), unit.spec
        yield plan.about(unit) | {
            "attribution": spec.order.attribution,
            "control": spec.order.control,
            "fill": spec.fill,
            "mode": spec.mode,
            "fraction": spec.fraction,
            "repeat": _repeat(plan, unit),
            "training_seed": values.seed,
            "hits": values.hits,
            "examples": values.examples,
            "accuracy": values.hits / values.examples,
        }


def scores(finished: Finished, network: str) -> Iterator[Measured]:
    """Every score of a network's maps, and of the controls made of them."""
    if finished.plan.config.section(Retraining) is None:
        return
    for score, values in contributions(outcomes(finished), network):
        trainings, of_images = values.shape[0] * values.shape[1], values.mean(axis=3, keepdims=True)
        yield Measured(str(score), hierarchical.mean(values), trainings, of_images)


def outcomes(finished: Finished) -> Outcomes:
    """Which test images every retrained network of a plan classifies correctly; read once."""
    section = finished.plan.config.required(Retraining)

    def read(finished: Finished) -> Outcomes:
        units = finished.plan.of(KIND)
        classes = finished.plan.info.num_classes
        return gathered(units, finished.store, section.fractions, section.repeats, classes)

    return finished.once("retraining outcomes", read)


def curve(rows: "pd.DataFrame") -> Array:
    """Accuracies of one curve as `(repeats, fractions)`, in order."""
    wide = rows.pivot(index="repeat", columns="fraction", values="accuracy")
    return wide.sort_index().to_numpy()


def of_own_maps(rows: "pd.DataFrame") -> "pd.DataFrame":
    """Of the table of retrainings, the rows of networks' own maps under the paper's fill."""
    return rows[(rows["control"] == OWN) & (rows["fill"] == MEAN)]


def of_random_order(rows: "pd.DataFrame", fill: str = MEAN) -> "pd.DataFrame":
    """The rows of the random order."""
    return _free(rows, RANDOM).query("fill == @fill")


def untouched_accuracy(rows: "pd.DataFrame") -> float:
    """Mean accuracy of the retraining budget on untouched images: the curves' end point."""
    return float(_free(rows, UNTOUCHED)["accuracy"].mean())


def _free(rows: "pd.DataFrame", name: str) -> "pd.DataFrame":
    return rows[(rows["attribution"] == name) & (rows["control"] == NO_CONTROL)]


KIND = Kind(
    name="retrain",
    version=2,
    stage="retraining for ROAR and KAR",
    spec=Spec,
    values=Values,
    work=work,
    plan=plan,
    section=Retraining,
    selectable=True,
    check_data=check_data,
    rows={"retraining": rows},
    scores=scores,
    describe=describe,
    shares=shares,
    together=together,
)
