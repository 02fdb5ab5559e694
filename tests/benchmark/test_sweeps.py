"""A configuration that stands for several runs: read, run, resumed, joined and drawn."""

import hashlib
import json

import numpy as np
import pandas as pd
import pytest
from typer.testing import CliRunner

from pellucid.benchmark.cli.app import app
from pellucid.benchmark.config import toml
from pellucid.benchmark.results import sweeps
from pellucid.benchmark.results.figures import style
from pellucid.benchmark.results.figures import sweep as figure
from pellucid.benchmark.units import configuration
from pellucid.models.errors import InputError
from tests.commands import TINY

EPOCHS = "swept.training.epochs"
SWEEP = '[sweep]\n"training.epochs" = [1, 2]\n'


@pytest.fixture
def changes(tmp_path):
    path = tmp_path / "sweep.toml"
    path.write_text(TINY.read_text() + "\n" + SWEEP)
    return path


def test_all_combinations_and_nothing_else_differs(changes):
    found = configuration.variants(None, changes, ["sweep={'seeds'=[1, 3], 'model.width'=[0.5]}"])
    assert [variant.name for variant in found] == [
        "seeds=1,model.width=0.5",
        "seeds=3,model.width=0.5",
    ]
    one, other = (variant.config for variant in found)
    assert (one.seeds, other.seeds) == (1, 3)
    assert one == other.model_copy(update={"seeds": 1})


def test_items_of_lists_are_not_shared_by_the_runs():
    raw = {"grid": [{"epsilons": [1]}], "sweep": {"grid.0.epsilons": [[2], [3]]}}
    assert [v.raw["grid"][0]["epsilons"] for v in toml.variants(raw)] == [[2], [3]]
    assert raw["grid"] == [{"epsilons": [1]}]


def test_what_a_command_states_is_swept_no_more(changes, tmp_path):
    (alone,) = configuration.variants(None, changes, ["training.epochs=7"])
    assert (alone.name, alone.swept, alone.config.training.epochs) == ("", {}, 7)
    assert configuration.resolve(None, changes, ["training.epochs=7"]) == alone.config


def test_a_file_over_a_preset_ends_its_sweep(tmp_path, monkeypatch):
    monkeypatch.setattr(toml, "PRESETS", tmp_path)
    (tmp_path / "both.toml").write_text(TINY.read_text() + "\n" + SWEEP)
    over = tmp_path / "over.toml"
    over.write_text("[training]\nepochs = 9\n")
    (alone,) = configuration.variants("both", over, [])
    assert alone.config.training.epochs == 9
    over.write_text("[training]\nbatch_size = 50\n")
    assert len(configuration.variants("both", over, [])) == 2


@pytest.mark.parametrize("setting", ["training={epochs=7}", "training.epochs=7"])
def test_a_key_with_what_it_holds_is_swept_no_more(changes, setting):
    (alone,) = configuration.variants(None, changes, [setting])
    assert alone.config.training.epochs == 7


def test_a_part_of_a_swept_list_is_swept_no_more(changes):
    sweep = "sweep={'grid.0.epsilons'=[[0.1], [0.2]]}"
    grid = "grid=[{norm='l2', epsilons=[0.9]}]"
    (alone,) = configuration.variants(None, changes, [sweep, grid])
    assert alone.config.grid[0].epsilons == [0.9]


def made_up(folder, name, frame):
    results = folder / name / "results"
    results.mkdir(parents=True)
    frame.to_parquet(results / "scores.parquet", index=False)
    np.savez(results / "pictures.npz")
    sums = {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in results.iterdir()}
    (results / "checksums.json").write_text(json.dumps(sums))


def test_swept_lists_and_columns_of_the_same_name(tmp_path):
    """Nothing is spread over rows, and the table's own column `seeds` stays."""
    frame = pd.DataFrame({"seeds": [7, 8], "value": [0.1, 0.2]})
    swept = {"a": {"seeds": 1, "epsilons": [0.1, 0.2]}, "b": {"seeds": 2, "epsilons": [0.3]}}
    for name in swept:
        made_up(tmp_path, name, frame)
    sweeps.record(tmp_path, swept)
    joined = sweeps.join(tmp_path)["scores"]
    assert list(joined.columns) == ["swept.seeds", "swept.epsilons", "seeds", "value"]
    assert list(joined["swept.epsilons"]) == ["[0.1, 0.2]"] * 2 + ["[0.3]"] * 2
    assert list(joined["swept.seeds"]) == [1, 1, 2, 2]
    assert list(joined["seeds"]) == [7, 8, 7, 8]


def test_networks_that_a_run_lacks_move_no_point(tmp_path):
    """Each point stands over its value's tick, also where other keys were swept too."""
    rows = [
        {"swept.k": k, "swept.other": o, "network": n, "norm": m, "epsilon": e, "value": k + o}
        for k in (5, 20, 40)
        for o in (0, 1)
        for n, m, e in (("standard", "none", 0.0), (f"l2-{k}", "l2", float(k)))
        if (n, k) != ("standard", 40)
    ]
    scores = pd.DataFrame(rows).assign(score="test_accuracy")
    scores["low"] = scores["high"] = scores["value"]
    config = configuration.resolve(None, TINY, [])
    seen = []

    class Axes(style.ShownFigure):
        def savefig(self, *args, **kwargs):
            axis = self.axes[0]
            ticks = [label.get_text() for label in axis.get_xticklabels()]
            for container in axis.containers:
                line = container.lines[0]
                seen.append([ticks[round(x)] for x in line.get_xdata()])
            return super().savefig(*args, **kwargs)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(style, "ShownFigure", Axes)
        figure.sweep(tmp_path, config, scores, "swept.k", ["swept.other"])
    assert seen[:4] == [["5", "20"], ["5"], ["20"], ["40"]]


@pytest.mark.parametrize("sweep", ["{'seeds'=[]}", "{'seeds'=3}", "[1, 2]", "4"])
def test_mistakes(changes, sweep):
    with pytest.raises(InputError, match=r"'sweep' must be a table of keys"):
        configuration.variants(None, changes, [f"sweep={sweep}"])


def test_one_run_is_asked_for(changes):
    with pytest.raises(InputError, match=r"several runs\. Choose one: --set training\.epochs="):
        configuration.resolve(None, changes, [])
    with pytest.raises(InputError, match=r"Unknown key 'training\.epcs'"):
        configuration.variants(None, changes, ["sweep={'training.epcs'=[3]}"])


def test_run_join_and_draw(changes, tmp_path):
    out = tmp_path / "runs"
    settings = [
        "--set",
        "retraining.fractions=[0.5]",
        "--set",
        "retraining.controls=['shuffled_within']",
    ]
    result = CliRunner().invoke(
        app, ["run", "--config", str(changes), "--out", str(out), *settings]
    )
    assert result.exit_code == 0, result.output
    names = ["training.epochs=1", "training.epochs=2"]
    assert [path.name for path in sorted(out.iterdir()) if path.is_dir()] == names
    scores = pd.read_csv(out / "scores.csv")
    for epochs, name in zip((1, 2), names, strict=True):
        alone = pd.read_csv(out / name / "results" / "scores.csv")
        part = scores[scores[EPOCHS] == epochs].drop(columns=EPOCHS)
        pd.testing.assert_frame_equal(part.reset_index(drop=True), alone)
    train = scores[(scores["score"] == "train_accuracy") & (scores["network"] == "standard")]
    assert train["value"].iloc[0] < train["value"].iloc[1]

    drawing = out / "sweep_training.epochs.png"
    before = drawing.read_bytes()
    drawing.unlink()
    result = CliRunner().invoke(app, ["plots", "--out", str(out)])
    assert result.exit_code == 0, result.output
    assert drawing.read_bytes() == before

    result = CliRunner().invoke(app, ["publish", str(out), "--to", str(tmp_path / "published")])
    assert result.exit_code == 0, result.output
    published = {path.name for path in (tmp_path / "published").iterdir()}
    assert {"sweep.toml", "scores.csv", "environment.json", drawing.name} <= published

    (out / names[0] / "results" / "scores.parquet").unlink()
    with pytest.raises(InputError, match="missing, cut short or altered"):
        sweeps.write_joined(out)
