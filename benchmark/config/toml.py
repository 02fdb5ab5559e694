"""TOML files of configurations: presets, files that change them, and `--set key=value`.

A configuration may stand for several runs: its table `sweep` has dotted keys, each with the values
that it takes in turn, in all combinations. A key that a file without a sweep, or an assignment,
sets is swept no more.
"""

import copy
import itertools
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

import tomli_w

from pellucid.models.errors import InputError, unknown
from pellucid.models.types import Json

PRESETS = Path(__file__).parent / "presets"
TRACKS = Path(__file__).parent / "tracks"
SWEEP = "sweep"
"""The table of the keys that are swept."""


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
        over = read(file, "The configuration")
        raw = _merged(raw, over)
        if SWEEP not in over:
            for key in _stated(over):
                _swept_no_more(raw, key)
    for assignment in assignments:
        _swept_no_more(raw, _assign(raw, assignment))
    return raw


class Variant(NamedTuple):
    """One of the configurations that one with a sweep stands for.

    Attributes:
        name: As `training.epochs=5,seeds=2`; empty where nothing is swept.
        swept: The values of the swept keys.
        raw: The configuration.
    """

    name: str
    swept: Json
    raw: Json


def variants(raw: Json) -> list[Variant]:
    """The configurations that one stands for: itself alone where it sweeps nothing.

    Raises:
        InputError: The sweep is not a table of lists, or a list is empty.
    """
    sweep = raw.get(SWEEP, {})
    if not isinstance(sweep, dict) or not all(isinstance(v, list) and v for v in sweep.values()):
        raise InputError(
            f"'{SWEEP}' must be a table of keys, each with a list of values, as"
            ' "training.epochs" = [5, 20].'
        )
    found = []
    for values in itertools.product(*sweep.values()):
        one = copy.deepcopy({key: value for key, value in raw.items() if key != SWEEP})
        swept = dict(zip(sweep, values, strict=True))
        for key, value in swept.items():
            _set(one, key, value)
        found.append(Variant(",".join(f"{k}={v}" for k, v in swept.items()), swept, one))
    return found


def _stated(raw: Json, before: str = "") -> Iterator[str]:
    """The dotted keys of a file that hold a value; a list counts as one."""
    for key, value in raw.items():
        if isinstance(value, dict):
            yield from _stated(value, f"{before}{key}.")
        else:
            yield before + key


def _swept_no_more(raw: Json, key: str) -> None:
    """Ends the sweep of a key, of the parts of its value, and of what it is a part of."""
    sweep = raw.get(SWEEP)
    if key.split(".", maxsplit=1)[0] == SWEEP or not isinstance(sweep, dict):
        return
    for swept in list(sweep):
        one, other = f"{swept}.", f"{key}."
        if one.startswith(other) or other.startswith(one):
            del sweep[swept]
    if not sweep:
        del raw[SWEEP]


def _merged(base: Json, over: Json) -> Json:
    out = dict(base)
    for key, value in over.items():
        both = isinstance(value, dict) and isinstance(out.get(key), dict)
        out[key] = _merged(out[key], value) if both else value
    return out


def _assign(raw: Json, assignment: str) -> str:
    """Applies one `key=value` and returns the key; items of a list as `grid.0.epsilons=[0.5]`."""
    path, equals, text = assignment.partition("=")
    if not equals or not path.strip():
        raise InputError(f"--set takes key=value. Received '{assignment}'.")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text.strip()
    _set(raw, path.strip(), value)
    return path.strip()


def _set(raw: Json, path: str, value: object) -> None:
    *parents, last = path.split(".")
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
