"""A newcomer: an empty environment, the README's way to install, the README's lines of Python."""

import re
import shutil
import subprocess
import sys
import time

import pytest

from tests.conftest import ROOT
from tests.library.installation import call, sources

README = (ROOT / "README.md").read_text()
LIMIT = 180.0
"""Seconds from the first import to the last figure, installation left out."""


def section(title: str) -> str:
    return README.split(f"## {title}\n")[1].split("\n## ")[0]


@pytest.fixture(scope="module")
def python(tmp_path_factory):
    """The interpreter of an environment with what the README installs, and that alone."""
    work = tmp_path_factory.mktemp("newcomer")
    commands = re.findall(r"^pip (install .*?)(?:  #.*)?$", section("Install"), re.MULTILINE)
    assert [command.split() for command in commands] == [
        ["install", "-r", "requirements.txt"],
        ["install", "."],
    ]
    source = sources(work)
    shutil.copy(ROOT / "requirements.txt", source)
    call(sys.executable, "-m", "venv", work / "env", cwd=work)
    interpreter = work / "env" / "bin" / "python"
    for command in commands:
        call(interpreter, "-m", "pip", "--quiet", *command.split(), cwd=source)
    yield interpreter
    shutil.rmtree(work)  # gigabytes


def shape(table: str) -> list[str]:
    """A printed table without its numbers, which differ a little between processors."""
    return [re.sub(r"[-\d.]+", "0", " ".join(line.split())) for line in table.strip().splitlines()]


def test_the_lines_of_the_readme(python, tmp_path):
    text = section("From Python")
    first, second = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    (printed,) = re.findall(r"```\n(robust accuracy.*?)```", text, re.DOTALL)
    lines = [line for line in first.splitlines() if line]
    assert len(lines) <= 12
    script = tmp_path / "lines.py"
    script.write_text(f"{first}print('=====')\n{second}")
    began = time.monotonic()
    done = subprocess.run(
        [python, script],
        cwd=tmp_path,
        env={"PATH": "", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert time.monotonic() - began < LIMIT
    ours, fitted = done.stdout.split("=====\n")
    table = ours[ours.index("robust accuracy") :]
    assert shape(table)[: len(shape(printed))] == shape(printed)
    assert "val_robust_accuracy" in fitted
    for name in ("robustness.png", "interpretability.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "best.keras").exists()


def test_the_commands_are_there(python, tmp_path):
    assert "Keras" in call(python.parent / "pellucid", "doctor", cwd=tmp_path)
