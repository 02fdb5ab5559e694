"""Mistakes: one line on stderr, exit code 2, nothing lost or half-written.

And what needs no finished run.
"""

import os
import resource
import signal
import subprocess
import sys

import pandas as pd
import pytest

from tests.commands import TINY, call, check_mistake, here, run
from tests.conftest import ROOT

MISTAKES = [
    (["nope"], "No such command 'nope'"),
    (["run", "--preset", "quik"], "Unknown preset 'quik'. Did you mean 'quick'?"),
    (["run", "--no-such-option"], "No such option"),
    (["run", "--set", "training.epocs=3"], "Did you mean 'epochs'?"),
    (["run", "--set", "version=3"], "The configuration is of version 3"),
    (["run", "--workers", "0"], "Invalid value for '--workers'"),
    (["plots", "--out", "/nonexistent"], "No finished run in /nonexistent"),
    (["leaderboard", "--out", "/nonexistent"], "No leaderboard entries in /nonexistent"),
    (["reference", "--track", "mnits"], "Unknown track 'mnits'. Did you mean 'mnist'?"),
]
SLOW_MISTAKES = [
    (["--set", "data.name=digts"], "Unknown dataset 'digts'. Did you mean 'digits'?"),
    (
        ["--set", "vae_gan.name=mnist_vae_gan"],
        "`mnist_vae_gan` needs images of shape (28, 28, c). Received (8, 8, 1).",
    ),
    (["--set", "data.name=gaussians"], "ROAR and KAR need images of shape (h, w, c)."),
]


@pytest.mark.parametrize(("arguments", "message"), MISTAKES)
def test_mistakes_are_one_line(arguments, message):
    check_mistake(call(*arguments), message)


@pytest.mark.parametrize(("arguments", "message"), SLOW_MISTAKES)
def test_mistakes_about_data_leave_no_folder(arguments, message, tmp_path):
    check_mistake(here("run", "--config", TINY, "--out", tmp_path / "out", *arguments), message)
    assert not (tmp_path / "out").exists()


def test_folders_that_do_not_hold_a_run_are_left_alone(tmp_path):
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "precious.txt").write_text("mine")
    check_mistake(run(tmp_path, "--fresh"), "is not empty and does not hold a run")
    assert (tmp_path / "models" / "precious.txt").read_text() == "mine"


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "file").write_text("")
    check_mistake(
        here("run", "--config", TINY, "--out", tmp_path / "file" / "out"), "cannot be written"
    )


def test_full_disk(tmp_path):
    """A real one: files of this process may not grow beyond 2 kB, so a model cannot be stored."""

    def limit() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))

    done = call("run", "--config", TINY, "--out", tmp_path / "out", preexec_fn=limit)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.splitlines()) == 1, done.stderr
    assert "cannot be written: " in done.stderr
    assert not list((tmp_path / "out").rglob(".writing-*"))


def test_toy_runs(tmp_path):
    config = tmp_path / "toy.toml"
    config.write_text(
        'version = 1\nname = "toy"\nscale = "quick"\n[data]\nname = "gaussians"\n[model]\nname ='
        ' "mlp"\n[training]\nepochs = 2\n[adversary]\nsteps = 5\n[[grid]]\nnorm = "l2"\nepsilons ='
        " [0.25]\n[evaluation]\nepsilon = 0.1\nsteps = 5\n"
    )
    done = call("run", "--config", config, "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    scores = pd.read_csv(tmp_path / "out" / "results" / "scores.csv").set_index(
        ["network", "score"]
    )["value"]
    assert scores["standard", "test_accuracy"] > 0.99
    assert scores["l2-0.25-xent", "pgd_accuracy"] > 0.95
    assert not any(name == "robust_accuracy" for _, name in scores.index), (
        "AutoAttack was not asked for"
    )


def test_doctor(tmp_path):
    done = call("doctor", "--data-dir", tmp_path, env=os.environ | {"KERAS_BACKEND": "tensorflow"})
    assert done.returncode == 0, done.stderr
    for word in (
        "Python",
        "Keras",
        "backend tensorflow",
        "CPU:0",
        f"not prepared in {tmp_path}",
        "GiB free",
    ):
        assert word in done.stdout


def test_console_script_exits_with_the_code(tmp_path):
    """`main` is what the installed script calls, from any folder."""
    command = "from pellucid.benchmark.cli.app import main; main()"
    options = {"cwd": tmp_path, "env": os.environ | {"PYTHONPATH": str(ROOT)}}
    for arguments, code in ((["--help"], 0), (["nope"], 2)):
        done = subprocess.run(
            [sys.executable, "-c", command, *arguments],
            check=False,
            capture_output=True,
            text=True,
            **options,
        )
        assert done.returncode == code, done.stderr
    check_mistake(done, "No such command 'nope'")
