"""The outcome of one attack of AutoAttack on a block of images, stored so that a run resumes."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.benchmark.units.kind import Kind
from pellucid.benchmark.units.unit import Result, Unit, to_json
from pellucid.models.types import Array, Json

if TYPE_CHECKING:
    from pellucid.benchmark.robustness.accuracy import OutcomeCache
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.store import Store


@dataclass(frozen=True)
class PartSpec:
    """One attack of an ensemble on one block of images.

    Attributes:
        of: The specification of the evaluation that it is a part of.
        block: Number of the block.
        images_in_block: Its size.
        attack: The attack's name.
    """

    of: object
    block: int
    images_in_block: int
    attack: str

    def json(self) -> Json:
        """As it is hashed: beside the evaluation's own fields."""
        return to_json(self.of) | {
            "block": self.block,
            "images_in_block": self.images_in_block,
            "attack": self.attack,
        }


@dataclass(frozen=True)
class NoValues:
    """A part has arrays only."""


def outcomes_in(store: "Store", spec: object, label: str) -> "Callable[[int], OutcomeCache]":
    """Stores the outcomes of the attacks, block by block.

    Args:
        store: The store.
        spec: What the outcomes depend on, a frozen dataclass: the model, the images and labels,
            norm, radius, version, seed.
        label: What they are called in file names.

    Returns:
        Given a block's number, where the outcomes of its attacks are read and written.
    """
    from pellucid.benchmark import environment
    from pellucid.benchmark.robustness.accuracy import BLOCK, OutcomeCache

    def block(number: int) -> "OutcomeCache":
        def unit(attack: str) -> Unit[PartSpec, NoValues]:
            part = PartSpec(spec, number, BLOCK, attack)
            return KIND.unit(f"{label} block {number} {attack}", part)

        def get(attack: str) -> tuple[dict[str, Array], float] | None:
            part = unit(attack)
            if not store.done(part):
                return None
            return store.arrays(part), store.stored(part).seconds

        def put(attack: str, arrays: dict[str, Array], seconds: float) -> None:
            result = Result(NoValues(), arrays)
            store.put(unit(attack), result, environment=environment.collect(), seconds=seconds)

        return OutcomeCache(get, put)

    return block


def _no_work(spec: PartSpec, context: "Context") -> Result[NoValues]:
    """Parts are stored by the evaluation that they belong to.

    Raises:
        NotImplementedError: Always.
    """
    raise NotImplementedError(f"{spec.attack} is computed by its evaluation")


KIND = Kind(
    name="attacked",
    version=1,
    stage="attacking with AutoAttack",
    spec=PartSpec,
    values=NoValues,
    work=_no_work,
)
