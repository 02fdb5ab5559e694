"""A submitted model that was admitted: its stored copy stands where a trained network would."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.benchmark.units.kind import Kind
from pellucid.benchmark.units.unit import SUBMISSION, Result
from pellucid.models.errors import InputError

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Planner


@dataclass(frozen=True)
class Spec:
    """The model's hash, of architecture and weights."""

    sha256: str


@dataclass(frozen=True)
class Values:
    """What the confined process measured when the model was admitted."""

    probe: dict[str, float | int | bool]


def plan(planner: "Planner") -> None:
    """The submitted model, where one is measured."""
    if planner.submitted is None:
        return
    unit = KIND.unit(SUBMISSION.label, Spec(planner.submitted), network=SUBMISSION, seed=0)
    planner.measure(SUBMISSION, 0, planner.add(unit))


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Stored when the model is admitted, never computed.

    Raises:
        InputError: Always: the stored model is missing or damaged.
    """
    raise InputError("The admitted model is missing from the run's folder. Submit it again.")


KIND = Kind(
    name="submitted",
    version=1,
    stage="admitting the model",
    spec=Spec,
    values=Values,
    work=work,
    plan=plan,
)
