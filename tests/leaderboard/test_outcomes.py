"""Outcomes beside an entry: what was written is read, and nothing else is."""

import hashlib

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from pellucid.leaderboard import entry as entries
from pellucid.leaderboard import outcomes
from pellucid.leaderboard.board import Board
from pellucid.leaderboard.outcomes import Bits, Numbers, Outcomes, Retrainings
from pellucid.models.errors import InputError
from tests.leaderboard.made import made

sides = st.integers(1, 20)


@given(hnp.arrays(bool, st.tuples(sides, sides)))
def test_bits_come_back(values):
    assert (outcomes.bits(values).array() == values).all()


@given(hnp.arrays(np.float32, hnp.array_shapes(min_dims=1, max_dims=3)))
def test_numbers_come_back(values):
    back = outcomes.numbers(values).array()
    np.testing.assert_array_equal(back, values)


@pytest.mark.parametrize(
    "wrong",
    [
        {"columns": 9, "rows": ["AA=="]},
        {"columns": 8, "rows": []},
        {"columns": 8, "rows": ["A"]},
        {"columns": 8, "rows": ["*A=="]},
        {"columns": -8, "rows": [""]},
    ],
)
def test_bits_that_do_not_fit(wrong):
    with pytest.raises(ValidationError):
        Bits.model_validate(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        {"shape": [2], "float32": "AAAAAA=="},
        {"shape": [1 << 40, 1 << 40], "float32": "AAAAAA=="},
        {"shape": [], "float32": "AAAAAA=="},
        {"shape": [1, 1, 1, 1], "float32": "AAAAAA=="},
        {"shape": [-1, -1], "float32": "AAAAAA=="},
    ],
)
def test_numbers_that_do_not_fit(wrong):
    with pytest.raises(ValidationError):
        Numbers.model_validate(wrong)


def behind(seed: int = 0) -> Outcomes:
    draw = np.random.default_rng(seed)
    accuracy = outcomes.numbers(draw.random((2, 2, 3), np.float32))
    own = Retrainings(
        attribution="gradient",
        control="own",
        fill="mean",
        mode="roar",
        fractions=[0.1, 0.5, 0.9],
        accuracy=accuracy,
    )
    return Outcomes(
        test=outcomes.bits(draw.random((2, 30)) < 0.9),
        robust=outcomes.bits(draw.random((2, 10)) < 0.5),
        retrainings=[own],
        contributions={"roar_gradient": outcomes.numbers(draw.random((2, 2, 3), np.float32))},
    )


def evidenced(name: str, of: Outcomes) -> entries.Entry:
    return entries.seal(made(name, 0.9).model_copy(update={"outcomes": outcomes.digest(of)}))


@pytest.fixture
def board(tmp_path) -> Board:
    """One entry with outcomes, one without."""
    found = Board(tmp_path / "board")
    found.put([made("without", 0.8), evidenced("with", behind())], {"with": behind()})
    return found


def test_they_lie_beside_the_entry(board):
    without, with_them = sorted(board.entries(), key=lambda e: e.id == "with")
    assert outcomes.read(board.root, with_them) == behind()
    assert outcomes.read(board.root, without) is None
    content = (board.root / "outcomes" / entries.place(with_them)).read_bytes()
    assert hashlib.sha256(content).hexdigest() == with_them.outcomes
    assert "outcomes" not in (board.root / "entries" / entries.place(without)).read_text()
    assert board.check() == []


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda path: path.unlink(), "cannot be read"),
        (lambda path: path.write_bytes(path.read_bytes() + b" "), "were changed"),
        (lambda path: path.write_bytes(outcomes.dumps(behind(1))), "were changed"),
        (lambda path: path.write_bytes(b"x" * (outcomes.MAX_BYTES + 1)), "larger than"),
    ],
)
def test_damage_is_found(board, damage, message):
    (path,) = (board.root / "outcomes").rglob("*.json")
    damage(path)
    (wrong,) = board.check()
    assert message in wrong


def test_what_is_no_outcomes_is_one_line(board):
    content = b'{"test": 3}'
    stated = {"outcomes": hashlib.sha256(content).hexdigest()}
    entry = entries.seal(made("with", 0.9).model_copy(update=stated))
    (board.root / outcomes.path(entry)).write_bytes(content)
    with pytest.raises(InputError, match="the outcomes of an entry"):
        outcomes.read(board.root, entry)


def test_an_entry_brings_the_outcomes_that_it_states(board):
    other = evidenced("other", behind(2))
    with pytest.raises(InputError, match="cannot be read"):
        board.put([other])
    with pytest.raises(InputError, match="states other outcomes"):
        board.put([other], {"other": behind(3)})
    board.put([other], {"other": behind(2)})
    board.put([evidenced("with", behind())])  # they are there already
    assert board.check() == []


def test_they_leave_with_their_entry(board):
    board.put([made("new", 0.7)], only=True)
    assert not list((board.root / "outcomes").rglob("*.json"))
    assert board.check() == []


def test_they_leave_with_an_entry_of_another_card(board):
    old = next(e for e in board.entries() if e.id == "with")
    card = old.card.model_copy(update={"name": "New"})
    update = {"model": old.model, "card": card}
    new = entries.seal(evidenced("new", behind(4)).model_copy(update=update))
    board.put([new], {"new": behind(4)}, replace=True)
    (left,) = (board.root / "outcomes").rglob("*.json")
    assert left.name == "new-v1.json"
    assert board.check() == []
