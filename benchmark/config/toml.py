"""TOML files of configurations: presets, files that change them, and `--set key=value`."""

import tomllib
from pathlib import Path
from typing import cast

import tomli_w

from robust_interpretability.models.errors import InputError, unknown
from robust_interpretability.models.types import Json

PRESETS = Path(__file__).parent / "presets"
TRACKS = Path(__file__).parent / "tracks"


def presets() -> list[str]:
    """Names of the presets."""
    return sorted(path.stem for path in PRESETS.glob("*.toml"))


def read(path: Path, what: str) -> Json:
    """A TOML file as nested dictionaries; `what` is its name in a message.

    Raises:
        InputError: The file cannot be read, or is not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{what} {path} cannot be read ({error.strerror}).") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{what} {path} is not valid TOML ({error}).") from error


def dumps(values: Json) -> str:
    """Nested dictionaries as TOML."""
    return tomli_w.dumps(values)


def resolve(preset: str | None, file: Path | None, assignments: list[str]) -> Json:
    """A preset, the keys of a file over it, and assignments over both; see `configuration`."""
    raw: Json = {}
    if preset or not file:
        name = preset or "quick"
        if name not in presets():
            raise unknown("preset", name, presets())
        raw = read(PRESETS / f"{name}.toml", "The preset")
    if file:
        raw = _merged(raw, read(file, "The configuration"))
    for assignment in assignments:
        _assign(raw, assignment)
    return raw


def _merged(base: Json, over: Json) -> Json:
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merged(out[key], value) if both else value
    return out


def _assign(raw: Json, assignment: str) -> None:
    """Applies one `key=value`; items of a list by number, as `grid.0.epsilons=[0.5]`."""
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise InputError(f"--set takes key=value. Received '{assignment}'.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    *parents, last = path.strip().split(".")
    at: Json = raw
    for part in parents:
        place = cast(str, _place(at, part, path))
        at = at.setdefault(place, {}) if isinstance(at, dict) else at[place]
    at[cast(str, _place(at, last, path))] = value


def _place(at: object, part: str, path: str) -> str | int:
    """`part` of a dotted key as the key or the index it is in `at`."""
    if isinstance(at, dict):
        return part
    if isinstance(at, list) and part.isdigit() and int(part) < len(at):
        return int(part)
    raise InputError(f"'{path}' cannot be set: '{part}' is not a part of the value there.")
