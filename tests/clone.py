"""A copy of the project, as a user has it after a clone, and its commands."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import keras

from pellucid.leaderboard.board import Board
from tests.conftest import ROOT


class Clone:
    """A copy of the project, as a user has it after a clone, and its commands."""

    def __init__(self, root: Path) -> None:
        self.root = root
        unwanted = shutil.ignore_patterns(
            ".git", ".venv", "runs", "docs", "__pycache__", ".*_cache", ".hypothesis"
        )
        shutil.copytree(ROOT, root, ignore=unwanted, symlinks=True)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self.environment = os.environ | {"PATH": path}
        del self.environment["TF_ENABLE_ONEDNN_OPTS"]  # the tests' own choice

    def start(self, command: str) -> subprocess.Popen:
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(
            ["bash", "-ec", command], cwd=self.root, env=self.environment, **pipes
        )

    def call(self, command: str) -> subprocess.CompletedProcess:
        process = self.start(command)
        out, error = process.communicate()
        return subprocess.CompletedProcess(command, process.returncode, out, error)

    def model(self, name: str, last: keras.Layer) -> None:
        """An untrained model, quickly made; every call gives other weights."""
        layers = [keras.Input((8, 8, 1)), keras.layers.Flatten()]
        layers += [keras.layers.Dense(16, activation="relu"), last]
        keras.Sequential(layers).save(self.root / f"{name}.keras")

    def board(self) -> dict[str, bytes]:
        root = self.root / "leaderboard"
        return {
            str(p.relative_to(root)): p.read_bytes()
            for p in root.rglob("*")
            if p.is_file() and p.name != ".lock"
        }

    def entries(self) -> dict[str, object]:
        return {
            e.id: e for e in Board(self.root / "leaderboard").entries() if e.role == "submission"
        }
