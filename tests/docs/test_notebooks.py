"""Every notebook runs as a reader would run it, from its first cell to its last."""

import os
import re
import resource
import subprocess
import sys

import jupytext
import pytest

from tests.conftest import ROOT

NOTEBOOKS = sorted(path.stem for path in (ROOT / "docs" / "notebooks").glob("*.py"))
NBMAKE = (
    *(sys.executable, "-m", "pytest", "-n", "0", "-c", os.devnull, "--rootdir", "."),
    *("--nbmake", "--nbmake-timeout=1200", "--overwrite"),
)
LONGEST = 2 * 120
"""Seconds of processor time: two minutes on two cores."""


def test_there_are_five():
    assert NOTEBOOKS == ["adversarial_training", "interpretable", "robust", "submit", "trade_off"]


@pytest.mark.parametrize(
    ("name", "backend"), [*((name, "tensorflow") for name in NOTEBOOKS), ("robust", "jax")]
)
def test_notebook_runs(name, backend, tmp_path):
    """In an empty folder; its own claims are assertions in cells that the site leaves out."""
    notebook = jupytext.read(ROOT / "docs" / "notebooks" / f"{name}.py")
    jupytext.write(notebook, tmp_path / f"{name}.ipynb")
    own = {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [*NBMAKE, f"{name}.ipynb"],
        cwd=tmp_path,
        env=os.environ | own,
        capture_output=True,
        text=True,
        check=False,
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-1000:]
    ran = jupytext.read(tmp_path / f"{name}.ipynb")
    printed = "".join(
        output.get("text", "") for cell in ran.cells for output in cell.get("outputs", ())
    )
    assert not re.search("Traceback|cuda|oneDNN|WARNING", printed)
    if name == "robust":
        assert f"on {backend}" in printed
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert spent < LONGEST
