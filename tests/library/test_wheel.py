"""The wheel: built, installed into an empty environment, used beside other packages."""

import os
import shutil
import subprocess
import sys
import sysconfig
import textwrap
from pathlib import Path

import pytest

from tests.conftest import ROOT

FOLDERS = ("attacks", "benchmark", "leaderboard", "metrics", "models", "pellucid")
FILES = ("pyproject.toml", "README.md", "LICENSE")
COMMANDS = ("run", "plan", "plots", "paper", "submit", "evaluate", "reference", "leaderboard")
BUILD = "import sys; from setuptools.build_meta import build_wheel; build_wheel(sys.argv[1])"
"""As `pip wheel` does, by this environment's setuptools."""
USE = """
import numpy as np
import attacks, metrics, models                     # the folder's own
assert attacks.MINE and metrics.MINE and models.MINE
import pellucid
import keras
model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
digits = pellucid.load_data("digits")
x, y = digits.x_test[:5], digits.y_test[:5]
x_adv = pellucid.attack("pgd", model, x, y, norm="l2", epsilon=0.5, steps=2)
assert x_adv.shape == x.shape and "site-packages" in pellucid.__file__
names = pellucid.__all__
print("used", sorted(name for name in dir(pellucid) if name in names) == sorted(names))
"""


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


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The site-packages of an environment that holds the wheel, and what the wheel added there."""
    work = tmp_path_factory.mktemp("wheel")
    source = work / "source"
    for folder in FOLDERS:
        shutil.copytree(
            ROOT / folder,
            source / folder,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    for file in FILES:
        shutil.copy(ROOT / file, source / file)
    call(sys.executable, "-m", "venv", work / "env", cwd=work)
    python = work / "env" / "bin" / "python"
    site = Path(
        call(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=work).strip()
    )
    before = {path.name for path in site.iterdir()}
    (site / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    call(sys.executable, "-c", BUILD, work, cwd=source)
    (wheel,) = work.glob("*.whl")
    pip = (python, "-m", "pip", "--disable-pip-version-check", "--quiet")
    call(*pip, "install", "--no-deps", wheel, cwd=work)
    added = {path.name for path in site.iterdir()} - before - {"dependencies.pth"}
    return site, added


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with packages of its own that are called as ours are at the top level."""
    place = tmp_path_factory.mktemp("mine")
    for name in ("models", "attacks", "metrics", "benchmark", "leaderboard"):
        (place / name).mkdir()
        (place / name / "__init__.py").write_text("MINE = True\n")
    return place


def test_site_packages_hold_one_name(built):
    site, added = built
    assert {name for name in added if not name.endswith(".dist-info")} == {"pellucid"}
    assert len(added) == 2
    links = [path for path in (site / "pellucid").rglob("*") if path.is_symlink()]
    assert links == []


def test_the_wheel_holds_the_code_and_what_it_reads(built):
    package = built[0] / "pellucid"
    wanted = {
        path.relative_to(ROOT)
        for top in ("attacks", "benchmark", "leaderboard", "metrics", "models")
        for path in (ROOT / top).rglob("*.py")
    }
    wanted |= {
        path.relative_to(ROOT)
        for pattern in ("config/presets/*.toml", "config/tracks/*.toml", "paper/reference.json")
        for path in (ROOT / "benchmark").glob(pattern)
    }
    wanted |= {
        path.relative_to(ROOT)
        for path in (ROOT / "leaderboard" / "templates").rglob("*")
        if path.is_file()
    }
    zoo = ROOT / "benchmark" / "library" / "zoo"
    wanted |= {path.relative_to(ROOT) for path in [zoo / "index.json", *zoo.glob("*/*.keras")]}
    wanted |= {Path("py.typed"), Path("__init__.py"), Path("__main__.py")}
    held = {
        path.relative_to(package)
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert held == wanted


def test_it_is_used_where_other_packages_have_our_folders_names(built, folder):
    python = built[0].parents[2] / "bin" / "python"
    (folder / "use.py").write_text(textwrap.dedent(USE))
    assert "used True" in call(python, "use.py", cwd=folder)


def test_the_console_script_has_every_command(built, folder):
    script = built[0].parents[2] / "bin" / "pellucid"
    text = call(script, "--help", cwd=folder)
    assert [command for command in (*COMMANDS, "doctor") if command not in text] == []


def test_the_console_script_plans_and_looks_around(built, folder):
    script = built[0].parents[2] / "bin" / "pellucid"
    assert "train" in call(script, "plan", "--preset", "quick", "--no-probe", cwd=folder)
    assert "Keras" in call(script, "doctor", cwd=folder)
    assert not (folder / "runs").exists()
