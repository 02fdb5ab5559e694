"""Several networks trained at once: retrainings that differ in initial weights, order of batches and mask alone.

Small networks leave most of an accelerator idle. There are four ways to train several, with the
same results but for rounding:

    one      one after the other, a program call each
    map      one after the other, all in one program
    vmap     side by side; a step's convolutions become one grouped convolution
    shifted  side by side; convolutions written as shifted slices and batched matrix products

On a CPU one at a time is best, and TensorFlow has no other way here.
"""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from robust_interpretability.benchmark.training.classifier import (
    Epoch,
    Kind,
    Mask,
    check,
    epochs_of,
    fixed_arguments,
    train,
    training_program,
)
from robust_interpretability.models import backend
from robust_interpretability.models.errors import InputError, unknown
from robust_interpretability.models.functional import State, program, state

WAYS = ("one", "map", "vmap", "shifted")


def chosen() -> tuple[str, int]:
    """The way that is best on this device, and how many networks at once.

    Accelerators have not been measured yet.
    """
    return "one", 1


def _mapped(run: Callable) -> Callable:
    """A program that makes the runs of several networks one after the other."""

    def every(vectors, others, keys, masks, fixed, numbers):  # noqa: ANN001, ANN202
        return backend.map_(lambda *own: run(*own, fixed, numbers))(vectors, others, keys, masks)

    return every


def _stacked(values: Sequence[Any]) -> Any:
    """Tuples or lists of tensors, one a network, as one with a first axis of networks; None stays None."""
    if values[0] is None:
        return None
    return [backend.stack(list(column)) for column in zip(*values, strict=True)]


def train_together(
    models: Sequence[keras.Model],
    x: Any,
    y: np.ndarray,
    *,
    seeds: Sequence[int],
    masks: Sequence[Mask] | None = None,
    way: str = "one",
    epochs: int,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    compute: str = "float32",
) -> list[tuple[State, list[Epoch]]]:
    """Trains several networks of one structure from their present weights, which stay as they are.

    Args:
        models: The networks.
        x: Training images `(n, ...)`, as for `training.fit`.
        y: Labels `(n,)`.
        seeds: One for each network.
        masks: One for each network, all with the same ranks; None for whole images.
        way: One of `WAYS`.
        epochs: As for `fit`.
        batch_size: As for `fit`.
        learning_rate: As for `fit`.
        compute: As for `fit`.

    Returns:
        For each network the trained values of its variables, and its history: what `training.train`
        returns.

    Raises:
        InputError: As `fit`; masks with different ranks; a way that this backend does not know.
    """
    if way not in WAYS:
        raise unknown("way to train several networks", way, WAYS)
    if way != "one" and not backend.WHOLE_RUNS:
        raise InputError("Several networks at once need KERAS_BACKEND=jax.")
    if masks and any(mask.ranks is not masks[0].ranks for mask in masks):
        raise InputError("Networks that are trained together must share their `ranks`.")
    own_masks: list[Mask | None] = list(masks) if masks else [None] * len(models)
    options = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "compute": compute,
    }
    if way == "one":
        return [
            train(model, x, y, seed=seed, mask=mask, **options)  # type: ignore[arg-type]
            for model, seed, mask in zip(models, seeds, own_masks, strict=True)
        ]
    first, mask = models[0], own_masks[0]
    check(first, x, y, epochs, batch_size, mask)
    kind = Kind(
        min(batch_size, len(x)), None, mask is not None, compute, way != "map", way == "shifted"
    )
    values = [state(model) for model in models]
    arguments = (
        backend.stack([backend.flatten(own.trainable) for own in values]),
        _stacked([own.other for own in values]),
        backend.stack([backend.key(seed) for seed in seeds]),
        _stacked([own.arguments() if own else None for own in own_masks]),
    )
    run = training_program(first, kind)
    if way == "map":
        alone = run
        run = program(first, ("train", kind, "map"), lambda _: _mapped(alone), any_length=False)
    fixed = fixed_arguments(x, y, learning_rate, mask, None)
    vectors, others, losses, accuracies = run(*arguments, fixed, np.arange(1, epochs + 1))
    if way != "map":  # there the epochs come first
        losses, accuracies = ops.transpose(losses), ops.transpose(accuracies)
    shapes = [tuple(v.shape) for v in first.trainable_variables]
    return [
        (
            State(backend.unflatten(vectors[i], shapes), [other[i] for other in others]),
            epochs_of(loss, accuracy),
        )
        for i, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True))
    ]
