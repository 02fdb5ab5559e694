"""How far a network's adversarial examples lie from the image manifold."""

import re
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
from pellucid.benchmark.units import vae_gan
from pellucid.benchmark.units.kind import (
    Description,
    Finished,
    Kind,
    Measured,
    Row,
)
from pellucid.benchmark.units.unit import AttackSpec, DataSpec, Result
from pellucid.metrics import statistics
from pellucid.models.errors import InputError

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store

DISTANCES = ("clean_distance", "adversarial_distance", "noise_distance")


class Manifold(PublishedAttack):
    """The L2 attack whose examples are measured against the manifold. Lengths in pixel units.

    Attributes:
        epsilon: Radius.
        steps: Gradient steps.
        step_size: Length of a step.
        losses: The attack's losses: `"xent"`, `"cw"`.
        sample_posterior: Whether a draw of the posterior is decoded, as in the published code, in
            place of its mean.
    """

    key: ClassVar[str] = "manifold"

    epsilon: Positive
    steps: Count = 40
    step_size: Positive = 1.0
    losses: Annotated[list[str], Field(min_length=1)] = ["xent"]
    sample_posterior: bool = False

    _losses = field_validator("losses")(known("attack loss", LOSSES))

    def attack(self, loss: str) -> AttackSpec:
        """The attack with one of its losses."""
        length = self.step_size
        return AttackSpec("pgd", "l2", self.epsilon, loss, self.steps, length, **self.published())


@dataclass(frozen=True)
class Spec:
    """The network, the standard network, the manifold model and the attack."""

    data: DataSpec
    model: str
    standard: str
    vae_gan: str
    attack: AttackSpec
    sample_posterior: bool


@dataclass(frozen=True)
class Values:
    """Counts of images, and the mean L2 norm of the changes in pixel units.

    Attributes:
        kept: Examples that change the standard network's prediction.
        examples: Test images.
        fooled_own: Examples that change the attacked network's own prediction.
        mean_change: Mean L2 norm.
    """

    kept: int
    examples: int
    fooled_own: int
    mean_change: float


def check_config(config: Config) -> None:
    """Raises `InputError` where there is no manifold model to measure against."""
    if config.section(Manifold) and not config.section(vae_gan.VaeGanSection):
        raise InputError("[manifold] needs a [vae_gan] section.")


def plan(planner: "Planner") -> None:
    """The networks of the grids that ask for it, with each loss."""
    section = planner.config.section(Manifold)
    if section is None:
        return
    model_of_manifold = vae_gan.add(planner)
    for network, seed, model in planner.selected("manifold"):
        for loss in section.losses:
            standard = planner.standard[seed]
            spec = Spec(
                planner.data,
                model,
                standard,
                model_of_manifold,
                section.attack(loss),
                section.sample_posterior,
            )
            unit = KIND.unit(
                f"{network.label} seed {seed} {loss}",
                spec,
                model,
                standard,
                model_of_manifold,
                cost=float(planner.info.test_size * (section.steps + 6)),
                network=network,
                seed=seed,
            )
            planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Distances of clean images, of adversarial examples and of noise of the same norm."""
    from pellucid.attacks.attack import Attack, run
    from pellucid.benchmark.training.prediction import predicted_classes
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import densities, manifold
    from pellucid.models.checks import as_floats
    from pellucid.models.vae_gan import VaeGan

    model, standard = context.model(spec.model), context.model(spec.standard)
    encoder, decoder = (context.model(spec.vae_gan, name) for name in ("encoder", "decoder"))
    x, y = context.data.x_test, context.data.y_test

    x_adv = run(spec.attack.attack(), model, x, y, seed=derived_seed("manifold"))
    change = (x_adv - as_floats(x)).reshape(len(x), -1)
    norms = np.sqrt(np.sum(change**2, axis=1, dtype=np.float64))
    x_noise = run(
        Attack("noise", "l2", spec.attack.epsilon),
        model,
        x,
        y,
        epsilon=norms.astype(np.float32),
        seed=derived_seed("manifold noise"),
    )

    distances = {}
    for name, images in (("clean", x), ("adversarial", x_adv), ("noise", x_noise)):
        seed = derived_seed("posterior", name) if spec.sample_posterior else None
        distances[f"{name}_distance"] = manifold.manifold_distance(
            images, VaeGan(encoder, decoder, None), sample_seed=seed
        )
    changes_standard = densities.kept(
        predicted_classes(standard, x), predicted_classes(standard, x_adv)
    )
    changes_own = predicted_classes(model, x) != predicted_classes(model, x_adv)
    values = Values(
        kept=int(changes_standard.sum()),
        examples=len(x),
        fooled_own=int(changes_own.sum()),
        mean_change=float(norms.mean()),
    )
    return Result(values, distances | {"kept": changes_standard, "change": norms})


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, attack_loss, image, kept, change, and three distances.

    One row per test image. `change` is an L2 norm in pixel units; distances are in paper units.
    """
    for unit in plan.of(KIND):
        arrays = store.arrays(unit)
        columns = plan.about(unit) | {"attack_loss": unit.spec.attack.loss}
        for image in range(len(arrays["kept"])):
            yield columns | {
                "image": image,
                **{name: arrays[name][image] for name in ("kept", "change", *DISTANCES)},
            }


def scores(finished: Finished, network: str) -> Iterator[Measured]:
    """For each loss: the mean distance of kept examples, and paired differences of distances."""
    table = finished.tables["manifold"]
    if table.empty:
        return
    table = table[table["network"] == network]
    for loss, part in table.groupby("attack_loss", sort=False):
        seeds = part["seed"].nunique()
        images = [part.pivot(index="seed", columns="image", values=name) for name in DISTANCES]
        clean, adversarial, noise = (values.to_numpy() for values in images)
        compared = {
            "excess": (adversarial, clean),
            "noise_excess": (noise, clean),
            "excess_over_noise": (adversarial, noise),
        }
        kept = part.loc[part["kept"], "adversarial_distance"].to_numpy()
        if len(kept):
            yield Measured(f"manifold_{loss}_kept_distance", statistics.mean(kept), seeds)
        for name, (first, second) in compared.items():
            found = statistics.mean(first.mean(axis=0) - second.mean(axis=0))
            by_image = (first - second)[:, None, None, :]
            yield Measured(f"manifold_{loss}_{name}", found, seeds, by_image)


def describe(score: str) -> Description | None:
    """The excess over noise, which is set against accuracy."""
    match = re.fullmatch(r"manifold_([a-z]+)_excess_over_noise", score)
    return Description(f"manifold excess ({match[1]})", "lower") if match else None


KIND = Kind(
    name="manifold",
    version=1,
    stage="measuring manifold distances",
    spec=Spec,
    values=Values,
    work=work,
    plan=plan,
    section=Manifold,
    selectable=True,
    check_config=check_config,
    rows={"manifold": rows},
    scores=scores,
    describe=describe,
)
