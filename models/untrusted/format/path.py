"""The path of a submitted file, and a copy of the file that its owner cannot change."""

import hashlib
import os
import re
import stat
from pathlib import Path

from pellucid.models.untrusted.format.archive import MAX_FILE_BYTES
from pellucid.models.untrusted.refusal import Refused, shown

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/|(hf|kaggle|gs|s3):")
_BLOCK_BYTES = 1 << 20


def check_path(path: str | Path) -> Path:
    """Refuses, by name and kind alone, what is not a `.keras` file on this machine.

    Nothing is opened.

    Args:
        path: The path as the user typed it.

    Returns:
        The path of a regular file that ends in `.keras`.

    Raises:
        Refused: It is an address, a folder, a device or a file of another format, or does not
            exist.
    """
    text = os.fspath(path)
    if _ADDRESS.match(text):
        raise Refused(f"{shown(text)} is an address; download the .keras file and name the copy.")
    if "\0" in text:
        raise Refused(f"{shown(text)} is not a file name.")
    path = Path(text)
    name = shown(path.name or text)
    try:
        mode = path.stat().st_mode
    except OSError:
        raise Refused(f"{name} does not exist or cannot be read.") from None
    if stat.S_ISDIR(mode):
        raise Refused(f"{name} is a folder (a SavedModel?); only a .keras file is accepted.")
    if not stat.S_ISREG(mode):
        raise Refused(f"{name} is not a regular file.")
    if path.suffix.lower() in (".h5", ".hdf5"):
        raise Refused(f"{name} is a legacy HDF5 model; save it again as .keras.")
    if path.suffix != ".keras":
        raise Refused(f"{name} is not a .keras file; only the archive of Keras 3 is accepted.")
    return path


def copy(path: Path, target: Path) -> str:
    """Copies the file, unless it is larger than is accepted.

    Args:
        path: The submitted file.
        target: Where the copy goes; nothing may be there.

    Returns:
        The hexadecimal SHA-256 of exactly the bytes that were copied.

    Raises:
        Refused: The file cannot be read, is not a regular file, or is too large.
    """
    digest = hashlib.sha256()
    try:
        # not blocking: the path may lead to a pipe by now
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        raise Refused(f"{shown(path.name)} cannot be read.") from None
    with os.fdopen(descriptor, "rb") as source, target.open("xb") as file:
        status = os.fstat(source.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{shown(path.name)} is not a regular file.")
        size = status.st_size
        if size > MAX_FILE_BYTES:
            raise Refused(f"The file is {size} bytes; at most {MAX_FILE_BYTES} are accepted.")
        while part := source.read(min(_BLOCK_BYTES, size)):  # no more, should the file grow
            size -= len(part)
            digest.update(part)
            file.write(part)
    return digest.hexdigest()
