"""Image-classification sets of TensorFlow Datasets (TFDS).

A set is decoded once (see `cache`). Without TensorFlow, decoded copies are read.
"""

import importlib.util
import os
import re
import socket
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pellucid.benchmark.data import blocks, cache, tetrominoes
from pellucid.benchmark.data.dataset import Dataset, Info
from pellucid.benchmark.data.embedded import EMBEDDED
from pellucid.models.errors import InputError, unknown

if TYPE_CHECKING:
    from tensorflow_datasets.core import DatasetBuilder

Notice = Callable[[str], None]


def tfds_folder(data_dir: str | None = None) -> Path:
    """Where TFDS sets are looked for: `data_dir`, else `TFDS_DATA_DIR`, else TFDS's own default."""
    return Path(data_dir or os.environ.get("TFDS_DATA_DIR") or "~/tensorflow_datasets").expanduser()


def describe(name: str, data_dir: str | None, *, download: bool = True) -> Info:
    """What is known of a set without decoding an image.

    Args:
        name: The set.
        data_dir: The TFDS folder.
        download: Whether a set that is not prepared is downloaded.

    Raises:
        InputError: As `load`.
    """
    if has_tensorflow():
        return _inspect(_builder(name, data_dir, download=download)).info
    return _decoded(name, data_dir).info


def load(name: str, data_dir: str | None, notice: Notice) -> Dataset:
    """A set from its decoded copy; with TensorFlow it is prepared and decoded first if need be.

    Raises:
        InputError: Unknown name; a set that cannot be opened or downloaded, or is not an image
            classification; an unwritable cache; without TensorFlow, no copy decoded from the
            prepared files, or several with different images.
    """
    if not has_tensorflow():
        try:
            return cache.read(_decoded(name, data_dir))
        except cache.DamagedCopyError as error:
            raise InputError(
                f"The decoded data of '{name}' are damaged ({error}), and TensorFlow, which"
                " decodes them, is not installed here."
            ) from error
    prepared = _inspect(_builder(name, data_dir))

    def batches(split: str) -> cache.Batches:
        return _batches(prepared, split, notice)

    return cache.load(prepared.info, cache.fingerprint(prepared.folder), batches, notice)


def prepared(data_dir: str | None) -> list[str]:
    """The names of the sets whose prepared files lie in the TFDS folder, as `load` takes them."""
    folder = tfds_folder(data_dir)
    found = [*folder.glob("*/*/dataset_info.json"), *folder.glob("*/*/*/dataset_info.json")]
    return sorted({"/".join(path.relative_to(folder).parts[:-2]) for path in found})


def has_tensorflow() -> bool:
    """Whether TensorFlow, which decodes TFDS sets, is installed."""
    return importlib.util.find_spec("tensorflow") is not None


def _builder(name: str, data_dir: str | None, *, download: bool = True) -> "DatasetBuilder":
    """The TFDS builder, its data prepared (downloaded if need be and allowed)."""
    # else TensorFlow asks the network whether it runs at Google
    os.environ.setdefault("NO_GCE_CHECK", "true")
    import tensorflow_datasets as tfds

    folder = tfds_folder(data_dir)
    names = tfds.list_builders(with_community_datasets=False)
    base = re.split("[/:]", name, maxsplit=1)[0]
    if base not in names and not (folder / base).is_dir():
        raise unknown("dataset", name, (*EMBEDDED, *blocks.NAMES, *tetrominoes.NAMES, *names))
    try:
        builder = tfds.builder(name, data_dir=folder, try_gcs=False)
    except (tfds.core.DatasetNotFoundError, ValueError) as error:
        raise InputError(
            f"Data set '{name}' cannot be opened in {folder} ({_first_line(error)})."
        ) from error
    if not builder.data_path.exists():
        if not download:
            raise InputError(f"Data set '{name}' is not prepared in {builder.data_path}.")
        try:
            _check_network(builder.url_infos)
            builder.download_and_prepare()
        except Exception as error:  # anything from a closed network to a full disk
            raise InputError(
                f"Data set '{name}' is not prepared in {folder} and could not be downloaded"
                f" ({_first_line(error)}). Prepare it where there is a network with `python -m"
                f" tensorflow_datasets build {name} --data_dir FOLDER` and pass --data-dir FOLDER."
            ) from error
    return builder


def _check_network(urls: Iterable[str]) -> None:
    """Fails at once, and before a file is written, where TFDS would retry for minutes.

    Raises:
        OSError: A host that the data comes from has no address here, and no proxy is set.
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


class _Prepared(NamedTuple):
    """A prepared set, and the names that decoding it takes.

    Attributes:
        builder: TFDS's builder.
        folder: The folder of its files.
        info: The data set.
        test: Name of the split to test on.
        image: Name of the image feature.
        label: Name of the label feature.
    """

    builder: "DatasetBuilder"
    folder: Path
    info: Info
    test: str
    image: str
    label: str


def _inspect(builder: "DatasetBuilder") -> _Prepared:
    """Checks that a set is an image classification.

    Raises:
        InputError: It has no image or no class label, or several; images of several sizes, or not
            of bytes; or no splits to train and test on.
    """
    name, splits = builder.info.name, builder.info.splits
    test = "test" if "test" in splits else "validation"
    image, label, wrong = _image_and_label(builder)
    features = builder.info.features
    if image and None in (shape := features[image].shape):
        wrong.append(f"{image} has the shape {shape}; images of one size are needed")
    elif image and (kind := np.dtype(features[image].np_dtype)) != np.uint8:
        wrong.append(f"{image} is of {kind}; uint8 is needed")
    if label and features[label].num_classes is None:
        wrong.append(f"{label} does not say how many classes there are")
    if missing := [split for split in ("train", test) if split not in splits]:
        needed = f"it has no split '{missing[0].replace('validation', 'test')}'"
        wrong.append(f"{needed}, only {', '.join(splits) or 'none'}")
    if wrong:
        raise InputError(f"Data set '{name}' does not fit: {'; '.join(wrong)}.")
    config = builder.info.config_name
    full, version = f"{name}/{config}" if config else name, str(builder.info.version)
    folder = Path(os.fspath(builder.data_path)).resolve()
    info = Info(
        full,
        version,
        splits["train"].num_examples,
        splits[test].num_examples,
        tuple(features[image].shape),
        features[label].num_classes,
        source=f"tensorflow_datasets {full}/{version}",
        folder=str(folder),
    )
    return _Prepared(builder, folder, info, test, image, label)


def _image_and_label(builder: "DatasetBuilder") -> tuple[str, str, list[str]]:
    """The names of a set's image and class label, empty where there is none, and what is wrong.

    Of several, those are taken that the set names for supervised learning.
    """
    from tensorflow_datasets import features as kinds

    features, wrong, chosen = builder.info.features, [], []
    supervised = builder.info.supervised_keys or ()
    if not isinstance(features, kinds.FeaturesDict):
        return "", "", [f"its examples are {_kind(features)}; a FeaturesDict is needed"]
    for kind, like in ((kinds.Image, "image"), (kinds.ClassLabel, "label")):
        # Sorted: the order in which TFDS reads a set's features changes with the process.
        names = sorted(name for name, feature in features.items() if isinstance(feature, kind))
        names = [name for name in names if name in supervised] or names
        if len(names) > 1:
            wrong.append(f"{', '.join(names)} are {kind.__name__}; one is needed")
        elif not names:
            clear = (kinds.Image, kinds.ClassLabel)
            others = [name for name in sorted(features) if not isinstance(features[name], clear)]
            others = others or sorted(features)
            close = [name for name in others if like in name] or others
            listed = ", ".join(f"{name} is {_kind(features[name])}" for name in close)
            wrong.append(f"{listed}; {kind.__name__} is needed")
        chosen.append(names[0] if len(names) == 1 else "")
    return chosen[0], chosen[1], wrong


def _kind(feature: object) -> str:
    """What a feature is, as `Text` or `Tensor of int64`."""
    from tensorflow_datasets import features as kinds

    name = type(feature).__name__
    plain = type(feature) in (kinds.Tensor, kinds.Scalar)
    return f"{name} of {np.dtype(feature.np_dtype)}" if plain else name  # type: ignore[attr-defined]


def _batches(prepared: _Prepared, split: str, notice: Notice) -> cache.Batches:
    """The images and labels of a split, in TFDS's order."""
    import tensorflow_datasets as tfds

    size = prepared.info.train_size if split == "train" else prepared.info.test_size
    notice(f"decoding {prepared.info.name} {split} ({size:,} images), once")
    config = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False, add_tfds_id=False)
    rows = prepared.builder.as_dataset(
        split="train" if split == "train" else prepared.test,
        shuffle_files=False,
        read_config=config,
    )
    for row in tfds.as_numpy(rows.batch(1000).prefetch(1)):
        yield row[prepared.image], row[prepared.label]


def _decoded(name: str, data_dir: str | None) -> cache.Copy:
    """The decoded copy of a set, where TensorFlow is missing.

    Where the set's prepared folder is there, the copy must have been decoded from its files as they
    are. Otherwise, a copy decoded from a folder of this name elsewhere is used.

    Raises:
        InputError: There is no such copy, or there are several with different images.
    """
    base, _, version = name.partition(":")
    copies = [c for c in cache.copies() if c.info.name == base and version in ("", c.info.version)]
    folder = tfds_folder(data_dir)
    prepared = [path.parent for path in (folder / base).glob(f"{version or '*'}/dataset_info.json")]
    if prepared:
        newest = max(prepared, key=lambda path: _numbers(path.name))
        key = cache.fingerprint(newest)
        copies = [copy for copy in copies if copy.fingerprint == key]
        what = f"'{name}', as prepared in {newest},"
    else:
        last = max((_numbers(copy.info.version) for copy in copies), default=[])
        copies = [copy for copy in copies if _numbers(copy.info.version) == last]
        copies = [c for c in copies if _data_dir(c.info) == folder.resolve()] or copies
        what = f"'{name}'"
    if not copies:
        raise InputError(
            f"Data set {what} is not decoded in {cache.cache_folder()}, and TensorFlow, which"
            " decodes it, is not installed here. Run the benchmark once where it is, and copy that"
            " folder."
        )
    if any(copy.sha256 != copies[0].sha256 for copy in copies):
        folders = ", ".join(sorted(str(_data_dir(copy.info)) for copy in copies))
        raise InputError(
            f"Data set '{name}' was decoded with different images from {folders}. Pass one of"
            " them as --data-dir."
        )
    return copies[0]


def _numbers(version: str) -> list[int]:
    return [int(part) for part in version.split(".") if part.isdigit()]


def _data_dir(info: Info) -> Path:
    """The TFDS folder that holds a set's prepared folder, `NAME[/CONFIGURATION]/VERSION`."""
    return Path(info.folder or "").parents[info.name.count("/") + 1]
