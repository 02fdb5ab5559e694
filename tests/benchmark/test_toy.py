"""The two-dimensional toy from the command to the angle, and the report on it."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.data.embedded import draw_of, drawn
from pellucid.benchmark.execution import runner
from pellucid.benchmark.units import configuration, tilt, train
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import to_json
from tests.commands import call

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


def test_adversarial_training_removes_the_tilt(toy):
    standard, weak, strong = (np.mean(v) for v in angles(toy).values())
    assert standard > 25
    assert standard > weak + 10
    assert standard > strong + 10


def slope(data: datasets.Dataset) -> float:
    """Of the line through the class means: 1 / 12 but for what is drawn, at any scale."""
    x = data.x_train.astype(np.float64)
    apart = x[data.y_train == 0].mean(0) - x[data.y_train == 1].mean(0)
    return float(apart[1] / apart[0])


@pytest.mark.parametrize("draw", [1, 2, 3])
def test_each_draw_is_another_sample_of_the_same_distribution(draw):
    first = datasets.load("gaussians")
    other = drawn(first, draw)
    assert other.info == first.info
    assert (other.x_train.min(), other.x_train.max()) == (0.0, 1.0)
    assert not np.array_equal(other.x_train, other.x_test)
    error = np.sqrt(2 * 0.002 / 3000) / 2.4  # of a slope: that of a difference of two means
    assert 0 < abs(slope(other) - slope(first)) < 5 * np.sqrt(2) * error
    assert abs(slope(other) - 1 / 12) < 5 * error


def test_fixed_data_have_one_draw():
    assert [draw_of(seed, "gaussians") for seed in range(3)] == [0, 1, 2]
    assert [draw_of(seed, "digits") for seed in range(3)] == [0, 0, 0]
    data = datasets.load("gaussians", train_limit=70, test_limit=30)
    assert drawn(data, 0) is data
    assert (len(drawn(data, 1).x_train), len(drawn(data, 1).y_test)) == (70, 30)


def test_every_seed_is_attacked_on_its_own_draw(toy):
    """Class 1 of the paper is label 0, whose mean is (1.2, 0.1)."""
    config = configuration.load(toy / "config.toml")
    work, store = runner.plan(config, None), Store(toy)
    base = datasets.load("gaussians")
    for unit in work.of(tilt.KIND):
        data, arrays = drawn(base, unit.seed), store.arrays(unit)
        np.testing.assert_array_equal(arrays["x"], data.x_test[data.y_test == 0])
        means = [data.x_train[data.y_train == k].mean(0) for k in (0, 1)]
        np.testing.assert_allclose(arrays["class_means"], means, rtol=1e-6)
        assert arrays["class_means"][0][0] > arrays["class_means"][1][0]
    trained = {unit.seed: unit.spec for unit in work.of(train.KIND)}
    assert {seed: spec.draw for seed, spec in trained.items()} == {0: 0, 1: 1}
    assert "draw" not in to_json(trained[0])


def test_figure_and_its_redrawing(toy):
    drawn = {p.name: p.read_bytes() for p in (toy / "figures").iterdir()}
    assert set(drawn) == {"boundary_tilting.png", "boundary_tilting.svg"}
    (toy / "figures" / "boundary_tilting.png").unlink()
    assert call("plots", "--out", toy).returncode == 0
    assert {p.name: p.read_bytes() for p in (toy / "figures").iterdir()} == drawn


def test_report_on_one_run(toy, tmp_path):
    target = tmp_path / "docs" / "paper.md"
    done = call("paper", toy, "--report", target)
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
    done = call("paper", toy, toy, "--report", tmp_path / "paper.md")
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
