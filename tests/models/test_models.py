"""oneDNN where it is faster, and never against a user's wish."""

import os
import subprocess
import sys

from pellucid import models
from tests.conftest import ROOT


def chosen(monkeypatch, name: str, own: str | None = None, early: bool = True) -> str | None:
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if early:
        monkeypatch.delitem(sys.modules, "tensorflow", raising=False)
    else:
        monkeypatch.setitem(sys.modules, "tensorflow", sys)
    if own is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", own)
    models.choose_kernels(name)
    return os.environ.get("TF_ENABLE_ONEDNN_OPTS")


def test_kernels_follow_from_the_network(monkeypatch):
    assert {name: chosen(monkeypatch, name) for name in models.CLASSIFIERS} == {
        "mlp": "0",
        "digits_cnn": "0",
        "strided_cnn": "1",
        "mnist_cnn": "1",
        "cifar_cnn": "1",
    }


def test_a_users_choice_stands(monkeypatch):
    assert chosen(monkeypatch, "cifar_cnn", own="0") == "0"


def test_too_late_to_choose_it_records_no_choice(monkeypatch):
    assert chosen(monkeypatch, "cifar_cnn", early=False) is None


COMMANDS = """
import importlib, pkgutil, sys
import pellucid.benchmark as benchmark
for package in ("cli", "execution", "submission", "results", "paper"):
    module = importlib.import_module(f"{benchmark.__name__}.{package}")
    for found in pkgutil.walk_packages(module.__path__, f"{module.__name__}."):
        if found.name.endswith((".threads", ".estimate", ".cost")):
            continue  # imported where computing begins
        importlib.import_module(found.name)
        assert not {"keras", "tensorflow", "jax"} & set(sys.modules), found.name
"""


def test_what_a_command_imports_leaves_the_choice_open():
    """Each module of the commands: none imports Keras before the kernels are chosen."""
    done = subprocess.run(
        [sys.executable, "-c", COMMANDS], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
