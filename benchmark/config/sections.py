"""The sections of a configuration, validated."""

import itertools
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
)

from robust_interpretability.attacks import LOSSES, NORMS
from robust_interpretability.metrics import ATTRIBUTIONS, MODES
from robust_interpretability.models import CLASSIFIERS, VAE_GANS
from robust_interpretability.models.errors import unknown

Count = Annotated[int, Field(ge=1)]
Radius = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(gt=0, lt=1)]


def _known(kind: str, table: Any) -> Any:
    def check(value: str) -> str:
        if value not in table:
            raise unknown(kind, value, table)
        return value

    return check


class Section(BaseModel):
    """A section: no other keys, no changes."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(Section):
    """The data set; limits take the first images of a split."""

    name: str
    train_limit: Count | None = None
    test_limit: Count | None = None


class Model(Section):
    """The classifier, for base models and retraining alike."""

    name: str
    width: Positive = 1.0

    _name = field_validator("name")(_known("model", CLASSIFIERS))


class Training(Section):
    """Adam's budget, and the type in which activations and products are computed; weights and sums stay float32.

    With bfloat16, a few networks are first trained in both types, and the run goes on where their
    accuracies agree.
    """

    epochs: Count
    batch_size: Count = 100
    learning_rate: Positive = 1e-3
    compute: Literal["float32", "bfloat16"] = "float32"

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `compute` where it is what it always was: stored results keep their keys."""
        return {k: v for k, v in handler(self).items() if (k, v) != ("compute", "float32")}


class Adversary(Section):
    """The training adversary, except for radius, norm and loss, which the grid gives. Lengths in pixel units.

    `fgsm_rs`, one gradient from a random start, is fast adversarial training.
    """

    name: Literal["pgd", "fgsm", "fgsm_rs"] = "pgd"
    steps: Count = 40
    step_size_l2: Positive = 1.0
    step_size_linf: Positive = 0.01
    random_start: bool = False


class Grid(Section):
    """A family of adversarially trained networks; the standard network is always there besides."""

    norm: str
    epsilons: Annotated[
        list[Annotated[float, Field(gt=0, allow_inf_nan=False)]], Field(min_length=1)
    ]
    losses: Annotated[list[str], Field(min_length=1)] = ["xent"]
    measures: list[Literal["manifold", "retraining", "tilt"]] = ["manifold", "retraining", "tilt"]

    _norm = field_validator("norm")(_known("norm", NORMS))

    @field_validator("losses")
    @classmethod
    def _losses(cls, value: list[str]) -> list[str]:
        return [_known("attack loss", LOSSES)(v) for v in value]


class Evaluation(Section):
    """The paper's attack, a column of its own; noise of the same norm is the control."""

    name: Literal["pgd", "fgsm"] = "pgd"
    norm: str = "l2"
    epsilon: Radius
    loss: str = "xent"
    steps: Count = 40
    step_size: Positive = 1.0
    random_start: bool = False
    restarts: Count = 1

    _norm = field_validator("norm")(_known("norm", NORMS))
    _loss = field_validator("loss")(_known("attack loss", LOSSES))


class Robustness(Section):
    """Accuracy under several attacks at rising radii, with controls: what the flags of an entry rest on.

    At each radius of each norm: FGSM, PGD with each loss (steps of 2.5 radius / steps), noise of
    the same norm, and examples made on the standard network (transfer). Radii in pixel units.
    """

    steps: Count = 20
    losses: Annotated[list[str], Field(min_length=1)] = ["xent", "cw"]
    l2: list[Positive] = []
    linf: list[Positive] = []

    @field_validator("losses")
    @classmethod
    def _losses(cls, value: list[str]) -> list[str]:
        return [_known("attack loss", LOSSES)(v) for v in value]

    @field_validator("l2", "linf")
    @classmethod
    def _rising(cls, value: list[float]) -> list[float]:
        if any(b <= a for a, b in itertools.pairwise(value)):
            raise ValueError(f"radii must increase, received {value}")
        return value


class AutoAttack(Section):
    """AutoAttack on the first test images: the board's robust accuracy. Radius in pixel units."""

    version: Literal["standard", "plus", "rand"] = "standard"
    norm: str = "l2"
    epsilon: Radius
    images: Count | None = None

    _norm = field_validator("norm")(_known("norm", NORMS))


class VaeGanSection(Section):
    """The manifold model and its training."""

    name: str
    width: Positive = 1.0
    latent: Count
    epochs: Count
    batch_size: Count = 100
    learning_rate: Positive
    beta_1: Annotated[float, Field(ge=0, lt=1)]
    beta_2: Annotated[float, Field(ge=0, lt=1)]
    reconstruction_weight: Positive
    discriminator_steps: Count = 1

    _name = field_validator("name")(_known("VAE-GAN", VAE_GANS))


class Manifold(Section):
    """The L2 attack whose examples are measured against the manifold. Lengths in pixel units."""

    epsilon: Positive
    steps: Count = 40
    step_size: Positive = 1.0
    losses: Annotated[list[str], Field(min_length=1)] = ["xent"]
    sample_posterior: bool = False

    @field_validator("losses")
    @classmethod
    def _losses(cls, value: list[str]) -> list[str]:
        return [_known("attack loss", LOSSES)(v) for v in value]


class Retraining(Section):
    """ROAR and KAR."""

    attributions: Annotated[list[str], Field(min_length=1)] = list(ATTRIBUTIONS)
    modes: Annotated[list[str], Field(min_length=1)] = list(MODES)
    fractions: Annotated[list[Fraction], Field(min_length=1)] = [0.1, 0.3, 0.5, 0.7, 0.9]
    repeats: Count = 3
    epochs: Count
    content: Literal["image", "mask"] = "image"
    """What the retrained networks see: masked images or, as a control, the masks alone (kept white, removed black)."""

    @field_validator("attributions")
    @classmethod
    def _attributions(cls, value: list[str]) -> list[str]:
        return [_known("attribution", ATTRIBUTIONS)(v) for v in value]

    @field_validator("modes")
    @classmethod
    def _modes(cls, value: list[str]) -> list[str]:
        return [_known("mode", MODES)(v) for v in value]

    @field_validator("fractions")
    @classmethod
    def _increasing(cls, value: list[float]) -> list[float]:
        if any(b <= a for a, b in itertools.pairwise(value)):
            raise ValueError(f"fractions must increase, received {value}")
        return value


class Tilt(Section):
    """The L2 attack on one class of two-dimensional data, whose mean direction shows a boundary's tilt."""

    epsilon: Positive
    steps: Count = 40
    step_size: Positive = 1.0
    loss: str = "xent"
    attacked_class: Annotated[int, Field(ge=0)] = 1

    _loss = field_validator("loss")(_known("attack loss", LOSSES))
