"""A configuration as a plan: the units of work of a run, each after what it needs."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from pellucid.attacks import NORMS, options
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.data.dataset import Info
from pellucid.benchmark.units.kind import Kind, Row
from pellucid.benchmark.units.kinds import KINDS
from pellucid.benchmark.units.unit import (
    STANDARD,
    SUBMISSION,
    AttackSpec,
    DataSpec,
    Network,
    Unit,
)

S = TypeVar("S")
V = TypeVar("V")


def networks(config: Config) -> dict[Network, set[str]]:
    """The networks of the grids and what is selected for each; the standard network first."""
    selectable = {kind.section.key for kind in KINDS if kind.selectable and kind.section}
    found: dict[Network, set[str]] = {STANDARD: selectable}
    for grid in config.grid:
        for loss in grid.losses:
            for epsilon in grid.epsilons:
                network = Network(grid.norm, epsilon, loss)
                found.setdefault(network, set()).update(grid.measures)
    return found


def strengths(config: Config) -> dict[str, float]:
    """The largest radius of each norm's grids: attack strength is the radius divided by it."""
    return {
        norm: max([e for g in config.grid if g.norm == norm for e in g.epsilons], default=1.0)
        for norm in NORMS
    }


@dataclass(frozen=True)
class Plan:
    """The units of a run, each after what it needs."""

    config: Config
    info: Info
    networks: tuple[Network, ...]
    units: tuple[Unit, ...]

    def of(
        self, kind: Kind[S, V], *, network: Network | None = None, seed: int | None = None
    ) -> Iterator[Unit[S, V]]:
        """The units of a kind; of one network or seed alone where it is named."""
        for unit in self.units:
            if unit.kind is kind and network in (None, unit.network) and seed in (None, unit.seed):
                yield unit

    def columns(self, network: Network) -> Row:
        """The columns of a table that say which network a row is about."""
        radius = strengths(self.config)[network.norm] if network.norm else 1.0
        return {
            "network": network.label,
            "norm": network.norm or "none",
            "epsilon": network.epsilon,
            "strength": network.epsilon / radius,
            "loss": network.loss or "none",
        }

    def about(self, unit: Unit) -> Row:
        """As `columns`, with the unit's seed: `none` and -1 for a unit of no network."""
        if unit.network is None:
            return self.columns(Network(name="none")) | {"seed": -1}
        return self.columns(unit.network) | {"seed": unit.seed}


class BaseModel(NamedTuple):
    """A network that is measured, its seed, and the key of its model."""

    network: Network
    seed: int
    model: str


class Planner:
    """What kinds of units add their units to.

    Args:
        config: The configuration.
        info: The data set's description, its limits applied.
        submitted: Hash of a submitted model that is measured in place of the grid.

    Attributes:
        data: The data as it stands in specifications.
        measured: The networks to measure.
        standard: By seed, the key of the standard network's model.
    """

    def __init__(self, config: Config, info: Info, submitted: str | None = None) -> None:
        self.config, self.info, self.submitted = config, info, submitted
        self.model, self.training = config.model, config.training
        self.data = DataSpec(info.name, info.version, info.train_size, info.test_size)
        self.networks = networks(config)
        self.measured: list[BaseModel] = []
        self.standard: dict[int, str] = {}
        self.units: dict[str, Unit] = {}

    def add(self, unit: Unit) -> str:
        """Adds a unit where the plan does not have it yet; returns its key."""
        self.units.setdefault(unit.key, unit)
        return unit.key

    def measure(self, network: Network, seed: int, model: str) -> None:
        """Has a network measured; `model` is the key of the unit that holds it."""
        self.measured.append(BaseModel(network, seed, model))
        if network == STANDARD:
            self.standard[seed] = model

    def selected(self, measure: str) -> list[BaseModel]:
        """The networks whose grids ask for a measure; a submitted model has every measure."""
        return [
            base
            for base in self.measured
            if base.network == SUBMISSION or measure in self.networks[base.network]
        ]

    def training_attack(self, network: Network) -> AttackSpec | None:
        """The adversary that a network is trained against; None for the standard network."""
        if network.norm is None or network.loss is None:
            return None
        adversary = self.config.adversary
        step_sizes = {"l2": adversary.step_size_l2, "linf": adversary.step_size_linf}
        return AttackSpec(
            adversary.name,
            network.norm,
            network.epsilon,
            network.loss,
            adversary.steps,
            step_sizes[network.norm],
            random_start=adversary.random_start,
            **adversary.published(),
        )

    def passes(self, attack: AttackSpec | None) -> int:
        """Forward and backward passes of a training step."""
        if attack is None:
            return 1
        return 1 + (attack.steps if "steps" in options(attack.name) else 1)


def build(config: Config, info: Info) -> Plan:
    """The plan of a run.

    Args:
        config: The configuration.
        info: The data set's description, its limits applied (`datasets.describe`).

    Returns:
        The plan. Base models come first, so that what remains can run side by side.
    """
    return _planned(Planner(config, info))


def submission(config: Config, info: Info, sha256: str) -> Plan:
    """The plan that measures a submitted model as `build` would measure a network of the grid.

    What it shares with a run of the same configuration (standard network, manifold model, random
    order) has the same keys there.

    Args:
        config: The configuration; its grid is not trained.
        info: The data set's description.
        sha256: The model's hash. The model must be stored, as the unit of kind `submitted`, before
            the plan is run.
    """
    return _planned(Planner(config, info, sha256))


def _planned(planner: Planner) -> Plan:
    for kind in KINDS:
        kind.plan(planner)
    measured = tuple(dict.fromkeys(base.network for base in planner.measured))
    return Plan(planner.config, planner.info, measured, tuple(planner.units.values()))


def summary(plan: Plan) -> list[tuple[str, int, int]]:
    """`(kind, number of units, images trained on)` for each kind, in order."""
    units: Counter[str] = Counter(unit.kind.name for unit in plan.units)
    images: Counter[str] = Counter()
    for unit in plan.units:
        images[unit.kind.name] += unit.images
    return [(kind, count, images[kind]) for kind, count in units.items()]
