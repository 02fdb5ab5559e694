"""The confinement holds code that does what it likes."""

import errno
import json
import os
import signal
import socket
import subprocess
import sys
import time

import psutil
import pytest

from robust_interpretability.models.untrusted.sandbox import confinement
from robust_interpretability.models.untrusted.sandbox.confinement import Limits, confined
from tests.hostile.building import nothing_left_running

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
    ],
)
def test_a_denied_call_fails_and_leaves_nothing(name, tmp_path):
    folder, outside = tmp_path / "folder", tmp_path / "outside.txt"
    folder.mkdir()
    existing = name in ("append_outside", "remove", "rename", "change_mode", "truncate")
    if existing:
        outside.write_text("kept")
        outside.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(0.01)
        target = listener.getsockname()[1] if name == "connect" else str(outside)
        done = run(folder, name, target)
        with pytest.raises(TimeoutError):
            listener.accept()
    assert done.returncode == 0
    found = result(folder)
    assert "error" in found, found
    assert found["errno"] in (errno.EPERM, errno.EACCES, errno.ENOSYS, None), found
    assert {path.name for path in folder.iterdir()} == {"result.json", "log.txt"}
    if existing:
        assert outside.read_text() == "kept"
        assert outside.stat().st_mode & 0o777 == 0o600
    else:
        assert not outside.exists()


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
    done = run(tmp_path, name, limits=SMALL._replace(wall_seconds=1.5))
    assert time.monotonic() - began < 4
    assert done.timed_out or name == "linger"


@pytest.mark.parametrize("name", ["spin", "spin_threads"])
def test_processor_time_is_bounded(name, tmp_path):
    done = run(tmp_path, name)
    assert done.returncode in (-signal.SIGXCPU, -signal.SIGKILL)
    assert not done.timed_out


@pytest.mark.parametrize(
    ("name", "file"), [("write_huge", "result.json"), ("print_much", "log.txt")]
)
def test_what_it_writes_is_bounded(name, file, tmp_path):
    run(tmp_path, name)
    assert (tmp_path / file).stat().st_size <= SMALL.file_bytes


def test_it_dies_with_its_parent(tmp_path):
    script = (
        "from robust_interpretability.models.untrusted.sandbox.confinement import confined; from pathlib import Path; import"
        " sys;confined('tests.hostile.payloads', ['sleep'], folder=Path(sys.argv[1]),"
        " outputs=['result.json'])"
    )
    parent = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)])
    children = []
    for _ in range(100):
        time.sleep(0.1)
        children = psutil.Process(parent.pid).children()
        if children and (tmp_path / "log.txt").exists() and children[0].num_fds() > 0:
            break
    time.sleep(1)
    parent.kill()
    parent.wait()
    assert children
    psutil.wait_procs(children, timeout=5)
    assert not any(
        child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children
    )


def test_nothing_of_the_environment_reaches_it(tmp_path, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "s3cret")
    assert "s3cret" not in json.dumps(confinement._environment(tmp_path))
    assert os.environ["SECRET_TOKEN"] == "s3cret"
