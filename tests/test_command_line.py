"""The command line as a user meets it: a complete run, killed runs, plots, the leaderboard."""

import json
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pellucid.benchmark.results import publish
from pellucid.benchmark.results.recheck import recheck
from pellucid.leaderboard import outcomes
from pellucid.leaderboard.board import Board
from pellucid.leaderboard.entry import seal
from tests.commands import COMMAND, TINY, call, check_mistake, here, run
from tests.conftest import ROOT, needs_tfds


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()
    }


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """A run that was never interrupted, with one unit at a time."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    done = run(out, "--workers", "1")
    assert done.returncode == 0, done.stderr
    assert "\x1b" not in done.stdout, (
        "no colours and no cursor movement where the output is not a terminal"
    )
    assert "211 units of work, 0 done before, 1 at a time" in done.stdout
    return out


def test_a_published_run_is_its_tables_and_figures(finished, tmp_path):
    to = tmp_path / "published"
    done = here("publish", finished, "--to", to)
    assert done.returncode == 0, done.stderr
    names = {path.name for path in to.iterdir()}
    assert names == {Path(line).name for line in done.stdout.splitlines()}
    assert {"scores.csv", "LEADERBOARD.md", "environment.json", "config.toml"} <= names
    assert {Path(name).suffix for name in names} == {".csv", ".png", ".md", ".json", ".toml"}
    assert (to / "scores.csv").read_bytes() == (finished / "results" / "scores.csv").read_bytes()
    texts = [path.read_text() for path in to.iterdir() if path.suffix != ".png"]
    assert not any(str(finished.parent) in text or "folder," in text for text in texts)

    (to / "of_an_earlier_run.csv").touch()
    (to / "README.md").touch()
    here("publish", finished, "--to", to)
    assert {path.name for path in to.iterdir()} == {*names, "README.md"}


def test_a_run_is_published_nowhere_else(finished, tmp_path):
    (tmp_path / "mine.csv").touch()
    check_mistake(here("publish", finished, "--to", tmp_path), "something other than a published")
    check_mistake(here("publish", finished, "--to", finished), "a run's own folder")
    check_mistake(here("publish", tmp_path, "--to", tmp_path / "new"), "No finished run in")
    assert [path.name for path in tmp_path.iterdir()] == ["mine.csv"]


def test_a_large_table_is_named_where_it_is_left_out(finished, tmp_path, monkeypatch):
    monkeypatch.setattr(publish, "LARGEST", len((finished / "results/scores.csv").read_bytes()) - 1)
    done = here("publish", finished, "--to", tmp_path / "published")
    assert "scores.csv" in done.stderr
    assert not (tmp_path / "published" / "scores.csv").exists()


HELP = """
import sys
from pellucid.benchmark.cli.app import entry_point
entry_point(["--help"])
print("imported:", *sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_help_is_quick_and_lists_the_commands():
    """No package that takes long to import is imported: seconds would say more of the machine."""
    ran = subprocess.run(
        [sys.executable, "-c", HELP], check=True, capture_output=True, text=True, cwd=ROOT
    )
    text, _, imported = ran.stdout.rpartition("imported:")
    assert "typer" in imported.split() or "click" in imported.split()
    slow = {"tensorflow", "keras", "jax", "ray", "pandas", "scipy", "matplotlib", "numpy", "h5py"}
    assert not slow & set(imported.split())
    assert all(
        f" {name} " in text
        for name in (
            "run",
            "plan",
            "submit",
            "evaluate",
            "reference",
            "plots",
            "paper",
            "leaderboard",
            "gpu-check",
            "doctor",
        )
    )


def test_a_run_leaves_what_it_should(finished):
    assert (finished / "config.toml").read_text().startswith("version = 1\n")
    environment = json.loads((finished / "environment.json").read_text())
    assert environment["packages"]["keras"]
    assert environment["devices"]
    assert environment["precision"] == {"training": "float32", "all else": "float32"}
    retrained = len(pd.read_csv(finished / "results/retraining.csv"))
    assert environment["ways"] == {"one": retrained}, "on a CPU, one network at a time"
    tables = (
        "training",
        "accuracy",
        "manifold",
        "manifold_model",
        "retraining",
        "scores",
        "correlations",
        "dataset",
    )
    for name in tables:
        csv, parquet = (finished / "results" / f"{name}.{kind}" for kind in ("csv", "parquet"))
        from_csv = pd.read_csv(csv, keep_default_na=name != "dataset")  # embedded: no folder
        pd.testing.assert_frame_equal(from_csv, pd.read_parquet(parquet), check_dtype=False)
    assert len(list((finished / "models").glob("*-seed-0-*.keras"))) == 6
    figures = {p.name for p in (finished / "figures").iterdir()}
    stems = {
        f"{m}_{loss}_{x}"
        for m in ("roar", "kar")
        for loss in ("xent", "cw")
        for x in ("accuracy", "strength")
    }
    stems |= {f"curves_{m}_{loss}" for m in ("roar", "kar") for loss in ("xent", "cw")}
    stems |= {f"controls_{m}_mean_{loss}" for m in ("roar", "kar") for loss in ("xent", "cw")}
    stems |= {f"score_specific_{m}_gradient-within" for m in ("roar", "kar")}
    stems |= {"score_diffroar_gradient", "score_diffroar_gradient_input"}
    stems |= {
        "manifold_xent",
        "manifold_cw",
        "manifold_excess_xent",
        "manifold_excess_cw",
        "manifold_projections",
        "manifold_samples",
    }
    stems |= {"loss_gradients", "adversarial_examples"}
    assert figures == {f"{stem}.{kind}" for stem in stems for kind in ("png", "svg")}
    assert len(list((finished / "leaderboard" / "entries" / "tiny").glob("*.json"))) == 6


def test_scores_follow_from_the_rows(finished):
    """ROAR of one network, from the retraining table, which holds every repeat with its seed."""
    rows = pd.read_csv(finished / "results" / "retraining.csv")
    assert set(rows["repeat"]) == {0, 1}
    assert rows["training_seed"].nunique() == 3 * 2  # at every fraction, and at none removed
    np.testing.assert_allclose(rows["accuracy"], rows["hits"] / rows["examples"])

    def mean(attribution: str, network: str, fraction: float) -> float:
        member = (
            (rows["attribution"] == attribution)
            & (rows["network"] == network)
            & (rows["mode"] == "roar")
            & rows["control"].isin(["own", "none"])
        )
        found = rows[member & (rows["fraction"] == fraction)]
        assert len(found) == 2
        return found["accuracy"].mean()

    network = "l2-0.6-cw"
    difference = [mean("random", "none", f) - mean("gradient", network, f) for f in (0.3, 0.7)]
    area = np.trapezoid([0, *difference, 0], [0, 0.3, 0.7, 1])
    scores = pd.read_csv(finished / "results" / "scores.csv").set_index(["network", "score"])
    assert scores.loc[(network, "roar_gradient"), "value"] == pytest.approx(area, abs=1e-6)


def test_manifold_rows(finished):
    rows = pd.read_csv(finished / "results" / "manifold.csv")
    assert len(rows) == 6 * 2 * 100
    assert (rows["change"] <= 1.5 * (1 + 1e-5)).all()
    clean = rows.groupby("image")["clean_distance"].nunique()
    assert (clean == 1).all(), (
        "the clean distances are those of one manifold model, whatever the network"
    )


def test_killed_at_random_points_it_ends_with_the_same_bytes(finished, tmp_path):
    """kill -9 four times, wherever it is; then it runs to the end, with two units at a time."""
    out = tmp_path / "killed"
    command = [*COMMAND, "run", "--config", str(TINY), "--out", str(out), "--workers", "2"]
    rng, done_before = random.Random(time.time_ns()), []
    for _ in range(4):
        process = subprocess.Popen(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for (
            line
        ) in process.stdout:  # the time of TensorFlow's import is not a point worth killing at
            if "units of work" in line:
                break
        time.sleep(rng.uniform(0.5, 8))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        # what a killed process was writing begins with a dot; an ensemble's attacks are no units of
        # the plan
        done_before.append(
            len(list(out.glob("units/*/[!.]*.json")))
            - len(list(out.glob("units/attacked/[!.]*.json")))
        )
    last = call(*command[2:])
    assert last.returncode == 0, last.stderr
    assert done_before == sorted(done_before)
    assert f"{done_before[-1]} done before" in last.stdout
    assert contents(out / "results") == contents(finished / "results")
    assert contents(out / "leaderboard").keys() == contents(finished / "leaderboard").keys()
    assert (
        contents(out)["leaderboard/leaderboard.csv"]
        == contents(finished)["leaderboard/leaderboard.csv"]
    )
    assert not list(out.rglob(".writing-*"))


def test_damaged_results_are_done_again(finished, tmp_path):
    out = tmp_path / "damaged"
    shutil.copytree(finished, out)
    before = contents(out / "results")
    unit = sorted(out.glob("units/retrain/*.json"))[3]
    unit.write_bytes(unit.read_bytes()[:100])
    model = next(out.glob("models/standard-*.keras"))
    model.write_bytes(model.read_bytes()[:-10])
    (out / "results" / "scores.csv").write_text("altered")
    again = run(out)
    assert again.returncode == 0, again.stderr
    assert f"{unit.name} is cut short or altered; it is done again" in again.stdout
    assert f"{model.name} is missing, cut short or altered; it is done again" in again.stdout
    assert "211 units of work, 209 done before" in again.stdout
    assert contents(out / "results") == before


def test_plots_draws_the_same_figures_from_results_alone(finished, tmp_path):
    out = tmp_path / "plots"
    out.mkdir()
    shutil.copytree(finished / "results", out / "results")
    shutil.copy(finished / "config.toml", out)
    done = call("plots", "--out", out)
    assert done.returncode == 0, done.stderr
    assert contents(out / "figures") == contents(finished / "figures")


def test_plots_notices_altered_results(finished, tmp_path):
    out = tmp_path / "altered"
    shutil.copytree(finished, out)
    path = out / "results" / "scores.parquet"
    path.write_bytes(path.read_bytes()[:-1])
    done = here("plots", "--out", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        done.stderr
        == f"error: {path} is missing, cut short or altered. The same `run` writes it again from"
        " its units.\n"
    )


def test_leaderboard_from_entries(finished, tmp_path):
    out = tmp_path / "board"
    for folder in ("entries", "outcomes"):
        shutil.copytree(finished / "leaderboard" / folder, out / "leaderboard" / folder)
    assert here("leaderboard", "--out", out).returncode == 0
    assert contents(out / "leaderboard") == contents(finished / "leaderboard")
    done = here("leaderboard", "--out", out, "--check")
    assert (done.returncode, done.stdout) == (
        0,
        f"{out / 'leaderboard'}: 6 entries; all is as it should be\n",
    )


def test_entries_hold_the_scores_of_the_run_and_are_not_verified(finished):
    scores = pd.read_csv(finished / "results" / "scores.csv")
    found = {e.id: e for e in Board(finished / "leaderboard").entries()}
    assert set(found) == {f"reference-{network}" for network in scores["network"]}
    for row in scores.itertuples():
        score = found[f"reference-{row.network}"].scores[row.score]
        assert (score.value, score.low, score.high, score.n) == pytest.approx(
            (row.value, row.low, row.high, row.n)
        )
    assert not any(e.verified for e in found.values())
    assert {len(e.curves) for e in found.values()} == {4}
    for entry in found.values():
        after = [attack.accuracy.value for attack in entry.autoattack.attacks]
        assert [attack.attack for attack in entry.autoattack.attacks] == [
            "apgd-ce",
            "apgd-t",
            "fab-t",
            "square",
        ]
        assert after == sorted(after, reverse=True)
        robust, last = entry.scores["robust_accuracy"], entry.autoattack.attacks[-1].accuracy
        assert robust == last.model_copy(update={"title": robust.title})
        assert after[0] < entry.autoattack.clean.value
        assert "pgd_accuracy" in entry.scores
    assert {len(e.attacks) for e in found.values()} == {
        3 * 4,
        3 * 3,
    }, "nothing is transferred to the standard network"


def test_entries_hold_the_outcomes_that_their_scores_follow_from(finished):
    """By hand: accuracies from bits, ROAR and the specific scores from each retraining."""
    board = finished / "leaderboard"
    for entry in Board(board).entries():
        found = outcomes.read(board, entry)
        assert recheck(entry, found) is None
        stated = {name for name, score in entry.scores.items() if score.better}
        assert set(found.contributions) >= {name for name in stated if "roar" in name}
        assert found.test.array().mean() == pytest.approx(entry.value("test_accuracy"))
        accuracy = {
            (r.attribution, r.control, r.fill, r.mode): (r.fractions, r.accuracy.array())
            for r in found.retrainings
        }
        fractions, own = accuracy["gradient", "own", "mean", "roar"]
        _, random = accuracy["random", "none", "mean", "roar"]
        gap = random.mean(axis=(0, 1)) - own.mean(axis=(0, 1))
        area = np.trapezoid([0.0, *gap, 0.0], [0.0, *fractions, 1.0])  # ends are the same
        assert area == pytest.approx(entry.value("roar_gradient"), abs=1e-6)


def test_an_entry_that_no_curve_supports_is_found(finished, tmp_path):
    """Sealed again after a change, the entry is valid, but its score does not follow from it."""
    board, of_run = Board(tmp_path / "leaderboard"), finished / "leaderboard"
    entries = Board(of_run).entries()
    behind = {entry.id: outcomes.read(of_run, entry) for entry in entries}
    scores = entries[0].scores
    better = scores["roar_gradient"].model_copy(update={"value": scores["roar_gradient"].high})
    change = {"scores": scores | {"roar_gradient": better}}
    for further in ({}, {"outcomes": None}):
        forged = seal(entries[0].model_copy(update=change | further))
        board.put([forged, *entries[1:]], behind)
        done = here("leaderboard", "--out", tmp_path, "--check")
        assert done.returncode == 2
        assert "roar_gradient is stated as" in done.stderr
    here("leaderboard", "--board", board.root)
    assert "(and " in here("leaderboard", "--board", board.root, "--check").stderr, (
        "not verified, and of no track"
    )


def test_plan_runs_nothing(finished, tmp_path):
    out = tmp_path / "none"
    fresh = call("plan", "--config", TINY, "--out", out, "--no-probe")
    assert not out.exists()
    lines = fresh.stdout.splitlines()
    assert lines[-1].startswith(
        "all          211 units, 0 done, 103,500 images trained on; 6 networks"
    )
    assert sum(" retrain " in line and " 600 " in line for line in lines) == 162
    assert "144 retrainings of 6 networks' ROAR and KAR, 18 for comparison" in fresh.stdout
    done = call("plan", "--config", TINY, "--out", finished)
    assert "211 units, 211 done" in done.stdout
    assert "images/s" not in done.stdout  # nothing is left to estimate


@needs_tfds
def test_plan_shows_the_size_of_the_paper_s_experiment():
    done = call("plan", "--preset", "paper-cifar10", "--no-probe")
    assert "4,860 retrainings of 81 networks' ROAR and KAR, 33 for comparison" in done.stdout


def test_plan_estimates_the_time_on_this_device(tmp_path):
    done = call("plan", "--config", TINY, "--out", tmp_path / "none")
    assert done.returncode == 0, done.stderr
    estimate, measured = done.stdout.splitlines()[-2:]
    assert re.match(r"about .* on CPU:0.*, \d+ at a time", estimate)
    assert re.match(
        r"measured: [\d,]+ images/s in training, [\d,]+ .* attack step, [\d,]+ .* VAE-GAN", measured
    )
    assert not (tmp_path / "none").exists()


def test_report_of_the_paper_on_another_data_set(finished, tmp_path):
    """Digits are not in the paper: no claim is compared, and the run's own numbers stand apart."""
    target = tmp_path / "paper.md"
    done = here("paper", finished, "--report", target)
    assert done.returncode == 0, done.stderr
    compared = pd.read_csv(target.with_suffix(".csv"), keep_default_na=False)
    assert set(compared["direction"]) | set(compared["size"]) == {"not run", "-"}
    text = target.read_text(encoding="utf-8")
    assert "## Not in the paper" in text
    assert "mean squared error" in text
    assert {p.name for p in (tmp_path / "tiny").glob("*.png")} == {
        p.name for p in (finished / "figures").glob("*.png")
    }

    of_copy = tmp_path / "again" / "paper.md"
    done = here("paper", tmp_path / "tiny", "--report", of_copy)
    assert done.returncode == 0, done.stderr
    named = of_copy.read_text(encoding="utf-8").replace("paper tiny", f"paper {finished.name}")
    assert named == text
    copied = {p.name: p.read_bytes() for p in (tmp_path / "again" / "tiny").iterdir()}
    assert copied == {p.name: p.read_bytes() for p in (tmp_path / "tiny").iterdir()}


def test_second_run_in_one_folder_stops(tmp_path):
    out = tmp_path / "shared"
    first = subprocess.Popen(
        [*COMMAND, "run", "--config", str(TINY), "--out", str(out)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        for line in first.stdout:
            if "units of work" in line:
                break
        second = run(out)
        assert second.returncode == 2
        assert (
            second.stderr
            == f"error: Another run is at work in {out}. Wait for it, or choose another folder with"
            " --out.\n"
        )
    finally:
        first.kill()
        first.communicate()


def test_control_c_keeps_what_is_done(tmp_path):
    out = tmp_path / "stopped"
    process = subprocess.Popen(
        [*COMMAND, "run", "--config", str(TINY), "--out", str(out)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    for line in process.stdout:
        if "units of work" in line:
            break
    time.sleep(4)
    process.send_signal(signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert process.returncode == 130
    assert stderr.strip().splitlines()[-1] == "Stopped. The same command resumes from here."


def test_another_configuration_in_the_same_folder(finished, tmp_path):
    """What both need stays, as does a user's file; stale tables and figures are removed."""
    out = tmp_path / "other"
    shutil.copytree(finished, out)
    (out / "results" / "notes.txt").write_text("mine")
    done = run(
        out,
        *(
            word
            for s in ("manifold.losses=['xent']", "retraining.modes=['roar']")
            for word in ("--set", s)
        ),
    )
    assert done.returncode == 0, done.stderr
    assert "holds a run of another configuration" in done.stdout
    assert "125 units of work, 125 done before" in done.stdout
    assert (out / "results" / "notes.txt").exists()
    assert not list((out / "figures").glob("kar_*"))
    assert set(pd.read_csv(out / "results" / "manifold.csv")["attack_loss"]) == {"xent"}


def test_fresh_begins_anew_and_touches_nothing_else(finished, tmp_path):
    out = tmp_path / "fresh"
    shutil.copytree(finished, out)
    (out / "notes.txt").write_text("mine")
    smaller = (
        "retraining.repeats=1",
        "retraining.modes=['roar']",
        "grid=[]",
        "manifold.losses=['xent']",
    )
    done = run(out, "--fresh", *(word for s in smaller for word in ("--set", s)))
    assert done.returncode == 0, done.stderr
    assert ", 0 done before" in done.stdout
    assert (out / "notes.txt").read_text() == "mine"
    assert set(pd.read_csv(out / "results" / "retraining.csv")["repeat"]) == {0}
    entry = json.loads(next((out / "leaderboard" / "entries" / "tiny").glob("*.json")).read_text())
    assert entry["scores"]["roar_gradient"]["low"] is None, (
        "nothing was repeated: there is no interval"
    )
