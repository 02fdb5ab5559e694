"""A card: who made a model and how it was trained, as its authors say.

Validated; nothing in it is measured.
"""

import re
import tomllib
import unicodedata
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    ValidationError,
    model_serializer,
    model_validator,
)

from pellucid.models.errors import InputError
from pellucid.models.files import read_most, write
from pellucid.models.types import Json
from pellucid.models.validation import all_in_one_line

MAX_CARD_BYTES = 20_000
_BLANK = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u2800\u3164\ufe00-\ufe0f\uffa0"
    "\U0001d159\U000e0000-\U000e0fff]"
)
"""Characters that show as nothing and are not of a category that says so."""
_UNSEEN = {"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"}
"""Categories of Unicode: control, format, unassigned, private, surrogates, separators of lines."""
STACKED = 2
"""Combining marks on one character, of which Vietnamese has two."""


class Record(BaseModel):
    """Base of cards and entries: unknown keys are refused, numbers are finite, fields are fixed."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


def _seen(character: str) -> bool:
    """Whether a character shows, and moves nothing else: letters, marks, signs, plain spaces."""
    category = unicodedata.category(character)
    if category == "Zs":
        return character == " "
    return category not in _UNSEEN and not _BLANK.match(character)


def _plain(value: str) -> str:
    if value.isascii() and value.isprintable() and value == value.strip() and value:
        return value  # what nearly all text is, of which there is much on a board
    unseen = next((c for c in value if not _seen(c)), None)
    if unseen:
        raise ValueError(
            f"holds the invisible or blank character U+{ord(unseen):04X}; write plain text on one"
            " line"
        )
    stacked = 0
    for c in value:
        stacked = stacked + 1 if unicodedata.category(c) in ("Mn", "Me") else 0
        if stacked > STACKED:
            raise ValueError(f"holds more than {STACKED} combining marks on one character")
    if not value:
        raise ValueError("must not be empty")
    if value != value.strip():
        raise ValueError("must be text without spaces at its ends")
    return value


Plain = AfterValidator(_plain)
"""For text: one line, not empty, every character of which shows."""


class _Extended(Record):
    """A record with fields that older entries lack, left out of the JSON where they are empty."""

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> Json:
        later = ("recipe", "code")
        return {k: v for k, v in handler(self).items() if v is not None or k not in later}


class TrainingClaim(_Extended):
    """How the model was trained, as its authors say. Radius in pixel units, [0, 1].

    Attributes:
        norm: Of the training adversary.
        epsilon: Its radius.
        loss: What was minimised.
        extra_data: What was used besides the track's training images.
        recipe: The rest: optimiser, epochs, augmentation.
    """

    norm: Literal["none", "l2", "linf"]
    epsilon: Annotated[float, Field(ge=0, le=100)] = 0.0
    loss: Annotated[str, Field(max_length=60), Plain]
    extra_data: Annotated[str, Field(max_length=200), Plain] = "none"
    recipe: Annotated[str, Field(max_length=200), Plain] | None = None

    @model_validator(mode="after")
    def _norm_with_radius(self) -> "TrainingClaim":
        if (self.norm == "none") != (self.epsilon == 0):
            raise ValueError(
                "an adversary has a norm and a radius above 0; standard training has norm 'none'"
                " and no radius"
            )
        return self


Link = Annotated[
    str,
    Field(max_length=300, pattern=r"^https?://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]+)?(/[!-~]*)?$"),
]


class Card(_Extended):
    """A model's card.

    Attributes:
        name: The model's name on the board.
        authors: Their names.
        link: A paper or a home page; http or https.
        code: The code that trained it; http or https.
        licence: The weights' licence, as an SPDX identifier where there is one.
        description: A few sentences.
        training: How it was trained.
    """

    name: Annotated[str, Field(max_length=80), Plain]
    authors: Annotated[
        list[Annotated[str, Field(max_length=80), Plain]], Field(min_length=1, max_length=30)
    ]
    link: Link | None = None
    code: Link | None = None
    licence: Annotated[str, Field(max_length=60), Plain]
    description: Annotated[str, Field(max_length=1000), Plain]
    training: TrainingClaim


def parse(raw: Json, what: str = "the card") -> Card:
    """Validates a card given as nested dictionaries.

    Args:
        raw: The card.
        what: How a message names it.

    Raises:
        InputError: Unknown keys, with the closest match; values that do not fit; all in one line.
    """
    try:
        return Card.model_validate(raw)
    except ValidationError as error:
        raise all_in_one_line(error, Card, what) from None


def table(content: bytes, what: str) -> Json:
    """A small TOML file as nested dictionaries.

    Args:
        content: The file.
        what: How a message names it.

    Raises:
        InputError: It is larger than 20 kB, or is not TOML.
    """
    if len(content) > MAX_CARD_BYTES:
        raise InputError(f"{what} is larger than {MAX_CARD_BYTES:,} bytes.")
    try:
        return tomllib.loads(content.decode())
    except (ValueError, RecursionError) as error:  # also a number of thousands of digits
        raise InputError(f"{what} is not valid TOML ({error}).") from error


def read(path: Path) -> Card:
    """Reads a card from a TOML file.

    Raises:
        InputError: As `parse` and `table`; the file cannot be read.
    """
    what = f"The card {path}"
    try:
        content = read_most(path, MAX_CARD_BYTES + 1)
    except OSError as error:
        raise InputError(f"{what} cannot be read ({error.strerror}).") from error
    return parse(table(content, what), str(path))


NEW = """\
name = ""               # the model's name on the board, up to 80 characters
authors = [""]          # one text for each of them
licence = ""            # of the weights, as MIT or CC-BY-4.0
description = ""        # a few sentences: architecture, training, what is special
# link = "https://..."  # a paper or a home page
# code = "https://..."  # the code that trained it

[training]
norm = "none"           # of the training adversary: none, l2 or linf
# epsilon = 0.4         # its radius in pixel units, where an image lies in [0, 1]
loss = "cross-entropy"
# recipe = ""           # optimiser, epochs, augmentation
# extra_data = ""       # what was used besides the track's training images
"""
"""A card to fill in."""


def write_new(path: Path) -> None:
    """Writes a card to fill in.

    Raises:
        InputError: There is a file already, or the folder cannot be written.
    """
    if path.exists():
        raise InputError(f"{path} exists already. Remove it, or name another with --card.")
    write(path, NEW)


def anonymous(path: Path) -> Card:
    """The card of a model evaluated without one: its file's name, training not stated."""
    stem = "".join(c for c in path.stem if _seen(c) and not unicodedata.combining(c))
    name = stem.strip()[:80].strip() or "model"
    training = TrainingClaim(norm="none", loss="not stated", extra_data="not stated")
    return Card(
        name=name,
        authors=["not stated"],
        licence="not stated",
        description="No card.",
        training=training,
    )
