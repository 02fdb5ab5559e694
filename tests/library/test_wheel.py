"""The wheel: built, installed into an empty environment, used beside other packages."""

import textwrap
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.library.installation import call

COMMANDS = ("run", "plan", "plots", "paper", "submit", "evaluate", "reference", "leaderboard")
USE = """
import numpy as np
import attacks, metrics, models                     # the folder's own
assert attacks.MINE and metrics.MINE and models.MINE
import pellucid
from pellucid.callbacks import RobustAccuracy
import keras
model = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)])
digits = pellucid.load_data("digits")
x, y = digits.x_test[:5], digits.y_test[:5]
x_adv = pellucid.attack("pgd", model, x, y, norm="l2", epsilon=0.5, steps=2)
assert x_adv.shape == x.shape and "site-packages" in pellucid.__file__
assert RobustAccuracy is pellucid.callbacks.RobustAccuracy
names = pellucid.__all__
print("used", sorted(name for name in dir(pellucid) if name in names) == sorted(names))
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with packages of its own that are called as ours are at the top level."""
    place = tmp_path_factory.mktemp("mine")
    for name in ("models", "attacks", "metrics", "benchmark", "leaderboard"):
        (place / name).mkdir()
        (place / name / "__init__.py").write_text("MINE = True\n")
    return place


def test_site_packages_hold_one_name(installed):
    added = installed.added
    assert {name for name in added if not name.endswith(".dist-info")} == {"pellucid"}
    assert len(added) == 2
    links = [path for path in (installed.site / "pellucid").rglob("*") if path.is_symlink()]
    assert links == []


def test_the_wheel_holds_the_code_and_what_it_reads(installed):
    package = installed.site / "pellucid"
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
    wanted |= {
        Path("py.typed"),
        *(Path(f"{name}.py") for name in ("__init__", "__main__", "callbacks")),
    }
    held = {
        path.relative_to(package)
        for path in package.rglob("*")
        if path.is_file() and path.suffix != ".pyc"
    }
    assert held == wanted


def test_it_is_used_where_other_packages_have_our_folders_names(installed, folder):
    python = installed.bin / "python"
    (folder / "use.py").write_text(textwrap.dedent(USE))
    assert "used True" in call(python, "use.py", cwd=folder)


def test_the_console_script_has_every_command(installed, folder):
    script = installed.bin / "pellucid"
    text = call(script, "--help", cwd=folder)
    assert [command for command in (*COMMANDS, "doctor") if command not in text] == []


def test_the_console_script_plans_and_looks_around(installed, folder):
    script = installed.bin / "pellucid"
    assert "train" in call(script, "plan", "--preset", "quick", "--no-probe", cwd=folder)
    assert "Keras" in call(script, "doctor", cwd=folder)
    assert not (folder / "runs").exists()
