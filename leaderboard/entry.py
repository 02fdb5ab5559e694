"""One entry of the leaderboard: a model's card, its scores with intervals, and the evidence."""

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    StringConstraints,
    ValidationError,
    model_serializer,
    model_validator,
)

from pellucid.leaderboard.card import Card, Plain, Record
from pellucid.models.errors import InputError
from pellucid.models.files import read_most
from pellucid.models.types import Json
from pellucid.models.validation import one_line

SCHEMA_VERSION = 4
MAX_ENTRY_BYTES = 1_000_000

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Key = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_-]{0,59}$")]
"""The name of a score, an attribution, an attack or a loss."""
Text = Annotated[str, Field(max_length=300)]
Reason = Annotated[str, Field(max_length=300), Plain]
Title = Annotated[str, Field(max_length=60), Plain]
Count = Annotated[int, Field(ge=0, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Number = Annotated[float, Field(strict=True)]
Radius = Annotated[float, Field(gt=0, strict=True)]
Norm = Literal["l2", "linf"]
Better = Literal["higher", "lower"]
Png = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]+={0,2}$", max_length=40_000)]
"""A PNG, base64."""


class Titled(Record):
    """A part of an entry with a title for readers.

    `title` and `better` are left out of the JSON where they are not stated, so entries of schema
    version 3, which has neither, keep their bytes and their digest.
    """

    title: Title | None = None

    @model_serializer(mode="wrap")
    def _without_unstated(self, handler: SerializerFunctionWrapHandler) -> Json:
        fields = handler(self)
        return {k: v for k, v in fields.items() if v is not None or k not in ("title", "better")}


class Score(Titled):
    """A value and the ends of its 95 percent interval.

    Attributes:
        title: What readers see; where absent, `scores` has one for the names of protocol 2.
        better: Which direction is better; only for a score that measures interpretability, which
            is then compared with accuracy.
        value: The value.
        low: Lower end; absent where nothing was repeated.
        high: Upper end.
        n: Sample size: test images, or retrained networks for ROAR and KAR.
        seeds: Trainings averaged: repeats of a retraining for ROAR and KAR, base-model seeds
            otherwise.
    """

    better: Better | None = None
    value: Number
    low: Number | None = None
    high: Number | None = None
    n: Annotated[int, Field(ge=1, strict=True)]
    seeds: Annotated[int, Field(ge=1, strict=True)]

    @model_validator(mode="after")
    def _ordered(self) -> "Score":
        if (self.low is None) != (self.high is None):
            raise ValueError("an interval has two ends")
        slack = 1e-9  # an interval without width, but for rounding
        if (
            self.low is not None
            and self.high is not None
            and not self.low - slack <= self.value <= self.high + slack
        ):
            raise ValueError(
                f"the value {self.value} lies outside its interval [{self.low}, {self.high}]"
            )
        return self


class DataRecord(Record):
    """The data: name, version, number of images used, and the hash of their pixels and labels."""

    name: Name
    version: Text
    train_images: Count
    test_images: Count
    sha256: Sha256


class TrackRecord(Record):
    """What makes scores comparable. Entries share a table only where every field is the same.

    Attributes:
        name: The track's name, or that of a run's configuration.
        digest: Hash of everything the track fixes.
        protocol_version: The protocol's version.
        scale: The scale, relative to the paper's.
        data: The data set.
        retrained: The network retrained for ROAR and KAR, and its budget, in words.
        robustness: The attack behind `robust_accuracy`, in words.
    """

    name: Name
    digest: Sha256
    protocol_version: Annotated[int, Field(ge=1, strict=True)]
    scale: Literal["quick", "reduced", "paper"]
    data: DataRecord
    retrained: Text
    robustness: Text


class Attacked(Record):
    """Accuracy under one attack. Radius in pixel units; `loss` is absent for noise, `steps` 0."""

    attack: Key
    norm: Norm
    epsilon: Radius
    loss: Key | None
    steps: Count
    accuracy: Score


class AfterAttack(Record):
    """Accuracy after one more attack of AutoAttack."""

    attack: Key
    loss: Key
    steps: Count
    accuracy: Score


class Ensemble(Record):
    """AutoAttack: each attack runs on the images that resisted those before it.

    Attributes:
        version: AutoAttack's version, such as `standard`.
        norm: `l2` or `linf`.
        epsilon: The radius in pixel units.
        seed: Of every random draw.
        clean: Accuracy on the same images without an attack.
        attacks: In order; the last one's accuracy is robust accuracy.
        gradients: Mean number of gradients per image.
        forwards: Mean number of further forward passes per image.
    """

    version: Key
    norm: Norm
    epsilon: Annotated[float, Field(ge=0, strict=True)]
    seed: Count
    clean: Score
    attacks: Annotated[list[AfterAttack], Field(min_length=1)]
    gradients: Annotated[float, Field(ge=0, strict=True)]
    forwards: Annotated[float, Field(ge=0, strict=True)]


class RetrainingCurve(Titled):
    """Accuracies of retrained networks by fraction, for an attribution and for a random order.

    Attributes:
        title: The attribution's; where absent, `scores` has one for the names of protocol 2.
        attribution: The attribution's name.
        mode: `roar` removes the top pixels, `kar` keeps only them.
        fractions: Of pixels removed or kept.
        accuracy: By base-model seed, repeat, fraction.
        random: The same for a random order, by repeat, fraction.
        untouched: Accuracy of the same budget on unmodified images: where a ROAR curve begins and
            a KAR curve ends.
    """

    attribution: Key
    mode: Literal["roar", "kar"]
    fractions: Annotated[list[Share], Field(min_length=1)]
    accuracy: Annotated[list[list[list[Share]]], Field(min_length=1)]
    random: Annotated[list[list[Share]], Field(min_length=1)]
    untouched: Share

    @model_validator(mode="after")
    def _rectangular(self) -> "RetrainingCurve":
        rows = [row for seed in [*self.accuracy, self.random] for row in seed]
        if any(len(row) != len(self.fractions) for row in rows):
            raise ValueError("every repeat must have one accuracy for each fraction")
        return self


class Flag(Record):
    """A warning and the numbers that raised it; `flags` says what each name means."""

    name: Literal[
        "noise_beats_gradient",
        "black_box_beats_gradient",
        "accuracy_does_not_fall",
        "zero_gradients",
        "vanishing_gradients",
        "more_steps_gain",
        "optimisation_loop",
        "non_deterministic",
        "test_contamination",
        "probabilities",
    ]
    evidence: dict[Name, float | int | bool | str]


class Picture(Record):
    """A test image, its class, the predicted class, and the loss gradient at it; PNG, base64."""

    label: Count
    predicted: Count
    image: Png
    gradient: Png


class ModelRecord(Record):
    """The model.

    Attributes:
        architecture: Its name, if it has one, and its layers with weights, counted.
        parameters: Their number.
        multiply_adds: Of one forward pass of one image.
        sha256: One hash of architecture and weights per base-model seed.
    """

    architecture: Text | None = None
    parameters: Count
    multiply_adds: Count | None = None
    sha256: Annotated[list[Sha256], Field(min_length=1)]

    @model_serializer(mode="wrap")
    def _without_unstated(self, handler: SerializerFunctionWrapHandler) -> Json:
        """Older entries state neither an architecture nor a cost."""
        return {k: v for k, v in handler(self).items() if v is not None}


class EnvironmentRecord(Record):
    """Versions and devices of the measurement.

    Where parts were measured at different times: `devices` and `commits` are those of all parts,
    the rest is the first part's.
    """

    python: Text
    platform: Text
    processors: int | None
    backend: Text
    devices: list[Text]
    packages: dict[Text, Text]
    commits: list[Text]
    uncommitted_changes: bool | None


class Entry(Record):
    """One measured model.

    Attributes:
        schema_version: 4; 3, in which neither a score nor a curve has a title or a direction, is
            still read.
        id: The entry's name in its track, and the file's.
        role: `reference` for a network of the track's reference grid, `baseline` for one of which
            it is known what a board should do with it.
        verified: Whether this program measured the scores for a board; those of a run's board
            are not.
        track: What makes the scores comparable.
        card: What the authors say.
        model: Size and hashes.
        classes: How many classes there are; None in entries of before this was stated.
        scores: By name; accuracies are shares, manifold distances in the paper's units.
        autoattack: The evidence for robust accuracy.
        attacks: Accuracy by attack and radius.
        curves: ROAR and KAR.
        flags: Warnings.
        ruled_out: For flags by name: why a maintainer holds that they do not apply.
        pictures: Loss gradients.
        environment: Versions, devices, commits.
        seconds: Cost: processor-thread seconds of the measurement, without what all entries of a
            track share.
        outcomes: SHA-256 of the file with the outcome of each image and training; see `outcomes`.
        digest: Hash of all other fields; see `seal`.
    """

    schema_version: Literal[3, 4] = 4
    id: Name
    role: Literal["submission", "reference", "baseline"]
    verified: Annotated[bool, Field(strict=True)]
    track: TrackRecord
    card: Card
    model: ModelRecord
    classes: Annotated[int, Field(ge=2, strict=True)] | None = None
    scores: dict[Key, Score]
    autoattack: Ensemble | None
    attacks: list[Attacked]
    curves: list[RetrainingCurve]
    flags: list[Flag]
    ruled_out: dict[Key, Reason] = Field(default_factory=dict)
    pictures: Annotated[list[Picture], Field(max_length=10)]
    environment: EnvironmentRecord
    seconds: Annotated[float, Field(ge=0)]
    outcomes: Sha256 | None = None
    digest: str = ""

    @model_validator(mode="after")
    def _accuracies_without_direction(self) -> "Entry":
        for name, score in self.scores.items():
            if name.endswith("_accuracy") and score.better:
                raise ValueError(f"{name} is an accuracy, which does not state a direction")
        return self

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> Json:
        """Leaves out what older entries lack where it is empty, so that their digests stay."""
        later = ("ruled_out", "outcomes", "classes")
        return {k: v for k, v in handler(self).items() if v or k not in later}

    def value(self, score: str) -> float:
        """The value of a score, NaN where the entry has none."""
        return self.scores[score].value if score in self.scores else math.nan


def _digest(content: Json) -> str:
    """Of an entry's JSON values; its own digest is left out."""
    body = json.dumps({k: v for k, v in content.items() if k != "digest"}, sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()


def seal(entry: Entry) -> Entry:
    """The entry with its digest, which shows later changes.

    Not a signature: whoever can write the board can seal.
    """
    return entry.model_copy(update={"digest": _digest(entry.model_dump())})


def ruled_out(entry: Entry, flag: str, reason: str) -> Entry:
    """The entry with a flag ruled out, sealed again.

    Raises:
        InputError: The reason is not one line of at most 300 characters.
    """
    fields = entry.model_dump() | {"ruled_out": entry.ruled_out | {flag: reason}}
    try:
        return seal(Entry.model_validate(fields))
    except ValidationError as error:
        raise InputError(f"The reason: {one_line(error, Entry, 'the schema')}") from None


def dumps(entry: Entry) -> str:
    """An entry as JSON with sorted keys."""
    return json.dumps(entry.model_dump(), sort_keys=True, indent=1, ensure_ascii=True) + "\n"


def loads(content: bytes, what: str) -> Entry:
    """Reads an entry from JSON.

    Args:
        content: The JSON.
        what: Its name in messages, such as `"entry digits/a.json"`.

    Raises:
        InputError: It does not fit the schema, or was changed after it was sealed.
    """
    if len(content) > MAX_ENTRY_BYTES:
        raise InputError(f"{what} is larger than {MAX_ENTRY_BYTES:,} bytes.")
    try:
        entry = Entry.model_validate_json(content)
    except ValidationError as error:
        line = one_line(error, Entry, "the schema")
        raise InputError(f"{what} does not fit the schema: {line}") from None
    as_written = _digest(json.loads(content))  # what was sealed, as a rule
    if entry.digest != as_written and entry.digest != _digest(entry.model_dump()):
        raise InputError(
            f"{what} was changed after it was measured: its digest is not that of its content."
        )
    return entry


def place(entry: Entry) -> str:
    """An entry's path among a board's entries: `<track>/<id>-v<protocol version>.json`."""
    return f"{entry.track.name}/{entry.id}-v{entry.track.protocol_version}.json"


def read(folder: Path) -> list[Entry]:
    """Reads all entries below a folder, in the order of their paths.

    Raises:
        InputError: One cannot be read, does not fit the schema, was changed, or is not at its
            `place`.
    """
    entries = []
    for path in sorted(folder.glob("*/*.json")):
        what = f"Entry {path.parent.name}/{path.name}"
        try:
            content = read_most(path, MAX_ENTRY_BYTES + 1)
        except OSError as error:
            raise InputError(f"{what} cannot be read ({error.strerror}).") from error
        entry = loads(content, what)
        if f"{path.parent.name}/{path.name}" != place(entry):
            raise InputError(f"{what} says it is {place(entry)}: it lies in the wrong place.")
        entries.append(entry)
    return entries


def schema() -> Json:
    """The JSON schema of an entry."""
    return Entry.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
