"""Entries, their order, the Pareto front and the tables, on made-up entries."""

import csv
import io
import json

import numpy as np
import pytest

from leaderboard import entry as entries
from leaderboard import render
from leaderboard.entry import Adversary, DataSet, Entry, Score
from leaderboard.ranking import on_front, ordered, pareto_front
from models.errors import InputError


def made(name: str, accuracy: float, roar: float | None, *, norm="l2", epsilon=0.5, data="digits") -> Entry:
    scores = {"test_accuracy": Score(value=accuracy, low=accuracy - 0.01, high=accuracy + 0.01, n=100)}
    if roar is not None:
        scores["roar_gradient_input"] = Score(value=roar, n=10)
    return Entry(
        id=name, scale="quick", protocol_version=1, model="digits_cnn", seeds=1, robustness="PGD", scores=scores,
        data=DataSet(name=data, version="1.0.0", train_images=10, test_images=5), model_sha256=["0" * 64],
        adversary=Adversary(norm=norm, epsilon=epsilon, loss="xent" if norm else None), environment={},
    )  # fmt: skip


FOUR = [made("a", 0.9, 0.1), made("b", 0.8, 0.2), made("c", 0.7, 0.15), made("s", 0.95, 0.0, norm=None, epsilon=0)]


def test_pareto_front_by_hand():
    points = np.array([[1, 5], [2, 4], [2, 3], [3, 1], [3, 1], [0, 6], [np.nan, 9]])
    assert pareto_front(points).tolist() == [True, True, False, True, True, True, False]


def test_front_and_order_of_entries():
    assert on_front(FOUR, "roar_gradient_input") == [True, True, False, True]
    assert [e.id for e in ordered(FOUR)] == ["b", "c", "a", "s"]
    assert next(e.id for e in ordered([*FOUR, made("n", 0.99, None)])) == "n", "without a common score, by accuracy"


def test_markdown():
    text = render.markdown(FOUR)
    rows = [line for line in text.splitlines() if line.startswith("| ")][1:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[1] for row in cells] == ["L2 0.5, xent", "L2 0.5, xent", "L2 0.5, xent", "standard"]
    assert cells[0] == ["1", "L2 0.5, xent", "1", "0.800 [0.790, 0.810]", "0.200", "ROAR GX"]
    assert cells[1][-1] == ""
    assert render.markdown(list(reversed(FOUR))) == text


def test_entries_of_other_data_or_protocol_never_share_a_table():
    other = made("m", 0.5, 0.5, data="mnist")
    later = made("p", 0.5, 0.5).model_copy(update={"protocol_version": 2})
    text = render.markdown([*FOUR, other, later])
    assert text.count("| training ") == 3
    rows = [section.count("\n| ") - 1 for section in text.split("\n## ")[1:]]  # without the header
    assert rows == [4, 1, 1]


def test_csv_has_full_precision():
    third = made("t", 1 / 3, 0.1)
    row = next(csv.DictReader(io.StringIO(render.table([third]))))
    assert float(row["test_accuracy"]) == 1 / 3
    assert (row["roar_gradient_input_low"], row["pareto_roar_gradient_input"]) == ("", "True")


def test_files(tmp_path):
    for one in FOUR:
        (tmp_path / f"{one.id}.json").write_text(entries.dumps(one))
    assert entries.read(tmp_path) == FOUR
    broken = json.loads(entries.dumps(FOUR[0])) | {"extra": 1}
    (tmp_path / "a.json").write_text(json.dumps(broken))
    with pytest.raises(InputError, match=r"a\.json does not fit the schema: extra: Extra inputs are not permitted"):
        entries.read(tmp_path)
    with pytest.raises(InputError, match="No leaderboard entries"):
        entries.read(tmp_path / "none")
