"""The command line in another process, or in this one."""

import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

from pellucid.benchmark.cli.app import entry_point
from tests.conftest import ROOT

TINY = ROOT / "tests" / "benchmark" / "tiny.toml"
COMMAND = [sys.executable, str(ROOT / "run_benchmark.py")]


def call(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, **options)


def run(out: Path, *more: str) -> subprocess.CompletedProcess:
    return call("run", "--config", TINY, "--out", out, *more)


def here(*arguments: object) -> subprocess.CompletedProcess:
    """The command line in this process, which has imported Keras: for what a start adds nothing to.

    Commands that train, are killed or must do without a package are tested by `call`.
    """
    with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as error:
        code = entry_point([str(argument) for argument in arguments])
    return subprocess.CompletedProcess(arguments, code, out.getvalue(), error.getvalue())


def check_mistake(done: subprocess.CompletedProcess, message: str) -> None:
    """One line on stderr, and exit code 2."""
    assert done.returncode == 2
    lines = done.stderr.splitlines()
    assert len(lines) == 1, done.stderr
    assert lines[0].startswith("error: ")
    assert message in lines[0]
