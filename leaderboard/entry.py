"""One entry of the leaderboard: what was trained, how, and every score with its interval. Numbers are numbers."""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import InputError

SCHEMA_VERSION = 1


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Score(_Part):
    """A value, the ends of its 95 percent interval (absent where nothing was repeated), and what it rests on."""

    value: float
    low: float | None = None
    high: float | None = None
    n: int


class DataSet(_Part):
    """The data: name, version and how many images were used."""

    name: str
    version: str
    train_images: int
    test_images: int


class Adversary(_Part):
    """How the networks were trained: radius in pixel units; no norm and no loss for standard training."""

    norm: Literal["l2", "linf"] | None
    epsilon: Annotated[float, Field(ge=0)]
    loss: Literal["xent", "cw"] | None


class Entry(_Part):
    """One way of training, measured; an average over its seeds."""

    schema_version: Literal[1] = 1
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9._-]{1,100}$")]
    scale: Literal["quick", "reduced", "paper"]
    protocol_version: int
    data: DataSet
    model: str
    adversary: Adversary
    seeds: Annotated[int, Field(ge=1)]
    robustness: str
    scores: dict[str, Score]
    model_sha256: list[str]
    environment: dict[str, Any]


def dumps(entry: Entry) -> str:
    """An entry as JSON with sorted keys."""
    return json.dumps(entry.model_dump(), sort_keys=True, indent=2) + "\n"


def read(folder: Path) -> list[Entry]:
    """All entries of a folder, by id.

    Raises:
        InputError: There is none, or one does not fit the schema; the file and the key are named.
    """
    entries = []
    for path in sorted(folder.glob("*.json")):
        try:
            entries.append(Entry.model_validate_json(path.read_bytes()))
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise InputError(f"Entry {path} does not fit the schema: {where}: {first['msg']}.") from None
    if not entries:
        raise InputError(f"No leaderboard entries in {folder}. Run the benchmark there first.")
    return entries
