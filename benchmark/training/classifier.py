"""Standard, adversarial and masked training of a classifier.

An epoch is one compiled program (with JAX, all epochs of a run are): it shuffles, gathers each
batch, removes pixels by rank where there is a mask, replaces the batch by adversarial examples
where there is an attack, and takes an Adam step. Seed, learning rate, radius, fraction and ranks
are arguments of the program, so an architecture compiles once for each `TrainingVariant`. Images
and labels go to the device once.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from pellucid.attacks.attack import Attack
from pellucid.benchmark.training.batches import batch_order
from pellucid.benchmark.training.masks import Mask, MaskTensors
from pellucid.metrics.masking import masked
from pellucid.models import backend
from pellucid.models.adam import Adam, adam_start, adam_step
from pellucid.models.batching import to_device
from pellucid.models.checks import check_images, check_labels
from pellucid.models.errors import InputError
from pellucid.models.functional import State, logits_of, pixels, program, state
from pellucid.models.precision import in_precision
from pellucid.models.types import Array, Tensor

Shared = tuple[Tensor, ...]
"""What `shared_arguments` returns."""
RADIUS = 4
"""Where the adversary's radius stands in it."""


class EpochMeans(NamedTuple):
    """Means over the batches of one epoch, as they were trained on.

    Attributes:
        loss: Cross-entropy.
        accuracy: Accuracy.
    """

    loss: float
    accuracy: float


class TrainingVariant(NamedTuple):
    """What a training program is compiled for, beside the network's structure.

    Attributes:
        batch_size: Images per step.
        attack: The static part of the adversary.
        with_mask: Whether pixels are removed.
        compute: The type in which activations and products are computed, one of
            `models.precision.COMPUTE`.
        reshuffle: Whether the order of the images is another one in each epoch.
    """

    batch_size: int
    attack: Attack | None
    with_mask: bool
    compute: str = "float32"
    reshuffle: bool = True


def training_program(model: keras.Model, variant: TrainingVariant) -> Callable:
    """The compiled program of a variant for the model's structure.

    Returns:
        With JAX, a run: `(vector, other, key, mask, shared, numbers, warmup_epochs) -> (vector,
        other, losses, accuracies)`, where `numbers` counts the epochs from 1. With TensorFlow, an
        epoch: `(vector,
        adam, other, key, mask, shared) -> (vector, adam, other, loss, accuracy)`. `vector` is the
        flat vector of trainable weights, `other` the other variables; `mask` are the tensors of a
        mask or None, `shared` those of `shared_arguments`.
    """

    def make(model: keras.Model) -> Callable:
        epoch = _epoch(variant, model)
        return _run(epoch) if backend.WHOLE_RUNS else epoch

    exact = variant.compute == "float32"
    return program(model, ("train", variant), make, any_length=False, exact=exact)


def warmed_up(shared: Shared, number: Tensor | int, warmup_epochs: Tensor | int) -> Shared:
    """What an epoch takes of `shared_arguments`: the radius rises linearly while it warms up.

    Args:
        shared: The arguments.
        number: The epoch's, from 1.
        warmup_epochs: Epochs with a smaller radius; the next has it in full.
    """
    risen = ops.cast(number, "float32") / (ops.cast(warmup_epochs, "float32") + 1)
    radius = shared[RADIUS] * ops.minimum(risen, 1.0)
    return (*shared[:RADIUS], radius, *shared[RADIUS + 1 :])


def shared_arguments(
    x: Array | Tensor,
    y: Array,
    learning_rate: float,
    ranks: Array | Tensor | None,
    attack: Attack | None,
) -> Shared:
    """What all networks that are trained together share, on the device."""
    return (
        to_device(x),
        to_device(np.asarray(y, np.int32)),
        None if ranks is None else to_device(ranks),
        to_device(np.asarray(learning_rate, np.float32)),
        to_device(np.asarray(attack.epsilon if attack else 0, np.float32)),
        to_device(np.asarray((attack.step_size or 0) if attack else 0, np.float32)),
    )


def _epoch(variant: TrainingVariant, model: keras.Model) -> Callable:
    """One epoch of one network."""
    model = in_precision(model, variant.compute)
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    attack = variant.attack.function() if variant.attack else None

    def epoch(
        vector: Tensor,
        adam: Adam,
        other: list[Tensor],
        key: Tensor,
        mask: MaskTensors | None,
        shared: Shared,
    ) -> tuple[Tensor, Adam, list[Tensor], Tensor, Tensor]:
        x, y, ranks, learning_rate, epsilon, step_size = shared
        order_key = backend.fold_in(key, 0) if variant.reshuffle else backend.key(0)
        order = batch_order(order_key, x.shape[0], variant.batch_size)
        steps = order.shape[0]

        def step(i: Tensor, carry: tuple) -> tuple:
            vector, adam, other, loss_sum, accuracy_sum = carry
            index, step_key = order[i], backend.fold_in(key, i + 1)
            images, labels = pixels(ops.take(x, index, axis=0)), ops.take(y, index, axis=0)

            if variant.with_mask:
                assert mask is not None
                images = masked(images, ops.take(ranks, index, axis=0), *mask)

            if attack:
                inference = logits_of(model, State(backend.unflatten(vector, shapes), other))
                images = attack(
                    lambda x: ops.cast(inference(x), "float32"),
                    images,
                    labels,
                    epsilon=epsilon,
                    step_size=step_size,
                    key=step_key,
                )
                images = backend.stop_gradient(images)

            def loss(vector: Tensor) -> tuple[Tensor, tuple[Tensor, list[Tensor]]]:
                weights = backend.unflatten(vector, shapes)
                logits, after, *_ = model.stateless_call(weights, other, images, training=True)
                logits = ops.cast(logits, "float32")
                value = ops.sparse_categorical_crossentropy(labels, logits, from_logits=True)
                correct = ops.cast(ops.argmax(logits, axis=-1), "int32") == labels
                return ops.mean(value), (ops.mean(ops.cast(correct, "float32")), after)

            value, (accuracy, after), gradient = backend.value_aux_and_gradient(loss, vector)
            vector, adam = adam_step(vector, gradient, adam, learning_rate)
            return vector, adam, after, loss_sum + value, accuracy_sum + accuracy

        zero = ops.zeros((), "float32")
        vector, adam, other, loss_sum, accuracy_sum = backend.fori_loop(
            steps, step, (vector, adam, other, zero, zero)
        )
        return vector, adam, other, loss_sum / steps, accuracy_sum / steps

    return epoch


def _run(epoch: Callable) -> Callable:
    """All epochs of a run as one program: a scan over their numbers."""

    def run(
        vector: Tensor,
        other: list[Tensor],
        key: Tensor,
        mask: MaskTensors | None,
        shared: Shared,
        numbers: Tensor,
        warmup_epochs: Tensor,
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        def one(carry: tuple, number: Tensor) -> tuple[tuple, tuple]:
            now = warmed_up(shared, number, warmup_epochs)
            *after, loss, accuracy = epoch(*carry, backend.fold_in(key, number), mask, now)
            return tuple(after), (loss, accuracy)

        (vector, _, other), (losses, accuracies) = backend.scan(
            one, (vector, adam_start(vector), other), numbers
        )
        return vector, other, losses, accuracies

    return run


def check_training(
    model: keras.Model,
    x: Array | Tensor,
    y: Array,
    *,
    epochs: int,
    batch_size: int,
    mask: Mask | None,
    warmup_epochs: int = 0,
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
    if not 0 <= warmup_epochs < epochs:
        raise InputError(
            "`warmup_epochs` must be at least 0 and less than the epochs of training, so that the"
            f" adversary reaches its radius. Received {warmup_epochs} of {epochs} epochs."
        )
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
    warmup_epochs: int = 0,
    mask: Mask | None = None,
    compute: str = "float32",
    reshuffle: bool = True,
    progress: Callable[[int, EpochMeans], None] | None = None,
) -> tuple[State, list[EpochMeans]]:
    """Trains a classifier from its present weights with Adam on the cross-entropy.

    The model itself stays as it is, so it can serve several runs at the same time;
    `models.functional.assign` gives it the trained values.

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
        epochs: Passes over the data, at least 1.
        batch_size: Images per step, at least 1. Images left over after the last full batch of an
            epoch are not used in that epoch.
        learning_rate: Adam's.
        attack: Replace all images of every batch by their adversarial examples.
        warmup_epochs: Over as many first epochs the attack's radius rises linearly, by the same
            amount in each and to its full length in the next; 0 for the full radius from the start.
            Fewer than `epochs`.
        mask: Remove pixels from every image by rank (ROAR, KAR).
        compute: `"float32"`; `"tf32"` for products, on accelerators with JAX; or `"bfloat16"` for
            activations and products. Weights and sums stay float32.
        reshuffle: Shuffle the data before each epoch. Without it they come in one random order in
            every epoch, the same for all seeds, as the code of arXiv 1903.11626 has one.
        progress: Called with the number of each epoch, from 1, and its means: after the epoch with
            TensorFlow, after the run with JAX.

    Returns:
        The trained values of the model's variables, and the history, one `EpochMeans` per epoch.

    Raises:
        InputError: There are images outside [0, 1], labels that are not integers in the range of
            the classes, ranks of another shape than the images, or a number out of its range.

    Reference: arXiv 1706.06083 for adversarial training; arXiv 1806.10758 for masked training.
    """
    check_training(
        model, x, y, epochs=epochs, batch_size=batch_size, mask=mask, warmup_epochs=warmup_epochs
    )
    variant = TrainingVariant(
        min(batch_size, len(x)),
        attack.static() if attack else None,
        mask is not None,
        compute,
        reshuffle,
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
        warmup = to_device(np.asarray(warmup_epochs, np.float32))
        vector, other, losses, accuracies = run(
            vector, other, key, mask_tensors, shared, numbers, warmup
        )
        history = history_of(losses, accuracies)
        for number, means in enumerate(history, 1):
            if progress:
                progress(number, means)
    else:
        adam = adam_start(vector)
        for number in range(1, epochs + 1):
            epoch_key = backend.fold_in(key, number)
            now = warmed_up(shared, number, warmup_epochs)
            vector, adam, other, loss, accuracy = run(
                vector, adam, other, epoch_key, mask_tensors, now
            )
            history.append(EpochMeans(float(loss), float(accuracy)))
            if progress:
                progress(number, history[-1])
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    return State(backend.unflatten(vector, shapes), other), history
