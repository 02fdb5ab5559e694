"""The parts of a configuration that every run has; each kind of unit adds a section of its own.

`compat = "2019"` states in one line what the published code of arXiv 1903.11626 did otherwise than
this program; `COMPAT` has the fields that it sets.
"""

import itertools
import json
from collections.abc import Callable, Iterable
from typing import Annotated, ClassVar, Literal, Self, TypeVar

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)

from pellucid.attacks import LOSSES, NORMS, options
from pellucid.models import CLASSIFIERS
from pellucid.models.errors import InputError, unknown
from pellucid.models.types import Json

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


def unless(default: bool) -> Callable[[bool | None], bool | None]:
    """A validator that turns a stated default into None, so that it leaves no trace in a key."""

    def check(value: bool | None) -> bool | None:
        return None if value is default else value

    return check


class Section(BaseModel):
    """A part of the configuration: unknown keys are refused, nothing changes after validation.

    Attributes:
        key: For the section of a kind of unit: the name of its table in the TOML file.
        later: Fields that stored results do not know, with their defaults: at its default such a
            field is not written, so that keys and digests stay as they were.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    key: ClassVar[str] = ""
    later: ClassVar[dict[str, object]] = {}

    @model_serializer(mode="wrap")
    def _without_later_defaults(self, handler: SerializerFunctionWrapHandler) -> Json:
        missing = object()
        values = handler(self)
        return {k: v for k, v in values.items() if self.later.get(k, missing) != v}


S = TypeVar("S", bound=Section)


class Data(Section):
    """The data set.

    Attributes:
        name: `"digits"`, `"gaussians"` or another name that `load_data` takes.
        train_limit: Use only the first so many training images; by default all.
        test_limit: The same of test images.
    """

    name: str
    train_limit: Count | None = None
    test_limit: Count | None = None


class Model(Section):
    """The classifier, for base models and retraining alike.

    Attributes:
        name: The architecture, as `"digits_cnn"`.
        width: By what its numbers of channels and units are multiplied.
    """

    name: str
    width: Positive = 1.0

    _name = field_validator("name")(known("model", CLASSIFIERS))


class Training(Section):
    """Adam's budget, and the type in which activations and products are computed.

    Weights and sums stay float32. With tf32 or bfloat16, a few networks are first trained in both
    types, and the run continues only where their accuracies agree.

    Attributes:
        epochs: Passes over the training images; with `until` the most that are made.
        batch_size: Images per step.
        learning_rate: Adam's.
        compute: The type of activations and products.
        reshuffle: Whether the images are in another order in every epoch, which they are unless it
            is false.
        until: Base models are trained for as many epochs as the standard network takes to classify
            this share of its training images correctly.
    """

    later: ClassVar[dict[str, object]] = {"compute": "float32", "reshuffle": None, "until": None}

    epochs: Count
    batch_size: Count = 100
    learning_rate: Positive = 1e-3
    compute: Literal["float32", "tf32", "bfloat16"] = "float32"
    reshuffle: bool | None = None
    until: Fraction | None = None

    _reshuffle = field_validator("reshuffle")(unless(True))


def check_reach(where: str, steps: int, step_size: float, epsilon: float) -> None:
    """An attack must be able to reach its radius: else it is one at a smaller radius.

    Args:
        where: The key that is named where it cannot.
        steps: Steps of the attack.
        step_size: The length of each, in the units of `epsilon`.
        epsilon: The radius.

    Raises:
        InputError: It cannot.
    """
    reach = steps * step_size
    if reach < epsilon * (1 - 1e-9):
        raise InputError(
            f"{where}: {steps} steps of {step_size:g} reach {reach:g}, less than the radius"
            f" {epsilon:g}. Take more or longer steps."
        )


class PublishedAttack(Section):
    """What PGD did otherwise in the published code, for the sections that hold an attack.

    Attributes:
        cw_label_zero: In the loss `cw` the label counts among the other classes, with a logit of 0.
        xent_rounded: The gradient of the loss `xent` is p - e, as float32 rounds it.
        direction_floor: Added to the norm of an L2 gradient, per pixel unit.
    """

    later: ClassVar[dict[str, object]] = {
        "cw_label_zero": None,
        "xent_rounded": None,
        "direction_floor": None,
    }

    cw_label_zero: bool | None = None
    xent_rounded: bool | None = None
    direction_floor: Positive | None = None

    _unless_false = field_validator("cw_label_zero", "xent_rounded")(unless(False))

    @model_validator(mode="after")
    def _reaches_its_radius(self) -> Self:
        values = dict(self)
        if "epsilon" in values and values.get("name", "pgd") == "pgd":
            attack = values["steps"], values["step_size"], values["epsilon"]
            check_reach(f"{self.key}.step_size", *attack)
        return self

    @model_validator(mode="after")
    def _has_the_options(self) -> Self:
        name = getattr(self, "name", "pgd")
        for field in PublishedAttack.model_fields:
            if getattr(self, field) is not None and field not in options(name):
                raise InputError(f"'{field}' is an option of pgd. The attack is '{name}'")
        return self

    def published(self) -> Json:
        """The options that are set, as arguments of `AttackSpec`."""
        values = {field: getattr(self, field) for field in PublishedAttack.model_fields}
        return {field: value for field, value in values.items() if value is not None}


class Adversary(PublishedAttack):
    """The training adversary; the grid gives its radius, norm and loss. Lengths in pixel units.

    `fgsm_rs`, one gradient from a random start, is fast adversarial training.

    Attributes:
        name: An attack that networks can be trained against.
        steps: Its gradient steps.
        step_size_l2: Length of a step in L2.
        step_size_linf: Length of a step in Linf.
        random_start: Whether it starts at a random point of the ball.
        warmup_epochs: Over as many first epochs its radius rises linearly to that of the grid, so
            that networks do not stay at chance; 0, as in the paper, for the full radius throughout.
    """

    name: str = "pgd"
    steps: Count = 40
    step_size_l2: Positive = 1.0
    step_size_linf: Positive = 0.01
    random_start: bool = False
    warmup_epochs: Annotated[int, Field(ge=0)] = 0

    @field_validator("name")
    @classmethod
    def _can_train(cls, value: str) -> str:
        from pellucid.attacks import TRAINING

        return known("training adversary", TRAINING)(value)


class Grid(Section):
    """A family of adversarially trained networks; the standard network is always added.

    Attributes:
        norm: `"l2"` or `"linf"`.
        epsilons: Radii in pixel units, a network each.
        losses: The adversary's losses, networks for each: `"xent"`, `"cw"`.
        measures: What is measured on these networks, besides what is measured on all.
    """

    norm: str
    epsilons: Annotated[list[Positive], Field(min_length=1)]
    losses: Annotated[list[str], Field(min_length=1)] = ["xent"]
    measures: list[str] = ["manifold", "retraining", "tilt"]

    _norm = field_validator("norm")(known("norm", NORMS))
    _losses = field_validator("losses")(known("attack loss", LOSSES))


_PUBLISHED_ATTACK: dict[str, object] = {
    "cw_label_zero": True,
    "xent_rounded": True,
    "direction_floor": 2e-8,
}

COMPAT: dict[str, dict[str, dict[str, object]]] = {
    "2019": {
        "training": {"reshuffle": False},
        "adversary": _PUBLISHED_ATTACK,
        "evaluation": _PUBLISHED_ATTACK,
        "tilt": _PUBLISHED_ATTACK,
        "vae_gan": {"reshuffle": False, "discriminator": "2019"},
        "manifold": _PUBLISHED_ATTACK | {"sample_posterior": True},
    }
}
"""What `compat` sets in the sections that a configuration has.

The code's floor is 1e-8, on the scale [-1, 1], where gradients are half as long as here.
"""


def expanded(raw: Json) -> Json:
    """A configuration with what its `compat` stands for; an unknown `compat` is left to validation.

    Raises:
        InputError: The configuration states another value for one of these fields. Neither wins:
            the reader of either line would be wrong about the run.
    """
    compat = str(raw.get("compat"))  # in TOML, `--set compat=2019` is a number
    if compat not in COMPAT:
        return raw
    out: Json = {"adversary": {}} | raw | {"compat": compat}
    for section, fields in COMPAT[compat].items():
        if not isinstance(stated := out.get(section), dict):
            continue
        for field, value in fields.items():
            if stated.get(field, value) != value:
                raise InputError(
                    f'compat = "{compat}" stands for {section}.{field} ='
                    f" {json.dumps(value)}, and the configuration says"
                    f" {json.dumps(stated[field])}. Leave out one of the two, or also set"
                    f" {section}.{field}={json.dumps(value)}."
                )
        out[section] = stated | fields
    return out


class Config(Section):
    """A benchmark run without the sections of its units; `units.configuration` adds those.

    The same configuration and seeds give the same results on the same machine.

    Attributes:
        version: Of the format of configurations: 1.
        name: Of the run, and of its folder.
        scale: What tables and board say of its scale.
        description: What the run is, in a line.
        seeds: Base models of each kind, from seeds 0, 1, ...
        data: The data set.
        model: The classifier.
        training: How classifiers are trained.
        adversary: What they are trained against.
        grid: Which networks are trained.
        pictures: Test images whose maps are drawn.
        compat: `"2019"`: as in the published code of arXiv 1903.11626; the protocol has the fields
            that it stands for.
    """

    later: ClassVar[dict[str, object]] = {"compat": None}

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
    compat: Literal["2019"] | None = None

    @model_validator(mode="before")
    @classmethod
    def _expanded(cls, raw: object) -> object:
        return expanded(raw) if isinstance(raw, dict) else raw

    @model_validator(mode="after")
    def _adversary_reaches_the_grid(self) -> Self:
        adversary = self.adversary
        for grid in self.grid if "step_size" in options(adversary.name) else ():
            field = f"step_size_{grid.norm}"
            step = getattr(adversary, field)
            check_reach(f"adversary.{field}", adversary.steps, step, max(grid.epsilons))
        return self

    def as_published(self) -> Self:
        """This experiment with `compat = "2019"`, whatever it states for the fields of `COMPAT`."""
        raw = self.model_dump(exclude_none=True)
        for section, fields in COMPAT["2019"].items():
            for field in fields:
                raw.get(section, {}).pop(field, None)
        return type(self).model_validate(raw | {"compat": "2019"})

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
