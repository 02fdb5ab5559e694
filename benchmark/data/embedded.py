"""Data sets that need no download: scikit-learn's digits and the paper's two Gaussians."""

import importlib
from collections.abc import Callable

import numpy as np

from pellucid.benchmark.data.dataset import Dataset, Info
from pellucid.models.types import Array


def digits() -> Dataset:
    """scikit-learn's digits: 1,797 real 8x8 images, 1,200 to train and 597 to test.

    The split is stratified by class and fixed.
    """
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    raw = load_digits()
    x = np.round(raw.images * (255 / 16)).astype(np.uint8)[..., None]
    y = raw.target.astype(np.int32)
    train, test = train_test_split(np.arange(len(y)), test_size=597, stratify=y, random_state=0)
    info = Info("digits", "1.0.0", len(train), len(test), (8, 8, 1), 10, source="scikit-learn")
    return Dataset(info, x[train], y[train], x[test], y[test])


def gaussians(seed: int = 0) -> Dataset:
    """The toy of section 2.2: two Gaussians in the plane, 3,000 points each.

    Both coordinates are scaled together, so that the training points fill the pixel box: the
    paper's [-1, 1] is [0, 1] here. The test points are a second draw at the same scale.

    Args:
        seed: Of the draws.
    """
    mean, covariance = np.array([1.2, 0.1]), np.array([[0.1, -0.01], [-0.01, 0.002]])
    rng = np.random.default_rng(seed)

    def draw() -> Array:
        return np.concatenate([rng.multivariate_normal(m, covariance, 3000) for m in (mean, -mean)])

    train, test = draw(), draw()
    low, high = train.min(), train.max()
    y = np.repeat(np.array([0, 1], np.int32), 3000)
    x_train, x_test = (
        np.clip((v - low) / (high - low), 0, 1).astype(np.float32) for v in (train, test)
    )
    info = Info("gaussians", "1.0.0", 6000, 6000, (2,), 2, source="made by this program")
    return Dataset(info, x_train, y, x_test, y)


EMBEDDED: dict[str, str] = {
    "digits": "embedded",
    "gaussians": "embedded",
}
"""Data sets that need no download, and the module of this package that has the builder."""


DRAWN: dict[str, Callable[[int], Dataset]] = {"gaussians": gaussians}
"""Data sets that are drawn from a distribution: each base-model seed has a draw of its own."""


def draw_of(seed: int, name: str) -> int:
    """The draw of a data set that a base-model seed uses; 0, the set itself, where it is fixed."""
    return seed if name in DRAWN else 0


def drawn(data: Dataset, draw: int) -> Dataset:
    """Another draw of a data set, with as many points; draw 0 is the set itself."""
    if draw == 0:
        return data
    other, n, m = DRAWN[data.info.name](draw), data.info.train_size, data.info.test_size
    return Dataset(
        data.info, other.x_train[:n], other.y_train[:n], other.x_test[:m], other.y_test[:m]
    )


def build(name: str) -> Dataset:
    """A data set of `EMBEDDED`; its builder has its name."""
    module = importlib.import_module(f"pellucid.benchmark.data.{EMBEDDED[name]}")
    return getattr(module, name)()
