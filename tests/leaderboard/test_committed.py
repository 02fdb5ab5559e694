"""The board in this repository: valid, rendered from its entries, and of the current tracks."""

import re

import jsonschema
import pytest

from pellucid.benchmark.config.versions import PROTOCOL_VERSION
from pellucid.benchmark.data import datasets
from pellucid.benchmark.results import tracks
from pellucid.benchmark.submission import check
from pellucid.benchmark.units.plan import networks
from pellucid.leaderboard import entry as entries
from pellucid.leaderboard import scores
from pellucid.leaderboard.board import Board
from pellucid.leaderboard.eligibility import HARDLY_LEARNED, left_out
from tests.conftest import ROOT, needs_tfds

BOARD = ROOT / "leaderboard"
MEASURED = ("digits", "mnist-reduced", "fashion-mnist-reduced", "cifar10-reduced")
"""Tracks whose grids have been measured under the present version of the protocol."""


@pytest.fixture(scope="module")
def found() -> list[entries.Entry]:
    return Board(BOARD).entries()


def test_the_board_is_as_it_should_be():
    assert check.check(BOARD) == []


def test_entries_fit_the_exported_schema(found):
    """Read by another program's validator, as someone else would read them."""
    validator = jsonschema.Draft202012Validator(entries.schema())
    for entry in found:
        validator.validate(entry.model_dump())


def test_entries_of_schema_version_3_keep_their_bytes(found):
    """They state neither titles nor directions, and reading adds none."""
    old = [e for e in found if e.schema_version == 3]
    assert len(old) >= 54
    for entry in old:
        assert entries.dumps(entry) == (BOARD / "entries" / entries.place(entry)).read_text()


@pytest.mark.parametrize("name", MEASURED)
def test_every_network_of_a_reference_grid_is_there(found, name):
    grid = {f"reference-{network.label}" for network in networks(tracks.get(name).config)}
    current = [e for e in found if e.track.protocol_version == PROTOCOL_VERSION]
    assert {e.id for e in current if e.track.name == name and e.role == "reference"} == grid


@pytest.mark.parametrize("name", MEASURED)
def test_recipes_say_whether_the_radius_warms_up(found, name):
    epochs = tracks.get(name).config.adversary.warmup_epochs
    current = [e for e in found if e.track.protocol_version == PROTOCOL_VERSION]
    grid = [e for e in current if e.track.name == name and e.role == "reference"]
    said = {e.id for e in grid if f"rises over the first {epochs} epochs" in e.card.training.recipe}
    assert said == ({e.id for e in grid} - {"reference-standard"} if epochs else set())


@pytest.mark.parametrize("name", MEASURED)
def test_the_baselines_are_there(found, name):
    """The untrained network has no standing, and the one without gradients has flags."""
    current = [e for e in found if e.track.protocol_version == PROTOCOL_VERSION]
    baselines = {e.id: e for e in current if e.track.name == name and e.role == "baseline"}
    assert set(baselines) == {"baseline-untrained", "baseline-masked-gradients"}
    table = [e for e in current if e.track.name == name]
    assert left_out(table)["baseline-untrained"] == HARDLY_LEARNED
    assert {"zero_gradients", "vanishing_gradients"} <= {
        flag.name for flag in baselines["baseline-masked-gradients"].flags
    }


def test_no_network_of_a_grid_is_said_to_know_the_test_images(found):
    """Of all tracks and versions: a false alarm would take an honest entry out of the ranks."""
    grid = [e for e in found if e.role == "reference"]
    assert len(grid) >= 22 + 54
    assert not [e.id for e in grid if "test_contamination" in {flag.name for flag in e.flags}]


def test_scores_have_titles_without_raw_keys(found):
    """Different scores of an entry have different titles."""
    for entry in found:
        titles = [scores.described(name) for name in entry.scores]
        assert len(set(titles)) == len(titles)
        assert not [title for title in titles if re.search(r"[a-z]_[a-z]|xent|linf|\bpca\b", title)]


@needs_tfds
@pytest.mark.parametrize("name", MEASURED)
def test_entries_are_of_the_track_as_it_is(found, name):
    """A change of a track's preset needs a new protocol version, and entries measured under it."""
    config = tracks.get(name).config
    limits = {"train_limit": config.data.train_limit, "test_limit": config.data.test_limit}
    record = tracks.record(name, config, datasets.load(config.data.name, **limits))
    assert {
        e.track
        for e in found
        if e.track.name == name and e.track.protocol_version == PROTOCOL_VERSION
    } == {record}
