"""Several networks trained at once, which differ in initial weights, order of batches and mask.

Small networks leave most of an accelerator idle. There are three ways to train several, with the
same results except for rounding:

    one   one after the other, one program call each
    map   one after the other, all in one program
    vmap  side by side; the convolutions of a step become one grouped convolution

On a CPU one at a time is best, and TensorFlow has no other way here. On an accelerator `ways`
measures which is quickest.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from pellucid.benchmark.training.classifier import (
    EpochMeans,
    Shared,
    TrainingVariant,
    check_training,
    history_of,
    shared_arguments,
    train,
    training_program,
)
from pellucid.benchmark.training.masks import Mask
from pellucid.models import backend
from pellucid.models.errors import InputError, unknown
from pellucid.models.functional import State, program, state
from pellucid.models.types import Array, Tensor

WAYS = ("one", "map", "vmap")


def _lifted(run: Callable, lift: Callable[[Callable], Callable]) -> Callable:
    """A program that makes the runs of several networks: what is theirs has a further first axis.

    Args:
        run: One network's run, from `training_program`.
        lift: `backend.vmap` or `backend.map_`.
    """

    def runs(
        vectors: Tensor,
        others: list[Tensor],
        keys: Tensor,
        masks: list[Tensor] | None,
        shared: Shared,
        numbers: Tensor,
    ) -> tuple:
        # without an adversary, whose radius could rise
        return lift(lambda *own: run(*own, shared, numbers, 0))(vectors, others, keys, masks)

    return runs


def _stacked(values: Sequence[Sequence[Tensor] | None]) -> list[Tensor] | None:
    """One sequence of tensors per network, as one with a first axis of networks; None for None."""
    present = [one for one in values if one is not None]
    if not present:
        return None
    return [backend.stack(list(column)) for column in zip(*present, strict=True)]


def train_together(
    models: Sequence[keras.Model],
    x: Array | Tensor,
    y: Array,
    *,
    seeds: Sequence[int],
    masks: Sequence[Mask] | None = None,
    way: str = "one",
    epochs: int,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    compute: str = "float32",
    reshuffle: bool = True,
) -> list[tuple[State, list[EpochMeans]]]:
    """Trains several networks of one structure from their present weights, which do not change.

    Args:
        models: The networks.
        x: Training images `(n, ...)`, as for `classifier.train`.
        y: Labels `(n,)`, integers.
        seeds: One per network, as for `classifier.train`.
        masks: One per network, all with the same ranks; None where no pixels are removed.
        way: One of `WAYS`.
        epochs: Passes over the data, at least 1.
        batch_size: Images per step, at least 1.
        learning_rate: Adam's.
        compute: As for `classifier.train`.
        reshuffle: As for `classifier.train`.

    Returns:
        For each network the trained values of its variables and its history, as `classifier.train`.

    Raises:
        InputError: As `classifier.train`; also for masks with different ranks, or a way that does
            not exist or needs another backend.
    """
    if way not in WAYS:
        raise unknown("way to train several networks", way, WAYS)
    if way != "one" and not backend.WHOLE_RUNS:
        raise InputError("Several networks at once need KERAS_BACKEND=jax.")
    if masks and any(mask.ranks is not masks[0].ranks for mask in masks):
        raise InputError("Networks that are trained together must share their `ranks`.")
    mask_of: list[Mask | None] = list(masks) if masks else [None] * len(models)
    if way == "one":
        return [
            train(
                model,
                x,
                y,
                seed=seed,
                mask=mask,
                epochs=epochs,
                batch_size=batch_size,
                learning_rate=learning_rate,
                compute=compute,
                reshuffle=reshuffle,
            )
            for model, seed, mask in zip(models, seeds, mask_of, strict=True)
        ]

    first, mask = models[0], mask_of[0]
    check_training(first, x, y, epochs=epochs, batch_size=batch_size, mask=mask)
    size = min(batch_size, len(x))
    variant = TrainingVariant(size, None, mask is not None, compute, reshuffle)
    lift = backend.map_ if way == "map" else backend.vmap
    one = training_program(first, variant)
    run = program(
        first,
        ("train", variant, way),
        lambda _: _lifted(one, lift),
        any_length=False,
        exact=compute == "float32",
    )
    values = [state(model) for model in models]
    arguments = (
        backend.stack([backend.flatten(value.trainable) for value in values]),
        _stacked([value.other for value in values]),
        backend.stack([backend.key(seed) for seed in seeds]),
        _stacked([each.tensors() if each else None for each in mask_of]),
    )
    shared = shared_arguments(x, y, learning_rate, mask.ranks if mask else None, None)
    vectors, others, losses, accuracies = run(*arguments, shared, np.arange(1, epochs + 1))
    shapes = [tuple(v.shape) for v in first.trainable_variables]
    return [
        (
            State(backend.unflatten(vectors[i], shapes), [other[i] for other in others]),
            history_of(loss, accuracy),
        )
        for i, (loss, accuracy) in enumerate(zip(losses, accuracies, strict=True))
    ]
