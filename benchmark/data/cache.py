"""The decoded cache: data sets as memory-mapped arrays, in the user's cache folder.

A decoded copy is a folder `data/NAME-VERSION-FINGERPRINT` of four arrays and a manifest with their
checksums. The fingerprint covers the files that the copy was decoded from, so another folder, or
the same one with other files, has another copy. A damaged copy is noticed and decoded again.
"""

import contextlib
import dataclasses
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock

from pellucid.benchmark.data.dataset import Dataset, Info
from pellucid.models.errors import InputError
from pellucid.models.files import WRITING, cache_folder, writing
from pellucid.models.types import Array

ARRAYS = ("x_train", "y_train", "x_test", "y_test")
MANIFEST = "manifest.json"
Batches = Iterator[tuple[Array, Array]]
"""Batches of images, uint8, and of their labels."""


class DamagedCopyError(Exception):
    """A decoded copy cannot be used; the message says why, in one line."""


@dataclass(frozen=True)
class Copy:
    """A decoded copy of a data set.

    Attributes:
        place: The folder of its arrays.
        info: The data set; `info.folder` is what the copy was decoded from.
        fingerprint: Of the files in `info.folder` when they were decoded.
        sha256: Checksum of each file of arrays.
    """

    place: Path
    info: Info
    fingerprint: str
    sha256: dict[str, str]


def fingerprint(folder: Path) -> str:
    """A hash of a folder's path and of the name, size and modification time of each file in it."""
    root = folder.resolve()
    files = sorted(path for path in root.rglob("*") if path.is_file())
    stats = [(path.relative_to(root).as_posix(), path.stat()) for path in files]
    content = [str(root), [(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats]]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()


def _root() -> Path:
    return cache_folder() / "data"


def _opened(place: Path) -> Copy:
    """The copy that a folder holds. Raises `DamagedCopyError` where its manifest cannot be read."""
    try:
        manifest = json.loads((place / MANIFEST).read_text(encoding="utf-8"))
        info = Info(**manifest["info"] | {"shape": tuple(manifest["info"]["shape"])})
        return Copy(place, info, str(manifest["fingerprint"]), dict(manifest["sha256"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DamagedCopyError(_line(place / MANIFEST, error)) from error


def _line(path: Path, error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{path}: {type(error).__name__}{': ' + text[0][:200] if text else ''}"


def copies() -> list[Copy]:
    """The decoded copies in the cache, without those whose manifest cannot be read."""
    found = []
    for path in sorted(_root().glob(f"[!.]*/{MANIFEST}")):
        with contextlib.suppress(DamagedCopyError):
            found.append(_opened(path.parent))
    return found


def read(copy: Copy) -> Dataset:
    """A decoded copy's arrays, memory-mapped, read-only.

    Raises:
        DamagedCopyError: A file is missing or does not match its checksum.
    """
    try:
        for name in ARRAYS:
            if _checksum(copy.place / f"{name}.npy") != copy.sha256[name]:
                raise DamagedCopyError(f"{copy.place / name}.npy does not match its checksum")
        arrays = [np.load(copy.place / f"{name}.npy", mmap_mode="r") for name in ARRAYS]
    except (OSError, ValueError, KeyError) as error:
        raise DamagedCopyError(_line(copy.place, error)) from error
    return Dataset(copy.info, *arrays)


def _checksum(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def load(
    info: Info,
    key: str,
    batches: Callable[[str], Batches],
    notice: Callable[[str], None],
) -> Dataset:
    """A data set from its decoded copy, which is made first where it is missing or damaged.

    Copies that were decoded from earlier files of the same folder are removed.

    Args:
        info: The data set; `info.folder` is the folder of its files.
        key: Fingerprint of these files.
        batches: Decodes a split, `"train"` or `"test"`, in batches.
        notice: Receives one line where a copy was damaged.

    Returns:
        Images `(n, *shape)` uint8 and labels `(n,)` int32, memory-mapped, read-only.

    Raises:
        InputError: The cache cannot be written, or a split has another number of images.
    """
    stem = f"{info.name.replace('/', '_')}-{info.version}"
    place = _root() / f"{stem}-{key[:16]}"
    lock = FileLock(_root() / f"{stem}.lock")
    with writing(_root()):
        _root().mkdir(parents=True, exist_ok=True)
        lock.acquire()
    try:
        if place.exists():
            try:
                return read(_opened(place))
            except DamagedCopyError as error:
                notice(f"damaged cache: {error}; decoding again")
        _write(Copy(place, info, key, {}), batches)
        for copy in copies():
            if copy.info.folder == info.folder and copy.fingerprint != key:
                shutil.rmtree(copy.place, ignore_errors=True)
        return read(_opened(place))
    except DamagedCopyError as error:
        raise InputError(f"The decoded data cannot be read back: {error}.") from error
    finally:
        lock.release()


def _write(copy: Copy, batches: Callable[[str], Batches]) -> None:
    """Decodes into a folder beside the copy's, which takes its place when it is complete."""
    scratch = copy.place.with_name(WRITING + copy.place.name)
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    try:
        for split, size in (("train", copy.info.train_size), ("test", copy.info.test_size)):
            _write_split(scratch, split, size, copy.info, batches(split))
        manifest = {
            "info": dataclasses.asdict(copy.info),
            "fingerprint": copy.fingerprint,
            "sha256": {name: _checksum(scratch / f"{name}.npy") for name in ARRAYS},
        }
        (scratch / MANIFEST).write_text(json.dumps(manifest, sort_keys=True, indent=1) + "\n")
        shutil.rmtree(copy.place, ignore_errors=True)
        os.replace(scratch, copy.place)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _write_split(folder: Path, split: str, size: int, info: Info, batches: Batches) -> None:
    x = np.lib.format.open_memmap(
        folder / f"x_{split}.npy", "w+", dtype=np.uint8, shape=(size, *info.shape)
    )
    y = np.lib.format.open_memmap(folder / f"y_{split}.npy", "w+", dtype=np.int32, shape=(size,))
    at = 0
    for images, labels in batches:
        x[at : at + len(images)], y[at : at + len(images)] = images, labels
        at += len(images)
    if at != size:
        raise InputError(
            f"{info.name} {info.version} must have {size} images in its {split} split. {at} were"
            " read: its files are incomplete."
        )
    x.flush()
    y.flush()
