"""The configuration of a benchmark run, validated. Presets are TOML files in `presets/`."""

import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

import tomli_w
from pydantic import Field, ValidationError, model_validator

from robust_interpretability.benchmark.config.sections import (
    Adversary,
    AutoAttack,
    Count,
    Data,
    Evaluation,
    Grid,
    Manifold,
    Model,
    Retraining,
    Robustness,
    Section,
    Tilt,
    Training,
    VaeGanSection,
)
from robust_interpretability.models.errors import InputError, unknown
from robust_interpretability.models.validation import one_line

CONFIG_VERSION = 1
PROTOCOL_VERSION = 2
"""Raised when a score of the board means something else; a table holds entries of one version. 2:
robust accuracy is AutoAttack's."""

PRESETS = Path(__file__).parent / "presets"


class Config(Section):
    """A whole benchmark run.

    The same configuration and seed give the same results on the same machine.
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
    evaluation: Evaluation
    autoattack: AutoAttack | None = None
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
        out[key] = (
            _merge(out[key], value)
            if isinstance(value, dict) and isinstance(out.get(key), dict)
            else value
        )
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
        raise InputError(
            f"The configuration is of version {version}. This program reads version"
            f" {CONFIG_VERSION}."
        )
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
