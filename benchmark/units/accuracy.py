"""Accuracy on training and test images, under the paper's attack, and under noise of its norm."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import numpy as np
from pydantic import field_validator

from pellucid.attacks import LOSSES, NORMS
from pellucid.benchmark.config.sections import (
    Count,
    Positive,
    PublishedAttack,
    Radius,
    known,
)
from pellucid.benchmark.data.embedded import draw_of, drawn
from pellucid.benchmark.units import autoattack
from pellucid.benchmark.units.kind import (
    Description,
    Finished,
    Kind,
    Measured,
    Row,
)
from pellucid.benchmark.units.unit import (
    FORWARD,
    AttackSpec,
    DataSpec,
    Result,
    added_later,
    packed,
    to_json,
    unpacked,
)
from pellucid.metrics import hierarchical, statistics
from pellucid.models.types import Array

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store

TITLES = {
    "test_accuracy": "test accuracy",
    "robust_accuracy": "robust accuracy",
    "pgd_accuracy": "accuracy under PGD (the paper's)",
    "fgsm_accuracy": "accuracy under FGSM",
    "noise_accuracy": "accuracy under noise",
}


class Evaluation(PublishedAttack):
    """The paper's attack, a column of its own; noise of the same norm is its control.

    Attributes:
        name: The attack.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units.
        loss: `"xent"` or `"cw"`.
        steps: Gradient steps of a run.
        step_size: Length of a step in pixel units.
        random_start: Whether it starts at a random point of the ball.
        restarts: Number of runs.
    """

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
    """The network and the attack it is evaluated under.

    Attributes:
        draw: As in `train.Spec`.
    """

    data: DataSpec
    model: str
    attack: AttackSpec
    draw: int = added_later(0)


class Hits(NamedTuple):
    """Correctly classified images, of how many."""

    hits: int
    examples: int


@dataclass(frozen=True)
class Values:
    """Correct classifications; `robust`: under the paper's attack. `mean_change`: its mean norm.

    `correct` says of each but `train` which test images those are (`unit.packed`).
    """

    train: Hits
    test: Hits
    robust: Hits
    noise: Hits
    mean_change: float
    correct: dict[str, str]

    def outcomes(self, measure: str) -> Array:
        """Which test images are classified correctly: on `"test"`, `"robust"` or `"noise"`."""
        return unpacked(self.correct[measure], self.test.examples)


def plan(planner: "Planner") -> None:
    """Every network."""
    attack = AttackSpec(**to_json(planner.config.required(Evaluation)))
    for network, seed, model in planner.measured:
        train, test = planner.info.train_size, planner.info.test_size
        passes = test * attack.steps + FORWARD * (train + 3 * test)
        unit = KIND.unit(
            f"{network.label} seed {seed}",
            Spec(planner.data, model, attack, draw_of(seed, planner.data.name)),
            model,
            cost=passes,
            network=network,
            seed=seed,
        )
        planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Attacks the test images and counts what is classified correctly."""
    from pellucid.attacks.attack import Attack, run
    from pellucid.benchmark.training.prediction import predicted_classes
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.models.checks import as_floats

    model, data = context.model(spec.model), drawn(context.data, spec.draw)
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

    images = {"test": x, "robust": x_adv, "noise": x_noise}
    correct = {name: predicted_classes(model, found) == y for name, found in images.items()}
    hits = {name: Hits(int(which.sum()), len(y)) for name, which in correct.items()}
    of_training = predicted_classes(model, data.x_train) == data.y_train
    return Result(
        Values(
            train=Hits(int(of_training.sum()), len(of_training)),
            **hits,
            mean_change=float(norms.mean()),
            correct={name: packed(which) for name, which in correct.items()},
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


def scores(finished: Finished, network: str) -> Iterator[Measured]:
    """Every accuracy: with Wilson's interval, over several seeds with that over seeds and images.

    Student's intervals are cut off at 0 and 1, beyond which no accuracy lies. On training images,
    which are those that the networks saw, the interval is over seeds alone.
    """
    table = finished.tables["accuracy"]
    for measure, part in table[table["network"] == network].groupby("measure", sort=False):
        if len(part) == 1:
            found = statistics.proportion(part["hits"].iloc[0], part["examples"].iloc[0])
        elif measure == "train":
            found = statistics.mean(part["accuracy"].to_numpy())
        else:
            outcomes = of_images(finished, network, str(measure))
            found = hierarchical.mean(np.asarray(outcomes, np.float32)[:, None, None, :])
        low, high = np.clip([found.low, found.high], 0.0, 1.0).tolist()
        yield Measured(f"{measure}_accuracy", found._replace(low=low, high=high), len(part))


def of_images(finished: Finished, network: str, measure: str) -> list[Array]:
    """Which test images a network classifies correctly, for each seed.

    Args:
        finished: The finished plan.
        network: The network's label.
        measure: `test`, `robust` (under AutoAttack), `noise`, or the paper's attack.
    """
    from pellucid.attacks.autoattack.ensemble import SURVIVED

    plan, store = finished.plan, finished.store
    if measure == "robust":
        units = [u for u in plan.of(autoattack.KIND) if u.network and u.network.label == network]
        return [store.arrays(unit)["broken_by"] == SURVIVED for unit in units]
    name = "noise" if measure == "noise" else "test" if measure == "test" else "robust"
    own = [unit for unit in plan.of(KIND) if unit.network and unit.network.label == network]
    return [store.values(unit).outcomes(name) for unit in own]


def describe(score: str) -> Description | None:
    """Accuracies."""
    return Description(TITLES[score]) if score in TITLES else None


KIND = Kind(
    name="accuracy",
    version=2,
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
