"""Results are written whole or not at all, and what is damaged is not used."""

import dataclasses
import errno
import json
import os

import numpy as np
import pytest

from pellucid.benchmark.units import store
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import Result
from pellucid.models.errors import InputError
from tests.benchmark.made import Spec, Values, unit

UNIT = unit("l2-0.5-xent seed 0")
RESULT = Result(Values(0.1 + 0.2), {"x": np.arange(5)})


@pytest.fixture
def heard() -> list[str]:
    return []


@pytest.fixture
def filled(tmp_path, heard) -> Store:
    made = Store(tmp_path, heard.append)
    made.put(UNIT, RESULT, environment={"machine": "this"}, seconds=1.23456)
    return made


def test_round_trip(filled, heard):
    assert filled.done(UNIT)
    assert filled.values(UNIT) == RESULT.values
    np.testing.assert_array_equal(filled.arrays(UNIT)["x"], np.arange(5))
    assert filled.stored(UNIT).environment == {"machine": "this"}
    assert heard == []


def test_other_specification_is_another_result(filled):
    assert not filled.done(dataclasses.replace(UNIT, spec=Spec("another")))
    with pytest.raises(InputError, match="There is no complete result of 'train other'"):
        filled.values(unit("other"))


def test_models_are_named_for_people(tmp_path, digits_model):
    made = Store(tmp_path)
    made.put(UNIT, Result(Values(), models={"model": digits_model}), environment={}, seconds=0)
    assert made.model_path(UNIT).name == f"l2-0.5-xent-seed-0-{UNIT.key}.keras"
    assert made.done(UNIT)


@pytest.mark.parametrize("suffix", [".json", ".npz"])
@pytest.mark.parametrize("damage", ["cut", "altered", "gone"])
def test_damage_is_noticed(filled, heard, suffix, damage):
    path = next(filled.root.rglob(f"*{suffix}"))
    content = path.read_bytes()
    if damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    elif damage == "altered":
        at = content.index(b"0.3") if suffix == ".json" else len(content) // 2
        path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    else:
        path.unlink()
    assert not filled.done(UNIT)
    if (suffix, damage) != (".json", "gone"):
        assert len(heard) == 1
        assert "it is done again" in heard[0]
    filled.put(UNIT, RESULT, environment={}, seconds=0)
    assert filled.done(UNIT)


def test_killed_between_files_is_not_done(tmp_path, monkeypatch):
    """Arrays go first, the JSON last: without it there is no result."""
    made = Store(tmp_path)
    real = store.write

    def killed(path, content):
        if path.suffix == ".json":
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(store, "write", killed)
    with pytest.raises(KeyboardInterrupt):
        made.put(UNIT, RESULT, environment={}, seconds=0)
    assert not made.done(UNIT)


def test_sweep_removes_what_a_killed_run_was_writing(filled):
    left = filled.root / "units" / "train" / ".writing-abc.json"
    left.write_text("half")
    filled.sweep()
    assert not left.exists()
    assert filled.done(UNIT)


def test_full_disk(tmp_path, monkeypatch):
    path = tmp_path / "result.json"
    path.write_text("old")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: the disk is full"):
        store.write(path, "new")
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["result.json"]


def test_json_is_readable(filled):
    body = json.loads(next(filled.root.rglob("*.json")).read_text())
    assert body["values"] == {"accuracy": 0.1 + 0.2}
    assert body["seconds"] == 1.235
