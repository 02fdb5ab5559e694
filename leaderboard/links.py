"""Links at the head of a board's page, from `links.toml` in its folder: text and address."""

import tomllib
from pathlib import Path
from typing import Annotated

from pydantic import Field, RootModel, ValidationError

from pellucid.leaderboard.card import Plain
from pellucid.models.errors import InputError
from pellucid.models.validation import one_line

FILE = "links.toml"

_Text = Annotated[str, Field(max_length=40), Plain]
_Address = Annotated[str, Field(max_length=300, pattern=r"^(https?://[!-~]+|[A-Za-z0-9._/-]+)$")]


class Links(RootModel[dict[_Text, _Address]]):
    """Addresses by their text: of the web, or files beside the page."""


def read(root: Path) -> dict[str, str]:
    """The links of a board; none where its folder has no file of them.

    Raises:
        InputError: The file is not TOML, or holds something else than texts and addresses.
    """
    path = root / FILE
    if not path.exists():
        return {}
    try:
        return Links.model_validate(tomllib.loads(path.read_text(encoding="utf-8"))).root
    except ValidationError as error:
        raise InputError(f"{path}: {one_line(error, Links, 'the links')}") from None
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not valid TOML ({error}).") from error
