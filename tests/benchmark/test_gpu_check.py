"""The first contact with a device, in small on the CPU: whole, killed, wrong, and out of time."""

import json
import os
import re
import signal
import subprocess

import numpy as np
import pytest

from pellucid.benchmark.accelerator import (
    contact,
    correctness,
    proposal,
    speed,
    steps,
)
from pellucid.benchmark.accelerator.record import DONE, Outcome, Record
from pellucid.benchmark.accelerator.scale import FULL, REDUCED, SCALES, case
from pellucid.models.errors import InputError
from tests.commands import COMMAND
from tests.conftest import ROOT
from tests.test_jax import ENVIRONMENT, WITHOUT_TENSORFLOW

CHECK = "correctness digits_cnn"


def ran(out, *only: str, budget: float = 600.0) -> tuple[bool, list[str], dict]:
    """Whether all was right, the lines, and the steps of the record."""
    lines: list[str] = []
    fine = contact.run(out, small=True, budget=budget, only=only, say=lines.append)
    return fine, lines, json.loads((out / "gpu-check.json").read_text())["steps"]


def test_killed_and_resumed_without_tensorflow_and_data(tmp_path):
    """With JAX, where neither TensorFlow nor TFDS can be imported; kill -9 after two steps."""
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_TENSORFLOW)
    out = tmp_path / "out"
    command = [*COMMAND, "gpu-check", "--out", str(out)]
    quick = "--xla_backend_optimization_level=0 --xla_llvm_disable_expensive_passes=true"
    hidden = {"PYTHONPATH": str(tmp_path), "TFDS_DATA_DIR": str(tmp_path / "nothing")}
    hidden["XLA_FLAGS"] = quick  # it is the compiler that takes the time
    options = {"cwd": ROOT, "env": ENVIRONMENT | hidden, "text": True}
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options
    )
    for line in process.stdout:
        if CHECK in line:
            break
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    before = json.loads((out / "gpu-check.json").read_text())["steps"]
    assert before[CHECK]["status"] == DONE

    done = subprocess.run(command, capture_output=True, check=False, **options)
    assert done.returncode == 0, done.stdout + done.stderr
    assert f" steps, {len(before)} done before" in done.stdout
    assert "CPU: a reduced run" in done.stdout
    after = json.loads((out / "gpu-check.json").read_text())["steps"]
    assert after.keys() == {step.name for step in steps.all_steps(REDUCED)}
    assert {step["status"] for step in after.values()} == {DONE}
    assert {name: after[name] for name in before} == before, "nothing is measured again"
    for row in after[CHECK]["rows"]:  # the same program on the same device
        assert row["relative difference"] == 0
        assert row["same bytes again"]
    assert [row["what"] for row in after["together digits_cnn"]["rows"]] == ["one", "map", "vmap"]

    text = (out / "gpu-check.md").read_text()
    assert "Reduced run on a CPU" in text
    assert "`quick` would take about " in text
    assert all(f"## {name[0].upper()}{name[1:]}" in text for name in after)
    assert all(len(line) <= 100 for line in text.splitlines() if not line.startswith("|"))


def test_a_wrong_result_is_found_and_made_again(tmp_path, monkeypatch):
    own = correctness.attributions.run
    with monkeypatch.context() as patch:
        patch.setattr(
            correctness.attributions, "run", lambda *args, **more: own(*args, **more) * 1.001
        )
        fine, lines, found = ran(tmp_path, CHECK)
    assert not fine
    assert found[CHECK]["status"] == "wrong"
    assert {row["what"] for row in found[CHECK]["rows"] if not row["within"]} == {"gradient"}
    assert f"WRONG RESULTS: {CHECK}." in lines[-1]
    assert "WRONG RESULTS" in (tmp_path / "gpu-check.md").read_text()

    fine, lines, found = ran(tmp_path, CHECK)
    assert fine
    assert "0 done before" in lines[0]
    assert all(row["relative difference"] < 1e-6 for row in found[CHECK]["rows"])


def test_the_command_says_by_its_exit_status_that_something_is_wrong(monkeypatch, tmp_path):
    from tests.commands import here

    for fine, code in ((True, 0), (False, 1)):
        monkeypatch.setattr(contact, "run", lambda *_, fine=fine, **__: fine)
        assert here("gpu-check", "--out", tmp_path).returncode == code


def test_a_step_that_fails_does_not_stop_the_others(tmp_path, monkeypatch):
    def broken(*_):
        raise ValueError("no such device")

    monkeypatch.setattr(speed.floors, "copy_rate", broken)
    fine, lines, found = ran(tmp_path, "floors", "attacks")
    assert not fine
    assert found["floors"]["error"] == "ValueError: no such device"
    assert found["attacks digits_cnn"]["status"] == DONE
    assert "Failed: floors." in lines[-1]


def test_steps_for_which_no_time_is_left_are_listed(tmp_path):
    fine, lines, found = ran(tmp_path, budget=0)
    assert fine, "that is no fault"
    assert found.keys() == {step.name for step in steps.all_steps(REDUCED)}
    assert found.pop("proposal")["status"].startswith("not run: needs training digits_cnn")
    assert {step["status"] for step in found.values()} == {"not run: out of time"}
    assert "Not run: 11;" in lines[-1]
    assert (tmp_path / "gpu-check.md").read_text().count("not run: out of time") == 10


def test_another_device_starts_afresh_and_says_so(tmp_path):
    path, said = tmp_path / "record.json", []
    record = Record(path, {"device_names": ["A"], "commit": "1"})
    record.put("floors", DONE, 1.0, rows=[])
    assert Record.opened(path, record.about, said.append).done("floors")
    assert not said
    assert not Record.opened(path, {"device_names": ["B"], "commit": "1"}, said.append).steps
    assert re.search("made with other device_names; starting afresh", said.pop())
    for damaged in ("{", "[]", '{"format": 1, "about": {}, "steps": {"floors": 1}}'):
        path.write_text(damaged)
        assert not Record.opened(path, record.about, said.append).steps
        assert "starting afresh" in said.pop()


def test_an_unknown_step_is_refused(tmp_path):
    with pytest.raises(InputError, match="No step begins with flors"):
        ran(tmp_path, "flors")


def test_differences_that_must_be_seen():
    values = np.array([3.0, 4.0])
    assert correctness.difference("logits", values, values) == (0, 0)
    by_norm, largest = correctness.difference("logits", np.array([3, 4.5]), values)
    assert (by_norm, largest) == (pytest.approx(0.1), pytest.approx(0.125))
    assert not correctness._row("logits", values * np.nan, values, values)["within"]
    assert not correctness._row("logits", values[:1], values, values)["within"]
    distances = np.array([np.nan, 2.0])
    assert correctness.difference("FAB-T distance", values, distances)[0] == pytest.approx(1)
    assert correctness.difference("PGD success", values > 3, values > 5)[0] == 0.5


@pytest.mark.parametrize("scale", SCALES.values(), ids=SCALES)
def test_the_proposal_needs_steps_that_come_before_it(scale):
    names = [step.name for step in steps.all_steps(scale)]
    assert len(set(names)) == len(names)
    assert all(names.index(name) < names.index("proposal") for name in proposal.needs(scale))


def test_the_time_of_the_papers_run_follows_from_the_figures(tmp_path):
    """4,860 retrainings, 93 networks: the data set is not there, and need not be."""
    record = Record(tmp_path / "record.json", {})
    rows = [{"what": what, "images/s": 1e6} for what in (speed.PLAIN, speed.MASKED)]
    record.put("training cifar_cnn", DONE, 1.0, rows=rows)
    against = {"what": speed.ADVERSARIAL, "images/s": 1e6 / 41, "steps": 40}
    record.put("training against PGD cifar_cnn", DONE, 1.0, rows=[against])
    record.put(proposal.MANIFOLD, DONE, 1.0, rows=[{"what": "cifar_vae_gan", "images/s": 1e5}])
    found = proposal.propose(FULL, record)
    assert isinstance(found, Outcome)
    by_kind = {row["kind of unit"]: row for row in found.rows}
    assert by_kind["retrain"]["s"] == pytest.approx(by_kind["retrain"]["units"])  # 1e6 images each
    assert by_kind["vae_gan"]["s"] == pytest.approx(150 * 50_000 / 1e5)
    assert by_kind["all"]["s"] == pytest.approx(sum(r["s"] for r in found.rows[:-1]))
    assert "`paper-cifar10` would take about " in found.notes[0]
    assert all(case(name).epochs >= 1 for name in FULL.networks)
    assert case("cifar_cnn")[:3] == ((32, 32, 3), 50_000, 20)
    best = {"what": "vmap", "networks": 16, "compute": "float32", "images/s": 2e6}
    record.put("together cifar_cnn", DONE, 1.0, rows=[best])
    assert "16 retrainings at a time by `vmap`" in proposal.propose(FULL, record).notes[-1]
