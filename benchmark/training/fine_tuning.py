"""Fine-tuning on images without random pixels, for F-Fidelity.

In every epoch each image loses a fraction of its pixels that is drawn anew, uniformly and without
regard to any attribution: the network learns what missing pixels look like, and nothing of which
ones an attribution would remove.

Reference: Zheng et al., arXiv 2410.02970; Adam at 1e-4 as in the authors' program.
"""

from collections.abc import Callable

import keras
import numpy as np

from pellucid.benchmark.training.classifier import EpochMeans, train
from pellucid.benchmark.training.masks import Mask
from pellucid.metrics.f_fidelity import BETA
from pellucid.metrics.ranking import MOST_PIXELS
from pellucid.models import KERAS_LOCK
from pellucid.models.batching import to_device
from pellucid.models.errors import InputError
from pellucid.models.functional import State, assign, state
from pellucid.models.types import Array, Tensor

LEARNING_RATE = 1e-4
"""Adam's, a tenth of the rate at which networks are trained."""


def random_orders(shape: tuple[int, int, int], *, seed: int, epoch: int) -> Array:
    """An order of the pixels for every image, each as likely as any other.

    Args:
        shape: `(n, h, w)`.
        seed: Seed of the fine-tuning.
        epoch: The epoch's number: another one has other orders.

    Returns:
        `(n, h, w)` uint16: a permutation of 0 .. h w - 1 in each image.

    Raises:
        InputError: An image has more than 65,536 pixels.
    """
    n, pixels = shape[0], shape[1] * shape[2]
    if pixels > MOST_PIXELS:
        raise InputError(f"An image may have at most {MOST_PIXELS:,} pixels. Received {pixels:,}.")
    orders = np.tile(np.arange(pixels, dtype=np.uint16), (n, 1))
    np.random.default_rng([seed, epoch]).permuted(orders, axis=1, out=orders)
    return orders.reshape(shape)


def order_seed(seed: int, epoch: int) -> int:
    """The seed of `classifier.train` for an epoch: of the order of its batches."""
    return int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])


def fine_tune(
    model: keras.Model,
    x: Array | Tensor,
    y: Array,
    *,
    seed: int,
    epochs: int,
    fill: Array,
    fraction: float = BETA,
    batch_size: int = 100,
    learning_rate: float = LEARNING_RATE,
    compute: str = "float32",
    progress: Callable[[int, EpochMeans], None] | None = None,
) -> tuple[State, list[EpochMeans]]:
    """Trains a classifier further, on images that lose random pixels in every epoch.

    Every epoch is a run of `classifier.train` of its own: Adam's moments begin at zero in each. The
    model itself stays as it is.

    Args:
        model: The classifier, at the weights to begin with.
        x: Training images `(n, h, w, c)`, uint8 or float32 in [0, 1].
        y: Labels `(n,)`, integers.
        seed: Seed of the pixels and of the order of the batches.
        epochs: Passes over the data, at least 1.
        fill: `(c,)`: what a removed pixel becomes, the training set's channel means.
        fraction: Share of the pixels that every image loses, in (0, 1).
        batch_size: Images per step.
        learning_rate: Adam's.
        compute: As for `classifier.train`.
        progress: Called with the number of each epoch, from 1, and its means.

    Returns:
        The trained values of the model's variables, and one `EpochMeans` per epoch.

    Raises:
        InputError: As `classifier.train`.
    """
    if epochs < 1:
        raise InputError(f"`epochs` must be at least 1. Received {epochs}.")
    with KERAS_LOCK:
        trained = keras.models.clone_model(model)
    assign(trained, state(model))
    x = to_device(x)
    history: list[EpochMeans] = []
    for epoch in range(1, epochs + 1):
        ranks = random_orders(tuple(x.shape[:3]), seed=seed, epoch=epoch)
        values, means = train(
            trained,
            x,
            y,
            seed=order_seed(seed, epoch),
            epochs=1,
            batch_size=batch_size,
            learning_rate=learning_rate,
            mask=Mask(ranks, fraction, "roar", fill),
            compute=compute,
        )
        assign(trained, values)
        history += means
        if progress:
            progress(epoch, means[0])
    return values, history
