"""Standard, adversarial and masked training of a classifier: one `fit`.

Images and labels go to the device once. A whole epoch is one compiled program: it shuffles, gathers each batch,
removes pixels by rank where a mask is given, replaces the batch by adversarial examples where an attack is given, and
takes an Adam step. The host hears back once an epoch. Seed, learning rate, radius and fraction are arguments of the
program, so an architecture compiles once for each kind of training.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from attacks.attack import Attack
from metrics.masking import masked, pixel_count
from models import backend
from models.checks import check_images, check_labels
from models.errors import InputError, unknown
from models.functional import State, assign, batches, logits_of, pixels, predict, program, state, to_device

BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-7


class Mask(NamedTuple):
    """Which pixels are removed from images.

    Attributes:
        ranks: `(n, h, w)` uint16, one order an image, 0 the most important pixel; an array or a tensor.
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


class Adam(NamedTuple):
    """State of Adam on one flat vector of parameters: moments and the number of steps taken."""

    first: Any
    second: Any
    step: Any


def adam_start(parameters: Any) -> Adam:
    """The state before the first step."""
    return Adam(ops.zeros_like(parameters), ops.zeros_like(parameters), ops.zeros((), "float32"))


def adam_step(
    parameters: Any, gradient: Any, adam: Adam, learning_rate: Any, beta_1: float = BETA_1, beta_2: float = BETA_2
) -> tuple[Any, Adam]:
    """One step of Adam with Keras' bias correction. Traceable.

    Reference: Kingma and Ba, arXiv 1412.6980, the form at the end of its section 2.
    """
    step = adam.step + 1.0
    first = beta_1 * adam.first + (1.0 - beta_1) * gradient
    second = beta_2 * adam.second + (1.0 - beta_2) * ops.square(gradient)
    rate = learning_rate * ops.sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step)
    return parameters - rate * first / (ops.sqrt(second) + ADAM_EPSILON), Adam(first, second, step)


def batch_order(key: Any, n: int, batch_size: int) -> Any:
    """Random batches of indices, `(n // batch_size, batch_size)`; the rest of the last batch sits this epoch out."""
    steps = n // batch_size
    return ops.reshape(backend.permutation(key, n)[: steps * batch_size], (steps, batch_size))


def _epoch(batch_size: int, attack: Attack | None, with_mask: bool, model: keras.Model) -> Callable:
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    attacked = attack.function() if attack else None

    def epoch(vector, adam, other, key, x, y, learning_rate, ranks, mask, epsilon, step_size):  # noqa: ANN001, ANN202
        order = batch_order(backend.fold_in(key, 0), x.shape[0], batch_size)

        def step(i: Any, carry: tuple) -> tuple:
            vector, adam, other, loss_sum, hits = carry
            index = order[i]
            images, labels = pixels(ops.take(x, index, axis=0)), ops.take(y, index, axis=0)
            if with_mask:
                images = masked(images, ops.take(ranks, index, axis=0), *mask)
            if attacked:
                logits = logits_of(model, State(backend.unflatten(vector, shapes), other))
                images = backend.stop_gradient(
                    attacked(
                        logits, images, labels, epsilon=epsilon, step_size=step_size, key=backend.fold_in(key, i + 1)
                    )
                )

            def loss(parameters: Any) -> tuple[Any, tuple[Any, Any]]:
                logits, after = model.stateless_call(
                    backend.unflatten(parameters, shapes), other, images, training=True
                )[:2]
                value = ops.mean(ops.sparse_categorical_crossentropy(labels, logits, from_logits=True))
                return value, (logits, after)

            value, (logits, after), gradient = backend.value_aux_and_gradient(loss, vector)
            vector, adam = adam_step(vector, gradient, adam, learning_rate)
            right = ops.cast(ops.argmax(logits, axis=-1), "int32") == labels
            return vector, adam, after, loss_sum + value, hits + ops.mean(ops.cast(right, "float32"))

        zero = ops.zeros((), "float32")
        steps = order.shape[0]
        vector, adam, other, loss_sum, hits = backend.fori_loop(steps, step, (vector, adam, other, zero, zero))
        return vector, adam, other, loss_sum / steps, hits / steps

    return epoch


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
    progress: Callable[[int, Epoch], None] | None = None,
) -> tuple[State, list[Epoch]]:
    """Trains from a model's present weights and leaves the model as it is.

    Takes the arguments of `fit` and raises its errors; one model can serve many runs at once.

    Returns:
        The trained values of the model's variables, and the history.
    """
    check_images(x)
    check_labels(y, len(x), int(model.output_shape[-1]))
    for name, value in (("epochs", epochs), ("batch_size", batch_size)):
        if value < 1:
            raise InputError(f"`{name}` must be at least 1. Received {value}.")
    if mask is not None and tuple(mask.ranks.shape) != tuple(x.shape[:3]):
        raise InputError(f"`mask.ranks` must have shape {tuple(x.shape[:3])}. Received {tuple(mask.ranks.shape)}.")
    batch_size = min(batch_size, len(x))
    static = attack.static() if attack else None
    run = program(
        model,
        ("epoch", batch_size, static, mask is not None),
        partial(_epoch, batch_size, static, mask is not None),
        any_length=False,
    )
    values = state(model)
    vector = backend.flatten(values.trainable)
    adam, other = adam_start(vector), values.other
    data = to_device(x), to_device(np.asarray(y, np.int32))
    fixed = (
        to_device(np.asarray(learning_rate, np.float32)),
        None if mask is None else to_device(mask.ranks),
        None if mask is None else mask.arguments(),
        to_device(np.asarray(attack.epsilon if attack else 0, np.float32)),
        to_device(np.asarray(attack.step_size if attack else 0, np.float32)),
    )
    key = backend.key(seed)
    history = []
    for number in range(1, epochs + 1):
        vector, adam, other, loss, accuracy = run(vector, adam, other, backend.fold_in(key, number), *data, *fixed)
        history.append(Epoch(float(loss), float(accuracy)))
        if progress:
            progress(number, history[-1])
    shapes = [tuple(v.shape) for v in model.trainable_variables]
    return State(backend.unflatten(vector, shapes), other), history


def fit(model: keras.Model, x: Any, y: np.ndarray, **options: Any) -> Trained:
    """Trains a freshly built classifier in place with Adam on cross-entropy.

    Args:
        model: The classifier at its initial weights: pixels in [0, 1] to logits.
        x: Training images `(n, ...)`, uint8 or float32 in [0, 1]; an array, or a tensor that several runs share.
        y: Labels `(n,)`.
        **options: As keywords:
            seed: Seed of the order of the batches and of what an attack draws. With the initial weights it fixes the
                result.
            epochs: Passes over the data, reshuffled every time (the paper never reshuffles).
            batch_size: Examples a step, 100 by default. What is left over at an epoch's end waits for the next
                epoch's order.
            learning_rate: Adam's, 1e-3 by default.
            attack: An `Attack`: replace every batch whole by its adversarial examples (adversarial training).
            mask: A `Mask`: remove pixels from every image by rank (ROAR, KAR).
            progress: Called after every epoch with its number, from 1, and its means.

    Returns:
        The same model, trained, and the history.

    Raises:
        InputError: Images outside [0, 1], labels that do not fit, ranks of another shape, a number out of range.

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
    out = [
        run(values.trainable, values.other, to_device(x[part]), to_device(mask.ranks[part]), arguments)
        for part in batches(len(x), batch_size)
    ]
    return np.concatenate([ops.convert_to_numpy(o) for o in out]).argmax(-1)
