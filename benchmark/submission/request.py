"""What a submission's folder states: the track, the model and the scores that its authors report.

A folder holds `submission.toml`, `card.toml` and, unless the model lies at an address, one
`.keras` file.
"""

from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from pellucid.leaderboard.card import Card, Plain, Record, parse, table
from pellucid.leaderboard.entry import Key, Number, Sha256
from pellucid.models.errors import InputError
from pellucid.models.validation import all_in_one_line

SUBMISSION, CARD = "submission.toml", "card.toml"
NAME = r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
"""Names of folders and files: one part of a path, not hidden, not an option of a program."""

FileName = Annotated[str, Field(max_length=100, pattern=rf"^{NAME}\.keras$")]
Address = Annotated[
    str,
    Field(max_length=500, pattern=r"^https://[A-Za-z0-9][A-Za-z0-9.-]*(:[0-9]{1,5})?/[!-~]*$"),
]


class Submission(Record):
    """A submission, as `submission.toml` states it.

    Attributes:
        track: The name of a track.
        model: The model's file in the folder.
        address: Where the model's file is downloaded from, in place of `model`.
        sha256: Of the file; needed with an address.
        reported: Scores by name, as the JSON that `evaluate` writes names them.
    """

    track: Annotated[str, Field(max_length=100), Plain]
    model: FileName | None = None
    address: Address | None = None
    sha256: Sha256 | None = None
    reported: Annotated[dict[Key, Number], Field(max_length=200)] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_model(self) -> "Submission":
        if (self.model is None) == (self.address is None):
            raise ValueError(
                'a submission names its model by either model = "FILE.keras" or address ='
                ' "https://..."'
            )
        if self.address is not None and self.sha256 is None:
            raise ValueError("an address needs the sha256 of its file")
        return self


def read(content: bytes, what: str = SUBMISSION) -> Submission:
    """Reads `submission.toml`.

    Args:
        content: The file.
        what: How a message names it.

    Raises:
        InputError: It is too large, is not TOML, or holds unknown keys or values that do not fit;
            all in one line.
    """
    raw = table(content, what)
    try:
        return Submission.model_validate(raw)
    except ValidationError as error:
        raise all_in_one_line(error, Submission, what) from None


def read_card(content: bytes, what: str = CARD) -> Card:
    """Reads `card.toml`. Raises as `card.parse` and `card.table`."""
    return parse(table(content, what), what)


def read_both(files: dict[str, bytes]) -> tuple[Submission | None, Card | None, list[str]]:
    """Both files of a folder, as far as they are sound, and what is wrong with them.

    Args:
        files: Contents by name.

    Returns:
        The submission, the card, and the mistakes: a line for each file that has some.
    """
    wrong: list[str] = []
    submission = card = None
    try:
        submission = read(files[SUBMISSION])
    except InputError as error:
        wrong.append(str(error))
    try:
        card = read_card(files[CARD])
    except InputError as error:
        wrong.append(str(error))
    return submission, card, wrong
