"""The classes that a classifier predicts, with pixels removed or without."""

from collections.abc import Callable

import keras
import numpy as np

from pellucid.benchmark.training.masks import Mask, MaskTensors
from pellucid.metrics.masking import masked
from pellucid.models.batching import in_batches
from pellucid.models.functional import (
    State,
    logits_of,
    pixels,
    predict,
    program,
    state,
)
from pellucid.models.types import Array, Tensor


def _masked_logits(model: keras.Model) -> Callable:
    def run(
        trainable: list[Tensor], other: list[Tensor], x: Tensor, ranks: Tensor, mask: MaskTensors
    ) -> Tensor:
        return logits_of(model, State(trainable, other))(masked(pixels(x), ranks, *mask))

    return run


def predicted_classes(
    model: keras.Model,
    x: Array,
    *,
    mask: Mask | None = None,
    values: State | None = None,
    batch_size: int = 1000,
) -> Array:
    """The predicted class of every image, with pixels removed where there is a mask.

    Args:
        model: The classifier.
        x: `(n, ...)`, uint8 or float32 in [0, 1].
        mask: Which pixels to remove; its ranks are of these images.
        values: Variables to use in place of the model's, from `train`.
        batch_size: Images at a time.

    Returns:
        `(n,)` int64.

    Raises:
        InputError: As `Mask.tensors`.
    """
    values = values or state(model)
    if mask is None:
        return predict(model, x, values=values, batch_size=batch_size).argmax(-1)
    run = program(model, ("masked logits",), _masked_logits)
    tensors = mask.tensors()
    before = (values.trainable, values.other)
    logits = in_batches(run, before, [x, mask.ranks], lambda _: (tensors,), batch_size=batch_size)
    return np.concatenate([part for _, part in logits]).argmax(-1)
