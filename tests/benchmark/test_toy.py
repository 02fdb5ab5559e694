"""The two-dimensional toy from the command to the angle, and the report on it.

The golden angles are those of the run below; `python -m tests.benchmark.test_toy` updates them.
"""

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.commands import call

GOLDEN = Path(__file__).parent / "golden_tilt.json"
SMALLER = ("--set", "seeds=2", "--set", "training.epochs=5", "--set", "adversary.steps=10")


def run(out: Path) -> Path:
    done = call("run", "--preset", "paper-toy", *SMALLER, "--out", out)
    assert done.returncode == 0, done.stderr
    return out


@pytest.fixture(scope="module")
def toy(tmp_path_factory) -> Path:
    return run(tmp_path_factory.mktemp("toy") / "run")


def angles(out: Path) -> dict[str, list[float]]:
    rows = pd.read_csv(out / "results" / "tilt.csv")
    return {
        name: part.sort_values("seed")["angle"].tolist()
        for name, part in rows.groupby("network", sort=False)
    }


def test_golden_angles(toy):
    """To half a degree: processors round differently, and training carries that on."""
    golden, found = json.loads(GOLDEN.read_text()), angles(toy)
    assert list(found) == list(golden)
    for network, values in golden.items():
        np.testing.assert_allclose(found[network], values, atol=0.5, err_msg=network)


def test_adversarial_training_removes_the_tilt(toy):
    standard, weak, strong = (np.mean(v) for v in angles(toy).values())
    assert standard > 25
    assert standard > weak + 10
    assert standard > strong + 10


def test_figure_and_its_redrawing(toy):
    drawn = {p.name: p.read_bytes() for p in (toy / "figures").iterdir()}
    assert set(drawn) == {"boundary_tilting.png", "boundary_tilting.svg"}
    (toy / "figures" / "boundary_tilting.png").unlink()
    assert call("plots", "--out", toy).returncode == 0
    assert {p.name: p.read_bytes() for p in (toy / "figures").iterdir()} == drawn


def test_report_on_one_run(toy, tmp_path):
    target = tmp_path / "docs" / "paper.md"
    done = call("paper", "--out", toy, "--report", target)
    assert done.returncode == 0, done.stderr
    text = target.read_text(encoding="utf-8")
    assert "**0 of these 81 were trained exactly as in the paper**" in text
    assert "| tilt of the standard network, degrees" in text
    assert str(tmp_path) not in text  # no path of this machine
    for line in text.splitlines():
        if line.startswith("!["):
            assert (target.parent / line.split("](")[1].rstrip(")")).is_file()
    claims = pd.read_csv(tmp_path / "docs" / "paper.csv")
    tilts = claims[claims["group"] == "tilt"]
    assert (
        tilts["scale"].tolist() == ["altered from the paper's, 3 networks"] * 5
    )  # ten epochs are the paper's, not five
    assert (claims.loc[claims["group"] != "tilt", "direction"].isin(["not run", "-"])).all()
    assert (tmp_path / "docs" / "paper-toy" / "tilt.csv").read_bytes() == (
        toy / "results" / "tilt.csv"
    ).read_bytes()


def test_report_refuses_two_runs_of_one_kind(toy, tmp_path):
    done = call("paper", "--out", toy, toy, "--report", tmp_path / "paper.md")
    assert done.returncode == 2
    assert "the same data set (gaussians) at the same scale (paper)" in done.stderr
    assert not (tmp_path / "paper.md").exists()


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        (("data.name=digits", "model.name=digits_cnn"), "[tilt] needs two classes in the plane"),
        (("tilt.attacked_class=2",), "tilt.attacked_class must be 0 or 1. Received 2."),
        (("tilt.loss=hinge",), "Unknown attack loss 'hinge'"),
    ],
)
def test_mistakes(tmp_path, assignments, message):
    chosen = [part for a in assignments for part in ("--set", a)]
    done = call("run", "--preset", "paper-toy", *chosen, "--out", tmp_path / "run")
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        GOLDEN.write_text(
            json.dumps(angles(run(Path(folder) / "run")), indent=1) + "\n", encoding="utf-8"
        )
