"""The compiled programs that train classifiers.

An epoch is one compiled program (with JAX, all epochs of a run are): it shuffles, gathers each
batch, removes pixels by rank where there is a mask, replaces the batch by adversarial examples
where there is an attack, and takes an Adam step. Seed, learning rate, radius, fraction and ranks
are arguments of the program, so an architecture compiles once for each `TrainingVariant`.
"""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from robust_interpretability.attacks.attack import Attack
from robust_interpretability.benchmark.training.batches import batch_order
from robust_interpretability.metrics.masking import masked
from robust_interpretability.models import backend
from robust_interpretability.models.adam import Adam, adam_start, adam_step
from robust_interpretability.models.batching import to_device
from robust_interpretability.models.convolution import forward, shifted
from robust_interpretability.models.functional import State, logits_of, pixels, program
from robust_interpretability.models.precision import in_precision
from robust_interpretability.models.types import Array, Tensor

MaskTensors = tuple[Tensor, Tensor, Tensor]
"""`(count, keep, fill)` for `metrics.masking.masked`."""

Shared = tuple[Tensor, ...]
"""What `shared_arguments` returns."""


class TrainingVariant(NamedTuple):
    """What a training program is compiled for, beside the network's structure.

    Attributes:
        batch_size: Images per step.
        attack: The static part of the adversary.
        with_mask: Whether pixels are removed.
        compute: `"float32"` or `"bfloat16"`: the type in which activations and products are
            computed.
        side_by_side: Whether several networks take every step together.
        shifted: Whether convolutions are written as matrix products (see `models.convolution`).
    """

    batch_size: int
    attack: Attack | None
    with_mask: bool
    compute: str = "float32"
    side_by_side: bool = False
    shifted: bool = False


def training_program(model: keras.Model, variant: TrainingVariant) -> Callable:
    """The compiled program of a variant for the model's structure.

    Returns:
        With JAX, a run: `(vector, other, key, mask, shared, numbers) -> (vector, other, losses,
        accuracies)`, where `numbers` counts the epochs from 1. With TensorFlow, an epoch: `(vector,
        adam, other, key, mask, shared) -> (vector, adam, other, loss, accuracy)`. `vector` is the
        flat vector of trainable weights, `other` the other variables; `mask` are the tensors of a
        mask or None, `shared` those of `shared_arguments`.
    """

    def make(model: keras.Model) -> Callable:
        epoch = _epoch(variant, model)
        return _run(variant, epoch) if backend.WHOLE_RUNS else epoch

    return program(model, ("train", variant), make, any_length=False)


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


def _each(variant: TrainingVariant) -> Callable[[Callable], Callable]:
    """From a function of one network to one of all networks that are trained side by side."""
    return backend.vmap if variant.side_by_side else lambda function: function


def _epoch(variant: TrainingVariant, model: keras.Model) -> Callable:
    """One epoch of one network or, side by side, of several.

    With several, all arguments but `shared` have a first axis of networks.
    """
    batch_size, with_mask = variant.batch_size, variant.with_mask
    model = in_precision(model, variant.compute)
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    attacked = variant.attack.function() if variant.attack else None
    each = _each(variant)
    layerwise = forward(model, shifted) if variant.shifted else None

    def call(
        trainable: list[Tensor], other: list[Tensor], images: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        if layerwise is not None:
            return layerwise(trainable, images), other
        return model.stateless_call(trainable, other, images, training=True)[:2]

    def epoch(
        vector: Tensor,
        adam: Adam,
        other: list[Tensor],
        key: Tensor,
        mask: MaskTensors | None,
        shared: Shared,
    ) -> tuple[Tensor, Adam, list[Tensor], Tensor, Tensor]:
        x, y, ranks, learning_rate, epsilon, step_size = shared
        order = each(
            lambda epoch_key: batch_order(backend.fold_in(epoch_key, 0), x.shape[0], batch_size)
        )(key)

        def batch(
            index: Tensor,
            vector: Tensor,
            other: list[Tensor],
            key: Tensor,
            mask: MaskTensors | None,
        ) -> tuple[Tensor, Tensor]:
            images, labels = pixels(ops.take(x, index, axis=0)), ops.take(y, index, axis=0)
            if with_mask:
                assert mask is not None
                images = masked(images, ops.take(ranks, index, axis=0), *mask)
            if attacked:
                inference = logits_of(model, State(backend.unflatten(vector, shapes), other))

                def logits(x: Tensor) -> Tensor:
                    return ops.cast(inference(x), "float32")

                images = backend.stop_gradient(
                    attacked(logits, images, labels, epsilon=epsilon, step_size=step_size, key=key)
                )
            return images, labels

        def loss(
            vector: Tensor, other: list[Tensor], images: Tensor, labels: Tensor
        ) -> tuple[Tensor, Tensor, list[Tensor]]:
            logits, after = call(backend.unflatten(vector, shapes), other, images)
            logits = ops.cast(logits, "float32")
            value = ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))
            correct = ops.cast(ops.argmax(logits, axis=-1), "int32") == labels
            return value, ops.mean(ops.cast(correct, "float32")), after

        def step(i: Tensor, carry: tuple) -> tuple:
            vector, adam, other, loss_sum, accuracy_sum = carry
            keys = each(lambda epoch_key: backend.fold_in(epoch_key, i + 1))(key)
            images, labels = each(batch)(ops.take(order, i, axis=-2), vector, other, keys, mask)

            def total(parameters: Tensor) -> tuple[Tensor, tuple]:
                # the gradient of the sum holds the gradient of each network's loss
                value, accuracy, after = each(loss)(parameters, other, images, labels)
                return ops.sum(value), (value, accuracy, after)

            _, (value, accuracy, after), gradient = backend.value_aux_and_gradient(total, vector)
            vector, adam = adam_step(vector, gradient, adam, learning_rate)
            return vector, adam, after, loss_sum + value, accuracy_sum + accuracy

        zero = ops.zeros(vector.shape[:-1], "float32")
        steps = order.shape[-2]
        vector, adam, other, loss_sum, accuracy_sum = backend.fori_loop(
            steps, step, (vector, adam, other, zero, zero)
        )
        return vector, adam, other, loss_sum / steps, accuracy_sum / steps

    return epoch


def _run(variant: TrainingVariant, epoch: Callable) -> Callable:
    """All epochs of a run as one program: a scan over their numbers."""
    each = _each(variant)

    def run(
        vector: Tensor,
        other: list[Tensor],
        key: Tensor,
        mask: MaskTensors | None,
        shared: Shared,
        numbers: Tensor,
    ) -> tuple[Tensor, list[Tensor], Tensor, Tensor]:
        def one(carry: tuple, number: Tensor) -> tuple[tuple, tuple]:
            vector, adam, other = carry
            epoch_key = each(lambda run_key: backend.fold_in(run_key, number))(key)
            *after, loss, accuracy = epoch(vector, adam, other, epoch_key, mask, shared)
            return tuple(after), (loss, accuracy)

        (vector, _, other), (losses, accuracies) = backend.scan(
            one, (vector, adam_start(vector), other), numbers
        )
        return vector, other, losses, accuracies

    return run
