"""What a data set for classification consists of."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from pellucid.models.types import Array

PUBLISHED = {
    "cifar10": (
        "airplane",
        "automobile",
        "bird",
        "cat",
        "deer",
        "dog",
        "frog",
        "horse",
        "ship",
        "truck",
    ),
}
"""Names of classes, in order, that TFDS keeps only where it prepared the set from its source."""


@dataclass(frozen=True)
class Info:
    """What is known of a data set without reading its images.

    Attributes:
        name: Its name, with the configuration where it has several: `mnist`, `smallnorb`, `a/b`.
        version: Its version, `MAJOR.MINOR.PATCH`.
        train_size: Number of training images.
        test_size: Number of test images.
        shape: Shape of an image, `(h, w, c)`; of the toy, `(2,)`.
        num_classes: Number of classes.
        source: Where the images come from, without a path of this machine.
        folder: The folder the images were read from; None where they come with a package.
        truth: Whether it is known which pixels of an image tell the classes apart.
    """

    name: str
    version: str
    train_size: int
    test_size: int
    shape: tuple[int, ...]
    num_classes: int
    source: str = ""
    folder: str | None = None
    truth: bool = False

    @property
    def class_names(self) -> tuple[str, ...]:
        """Names of the classes, as TensorFlow Datasets keeps them; numbers where unknown."""
        files = Path(self.folder).glob("*.labels.txt") if self.folder else ()
        named = [tuple(file.read_text(encoding="utf-8").splitlines()) for file in files]
        fitting = [names for names in named if len(names) == self.num_classes]
        if len(fitting) == 1:
            return fitting[0]
        if len(PUBLISHED.get(self.name, ())) == self.num_classes:
            return PUBLISHED[self.name]
        return tuple(str(number) for number in range(self.num_classes))


@dataclass(frozen=True)
class Dataset:
    """A data set for classification.

    Attributes:
        info: Name, version, sizes and source.
        x_train: `(n, h, w, c)` uint8; the toy: `(n, 2)` float32 in [0, 1].
        y_train: `(n,)` int32.
        x_test: As `x_train`.
        y_test: As `y_train`.
        truth_train: `(n, h, w)` bool: the pixels that tell the classes apart, where that is known.
        truth_test: As `truth_train`.
    """

    info: Info
    x_train: Array = field(repr=False)
    y_train: Array = field(repr=False)
    x_test: Array = field(repr=False)
    y_test: Array = field(repr=False)
    truth_train: Array | None = field(default=None, repr=False)
    truth_test: Array | None = field(default=None, repr=False)

    def sha256(self) -> str:
        """Hash of images, labels and the truth where it is known, shapes and types included."""
        digest = hashlib.sha256()
        arrays = [self.x_train, self.y_train, self.x_test, self.y_test]
        arrays += [truth for truth in (self.truth_train, self.truth_test) if truth is not None]
        for array in arrays:
            digest.update(f"{array.dtype.str} {array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data)
        return digest.hexdigest()

    def channel_means(self) -> Array:
        """Mean of each channel over the training set, `(c,)` float32 in [0, 1]."""
        mean = self.x_train.mean(axis=tuple(range(self.x_train.ndim - 1)), dtype=np.float64)
        return (mean / 255 if self.x_train.dtype == np.uint8 else mean).astype(np.float32)
