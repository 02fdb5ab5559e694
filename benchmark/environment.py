"""What a result was made with: versions, device, commit, and what a machine has."""

import functools
import importlib.metadata
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from robust_interpretability.benchmark.config.configuration import PROTOCOL_VERSION
from robust_interpretability.benchmark.data import cache, datasets

ROOT = Path(__file__).parent.parent
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
KNOWN_SETS = ("mnist", "fashion_mnist", "cifar10")


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=10, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


@functools.cache
def collect() -> dict[str, Any]:
    """Versions, backend, devices, processor and commit, as JSON values. Starts the backend."""
    from robust_interpretability.models import backend

    changed = _git("status", "--porcelain", "--untracked-files=no")
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "processors": os.cpu_count(),
        "backend": backend.NAME,
        "devices": backend.devices(),
        "onednn": os.environ.get("TF_ENABLE_ONEDNN_OPTS"),
        "packages": {p: v for p in PACKAGES if (v := _version(p))},
        "protocol_version": PROTOCOL_VERSION,
        "commit": _git("rev-parse", "HEAD"),
        "uncommitted_changes": bool(changed) if changed is not None else None,
    }


def doctor(data_dir: str | None, out: Path) -> list[tuple[str, str, bool]]:
    """What the benchmark needs and whether it is there: `(what, found, fine)` rows."""
    here = collect()
    rows = [
        ("Python", f"{here['python']} at {sys.executable}", sys.version_info >= (3, 11)),
        ("Keras", f"{here['packages'].get('keras')}, backend {here['backend']}", True),
        ("devices", ", ".join(here["devices"]), True),
        ("processors", str(here["processors"]), True),
        ("digits, gaussians", "embedded", True),
    ]
    folder = datasets.tfds_folder(data_dir)
    for name in KNOWN_SETS:
        versions = sorted(p.parent.name for p in (folder / name).glob("*/dataset_info.json"))
        found = (
            f"{', '.join(versions)} in {folder}"
            if versions
            else f"not prepared in {folder}; downloaded when needed"
        )
        rows.append((name, found, bool(versions)))
    rows.append(
        (
            "decoded cache",
            f"{', '.join(cache.stems()) or 'empty'} in {cache.cache_folder()}",
            True,
        )
    )
    existing = next(p for p in (out.absolute(), *out.absolute().parents) if p.exists())
    free = shutil.disk_usage(existing).free
    rows.append(("disk", f"{free / 2**30:.1f} GiB free at {existing}", free > 2**30))
    return rows
