"""What a result was made with (versions, device, commit), and what this machine has."""

import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import NamedTuple

from pellucid.benchmark.config.versions import PROTOCOL_VERSION
from pellucid.benchmark.data import cache, tfds
from pellucid.models.errors import InputError
from pellucid.models.files import cache_folder
from pellucid.models.types import Json

PROJECT = "pellucid"
"""The name in our `pyproject.toml`."""

ROOT = Path(__file__).resolve().parent.parent
"""In a checkout, its top folder; in an installation, the package's folder."""

PACKAGES = (
    "keras",
    "tensorflow",
    "tensorflow-cpu",
    "jax",
    "tensorflow-datasets",
    "numpy",
    "scipy",
    "pandas",
    "scikit-learn",
    "matplotlib",
)
"""Packages whose versions are recorded."""

SHOWN_DATASETS = ("mnist", "fashion_mnist", "cifar10")
"""Data sets that `doctor` misses where they are not prepared."""

BACKEND = "Keras"
"""The row of `doctor` without which nothing can be run."""

OLDEST_PYTHON = (3, 11)
LEAST_FREE = 2**30
"""Bytes of free disk space below which `doctor` objects."""


class Check(NamedTuple):
    """A row of `doctor`: what was looked at, its state in words, and whether that is fine."""

    what: str
    state: str
    fine: bool


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(folder: Path, *arguments: str) -> str | None:
    """What Git prints; None where it fails or is not installed."""
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def is_checkout(folder: Path) -> bool:
    """Whether a folder is the top of a Git checkout of this project.

    An installed copy may lie inside the repository of somebody else, or in a virtual environment
    inside ours: neither repository's commit describes it.
    """
    try:
        content = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))
        name = content["project"]["name"]
    except (OSError, ValueError, KeyError, TypeError):
        return False
    top = _git(folder, "rev-parse", "--show-toplevel")
    return name == PROJECT and top is not None and Path(top).resolve() == folder.resolve()


def source(folder: Path = ROOT) -> Json:
    """The commit of the code in a folder, and whether files differ from it; None for unknown."""
    if not is_checkout(folder):
        return {"commit": None, "uncommitted_changes": None}
    changed = _git(folder, "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": _git(folder, "rev-parse", "HEAD"),
        "uncommitted_changes": None if changed is None else bool(changed),
    }


@functools.cache
def collect() -> Json:
    """Versions, backend, devices, processor and commit, as JSON values. Starts the backend."""
    from pellucid.models import backend

    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "backend": backend.NAME,
        "devices": backend.devices(),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS"),
        "packages": {p: v for p in PACKAGES if (v := _version(p))},
        "protocol_version": PROTOCOL_VERSION,
        **source(),
    }


def _dataset(name: str, data_dir: str | None) -> Check:
    """A set whose prepared files are there: what it holds, or why it does not fit."""
    try:
        info = tfds.describe(name, data_dir, download=False)
    except InputError as error:
        return Check(name, str(error).removeprefix(f"Data set '{name}' "), fine=False)
    sizes = f"{info.train_size:,} and {info.test_size:,} images"
    shape = "x".join(map(str, info.shape))
    state = f"{info.version}, {sizes} of {shape}, {info.num_classes} classes, in {info.folder}"
    return Check(name, state, fine=True)


def _datasets(data_dir: str | None) -> list[Check]:
    """The sets in the TFDS folder, the user's own among them, and those of the presets."""
    folder, there = tfds.tfds_folder(data_dir), tfds.prepared(data_dir)
    missing = [name for name in SHOWN_DATASETS if name not in there]
    return [_dataset(name, data_dir) for name in there] + [
        Check(name, f"not prepared in {folder}; downloaded when needed", fine=False)
        for name in missing
    ]


def _backend() -> list[Check]:
    """Keras, its backend and the devices; one row where the backend cannot be used."""
    keras = _version("keras")
    try:
        here = collect()
    except InputError as error:
        return [Check(BACKEND, f"{keras}. {error}", fine=False)]
    return [
        Check(BACKEND, f"{keras}, backend {here['backend']}", fine=True),
        Check("devices", ", ".join(here["devices"]), fine=True),
    ]


def _disk(out: Path) -> Check:
    existing = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    return Check("disk", f"{free / 2**30:.1f} GiB free at {existing}", free > LEAST_FREE)


def doctor(data_dir: str | None, out: Path) -> list[Check]:
    """What the benchmark needs, and whether it is there.

    Args:
        data_dir: The TFDS folder, as `tfds.tfds_folder`.
        out: A run's folder, which need not exist.
    """
    python = f"{platform.python_version()} at {sys.executable}"
    decoded = ", ".join(copy.place.name for copy in cache.copies()) or "empty"
    return [
        Check("Python", python, sys.version_info >= OLDEST_PYTHON),
        *_backend(),
        Check("processors", str(os.cpu_count()), fine=True),
        Check("digits, gaussians", "embedded", fine=True),
        *_datasets(data_dir),
        Check("decoded cache", f"{decoded} in {cache_folder()}", fine=True),
        _disk(out),
    ]
