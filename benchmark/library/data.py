"""Data sets by name."""

import sys
from pathlib import Path

from pellucid.benchmark.data import blocks, cache, datasets, tetrominoes
from pellucid.benchmark.data.dataset import Dataset


def list_datasets(data_dir: str | Path | None = None) -> list[str]:
    """The names of data sets that `load_data` reads without a download.

    It also loads every other image classification of TensorFlow Datasets, by its name there.

    Args:
        data_dir: The folder of TensorFlow Datasets; by default `TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.

    >>> import pellucid
    >>> "digits" in pellucid.list_datasets()
    True
    """
    folder = datasets.tfds_folder(None if data_dir is None else str(data_dir))
    prepared = {
        path.parents[1].relative_to(folder).as_posix()
        for pattern in ("*/*/dataset_info.json", "*/*/*/dataset_info.json")
        for path in folder.glob(pattern)
    }
    decoded = {copy.info.name for copy in cache.copies()}
    there = prepared | decoded
    made = [*tetrominoes.NAMES, *(blocks.NAMES if "mnist" in there else ())]
    return [*datasets.EMBEDDED, *made, *sorted(there)]


def load_data(
    name: str,
    *,
    data_dir: str | Path | None = None,
    train_limit: int | None = None,
    test_limit: int | None = None,
    verbose: bool = False,
) -> Dataset:
    """A data set for classification.

    Args:
        name: `"digits"`, `"gaussians"`, a set with known truth as `"block_mnist"` or
            `"xai_tris_xor_white"`, or the name of an image classification of TensorFlow Datasets,
            as `"cifar10"`. That is downloaded at the first use and decoded once.
        data_dir: The folder of TensorFlow Datasets; by default `TFDS_DATA_DIR`, else
            `~/tensorflow_datasets`.
        train_limit: Use only the first `train_limit` training images.
        test_limit: Use only the first `test_limit` test images.
        verbose: Print to stderr where the images come from and what is being done.

    Returns:
        `x_train` and `x_test`, `(n, h, w, c)` uint8; `y_train` and `y_test`, `(n,)` int32; and
        `info` with name, version, shape, number of classes and source.

    Raises:
        InputError: An unknown name, with the closest match; a set that is not there and cannot be
            downloaded, or is not an image classification.

    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> digits.x_train.shape, digits.info.num_classes
    ((1200, 8, 8, 1), 10)
    """

    def say(text: str) -> None:
        if verbose:
            print(text, file=sys.stderr, flush=True)

    return datasets.load(
        name,
        data_dir=None if data_dir is None else str(data_dir),
        train_limit=train_limit,
        test_limit=test_limit,
        notice=say,
    )
