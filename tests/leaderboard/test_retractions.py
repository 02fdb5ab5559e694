"""Retractions: an entry goes, the reason stays, and the model does not come back unasked."""

import pytest

from pellucid.leaderboard import retractions
from pellucid.leaderboard.board import Board
from pellucid.models.errors import InputError
from tests.commands import here
from tests.leaderboard.made import grid, made, track

ENTRY = made("mine", 0.95, 0.2)


@pytest.fixture
def board(tmp_path) -> Board:
    standing = Board(tmp_path / "board")
    standing.put([*grid(), ENTRY])
    return standing


def ids(board: Board) -> set[str]:
    return {entry.id for entry in board.entries()}


def test_a_retracted_entry_is_gone_and_recorded(board):
    done = here("retract", "digits/mine", "--because", "Wrong weights.", "--board", board.root)
    assert done.returncode == 0, done.stderr
    assert str(board.root / retractions.FILE) in done.stdout.splitlines()
    assert ids(board) == {entry.id for entry in grid()}
    assert board.check() == []
    assert "Model mine" not in (board.root / "LEADERBOARD.md").read_text()
    assert not (board.root / "entries" / "digits" / "mine-v1.json").exists()
    (one,) = retractions.read(board.root)
    assert (one.place, one.name, one.because) == (
        "digits/mine-v1.json",
        "Model mine",
        "Wrong weights.",
    )
    assert one.sha256 == ENTRY.model.sha256


def test_the_board_is_what_it_was_before_the_entry(board, tmp_path):
    Board(tmp_path / "other").put(grid())
    board.retract("digits/mine", "Wrong weights.")
    for name in ("LEADERBOARD.md", "leaderboard.csv"):
        assert (board.root / name).read_bytes() == (tmp_path / "other" / name).read_bytes()


def test_the_page_lists_retractions_until_the_model_is_back(board):
    assert 'id="retracted"' not in (board.root / "index.html").read_text()
    board.retract("digits/mine", "Weights of <another> model.")
    page = (board.root / "index.html").read_text()
    listed = page[page.index('id="retracted"') :]
    assert "Model mine" in listed
    assert "Weights of &lt;another&gt; model." in listed
    board.put([made("other", 0.94, 0.1)])
    assert "Model mine" in (board.root / "index.html").read_text()
    board.put([ENTRY], replace=True)
    assert 'id="retracted"' not in (board.root / "index.html").read_text()


def test_a_retracted_model_comes_back_only_by_replacing(board):
    board.retract("digits/mine", "Wrong weights.")
    again = made("mine", 0.95, 0.2, on=track(protocol=2))
    for entry in (ENTRY, again):
        with pytest.raises(InputError, match=r"was retracted as digits/mine-v1.json: 'Wrong wei"):
            board.put([entry])
    assert ids(board) == {entry.id for entry in grid()}
    board.put([made("other", 0.94, 0.1)])
    board.put([ENTRY], replace=True)
    assert "mine" in ids(board)
    assert retractions.read(board.root) == []
    assert board.check() == []


def test_several_retractions(board):
    board.put([made("other", 0.94, 0.1)])
    board.retract("digits/other", "At its authors' wish.")
    board.retract("digits/mine-v1.json", "Wrong weights.")
    assert [r.name for r in retractions.read(board.root)] == ["Model mine", "Model other"]


@pytest.mark.parametrize(
    ("entry", "because", "message"),
    [
        ("digits/none", "x", "The board has no entry digits/none."),
        ("digits/reference-1", "x", "is a reference network, not a submission"),
        ("digits/mine", "", "The reason: because: must not be empty."),
        ("digits/mine", "a\nb", "The reason: because: holds the invisible"),
        ("digits/mine", "x" * 301, "The reason: because: "),
    ],
)
def test_mistakes_change_nothing(board, entry, because, message):
    done = here("retract", entry, "--because", because, "--board", board.root)
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert "mine" in ids(board)
    assert not (board.root / retractions.FILE).exists()


@pytest.mark.parametrize("content", ["", "[]", '{"retracted": [{}]}', '{"retracted": [], "x": 1}'])
def test_a_damaged_file_is_told(board, content):
    (board.root / retractions.FILE).write_text(content)
    (problem,) = board.check()
    assert problem.startswith(f"{board.root / retractions.FILE}: ")
    with pytest.raises(InputError, match=retractions.FILE):
        board.put([made("other", 0.94, 0.1)])
