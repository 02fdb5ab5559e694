"""A configuration as units of work: pure functions of their specification, with stable keys.

A unit's key is a hash of its specification, which holds all that its result depends on: its kind's
version, the data's version, every number of the configuration that it uses, and the keys of the
units whose results it reads. What is stored under a key need not be done again, whoever asks for
it.

Kinds: `train` (a base model), `vae_gan` (the manifold model), `accuracy` (clean, under the paper's
attack and noise), `manifold` (distances of one network's adversarial examples), `pictures`
(gradient maps and adversarial examples to look at), `retrain` (one network of a ROAR or KAR curve),
`tilt` (a boundary's angle, for data in the plane), `robustness` (several attacks at rising radii,
with controls), `autoattack` (robust accuracy), `submitted` (a model from outside, let in),
`agreement` (networks trained in bfloat16 and in float32: whether their accuracies agree).
"""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from robust_interpretability.attacks import NORMS
from robust_interpretability.benchmark.config.configuration import Config
from robust_interpretability.benchmark.data.datasets import Info
from robust_interpretability.models.errors import InputError

VERSIONS: dict[str, int] = {}
"""By kind, raised from 1 when the same specification would give another result: what is stored is then not used."""
BASELINE = "random"
UNTOUCHED = "none"
AGREEING_SEEDS = 5  # with which networks are trained in both types of computation
AUTOATTACK_PASSES = 2000  # of an image, roughly, when half of them survive
SHOWN = 10
"""Reconstructions and samples of the manifold model that are kept to look at."""


@dataclass(frozen=True)
class Network:
    """A way of training: the standard one, against an adversary (`epsilon` in pixel units), or a model from outside."""

    norm: str | None = None
    epsilon: float = 0.0
    loss: str | None = None
    name: str | None = None

    @property
    def label(self) -> str:
        """`standard`, as `l2-0.8-xent`, or the name of a model from outside."""
        if self.name is not None:
            return self.name
        return "standard" if self.norm is None else f"{self.norm}-{self.epsilon:g}-{self.loss}"


@dataclass(frozen=True)
class Unit:
    """One unit of work.

    Attributes:
        kind: Which function does it (see `benchmark.units`).
        label: For people; unique in a plan.
        spec: What the result depends on; JSON values only.
        needs: Keys of the units whose results it reads.
        images: Images it trains on, epochs counted; 0 where it trains nothing.
        cost: Roughly, passes through a network, forward and back; for the estimate of the time
            left.
        tags: What it belongs to (network, seed, attribution, ...), for the tables. Not part of the
            key.
    """

    kind: str
    label: str
    spec: dict[str, Any]
    needs: tuple[str, ...]
    images: int
    cost: float
    tags: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits."""
        text = json.dumps([VERSIONS.get(self.kind, 1), self.kind, self.spec], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def shares(self) -> tuple[str, Any] | None:
        """What names the ranks it retrains with: units of the same name differ in mode, fraction and repeat alone."""
        if self.kind != "retrain" or self.spec["attribution"] == UNTOUCHED:
            return None
        source = self.spec["source"]
        return (source, self.spec["attribution"]) if source else (BASELINE, self.spec["repeat"])


@dataclass(frozen=True)
class Plan:
    """The units of a run, each after what it needs."""

    config: Config
    info: Info
    networks: tuple[Network, ...]
    units: tuple[Unit, ...]

    def of(self, kind: str, **tags: Any) -> Iterator[Unit]:
        """The units of a kind with these tags."""
        return (
            u
            for u in self.units
            if u.kind == kind and all(u.tags.get(k) == v for k, v in tags.items())
        )


def networks(config: Config) -> dict[Network, set[str]]:
    """The networks of the grids and what is measured on each; the standard network, with all measures, first."""
    found: dict[Network, set[str]] = {Network(): {"manifold", "retraining", "tilt"}}
    for grid in config.grid:
        for loss in grid.losses:
            for epsilon in grid.epsilons:
                found.setdefault(Network(grid.norm, epsilon, loss), set()).update(grid.measures)
    return found


def strengths(config: Config) -> dict[str, float]:
    """The largest radius of each norm's grids: attack strength is the radius divided by it."""
    return {
        n: max([e for g in config.grid if g.norm == n for e in g.epsilons], default=1.0)
        for n in NORMS
    }


class _Builder:
    """Collects units; the specifications that several kinds share are made here once."""

    def __init__(self, config: Config, info: Info) -> None:
        self.config, self.info = config, info
        self.units: list[Unit] = []
        self.data = {
            "name": info.name,
            "version": info.version,
            "train": info.train_size,
            "test": info.test_size,
        }
        self.model = config.model.model_dump()
        self.training = config.training.model_dump()
        self.agreement = self._agreement() if config.training.compute != "float32" else None

    def add(
        self,
        kind: str,
        label: str,
        spec: dict,
        needs: tuple[str, ...],
        images: float,
        cost: float,
        **tags: Any,
    ) -> str:
        unit = Unit(kind, label, spec, needs, int(images), float(cost), tags)
        self.units.append(unit)
        return unit.key

    def attack(self, network: Network) -> dict[str, Any] | None:
        if network.norm is None:
            return None
        adversary = self.config.adversary
        step_size = adversary.step_size_l2 if network.norm == "l2" else adversary.step_size_linf
        return {
            "name": adversary.name,
            "norm": network.norm,
            "epsilon": network.epsilon,
            "loss": network.loss,
            "steps": adversary.steps,
            "step_size": step_size,
            "random_start": adversary.random_start,
        }

    def passes(self, attack: dict[str, Any] | None) -> int:
        """Forward and backward passes of a training step."""
        return 1 + (0 if attack is None else attack["steps"] if attack["name"] == "pgd" else 1)

    def _agreement(self) -> str:
        """Trains the standard network and the strongest of the first grid in both types of computation."""
        first = next(iter(self.config.grid), None)
        strongest = (
            []
            if first is None
            else [self.attack(Network(first.norm, max(first.epsilons), first.losses[0]))]
        )
        attacks = [None, *strongest]
        spec = {
            "data": self.data,
            "model": self.model,
            "training": self.training,
            "attacks": attacks,
            "seeds": AGREEING_SEEDS,
        }
        images = 2 * AGREEING_SEEDS * self.info.train_size * self.training["epochs"]
        cost = images * sum(map(self.passes, attacks))
        return self.add(
            "agreement", self.training["compute"], spec, (), images * len(attacks), cost
        )

    def agreed(self, spec: dict[str, Any], *needs: str) -> tuple[dict[str, Any], tuple[str, ...]]:
        """A training's specification and needs, which rest on the agreement where there must be one."""
        if self.agreement is None:
            return spec, needs
        return spec | {"agreement": self.agreement}, (*needs, self.agreement)

    def train(self, network: Network, seed: int) -> str:
        attack = self.attack(network)
        images = self.info.train_size * self.training["epochs"]
        spec = {
            "data": self.data,
            "model": self.model,
            "training": self.training,
            "attack": attack,
            "seed": seed,
        }
        spec, needs = self.agreed(spec)
        label = f"{network.label} seed {seed}"
        cost = images * self.passes(attack)
        return self.add("train", label, spec, needs, images, cost, network=network, seed=seed)

    def vae_gan(self) -> str:
        section = self.config.vae_gan
        if section is None:
            raise InputError("The configuration has no [vae_gan] section.")
        images = self.info.train_size * section.epochs
        spec = {"data": self.data, "vae_gan": section.model_dump(), "seed": 0, "shown": SHOWN}
        return self.add(
            "vae_gan",
            section.name,
            spec,
            (),
            images,
            images * 5 * (1 + section.discriminator_steps),
            seed=0,
        )

    def measure(self, network: Network, seed: int, model: str) -> None:
        tags = {"network": network, "seed": seed}
        label = f"{network.label} seed {seed}"
        evaluation = self.config.evaluation.model_dump()
        n = self.info.train_size + self.info.test_size * (2 + evaluation["steps"])
        self.add(
            "accuracy",
            label,
            {"data": self.data, "model": model, "attack": evaluation},
            (model,),
            0,
            n,
            **tags,
        )

    def robustness(self, network: Network, seed: int, model: str, standard: str) -> None:
        section = self.config.robustness
        if section is None:
            return
        source = (
            standard if standard != model else None
        )  # a network's own examples are PGD's once more
        radii = {norm: list(getattr(section, norm)) for norm in NORMS if getattr(section, norm)}
        spec = {
            "data": self.data,
            "model": model,
            "source": source,
            "radii": radii,
            "steps": section.steps,
            "losses": section.losses,
        }
        passes = section.steps * (len(section.losses) + (source is not None)) + 4
        cost = self.info.test_size * sum(map(len, radii.values())) * passes
        needs = (model,) if source is None else (model, source)
        label = f"{network.label} seed {seed}"
        self.add("robustness", label, spec, needs, 0, cost, network=network, seed=seed)

    def autoattack(self, network: Network, seed: int, model: str) -> None:
        section = self.config.autoattack
        if section is None:
            return
        images = min(section.images or self.info.test_size, self.info.test_size)
        spec = {"data": self.data, "model": model} | section.model_dump() | {"images": images}
        cost = images * AUTOATTACK_PASSES
        self.add(
            "autoattack",
            f"{network.label} seed {seed}",
            spec,
            (model,),
            0,
            cost,
            network=network,
            seed=seed,
        )

    def manifold(
        self, network: Network, seed: int, model: str, standard: str, vae_gan: str
    ) -> None:
        section = self.config.manifold
        if section is None:
            return
        for loss in section.losses:
            attack = {
                "name": "pgd",
                "norm": "l2",
                "epsilon": section.epsilon,
                "loss": loss,
                "steps": section.steps,
                "step_size": section.step_size,
            }
            spec = {
                "data": self.data,
                "model": model,
                "standard": standard,
                "vae_gan": vae_gan,
                "attack": attack,
                "sample_posterior": section.sample_posterior,
            }
            cost = self.info.test_size * (section.steps + 6)
            needs = (model, standard, vae_gan)
            label = f"{network.label} seed {seed} {loss}"
            self.add(
                "manifold",
                label,
                spec,
                needs,
                0,
                cost,
                network=network,
                seed=seed,
                attack_loss=loss,
            )

    def pictures(self, network: Network, seed: int, model: str) -> None:
        section = self.config.manifold
        attack = None
        if section is not None:
            attack = {
                "name": "pgd",
                "norm": "l2",
                "epsilon": section.epsilon,
                "loss": section.losses[0],
                "steps": section.steps,
                "step_size": section.step_size,
            }
        spec = {"data": self.data, "model": model, "images": self.config.pictures, "attack": attack}
        label = f"{network.label} seed {seed}"
        self.add(
            "pictures",
            label,
            spec,
            (model,),
            0,
            self.config.pictures * 100,
            network=network,
            seed=seed,
        )

    def tilt(self, network: Network, seed: int, model: str) -> None:
        section = self.config.tilt
        if section is None:
            return
        attack = {"name": "pgd", "norm": "l2"} | section.model_dump(exclude={"attacked_class"})
        spec = {
            "data": self.data,
            "model": model,
            "attack": attack,
            "class": section.attacked_class,
        }
        cost = self.info.test_size * section.steps / self.info.num_classes
        self.add(
            "tilt",
            f"{network.label} seed {seed}",
            spec,
            (model,),
            0,
            cost,
            network=network,
            seed=seed,
        )

    def retrain(self, model: str | None, attribution: str, tags: dict[str, Any]) -> None:
        """The retrainings of one attribution of one base model, or of the random baseline, or on untouched images."""
        section = self.config.retraining
        if section is None:
            return
        training = self.training | {"epochs": section.epochs}
        images = self.info.train_size * section.epochs
        points = [(mode, fraction) for mode in section.modes for fraction in section.fractions]
        for mode, fraction in [(UNTOUCHED, 0.0)] if attribution == UNTOUCHED else points:
            for repeat in range(section.repeats):
                spec = {
                    "data": self.data,
                    "model": self.model,
                    "training": training,
                    "source": model,
                    "attribution": attribution,
                    "mode": mode,
                    "fraction": fraction,
                    "repeat": repeat,
                }
                if section.content != "image":
                    spec["content"] = section.content
                own = tags | {
                    "attribution": attribution,
                    "mode": mode,
                    "fraction": fraction,
                    "repeat": repeat,
                }
                name = f"{tags['network'].label} seed {tags['seed']} " if model else ""
                label = f"{name}{attribution} {mode} {fraction:g} repeat {repeat}"
                spec, needs = self.agreed(spec, *((model,) if model else ()))
                self.add("retrain", label, spec, needs, images, images, **own)


def build(config: Config, info: Info) -> Plan:
    """The plan of a run.

    Args:
        config: The configuration.
        info: The data set's description, its limits applied (`datasets.describe`).

    Returns:
        The plan. Base models come first, so that what remains can run side by side.
    """
    b = _Builder(config, info)
    measured = networks(config)
    seeds = range(config.seeds)
    models = {(network, seed): b.train(network, seed) for seed in seeds for network in measured}
    vae_gan = b.vae_gan() if config.manifold else ""
    for (network, seed), model in models.items():
        b.measure(network, seed, model)
    for (network, seed), model in models.items():
        b.robustness(network, seed, model, models[Network(), seed])
        b.autoattack(network, seed, model)
    if config.pictures and len(info.shape) == 3:
        for (network, seed), model in models.items():
            b.pictures(network, seed, model)
    for (network, seed), model in models.items():
        if "manifold" in measured[network]:
            b.manifold(network, seed, model, models[Network(), seed], vae_gan)
    for (network, seed), model in models.items():
        if "tilt" in measured[network]:
            b.tilt(network, seed, model)
    if config.retraining:
        b.retrain(None, UNTOUCHED, {})
        b.retrain(None, BASELINE, {})
        for (network, seed), model in models.items():
            if "retraining" in measured[network]:
                for attribution in config.retraining.attributions:
                    b.retrain(model, attribution, {"network": network, "seed": seed})
    return Plan(config, info, tuple(measured), tuple(b.units))


SUBMISSION = Network(name="submission")
"""What the tables call a model from outside."""


def submission(config: Config, info: Info, sha256: str) -> Plan:
    """The plan that measures one model from outside as `build` would measure a network of the grid.

    What it shares with a run of the same configuration (standard network, manifold model, random
    baseline) has the same keys there.

    Args:
        config: The configuration; its grid is not trained.
        info: The data set's description.
        sha256: The model's hash. The model must be stored, as the unit of kind `submitted`, before
            the plan is run.
    """
    b = _Builder(config, info)
    standard = b.train(Network(), 0)
    vae_gan = b.vae_gan() if config.manifold else ""
    model = b.add(
        "submitted", SUBMISSION.label, {"sha256": sha256}, (), 0, 0, network=SUBMISSION, seed=0
    )
    b.measure(SUBMISSION, 0, model)
    b.robustness(SUBMISSION, 0, model, standard)
    b.autoattack(SUBMISSION, 0, model)
    if config.pictures:
        b.pictures(SUBMISSION, 0, model)
    b.manifold(SUBMISSION, 0, model, standard, vae_gan)
    if config.retraining:
        b.retrain(None, UNTOUCHED, {})
        b.retrain(None, BASELINE, {})
        for attribution in config.retraining.attributions:
            b.retrain(model, attribution, {"network": SUBMISSION, "seed": 0})
    return Plan(config, info, (SUBMISSION,), tuple(b.units))


def summary(plan: Plan) -> list[tuple[str, int, int]]:
    """`(kind, number of units, images trained on)` for each kind, in order."""
    units: Counter[str] = Counter(u.kind for u in plan.units)
    images: Counter[str] = Counter()
    for unit in plan.units:
        images[unit.kind] += unit.images
    return [(kind, count, images[kind]) for kind, count in units.items()]
