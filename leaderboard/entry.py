"""One entry of the leaderboard: a model's card, every score with its interval, and what the scores rest on."""

import hashlib
import json
import math
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, StringConstraints, ValidationError, model_validator

from robust_interpretability.leaderboard.card import Card, Part
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.files import read_most
from robust_interpretability.models.validation import one_line

SCHEMA_VERSION = 3
MAX_ENTRY_BYTES = 1_000_000

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
Text = Annotated[str, Field(max_length=300)]
Count = Annotated[int, Field(ge=0, strict=True)]
Share = Annotated[float, Field(ge=0, le=1, strict=True)]
Number = Annotated[float, Field(strict=True)]
Radius = Annotated[float, Field(gt=0, strict=True)]
Norm = Literal["l2", "linf"]
Png = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9+/]+={0,2}$", max_length=40_000)]
"""A PNG, base64."""


class Score(Part):
    """A value and the ends of its 95 percent interval.

    Attributes:
        value: The value.
        low: Lower end; absent where nothing was repeated.
        high: Upper end.
        n: Examples behind it: test images, or for ROAR and KAR retrained networks.
        seeds: Trainings averaged: repeats of a retraining for ROAR and KAR, base-model seeds
            otherwise.
    """

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


class DataSet(Part):
    """The data: name, version, how many images were used, and the hash of their pixels and labels."""

    name: Name
    version: Text
    train_images: Count
    test_images: Count
    sha256: Sha256


class Track(Part):
    """What makes scores comparable. Entries share a table only where all of it is the same.

    Attributes:
        name: The track's name, or that of a run's configuration.
        digest: Hash of everything the track fixes.
        protocol_version: The protocol's version.
        scale: How much of the paper's scale it has.
        data: The data set.
        retrained: The network retrained for ROAR and KAR, and its budget, in words.
        robustness: The attack behind `robust_accuracy`, in words.
    """

    name: Name
    digest: Sha256
    protocol_version: Annotated[int, Field(ge=1, strict=True)]
    scale: Literal["quick", "reduced", "paper"]
    data: DataSet
    retrained: Text
    robustness: Text


class Attacked(Part):
    """Accuracy under one attack. Radius in pixel units; `loss` is absent for noise, `steps` 0."""

    attack: Literal["fgsm", "pgd", "noise", "transfer"]
    norm: Norm
    epsilon: Radius
    loss: Literal["xent", "cw"] | None
    steps: Count
    accuracy: Score


class AfterAttack(Part):
    """Accuracy after one more attack of AutoAttack, and what it cost."""

    attack: Literal["apgd-ce", "apgd-dlr", "apgd-t", "fab", "fab-t", "square"]
    loss: Literal["xent", "dlr", "dlr-targeted", "margin", "margin-targeted"]
    steps: Count
    accuracy: Score


class Ensemble(Part):
    """AutoAttack, each attack on the images that the ones before left right. Radius in pixel units.

    Attributes:
        version: AutoAttack's.
        norm: `l2` or `linf`.
        epsilon: The radius.
        seed: Of all that was drawn.
        clean: Accuracy on the same images without an attack.
        attacks: In order; the last one's accuracy is robust accuracy.
        gradients: Mean of an image.
        forwards: Forward passes beside them, mean of an image.
    """

    version: Literal["standard", "plus", "rand"]
    norm: Norm
    epsilon: Annotated[float, Field(ge=0, strict=True)]
    seed: Count
    clean: Score
    attacks: Annotated[list[AfterAttack], Field(min_length=1)]
    gradients: Annotated[float, Field(ge=0, strict=True)]
    forwards: Annotated[float, Field(ge=0, strict=True)]


class Curve(Part):
    """Accuracies of retrained networks: one row a repeat, one column a fraction; and those of a random order."""

    attribution: Literal["gradient", "gradient_input"]
    mode: Literal["roar", "kar"]
    fractions: Annotated[list[Share], Field(min_length=1)]
    accuracy: Annotated[list[list[list[Share]]], Field(min_length=1)]
    """By base-model seed, repeat, fraction."""
    random: Annotated[list[list[Share]], Field(min_length=1)]
    untouched: Share
    """Accuracy of the same budget on untouched images: where a ROAR curve begins and a KAR curve ends."""

    @model_validator(mode="after")
    def _rectangular(self) -> "Curve":
        rows = [row for seed in [*self.accuracy, self.random] for row in seed]
        if any(len(row) != len(self.fractions) for row in rows):
            raise ValueError("every repeat must have one accuracy for each fraction")
        return self


class Flag(Part):
    """A warning, with the numbers it was raised on.

    What each name means is in `leaderboard.flags`.
    """

    name: Literal[
        "noise_beats_gradient",
        "black_box_beats_gradient",
        "accuracy_does_not_fall",
        "zero_gradients",
        "vanishing_gradients",
        "more_steps_gain",
        "optimisation_loop",
        "non_deterministic",
        "probabilities",
    ]
    evidence: dict[Name, float | int | bool | str]


class Picture(Part):
    """A test image, its class, the predicted class, and the loss gradient at it; PNG, base64."""

    label: Count
    predicted: Count
    image: Png
    gradient: Png


class Model(Part):
    """The model: number of parameters, hash of its architecture and weights, one a base-model seed."""

    parameters: Count
    sha256: Annotated[list[Sha256], Field(min_length=1)]


class Environment(Part):
    """What measured it; where parts were measured at different times, of the first, but for commits and devices."""

    python: Text
    platform: Text
    processors: int | None
    backend: Text
    devices: list[Text]
    packages: dict[Text, Text]
    commits: list[Text]
    uncommitted_changes: bool | None


class Entry(Part):
    """One model, measured.

    Attributes:
        schema_version: Of this schema.
        id: The entry's name in its track, and the file's.
        role: `reference` for a network of the track's reference grid.
        verified: Whether this program measured the scores for a board; a run's own tables are not
            verified.
        track: What makes the scores comparable.
        card: What the authors say.
        model: Size and hashes.
        scores: By name; accuracies are shares, manifold distances in paper units.
        autoattack: What robust accuracy rests on.
        attacks: Accuracy by attack and radius.
        curves: ROAR and KAR.
        flags: Warnings.
        pictures: Loss gradients.
        environment: Versions, device, commit.
        seconds: Cost: processor-thread seconds of the measurement, without what all entries of a
            track share.
        digest: Hash of all the rest; see `seal`.
    """

    schema_version: Literal[3] = 3
    id: Name
    role: Literal["submission", "reference"]
    verified: Annotated[bool, Field(strict=True)]
    track: Track
    card: Card
    model: Model
    scores: dict[Name, Score]
    autoattack: Ensemble | None
    attacks: list[Attacked]
    curves: list[Curve]
    flags: list[Flag]
    pictures: Annotated[list[Picture], Field(max_length=10)]
    environment: Environment
    seconds: Annotated[float, Field(ge=0)]
    digest: str = ""

    def value(self, score: str) -> float:
        """The value of a score, NaN where the entry has none."""
        return self.scores[score].value if score in self.scores else math.nan


def _digest(entry: Entry) -> str:
    body = json.dumps(entry.model_dump(exclude={"digest"}), sort_keys=True)
    return hashlib.sha256(body.encode()).hexdigest()


def seal(entry: Entry) -> Entry:
    """The entry with its digest, which shows later changes.

    No signature: whoever may write the board can seal.
    """
    return entry.model_copy(update={"digest": _digest(entry)})


def dumps(entry: Entry) -> str:
    """An entry as JSON with sorted keys."""
    return json.dumps(entry.model_dump(), sort_keys=True, indent=1, ensure_ascii=True) + "\n"


def loads(content: bytes, what: str) -> Entry:
    """An entry from JSON.

    Args:
        content: The JSON.
        what: What it is called in a message, as `"entry digits/a.json"`.

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
    if entry.digest != _digest(entry):
        raise InputError(
            f"{what} was changed after it was measured: its digest is not that of its content."
        )
    return entry


def place(entry: Entry) -> str:
    """Where an entry lies among a board's: `<track>/<id>-v<protocol version>.json`, each version's table kept."""
    return f"{entry.track.name}/{entry.id}-v{entry.track.protocol_version}.json"


def read(folder: Path) -> list[Entry]:
    """All entries below a folder, each at its `place`, by track and file name.

    Raises:
        InputError: One does not fit the schema, was changed, or lies where its name does not
            belong.
    """
    entries = []
    for path in sorted(folder.glob("*/*.json")):
        what = f"Entry {path.parent.name}/{path.name}"
        entry = loads(read_most(path, MAX_ENTRY_BYTES + 1), what)
        if f"{path.parent.name}/{path.name}" != place(entry):
            raise InputError(f"{what} says it is {place(entry)}: it lies in the wrong place.")
        entries.append(entry)
    return entries


def schema() -> dict[str, Any]:
    """The JSON schema of an entry."""
    return Entry.model_json_schema() | {"$schema": "https://json-schema.org/draft/2020-12/schema"}
