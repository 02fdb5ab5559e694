"""The newcomer's path, word for word from docs/submitting.md, and what can go wrong on it."""

import csv
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import time
from pathlib import Path

import keras
import numpy as np
import pytest

from pellucid.benchmark.data import datasets
from tests.benchmark.test_contamination import looked_up
from tests.clone import Clone
from tests.conftest import ROOT

DOCUMENT = ROOT / "docs" / "submitting.md"
UNITS = re.compile(r"(\d+) units of work, (\d+) done before")


def blocks() -> dict[str, str]:
    """The section's fenced blocks by language."""
    section = (
        DOCUMENT.read_text().split("## From nothing to an entry, on digits")[1].split("\n## ")[0]
    )
    found = re.findall(r"```(\w+)\n(.*?)```", section, re.DOTALL)
    assert [language for language, _ in found] == ["python", "toml", "bash"]
    return dict(found)


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    made = Clone(tmp_path_factory.mktemp("newcomer") / "project")
    texts = blocks()
    (made.root / "train.py").write_text(texts["python"])
    (made.root / "card.toml").write_text(texts["toml"])
    made.before = set(made.entries())
    start = time.monotonic()
    made.done = made.call(texts["bash"])
    made.seconds = time.monotonic() - start
    assert made.done.returncode == 0, made.done.stderr
    return made


def test_ten_lines_of_code():
    assert sum(bool(line) for line in blocks()["python"].splitlines()) <= 10


def test_the_document_s_lines_put_a_model_on_the_board(clone):
    assert clone.seconds < 300
    (name,) = set(clone.entries()) - clone.before
    entry = clone.entries()[name]
    assert name.startswith("my-cnn-")
    assert entry.verified
    assert entry.card.authors == ["A. Newcomer"]
    assert entry.value("test_accuracy") > 0.9
    assert entry.scores["test_accuracy"].n == 597
    assert {"roar_gradient", "kar_gradient_input", "manifold_xent_excess_over_noise"} <= set(
        entry.scores
    )
    assert all(score.low is not None for score in entry.scores.values())
    assert len(entry.pictures) == 3
    assert len(entry.attacks) == 8 * 5
    assert entry.environment.packages["keras"]
    root = clone.root / "leaderboard"
    for rendered in ("LEADERBOARD.md", "index.html", "leaderboard.csv"):
        assert "My CNN" in (root / rendered).read_text()
    assert "rank" in clone.done.stdout
    assert re.search(
        r"^no trade-off that it could beat on the reference grid: its networks' scores are not"
        r" known from 3 seeds or more; by [^,]+, indistinguishable from \d+ of 8 entries$",
        clone.done.stdout,
        re.MULTILINE,
    )
    assert re.search(
        r"\[\+?-?[0-9.]+, \+?-?[0-9.]+\] (within it|beats the trade-off|falls short of it)",
        clone.done.stdout,
    )


def test_the_board_is_in_order_afterwards(clone):
    done = clone.call("python run_benchmark.py leaderboard --check")
    assert done.returncode == 0, done.stderr
    assert "all is as it should be" in done.stdout


def test_the_same_model_again_is_one_entry_and_measures_nothing(clone):
    done = clone.call(f"TF_CPP_MIN_LOG_LEVEL=0 {blocks()['bash'].splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    assert "cpu_feature_guard" in done.stderr  # TensorFlow's log, which tells of oneDNN too
    assert "oneDNN custom operations are on" not in done.stderr, "digits are trained without it"
    total, before = map(int, UNITS.search(done.stdout).groups())
    assert total == before
    assert len(set(clone.entries()) - clone.before) == 1


def test_evaluate_leaves_the_board_alone(clone):
    before = clone.board()
    done = clone.call("python run_benchmark.py evaluate my_cnn.keras --track digits")
    assert done.returncode == 0, done.stderr
    assert clone.board() == before
    evaluations = clone.root / "runs" / "quick" / "evaluations"
    behind, path = sorted(evaluations.glob("*.json"), key=lambda p: p.name.count("."), reverse=True)
    entry = json.loads(path.read_text())
    assert entry["verified"] is False
    assert hashlib.sha256(behind.read_bytes()).hexdigest() == entry["outcomes"]


def test_killed_in_the_middle_it_goes_on_and_the_board_is_whole(clone):
    clone.model("killed", keras.layers.Dense(10))
    before, command = (
        clone.board(),
        "exec python run_benchmark.py submit killed.keras --track digits --card card.toml",
    )
    process = clone.start(command)
    for line in process.stdout:
        if "retraining" in line:
            break
    time.sleep(2)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert clone.board() == before
    done = clone.call(command)
    assert done.returncode == 0, done.stderr
    total, kept = map(int, UNITS.search(done.stdout).groups())
    shared = (
        1 + 1 + 20 + 2 + 1
    )  # standard network, manifold model, random masks, untouched images, the model itself
    assert shared < kept < total
    assert clone.call("python run_benchmark.py leaderboard --check").returncode == 0


def test_a_network_that_knows_the_test_images_is_on_the_board_without_a_rank(clone):
    """All images looked up, the test images too: right everywhere, and first in nothing."""
    data = datasets.load("digits")
    images = (
        np.concatenate(pair) for pair in ((data.x_train, data.x_test), (data.y_train, data.y_test))
    )
    looked_up(*images).save(clone.root / "look_up.keras")
    before = set(clone.entries())
    done = clone.call(
        "python run_benchmark.py submit look_up.keras --track digits --card card.toml"
    )
    assert done.returncode == 0, done.stderr
    (name,) = set(clone.entries()) - before
    entry = clone.entries()[name]
    assert entry.value("test_accuracy") == 1.0
    (flag,) = (flag for flag in entry.flags if flag.name == "test_contamination")
    assert str(flag.evidence["by"]).startswith("near misses")
    assert "not ranked" in done.stdout
    with (clone.root / "leaderboard" / "leaderboard.csv").open() as file:
        (row,) = (row for row in csv.DictReader(file) if row["id"] == name)
    assert "test images" in row["not_ranked"]


def test_two_at_once_are_both_on_the_board(clone):
    names = ("one", "two")
    for name in names:
        clone.model(name, keras.layers.Dense(10))
    command = "python run_benchmark.py submit {}.keras --track digits --card card.toml"
    before = set(clone.entries())
    running = [clone.start(command.format(name)) for name in names]
    finished = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0, 0], finished
    assert any("waiting for another process at work in runs/quick" in out for out, _ in finished)
    assert len(set(clone.entries()) - before) == 2
    assert clone.call("python run_benchmark.py leaderboard --check").returncode == 0


@pytest.mark.parametrize(
    ("last", "message"),
    [
        (keras.layers.Dense(9), "outputs shape (9,) for one image, not (10,) logits."),
        (keras.layers.Lambda(lambda x: x[:, :10]), "Lambda"),
    ],
)
def test_what_is_refused_is_one_line_and_leaves_the_board_alone(clone, last, message):
    clone.model("refused", last)
    before = clone.board()
    done = clone.call(
        "python run_benchmark.py submit refused.keras --track digits --card card.toml"
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert clone.board() == before


def test_check_only_says_what_measuring_takes_and_stores_nothing(clone):
    clone.model("tried", keras.layers.Dense(10))
    before, units = clone.board(), len(list((clone.root / "runs").rglob("*.json")))
    began = time.monotonic()
    done = clone.call("python run_benchmark.py submit tried.keras --track digits --check-only")
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - began < 120  # seconds, on a machine that does nothing else
    assert re.search(r"^measuring takes roughly .+, with [\d,]+ passes of", done.stdout, re.M)
    assert clone.board() == before
    assert len(list((clone.root / "runs").rglob("*.json"))) == units


def test_check_only_names_the_mistakes_of_card_and_model_at_once(clone):
    clone.model("nine", keras.layers.Dense(9))
    (clone.root / "wrong.toml").write_text('name = ""\n')
    done = clone.call(
        "python run_benchmark.py submit nine.keras --track digits --check-only --card wrong.toml"
    )
    assert done.returncode == 2
    assert "wrong.toml" in done.stderr
    assert "outputs shape (9,) for one image, not (10,) logits." in done.stderr
    assert "Traceback" not in done.stderr


def test_a_new_card_is_written_once_and_is_to_be_filled_in(clone):
    command = "python run_benchmark.py submit --new-card --card mine.toml"
    done = clone.call(command)
    assert done.returncode == 0, done.stderr
    assert "mine.toml: fill it in" in done.stdout
    assert "name = " in (clone.root / "mine.toml").read_text()
    again = clone.call(command)
    assert again.returncode == 2
    assert "mine.toml exists already" in again.stderr


def test_what_takes_too_long_is_refused_with_the_estimate(clone):
    convolutions = [keras.layers.Conv2D(128, 3, padding="same") for _ in range(6)]
    last = [keras.layers.Flatten(), keras.layers.Dense(10)]
    model = keras.Sequential([keras.Input((8, 8, 1)), *convolutions, *last])
    model.save(clone.root / "slow.keras")
    before = clone.board()
    done = clone.call(
        "python run_benchmark.py submit slow.keras --track digits --card card.toml --max-hours 0.01"
    )
    assert done.returncode == 2
    assert re.search(r"measuring takes roughly .+ at most 0\.01 hours are allowed", done.stderr)
    assert done.stderr.count("\n") == 1
    assert clone.board() == before


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            "submit my_cnn.keras --track digit --card card.toml",
            "Unknown track 'digit'. Did you mean 'digits'?",
        ),
        (
            "submit my_cnn.keras --track digits --card none.toml",
            "The card none.toml cannot be read",
        ),
        ("submit none.keras --track digits --card card.toml", "none.keras"),
        ("submit https://example.org/a.keras --track digits --card card.toml", "address"),
        ("submit my_cnn.keras --track digits", "--card"),
        ("evaluate train.py --track digits", "train.py"),
        ("plots --leaderboard --board none", "No leaderboard entries in none."),
        ("leaderboard --board none", "No leaderboard entries in none."),
        ("rule-out digits/x --flag y --because z --board none", "No leaderboard entries in none."),
        ("retract digits/x --because z --board none", "No leaderboard entries in none."),
    ],
)
def test_mistakes_are_one_line(clone, command, message):
    done = clone.call(f"python run_benchmark.py {command}")
    assert done.returncode == 2
    assert message in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (clone.root / "none").exists()


ESCAPE = "\x1b]0;harm\x07"


def test_a_file_name_moves_no_terminal(clone):
    names = f"a{ESCAPE}.keras", f"none{ESCAPE}.toml"
    shutil.copy(clone.root / "my_cnn.keras", clone.root / names[0])
    model, card = map(shlex.quote, names)
    done = clone.call(f"python run_benchmark.py evaluate {model} --track digits")
    assert done.returncode == 0, done.stderr
    refused = clone.call(f"python run_benchmark.py submit {model} --track digits --card {card}")
    assert refused.returncode == 2
    for text in (done.stdout, done.stderr, refused.stdout, refused.stderr):
        assert "\x1b" not in text
    assert r"\x1b]0;harm" in done.stdout
    assert r"\x1b]0;harm" in refused.stderr


def test_a_file_name_that_is_no_text(clone):
    shutil.copy(clone.root / "my_cnn.keras", clone.root / os.fsdecode(b"ab\xff.keras"))
    done = clone.call(r"python run_benchmark.py evaluate $'ab\xff.keras' --track digits")
    assert done.returncode == 0, done.stderr


def test_a_card_of_thirty_gigabytes_is_one_line(clone):
    with (clone.root / "large.toml").open("wb") as file:
        file.truncate(30 << 30)
    done = clone.call(
        "python run_benchmark.py submit my_cnn.keras --track digits --card large.toml"
    )
    assert (done.returncode, done.stderr) == (
        2,
        "error: The card large.toml is larger than 20,000 bytes.\n",
    )


def test_plots_of_the_board_need_entries_and_outcomes_alone(clone, tmp_path):
    for folder in ("entries", "outcomes"):
        shutil.copytree(clone.root / "leaderboard" / folder, tmp_path / folder)
    done = clone.call(f"python run_benchmark.py plots --leaderboard --board {tmp_path}")
    assert done.returncode == 0, done.stderr
    drawn = {Path(line).name for line in done.stdout.splitlines()}
    assert {"digits_v2_roar_gradient.png", "digits_v2_manifold_xent_excess_over_noise.svg"} <= drawn
    before = {p.name: p.read_bytes() for p in (tmp_path / "figures").iterdir()}
    assert set(before) == drawn
    (tmp_path / "figures" / "gone_v1_roar_gradient.png").write_bytes(b"")
    clone.call(f"python run_benchmark.py plots --leaderboard --board {tmp_path}")
    assert {p.name: p.read_bytes() for p in (tmp_path / "figures").iterdir()} == before
