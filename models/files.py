"""Files written atomically: completely or not at all."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from pellucid.models.errors import UnwritableError

WRITING = ".writing-"
"""Prefix of a file that is being written; one that a killed process leaves may be deleted."""


def cache_folder() -> Path:
    """This program's folder in the user's cache: decoded data, compiled programs."""
    return Path(platformdirs.user_cache_dir("pellucid"))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns an operating system's error into one line.

    Raises:
        UnwritableError: Writing within the context fails; `path` is named.
    """
    try:
        yield
    except OSError as error:
        why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        raise UnwritableError(
            f"{path} cannot be written: {why}. Results stored before remain."
        ) from error


def read_most(path: Path, size: int) -> bytes:
    """The first `size` bytes of a file, or all if it has fewer.

    Raises:
        OSError: It cannot be read, or is not a regular file.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file")
    with path.open("rb") as file:
        return file.read(size)


def write(path: Path, content: bytes | str) -> None:
    """Writes a file atomically: under another name, flushed to disk, then renamed.

    Raises:
        UnwritableError: The folder cannot be written, or the disk is full.
    """
    data = content.encode() if isinstance(content, str) else content
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, scratch = tempfile.mkstemp(dir=path.parent, prefix=WRITING, suffix=path.suffix)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(scratch, 0o644)
            os.replace(scratch, path)
        except BaseException:
            Path(scratch).unlink(missing_ok=True)
            raise
