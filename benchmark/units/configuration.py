"""The configuration of a run: read, merged with what a command changes, and validated.

Presets are TOML files in `config/presets`. Each kind of unit adds its section.
"""

from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError, create_model

from pellucid.benchmark.config import toml
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.config.versions import CONFIG_VERSION
from pellucid.benchmark.data.dataset import Info
from pellucid.benchmark.units.kinds import KINDS
from pellucid.models.errors import InputError, unknown
from pellucid.models.types import Json
from pellucid.models.validation import one_line

_SECTIONS = {
    kind.section.key: (kind.section, ...) if kind.required else (kind.section | None, None)
    for kind in KINDS
    if kind.section
}
RunConfig: type[Config] = create_model(  # type: ignore[call-overload]
    "RunConfig", __base__=Config, __module__=__name__, **_SECTIONS
)
"""`Config` with the sections of all kinds of units, each under its key."""


def parse(raw: Json) -> Config:
    """A configuration from nested dictionaries.

    Raises:
        InputError: Another version; an unknown key, with the closest match; a value out of range;
            sections that do not fit each other.
    """
    version = raw.get("version", CONFIG_VERSION)
    if version != CONFIG_VERSION:
        raise InputError(
            f"The configuration is of version {version}. This program reads version"
            f" {CONFIG_VERSION}."
        )
    try:
        config = RunConfig.model_validate(raw)
    except ValidationError as error:
        raise one_line(error, RunConfig, "the configuration") from None
    selectable = [kind.section.key for kind in KINDS if kind.section and kind.selectable]
    for number, grid in enumerate(config.grid):
        for measure in grid.measures:
            if measure not in selectable:
                raise InputError(
                    f"grid.{number}.measures: {unknown('measure', measure, selectable)}"
                )
    for kind in KINDS:
        kind.check_config(config)
    return config


def resolve(preset: str | None, file: Path | None, assignments: list[str]) -> Config:
    """The configuration that a command asks for.

    Args:
        preset: Name of a preset; `quick` where neither preset nor file is given.
        file: A TOML file: a whole configuration or, with a preset, the keys in which it differs.
        assignments: `key=value` with dotted keys, applied last.

    Raises:
        InputError: As `parse`; an unknown preset; an unreadable file; a sweep, which is several.
    """
    raw = toml.resolve(preset, file, assignments)
    if sweep := raw.get(toml.SWEEP):
        choice = " ".join(f"--set {key}=..." for key in sweep)
        raise InputError(f"This configuration stands for several runs. Choose one: {choice}")
    return parse(raw)


class Variant(NamedTuple):
    """One of the runs that a configuration stands for; name and swept values as in `toml`."""

    name: str
    swept: Json
    config: Config


def variants(preset: str | None, file: Path | None, assignments: list[str]) -> list[Variant]:
    """The configurations that a command asks for: one, or several where keys are swept.

    Arguments and errors as for `resolve`.
    """
    raw = toml.resolve(preset, file, assignments)
    return [Variant(v.name, v.swept, parse(v.raw)) for v in toml.variants(raw)]


def load(path: Path) -> Config:
    """The configuration that a run has stored. Raises `InputError` as `parse`."""
    return parse(toml.read(path, "The configuration"))


def dumps(config: Config) -> str:
    """A configuration as TOML; `parse` gives the same one back."""
    return toml.dumps(config.model_dump(exclude_none=True))


def check_data(config: Config, info: Info) -> None:
    """Raises `InputError` where a section does not fit the data."""
    for kind in KINDS:
        kind.check_data(config, info)
