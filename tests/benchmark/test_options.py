"""Options as people write them, and those that do not apply."""

import tomllib
from pathlib import Path

import pytest
import typer

import pellucid
from pellucid.benchmark.cli import options
from tests.commands import check_mistake, here
from tests.conftest import ROOT


@pytest.mark.parametrize(
    ("text", "value"), [("0.03", 0.03), ("8/255", 8 / 255), (" 8 / 255 ", 8 / 255), ("1e-2", 0.01)]
)
def test_a_radius_may_be_a_fraction(text, value):
    assert options.radius(text) == value


@pytest.mark.parametrize("text", ["", "8/", "8/0", "8/255/2", "eight", "8 255", "."])
def test_what_is_no_radius(text):
    with pytest.raises(typer.BadParameter, match="neither a number nor a fraction"):
        options.radius(text)


@pytest.mark.parametrize(
    ("text", "norm"),
    [("l2", "l2"), ("L2", "l2"), ("Linf", "linf"), ("l_inf", "linf"), ("L∞", "linf")],
)
def test_a_norm_is_known_however_it_is_written(text, norm):
    assert options.norm(text) == norm


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--data", "digits", "--epsilon", "8"], "Did you mean --epsilon 8/255?"),
        (["--data", "digits", "--norm", "l3"], "'l3' is neither l2 nor linf"),
        (["--data", "digits", "--epsilon", "1/x"], "'1/x' is neither a number nor a fraction"),
        (["--data", "digits", "--epsilon", "0.1", "--card", "c.toml"], "--card: not with --data."),
        (["--track", "digits", "--norm", "l2", "--seed", "1"], "--norm, --seed: not with --track."),
    ],
)
def test_evaluate_says_what_does_not_fit(arguments, said):
    check_mistake(here("evaluate", "model.keras", *arguments), said)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("submit m.keras --track digits --check-only --board b", "--board: not with --check-only"),
        ("submit --new-card --max-hours 1", "--new-card goes with --card FILE.toml alone."),
        ("plots --board b", "--board: only with --leaderboard."),
        ("plots --leaderboard --out o", "--out: not with --leaderboard"),
        ("leaderboard --out o --board b", "--board: not with --out"),
        ("plan --no-probe --workers 2", "--workers: not with --no-probe"),
        ("run --cores 2", "--address, --cores and --share need --executor ray."),
        (
            "run --executor ray --address nowhere",
            "--address must be HOST:PORT, or auto. Received 'nowhere'.",
        ),
    ],
)
def test_options_that_do_not_apply_are_refused(command, said):
    check_mistake(here(*command.split()), said)


def test_the_version():
    stated = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert pellucid.__version__ == stated
    assert here("--version").stdout.startswith(f"pellucid {stated}, protocol")


def test_a_changed_preset_has_a_folder_of_its_own():
    assert options.run_folder(None, "quick") == Path("runs/quick")
    assert options.run_folder(None, "quick", ["seeds=1"]) == Path("runs/quick+seeds=1")
    long = [f"grid.{i}.epsilons=[0.1, 0.2, 0.3]" for i in range(9)]
    names = {options.run_folder(None, "quick", long[:n]).name for n in range(1, 10)}
    assert len(names) == 9
    assert max(map(len, names)) < 100
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789+.=-") for name in names)
    assert options.run_folder(Path("mine"), "quick", long) == Path("mine")


def test_a_file_of_changes_to_a_preset_counts_as_one():
    assert options.changes("quick", Path("a/smaller.toml"), ["seeds=1"]) == ["smaller", "seeds=1"]
    assert options.changes(None, Path("a/smaller.toml"), []) == []
    assert options.changes("quick", None, []) == []
