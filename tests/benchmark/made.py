"""Made-up kinds and units: what a schedule, a store or a pool needs of them, without any work."""

from collections.abc import Callable
from dataclasses import dataclass

from pellucid.benchmark.units.kind import Kind
from pellucid.benchmark.units.unit import Result, Unit


@dataclass(frozen=True)
class Spec:
    name: str


@dataclass(frozen=True)
class Values:
    accuracy: float = 0.5


def nothing(spec: Spec, context: object) -> Result[Values]:
    return Result(Values())


def kind(
    name: str = "train", stage: str = "training base models", shares: Callable = lambda spec: None
) -> Kind[Spec, Values]:
    return Kind(name, 1, stage, Spec, Values, nothing, shares=shares)


TRAIN, RETRAIN = kind(), kind("retrain", "retraining for ROAR and KAR")


def unit(name: str, *needs: Unit, of: Kind = TRAIN, cost: float = 1) -> Unit[Spec, Values]:
    return of.unit(name, Spec(name), *(need.key for need in needs), cost=cost)
