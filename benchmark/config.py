"""The configuration of a benchmark run, validated. Presets are TOML files in `presets/`."""

import itertools
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)

from attacks import LOSSES, NORMS
from metrics import ATTRIBUTIONS, MODES
from models import CLASSIFIERS, VAE_GANS
from models.errors import InputError, unknown
from models.validation import one_line

CONFIG_VERSION = 1
PROTOCOL_VERSION = 1
"""Raised when the same configuration would give other numbers: stored results of another version are not used."""

PRESETS = Path(__file__).parent / "presets"

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


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Section):
    """The data set; limits take the first images of a split."""

    name: str
    train_limit: Count | None = None
    test_limit: Count | None = None


class Model(_Section):
    """The classifier, for base models and retraining alike."""

    name: str
    width: Positive = 1.0

    _name = field_validator("name")(_known("model", CLASSIFIERS))


class Training(_Section):
    """Adam's budget, and the type in which activations and products are computed; weights and sums stay float32.

    With bfloat16, a few networks are first trained in both types, and the run goes on where their accuracies agree.
    """

    epochs: Count
    batch_size: Count = 100
    learning_rate: Positive = 1e-3
    compute: Literal["float32", "bfloat16"] = "float32"

    @model_serializer(mode="wrap")
    def _as_before(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Without `compute` where it is what it always was: stored results keep their keys."""
        return {k: v for k, v in handler(self).items() if (k, v) != ("compute", "float32")}


class Adversary(_Section):
    """The training adversary, except for radius, norm and loss, which the grid gives. Lengths in pixel units."""

    name: Literal["pgd", "fgsm"] = "pgd"
    steps: Count = 40
    step_size_l2: Positive = 1.0
    step_size_linf: Positive = 0.01
    random_start: bool = False


class Grid(_Section):
    """A family of adversarially trained networks; the standard network is always there besides."""

    norm: str
    epsilons: Annotated[list[Annotated[float, Field(gt=0, allow_inf_nan=False)]], Field(min_length=1)]
    losses: Annotated[list[str], Field(min_length=1)] = ["xent"]
    measures: list[Literal["manifold", "retraining", "tilt"]] = ["manifold", "retraining", "tilt"]

    _norm = field_validator("norm")(_known("norm", NORMS))

    @field_validator("losses")
    @classmethod
    def _losses(cls, value: list[str]) -> list[str]:
        return [_known("attack loss", LOSSES)(v) for v in value]


class Evaluation(_Section):
    """The attack under which robust accuracy is measured; noise of the same norm is the control."""

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


class Robustness(_Section):
    """Accuracy under several attacks at rising radii, with controls: what the flags of an entry rest on.

    At each radius of each norm: FGSM, PGD with each loss (steps of 2.5 radius / steps), noise of the same norm, and
    examples made on the standard network (transfer). Radii in pixel units.
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


class VaeGanSection(_Section):
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


class Manifold(_Section):
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


class Retraining(_Section):
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


class Tilt(_Section):
    """The L2 attack on one class of two-dimensional data, whose mean direction shows a boundary's tilt."""

    epsilon: Positive
    steps: Count = 40
    step_size: Positive = 1.0
    loss: str = "xent"
    attacked_class: Annotated[int, Field(ge=0)] = 1

    _loss = field_validator("loss")(_known("attack loss", LOSSES))


class Config(_Section):
    """A whole benchmark run. The same configuration and seed give the same results on the same machine."""

    version: int
    name: str
    scale: Literal["quick", "reduced", "paper"]
    description: str = ""
    seeds: Count = 1
    data: Data
    model: Model
    training: Training
    adversary: Adversary = Adversary()
    grid: list[Grid] = []
    evaluation: Evaluation
    robustness: Robustness | None = None
    vae_gan: VaeGanSection | None = None
    manifold: Manifold | None = None
    retraining: Retraining | None = None
    tilt: Tilt | None = None
    pictures: Annotated[int, Field(ge=0)] = 3

    @model_validator(mode="after")
    def _complete(self) -> "Config":
        if self.manifold is not None and self.vae_gan is None:
            raise ValueError("[manifold] needs a [vae_gan] section")
        return self


def presets() -> list[str]:
    """Names of the presets."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def _read(path: Path, what: str) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{what} {path} is not valid TOML ({error}).") from error


def _merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        out[key] = _merge(out[key], value) if isinstance(value, dict) and isinstance(out.get(key), dict) else value
    return out


def _set(raw: dict[str, Any], assignment: str) -> None:
    """Applies one `key=value` with a dotted key; list items by number, as `grid.0.epsilons=[0.5]`."""
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise InputError(f"--set takes key=value. Received '{assignment}'.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *parents, last = path.strip().split(".")
    at: Any = raw
    for part in parents:
        place = _place(at, part, path)
        at = at.setdefault(place, {}) if isinstance(at, dict) else at[place]
    at[_place(at, last, path)] = value


def _place(at: Any, part: str, path: str) -> str | int:
    """`part` of a dotted key as the key or the index it is in `at`."""
    if isinstance(at, dict):
        return part
    if isinstance(at, list) and part.isdigit() and int(part) < len(at):
        return int(part)
    raise InputError(f"'{path}' cannot be set: '{part}' is no part of the value there.")


def parse(raw: dict[str, Any]) -> Config:
    """A configuration from nested dictionaries.

    Raises:
        InputError: Another version; an unknown key, with the close match; a value out of range.
    """
    version = raw.get("version", CONFIG_VERSION)
    if version != CONFIG_VERSION:
        raise InputError(f"The configuration is of version {version}. This program reads version {CONFIG_VERSION}.")
    try:
        return Config.model_validate(raw)
    except ValidationError as error:
        raise one_line(error, Config, "the configuration") from None


def resolve(preset: str | None, file: Path | None, assignments: list[str]) -> Config:
    """The configuration a command asks for.

    Args:
        preset: Name of a preset; `quick` where neither preset nor file is given.
        file: A TOML file: a whole configuration, or, with a preset, the keys in which it differs.
        assignments: `key=value` with dotted keys, applied last.

    Raises:
        InputError: As `parse`; an unknown preset; an unreadable file.
    """
    raw: dict[str, Any] = {}
    if preset or not file:
        name = preset or "quick"
        if name not in presets():
            raise unknown("preset", name, presets())
        raw = _read(PRESETS / f"{name}.toml", "The preset")
    if file:
        raw = _merge(raw, _read(file, "The configuration"))
    for assignment in assignments:
        _set(raw, assignment)
    return parse(raw)


def load(path: Path) -> Config:
    """The configuration a run has stored. Raises `InputError` as `parse`."""
    return parse(_read(path, "The configuration"))


def dumps(config: Config) -> str:
    """A configuration as TOML; `parse` gives the same one back."""
    return tomli_w.dumps(config.model_dump(exclude_none=True))
