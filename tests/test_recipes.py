"""CONTRIBUTING.md's recipes, carried out: in a copy of the tree each adds one file and one line.

One tiny run then has the new attack, attribution, metric, data set, classifier and preset, and what
they add is found in its tables, its figures and its board.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest

from tests.conftest import ROOT

FILES = {
    "an attack": "attacks/sign_ascent.py",
    "an attribution": "metrics/contrast.py",
    "a metric": "benchmark/units/sparsity.py",
    "a data set": "benchmark/data/stripes.py",
    "a classifier": "models/tiny_cnn.py",
    "a preset": "benchmark/config/presets/stripes.toml",
}


class Block(NamedTuple):
    """A fenced block of the document that names a file."""

    language: str
    path: str
    text: str


def blocks() -> list[Block]:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    found = re.findall(r"^```(\w+) (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return [Block(*block) for block in found]


def carry_out(block: Block, tree: Path) -> None:
    """Writes the file, or adds the one line of a diff behind the line before it."""
    path = tree / block.path
    if block.language != "diff":
        assert not path.exists()
        path.write_text(block.text)
        return
    before, added = block.text.splitlines()
    assert before.startswith(" ")
    assert added.startswith("+")
    text = path.read_text()
    assert text.count(before[1:] + "\n") == 1, f"{before[1:]!r} in {block.path}"
    path.write_text(text.replace(before[1:] + "\n", f"{before[1:]}\n{added[1:]}\n"))


@pytest.fixture(scope="module")
def tree(tmp_path_factory) -> Path:
    """A copy of the tree with every recipe carried out, and a finished run in `runs/stripes`."""
    root = tmp_path_factory.mktemp("recipes") / "tree"
    tracked = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split("\0")
    for name in filter(None, tracked):
        source, target = ROOT / name, root / name
        of_entries = tuple(f"leaderboard/{of}/" for of in ("entries", "outcomes", "pages"))
        if name.startswith((*of_entries, "docs/")) or not source.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        else:
            target.write_bytes(source.read_bytes())
    for block in blocks():
        carry_out(block, root)
    subprocess.run(
        [sys.executable, "run_benchmark.py", "run", "--preset", "stripes"],
        cwd=root,
        check=True,
        capture_output=True,
    )
    return root


@pytest.fixture(scope="module")
def scores(tree) -> pd.DataFrame:
    return pd.read_csv(tree / "runs" / "stripes" / "results" / "scores.csv")


@pytest.fixture(scope="module")
def board(tree) -> str:
    return (tree / "runs" / "stripes" / "leaderboard" / "LEADERBOARD.md").read_text()


def headings(board: str) -> set[str]:
    """The scores that have a table on the board."""
    return set(re.findall(r"^### (.*?)(?: \(\w+ is better\))?$", board, re.MULTILINE))


def figures(tree: Path) -> set[str]:
    return {path.name for path in (tree / "runs" / "stripes" / "figures").iterdir()}


@pytest.mark.parametrize("what", FILES)
def test_a_recipe_is_one_file_and_at_most_one_line(what):
    mine = [block for block in blocks() if block.path == FILES[what]]
    assert len(mine) == 1
    later = blocks()[blocks().index(mine[0]) + 1 :]
    diff = later[0] if later and later[0].language == "diff" else None
    assert (diff is None) == (what == "a preset")
    assert len(blocks()) == 2 * len(FILES) - 1, "nothing else is written"


def test_an_attack_that_networks_are_trained_with(tree):
    """Its radius reaches half as far as the grid says: the trained networks know."""
    units = (tree / "runs" / "stripes" / "units" / "train").glob("linf-*.json")
    attacks = [json.loads(path.read_text())["spec"]["attack"] for path in units]
    assert {attack["name"] for attack in attacks} == {"sign_ascent"}
    listed = subprocess.run(
        [
            sys.executable,
            "-c",
            "from pellucid import attacks; print('sign_ascent' in attacks.TRAINING)",
        ],
        cwd=tree,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert listed == "True\n"


def test_an_attribution(tree, scores, board):
    """It does not ask the network, so every network scores alike."""
    rows = scores[scores["score"] == "roar_contrast"]
    assert len(rows) == 3
    assert rows["value"].nunique() == 1
    assert {"ROAR C", "KAR C"} <= headings(board)
    assert "roar_xent_accuracy.png" in figures(tree)
    svg = (tree / "runs" / "stripes" / "figures" / "roar_xent_accuracy.svg").read_bytes()
    plain = (tree / "runs" / "stripes" / "figures" / "curves_roar_xent.svg").read_bytes()
    assert len(svg) > 10_000
    assert len(plain) > 10_000


def test_a_metric_with_a_unit_of_its_own(tree, scores, board):
    table = pd.read_csv(tree / "runs" / "stripes" / "results" / "sparsity.csv")
    assert len(table) == 3 * 100
    assert table["fraction"].between(1 / 64, 1).all()
    means = table.groupby("network")["fraction"].mean()
    rows = scores[scores["score"] == "sparsity"].set_index("network")["value"]
    pd.testing.assert_series_equal(rows.sort_index(), means.sort_index(), check_names=False)
    assert "sparsity" in headings(board)
    assert "score_sparsity.png" in figures(tree)
    entry = next((tree / "runs" / "stripes" / "leaderboard").rglob("reference-standard*.json"))
    score = json.loads(entry.read_text())["scores"]["sparsity"]
    assert (score["title"], score["better"]) == ("sparsity", "lower")


def test_a_data_set_a_classifier_and_a_preset(tree, scores):
    facts = pd.read_csv(tree / "runs" / "stripes" / "results" / "dataset.csv").set_index("measure")
    assert facts.loc["classes", "value"] == "2"
    assert facts.loc["source", "value"] == "made by this program"
    accuracy = scores[(scores["score"] == "test_accuracy") & (scores["network"] == "standard")]
    assert accuracy["value"].item() > 0.8
    models = {path.name for path in (tree / "runs" / "stripes" / "models").iterdir()}
    assert any(name.startswith("standard-seed-0") for name in models)
