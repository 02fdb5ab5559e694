"""Files written whole or not at all."""

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import platformdirs

from robust_interpretability.models.errors import InputError

WRITING = ".writing-"
"""How the name begins of what is being written; what a killed process leaves of it is nobody's."""


def cache_folder() -> Path:
    """The user's cache folder of this program: decoded data, compiled programs."""
    return Path(platformdirs.user_cache_dir("robust-interpretability-benchmark"))


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """Turns a disk's refusal into one line.

    Raises:
        InputError: What happens inside cannot write; `path` is named.
    """
    try:
        yield
    except OSError as error:
        why = "the disk is full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else error.strerror
        raise InputError(
            f"{path} cannot be written: {why}. What is stored already is kept."
        ) from error


def read_most(path: Path, size: int) -> bytes:
    """The first `size` bytes of a file, or all where it has fewer.

    Raises:
        OSError: It cannot be read, or is no regular file.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file")
    with path.open("rb") as file:
        return file.read(size)


def write(path: Path, content: bytes | str) -> None:
    """Writes a file whole or not at all: under another name, flushed to disk, then renamed.

    Raises:
        InputError: The folder cannot be written, or the disk is full.
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
