"""Data sets by name: `digits` (embedded), `gaussians` (the toy) and any TFDS image-classification set.

A TFDS set is decoded once (see `decoded`). Where TensorFlow is not installed, what has been decoded
serves.
"""

import dataclasses
import functools
import hashlib
import importlib.util
import os
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from robust_interpretability.benchmark.data import cache
from robust_interpretability.models.errors import InputError, unknown

EMBEDDED = ("digits", "gaussians")
Notice = Callable[[str], None]


@dataclass(frozen=True)
class Info:
    """What is known of a data set without reading its images."""

    name: str
    version: str
    train_size: int
    test_size: int
    shape: tuple[int, ...]
    num_classes: int


@dataclass(frozen=True)
class Dataset:
    """A data set for classification.

    Attributes:
        info: Name, version and sizes.
        x_train: `(n, h, w, c)` uint8; the toy: `(n, 2)` float32 in [0, 1].
        y_train: `(n,)` int32.
        x_test: As `x_train`.
        y_test: As `y_train`.
    """

    info: Info
    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray

    def sha256(self) -> str:
        """Hash of images and labels, shapes and types included."""
        digest = hashlib.sha256()
        for array in (self.x_train, self.y_train, self.x_test, self.y_test):
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def channel_means(self) -> np.ndarray:
        """The training set's mean of each channel, `(c,)` float32 in [0, 1]."""
        mean = self.x_train.mean(axis=tuple(range(self.x_train.ndim - 1)), dtype=np.float64)
        return (mean / 255 if self.x_train.dtype == np.uint8 else mean).astype(np.float32)


def _digits() -> Dataset:
    """scikit-learn's digits: 1,797 real 8x8 images, 1,200 to train and 597 to test, stratified by class."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    raw = load_digits()
    x = np.round(raw.images * (255 / 16)).astype(np.uint8)[..., None]
    y = raw.target.astype(np.int32)
    train, test = train_test_split(np.arange(len(y)), test_size=597, stratify=y, random_state=0)
    info = Info("digits", "1.0.0", len(train), len(test), (8, 8, 1), 10)
    return Dataset(info, x[train], y[train], x[test], y[test])


def _gaussians() -> Dataset:
    """The toy of section 2.2: two Gaussians in the plane, 3,000 points each, scaled together to the pixel box.

    The paper's [-1, 1] is [0, 1] here. The test points are a second draw, at the training points'
    scale.
    """
    mean, covariance = np.array([1.2, 0.1]), np.array([[0.1, -0.01], [-0.01, 0.002]])
    rng = np.random.default_rng(0)

    def draw() -> np.ndarray:
        return np.concatenate([rng.multivariate_normal(m, covariance, 3000) for m in (mean, -mean)])

    train, test = draw(), draw()
    low, high = train.min(), train.max()
    y = np.repeat(np.array([0, 1], np.int32), 3000)
    x_train, x_test = (
        np.clip((v - low) / (high - low), 0, 1).astype(np.float32) for v in (train, test)
    )
    return Dataset(Info("gaussians", "1.0.0", 6000, 6000, (2,), 2), x_train, y, x_test, y)


_BUILDERS: dict[str, Callable[[], Dataset]] = {"digits": _digits, "gaussians": _gaussians}


def tfds_folder(data_dir: str | None = None) -> Path:
    """Where TFDS sets are looked for: `data_dir`, else `TFDS_DATA_DIR`, else TFDS's own default."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def _builder(name: str, data_dir: str | None) -> Any:
    """The TFDS builder, its data prepared (downloaded if need be)."""
    os.environ.setdefault(
        "NO_GCE_CHECK", "true"
    )  # else TensorFlow asks the network whether it runs at Google
    import tensorflow_datasets as tfds

    folder = tfds_folder(data_dir)
    names = tfds.list_builders(with_community_datasets=False)
    base = re.split("[/:]", name, maxsplit=1)[0]
    if base not in names and not (folder / base).is_dir():
        raise unknown("dataset", name, (*EMBEDDED, *names))
    try:
        builder = tfds.builder(name, data_dir=folder, try_gcs=False)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise InputError(
            f"Data set '{name}' cannot be opened in {folder} ({_first_line(error)})."
        ) from error
    if not builder.data_path.exists():
        try:
            _reachable(builder.url_infos)
            builder.download_and_prepare()
        except Exception as error:  # anything from a closed network to a full disk
            raise InputError(
                f"Data set '{name}' is not prepared in {folder} and could not be downloaded"
                f" ({_first_line(error)}). Prepare it where there is a network with `python -m"
                f" tensorflow_datasets build {name} --data_dir FOLDER` and pass --data-dir FOLDER."
            ) from error
    return builder


def _reachable(urls: Iterable[str]) -> None:
    """Fails at once, and before a file is written, where TFDS would retry for minutes.

    Raises:
        OSError: A host the data comes from has no address here, and no proxy is set.
    """
    if not urllib.request.getproxies():
        for host in sorted({urllib.parse.urlsplit(url).hostname or "" for url in urls}):
            try:
                socket.getaddrinfo(host, 443)
            except OSError as error:
                raise OSError(f"no network: {host} has no address") from error


def _first_line(error: BaseException) -> str:
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0][:200]}" if text else type(error).__name__


def _tfds_info(builder: Any) -> tuple[Info, str, str, str]:
    """The `Info` of a TFDS set, the name of its test split, and of its image and label features."""
    import tensorflow_datasets as tfds

    features, splits = builder.info.features, builder.info.splits
    name = builder.info.name
    images = [k for k, f in features.items() if isinstance(f, tfds.features.Image)]
    labels = [k for k, f in features.items() if isinstance(f, tfds.features.ClassLabel)]
    if len(images) != 1 or len(labels) != 1:
        raise InputError(
            f"Data set '{name}' must have one image and one class label. Its features:"
            f" {', '.join(features)}."
        )
    shape = features[images[0]].shape
    if None in shape:
        raise InputError(f"Data set '{name}' must have images of one size. Its shape is {shape}.")
    test = "test" if "test" in splits else "validation"
    for split in ("train", test):
        if split not in splits:
            raise InputError(
                f"Data set '{name}' must have splits 'train' and 'test'. It has"
                f" {', '.join(splits)}."
            )
    sizes = splits["train"].num_examples, splits[test].num_examples
    classes = features[labels[0]].num_classes
    full = f"{name}/{builder.info.config_name}" if builder.info.config_name else name
    return (
        Info(full, str(builder.info.version), *sizes, tuple(shape), classes),
        test,
        images[0],
        labels[0],
    )


def _rows(
    builder: Any, name: str, split: str, image: str, label: str, notice: Notice
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """The images and labels of a split, in batches and in TFDS's order."""
    if builder is None:
        raise InputError(
            f"The decoded data of '{name}' are damaged, and TensorFlow is not installed here."
        )
    import tensorflow_datasets as tfds

    notice(f"decoding {name} {split} ({builder.info.splits[split].num_examples:,} images), once")
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, add_tfds_id=False)
    rows = (
        builder.as_dataset(split=split, shuffle_files=False, read_config=config)
        .batch(1000)
        .prefetch(1)
    )
    for row in tfds.as_numpy(rows):
        yield row[image], row[label]


def _safe(info: Info) -> str:
    return f"{info.name.replace('/', '_')}-{info.version}"


def _kept(name: str) -> tuple[Info, str]:
    """The `Info` and the test split of a decoded set: what serves where TensorFlow, which TFDS needs, is missing.

    Raises:
        InputError: The set has not been decoded.
    """
    base, _, version = name.partition(":")
    found = [
        k
        for k in cache.kept()
        if k["info"]["name"] == base and version in ("", k["info"]["version"])
    ]
    if not found:
        raise InputError(
            f"Data set '{name}' is not decoded in {cache.cache_folder()}, and TensorFlow, which"
            " decodes it, is not installed here. Run the benchmark once where it is, and copy that"
            " folder."
        )
    newest = max(found, key=lambda k: [int(part) for part in k["info"]["version"].split(".")])
    return Info(**newest["info"] | {"shape": tuple(newest["info"]["shape"])}), newest["test"]


def _has_tensorflow() -> bool:
    return importlib.util.find_spec("tensorflow") is not None


def _read(name: str, data_dir: str | None, notice: Notice) -> Dataset:
    """A TFDS set, from the decoded cache where it is there."""
    builder, image, label = None, "", ""
    if _has_tensorflow():
        builder = _builder(name, data_dir)
        info, test, image, label = _tfds_info(builder)
    else:
        info, test = _kept(name)
    arrays: list[np.ndarray] = []
    for split, size in (("train", info.train_size), (test, info.test_size)):
        rows = functools.partial(_rows, builder, name, split, image, label, notice)
        arrays += cache.split(f"{_safe(info)}-{split}", size, info.shape, rows, notice)
    cache.keep(_safe(info), {"info": dataclasses.asdict(info), "test": test})
    return Dataset(info, *arrays)


def _limited(info: Info, train_limit: int | None, test_limit: int | None) -> Info:
    train = min(train_limit or info.train_size, info.train_size)
    test = min(test_limit or info.test_size, info.test_size)
    return Info(info.name, info.version, train, test, info.shape, info.num_classes)


def describe(
    name: str,
    *,
    data_dir: str | None = None,
    train_limit: int | None = None,
    test_limit: int | None = None,
) -> Info:
    """What `load` with the same arguments would hold, without decoding an image.

    Raises:
        InputError: As `load`.
    """
    if name in _BUILDERS:
        full = _BUILDERS[name]().info
    else:
        full = _tfds_info(_builder(name, data_dir))[0] if _has_tensorflow() else _kept(name)[0]
    return _limited(full, train_limit, test_limit)


def load(
    name: str,
    *,
    data_dir: str | None = None,
    train_limit: int | None = None,
    test_limit: int | None = None,
    notice: Notice = lambda _: None,
) -> Dataset:
    """A data set by name.

    Args:
        name: `"digits"`, `"gaussians"` or the TFDS name of an image-classification set.
        data_dir: The TFDS folder; see `tfds_folder`.
        train_limit: Use only the first so many training images.
        test_limit: Use only the first so many test images.
        notice: Told, in a line, when data is decoded or a cache was damaged.

    Returns:
        The data set; TFDS images are memory-mapped, read-only.

    Raises:
        InputError: Unknown name (with the close match); a set that is not prepared and cannot be
            downloaded; one that is no image classification; an unwritable cache.
    """
    data = _BUILDERS[name]() if name in _BUILDERS else _read(name, data_dir, notice)
    info = _limited(data.info, train_limit, test_limit)
    n, m = info.train_size, info.test_size
    return Dataset(info, data.x_train[:n], data.y_train[:n], data.x_test[:m], data.y_test[:m])
