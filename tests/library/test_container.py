"""What the container file promises, by its own commands, where no container is built.

The suite runs as an ordinary user on a file system that is read-only but for one folder: Linux
gives the same in a mount namespace and a user namespace.
"""

import json
import os
import shutil
import subprocess
import tomllib

import pytest

from tests.commands import TINY
from tests.conftest import ROOT
from tests.library.installation import FILES, FOLDERS

READ_ONLY = """
set -e
mount --rbind /tmp /tmp
mount -o remount,bind,ro /tmp
mount --rbind "$1" "$1"
mount -o remount,bind,rw "$1"
mount -o remount,bind,ro /
cd "$1"
shift
exec unshare --user --map-user=1000 --map-group=1000 -- "$@"
"""
"""Makes all but the folder `$1` read-only, then runs the rest as user 1000, without privileges."""


def instructions() -> list[tuple[str, str]]:
    text = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [tuple(line.split(maxsplit=1)) for line in lines]


def last(name: str) -> str:
    return next(value for key, value in reversed(instructions()) if key == name)


def confined(folder, *command: object) -> subprocess.CompletedProcess:
    root = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    inside = ["unshare", *root, "--mount", "--", "sh", "-c", READ_ONLY, "sh", folder, *command]
    environment = {
        "HOME": str(folder),
        "PATH": os.environ["PATH"],
    }
    return subprocess.run(
        [str(part) for part in inside],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def volume(tmp_path):
    folder = tmp_path / "volume"
    folder.mkdir()
    probe = confined(folder, "sh", "-c", "id -u; touch inside; touch /outside ../outside")
    if "unshare" in probe.stderr or "mount" in probe.stderr:
        pytest.skip(f"no namespaces here: {probe.stderr.strip()}")
    assert probe.stdout.strip() == "1000"
    assert (folder / "inside").exists()
    assert probe.stderr.count("Read-only file system") == 2
    return folder


def test_the_build_is_sent_what_an_installation_needs():
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    sent = {line[1:] for line in lines if line.startswith("!")}
    assert sent == {*FOLDERS, *FILES, "requirements.txt"}
    assert "*" in lines


def test_the_image_runs_the_quick_preset_as_a_user_at_home_in_the_volume():
    names = [name for name, _ in instructions()]
    assert names.index("USER") < names.index("VOLUME") < names.index("ENTRYPOINT")
    assert last("USER") not in ("root", "0")
    assert last("WORKDIR") == last("VOLUME")
    assert f"HOME={last('VOLUME')}" in last("ENV").split()
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    assert json.loads(last("ENTRYPOINT"))[0] in scripts
    assert json.loads(last("CMD")) == ["run", "--preset", "quick"]


def test_it_runs_as_a_user_on_a_read_only_file_system(installed, volume):
    program = installed.bin / json.loads(last("ENTRYPOINT"))[0]
    shutil.copy(TINY, volume / "tiny.toml")
    done = confined(volume, program, "run", "--config", "tiny.toml", "--out", "runs/tiny")
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    results = volume / "runs" / "tiny"
    assert (results / "results" / "scores.csv").stat().st_size > 0
    assert list((results / "figures").glob("*.png"))
    assert "Read-only file system" not in done.stdout + done.stderr


def test_every_command_of_the_image_answers_there(installed, volume):
    program = installed.bin / json.loads(last("ENTRYPOINT"))[0]
    for command in (["--help"], ["doctor"], ["plan", *json.loads(last("CMD"))[1:], "--no-probe"]):
        done = confined(volume, program, *command)
        assert done.returncode == 0, done.stderr[-3000:]
