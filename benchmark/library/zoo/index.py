"""The list of networks: where their files lie, their hashes, and what the board says of them."""

import json
from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from pellucid.leaderboard.card import Record
from pellucid.leaderboard.entry import Count, Key, Number, Sha256, Text
from pellucid.models.errors import InputError
from pellucid.models.validation import one_line

FOLDER = Path(__file__).parent
FILE = "index.json"

Shape = Annotated[list[Annotated[int, Field(ge=1)]], Field(min_length=3, max_length=3)]


class Network(Record):
    """A network of the zoo.

    Attributes:
        file: Its file, relative to the zoo's folder or to a base address.
        sha256: Of the file.
        entry: The entry of the board that states its scores.
        shape: Of one image, `(h, w, c)`.
        classes: How many there are.
        architecture: Its name and its layers.
        parameters: Their number.
        scores: By name, as the board has them: means over base-model seeds, of which the file is
            the first.
    """

    file: Annotated[str, Field(pattern=r"^[a-z0-9-]+/[a-z0-9.-]+\.keras$")]
    sha256: Sha256
    entry: Text
    shape: Shape
    classes: Count
    architecture: Text
    parameters: Count
    scores: dict[Key, Number]


class Index(Record):
    """All networks, by name: `<track>/<network>`."""

    networks: dict[str, Network]


@cache
def networks() -> dict[str, Network]:
    """The networks, by name."""
    return read(FOLDER).networks


def read(folder: Path) -> Index:
    """Reads a list of networks; an empty one where there is none.

    Raises:
        InputError: It does not fit.
    """
    path = folder / FILE
    if not path.exists():
        return Index(networks={})
    try:
        return Index.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise InputError(f"{path}: {one_line(error, Index, 'the list of networks')}") from None


def dumps(index: Index) -> str:
    """A list of networks as JSON with sorted keys."""
    return json.dumps(index.model_dump(), sort_keys=True, indent=1) + "\n"
