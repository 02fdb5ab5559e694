"""Data sets by name: embedded, with known truth, and any image classification of TFDS."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

from pellucid.benchmark.data import blocks, embedded, tetrominoes, tfds
from pellucid.benchmark.data.dataset import Dataset, Info
from pellucid.benchmark.data.embedded import EMBEDDED
from pellucid.benchmark.data.tfds import tfds_folder

__all__ = ["EMBEDDED", "Dataset", "Info", "describe", "load", "tfds_folder"]


def _limited(info: Info, train_limit: int | None, test_limit: int | None) -> Info:
    train = min(train_limit or info.train_size, info.train_size)
    test = min(test_limit or info.test_size, info.test_size)
    return dataclasses.replace(info, train_size=train, test_size=test)


def _first(data: Dataset, train_limit: int | None, test_limit: int | None) -> Dataset:
    """The first images of each split, at most as many as the limits say."""
    info = _limited(data.info, train_limit, test_limit)
    n, m = info.train_size, info.test_size
    truths = ((data.truth_train, n), (data.truth_test, m))
    return Dataset(
        info,
        data.x_train[:n],
        data.y_train[:n],
        data.x_test[:m],
        data.y_test[:m],
        *(None if truth is None else truth[:size] for truth, size in truths),
    )


def _origin(info: Info) -> str:
    """Where the images come from, in one line."""
    what = f"data: {info.name}/{info.version}"
    if info.folder is None:
        return f"{what} ({info.source})"
    gone = "" if Path(info.folder).is_dir() else ", decoded earlier; the folder is not there now"
    return f"{what} from {info.folder}{gone}"


def describe(
    name: str,
    *,
    data_dir: str | None = None,
    train_limit: int | None = None,
    test_limit: int | None = None,
) -> Info:
    """What `load` with the same arguments returns as `info`, without decoding an image.

    Raises:
        InputError: As `load`.
    """
    if name in EMBEDDED:
        info = embedded.build(name).info
    elif name in tetrominoes.NAMES:
        info = tetrominoes.describe(name)
    elif name in blocks.NAMES:
        info = blocks.describe(name, tfds.describe("mnist", data_dir))
    else:
        info = tfds.describe(name, data_dir)
    return _limited(info, train_limit, test_limit)


def load(
    name: str,
    *,
    data_dir: str | None = None,
    train_limit: int | None = None,
    test_limit: int | None = None,
    notice: Callable[[str], None] = lambda _: None,
) -> Dataset:
    """A data set by name.

    Args:
        name: `"digits"`, `"gaussians"`, a name in `tetrominoes` or in `blocks` (which read MNIST
            from TFDS), or the TFDS name of an image-classification set.
        data_dir: The TFDS folder; see `tfds_folder`.
        train_limit: Use only the first `train_limit` training images.
        test_limit: Use only the first `test_limit` test images.
        notice: Receives one line that says where the images come from; one for each split that is
            decoded; one where a cache was damaged.

    Returns:
        The data set; TFDS images are memory-mapped, read-only.

    Raises:
        InputError: Unknown name (with the close match); a set that is not prepared and cannot be
            downloaded, or is not an image classification; an unwritable cache.
    """
    if name in EMBEDDED:
        data = embedded.build(name)
    elif name in tetrominoes.NAMES:
        data = tetrominoes.build(name)
    elif name in blocks.NAMES:
        mnist = tfds.load("mnist", data_dir, notice)
        data = blocks.build(name, _first(mnist, train_limit, test_limit))
    else:
        data = tfds.load(name, data_dir, notice)
    data = _first(data, train_limit, test_limit)
    notice(_origin(data.info))
    return data
