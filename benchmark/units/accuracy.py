"""Accuracy on training and test images, under the paper's attack, and under noise of its norm."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import field_validator

from robust_interpretability.attacks import LOSSES, NORMS
from robust_interpretability.benchmark.config.sections import (
    Count,
    Positive,
    Radius,
    Section,
    known,
)
from robust_interpretability.benchmark.units import autoattack
from robust_interpretability.benchmark.units.kind import Description, Kind, Measured, Row
from robust_interpretability.benchmark.units.unit import AttackSpec, DataSpec, Result, to_json
from robust_interpretability.metrics import statistics
from robust_interpretability.models.types import Array

if TYPE_CHECKING:
    import pandas as pd

    from robust_interpretability.benchmark.units.context import Context
    from robust_interpretability.benchmark.units.plan import Plan, Planner
    from robust_interpretability.benchmark.units.store import Store

TITLES = {
    "test_accuracy": "test accuracy",
    "robust_accuracy": "robust accuracy",
    "pgd_accuracy": "accuracy under PGD (the paper's)",
    "fgsm_accuracy": "accuracy under FGSM",
    "noise_accuracy": "accuracy under noise",
}


class Evaluation(Section):
    """The paper's attack, a column of its own; noise of the same norm is its control."""

    key: ClassVar[str] = "evaluation"

    name: Literal["pgd", "fgsm"] = "pgd"
    norm: str = "l2"
    epsilon: Radius
    loss: str = "xent"
    steps: Count = 40
    step_size: Positive = 1.0
    random_start: bool = False
    restarts: Count = 1

    _norm = field_validator("norm")(known("norm", NORMS))
    _loss = field_validator("loss")(known("attack loss", LOSSES))


@dataclass(frozen=True)
class Spec:
    """The network and the attack it is evaluated under."""

    data: DataSpec
    model: str
    attack: AttackSpec


class Hits(NamedTuple):
    """Correctly classified images, of how many."""

    hits: int
    examples: int


@dataclass(frozen=True)
class Values:
    """Correct classifications; `robust`: under the paper's attack. `mean_change`: its mean norm."""

    train: Hits
    test: Hits
    robust: Hits
    noise: Hits
    mean_change: float


def plan(planner: "Planner") -> None:
    """Every network."""
    attack = AttackSpec(**to_json(planner.config.required(Evaluation)))
    for network, seed, model in planner.measured:
        passes = planner.info.train_size + planner.info.test_size * (2 + attack.steps)
        unit = KIND.unit(
            f"{network.label} seed {seed}",
            Spec(planner.data, model, attack),
            model,
            cost=float(passes),
            network=network,
            seed=seed,
        )
        planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Attacks the test images and counts what is classified correctly."""
    from robust_interpretability.attacks.attack import Attack, run
    from robust_interpretability.benchmark.training.prediction import predicted_classes
    from robust_interpretability.benchmark.units.context import derived_seed
    from robust_interpretability.models.checks import as_floats

    model, data = context.model(spec.model), context.data
    x, y = data.x_test, data.y_test
    attack = spec.attack.attack()
    x_adv = run(attack, model, x, y, seed=derived_seed("evaluation"))
    noise = Attack("noise", attack.norm, attack.epsilon)
    x_noise = run(noise, model, x, y, seed=derived_seed("noise"))

    change = x_adv - as_floats(x)
    flat = change.reshape(len(change), -1)
    if attack.norm == "linf":
        norms = np.abs(flat).max(1)
    else:
        norms = np.sqrt((flat.astype(np.float64) ** 2).sum(1))

    def hits(images: Array, labels: Array) -> Hits:
        return Hits(int((predicted_classes(model, images) == labels).sum()), len(labels))

    return Result(
        Values(
            train=hits(data.x_train, data.y_train),
            test=hits(x, y),
            robust=hits(x_adv, y),
            noise=hits(x_noise, y),
            mean_change=float(norms.mean()),
        )
    )


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, measure, hits, examples, accuracy, change.

    Measures: train, test, robust (AutoAttack), the paper's attack by its name (pgd or fgsm), and
    noise. `change` is the mean norm of the paper's attack, in pixel units.
    """
    paper = plan.config.required(Evaluation).name
    robust = {(unit.network, unit.seed): store.values(unit) for unit in plan.of(autoattack.KIND)}
    for unit in plan.of(KIND):
        values = store.values(unit)
        counts = {"train": values.train, "test": values.test}
        if attacked := robust.get((unit.network, unit.seed)):
            counts["robust"] = Hits(attacked.robust, attacked.examples)
        counts |= {paper: values.robust, "noise": values.noise}
        for measure, (hits, examples) in counts.items():
            yield plan.about(unit) | {
                "measure": measure,
                "hits": hits,
                "examples": examples,
                "accuracy": hits / examples,
                "change": values.mean_change if measure == paper else np.nan,
            }


def scores(tables: "dict[str, pd.DataFrame]", network: str) -> Iterator[Measured]:
    """Every accuracy: with Wilson's interval, over several seeds with Student's."""
    table = tables["accuracy"]
    for measure, part in table[table["network"] == network].groupby("measure", sort=False):
        if len(part) == 1:
            found = statistics.proportion(part["hits"].iloc[0], part["examples"].iloc[0])
        else:
            found = statistics.mean(part["accuracy"].to_numpy())
        yield Measured(f"{measure}_accuracy", found, len(part))


def describe(score: str) -> Description | None:
    """Accuracies."""
    return Description(TITLES[score]) if score in TITLES else None


KIND = Kind(
    name="accuracy",
    version=1,
    stage="measuring accuracy",
    spec=Spec,
    values=Values,
    work=work,
    plan=plan,
    section=Evaluation,
    required=True,
    rows={"accuracy": rows},
    scores=scores,
    describe=describe,
)
