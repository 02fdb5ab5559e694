"""What comparisons of entries in pairs need: the outcome of each test image and each training.

A file of its own beside an entry, which states its SHA-256. Two entries of one track were measured
on the same test images, and their networks were retrained with the same seeds, so that they can be
compared image by image and repeat by repeat.
"""

import base64
import hashlib
import json
from pathlib import Path
from typing import Annotated

import numpy as np
from pydantic import Field, StringConstraints, ValidationError, model_validator

from pellucid.leaderboard.card import Record
from pellucid.leaderboard.entry import Count, Entry, Key, place
from pellucid.models.errors import InputError
from pellucid.models.files import read_most
from pellucid.models.types import Array
from pellucid.models.validation import one_line

FOLDER = "outcomes"
"""Of a board, beside the entries."""
MAX_BYTES = 5_000_000
MAX_AXES = 3
IMAGES = 1000
"""Images at which the values of a score are kept: enough to compare two entries by."""

_END = r"(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?"
Base64 = Annotated[str, StringConstraints(pattern=rf"^(?:[A-Za-z0-9+/]{{4}})*{_END}$")]


class Bits(Record):
    """Booleans: one row for each base-model seed, eight columns to a byte, base64."""

    columns: Count
    rows: Annotated[list[Base64], Field(min_length=1, max_length=1000)]

    @model_validator(mode="after")
    def _as_many_as_stated(self) -> "Bits":
        size = -(-self.columns // 8)
        if any(len(base64.b64decode(row)) != size for row in self.rows):
            raise ValueError(f"must have {size} bytes in each row, for {self.columns} columns")
        return self

    def array(self) -> Array:
        """`(rows, columns)` bool."""
        packed = [np.frombuffer(base64.b64decode(row), np.uint8) for row in self.rows]
        return np.stack([np.unpackbits(row, count=self.columns) for row in packed]).astype(bool)


class Numbers(Record):
    """An array of 32-bit floats, little-endian, base64."""

    shape: Annotated[list[Count], Field(min_length=1, max_length=MAX_AXES)]
    float32: Base64

    @model_validator(mode="after")
    def _as_many_as_stated(self) -> "Numbers":
        size = 4 * int(np.prod(self.shape, dtype=object))
        if len(base64.b64decode(self.float32)) != size:
            raise ValueError(f"must have {size} bytes, for the shape {self.shape}")
        return self

    def array(self) -> Array:
        """The array, float32."""
        return np.frombuffer(base64.b64decode(self.float32), "<f4").reshape(self.shape)


class Retrainings(Record):
    """Accuracies of the networks retrained with one order of the pixels.

    Attributes:
        attribution: Whose maps order the pixels; `random` for a random order.
        control: What is scored in their place; `own` for the maps themselves.
        fill: What removed pixels become.
        mode: `roar` or `kar`.
        fractions: Of pixels removed or kept.
        accuracy: `(seeds, repeats, fractions)`.
    """

    attribution: Key
    control: Key
    fill: Key
    mode: Key
    fractions: list[Annotated[float, Field(ge=0, le=1, strict=True)]]
    accuracy: Numbers


class Outcomes(Record):
    """The outcomes behind an entry's scores.

    Attributes:
        test: Which test images are classified correctly.
        robust: Which of the attacked ones are, under every attack of AutoAttack.
        retrainings: Accuracies of retrained networks.
        contributions: By score that is set against accuracy: `(seeds, repeats, fractions)`. Summed
            over fractions and averaged over the rest, they are the score.
        by_image: By score that is a mean over images, or over their shares of a ratio: its value at
            the first `IMAGES` of them, averaged over seeds; NaN for an image without a value.
    """

    test: Bits
    robust: Bits | None = None
    retrainings: list[Retrainings]
    contributions: dict[Key, Numbers]
    by_image: dict[Key, Numbers] = Field(default_factory=dict)


def bits(rows: Array) -> Bits:
    """`(rows, columns)` booleans as stored."""
    packed = [base64.b64encode(np.packbits(row).tobytes()).decode() for row in rows]
    return Bits(columns=rows.shape[1], rows=packed)


def numbers(values: Array) -> Numbers:
    """An array as stored."""
    data = np.ascontiguousarray(values, "<f4")
    return Numbers(shape=list(data.shape), float32=base64.b64encode(data.tobytes()).decode())


def dumps(outcomes: Outcomes) -> bytes:
    """Outcomes as JSON with sorted keys."""
    return (json.dumps(outcomes.model_dump(), sort_keys=True, indent=1) + "\n").encode()


def digest(outcomes: Outcomes) -> str:
    """SHA-256 of the file, as the entry states it."""
    return hashlib.sha256(dumps(outcomes)).hexdigest()


def path(entry: Entry) -> str:
    """Where an entry's outcomes lie in a board's folder."""
    return f"{FOLDER}/{place(entry)}"


def read(root: Path, entry: Entry) -> Outcomes | None:
    """Reads an entry's outcomes; None where the entry states none.

    Args:
        root: The board's folder.
        entry: The entry.

    Raises:
        InputError: They are missing, are not those that the entry states, or do not fit the schema.
    """
    if entry.outcomes is None:
        return None
    what = f"{path(entry)}, the outcomes of an entry,"
    try:
        content = read_most(root / path(entry), MAX_BYTES + 1)
    except OSError as error:
        raise InputError(f"{what} cannot be read ({error.strerror}).") from error
    if len(content) > MAX_BYTES:
        raise InputError(f"{what} are larger than {MAX_BYTES:,} bytes.")
    if hashlib.sha256(content).hexdigest() != entry.outcomes:
        raise InputError(
            f"{what} were changed: their SHA-256 is not the one that the entry states."
        )
    try:
        return Outcomes.model_validate_json(content)
    except ValidationError as error:
        raise InputError(f"{what}: {one_line(error, Outcomes, 'the schema')}") from None
