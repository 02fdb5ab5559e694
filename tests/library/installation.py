"""The project as a user installs it: a wheel, in an environment of its own."""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import NamedTuple

from tests.conftest import ROOT

FOLDERS = ("attacks", "benchmark", "leaderboard", "metrics", "models", "pellucid")
FILES = ("pyproject.toml", "README.md", "LICENSE")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
"""As `pip wheel` does, by this environment's setuptools."""
SITE = "import site; print(site.getsitepackages()[0])"


class Installed(NamedTuple):
    """An environment that holds the wheel and sees the packages of the tests' own environment."""

    bin: Path
    site: Path
    added: set[str]
    """What the wheel added to `site`."""


def call(*command: object, cwd: Path, **environment: str) -> str:
    done = subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"} | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def build(work: Path) -> Path:
    """The wheel, built in `work` from what an installation needs and nothing else."""
    source = work / "source"
    unwanted = shutil.ignore_patterns("__pycache__")
    for folder in FOLDERS:
        shutil.copytree(ROOT / folder, source / folder, symlinks=True, ignore=unwanted)
    for file in FILES:
        shutil.copy(ROOT / file, source / file)
    call(sys.executable, "-c", BUILD, work, cwd=source)
    (wheel,) = work.glob("*.whl")
    return wheel


def install(work: Path) -> Installed:
    """Builds the wheel and installs it into an environment in `work`."""
    call(sys.executable, "-m", "venv", work / "env", cwd=work)
    programs = work / "env" / "bin"
    site = Path(call(programs / "python", "-c", SITE, cwd=work).strip())
    before = {path.name for path in site.iterdir()}
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip = (programs / "python", "-m", "pip", "--disable-pip-version-check", "--quiet")
    call(*pip, "install", "--no-deps", build(work), cwd=work)
    added = {path.name for path in site.iterdir()} - before - {"dependencies.pth"}
    return Installed(programs, site, added)
