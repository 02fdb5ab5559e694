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

import numpy as np
import pandas as pd
import pytest
from cmarkgfm import github_flavored_markdown_to_html

from pellucid.leaderboard import entry as entries
from pellucid.leaderboard import render, table, tradeoff
from pellucid.leaderboard.board import LOCK, PENDING, Board, pages, rendered
from pellucid.leaderboard.eligibility import HARDLY_LEARNED, left_out
from pellucid.leaderboard.entry import ModelRecord
from pellucid.leaderboard.text import escaped as escape
from pellucid.models.errors import InputError
from tests.conftest import ROOT
from tests.leaderboard.made import grid, made, track
from tests.leaderboard.many import unknown

ROWS = [*grid(), made("a", 0.95, 0.2, flags=["zero_gradients"]), made("b", 0.9)]


def contents(folder: Path) -> dict[str, bytes]:
    """Everything a reader sees: all but the lock."""
    return {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name != LOCK
    }


def markdown(rows: list) -> str:
    return render.markdown(table.of(rows))


def frame(rows: list) -> pd.DataFrame:
    return render.frame(table.of(rows))


@pytest.fixture
def board(tmp_path) -> Board:
    made_board = Board(tmp_path / "board")
    made_board.put(ROWS)
    return made_board


def tables_of(text: str) -> list[list[dict[str, str]]]:
    """The tables of a Markdown text, as rows by column."""
    found = []
    for block in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        lines = [[c.strip() for c in line.strip("|").split("|")] for line in block.splitlines()]
        found.append([dict(zip(lines[0], row, strict=True)) for row in lines[2:]])
    return found


def test_markdown_has_one_row_an_entry_in_order():
    text = markdown(ROWS)
    leading, test, *_ = tables_of(text)
    accuracies = ["train", "test", "robust"]
    assert list(leading[0]) == ["rank", "model", *accuracies, "score", "advantage", "notes"]
    assert [row["model"] for row in leading] == [
        escape(e.card.name) for e in tradeoff.ordered(ROWS)
    ]
    named = {row["model"]: row for row in leading}
    assert named["Model a"]["test"] == "0.950"
    assert named["Model a"]["notes"] == "a"
    assert "\na: zero gradients\n" in text
    assert {row["model"]: row["score"] for row in test}["Model a"] == "0.950 [0.940, 0.960]"
    assert markdown(list(reversed(ROWS))) == text


def test_markdown_fits_120_columns_whatever_the_names():
    """Of the longest names, of markup alone, and of a board whose names are long."""
    names = ["|" * 80, "W" * 80, "a very long name of a model " * 2 + "indeed", "`*_" * 26]
    cards = [ROWS[-1].card.model_copy(update={"name": name}) for name in names]
    rows = [*ROWS, *(made(f"n{i}", 0.9, 0.1 * i, card=card) for i, card in enumerate(cards))]
    lines = markdown([*rows, *unknown("W" * 60)]).splitlines()
    assert max(map(len, lines)) <= 120


def test_a_large_board_says_what_its_markdown_leaves_out():
    rows = [*ROWS, *(made(f"s{i}", 0.9, 0.001 * i) for i in range(render.DETAILED))]
    text = markdown(rows)
    assert len(tables_of(text)[0]) == len(rows)
    assert max(len(one) for one in tables_of(text)[1:]) == render.DETAILED
    assert f"And {len(rows) - render.DETAILED} more models, in leaderboard.csv." in text


def test_markdown_keeps_protocol_versions_apart():
    later = [made("c", 0.9, 0.1, on=track(protocol=2))]
    text = markdown([*ROWS, *later])
    assert text.index("## digits, protocol version 2") < text.index("## digits, protocol version 1")
    assert text.count("| notes") == 2


@pytest.mark.parametrize(
    "text", ["a|b", "<script>", "[x](javascript:1)", "`x`", "&lt;", "a\nb", "![x](y)", "\\<b>"]
)
def test_text_from_outside_is_harmless_in_markdown(text):
    escaped = escape(text)
    assert not set("<\n") & set(escaped)
    for mark in "|[]()`!":
        assert escaped.count(mark) == escaped.count(f"\\{mark}")


@pytest.mark.parametrize(
    "text", ["www.evil.example", "see www.evil.example", "a@b.example", "xmpp:a@b.c", "http://a.b"]
)
def test_no_address_in_a_name_becomes_a_link(text):
    page = github_flavored_markdown_to_html(f"| model |\n| --- |\n| {escape(text)} |\n")
    assert "<a" not in page
    assert text in re.sub("<[^>]*>", "", page)
    assert "<a" in github_flavored_markdown_to_html(text), "unescaped, it would be one"


def test_wide_characters_take_the_same_bytes_whatever_is_installed():
    card = made("x", 0.9).card.model_copy(update={"name": "模型一号"})
    row = next(
        line for line in markdown([made("x", 0.9, card=card)]).splitlines() if "模型一号" in line
    )
    header = next(
        line for line in markdown([made("x", 0.9, card=card)]).splitlines() if "| rank" in line
    )
    assert len(row) == len(header), "padded by characters, not by their width"


def test_csv_and_parquet_have_full_precision():
    third = made("t", 1 / 3, 0.1)
    row = next(csv.DictReader(io.StringIO(render.csv(frame([third])))))
    assert float(row["test_accuracy"]) == 1 / 3
    assert row["roar_gradient_input_n"] == "10"
    table = pd.read_parquet(io.BytesIO(render.parquet(frame([third]))))
    assert table["test_accuracy"][0] == 1 / 3
    assert table["roar_gradient_input_n"][0] == 10
    assert list(table.columns) == list(row)


def test_advantages_in_the_csv_are_the_same_on_every_processor():
    """A fit's last digits are not, so they are left out."""
    table = frame([*grid(), made("x", 0.93, 0.1)])
    advantages = table.filter(regex="_advantage").to_numpy(float)
    assert np.isfinite(advantages).sum() > 12
    np.testing.assert_array_equal(advantages, np.round(advantages, 9))


def test_a_link_may_be_missing():
    card = made("x", 0.9).card.model_copy(update={"link": None})
    rows = list(
        csv.DictReader(io.StringIO(render.csv(frame([made("x", 0.9, card=card), made("y", 0.9)]))))
    )
    assert {row["id"]: row["link"] for row in rows} == {"x": "", "y": "https://example.org/x"}


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("name", ["=1+1", "x;=1+1", "x; =1+1", "＝1+1", "-1", "x\t@a"])
def test_a_formula_in_a_name_is_no_formula_in_a_spreadsheet(name, separator):
    card = made("x", 0.9).card.model_copy(update={"name": name, "authors": ["A", "+B"]})
    table = render.csv(frame([made("x", 0.9, card=card)]))
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
    fresh = rendered(board.entries()) | pages(board.entries())
    assert fresh == {n: c for n, c in contents(board.root).items() if not n.startswith("entries/")}


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

    monkeypatch.setattr("pellucid.leaderboard.board.tempfile.mkdtemp", full)
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
    assert "not ranked: knows the test images" in (board.root / "index.html").read_text()
    page = board.root / "pages" / "digits" / "knows-v1.html"
    assert "not ranked until a maintainer has ruled this out" in page.read_text()

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
    assert "trained by us from its published code" in page.read_text()
    assert board.check() == []


def test_without_a_grid_a_network_at_chance_is_not_ranked():
    alone = [made("above", 0.16, 0.9), made("at-chance", 0.14, 0.9)]
    rows = [entry.model_copy(update={"classes": 10}) for entry in alone]
    assert left_out(rows) == {"at-chance": HARDLY_LEARNED}


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
    assert [row["notes"] for row in tables_of(markdown(rows))[0]].count("b") == 3
    assert list(frame(rows)["not_ranked"].dropna()) == [HARDLY_LEARNED] * 3


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


def test_another_entry_changes_no_other_s_page(board):
    """Not even the time at which its file was written."""
    pages = {p: p.stat().st_mtime_ns for p in board.root.glob("pages/*/*.html")}
    assert {f"{p.parent.name}/{p.stem}.json" for p in pages} == set(map(entries.place, ROWS))
    board.put([made("new", 0.9, 0.3)])
    assert {p: p.stat().st_mtime_ns for p in pages} == pages
    assert (board.root / "pages" / "digits" / "new-v1.html").exists()
    assert board.check() == []


def test_pages_are_checked_and_rendered_again(board):
    page, stray = (board.root / "pages" / "digits" / f"{name}-v1.html" for name in ("a", "gone"))
    page.write_text("changed")
    stray.write_text("of an entry that is gone")
    assert len(board.check()) == 1
    assert str(page) in board.check()[0]
    board.render()
    assert board.check() == []
    assert not stray.exists()


def test_links_stand_at_the_head_of_the_page(board):
    (board.root / "links.toml").write_text('"The code" = "https://example.org/code?a=1&b=2"\n')
    board.render()
    assert (
        '<a href="https://example.org/code?a=1&amp;b=2">The code</a>'
        in (board.root / "index.html").read_text()
    )
    assert board.check() == []


@pytest.mark.parametrize(
    "text", ['"x" = "javascript:alert(1)"', "x = 1", "x =", '"x" = "data:a"', "[x]\ny = 1"]
)
def test_other_links_are_refused(board, text):
    (board.root / "links.toml").write_text(text)
    with pytest.raises(InputError, match=r"links\.toml"):
        board.render()


def test_everything_is_rendered_from_the_entries_alone(board, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(board.root / "entries", copy / "entries")
    Board(copy).render()
    assert contents(copy) == contents(board.root)
