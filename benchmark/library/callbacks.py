"""The callbacks of `pellucid.callbacks`, which says how they go together with Keras' own."""

import inspect
from collections.abc import Sequence

import keras
import numpy as np

from pellucid.attacks.attack import Attack
from pellucid.attacks.autoattack.ensemble import predicted
from pellucid.benchmark.library.adversarial_model import AdversarialModel
from pellucid.benchmark.library.attacking import as_attack
from pellucid.benchmark.library.classifier import check_scale, classifier
from pellucid.benchmark.library.evaluation import correct_under
from pellucid.benchmark.library.inputs import image_maps, images, labels
from pellucid.benchmark.library.retraining import channel_means
from pellucid.benchmark.units.map_measures import (
    ALWAYS,
    MEASURES,
    OF_NETWORK,
    Explained,
)
from pellucid.metrics import ATTRIBUTIONS, attributions
from pellucid.models.errors import InputError, unknown
from pellucid.models.functional import predict
from pellucid.models.types import Array, Json

__all__ = ["Interpretability", "RobustAccuracy"]

PREFIX = "val_"
"""By which Keras' callbacks tell what was not measured on the training batches."""
PGD_STEPS = 10
"""Of PGD where none are stated: an epoch is to cost little beside its training."""
CHEAP = ("gini", "total_variation", "alignment")
"""Measures that need no more than one gradient per image."""
_VALUES = {"relative_stability": ("log_ris", "log_ros")}
"""What measures of several values call them."""
_READERS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.EarlyStopping,
    keras.callbacks.History,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.OrbaxCheckpoint,
    keras.callbacks.ProgbarLogger,
    keras.callbacks.ReduceLROnPlateau,
    keras.callbacks.RemoteMonitor,
    keras.callbacks.TensorBoard,
)
"""Keras' callbacks that read an epoch's `logs`."""


class _Measurement(keras.callbacks.Callback):
    """Measures a model after epochs; a subclass says what.

    Attributes:
        directions: For each name in `logs` that gets better one way, `"max"` or `"min"`.
    """

    def __init__(
        self, x: Array, y: object, *, every: int, logits: bool, scale: float, directions: Json
    ) -> None:
        super().__init__()
        if not isinstance(every, (int, np.integer)) or every < 1:
            raise InputError(f"`every` must be an integer of at least 1. Received {every}.")
        self.x, self._labels = x, y
        self.every = int(every)
        self.logits = logits
        self.scale = scale
        self.directions = directions
        self._measured = False

    def measure(self, network: keras.Model, y: Array | None) -> dict[str, float]:
        """What goes into `logs`.

        Args:
            network: The model as a classifier from pixels in [0, 1] to logits, with finite logits.
            y: Labels `(n,)`; None if none were passed.
        """
        raise NotImplementedError

    @property
    def names(self) -> list[str]:
        """What `measure` returns values of."""
        raise NotImplementedError

    def set_model(self, model: keras.Model) -> None:
        """Takes its place among the callbacks."""
        super().set_model(model)
        frame = inspect.currentframe()
        # a callback has no other way to the list that it is in
        while frame is not None:
            owner = frame.f_locals.get("self")
            if isinstance(owner, keras.callbacks.CallbackList):
                if any(callback is self for callback in owner.callbacks):
                    _arrange(owner.callbacks, self)
                return
            frame = frame.f_back

    def on_train_begin(self, logs: Json | None = None) -> None:
        """Refuses images, labels and models that do not fit.

        Raises:
            InputError: As `pellucid.evaluate`.
        """
        model = self.model
        self._plain = model.model if isinstance(model, AdversarialModel) else model
        self._network = classifier(self._plain, self.x, logits=self.logits, scale=self.scale)
        self._y: Array | None = None
        if self._labels is not None:
            classes = self._network.output_shape[-1]
            self._y = labels(self._labels, len(self.x), classes)
        self._measured = False

    def on_epoch_end(self, epoch: int, logs: Json | None = None) -> None:
        """Measures the present weights, where it is this epoch's turn."""
        last = epoch + 1 == (self.params or {}).get("epochs")
        if self._measured and epoch % self.every and not last:
            return
        _ = self.model  # with JAX, puts the present weights into the model
        if not np.isfinite(predict(self._network, self.x)).all():
            values = dict.fromkeys(self.names, float("nan"))
        else:
            if not self._measured and self._y is not None:
                check_scale(self._plain, self.x, self._y, self.scale)
            values = self.measure(self._network, self._y)
        self._measured = True
        if logs is not None:
            logs.update(values)


def _arrange(callbacks: list[keras.callbacks.Callback], new: _Measurement) -> None:
    """Moves a callback before the first reader of `logs`, and tells readers its directions."""
    place = next(i for i, callback in enumerate(callbacks) if callback is new)
    first = next((i for i, c in enumerate(callbacks) if isinstance(c, _READERS)), place)
    if first < place:
        callbacks.insert(first, callbacks.pop(place))
    for callback in callbacks:
        direction = new.directions.get(getattr(callback, "monitor", ""))
        if direction and getattr(callback, "mode", None) == "auto":
            callback.mode = direction


class RobustAccuracy(_Measurement):
    """Logs accuracy under an attack as `val_robust_accuracy`.

    An image counts that is classified correctly without the attack and under it, as in
    `pellucid.evaluate`. With `steps=40, random_start=True` the number is that of
    `pellucid.evaluate` under PGD. A model whose logits are not finite gets NaN. See the module for
    the order of callbacks, for the epochs that are not measured, and for what stays as it was.

    Args:
        x: Images `(n, ...)`, uint8 or floats in [0, 1]; what NumPy can convert.
        y: Labels, integers `(n,)` or one-hot `(n, classes)`.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units, where the box is [0, 1].
        attack: A name from `list_attacks`, or an `Attack`.
        every: Epochs from one measurement to the next.
        logits: Whether the model outputs logits; False for probabilities.
        scale: What pixels in [0, 1] are multiplied by before the model: 255 if it takes 0 to 255.
        seed: Seed of what the attack draws, the same at every measurement.
        name: What stands in `logs`.
        **options: The attack's options, as `steps=40`, checked against its signature. PGD takes 10
            steps from the image itself if nothing else is said.

    Raises:
        InputError: An unknown attack, option or norm, or a value out of its range; when training
            begins, a model that does not do what `logits` says, or labels that do not fit.

    Reference: arXiv 1706.06083.

    >>> import keras
    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    ... )
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> robust = pellucid.callbacks.RobustAccuracy(
    ...     digits.x_test[:100], digits.y_test[:100], "linf", 0.05, every=2
    ... )
    >>> stop = keras.callbacks.EarlyStopping("val_robust_accuracy", patience=5)
    >>> history = model.fit(
    ...     digits.x_train / 255, digits.y_train, epochs=5, verbose=0, callbacks=[robust, stop]
    ... )
    >>> len(history.history["val_robust_accuracy"])
    3
    """

    def __init__(
        self,
        x: object,
        y: object,
        norm: str | None = None,
        epsilon: float | None = None,
        *,
        attack: str | Attack = "pgd",
        every: int = 1,
        logits: bool = True,
        scale: float = 1.0,
        seed: int = 0,
        name: str = f"{PREFIX}robust_accuracy",
        **options: object,
    ) -> None:
        if attack == "pgd":
            options = {"steps": PGD_STEPS} | options
        self.attack = as_attack(attack, norm, epsilon, options)
        self.seed = seed
        self.name = name
        x = images(x)
        super().__init__(x, y, every=every, logits=logits, scale=scale, directions={name: "max"})

    @property
    def names(self) -> list[str]:
        """The one name."""
        return [self.name]

    def measure(self, network: keras.Model, y: Array | None) -> dict[str, float]:
        """The share of images that are correct without the attack and under it."""
        assert y is not None
        clean = predicted(network, self.x) == y
        correct = clean & correct_under(self.attack, network, self.x, y, seed=self.seed)
        return {self.name: float(correct.mean())}


class Interpretability(_Measurement):
    """Logs measures of a model's attribution maps that need no retraining.

    By default the Gini index of the gradient maps (`val_gini_gradient`: how few pixels hold most of
    the attribution), their total variation (`val_total_variation_gradient`: how much neighbours
    differ) and the alignment of image and gradient (`val_alignment`, in pixel units). Each is the
    mean over the images that have a value, as in the tables of the benchmark; NaN where none has,
    or the model's logits are not finite. None has a better direction for certain, so a monitor
    needs its `mode`. See the module for the order of callbacks and for `every`.

    Args:
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1]; what NumPy can convert.
        y: Labels, integers `(n,)` or one-hot `(n, classes)`; only `"road"` reads them.
        attributions: Names from `list_attributions`, whose maps are measured.
        measures: From `"gini"`, `"total_variation"`, `"alignment"`, and, which take far longer,
            `"max_sensitivity"`, `"relative_stability"`, `"infidelity"`, `"road"`.
        every: Epochs from one measurement to the next.
        logits: Whether the model outputs logits; False for probabilities.
        scale: What pixels in [0, 1] are multiplied by before the model: 255 if it takes 0 to 255.
        seed: Seed of what a measure draws, the same at every measurement.

    Raises:
        InputError: An unknown attribution or measure, images of another kind; when training begins,
            a model that does not do what `logits` says.

    Reference: arXiv 1810.06583 (Gini index); arXiv 1905.04172 (alignment).

    >>> import keras
    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    ... )
    >>> model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    >>> gradients = pellucid.callbacks.Interpretability(digits.x_test[:50])
    >>> history = model.fit(
    ...     digits.x_train / 255, digits.y_train, epochs=2, verbose=0, callbacks=[gradients]
    ... )
    >>> [name for name in history.history if name.startswith("val_")]
    ['val_gini_gradient', 'val_total_variation_gradient', 'val_alignment']
    """

    def __init__(
        self,
        x: object,
        y: object = None,
        *,
        attributions: Sequence[str] = ("gradient",),
        measures: Sequence[str] = CHEAP,
        every: int = 1,
        logits: bool = True,
        scale: float = 1.0,
        seed: int = 0,
    ) -> None:
        for name in attributions:
            if name not in ATTRIBUTIONS:
                raise unknown("attribution", name, ATTRIBUTIONS)
        for name in measures:
            if name not in ALWAYS:
                raise unknown("measure", name, ALWAYS)
        if not (attributions and measures):
            raise InputError("`attributions` and `measures` must have at least one name each.")
        if "road" in measures and y is None:
            raise InputError("The measure 'road' needs labels: pass `y`.")
        self.attributions, self.measures = tuple(attributions), tuple(measures)
        self.seed = seed
        x = image_maps(x)
        super().__init__(x, y, every=every, logits=logits, scale=scale, directions={})
        self._fill = channel_means(x)

    @property
    def names(self) -> list[str]:
        """Of every measure and attribution."""
        return [
            f"{PREFIX}{_score(value, attribution)}"
            for measure, attribution in self._plan()
            for value in _VALUES.get(measure, (measure,))
        ]

    def _plan(self) -> list[tuple[str, str]]:
        """Pairs of measure and attribution; what is of the network alone, with the first."""
        return [
            (measure, attribution)
            for number, attribution in enumerate(self.attributions)
            for measure in self.measures
            if number == 0 or measure not in OF_NETWORK
        ]

    def measure(self, network: keras.Model, y: Array | None) -> dict[str, float]:
        """The means of the measures' values."""
        found: dict[str, float] = {}
        maps = {
            name: attributions.run(name, network, self.x, fill=self._fill)
            for name in self.attributions
        }
        y = np.zeros(len(self.x), np.int32) if y is None else y  # which no measure then reads
        for measure, attribution in self._plan():
            explained = Explained(
                network,
                attribution,
                self.x,
                y,
                maps[attribution],
                self._fill,
                self.seed,
                source=network,
            )
            for name, values in MEASURES[measure](explained).items():
                finite = values[np.isfinite(values)]
                mean = float(finite.mean()) if len(finite) else float("nan")
                found[f"{PREFIX}{_score(name, attribution)}"] = mean
        return found


def _score(name: str, attribution: str) -> str:
    """A measure's name in the tables of the benchmark."""
    return name if name in OF_NETWORK else f"{name}_{attribution}"
