"""What tells whether a network knows the test images: their errors, still and slightly shifted.

Three signs, which `flags.contaminated` judges:

*Near misses.* A network that has never seen an image is as unsure of some that it gets wrong as of
some that it gets right: near the boundary between the label and the next class lie both. A network
that has learned the labels by heart has right ones there alone. Of the right images, take the 60
with the smallest margin between the label's logit and the next; the near misses are the wrong
images whose absolute margin is no larger.

*A small shift.* An image that is shifted by a thirty-second of its width is another image of its
class. A network that saw neither loses some right images by it and gains some wrong ones; one that
was trained on the image loses far more than it gains. Each image is shifted in one of four
directions by turns, once, so that images are independent.

*Training against test.* A network is not more accurate on test images than on training images.

A run's `contamination.csv` has the counts. In those of `docs/results`, that saw no test image, near
misses are 15 to 28 of 100 images nearest the boundary on digits and 30 to 52 on MNIST, and a shift
gains 21 to 30 for every 100 images that it changes on MNIST. What networks that know the images do
is in `tests/benchmark/test_contamination.py`. A look-up that errs on purpose is not found: anyone
has the test images, so nothing can be kept from a network whose author wants to deceive.

Reference: Yeom et al., arXiv 1709.01604 (a network gives away what it was trained on); Recht et
al., arXiv 1806.00451 (test sets that were seen); McCrary, Journal of Econometrics 142, 2008 (a
density that breaks off at a threshold).
"""

import keras
import numpy as np

from pellucid.benchmark.robustness.counts import NEAR_HITS, Contamination
from pellucid.models.checks import as_floats
from pellucid.models.functional import predict
from pellucid.models.types import Array

WIDTHS = 1 / 32
"""The shift, in widths of an image: one pixel of CIFAR-10."""
DIRECTIONS = ((0.0, 1.0), (1.0, 0.0), (0.0, -1.0), (-1.0, 0.0))
"""Down and across, of which image i takes number i mod 4."""


def near_misses(logits: Array, y: Array, *, hits: int = NEAR_HITS) -> tuple[int, int]:
    """Right and wrong images nearest the boundary between the label and the next class.

    Args:
        logits: `(n, classes)`.
        y: Labels `(n,)`.
        hits: How many right images.

    Returns:
        The number of right images, at most `hits`, and the number of wrong ones whose absolute
        margin is no larger than that of the last of them.
    """
    places = np.arange(len(y))
    of_label = logits[places, y]
    others = np.array(logits)
    others[places, y] = -np.inf
    margins = np.abs(of_label - others.max(axis=1))
    right = logits.argmax(axis=1) == y
    nearest = np.sort(margins[right])[:hits]
    if not len(nearest):
        return 0, int((~right).sum())
    return len(nearest), int((margins[~right] <= nearest[-1]).sum())


def shifted(x: Array, length: float) -> Array:
    """Images shifted by some pixels, each in one of four directions by its place.

    Args:
        x: Images `(n, h, w, c)`, floats.
        length: In pixels; between pixels, bilinear.

    Returns:
        `(n, h, w, c)` float32. What comes in at an edge repeats the edge.
    """
    from scipy import ndimage

    out = np.empty(x.shape, np.float32)
    for number, direction in enumerate(DIRECTIONS):
        moved = [0.0, *(length * along for along in direction), 0.0]
        ndimage.shift(x[number::4], moved, out[number::4], order=1, mode="nearest")
    return out


def evaluate(
    model: keras.Model, x_train: Array, y_train: Array, x: Array, y: Array
) -> Contamination:
    """Counts what tells whether a network has seen the test images.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x_train: Training images `(m, h, w, c)`, uint8 or floats in [0, 1].
        y_train: Labels `(m,)`.
        x: Test images `(n, h, w, c)`, as the training images.
        y: Labels `(n,)`.

    Returns:
        The counts.
    """
    logits = predict(model, x)
    right = logits.argmax(axis=1) == y
    hits, misses = near_misses(logits, y)
    length = x.shape[2] * WIDTHS
    then = predict(model, shifted(as_floats(x), length)).argmax(axis=1) == y
    return Contamination(
        train_hits=int((predict(model, x_train).argmax(axis=1) == y_train).sum()),
        train_examples=len(y_train),
        test_hits=int(right.sum()),
        test_examples=len(y),
        near_hits=hits,
        near_misses=misses,
        shift=length,
        gained=int((then & ~right).sum()),
        lost=int((right & ~then).sum()),
    )
