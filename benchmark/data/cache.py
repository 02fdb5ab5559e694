"""The decoded cache: images and labels of a data set as memory-mapped arrays, in the user's cache folder.

Each split has two arrays and a manifest with their checksums, `NAME-VERSION-SPLIT.json`; what else
is known of the set is in `NAME-VERSION.info`. A damaged file is noticed and its split decoded
again.
"""

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from robust_interpretability.models.errors import InputError
from robust_interpretability.models.files import cache_folder, write

PARTS = ("x", "y")
Rows = Iterator[tuple[np.ndarray, np.ndarray]]


def stems() -> list[str]:
    """The splits that are there."""
    return sorted(p.stem for p in cache_folder().glob("*.json"))


def keep(stem: str, what: dict[str, Any]) -> None:
    """Keeps what is known of a set beside its images."""
    path = cache_folder() / f"{stem}.info"
    if not path.exists():
        write(path, json.dumps(what, sort_keys=True, indent=1) + "\n")


def kept() -> list[dict[str, Any]]:
    """What is known of every decoded set."""
    return [
        json.loads(path.read_text(encoding="utf-8"))
        for path in sorted(cache_folder().glob("*.info"))
    ]


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write(root: Path, stem: str, size: int, shape: tuple[int, ...], rows: Rows) -> None:
    with tempfile.TemporaryDirectory(dir=root) as scratch:
        files = {part: Path(scratch, f"{part}.npy") for part in PARTS}
        x = np.lib.format.open_memmap(files["x"], "w+", np.uint8, (size, *shape))
        y = np.lib.format.open_memmap(files["y"], "w+", np.int32, (size,))
        at = 0
        for images, labels in rows:
            x[at : at + len(images)], y[at : at + len(images)] = images, labels
            at += len(images)
        if at != size:
            raise InputError(
                f"{stem} must have {size} examples. {at} were read: its files are incomplete."
            )
        x.flush()
        y.flush()
        del x, y
        sums = {part: _checksum(file) for part, file in files.items()}
        manifest = Path(scratch, "manifest.json")
        manifest.write_text(json.dumps(sums))
        for part, file in files.items():
            os.replace(file, root / f"{stem}-{part}.npy")
        os.replace(manifest, root / f"{stem}.json")


def _read(root: Path, stem: str) -> tuple[np.ndarray, ...] | str:
    """The cached split, or the reason why there is none (empty where there never was)."""
    manifest = root / f"{stem}.json"
    if not manifest.exists():
        return ""
    try:
        sums = json.loads(manifest.read_text())
        for part in PARTS:
            file = root / f"{stem}-{part}.npy"
            if _checksum(file) != sums[part]:
                return f"{file} does not match its checksum"
        return tuple(np.load(root / f"{stem}-{part}.npy", mmap_mode="r") for part in PARTS)
    except (OSError, ValueError, KeyError, TypeError) as error:
        text = str(error).strip().splitlines()
        return f"{stem}: {type(error).__name__}{': ' + text[0][:200] if text else ''}"


def split(
    stem: str,
    size: int,
    shape: tuple[int, ...],
    rows: Callable[[], Rows],
    notice: Callable[[str], None],
) -> tuple[np.ndarray, ...]:
    """A split, decoded first where it is not there or damaged.

    Args:
        stem: Its name in the cache.
        size: How many examples it has.
        shape: Shape of an image.
        rows: Gives batches of images, uint8, and labels; called where the split must be decoded.
        notice: Told, in a line, when a cache was damaged.

    Returns:
        Images `(size, *shape)` uint8 and labels `(size,)` int32, memory-mapped, read-only.

    Raises:
        InputError: The cache cannot be written, or not all examples were read.
    """
    root = cache_folder()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"The cache folder {root} cannot be written ({error.strerror})."
        ) from error
    with FileLock(root / f"{stem}.lock"):
        found = _read(root, stem)
        if isinstance(found, tuple):
            return found
        if found:
            notice(f"damaged cache: {found}; decoding again")
        _write(root, stem, size, shape, rows())
        found = _read(root, stem)
    if not isinstance(found, tuple):
        raise InputError(f"The decoded data cannot be read back from {root}: {found}.")
    return found
