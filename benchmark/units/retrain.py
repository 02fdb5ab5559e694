"""ROAR and KAR: a network retrained on images without, or with only, the most important pixels."""

from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from robust_interpretability.benchmark.config.sections import (
    Config,
    Count,
    Fraction,
    Model,
    Section,
    Training,
    increasing,
    known,
)
from robust_interpretability.benchmark.data.dataset import Info
from robust_interpretability.benchmark.units import agreement
from robust_interpretability.benchmark.units.kind import Description, Kind, Measured, Row
from robust_interpretability.benchmark.units.unit import (
    DataSpec,
    Network,
    Result,
    added_later,
)
from robust_interpretability.metrics import ATTRIBUTIONS, MODES, retraining
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from robust_interpretability.benchmark.units.context import Context
    from robust_interpretability.benchmark.units.plan import Plan, Planner
    from robust_interpretability.benchmark.units.store import Store

BASELINE = "random"
"""The attribution's name of the random order, with which every curve is compared."""
UNTOUCHED = "none"
"""The attribution's name where no pixel is removed: the end points of the curves."""
NOBODY = Network(name="none")
"""In the tables, the network of the random order and of untouched images."""


class Retraining(Section):
    """ROAR and KAR.

    Attributes:
        content: What the retrained networks see: masked images or, as a control, the masks alone
            (kept pixels white, removed ones black).
    """

    key: ClassVar[str] = "retraining"

    attributions: Annotated[list[str], Field(min_length=1)] = list(ATTRIBUTIONS)
    modes: Annotated[list[str], Field(min_length=1)] = list(MODES)
    fractions: Annotated[list[Fraction], Field(min_length=1)] = [0.1, 0.3, 0.5, 0.7, 0.9]
    repeats: Count = 3
    epochs: Count
    content: Literal["image", "mask"] = "image"

    _attributions = field_validator("attributions")(known("attribution", ATTRIBUTIONS))
    _modes = field_validator("modes")(known("mode", MODES))
    _fractions = field_validator("fractions")(increasing("fractions"))


@dataclass(frozen=True)
class Spec:
    """One retraining: without a `source`, on pixels in random order or on untouched images."""

    data: DataSpec
    model: Model
    training: Training
    source: str | None
    attribution: str
    mode: str
    fraction: float
    repeat: int
    content: str = added_later("image")
    agreement: str | None = added_later(None)


@dataclass(frozen=True)
class Values:
    """Correctly classified masked test images, and the seed of the training."""

    hits: int
    examples: int
    seed: int


def check_data(config: Config, info: Info) -> None:
    """Raises `InputError` where the data are not images."""
    if config.section(Retraining) and len(info.shape) != 3:
        raise InputError(
            f"ROAR and KAR need images of shape (h, w, c). '{info.name}' has shape {info.shape}."
        )


def plan(planner: "Planner") -> None:
    """Untouched images, the random order, then every attribution of the selected networks."""
    section = planner.config.section(Retraining)
    if section is None:
        return
    _add(planner, section, UNTOUCHED)
    _add(planner, section, BASELINE)
    for network, seed, model in planner.selected("retraining"):
        for attribution in section.attributions:
            _add(planner, section, attribution, model, network, seed)


def _add(
    planner: "Planner",
    section: Retraining,
    attribution: str,
    model: str | None = None,
    network: Network | None = None,
    seed: int | None = None,
) -> None:
    """The retrainings of one attribution of one base model, or of those without a base model."""
    training = planner.training.model_copy(update={"epochs": section.epochs})
    images = planner.info.train_size * section.epochs
    points = [(mode, fraction) for mode in section.modes for fraction in section.fractions]
    required = agreement.add(planner)
    about = f"{network.label} seed {seed} " if network else ""
    for mode, fraction in [("none", 0.0)] if attribution == UNTOUCHED else points:
        for repeat in range(section.repeats):
            spec = Spec(
                planner.data,
                planner.model,
                training,
                model,
                attribution,
                mode,
                fraction,
                repeat,
                section.content,
                required,
            )
            unit = KIND.unit(
                f"{about}{attribution} {mode} {fraction:g} repeat {repeat}",
                spec,
                *filter(None, [model, required]),
                images=images,
                cost=float(images),
                network=network,
                seed=seed,
            )
            planner.add(unit)


def shares(spec: Spec) -> Hashable:
    """The ranks it retrains with: units that share them differ in mode, fraction and repeat."""
    if spec.attribution == UNTOUCHED:
        return None
    return (spec.source, spec.attribution) if spec.source else (BASELINE, spec.repeat)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Retrains one network and evaluates it on the masked test images."""
    return together([spec], context)[0]


def together(specs: list[Spec], context: "Context") -> list[Result[Values]]:
    """Retrainings that share their ranks: they differ in mode, fraction and repeat alone."""
    from robust_interpretability.benchmark.training import batched
    from robust_interpretability.benchmark.training.masks import Mask
    from robust_interpretability.benchmark.training.prediction import predicted_classes
    from robust_interpretability.benchmark.units.context import derived_seed

    first = specs[0]
    agreement.require(context, first.agreement, first.training.compute)
    x_train, x_test, fill = context.x_train, context.data.x_test, context.fill
    if first.content == "mask":
        x_train, x_test, fill = context.white, np.full_like(x_test, 255), np.zeros_like(fill)

    train_masks: list[Mask] | None = None
    test_masks: list[Mask | None] = [None] * len(specs)
    if first.attribution != UNTOUCHED:
        train_ranks, test_ranks = context.ranks(first.source, first.attribution, first.repeat)
        train_masks = [Mask(train_ranks, spec.fraction, spec.mode, fill) for spec in specs]
        test_masks = [Mask(test_ranks, spec.fraction, spec.mode, fill) for spec in specs]

    seeds = [derived_seed("retrain", spec.repeat) for spec in specs]
    networks = [context.initial(first.model, seed) for seed in seeds]
    trained = batched.train_together(
        networks,
        x_train,
        context.data.y_train,
        seeds=seeds,
        masks=train_masks,
        way=context.way.name if len(specs) > 1 else "one",
        epochs=first.training.epochs,
        batch_size=first.training.batch_size,
        learning_rate=first.training.learning_rate,
        compute=first.training.compute,
    )
    results = []
    for model, (values, _), mask, seed in zip(networks, trained, test_masks, seeds, strict=True):
        classes = predicted_classes(model, x_test, mask=mask, values=values)
        correct = classes == context.data.y_test
        results.append(Result(Values(int(correct.sum()), len(correct), seed)))
    return results


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, attribution, mode, fraction, repeat, training_seed, hits, ..., accuracy.

    `seed` is the base model's. The random order and the untouched images have no base model: their
    network is `none` and their seed -1.
    """
    for unit in plan.of(KIND):
        values, spec = store.values(unit), unit.spec
        yield plan.about(unit) | {
            "attribution": spec.attribution,
            "mode": spec.mode,
            "fraction": spec.fraction,
            "repeat": spec.repeat,
            "training_seed": values.seed,
            "hits": values.hits,
            "examples": values.examples,
            "accuracy": values.hits / values.examples,
        }


def curve(rows: "pd.DataFrame") -> Array:
    """Accuracies of one curve as `(repeats, fractions)`, in order."""
    wide = rows.pivot(index="repeat", columns="fraction", values="accuracy")
    return wide.sort_index().to_numpy()


def untouched_accuracy(rows: "pd.DataFrame") -> float:
    """Mean accuracy of the retraining budget on untouched images: the curves' end point."""
    return float(rows.loc[rows["attribution"] == UNTOUCHED, "accuracy"].mean())


def scores(tables: "dict[str, pd.DataFrame]", network: str) -> Iterator[Measured]:
    """For each mode and attribution: the area between its curve and the random order's."""
    table = tables["retraining"]
    if table.empty:
        return
    baseline = table[table["attribution"] == BASELINE]
    measured = table[table["network"] == network]
    for (mode, attribution), part in measured.groupby(["mode", "attribution"], sort=False):
        fractions = np.sort(part["fraction"].unique())
        accuracies = [curve(rows) for _, rows in part.groupby("seed")]
        random = curve(baseline[baseline["mode"] == mode])
        found = retraining.score(
            [retraining.Curve(mode, fractions, accuracy) for accuracy in accuracies],
            retraining.Curve(mode, fractions, random),
        )
        yield Measured(f"{mode}_{attribution}", found, sum(map(len, accuracies)))


def describe(score: str) -> Description | None:
    """ROAR and KAR of an attribution: both are set against accuracy."""
    mode, _, attribution = score.partition("_")
    if mode not in MODES or attribution not in ATTRIBUTIONS:
        return None
    return Description(f"{mode.upper()} {ATTRIBUTIONS[attribution].letter}", "higher")


KIND = Kind(
    name="retrain",
    version=1,
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
