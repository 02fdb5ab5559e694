"""The command line in another process."""

import subprocess
import sys
from pathlib import Path

from tests.conftest import ROOT

TINY = ROOT / "tests" / "benchmark" / "tiny.toml"
COMMAND = [sys.executable, str(ROOT / "run_benchmark.py")]


def call(*arguments: object, **options) -> subprocess.CompletedProcess:
    command = [*COMMAND, *map(str, arguments)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=ROOT, **options)


def run(out: Path, *more: str) -> subprocess.CompletedProcess:
    return call("run", "--config", TINY, "--out", out, *more)
