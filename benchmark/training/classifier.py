"""Standard, adversarial and masked training of a classifier: one `fit`.

Images and labels go to the device once. A whole epoch is one compiled program (with JAX, a whole
run): it shuffles, gathers each batch, removes pixels by rank where a mask is given, replaces the
batch by adversarial examples where an attack is given, and takes an Adam step. Seed, learning rate,
radius, fraction and ranks are arguments of the program, so an architecture compiles once for each
kind of training.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from robust_interpretability.attacks.attack import Attack
from robust_interpretability.benchmark.training.adam import adam_start, adam_step, batch_order
from robust_interpretability.metrics.masking import masked, pixel_count
from robust_interpretability.models import backend
from robust_interpretability.models.batching import in_batches, to_device
from robust_interpretability.models.checks import check_images, check_labels
from robust_interpretability.models.convolution import forward, shifted
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
from robust_interpretability.models.precision import in_precision


class Mask(NamedTuple):
    """Which pixels are removed from images.

    Attributes:
        ranks: `(n, h, w)` uint16, one order an image, 0 the most important pixel; an array or a
            tensor.
        fraction: Share of the pixels that is removed (`"roar"`) or kept (`"kar"`), in (0, 1).
        mode: `"roar"` or `"kar"`.
        fill: `(c,)` float32: what a removed pixel becomes, in [0, 1].
    """

    ranks: Any
    fraction: float
    mode: str
    fill: np.ndarray

    def arguments(self) -> tuple[Any, Any, Any]:
        """`(count, keep, fill)` for `metrics.masking.masked`, on the device.

        Raises:
            InputError: Unknown mode, or a fraction outside (0, 1).
        """
        if self.mode not in ("roar", "kar"):
            raise unknown("mode", self.mode, ("roar", "kar"))
        count = pixel_count(self.fraction, math.prod(self.ranks.shape[1:]))
        return (
            to_device(np.asarray(count, np.int32)),
            to_device(np.asarray(self.mode == "kar")),
            to_device(np.asarray(self.fill, np.float32)),
        )


class Epoch(NamedTuple):
    """Means over the batches of one epoch, as trained on: cross-entropy and accuracy."""

    loss: float
    accuracy: float


class Trained(NamedTuple):
    """A trained model and its history, one `Epoch` an epoch."""

    model: keras.Model
    history: list[Epoch]


class Kind(NamedTuple):
    """What a training program is compiled for, beside the network's structure; all else are its arguments.

    Attributes:
        batch_size: Images a step.
        attack: The static part of the adversary.
        with_mask: Whether pixels are removed.
        compute: `"float32"`, or `"bfloat16"`: the type in which activations and products are
            computed.
        side_by_side: Whether several networks take every step together.
        shifted: Whether convolutions are written as matrix products (see `models.layerwise`).
    """

    batch_size: int
    attack: Attack | None
    with_mask: bool
    compute: str = "float32"
    side_by_side: bool = False
    shifted: bool = False


def _epoch(kind: Kind, model: keras.Model) -> Callable:
    """One epoch of one network or, side by side, of several: then all but `fixed` has a first axis of networks."""
    batch_size, with_mask = kind.batch_size, kind.with_mask
    model = in_precision(model, kind.compute)
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    attacked = kind.attack.function() if kind.attack else None
    each = _each(kind)
    layerwise = forward(model, shifted) if kind.shifted else None

    def call(trainable: list[Any], other: list[Any], images: Any) -> tuple[Any, list[Any]]:
        if layerwise is not None:
            return layerwise(trainable, images), other
        return model.stateless_call(trainable, other, images, training=True)[:2]

    def epoch(vector, adam, other, key, mask, fixed):  # noqa: ANN001, ANN202
        x, y, ranks, learning_rate, epsilon, step_size = fixed
        order = each(lambda own: batch_order(backend.fold_in(own, 0), x.shape[0], batch_size))(key)

        def batch(index: Any, vector: Any, other: Any, key: Any, mask: Any) -> tuple[Any, Any]:
            images, labels = pixels(ops.take(x, index, axis=0)), ops.take(y, index, axis=0)
            if with_mask:
                images = masked(images, ops.take(ranks, index, axis=0), *mask)
            if attacked:
                inference = logits_of(model, State(backend.unflatten(vector, shapes), other))

                def logits(x: Any) -> Any:
                    return ops.cast(inference(x), "float32")

                images = backend.stop_gradient(
                    attacked(logits, images, labels, epsilon=epsilon, step_size=step_size, key=key)
                )
            return images, labels

        def loss(vector: Any, other: Any, images: Any, labels: Any) -> tuple[Any, Any, Any]:
            logits, after = call(backend.unflatten(vector, shapes), other, images)
            logits = ops.cast(logits, "float32")
            value = ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))
            right = ops.cast(ops.argmax(logits, axis=-1), "int32") == labels
            return value, ops.mean(ops.cast(right, "float32")), after

        def step(i: Any, carry: tuple) -> tuple:
            vector, adam, other, loss_sum, hits = carry
            keys = each(lambda own: backend.fold_in(own, i + 1))(key)
            images, labels = each(batch)(ops.take(order, i, axis=-2), vector, other, keys, mask)

            def total(
                parameters: Any,
            ) -> tuple[Any, Any]:  # the gradient of a sum has each network's own
                value, right, after = each(loss)(parameters, other, images, labels)
                return ops.sum(value), (value, right, after)

            _, (value, right, after), gradient = backend.value_aux_and_gradient(total, vector)
            vector, adam = adam_step(vector, gradient, adam, learning_rate)
            return vector, adam, after, loss_sum + value, hits + right

        zero = ops.zeros(vector.shape[:-1], "float32")
        steps = order.shape[-2]
        vector, adam, other, loss_sum, hits = backend.fori_loop(
            steps, step, (vector, adam, other, zero, zero)
        )
        return vector, adam, other, loss_sum / steps, hits / steps

    return epoch


def _each(kind: Kind) -> Callable[[Callable], Callable]:
    """What makes a function of one network one of all that are trained side by side."""
    return backend.vmap if kind.side_by_side else lambda function: function


def _run(kind: Kind, epoch: Callable) -> Callable:
    """A whole run as one program: a scan over the epochs' numbers."""
    each = _each(kind)

    def run(vector, other, key, mask, fixed, numbers):  # noqa: ANN001, ANN202
        def one(carry: tuple, number: Any) -> tuple[tuple, tuple]:
            vector, adam, other = carry
            epoch_key = each(lambda own: backend.fold_in(own, number))(key)
            *after, loss, accuracy = epoch(vector, adam, other, epoch_key, mask, fixed)
            return tuple(after), (loss, accuracy)

        (vector, _, other), history = backend.scan(
            one, (vector, adam_start(vector), other), numbers
        )
        return vector, other, *history

    return run


def check(
    model: keras.Model, x: Any, y: np.ndarray, epochs: int, batch_size: int, mask: Mask | None
) -> None:
    """Refuses what cannot be trained on. Raises `InputError`."""
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


def training_program(model: keras.Model, kind: Kind) -> Callable:
    """The compiled program of a kind of training, for the model's structure: a run, or (TensorFlow) an epoch."""

    def make(model: keras.Model) -> Callable:
        epoch = _epoch(kind, model)
        return _run(kind, epoch) if backend.WHOLE_RUNS else epoch

    return program(model, ("train", kind), make, any_length=False)


def fixed_arguments(
    x: Any, y: np.ndarray, learning_rate: float, mask: Mask | None, attack: Attack | None
) -> tuple[Any, ...]:
    """What all networks that are trained together share, on the device."""
    return (
        to_device(x),
        to_device(np.asarray(y, np.int32)),
        None if mask is None else to_device(mask.ranks),
        to_device(np.asarray(learning_rate, np.float32)),
        to_device(np.asarray(attack.epsilon if attack else 0, np.float32)),
        to_device(np.asarray(attack.step_size if attack else 0, np.float32)),
    )


def epochs_of(losses: Any, accuracies: Any) -> list[Epoch]:
    """A run's history from its means, both `(epochs,)`."""
    pairs = zip(ops.convert_to_numpy(losses), ops.convert_to_numpy(accuracies), strict=True)
    return [Epoch(float(loss), float(accuracy)) for loss, accuracy in pairs]


def train(
    model: keras.Model,
    x: Any,
    y: np.ndarray,
    *,
    seed: int,
    epochs: int,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    attack: Attack | None = None,
    mask: Mask | None = None,
    compute: str = "float32",
    progress: Callable[[int, Epoch], None] | None = None,
) -> tuple[State, list[Epoch]]:
    """Trains from a model's present weights and leaves the model as it is.

    Takes the arguments of `fit` and raises its errors; one model can serve many runs at once.

    Returns:
        The trained values of the model's variables, and the history.
    """
    check(model, x, y, epochs, batch_size, mask)
    kind = Kind(
        min(batch_size, len(x)), attack.static() if attack else None, mask is not None, compute
    )
    run = training_program(model, kind)
    values = state(model)
    vector, other = backend.flatten(values.trainable), values.other
    own = mask.arguments() if mask else None
    fixed = fixed_arguments(x, y, learning_rate, mask, attack)
    key = backend.key(seed)
    history: list[Epoch] = []
    if backend.WHOLE_RUNS:
        vector, other, losses, accuracies = run(
            vector, other, key, own, fixed, np.arange(1, epochs + 1)
        )
        history = epochs_of(losses, accuracies)
        for number, means in enumerate(history, 1):
            if progress:
                progress(number, means)
    else:
        adam = adam_start(vector)
        for number in range(1, epochs + 1):
            vector, adam, other, loss, accuracy = run(
                vector, adam, other, backend.fold_in(key, number), own, fixed
            )
            history.append(Epoch(float(loss), float(accuracy)))
            if progress:
                progress(number, history[-1])
    return (
        State(
            backend.unflatten(vector, [tuple(v.shape) for v in model.trainable_variables]), other
        ),
        history,
    )


def fit(model: keras.Model, x: Any, y: np.ndarray, **options: Any) -> Trained:
    """Trains a freshly built classifier in place with Adam on cross-entropy.

    Args:
        model: The classifier at its initial weights: pixels in [0, 1] to logits.
        x: Training images `(n, ...)`, uint8 or float32 in [0, 1]; an array, or a tensor that
            several runs share.
        y: Labels `(n,)`.
        **options: As keywords: seed: Seed of the order of the batches and of what an attack draws.
            With the initial weights it fixes the
                result.
            epochs: Passes over the data, reshuffled every time (the paper never reshuffles).
            batch_size: Examples a step, 100 by default. What is left over at an epoch's end waits
                for the next epoch's order.
            learning_rate: Adam's, 1e-3 by default.
            attack: An `Attack`: replace every batch whole by its adversarial examples (adversarial
                training).
            mask: A `Mask`: remove pixels from every image by rank (ROAR, KAR).
            compute: `"float32"`, or `"bfloat16"` for activations and products; weights and sums
                stay float32.
            progress: Called with the number of every epoch, from 1, and its means; after a run that
                is one program.

    Returns:
        The same model, trained, and the history.

    Raises:
        InputError: Images outside [0, 1], labels that do not fit, ranks of another shape, a number
            out of range.

    Reference: arXiv 1706.06083 for adversarial training; arXiv 1806.10758 for masked training.
    """
    values, history = train(model, x, y, **options)
    assign(model, values)
    return Trained(model, history)


def _masked_logits(model: keras.Model) -> Callable:
    def run(trainable, other, x, ranks, mask):  # noqa: ANN001, ANN202
        return logits_of(model, State(trainable, other))(masked(pixels(x), ranks, *mask))

    return run


def predicted_classes(
    model: keras.Model,
    x: np.ndarray,
    *,
    mask: Mask | None = None,
    values: State | None = None,
    batch_size: int = 1000,
) -> np.ndarray:
    """The predicted class of every image, with pixels removed where a mask is given.

    Args:
        model: The classifier.
        x: `(n, ...)`, uint8 or float32 in [0, 1].
        mask: Which pixels to remove, its ranks of these images.
        values: Variables to use in place of the model's own, from `train`.
        batch_size: Images at a time.

    Returns:
        `(n,)` int64.
    """
    values = values or state(model)
    if mask is None:
        return predict(model, x, values=values, batch_size=batch_size).argmax(-1)
    run = program(model, ("masked logits",), _masked_logits)
    arguments = mask.arguments()
    before = (values.trainable, values.other)
    found = in_batches(run, before, [x, mask.ranks], lambda _: (arguments,), batch_size=batch_size)
    return np.concatenate([out for _, out in found]).argmax(-1)
