"""Retractions: which submissions were removed from the board, and why.

One file beside the entries. A retracted model does not come back unasked: submitted again, it is
refused with the reason, unless a maintainer replaces the retraction.
"""

import json
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from pellucid.leaderboard.card import Record
from pellucid.leaderboard.entry import Entry, Name, Reason, Sha256, place
from pellucid.models.errors import InputError
from pellucid.models.files import read_most
from pellucid.models.validation import one_line

FILE = "retracted.json"
"""In the board's folder."""
MAX_BYTES = 5_000_000


class Retraction(Record):
    """A removed entry.

    Attributes:
        track: Its track.
        place: Where it lay among the entries.
        name: The model's name, as its card said.
        authors: Its authors.
        sha256: The hashes of the model.
        because: Why it was retracted.
    """

    track: Name
    place: str
    name: str
    authors: list[str]
    sha256: Annotated[list[Sha256], Field(min_length=1)]
    because: Reason


class _Stored(Record):
    retracted: list[Retraction]


def of(entry: Entry, reason: str) -> Retraction:
    """The retraction of an entry.

    Raises:
        InputError: The reason is not one line of at most 300 characters.
    """
    try:
        return Retraction(
            track=entry.track.name,
            place=place(entry),
            name=entry.card.name,
            authors=entry.card.authors,
            sha256=entry.model.sha256,
            because=reason,
        )
    except ValidationError as error:
        raise InputError(f"The reason: {one_line(error, Retraction, 'the retraction')}") from None


def dumps(retracted: list[Retraction]) -> bytes:
    """The file's content, by place; the same retractions give the same bytes."""
    rows = [one.model_dump() for one in sorted(retracted, key=lambda one: one.place)]
    return (json.dumps({"retracted": rows}, indent=1, sort_keys=True) + "\n").encode()


def read(root: Path) -> list[Retraction]:
    """The retractions of a board; none where it has no such file.

    Args:
        root: The board's folder.

    Raises:
        InputError: The file cannot be read or does not fit.
    """
    path = root / FILE
    if not path.exists():
        return []
    try:
        content = read_most(path, MAX_BYTES)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}).") from error
    try:
        return _Stored.model_validate_json(content).retracted
    except ValidationError as error:
        raise InputError(f"{path}: {one_line(error, _Stored, 'the file')}") from None


def standing(entry: Entry, retracted: list[Retraction]) -> list[Retraction]:
    """The retractions of an entry's model on its track."""
    hashes = set(entry.model.sha256)
    return [one for one in retracted if one.track == entry.track.name and hashes & {*one.sha256}]
