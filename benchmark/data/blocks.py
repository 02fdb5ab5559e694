"""MNIST digits above or below a block that says nothing about the class: 56x28, truth known.

| name | the other block | the digit is |
| --- | --- | --- |
| `block_mnist` | a square with an X | above or below, at random |
| `block_mnist_top` | a square with an X | above |
| `distractor_mnist` | the letter A | above or below, at random |

The truth is the 28x28 half that holds the digit: an attribution can be right only there. Training
and test images are MNIST's, in its order; where the digit of image i goes depends on i alone.

References: Shah et al., arXiv 2102.12781 (BlockMNIST); Srinivas et al., arXiv 2305.19101
(distractor). Square and letter are drawn anew: both papers' differ in thickness and size.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from pellucid.benchmark.data.dataset import Dataset, Info
from pellucid.models.types import Array

NAMES = ("block_mnist", "block_mnist_top", "distractor_mnist")

SIDE = 28
"""Height and width of a block, in pixels."""
HALF_WIDTH = 1.25
"""Half the thickness of a drawn line, in pixels."""
TRAIN, TEST = 0, 1
"""Seeds of the order of the blocks."""

Point = tuple[float, float]
"""Row and column."""

A, B, C, D = (5, 5), (5, 22), (22, 22), (22, 5)
CROSSED_SQUARE: Sequence[tuple[Point, Point]] = ((A, B), (B, C), (C, D), (D, A), (A, C), (B, D))
"""The lines of the square with an X."""
LETTER_A: Sequence[tuple[Point, Point]] = (
    ((5, 13.5), (22, 6)),
    ((5, 13.5), (22, 21)),
    ((16, 9), (16, 18)),
)
"""The lines of the letter A: two legs and a bar."""


def _drawing(lines: Sequence[tuple[Point, Point]]) -> Array:
    """White lines on black, `(28, 28, 1)` uint8; a pixel at an edge is grey."""
    pixels = np.moveaxis(np.indices((SIDE, SIDE), np.float64), 0, -1)
    nearest = np.full((SIDE, SIDE), np.inf)
    for start, end in lines:
        line = np.subtract(end, start)
        along = np.clip((pixels - start) @ line / (line @ line), 0, 1)
        offset = pixels - start - along[..., None] * line
        nearest = np.minimum(nearest, np.hypot(offset[..., 0], offset[..., 1]))
    brightness = np.clip(HALF_WIDTH + 0.5 - nearest, 0, 1)
    return np.round(255 * brightness).astype(np.uint8)[..., None]


def _halves(name: str, n: int, seed: int) -> Array:
    """Which half holds the digit, `(n,)`: 0 the upper, 1 the lower."""
    if name == "block_mnist_top":
        return np.zeros(n, np.intp)
    return (np.random.default_rng(seed).random(n) < 0.5).astype(np.intp)


def _images(digits: Array, other: Array, halves: Array) -> tuple[Array, Array]:
    """Images `(n, 56, 28, 1)` uint8 and where their digit is, `(n, 56, 28)` bool."""
    n, each = len(digits), np.arange(len(digits))
    x = np.empty((n, 2, SIDE, SIDE, 1), np.uint8)
    x[each, halves], x[each, 1 - halves] = digits, other
    truth = np.zeros((n, 2, SIDE, SIDE), bool)
    truth[each, halves] = True
    return x.reshape(n, 2 * SIDE, SIDE, 1), truth.reshape(n, 2 * SIDE, SIDE)


def describe(name: str, mnist: Info) -> Info:
    """What is known of a set of `NAMES`, from what is known of MNIST."""
    what = "the letter A" if name == "distractor_mnist" else "a square with an X"
    source = f"{mnist.source}; {what} added by this program"
    shape = (2 * SIDE, SIDE, 1)
    return replace(mnist, name=name, version="1.0.0", shape=shape, source=source, truth=True)


def build(name: str, mnist: Dataset) -> Dataset:
    """A set of `NAMES` from MNIST, or from its first images: each becomes one image."""
    other = _drawing(LETTER_A if name == "distractor_mnist" else CROSSED_SQUARE)
    (x_train, truth_train), (x_test, truth_test) = (
        _images(digits, other, _halves(name, len(digits), seed))
        for digits, seed in ((mnist.x_train, TRAIN), (mnist.x_test, TEST))
    )
    return Dataset(
        describe(name, mnist.info),
        x_train,
        mnist.y_train,
        x_test,
        mnist.y_test,
        truth_train,
        truth_test,
    )
