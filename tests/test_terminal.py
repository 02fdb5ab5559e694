"""What a new user's terminal shows: real commands in real processes, in a folder of their own."""

import os
import pty
import subprocess
import sys
from pathlib import Path

import pytest

from tests.commands import COMMAND, check_mistake, here
from tests.conftest import ROOT

SET_BY_TESTS = (
    "KERAS_BACKEND",
    "KERAS_HOME",
    "TF_CPP_MIN_LOG_LEVEL",
    "TF_ENABLE_ONEDNN_OPTS",
    "XLA_FLAGS",
)
NEW = {name: value for name, value in os.environ.items() if name not in SET_BY_TESTS}
"""The environment of somebody who has set nothing."""


def typed(folder: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [*COMMAND, *arguments],
        cwd=folder,
        env=NEW | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def python(folder: Path, code: str, **options) -> subprocess.CompletedProcess:
    environment = NEW | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=folder, env=environment, text=True, check=False, **options)


def test_tensorflows_start_does_not_reach_the_terminal(tmp_path):
    """oneDNN's line is written whatever `TF_CPP_MIN_LOG_LEVEL` says, unless it asks for all."""
    ours = {"TF_ENABLE_ONEDNN_OPTS": "1", "KERAS_BACKEND": "tensorflow"}
    quiet = typed(tmp_path, "doctor", **ours)
    assert (quiet.returncode, quiet.stderr) == (0, "")
    loud = typed(tmp_path, "doctor", **ours, TF_CPP_MIN_LOG_LEVEL="0")
    assert "oneDNN custom operations are on" in loud.stderr


CRASH = """
import os, subprocess, sys
from pellucid.benchmark.cli.noise import keep_off_the_terminal
keep_off_the_terminal()
os.write(2, b"WARNING: All log messages before absl::InitializeLog() is called are written\\n")
os.write(2, b"I0000 00:00:1796009740.314214   15555 port.cc:153] oneDNN custom operations\\n")
os.write(2, b"E0000 00:00:1796009740.314214   15555 cuda.cc:1] the driver is too old\\n")
print("Python's own", file=sys.stderr)
subprocess.run(["sh", "-c", "echo a child >&2"])
os.write(2, b"last words")
os.abort()
"""


def test_real_errors_reach_the_terminal_even_of_a_process_that_crashes(tmp_path):
    done = python(tmp_path, CRASH, capture_output=True)
    assert done.returncode < 0
    lines = done.stderr.replace("\nlast words", "\nlast words\n").splitlines()
    assert "E0000 00:00:1796009740.314214   15555 cuda.cc:1] the driver is too old" in lines
    assert {"Python's own", "a child", "last words"} <= set(lines)
    assert "oneDNN" not in done.stderr
    assert "WARNING" not in done.stderr


COMPUTING = [
    ["run"],
    ["plan"],
    ["submit", "model.keras", "--track", "digits", "--check-only"],
    ["evaluate", "model.keras", "--track", "digits"],
    ["evaluate", "model.keras", "--data", "digits", "--epsilon", "0.1"],
    ["reference", "--track", "digits"],
    ["baselines", "--track", "digits"],
    ["verify", "submissions/mine"],
    ["gpu-check"],
]


@pytest.mark.parametrize("arguments", COMPUTING, ids=" ".join)
def test_a_backend_that_cannot_be_used_is_one_line_of_every_command(arguments, monkeypatch):
    monkeypatch.setenv("KERAS_BACKEND", "jx")
    check_mistake(
        here(*arguments),
        "The backend 'jx' (KERAS_BACKEND) cannot be used. Did you mean 'jax'? Set KERAS_BACKEND to"
        " tensorflow or jax.",
    )


def test_a_backend_of_keras_own_file_and_a_missing_one(tmp_path):
    (tmp_path / "keras.json").write_text('{"backend": "torch"}')
    done = typed(tmp_path, "run", KERAS_HOME=str(tmp_path))
    check_mistake(done, f"The backend 'torch' ({tmp_path / 'keras.json'}) cannot be used. Set")
    (tmp_path / "keras.json").unlink()
    (tmp_path / "sitecustomize.py").write_text("import sys; sys.modules['tensorflow'] = None")
    hidden = {"PYTHONPATH": str(tmp_path), "KERAS_HOME": str(tmp_path)}
    done = typed(tmp_path, "run", **hidden)
    check_mistake(done, "The backend 'tensorflow' (the default) is not installed. Install it with")
    assert not (tmp_path / "runs").exists()


def test_doctor_reports_the_backend_and_goes_on(tmp_path):
    done = typed(tmp_path, "doctor", "--data-dir", str(tmp_path), KERAS_BACKEND="torch")
    assert (done.returncode, done.stderr) == (2, "")
    rows = {line[4:].split()[0]: line for line in done.stdout.splitlines()}
    assert rows["Keras"].startswith("--")
    assert "The backend 'torch' (KERAS_BACKEND) cannot be used." in rows["Keras"]
    assert rows["Python"].startswith("ok")
    assert rows["disk"].startswith("ok")
    assert "devices" not in rows


BEFORE_TENSORFLOW = """
import sys
from pellucid.benchmark.cli.app import entry_point
for arguments in {all_arguments}:
    code = entry_point(arguments)
    slow = {{"tensorflow", "keras", "jax"}} & set(sys.modules)
    assert (code, slow) == (2, set()), (arguments, code, slow)
"""
MISTAKES = {
    "evaluate none.keras --data digits --epsilon 0.1": "'none.keras' does not exist",
    "evaluate model.keras --data digts --epsilon 0.1": "Did you mean 'digits'?",
    "evaluate model.keras --data digits --epsilon 0.1 --images 598": "has 597 test images",
    "evaluate model.keras --data digits --epsilon 0.1 --version plux": "version 'plux'",
    "evaluate model.keras --data digits --epsilon 9 --norm L2": "8 is their largest distance",
    "evaluate model.keras --data digits --epsilon -1": "must be a number of at least 0",
    "evaluate model.keras --track digts": "Did you mean 'digits'?",
    "submit none.keras --track digits --check-only": "'none.keras' does not exist",
    "submit model.keras --track digts --check-only": "Did you mean 'digits'?",
    "baselines --track digts": "Did you mean 'digits'?",
    "reference --track digts": "Did you mean 'digits'?",
    "run --preset quik": "Did you mean 'quick'?",
    "run --set data.name=digts": "Did you mean 'digits'?",
    "plan --set model.name=digits_cn": "Did you mean 'digits_cnn'?",
}


def test_arguments_are_checked_before_tensorflow_is_imported(tmp_path):
    (tmp_path / "model.keras").write_text("not a model")
    code = BEFORE_TENSORFLOW.format(all_arguments=[line.split() for line in MISTAKES])
    done = python(tmp_path, code, capture_output=True)
    assert done.returncode == 0, done.stderr
    said = done.stderr.splitlines()
    assert len(said) == len(MISTAKES)
    for line, (command, expected) in zip(said, MISTAKES.items(), strict=True):
        assert expected in line, command


ASKED = "from pellucid.benchmark.cli.options import in_pixel_units as f; print(f(8.0, 'linf'))"


def answered(folder: Path, command: list[str], answer: str) -> tuple[int, str, str]:
    """A command on a terminal, where somebody types an answer: its status, and what it printed."""
    keyboard, terminal = pty.openpty()
    environment = NEW | {"PYTHONPATH": str(ROOT)}
    try:
        os.write(keyboard, answer.encode())
        with subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=terminal,
            stdout=subprocess.PIPE,
            stderr=terminal,
            text=True,
        ) as process:
            printed = process.stdout.read()
        return process.returncode, printed, os.read(keyboard, 10_000).decode()
    finally:
        os.close(keyboard)
        os.close(terminal)


def test_a_radius_of_0_to_255_is_asked_about_on_a_terminal(tmp_path):
    code, printed, shown = answered(tmp_path, [sys.executable, "-c", ASKED], "y\n")
    assert "pixel units, where an image lies in [0, 1]. Measure at 8/255? [Y/n]" in shown
    assert (code, float(printed)) == (0, 8 / 255)
    command = [*COMMAND, "evaluate", "model.keras", "--data", "digits", "--epsilon", "8"]
    code, printed, shown = answered(tmp_path, command, "n\n")
    assert (code, printed.strip()) == (2, "")
    assert "error: --epsilon 8: " in shown
    assert "Did you mean --epsilon 8/255?" in shown
