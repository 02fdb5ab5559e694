"""Standard, adversarial and masked training of a classifier, and its predictions: one `fit`.

Images and labels go to the device once; `program` holds what is compiled.
"""

import math
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from robust_interpretability.attacks.attack import Attack
from robust_interpretability.benchmark.training.program import (
    MaskTensors,
    TrainingVariant,
    shared_arguments,
    training_program,
)
from robust_interpretability.metrics import MODES
from robust_interpretability.metrics.masking import masked, pixel_count
from robust_interpretability.models import backend
from robust_interpretability.models.adam import adam_start
from robust_interpretability.models.batching import in_batches, to_device
from robust_interpretability.models.checks import check_images, check_labels
from robust_interpretability.models.errors import InputError, unknown
from robust_interpretability.models.functional import (
    State,
    assign,
    logits_of,
    pixels,
    predict,
    program,
    state,
)
from robust_interpretability.models.types import Array, Tensor


class Mask(NamedTuple):
    """Which pixels are removed from images.

    Attributes:
        ranks: `(n, h, w)` uint16, one order of the pixels per image, 0 the most important pixel; an
            array or a tensor.
        fraction: Share of the pixels that is removed (`"roar"`) or kept (`"kar"`), in (0, 1).
        mode: `"roar"` or `"kar"`.
        fill: `(c,)` float32: what a removed pixel becomes, in [0, 1].
    """

    ranks: Array | Tensor
    fraction: float
    mode: str
    fill: Array

    def tensors(self) -> MaskTensors:
        """`(count, keep, fill)` for `metrics.masking.masked`, on the device.

        Raises:
            InputError: An unknown mode, or a fraction outside (0, 1).
        """
        if self.mode not in MODES:
            raise unknown("mode", self.mode, MODES)
        count = pixel_count(self.fraction, math.prod(self.ranks.shape[1:]))
        return (
            to_device(np.asarray(count, np.int32)),
            to_device(np.asarray(MODES[self.mode].top_pixels == "kept")),
            to_device(np.asarray(self.fill, np.float32)),
        )


class EpochMeans(NamedTuple):
    """Means over the batches of one epoch, as they were trained on.

    Attributes:
        loss: Cross-entropy.
        accuracy: Accuracy.
    """

    loss: float
    accuracy: float


class FitResult(NamedTuple):
    """A trained model and its history, one `EpochMeans` per epoch."""

    model: keras.Model
    history: list[EpochMeans]


def check_training(
    model: keras.Model,
    x: Array | Tensor,
    y: Array,
    *,
    epochs: int,
    batch_size: int,
    mask: Mask | None,
) -> None:
    """Refuses what a model cannot be trained on.

    Raises:
        InputError: As `fit`.
    """
    check_images(x)
    check_labels(y, len(x), int(model.output_shape[-1]))
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise InputError(f"`{name}` must be at least 1. Received {value}.")
    if mask is not None and tuple(mask.ranks.shape) != tuple(x.shape[:3]):
        raise InputError(
            f"`mask.ranks` must have shape {tuple(x.shape[:3])}. Received"
            f" {tuple(mask.ranks.shape)}."
        )


def history_of(losses: Tensor, accuracies: Tensor) -> list[EpochMeans]:
    """A run's history from its means, both `(epochs,)`."""
    pairs = zip(ops.convert_to_numpy(losses), ops.convert_to_numpy(accuracies), strict=True)
    return [EpochMeans(float(loss), float(accuracy)) for loss, accuracy in pairs]


def train(
    model: keras.Model,
    x: Array | Tensor,
    y: Array,
    *,
    seed: int,
    epochs: int,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    attack: Attack | None = None,
    mask: Mask | None = None,
    compute: str = "float32",
    progress: Callable[[int, EpochMeans], None] | None = None,
) -> tuple[State, list[EpochMeans]]:
    """Trains from a model's present weights and leaves the model unchanged.

    One model can serve several runs at the same time.

    Args:
        model: As for `fit`.
        x: As for `fit`.
        y: As for `fit`.
        seed: As for `fit`.
        epochs: As for `fit`.
        batch_size: As for `fit`.
        learning_rate: As for `fit`.
        attack: As for `fit`.
        mask: As for `fit`.
        compute: As for `fit`.
        progress: As for `fit`.

    Returns:
        The trained values of the model's variables, and the history, one `EpochMeans` per epoch.

    Raises:
        InputError: As `fit`.
    """
    check_training(model, x, y, epochs=epochs, batch_size=batch_size, mask=mask)
    variant = TrainingVariant(
        min(batch_size, len(x)), attack.static() if attack else None, mask is not None, compute
    )
    run = training_program(model, variant)
    values = state(model)
    vector, other = backend.flatten(values.trainable), values.other
    mask_tensors = mask.tensors() if mask else None
    shared = shared_arguments(x, y, learning_rate, mask.ranks if mask else None, attack)
    key = backend.key(seed)
    history: list[EpochMeans] = []
    if backend.WHOLE_RUNS:
        numbers = np.arange(1, epochs + 1)
        vector, other, losses, accuracies = run(vector, other, key, mask_tensors, shared, numbers)
        history = history_of(losses, accuracies)
        for number, means in enumerate(history, 1):
            if progress:
                progress(number, means)
    else:
        adam = adam_start(vector)
        for number in range(1, epochs + 1):
            epoch_key = backend.fold_in(key, number)
            vector, adam, other, loss, accuracy = run(
                vector, adam, other, epoch_key, mask_tensors, shared
            )
            history.append(EpochMeans(float(loss), float(accuracy)))
            if progress:
                progress(number, history[-1])
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    return State(backend.unflatten(vector, shapes), other), history


def fit(
    model: keras.Model,
    x: Array | Tensor,
    y: Array,
    *,
    seed: int,
    epochs: int,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    attack: Attack | None = None,
    mask: Mask | None = None,
    compute: str = "float32",
    progress: Callable[[int, EpochMeans], None] | None = None,
) -> FitResult:
    """Trains a classifier in place, from its present weights, with Adam on the cross-entropy.

    With an attack this is adversarial training,

        min_w  mean  xent(f_w(x_adv), y),

    where the adversarial examples x_adv of every batch are computed against the present weights,
    inside the compiled program.

    Args:
        model: The classifier: pixels in [0, 1] to logits `(n, classes)`.
        x: Training images `(n, ...)`, uint8 or float32 in [0, 1]; an array, or a tensor on the
            device that several runs share.
        y: Labels `(n,)`, integers from 0 to classes - 1.
        seed: Seed of the order of the batches and of what an attack draws. It determines the result
            together with the initial weights.
        epochs: Passes over the data, at least 1. The data are shuffled before each (the paper never
            shuffles again).
        batch_size: Images per step, at least 1. Images left over after the last full batch of an
            epoch are not used in that epoch.
        learning_rate: Adam's.
        attack: Replace all images of every batch by their adversarial examples.
        mask: Remove pixels from every image by rank (ROAR, KAR).
        compute: `"float32"`, or `"bfloat16"` for activations and products; weights and sums stay
            float32.
        progress: Called with the number of each epoch, from 1, and its means: after the epoch with
            TensorFlow, after the run with JAX.

    Returns:
        The same model, trained, and the history, one `EpochMeans` per epoch.

    Raises:
        InputError: There are images outside [0, 1], labels that are not integers in the range of
            the classes, ranks of another shape than the images, or a number out of its range.

    Reference: arXiv 1706.06083 for adversarial training; arXiv 1806.10758 for masked training.
    """
    values, history = train(
        model,
        x,
        y,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        attack=attack,
        mask=mask,
        compute=compute,
        progress=progress,
    )
    assign(model, values)
    return FitResult(model, history)


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
