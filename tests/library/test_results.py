"""What the public functions return: tables, data frames, HTML and JSON."""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pytest

import pellucid
from pellucid.benchmark.library.result import Result, Table
from tests.library import networks

X, Y = networks.images(), networks.labels()


@dataclass(frozen=True, repr=False)
class Made(Result):
    what: str
    value: float
    low: float | None

    def tables(self):
        return [
            Table(
                f"made of {self.what}", [{"what": self.what, "value": self.value, "low": self.low}]
            )
        ]

    def notes(self):
        return [f"note on {self.what}"]


HOSTILE = Made("<script>alert('&')</script>", 0.123456, None)


def test_a_table_says_what_the_object_holds():
    assert str(HOSTILE).splitlines() == [
        "made of <script>alert('&')</script>",
        "what                           value    low",
        "---------------------------  -------  -----",
        "<script>alert('&')</script>   0.1235",
        "",
        "note on <script>alert('&')</script>",
    ]
    assert repr(HOSTILE) == str(HOSTILE)


def test_html_is_escaped():
    text = HOSTILE._repr_html_()
    assert "<script>" not in text
    assert text.count("&lt;script&gt;alert(&#x27;&amp;&#x27;)") == 3


def test_json_comes_back_and_frames_hold_full_numbers():
    assert Made.from_json(HOSTILE.to_json()) == HOSTILE
    assert json.loads(HOSTILE.to_json())["value"] == 0.123456
    assert HOSTILE.to_frame().loc[0, "value"] == 0.123456
    for text in ("{}", "not JSON", json.dumps({"what": 1, "value": "x", "low": None})):
        with pytest.raises(pellucid.InputError, match="not a Made as JSON"):
            Made.from_json(text)


@pytest.fixture(scope="module")
def evaluation():
    return pellucid.evaluate(
        networks.sequential(), X, Y, norm="linf", epsilon=0.05, verbose=False, version="rand"
    )


def test_an_evaluation_has_a_row_for_each_attack(evaluation):
    frame = evaluation.to_frame()
    assert frame["attack"].tolist() == [
        "none",
        "PGD, 40 steps",
        "AutoAttack, rand",
        "PGD and AutoAttack",
    ]
    assert (frame["accuracy"] == frame["correct"] / 12).all()
    assert frame["correct"].is_monotonic_decreasing
    assert evaluation.worst_case.correct <= min(
        evaluation.pgd.correct, evaluation.autoattack.correct
    )
    assert "robust accuracy, Linf 0.05, seed 0" in str(evaluation)
    assert pellucid.Evaluation.from_json(evaluation.to_json()) == evaluation
    with pytest.raises(dataclasses.FrozenInstanceError):
        evaluation.seed = 1


def test_flags_are_printed_with_what_they_mean():
    """Saturated: the loss has no gradient anywhere."""
    model = networks.sequential()
    model.layers[-1].set_weights([networks.WEIGHTS * 0, networks.BIAS])
    y = np.full(12, 2)
    result = pellucid.evaluate(model, X, y, norm="l2", epsilon=0.1, verbose=False)
    assert "zero_gradients" in {flag.name for flag in result.flags}
    assert "warning: zero gradients: gradient attacks" in str(result)
    assert result.autoattack.accuracy == 1
    assert pellucid.Evaluation.from_json(result.to_json()) == result


def test_a_history_has_a_row_for_each_epoch(capsys):
    history = pellucid.fit(networks.sequential(), X, Y, epochs=2, batch_size=4)
    assert history.to_frame().columns.tolist() == ["epoch", "loss", "accuracy"]
    assert "standard training, seed 0" in str(history)
    assert pellucid.History.from_json(history.to_json()) == history
    captured = capsys.readouterr()
    assert captured.out == ""
    assert [line[:10] for line in captured.err.splitlines()] == ["epoch 1/2:", "epoch 2/2:"]


def test_data_sets_are_listed_and_loaded(tmp_path, capsys):
    folder = tmp_path / "mnist" / "3.0.1"
    folder.mkdir(parents=True)
    (folder / "dataset_info.json").write_text("{}")
    nested = tmp_path / "smallnorb" / "pairs" / "1.0.0"
    nested.mkdir(parents=True)
    (nested / "dataset_info.json").write_text("{}")
    names = pellucid.list_datasets(tmp_path)
    assert {"digits", "gaussians", "mnist", "smallnorb/pairs"} <= set(names)
    assert len(names) == len(set(names))
    data = pellucid.load_data("digits", train_limit=7, test_limit=3, verbose=True)
    assert (len(data.x_train), len(data.x_test)) == (7, 3)
    assert "scikit-learn" in capsys.readouterr().err
