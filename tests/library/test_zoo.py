"""Networks by name: what the board states of them holds, and only their own files are opened."""

import functools
import hashlib
import http.server
import shutil
import threading
from pathlib import Path

import keras
import numpy as np
import pytest

import pellucid
from pellucid.benchmark.library.zoo import index, models, publish
from pellucid.benchmark.units.unit import STANDARD, Network
from pellucid.leaderboard.board import Board
from tests.conftest import ROOT

NAMES = sorted(index.networks())


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("digits/")])
def test_a_network_classifies_as_the_board_states(name, digits):
    """To the image: the grid of digits has one seed, whose file this is."""
    model = pellucid.load_model(name)
    logits = model.predict(digits.x_test / np.float32(255), verbose=0)
    hits = int((logits.argmax(axis=1) == digits.y_test).sum())
    stated = index.networks()[name].scores["test_accuracy"]
    assert hits == round(stated * len(digits.y_test))


def test_every_network_is_of_an_entry_on_the_board():
    board = {f"{e.track.name}/{e.id}-v{e.track.protocol_version}": e for e in _board()}
    for name, network in index.networks().items():
        entry = board[network.entry]
        assert network.sha256 == entry.model.sha256[0]
        assert network.parameters == entry.model.parameters
        assert network.scores == {n: entry.value(n) for n in network.scores}
        assert {"test_accuracy", "robust_accuracy"} <= set(network.scores)
        content = (index.FOLDER / network.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == network.sha256, name


def _board() -> list:
    return Board(ROOT / "leaderboard").entries()


def test_the_files_are_small():
    assert sum(p.stat().st_size for p in index.FOLDER.rglob("*.keras")) < 15_000_000


def test_the_list_has_every_network_with_its_scores():
    table = pellucid.list_models()
    assert sorted(table.index) == NAMES
    assert list(table.columns[:2]) == ["test_accuracy", "robust_accuracy"]
    assert table.loc["digits/standard", "parameters"] == 13_706


def test_a_network_is_a_model_of_stock_layers(tmp_path):
    model = pellucid.load_model("digits/standard")
    model.save(tmp_path / "copy.keras")
    copy = keras.saving.load_model(tmp_path / "copy.keras")
    x = np.random.default_rng(0).random((3, 8, 8, 1)).astype(np.float32)
    np.testing.assert_allclose(copy(x), model(x), atol=1e-6)


def test_the_networks_of_a_track_come_in_one_line(digits):
    """Standard first, then by norm and radius: one architecture."""
    models = pellucid.load_models("digits")
    of_l2, of_linf = ["l2-0.3", "l2-0.6", "l2-1"], ["linf-0.06", "linf-0.12", "linf-0.2"]
    assert list(models) == ["standard", *of_l2, *of_linf]
    assert {model.count_params() for model in models.values()} == {13_706}
    x = digits.x_test[:3] / np.float32(255)
    np.testing.assert_array_equal(models["l2-0.6"](x), pellucid.load_model("digits/l2-0.6")(x))


def test_some_networks_of_a_track():
    assert list(pellucid.load_models("digits", ["l2-1", "standard"])) == ["l2-1", "standard"]
    with pytest.raises(pellucid.InputError, match="Unknown track 'mnist'"):
        pellucid.load_models("mnist")
    with pytest.raises(pellucid.InputError, match=r"Unknown network of digits 'l2-0\.5'"):
        pellucid.load_models("digits", ["l2-0.5"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("digits/l2-0.5", "Did you mean 'digits/l2-0.6'"),
        ("nothing", "Unknown model"),
        ("hf://nobody/nothing", "hf://nobody/nothing cannot be loaded"),
    ],
)
def test_what_is_not_there(name, said, monkeypatch):
    def refuse(address: str) -> None:
        raise ImportError("huggingface_hub\nis missing")

    monkeypatch.setattr(keras.saving, "load_model", refuse)
    with pytest.raises(pellucid.InputError, match=said) as refused:
        pellucid.load_model(name)
    assert "\n" not in str(refused.value)


def test_an_address_of_hugging_face_is_kerass(monkeypatch):
    monkeypatch.setattr(keras.saving, "load_model", lambda address: ("loaded", address))
    assert pellucid.load_model("hf://owner/name") == ("loaded", "hf://owner/name")


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def elsewhere(tmp_path, monkeypatch) -> Path:
    """A zoo whose package has the list alone, and a server on this machine with the files."""
    served, package = tmp_path / "served", tmp_path / "package"
    for name in (n for n in NAMES if n.startswith("digits/")):
        file = index.networks()[name].file
        (served / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(index.FOLDER / file, served / file)
    package.mkdir()
    monkeypatch.setattr(index, "FOLDER", package)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    handler = functools.partial(Quiet, directory=str(served))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv(models.BASE, f"http://127.0.0.1:{server.server_port}/")
    yield served
    server.shutdown()


def test_what_the_package_does_not_hold_is_fetched(elsewhere, monkeypatch):
    first = pellucid.load_model("digits/l2-0.6")
    x = np.random.default_rng(0).random((3, 8, 8, 1)).astype(np.float32)
    monkeypatch.undo()
    np.testing.assert_array_equal(first(x), pellucid.load_model("digits/l2-0.6")(x))


def test_another_file_is_refused(elsewhere):
    shutil.copyfile(elsewhere / "digits" / "l2-1.keras", elsewhere / "digits" / "l2-0.3.keras")
    with pytest.raises(pellucid.InputError, match=r"l2-0\.3\.keras cannot be fetched from http"):
        pellucid.load_model("digits/l2-0.3")


def test_without_an_address_it_is_said_what_to_set(elsewhere, monkeypatch):
    monkeypatch.delenv(models.BASE)
    with pytest.raises(pellucid.InputError, match=f"Set {models.BASE} to the address"):
        pellucid.load_model("digits/l2-0.3")


def test_a_changed_file_of_the_package_is_refused(elsewhere):
    (index.FOLDER / "digits").mkdir()
    content = bytearray((elsewhere / "digits" / "l2-0.3.keras").read_bytes())
    content[1000] ^= 1
    (index.FOLDER / "digits" / "l2-0.3.keras").write_bytes(content)
    with pytest.raises(pellucid.InputError, match="not the one that the list of models states"):
        pellucid.load_model("digits/l2-0.3")


def test_names_of_the_grid():
    assert publish.name_of("digits", STANDARD) == "digits/standard"
    assert publish.name_of("digits", Network("l2", 0.6, "xent")) == "digits/l2-0.6"
    assert publish.name_of("mnist", Network("linf", 0.1, "cw")) == "mnist/linf-0.1-cw"
