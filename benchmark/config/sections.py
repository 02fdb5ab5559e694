"""The parts of a configuration that every run has; each kind of unit adds a section of its own."""

import itertools
from collections.abc import Callable, Iterable
from typing import Annotated, ClassVar, Literal, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from robust_interpretability.attacks import LOSSES, NORMS
from robust_interpretability.models import CLASSIFIERS
from robust_interpretability.models.errors import InputError, unknown
from robust_interpretability.models.types import Json

Count = Annotated[int, Field(ge=1)]
Radius = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]

Name = TypeVar("Name", str, list[str])


def known(kind: str, names: Iterable[str]) -> Callable[[Name], Name]:
    """A validator of a name, or of every name in a list: it must be one of `names`."""

    def check(value: Name) -> Name:
        for name in [value] if isinstance(value, str) else value:
            if name not in names:
                raise unknown(kind, name, names)
        return value

    return check


def increasing(what: str) -> Callable[[list[float]], list[float]]:
    """A validator of a list of numbers that must increase."""

    def check(values: list[float]) -> list[float]:
        if any(after <= before for before, after in itertools.pairwise(values)):
            raise ValueError(f"{what} must increase, received {values}")
        return values

    return check


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, nothing changes after validation.

    Attributes:
        key: For the section of a kind of unit: the name of its table in the TOML file.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: ClassVar[str] = ""


S = TypeVar("S", bound=Section)


class Data(Section):
    """The data set; a limit uses only the first images of a split."""

    name: str
    train_limit: Count | None = None
    test_limit: Count | None = None


class Model(Section):
    """The classifier, for base models and retraining alike."""

    name: str
    width: Positive = 1.0

    _name = field_validator("name")(known("model", CLASSIFIERS))


class Training(Section):
    """Adam's budget, and the type in which activations and products are computed.

    Weights and sums stay float32. With tf32 or bfloat16, a few networks are first trained in both
    types, and the run continues only where their accuracies agree.
    """

    epochs: Count
    batch_size: Count = 100
    learning_rate: Positive = 1e-3
    compute: Literal["float32", "tf32", "bfloat16"] = "float32"

    @model_serializer(mode="wrap")
    def _without_default(self, handler: SerializerFunctionWrapHandler) -> Json:
        """Without `compute` at its default, so that results stored before it existed keep keys."""
        return {k: v for k, v in handler(self).items() if (k, v) != ("compute", "float32")}


class Adversary(Section):
    """The training adversary; the grid gives its radius, norm and loss. Lengths in pixel units.

    `fgsm_rs`, one gradient from a random start, is fast adversarial training.
    """

    name: str = "pgd"
    steps: Count = 40
    step_size_l2: Positive = 1.0
    step_size_linf: Positive = 0.01
    random_start: bool = False

    @field_validator("name")
    @classmethod
    def _can_train(cls, value: str) -> str:
        from robust_interpretability.attacks import TRAINING

        return known("training adversary", TRAINING)(value)


class Grid(Section):
    """A family of adversarially trained networks; the standard network is always added.

    Attributes:
        measures: What is measured on these networks, besides what is measured on all.
    """

    norm: str
    epsilons: Annotated[list[Positive], Field(min_length=1)]
    losses: Annotated[list[str], Field(min_length=1)] = ["xent"]
    measures: list[str] = ["manifold", "retraining", "tilt"]

    _norm = field_validator("norm")(known("norm", NORMS))
    _losses = field_validator("losses")(known("attack loss", LOSSES))


class Config(Section):
    """A benchmark run without the sections of its units; `units.configuration` adds those.

    The same configuration and seeds give the same results on the same machine.
    """

    version: int
    name: str
    scale: Literal["quick", "reduced", "paper"]
    description: str = ""
    seeds: Count = 1
    data: Data
    model: Model
    training: Training
    adversary: Adversary = Adversary()
    grid: list[Grid] = Field(default_factory=list)
    pictures: Annotated[int, Field(ge=0)] = 3

    def section(self, of: type[S]) -> S | None:
        """The section of a kind of unit; None where the configuration does not have it."""
        return getattr(self, of.key, None)

    def required(self, of: type[S]) -> S:
        """As `section`.

        Raises:
            InputError: The configuration does not have it.
        """
        found = self.section(of)
        if found is None:
            raise InputError(f"The configuration has no [{of.key}] section.")
        return found
