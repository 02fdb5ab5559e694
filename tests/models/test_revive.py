"""Dataclasses come back from the JSON that they were stored as."""

import dataclasses
import json

import pytest

from pellucid.models.errors import InputError
from pellucid.models.validation import revive


@dataclasses.dataclass(frozen=True)
class Row:
    name: str | None
    value: float


@dataclasses.dataclass(frozen=True)
class Table:
    rows: tuple[Row, ...]
    counts: dict[str, list[int]]
    complete: bool
    note: str = "none"


TABLE = Table((Row("a", 0.1), Row(None, 1e-300)), {"x": [1, 2]}, True, "b")


def test_json_comes_back_as_the_dataclass():
    assert revive(Table, json.loads(json.dumps(dataclasses.asdict(TABLE)))) == TABLE


def test_optional_fields_may_be_absent():
    values = dataclasses.asdict(TABLE)
    del values["note"]
    assert revive(Table, values).note == "none"


def test_values_that_do_not_fit_are_refused():
    values = dataclasses.asdict(TABLE)
    values["rows"][1]["value"] = "much"
    with pytest.raises(InputError, match=r"do not fit Table: rows\.1\.value: .* valid number"):
        revive(Table, values)
    del values["rows"]
    with pytest.raises(InputError, match="do not fit Table: rows: Field required"):
        revive(Table, values)
