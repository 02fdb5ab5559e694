"""The board: rendered from entries alone, reproducible, and changed completely or not at all."""

import csv
import errno
import io
import multiprocessing
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from cmarkgfm import github_flavored_markdown_to_html

from robust_interpretability.leaderboard import entry as entries
from robust_interpretability.leaderboard import render, tradeoff
from robust_interpretability.leaderboard.board import LOCK, PENDING, Board, rendered
from robust_interpretability.leaderboard.eligibility import HARDLY_LEARNED, left_out
from robust_interpretability.leaderboard.entry import ModelRecord
from robust_interpretability.models.errors import InputError
from tests.conftest import ROOT
from tests.leaderboard.made import grid, made, track

ROWS = [*grid(), made("a", 0.95, 0.2, flags=["zero_gradients"]), made("b", 0.9)]


def contents(folder: Path) -> dict[str, bytes]:
    """Everything a reader sees: all but the lock."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != LOCK
    }


@pytest.fixture
def board(tmp_path) -> Board:
    made_board = Board(tmp_path / "board")
    made_board.put(ROWS)
    return made_board


def test_markdown_has_one_row_an_entry_in_order():
    text = render.markdown(ROWS)
    rows = [
        [c.strip() for c in line.strip("|").split("|")]
        for line in text.splitlines()
        if line.startswith("| ")
    ]
    header, body = rows[0], rows[1:]
    assert header[:3] == ["rank", "model", "training"]
    assert sorted(row[1] for row in body) == sorted(render.escaped(e.card.name) for e in ROWS)
    named = {row[1]: dict(zip(header, row, strict=True)) for row in body}
    assert named["Model a"]["test accuracy"] == "0.950 [0.940, 0.960]"
    assert named["Model a"]["flags"] == "zero gradients"
    assert render.markdown(list(reversed(ROWS))) == text


def test_markdown_keeps_protocol_versions_apart():
    later = [made("c", 0.9, 0.1, on=track(protocol=2))]
    text = render.markdown([*ROWS, *later])
    assert text.index("## digits, protocol version 2") < text.index("## digits, protocol version 1")
    assert text.count("| model") == 2


@pytest.mark.parametrize(
    "text", ["a|b", "<script>", "[x](javascript:1)", "`x`", "&lt;", "a\nb", "![x](y)", "\\<b>"]
)
def test_text_from_outside_is_harmless_in_markdown(text):
    escaped = render.escaped(text)
    assert not set("<\n") & set(escaped)
    for mark in "|[]()`!":
        assert escaped.count(mark) == escaped.count(f"\\{mark}")


@pytest.mark.parametrize(
    "text", ["www.evil.example", "see www.evil.example", "a@b.example", "xmpp:a@b.c", "http://a.b"]
)
def test_no_address_in_a_name_becomes_a_link(text):
    page = github_flavored_markdown_to_html(f"| model |\n| --- |\n| {render.escaped(text)} |\n")
    assert "<a" not in page
    assert text in re.sub("<[^>]*>", "", page)
    assert "<a" in github_flavored_markdown_to_html(text), "unescaped, it would be one"


def test_wide_characters_take_the_same_bytes_whatever_is_installed():
    card = made("x", 0.9).card.model_copy(update={"name": "模型一号"})
    row = next(
        line
        for line in render.markdown([made("x", 0.9, card=card)]).splitlines()
        if "模型一号" in line
    )
    header = next(
        line
        for line in render.markdown([made("x", 0.9, card=card)]).splitlines()
        if "| rank" in line
    )
    assert len(row) == len(header), "padded by characters, not by their width"


def test_csv_and_parquet_have_full_precision():
    third = made("t", 1 / 3, 0.1)
    row = next(csv.DictReader(io.StringIO(render.csv([third]))))
    assert float(row["test_accuracy"]) == 1 / 3
    assert row["roar_gradient_input_n"] == "10"
    table = pd.read_parquet(io.BytesIO(render.parquet([third])))
    assert table["test_accuracy"][0] == 1 / 3
    assert table["roar_gradient_input_n"][0] == 10
    assert list(table.columns) == list(row)


def test_a_link_may_be_missing():
    card = made("x", 0.9).card.model_copy(update={"link": None})
    rows = list(
        csv.DictReader(io.StringIO(render.csv([made("x", 0.9, card=card), made("y", 0.9)])))
    )
    assert {row["id"]: row["link"] for row in rows} == {"x": "", "y": "https://example.org/x"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["=1+1", "x;=1+1", "x; =1+1", "＝1+1", "-1", "x\t@a"])
def test_a_formula_in_a_name_is_no_formula_in_a_spreadsheet(name, separator):
    card = made("x", 0.9).card.model_copy(update={"name": name, "authors": ["A", "+B"]})
    table = render.csv([made("x", 0.9, card=card)])
    cells = [
        cell.strip().partition(",")[0]
        for row in csv.reader(io.StringIO(table), delimiter=separator)
        for cell in row
    ]
    assert not set(cells) & {"=1+1", "＝1+1", "-1", "@a", "+B"}
    assert "1+1" in table or "-1" in table or "@a" in table


def test_the_same_entries_give_the_same_bytes(board, tmp_path):
    other = Board(tmp_path / "other")
    for entry in reversed(ROWS):
        other.put([entry])
    assert contents(board.root) == contents(other.root)
    assert rendered(board.entries()) == {
        n: c for n, c in contents(board.root).items() if not n.startswith("entries/")
    }


def test_check_finds_every_change(board):
    assert board.check() == []
    for name in [n for n in contents(board.root) if not n.startswith("entries/")]:
        path = board.root / name
        before = path.read_bytes()
        path.write_bytes(before + b" ")
        assert str(path) in board.check()[0] or name.endswith(".parquet")
        path.unlink()
        assert str(path) in board.check()[0]
        path.write_bytes(before)
    entry = board.root / "entries" / "digits" / "a-v1.json"
    entry.write_text(entry.read_text().replace('"value": 0.95', '"value": 0.955'))
    assert board.check() == [
        "Entry digits/a-v1.json was changed after it was measured: its digest is not that of its"
        " content."
    ]


def test_an_altered_parquet_file_is_found(board):
    path = board.root / "leaderboard.parquet"
    table = pd.read_parquet(path)
    table.loc[0, "test_accuracy"] = 1.0
    table.to_parquet(path, index=False)
    assert len(board.check()) == 1


def test_a_broken_entry_leaves_the_board_alone(board):
    path = board.root / "entries" / "digits" / "a-v1.json"
    path.write_text("{")
    before = contents(board.root)
    with pytest.raises(InputError, match=r"digits/a-v1\.json does not fit the schema"):
        board.put([made("new", 0.9)])
    assert contents(board.root) == before


def test_only_leaves_no_other_entry(board):
    (board.root / "entries" / "digits" / "broken.json").write_text("{")
    (board.root / "entries" / "stray.json").write_text("{")
    board.put([made("new", 0.9)], only=True)
    assert [e.id for e in board.entries()] == ["new"]
    assert board.check() == []


def test_killed_at_any_point_it_is_the_old_board_or_the_new_one(tmp_path):
    command = [sys.executable, "-m", "tests.leaderboard.killed", str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    points = int(done.stdout)
    assert points > 20
    old, new = contents(tmp_path / "start"), contents(tmp_path / "done")
    assert old != new
    outcomes = []
    for point in range(points):
        board = Board(tmp_path / f"killed-{point}")
        found = {e.id: e for e in board.entries()}["new"].value("test_accuracy")
        assert board.check() == [], f"killed at {point}"
        board.render()  # the next change clears away what was never committed
        assert contents(board.root) == (new if found == 0.95 else old)
        outcomes.append(found == 0.95)
    assert outcomes == sorted(outcomes), "from some point on it is the new one"
    assert {True, False} == set(outcomes)


def test_a_full_disk_leaves_the_old_board(board, monkeypatch):
    before, calls = contents(board.root), [0]
    real = os.fsync

    def full(handle):
        calls[0] += 1
        if calls[0] == 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(handle)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="the disk is full"):
        board.put([made("new", 0.9)])
    assert contents(board.root) == before
    monkeypatch.setattr(os, "fsync", real)
    board.put([made("new", 0.9)])
    assert board.check() == []


def test_a_disk_without_room_for_a_folder_is_one_line(board, monkeypatch):
    before = contents(board.root)

    def full(**_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("robust_interpretability.leaderboard.board.tempfile.mkdtemp", full)
    with pytest.raises(InputError, match="the disk is full"):
        board.put([made("new", 0.9)])
    assert contents(board.root) == before


def test_protocol_versions_lie_side_by_side(board):
    old = [e for e in ROWS if e.role == "reference"]
    newer = track(protocol=2)
    board.put([made(e.id, e.value("test_accuracy"), 0.1, role="reference", on=newer) for e in old])
    board.put([made("a", 0.95, 0.2, on=newer)])
    assert {(e.id, e.track.protocol_version) for e in board.entries()} >= {
        ("a", 1),
        ("a", 2),
        (old[0].id, 1),
        (old[0].id, 2),
    }
    assert len(board.entries()) == len(ROWS) + len(old) + 1
    assert board.check() == []


def test_no_submission_replaces_another_model(board):
    before, posing = contents(board.root), made("a", 0.99)
    posing = entries.seal(
        posing.model_copy(update={"model": ModelRecord(parameters=1, sha256=["1" * 64])})
    )
    with pytest.raises(InputError, match="another model with the id digits/a"):
        board.put([posing])
    assert contents(board.root) == before


@pytest.mark.parametrize("name", ["a", "another"])
def test_another_card_of_the_same_model_is_for_the_maintainer(board, name):
    """Whoever submits a public model under their own name does not replace its authors."""
    before, said = contents(board.root), []
    card = made("a", 0.9).card.model_copy(update={"name": "New", "authors": ["N. Body"]})
    same = next(e for e in board.entries() if e.id == "a").model
    posing = made(name, 0.95, 0.2, card=card).model_copy(update={"model": same})
    posing = entries.seal(posing)
    with pytest.raises(InputError, match=r"on the board as 'Model a' by A. Author.*--replace"):
        board.put([posing])
    assert contents(board.root) == before
    Board(board.root, said.append).put([posing], replace=True)
    assert said == [
        "the same model was on the board as 'Model a' by A. Author; this entry replaces it"
    ]
    cards = {e.id: e.card.name for e in board.entries()}
    assert cards[name] == "New"
    assert ("a" in cards) == (name == "a")
    assert board.check() == []


def test_a_model_measured_again_with_its_card_needs_no_maintainer(board):
    board.put([made("a", 0.96, 0.2)])
    assert {e.id: e for e in board.entries()}["a"].value("test_accuracy") == 0.96


def test_a_model_that_knows_the_test_images_is_not_ranked_until_that_is_ruled_out(board):
    flag = "test_contamination"
    without = {e.id: tradeoff.Standings().of(ROWS, "roar_gradient")[e.id] for e in ROWS}
    board.put([made("knows", 1.0, 0.9, flags=[flag])])

    rows = board.entries()
    of = tradeoff.Standings().of(rows, "roar_gradient")
    assert of["knows"].ranks is None
    assert not of["knows"].pareto
    assert not of["knows"].beats
    assert {name: standing for name, standing in of.items() if name != "knows"} == without
    assert tradeoff.ordered(rows)[-1].id == "knows"
    assert "not ranked: knows the test images" in (board.root / "LEADERBOARD.md").read_text()
    page = (board.root / "index.html").read_text()
    assert "not ranked until a maintainer has ruled this out" in page

    with pytest.raises(InputError, match="does not have the flag probabilities"):
        board.rule_out("digits/knows", "probabilities", "a reason")
    with pytest.raises(InputError, match="no entry digits/nobody"):
        board.rule_out("digits/nobody", flag, "a reason")
    with pytest.raises(InputError, match="The reason"):
        board.rule_out("digits/knows", flag, "two\nlines")

    board.rule_out("digits/knows", flag, "trained by us from its published code")
    assert left_out(board.entries()) == {}
    assert tradeoff.Standings().of(board.entries(), "roar_gradient")["knows"].ranks == (1, 1)
    assert "knows the test images (ruled out)" in (board.root / "LEADERBOARD.md").read_text()
    assert "trained by us from its published code" in (board.root / "index.html").read_text()
    assert board.check() == []


def test_a_network_that_has_hardly_learned_is_shown_and_not_ranked():
    """With ten classes: less than half as far above 0.1 as the grid's best network."""
    best = max(e.value("test_accuracy") for e in ROWS if e.role == "reference")
    bound = 0.1 + (best - 0.1) / 2
    rows = [
        *(e.model_copy(update={"classes": 10}) for e in ROWS),
        made("untrained", 0.17, 0.9),
        made("below", bound - 0.001, 0.8),
        made("above", bound + 0.001, 0.7),
        made("reference-collapsed", 0.11, 0.95, role="reference"),
    ]
    unranked = dict.fromkeys(["untrained", "below", "reference-collapsed"], HARDLY_LEARNED)
    assert left_out(rows) == unranked
    of = tradeoff.Standings().of(rows, "roar_gradient")
    assert of["above"].ranks == (1, 1)
    for name in unranked:
        assert of[name].ranks is None
        assert not of[name].pareto
        assert not of[name].beats
    assert {e.id for e in tradeoff.ordered(rows)[-3:]} == set(unranked)
    whole, without = (tradeoff.Standings().fit(of, "roar_gradient") for of in (rows, ROWS))
    assert whole.at(0.95) == without.at(0.95)
    assert render.markdown(rows).count("not ranked: hardly learned") == 3
    assert list(render.frame(rows)["not_ranked"].dropna()) == [HARDLY_LEARNED] * 3


def test_a_reference_network_that_is_not_ranked_is_not_part_of_the_line():
    odd = made("reference-odd", 0.5, 0.9, role="reference", flags=["test_contamination"])
    whole, without = (tradeoff.Standings().fit(of, "roar_gradient") for of in ([*ROWS, odd], ROWS))
    assert whole.at(0.95) == without.at(0.95)


@pytest.mark.parametrize(
    "gone",
    ['["../victim.txt"]', '["entries/../../victim.txt"]', '["LEADERBOARD.md"]', "{}", "x", "[1]"],
)
def test_a_half_done_change_made_by_hand_touches_nothing(board, gone):
    victim = board.root.parent / "victim.txt"
    victim.write_text("here")
    (board.root / PENDING).mkdir()
    (board.root / PENDING / "gone.json").write_text(gone)
    before = contents(board.root)
    assert "is not an unfinished change of this program" in board.check()[0]
    with pytest.raises(InputError, match="not an unfinished change"):
        board.put([made("new", 0.9)])
    assert contents(board.root) == before
    assert victim.exists()


@pytest.mark.parametrize(
    "name", ["mine.txt", "entries/a.json", "entries/digits/.a.json", "index.html"]
)
def test_a_half_done_change_with_foreign_files_or_links_touches_nothing(board, name):
    path = board.root / PENDING / name
    path.parent.mkdir(parents=True)
    if name == "index.html":
        path.symlink_to(board.root / LOCK)
    else:
        path.write_text("")
    before = (board.root / "index.html").read_bytes()
    assert "not an unfinished change" in board.check()[0]
    assert (board.root / "index.html").read_bytes() == before


def _put(root: Path, name: str) -> None:
    Board(root).put([made(name, 0.9, 0.1)])


def test_two_at_once_are_both_on_the_board(board):
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_put, args=(board.root, f"at-once-{i}")) for i in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 4
    assert {f"at-once-{i}" for i in range(4)} <= {e.id for e in board.entries()}
    assert board.check() == []


def test_other_files_in_the_folder_stay(board):
    own = board.root / "mine.txt"
    own.write_text("mine")
    board.put([made("new", 0.9)], only=True)
    assert own.read_text() == "mine"
    assert not (board.root / PENDING).exists()


def test_a_folder_that_cannot_be_written(tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    with pytest.raises(InputError, match="cannot be written"):
        Board(blocked / "board").put(ROWS)


def test_everything_is_rendered_from_the_entries_alone(board, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(board.root / "entries", copy / "entries")
    Board(copy).render()
    assert contents(copy) == contents(board.root)
