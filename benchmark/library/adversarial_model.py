"""Adversarial training in `model.fit`: a Keras model around a caller's."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from pellucid.attacks import can_train
from pellucid.attacks.attack import Attack
from pellucid.benchmark.library.attacking import as_attack
from pellucid.benchmark.library.classifier import (
    TRIED,
    as_logits,
    check_classifier,
    check_kind,
)
from pellucid.models import backend
from pellucid.models.errors import InputError
from pellucid.models.functional import State, logits_of
from pellucid.models.types import Tensor, Untyped


class AdversarialModel(keras.Model):
    """A Keras model that `fit` trains on adversarial examples of every batch.

    Each step makes the adversarial examples against the present weights, with the model in
    inference mode as in `pellucid.fit` (batch normalisation by its moving statistics, no
    dropout), and then takes Keras' own training step on them:

        min_w  mean  loss(f_w(x_adv), y),   x_adv = attack(f_w, x, y).

    So `compile` and `fit` take what they take for any model: loss, optimizer, metrics, callbacks,
    sample and class weights, NumPy arrays, `tf.data`, `keras.utils.PyDataset`, gradient
    accumulation, a dtype policy, `keras.distribution`. Loss and metrics of the training are those
    on adversarial examples; `keras.Model.evaluate`, `keras.Model.predict` and validation are of the
    caller's model. `save`, `save_weights`, `load_weights` and `export` are of that model too,
    compiled with the same arguments: the file is one of stock layers, which loads without this
    package. What is trained are the caller's weights.

    The attack is repeatable: what it draws follows from `seed` and the optimizer's count of
    updates.

    Args:
        model: A Keras model of images `(n, ...)` to `(n, classes)`. It is compiled by `compile`.
        attack: A name from `list_attacks`, or an `Attack`.
        norm: The attack's norm, `"l2"` or `"linf"`.
        epsilon: Its radius in pixel units, where the box is [0, 1].
        logits: Whether the model outputs logits; False for probabilities.
        scale: The largest value of a pixel in the batches, which are passed as the model takes
            them: 255 for batches of 0 to 255, uint8 or float.
        seed: Seed of what the attack draws.
        warmup_steps: Over as many first updates of the optimizer the radius rises linearly, as
            `warmup_steps` of Keras' schedules raises the learning rate. Where a network gives every
            image the same class from the start on, those of a few epochs help.
        name: The model's name.
        **options: The attack's options, as `steps=10`, checked against its signature.

    Labels are integers `(n,)` or `(n, 1)`, or rows `(n, classes)`, of which the attack takes the
    largest entry as the label: one-hot, or smoothed. Of a model that computes in float16, the
    gradient that enters it is divided by its largest entry for each image, so that it does not
    underflow where the model is confident; attacks by a loss depend on its direction alone.

    Raises:
        InputError: An unknown attack or option, a value out of its range, or a model of another
            kind. In `fit`: batches or labels that do not fit, and for arrays and `tf.data` a model
            that does not do what `logits` says; for arrays, pixels outside [0, scale].

    Reference: arXiv 1706.06083.

    >>> import keras
    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    ... )
    >>> robust = pellucid.AdversarialModel(model, "pgd", norm="linf", epsilon=0.05, steps=3)
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> robust.compile("adam", loss, metrics=["accuracy"])
    >>> history = robust.fit(digits.x_train / 255, digits.y_train, epochs=3, verbose=0)
    >>> history.history["loss"][-1] < history.history["loss"][0]
    True
    """

    def __init__(
        self,
        model: keras.Model,
        attack: str | Attack = "pgd",
        norm: str | None = None,
        epsilon: float | None = None,
        *,
        logits: bool = True,
        scale: float = 1.0,
        seed: int = 0,
        warmup_steps: int = 0,
        name: str | None = None,
        **options: object,
    ) -> None:
        check_kind(model, scale)
        if warmup_steps < 0:
            raise InputError(f"`warmup_steps` must be at least 0. Received {warmup_steps}.")
        chosen = as_attack(attack, norm, epsilon, options)
        super().__init__(name=name, dtype=model.dtype_policy)
        self.model = model
        self.attack = chosen
        self.logits = logits
        self.scale = float(scale)
        self.seed = seed
        self.warmup_steps = warmup_steps
        self.built = model.built

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        """The caller's model."""
        return self.model(x, training=training)

    def compile(
        self, optimizer: Untyped = "rmsprop", *arguments: object, **options: object
    ) -> None:
        """As `keras.Model.compile`; the caller's model is compiled too, with the same optimizer."""
        super().compile(optimizer, *arguments, **options)
        self.model.compile(self.optimizer, *arguments, **options)

    def fit(
        self, x: Untyped = None, y: Untyped = None, *arguments: object, **options: object
    ) -> keras.callbacks.History:
        """As `keras.Model.fit`, on adversarial examples.

        Raises:
            InputError: See the class.
        """
        self._check_inputs(x, y)
        return super().fit(x, y, *arguments, **options)

    def train_step(self, *arguments: Untyped) -> Untyped:
        """Keras' training step on the adversarial examples of a batch.

        Args:
            *arguments: With JAX the state of the training, and the batch; with TensorFlow the
                batch.
        """
        *state, data = arguments
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        variables, updates = _variables(self.optimizer)
        if state:
            trainable, other, of_optimizer = state[0][:3]
            step = of_optimizer[next(i for i, v in enumerate(variables) if v is updates)]
        else:
            trainable = [v.value for v in self.trainable_variables]
            other = [v.value for v in self.non_trainable_variables]
            step = updates.value
        x_adv = self._adversarial(State(trainable, other), x, _integers(y), step)
        return super().train_step(*state, (x_adv, y, weights))

    def _adversarial(self, values: State, x: Tensor, y: Tensor, step: Tensor) -> Tensor:
        """Adversarial examples of a batch, in the batch's units."""
        _check_batch(x, self.scale)
        inference = logits_of(self.model, values)
        underflows = can_train(self.attack.name) and any(
            layer.compute_dtype == "float16" for layer in self.model._flatten_layers()
        )

        def network(z: Tensor) -> Tensor:
            outputs = inference(z if self.scale == 1 else z * self.scale)
            if underflows:
                outputs = ops.custom_gradient(_cast_with_gradient)(outputs)
            return as_logits(outputs, self.logits)

        x = ops.cast(x, "float32")
        pixels = x if self.scale == 1 else x / self.scale
        risen = (ops.cast(step, "float32") + 1) / np.float32(self.warmup_steps + 1)
        x_adv = self.attack.function()(
            network,
            pixels,
            y,
            epsilon=np.float32(self.attack.epsilon) * ops.minimum(risen, 1.0),
            step_size=np.float32(self.attack.step_size or 0.0),
            key=backend.fold_in(backend.key(self.seed), step),
        )
        if self.scale == 1:
            return backend.stop_gradient(x_adv)
        # a pixel that is not changed keeps its value to the bit, however a compiler rounds
        changed = ops.clip(x + self.scale * (x_adv - pixels), 0.0, self.scale)
        return backend.stop_gradient(backend.select(x_adv == pixels, x, changed))

    def _check_inputs(self, x: Untyped, y: Untyped) -> None:
        """Refuses inputs of `fit` that can be looked at without drawing a batch."""
        if hasattr(x, "element_spec"):
            images = x.element_spec[0] if isinstance(x.element_spec, tuple) else x.element_spec
            shape = tuple(getattr(images, "shape", ()))[1:]
            if not shape or None in shape:
                return
            tried = np.random.default_rng(0).uniform(size=(2, *shape)).astype(np.float32)
        elif isinstance(x, np.ndarray) and x.ndim > 1 and len(x):
            _check_batch(x, self.scale)
            _check_labels(y)
            low, high = float(x.min()), float(x.max())
            if not (low >= 0 and high <= self.scale):
                raise InputError(
                    f"`x` must lie in [0, {self.scale:g}]. Received values in [{low:g}, {high:g}]:"
                    " state the largest value of a pixel, as scale=255."
                )
            tried = x[:TRIED].astype(np.float32) / np.float32(self.scale)
        else:
            return
        check_classifier(self.model, tried, logits=self.logits, scale=self.scale)

    def save(self, filepath: Untyped, *arguments: object, **options: object) -> None:
        """Saves the caller's model; see `keras.Model.save`."""
        self.model.save(filepath, *arguments, **options)

    def save_weights(self, filepath: Untyped, *arguments: object, **options: object) -> None:
        """Saves the caller's model's weights; see `keras.Model.save_weights`."""
        self.model.save_weights(filepath, *arguments, **options)

    def load_weights(self, filepath: Untyped, *arguments: object, **options: object) -> None:
        """Loads weights that `save_weights` wrote; see `keras.Model.load_weights`."""
        self.model.load_weights(filepath, *arguments, **options)

    def export(self, filepath: Untyped, *arguments: object, **options: object) -> None:
        """Exports the caller's model for inference; see `keras.Model.export`."""
        self.model.export(filepath, *arguments, **options)


def _variables(optimizer: Untyped) -> tuple[list[keras.Variable], keras.Variable]:
    """An optimizer's variables, and the one that counts its updates: the first of the innermost."""
    inner: Untyped = getattr(optimizer, "inner_optimizer", optimizer)  # with float16 it is wrapped
    return optimizer.variables, inner.variables[0]


def _check_batch(x: Untyped, scale: float) -> None:
    """Refuses a batch that is not one tensor of pixels in the stated units.

    Raises:
        InputError: It is not.
    """
    if not hasattr(x, "dtype") or not hasattr(x, "shape"):
        raise InputError(
            f"Batches must be (images, labels) with one array of images. Received"
            f" {type(x).__name__}."
        )
    dtype = keras.backend.standardize_dtype(x.dtype)
    if "float" not in dtype and scale == 1:
        raise InputError(
            f"Images must be floats in [0, 1]. Received {dtype}: divide by 255, or pass scale=255"
            " if the model takes 0 to 255."
        )


def _check_labels(y: Untyped) -> None:
    """Refuses labels that are neither integers `(n,)` or `(n, 1)` nor rows `(n, classes)`.

    Raises:
        InputError: They are of another shape, or there are none.
    """
    shape = getattr(y, "shape", None)
    if shape is None or len(shape) not in (1, 2):
        received = f"shape {tuple(shape)}" if shape is not None else type(y).__name__
        raise InputError(
            "Labels must be an array of integers (n,) or of rows (n, classes). Received"
            f" {received}."
        )


def _integers(y: Untyped) -> Tensor:
    """Labels `(n,)` int32; of rows, the place of the largest entry. Traceable.

    Raises:
        InputError: As `_check_labels`.
    """
    _check_labels(y)
    if len(y.shape) == 2:
        y = y[:, 0] if y.shape[1] == 1 else ops.argmax(y, axis=-1)
    return ops.cast(y, "int32")


def _cast_with_gradient(outputs: Tensor) -> tuple[Tensor, Callable[..., Tensor]]:
    """Outputs as float32, and their gradient such that float16 can hold it on its way back.

    Each row of the gradient is divided by its largest entry, which changes its length alone. Where
    a network is confident, that entry is often below 6e-8, the smallest number of float16.
    """

    def gradient(*arguments: Tensor, upstream: Tensor = None) -> Tensor:
        above = arguments[0] if upstream is None else upstream
        largest = ops.max(ops.abs(above), axis=-1, keepdims=True)
        return ops.cast(above / ops.where(largest > 0, largest, 1.0), outputs.dtype)

    return ops.cast(outputs, "float32"), gradient
