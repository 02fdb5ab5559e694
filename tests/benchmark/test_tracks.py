"""Tracks are frozen: their digests follow from their files alone, and so do the presets."""

import json
import subprocess
import sys
import tomllib

import numpy as np
import pytest
from pydantic import BaseModel

from pellucid.benchmark.config import toml
from pellucid.benchmark.config.versions import PROTOCOL_VERSION
from pellucid.benchmark.data import datasets
from pellucid.benchmark.results import tracks
from pellucid.benchmark.units import configuration
from pellucid.models.errors import InputError
from tests.conftest import ROOT, needs_tfds


def stated(path) -> dict:
    return tomllib.loads(path.read_text())


def unstated(section: BaseModel, raw: dict, at: str = "") -> list[str]:
    """Fields of a section that its TOML leaves to the code's defaults; what is None may be."""
    out = []
    for name in type(section).model_fields:
        value, there = getattr(section, name), raw.get(name)
        if value is not None and there is None:
            out.append(at + name)
        elif isinstance(value, BaseModel):
            out += unstated(value, there, f"{at}{name}.")
        elif isinstance(value, list) and value and isinstance(value[0], BaseModel):
            assert len(value) == len(there)
            for i, (part, of) in enumerate(zip(value, there, strict=True)):
                out += unstated(part, of, f"{at}{name}.{i}.")
    return out


def apply(raw: dict, change: str) -> None:
    path, _, value = change.partition("=")
    *parents, last = path.split(".")
    for part in parents:
        raw = raw[int(part)] if isinstance(raw, list) else raw.setdefault(part, {})
    raw[last] = tomllib.loads(f"value = {value}")["value"]


def test_what_a_preset_leaves_to_the_code_is_noticed():
    raw = stated(toml.PRESETS / "quick.toml")
    config = configuration.parse(raw)
    assert unstated(config, raw) == []
    del (
        raw["retraining"]["attributions"],
        raw["grid"][1]["measures"],
        raw["adversary"],
        raw["seeds"],
    )
    assert set(unstated(config, raw)) == {
        "retraining.attributions",
        "grid.1.measures",
        "adversary",
        "seeds",
    }


@pytest.mark.parametrize("name", toml.presets())
def test_presets_state_everything_they_use(name):
    path = toml.PRESETS / f"{name}.toml"
    for variant in toml.variants(stated(path)):
        assert unstated(configuration.parse(variant.raw), variant.raw) == []
    assert path.read_text().startswith("# python run_benchmark.py"), "its command comes first"
    assert max(map(len, path.read_text().splitlines())) <= 100


@pytest.mark.parametrize("name", tracks.names())
def test_tracks_state_everything_they_use(name):
    track = stated(toml.TRACKS / f"{name}.toml")
    raw = stated(toml.PRESETS / f"{track['preset']}.toml")
    for change in track["changes"]:
        apply(raw, change)
    assert unstated(tracks.get(name).config, raw) == []
    assert set(track) == {"preset", "changes", "data", "digest"}


@pytest.mark.parametrize("name", tracks.names())
def test_digests_are_frozen(name):
    """A changed digest takes every entry off its track: raise the protocol's version instead."""
    track = tracks.get(name)
    assert tracks.digest(track.config, track.data) == track.digest


def test_committed_entries_are_of_the_frozen_tracks():
    seen = set()
    for path in sorted((ROOT / "leaderboard" / "entries").glob("*/*.json")):
        record = json.loads(path.read_text())["track"]
        if record["protocol_version"] == PROTOCOL_VERSION:
            track = tracks.get(record["name"])
            assert record["digest"] == track.digest, path
            assert record["data"] == track.data.model_dump(), path
            seen.add(track.name)
    assert seen == {"digits", "mnist-reduced", "fashion-mnist-reduced", "cifar10-reduced"}


@needs_tfds
@pytest.mark.parametrize("name", tracks.names())
def test_the_stated_images_are_those_of_the_data_set(name):
    track = tracks.get(name)
    limits = {
        "train_limit": track.config.data.train_limit,
        "test_limit": track.config.data.test_limit,
    }
    data = datasets.load(track.config.data.name, **limits)
    record = tracks.record(name, track.config, data)
    assert (record.data, record.digest) == (track.data, track.digest)


def test_other_images_are_refused(digits):
    x = np.array(digits.x_test)
    x[3, 4, 5] ^= 1
    other = datasets.Dataset(digits.info, digits.x_train, digits.y_train, x, digits.y_test)
    config = tracks.get("digits").config
    with pytest.raises(InputError) as error:
        tracks.record("digits", config, other)
    assert str(error.value).startswith(
        "The images of digits/1.0.0 (scikit-learn) are not those of the track 'digits':"
        " digits/1.0.0, 1,200 training and 597 test images, SHA-256 4fd0603c46c7... (received "
    )
    own = config.model_copy(update={"seeds": 2})  # a run of that name outside the track
    assert tracks.record("digits", own, other).digest != tracks.get("digits").digest


ONE_MORE_ATTRIBUTION = """
from pellucid import metrics

names = metrics.ATTRIBUTIONS
more = {"another": None}
metrics.ATTRIBUTIONS = names | more if isinstance(names, dict) else (*names, *more)

from pellucid.benchmark.results import tracks
from pellucid.benchmark.units import configuration

change = 'retraining.attributions=["another"]'
assert configuration.resolve("quick", None, [change]).retraining.attributions == ["another"]
for name in tracks.names():
    track = tracks.get(name)
    assert tracks.digest(track.config, track.data) == track.digest, name
"""


def test_one_more_attribution_changes_no_digest():
    done = subprocess.run(
        [sys.executable, "-c", ONE_MORE_ATTRIBUTION],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_one_more_section_changes_no_digest():
    track = tracks.get("digits")

    class Later(type(track.config)):
        another: dict[str, int] | None = None

    def digest(**more) -> str:
        return tracks.digest(Later.model_validate(track.config.model_dump() | more), track.data)

    assert digest() == track.digest
    assert digest(another={"steps": 1}) != track.digest
