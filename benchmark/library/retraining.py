"""ROAR and KAR of a caller's model: networks retrained without, or with only, the top pixels."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

import keras
import numpy as np
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from pellucid.benchmark.library.classifier import check_trainable, classifier
from pellucid.benchmark.progress import stderr
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.masks import Mask
from pellucid.benchmark.training.prediction import predicted_classes
from pellucid.benchmark.units.orders import OWN, RANDOM, UNTOUCHED, Images, Order, maps
from pellucid.benchmark.units.outcomes import MASKS
from pellucid.benchmark.units.unit import packed, unpacked
from pellucid.metrics import CONTROLS, MODES, attributions, ranking, retraining
from pellucid.metrics.statistics import Estimate
from pellucid.models import KERAS_LOCK
from pellucid.models.batching import to_device
from pellucid.models.errors import InputError, unknown
from pellucid.models.types import Array, Tensor

POSSIBLE = tuple(name for name in CONTROLS if name not in ("untrained", "blur_matched"))
"""The controls that need no other network than the caller's."""
CALLERS = "the caller's"
"""The source of orders made of the network's maps."""

Build = Callable[[int], keras.Model]
"""From a seed to a network with initial weights that follow from it."""


@dataclass(frozen=True)
class RetrainingBudget:
    """How much is retrained for ROAR and KAR, and how.

    For each attribution, for each control and for the random order, `modes` x `fractions` x
    `repeats` networks are trained.

    Attributes:
        modes: `"roar"`, which removes the most important pixels, `"kar"`, which keeps only them.
        fractions: Shares of the pixels that are removed or kept, increasing in (0, 1).
        repeats: Networks per fraction, each from other initial weights; two at least give an
            interval. At one fraction and repeat, all orders start from the same weights.
        epochs: Passes over the training images.
        batch_size: Images per step.
        learning_rate: Adam's.
        seed: Seed of the first network; the others follow.
        controls: What else could give an attribution's score, from `"mean"` (the mean map, where
            the network looks whatever the image), `"shuffled"` (maps of other images),
            `"shuffled_within"` (of other images of the same predicted class), `"blurred"` (the own
            map, blurred), `"masks"` (KAR of the masks alone, without the pixels), and, which ask no
            network, `"gaussian"` (the centre) and `"sobel"` (edges).

    Raises:
        InputError: An unknown mode or control, or a value out of its range.
    """

    modes: tuple[str, ...] = ("roar", "kar")
    fractions: tuple[float, ...] = (0.1, 0.3, 0.5, 0.7, 0.9)
    repeats: int = 3
    epochs: int = 10
    batch_size: int = 100
    learning_rate: float = 1e-3
    seed: int = 0
    controls: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for mode in self.modes:
            if mode not in MODES:
                raise unknown("mode", mode, MODES)
            shape = (1, len(self.fractions))
            retraining.Curve(mode, np.array(self.fractions), np.zeros(shape))
        if not (self.modes and self.fractions):
            raise InputError("Retraining needs at least one mode and one fraction.")
        for control in self.controls:
            if control not in POSSIBLE:
                raise unknown("control", control, POSSIBLE)
        for name in ("repeats", "epochs", "batch_size"):
            if getattr(self, name) < 1:
                raise InputError(f"`{name}` must be at least 1. Received {getattr(self, name)}.")


@dataclass(frozen=True)
class Retrained:
    """The test accuracy of one retrained network.

    Attributes:
        mode: `"roar"` or `"kar"`; `"none"` on untouched images.
        order: The attribution by which pixels are ordered, or its control, as `"gradient-mean"`;
            `"random"`, or `"none"` on untouched images.
        fraction: Share of the pixels that is removed (ROAR) or kept (KAR).
        repeat: Number of the repeat.
        accuracy: On test images of which the same pixels are removed.
        images: Number of test images.
        correct: Which of them it classifies correctly: a bit each, eight to a byte, in base64.
    """

    mode: str
    order: str
    fraction: float
    repeat: int
    accuracy: float
    images: int = field(repr=False)
    correct: str = field(repr=False)

    @staticmethod
    def of(mode: str, order: str, fraction: float, repeat: int, correct: Array) -> "Retrained":
        """From which test images are classified correctly, `(n,)` bool."""
        accuracy, images = float(correct.mean()), len(correct)
        return Retrained(mode, order, fraction, repeat, accuracy, images, packed(correct))


def fresh_copies(model: keras.Model) -> Build:
    """Copies of a model's architecture with new initial weights.

    Args:
        model: A functional or sequential model.

    Raises:
        InputError: The architecture cannot be built again from its configuration, or has weights
            that training would not restore.
    """
    mend = "Pass build=, a function from a seed to an untrained network."
    try:
        text = json.dumps(keras.saving.serialize_keras_object(model))
        keras.saving.deserialize_keras_object(json.loads(text))
    except Exception as error:  # a layer may raise what it likes
        raise InputError(f"The model cannot be copied from its configuration. {mend}") from error
    for layer in model._flatten_layers(include_self=False):
        if layer.weights and (not layer.trainable or hasattr(layer, "adapt")):
            raise InputError(
                f"A copy of the layer '{layer.name}' would lose its weights, which are not trained."
                f" {mend}"
            )

    def build(seed: int) -> keras.Model:
        rng = np.random.default_rng(seed)
        with KERAS_LOCK:
            return keras.saving.deserialize_keras_object(_reseeded(json.loads(text), rng))

    return build


def _reseeded(config: object, rng: np.random.Generator) -> object:
    """A configuration whose seeds, of initializers above all, are drawn anew."""
    if isinstance(config, list):
        return [_reseeded(part, rng) for part in config]
    if not isinstance(config, dict):
        return config
    return {
        name: int(rng.integers(2**31 - 1)) if name == "seed" else _reseeded(part, rng)
        for name, part in config.items()
    }


def channel_means(x: Array) -> Array:
    """What a removed pixel becomes: the mean of its channel, `(c,)` float32 in [0, 1]."""
    mean = x.mean(axis=(0, 1, 2), dtype=np.float64)
    return (mean / 255 if x.dtype == np.uint8 else mean).astype(np.float32)


def orders(attributions: Sequence[str], controls: Sequence[str]) -> dict[str, Order]:
    """The orders that are scored, by name: the random one first, controls after what they are of.

    Args:
        attributions: Names of attributions.
        controls: Names of controls.
    """
    found = {RANDOM: Order(RANDOM)}
    found |= {control: Order(control) for control in controls if not CONTROLS[control].of_map}
    of_map = [control for control in controls if CONTROLS[control].of_map]
    for name in attributions:
        found[name] = Order(name, OWN, source=CALLERS)
        found |= {f"{name}-{c}": Order(name, c, source=CALLERS) for c in of_map}
    return found


def scored_in(mode: str, order: Order) -> bool:
    """Whether an order is scored in a mode: masks alone tell something where pixels are kept."""
    return order.control != MASKS or MODES[mode].top_pixels == "kept"


@dataclass(frozen=True)
class _Caller:
    """The caller's network, whose maps orders are made of; see `orders.Explainer`."""

    network: keras.Model
    fill: Array

    def explained(self, order: Order) -> keras.Model:
        """The one network."""
        return self.network

    def attribute(self, order: Order, x: Array) -> Array:
        """Its maps, `(m, h, w)`."""
        return attributions.run(order.attribution, self.network, x, fill=self.fill)


def retrain(
    network: keras.Model,
    build: Build,
    x_train: Array,
    y_train: Array,
    x: Array,
    y: Array,
    *,
    orders: dict[str, Order],
    budget: RetrainingBudget,
    logits: bool,
    scale: float,
    verbose: bool,
) -> list[Retrained]:
    """Retrains networks on untouched images, in random order and in the order of attributions.

    Args:
        network: The classifier whose attributions order the pixels.
        build: From a seed to an untrained network, as the caller's: see `logits` and `scale`.
        x_train: Training images `(n, h, w, c)`.
        y_train: Their labels `(n,)`.
        x: Test images `(m, h, w, c)`.
        y: Their labels `(m,)`.
        orders: As the function of that name returns.
        budget: How much is retrained.
        logits: Whether the networks of `build` output logits.
        scale: What pixels are multiplied by before them.
        verbose: Show the progress on stderr.

    Raises:
        InputError: `build` does not return networks of different initial weights.
    """
    places = [(f, repeat) for repeat in range(budget.repeats) for f in budget.fractions]
    seeds = {place: budget.seed + number for number, place in enumerate(places)}
    built = [build(seed) for seed in seeds.values()]
    wrapped = [classifier(one, x, logits=logits, scale=scale) for one in built]
    _check_built(wrapped)
    check_trainable(wrapped[0])
    networks = dict(zip(places, wrapped, strict=True))
    fill, images = channel_means(x_train), Images(x_train, x)
    caller, on_device = _Caller(network, fill), Images(to_device(x_train), x)
    points = {
        name: [(m, f) for m in budget.modes if scored_in(m, order) for f in budget.fractions]
        for name, order in orders.items()
    }
    total = budget.repeats * (1 + sum(map(len, points.values())))

    def correct(
        fraction: float, repeat: int, seen: Images, masks: tuple[Mask, Mask] | None
    ) -> Array:
        in_training, in_test = masks or (None, None)
        place = fraction, repeat
        values, _ = train(
            networks[place],
            seen.train,
            y_train,
            seed=seeds[place],
            epochs=budget.epochs,
            batch_size=budget.batch_size,
            learning_rate=budget.learning_rate,
            mask=in_training,
        )
        return predicted_classes(networks[place], seen.test, mask=in_test, values=values) == y

    def retrained() -> Iterator[Retrained]:
        for repeat in range(budget.repeats):
            found = correct(budget.fractions[0], repeat, on_device, None)
            yield Retrained.of(UNTOUCHED, UNTOUCHED, 0.0, repeat, found)
        for name, order in orders.items():
            seen, filled_with = on_device, fill
            if order.control == MASKS:
                seen, filled_with = _white(images), np.zeros_like(fill)
            ranks: tuple[Tensor, Array] | None = None
            for repeat in range(budget.repeats):
                if ranks is None or name == RANDOM:
                    ranks = _ranks(order, caller, images, budget.seed + repeat)
                for mode, fraction in points[name]:
                    first, second = (Mask(one, fraction, mode, filled_with) for one in ranks)
                    found = correct(fraction, repeat, seen, (first, second))
                    yield Retrained.of(mode, name, fraction, repeat, found)

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeRemainingColumn(), console=stderr(verbose)) as bar:
        return list(bar.track(retrained(), total=total, description="retraining"))


def _white(images: Images) -> Images:
    """White images, the training images on the device: masked with black, they are the masks."""
    train, test = (np.full_like(x, 255 if x.dtype == np.uint8 else 1) for x in images)
    return Images(to_device(train), test)


def _check_built(networks: list[keras.Model]) -> None:
    """Refuses networks that are one network, or start from the same weights."""
    for other in networks[1:]:
        pairs = zip(networks[0].trainable_variables, other.trainable_variables, strict=False)
        if all(np.array_equal(a.numpy(), b.numpy()) for a, b in pairs):
            raise InputError(
                "`build` must return a new network with other initial weights for another seed. It"
                " returns the same weights."
            )


def _ranks(order: Order, caller: _Caller, images: Images, seed: int) -> tuple[Tensor, Array]:
    """Ranks of the pixels of training images, on the device, and of test images."""

    def ranked(split: int, name: str) -> Array:
        # ties and random orders are drawn apart
        words = [seed, split, order.free and order.attribution == RANDOM]
        derived = int(np.random.SeedSequence(words).generate_state(1)[0])
        shape = getattr(images, name).shape[:3]
        made = maps(order, caller, images, name)
        return np.concatenate(list(ranking.pieces(made, shape, seed=derived)))

    return to_device(ranked(0, "train")), ranked(1, "test")


def curve(values: Sequence[Retrained], mode: str, order: str) -> retraining.Curve:
    """The accuracies of one order in one mode, repeats by fractions."""
    own = [value for value in values if (value.mode, value.order) == (mode, order)]
    fractions = sorted({value.fraction for value in own})
    accuracy = {(value.repeat, value.fraction): value.accuracy for value in own}
    repeats = sorted({value.repeat for value in own})
    rows = [[accuracy[repeat, fraction] for fraction in fractions] for repeat in repeats]
    return retraining.Curve(mode, np.array(fractions), np.array(rows))


def score(values: Sequence[Retrained], mode: str, order: str, against: str = RANDOM) -> Estimate:
    """The ROAR or KAR score of one order against the random order, or against another."""
    fractions = sorted({value.fraction for value in values if value.mode == mode})

    def outcomes(order: str) -> Array:
        places = {
            (value.repeat, value.fraction): unpacked(value.correct, value.images)
            for value in values
            if (value.mode, value.order) == (mode, order)
        }
        repeats = sorted({repeat for repeat, _ in places})
        return np.array([[[places[r, fraction] for fraction in fractions] for r in repeats]])

    return retraining.score(mode, np.array(fractions), outcomes(order), outcomes(against))
