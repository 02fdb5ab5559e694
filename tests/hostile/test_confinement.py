"""The confinement holds code that does what it likes."""

import ctypes
import errno
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

import pellucid
from pellucid.models.untrusted.refusal import Refused
from pellucid.models.untrusted.sandbox import child, confinement, results
from pellucid.models.untrusted.sandbox.confinement import Limits, confined
from tests.hostile.building import CLASSES, SHAPE, members, nothing_left_running, pack

SMALL = Limits(
    memory_bytes=1 << 30, cpu_seconds=2, wall_seconds=10, file_bytes=1 << 20, open_files=64
)


def run(folder, *arguments, limits=SMALL):
    with nothing_left_running():
        return confined(
            "tests.hostile.payloads",
            list(arguments),
            folder=folder,
            outputs=["result.json"],
            limits=limits,
        )


def result(folder):
    return json.loads((folder / "result.json").read_text())


def test_a_payload_computes_and_every_lock_is_named(tmp_path):
    done = run(tmp_path, "compute")
    assert (done.returncode, done.timed_out, result(tmp_path)) == (0, False, {"done": 499500})
    assert {"rlimits", "no new privileges", "seccomp"} <= set(done.confinement)


@pytest.mark.parametrize(
    "name",
    [
        "make_socket",
        "make_unix_socket",
        "connect",
        "write_outside",
        "append_outside",
        "write_inside",
        "make_folder",
        "remove",
        "rename",
        "make_link",
        "make_pipe",
        "change_mode",
        "truncate",
        "memory_file",
        "fork",
        "vfork_exec",
        "shell",
        "execute",
        "new_session",
        "leave_group",
        "kill_parent",
        "outlive_parent",
        "raise_limits",
        "new_namespace",
        "trace",
        "ring",
        "future_call",
        "x32_call",
        "become_root",
        "signal_parent_by_a_file",
        "own_a_file",
        "own_a_file_anew",
        "watch_a_folder",
        "lease_a_file",
        "type_into_a_terminal",
        "other_device_request",
        "choose_cores",
        "run_first",
        "be_nice",
        "read_disk_first",
        "read_parents_environment",
        "read_parents_memory",
        "list_outside",
    ],
)
def test_a_denied_call_fails_and_leaves_nothing(name, tmp_path):
    folder, outside = tmp_path / "folder", tmp_path / "outside.txt"
    folder.mkdir()
    existing = name in ("append_outside", "remove", "rename", "change_mode", "truncate")
    if existing:
        outside.write_text("unchanged")
        outside.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.01)
        target = listener.getsockname()[1] if name == "connect" else str(outside)
        done = run(folder, name, target)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert done.returncode == 0
    outcome = result(folder)
    assert "error" in outcome, outcome
    assert outcome["errno"] in (errno.EPERM, errno.EACCES, errno.ENOSYS, None), outcome
    assert {path.name for path in folder.iterdir()} == {"result.json", "log.txt"}
    if existing:
        assert outside.read_text() == "unchanged"
        assert outside.stat().st_mode & 0o777 == 0o600
    else:
        assert not outside.exists()


def test_a_users_files_are_not_read(tmp_path):
    folder, outside = tmp_path / "folder", tmp_path / "secret.txt"
    folder.mkdir()
    outside.write_text("s3cret")
    run(folder, "read_outside", str(outside))
    assert result(folder) == {"error": "PermissionError", "errno": errno.EACCES}


def test_a_folder_is_not_read_because_modules_are_searched_there(tmp_path, monkeypatch):
    """As after `python -m pellucid` in a home folder, or with it in PYTHONPATH."""
    folder, home = tmp_path / "folder", tmp_path / "home"
    folder.mkdir()
    home.mkdir()
    (home / "secret.txt").write_text("s3cret")
    monkeypatch.syspath_prepend(str(home))
    run(folder, "read_outside", str(home / "secret.txt"))
    assert result(folder) == {"error": "PermissionError", "errno": errno.EACCES}


def test_libraries_in_a_folder_of_their_own_are_read(tmp_path, monkeypatch):
    """As with `pip install --target`, whose folder is in PYTHONPATH."""
    folder, libraries = tmp_path / "folder", tmp_path / "libraries"
    folder.mkdir()
    (libraries / "anything-1.0.dist-info").mkdir(parents=True)
    (libraries / "anything.py").write_text("here = 1")
    monkeypatch.syspath_prepend(str(libraries))
    run(folder, "read_outside", str(libraries / "anything.py"))
    assert "error" not in result(folder)


def test_threads_are_bounded(tmp_path):
    began = time.monotonic()
    done = run(tmp_path, "start_threads", limits=SMALL._replace(memory_bytes=16 << 30))
    assert done.returncode == -signal.SIGKILL
    assert done.crowded
    assert not done.timed_out
    assert time.monotonic() - began < 5


@pytest.fixture
def weak(monkeypatch):
    """As on a kernel without Landlock, in a container that allows no user namespace."""
    monkeypatch.setattr(confinement, "WITHOUT", confinement.STRONG)


def test_too_few_locks_are_refused_unless_weaker_ones_will_do(weak, tmp_path):
    with pytest.raises(Refused) as refused:
        run(tmp_path, "compute")
    message = str(refused.value)
    assert "neither Landlock (Linux 5.13) nor user namespaces, only rlimits" in message
    assert "With --weaker-confinement they are" in message
    assert not (tmp_path / "result.json").stat().st_size, "nothing was run"
    folder = tmp_path / "weaker"
    folder.mkdir()
    done = run(folder, "compute", limits=SMALL._replace(weaker=True))
    assert result(folder) == {"done": 499500}
    assert not set(confinement.STRONG) & set(done.confinement)
    assert "seccomp" in done.confinement


@pytest.mark.parametrize(
    "name",
    [
        "read_parents_environment",
        "read_parents_memory",
        "kill_parent",
        "signal_parent_by_a_file",
        "own_a_file",
        "own_a_file_anew",
        "watch_a_folder",
        "lease_a_file",
        "type_into_a_terminal",
        "other_device_request",
        "choose_cores",
        "run_first",
        "be_nice",
        "read_disk_first",
        "trace",
        "fork",
        "shell",
    ],
)
def test_weaker_locks_still_keep_the_parent(weak, name, tmp_path):
    run(tmp_path, name, str(tmp_path / "target"), limits=SMALL._replace(weaker=True))
    assert result(tmp_path)["errno"] in (errno.EPERM, errno.EACCES)


def test_the_parent_can_be_looked_at_again_afterwards(tmp_path):
    run(tmp_path, "compute")
    libc = ctypes.CDLL(None)
    assert libc.prctl(3, 0, 0, 0, 0) == 1  # PR_GET_DUMPABLE


@pytest.mark.parametrize("name", ["allocate", "map_memory"])
def test_memory_is_bounded(name, tmp_path):
    done = run(
        tmp_path,
        name,
        limits=SMALL._replace(memory_bytes=512 << 20, cpu_seconds=20, wall_seconds=30),
    )
    assert done.returncode == 0
    assert result(tmp_path)["error"] in ("MemoryError", "OSError")


def test_descriptors_are_bounded(tmp_path):
    run(tmp_path, "open_many")
    assert result(tmp_path)["errno"] == errno.EMFILE


@pytest.mark.parametrize("name", ["sleep", "linger"])
def test_time_by_the_clock_is_bounded(name, tmp_path):
    began = time.monotonic()
    done = run(tmp_path, name, limits=SMALL._replace(wall_seconds=1.0))
    assert time.monotonic() - began < 4
    assert done.timed_out or name == "linger"


@pytest.mark.parametrize("name", ["spin", "spin_threads"])
def test_processor_time_is_bounded(name, tmp_path):
    done = run(tmp_path, name, limits=SMALL._replace(cpu_seconds=1))
    assert done.returncode in (-signal.SIGXCPU, -signal.SIGKILL)
    assert not done.timed_out


def test_an_examination_that_never_comes_back_is_ended(tmp_path):
    """As a loop in a library would: Python's own handlers never run."""
    done = run(tmp_path, "loop_in_a_library", limits=SMALL._replace(cpu_seconds=60))
    assert done.returncode == -signal.SIGPROF
    with pytest.raises(Refused, match="was not examined within 60 seconds of processor time"):
        results.measurements(tmp_path, done, SMALL)


@pytest.mark.parametrize(
    ("name", "file"), [("write_huge", "result.json"), ("print_much", "log.txt")]
)
def test_what_it_writes_is_bounded(name, file, tmp_path):
    run(tmp_path, name)
    assert (tmp_path / file).stat().st_size <= SMALL.file_bytes


def test_it_dies_with_its_parent(tmp_path):
    script = (
        "import sys; from pathlib import Path;"
        f" from {confinement.__name__} import confined;"
        " confined('tests.hostile.payloads', ['say_and_sleep'], folder=Path(sys.argv[1]),"
        " outputs=['result.json'])"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    output = tmp_path / "result.json"
    for _ in range(1000):
        if output.exists() and output.stat().st_size:
            break
        time.sleep(0.01)
    children = psutil.Process(parent.pid).children()
    parent.kill()
    parent.wait()
    assert children
    psutil.wait_procs(children, timeout=5)
    assert not any(
        child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children
    )


WHERE = """
import json, os, sys
from {child} import main as examine

def main(arguments, outputs):
    where = outputs.pop("where.json")
    examine(arguments, outputs)
    ours = [m.__file__ for n, m in sys.modules.items() if n.split(".")[0] in {ours}]
    os.write(where, json.dumps(ours).encode())
"""
RUN = """
import sys
from pathlib import Path
from {child} import OUTPUTS
from {confinement} import confined

arguments = [{shape}, {classes}]
done = confined("where", arguments, folder=Path(sys.argv[1]), outputs=[*OUTPUTS, "where.json"])
print(done.log)
"""


def test_an_installed_copy_runs_beside_a_users_own_models(tmp_path):
    """Without symbolic links, in a folder with packages of our names, and a colon in its name."""
    site, user, folder = tmp_path / "site-packages", tmp_path / "my: own", tmp_path / "folder"
    package = Path(pellucid.__file__).parent
    skip = shutil.ignore_patterns("__pycache__")
    (site / package.name).mkdir(parents=True)
    shutil.copy(package / "__init__.py", site / package.name)
    shutil.copytree(package / "models", site / package.name / "models", ignore=skip)
    ours = ["attacks", "benchmark", "leaderboard", "metrics", "models"]
    for name in ours:
        (user / name).mkdir(parents=True)
        (user / name / "__init__.py").write_text("raise ImportError('the user's package')")
    values = {
        "child": child.__name__,
        "confinement": confinement.__name__,
        "ours": [package.name, *ours],
        "shape": list(SHAPE),
        "classes": CLASSES,
    }
    (site / "pellucid-1.0.dist-info").mkdir()
    (site / "where.py").write_text(WHERE.format(**values))
    (user / "run.py").write_text(RUN.format(**values))
    folder.mkdir()
    (folder / child.SUBMITTED).write_bytes(pack(members("plain")))
    np.save(folder / child.IMAGES, np.random.default_rng(0).random((4, *SHAPE), np.float32))
    done = subprocess.run(
        [sys.executable, str(user / "run.py"), str(folder)],
        cwd=user,
        env=os.environ | {"PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "measured" in json.loads((folder / results.OUTCOME).read_text()), done.stdout
    files = json.loads((folder / "where.json").read_text())
    assert all(Path(file).is_relative_to(site) for file in files), files
    assert any(Path(file).name == "trial.py" for file in files)


def test_nothing_of_the_environment_reaches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    assert "s3cret" not in json.dumps(confinement.environment(tmp_path))
    assert os.environ["SECRET_TOKEN"] == "s3cret"
