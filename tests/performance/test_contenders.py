"""The contenders' work, in small: that it runs and tells what a race reads. Part of `make test`."""

import numpy as np
import pytest

from pellucid import models
from tests.performance import ours, plain
from tests.performance.cases import CASES, Case
from tests.performance.contenders import Share, merged
from tests.performance.table import BEGIN, END, write_table

KINDS = ["training", "adversarial_training", "roar_curve", "attribution", "vae_gan_epoch"]
SMALL = Case("digits", (100, 1), (100, 1), (100, 1), 100, ("digits_vae_gan", 0.25, 2, 100))


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setitem(CASES, "digits_cnn", SMALL)


@pytest.fixture
def folder(tmp_path, digits_model, digits):
    digits_model.save(tmp_path / "digits_cnn.keras")
    np.savez(tmp_path / "images.npz", x=digits.x_test[:20], y=digits.y_test[:20])
    return tmp_path


@pytest.mark.parametrize("what", KINDS)
def test_our_work_runs(small, tmp_path, what):
    told = getattr(ours, what)("digits_cnn", tmp_path)()
    assert told is None or set(told) == {"seconds", "cpu"}


@pytest.mark.parametrize("what", ["pgd_l2", "pgd_linf", "apgd_l2", "apgd_linf"])
def test_our_attacks_run(folder, what):
    told = getattr(ours, what)("digits_cnn", folder)()
    assert set(told) == {"seconds", "cpu", "success"}
    assert 0 <= told["success"] <= 1


@pytest.mark.parametrize("what", [*KINDS, "roar_curve_in_graph"])
def test_the_other_side_can_be_prepared(small, tmp_path, what):
    assert callable(getattr(plain, what)("digits_cnn", tmp_path))


def test_masks_in_the_graph_are_those_of_numpy():
    rng = np.random.default_rng(0)
    x, fill = rng.random((5, 4, 4, 3), np.float32), np.array([0.1, 0.2, 0.3], np.float32)
    ranks = rng.permuted(np.tile(np.arange(16.0), (5, 1)), axis=1)
    network = models.get("digits_cnn")((4, 4, 3), 10, seed=0)
    model = plain.Masked(network.inputs, network.outputs)
    model.prepare([(x, ranks), (x[:2], ranks[:2])], fill)
    model.count.assign(5.0)
    index = np.array([3, 1])
    expected = np.where((ranks[index] < 5).reshape(2, 4, 4, 1), fill, x[index])
    np.testing.assert_array_equal(model._masked(0, index), expected)


def test_shares_make_the_whole():
    parts = [plain.FRACTIONS[share.index :: share.of] for share in (Share(0, 2), Share(1, 2))]
    assert sorted(sum(parts, ())) == sorted(plain.FRACTIONS)


def test_several_processes_answer_as_one():
    parts = [{"seconds": 2.0, "cpu": 1.0, "success": 0.5}, {"seconds": 3, "cpu": 2, "success": 1.0}]
    assert merged(parts) == {"seconds": 3, "cpu": 3, "success": 0.75}


def test_a_row_without_the_ratio_of_processor_seconds_has_an_empty_cell(tmp_path):
    document = tmp_path / "document.md"
    document.write_text(f"before\n{BEGIN}\n{END}\nafter\n")
    race = {key: {"value": 2.0} for key in ("ours", "theirs", "ratio", "least", "greatest")}
    made = {"commit": "0123456789", "uncommitted_changes": False}
    rows = {
        "old": {"figures": race, "made_with": made},
        "new": {"figures": race | {"processor ratio": {"value": 3.0}}, "made_with": made},
    }
    write_table(rows, document)
    cells = {
        line.split("|")[1].strip(): [cell.strip() for cell in line.split("|")]
        for line in document.read_text().splitlines()
        if line.startswith("|")
    }
    assert cells["`old`"][5] == ""
    assert cells["`new`"][5] == "3"
