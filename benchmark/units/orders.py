"""What orders the pixels of every image: a network's map, a control made of it, or no network."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from pellucid.metrics import CONTROLS
from pellucid.models.types import Array

if TYPE_CHECKING:
    import keras

RANDOM = "random"
"""The attribution's name of the random order, with which every curve is compared."""
UNTOUCHED = "none"
"""The attribution's name where no pixel is removed: the end points of the curves."""
OWN = "own"
"""In the column of controls: a network's own map."""
UNTRAINED = "untrained"
"""The control that is the map of a network at its initial weights."""
NO_CONTROL = "none"
"""In the column of controls: an order that asks no network."""

SPECTRUM_IMAGES = 1000
"""Training images whose maps decide how much the standard network's maps are blurred."""

MapsOf = Callable[[slice], Array]
"""From a slice of a split's images to their maps, `(m, h, w)`."""


@dataclass(frozen=True)
class Order:
    """An order of the pixels of every image, of the training and of the test set.

    Attributes:
        attribution: The map, or what stands for one: `RANDOM`, `UNTOUCHED`, or a control that asks
            no network.
        control: `OWN`, the control that is made of the map, or `NO_CONTROL`.
        source: Key of the network's model; None where no trained network is asked.
        reference: Key of the standard network's model, for the control that blurs its maps.
        draw: Number of the draw of a random order or of untrained weights.
    """

    attribution: str
    control: str = NO_CONTROL
    source: str | None = None
    reference: str | None = None
    draw: int | None = None

    @property
    def free(self) -> bool:
        """Whether it asks no network, so that `attribution` is not that of a registered map."""
        return self.source is None and self.control != UNTRAINED

    @property
    def untouched(self) -> bool:
        """Whether no pixel is removed."""
        return self.free and self.attribution == UNTOUCHED

    @property
    def drawn(self) -> bool:
        """Whether it is another order for every draw."""
        return self.control == UNTRAINED or (self.free and self.attribution == RANDOM)


class Images(NamedTuple):
    """The images that networks are retrained on, and those they are tested on."""

    train: Array
    test: Array


class Explainer(Protocol):
    """Who has the networks that orders ask: a run's `Context`, or the caller of the library."""

    def explained(self, order: Order) -> "keras.Model":
        """The network whose maps an order is made of."""

    def attribute(self, order: Order, x: Array) -> Array:
        """The maps of some images by the network of an order, `(m, h, w)`."""


def maps(order: Order, context: Explainer, images: Images, split: str) -> MapsOf:
    """The maps whose order it is.

    Args:
        order: The order; not `UNTOUCHED`.
        context: The networks.
        images: The images of both splits.
        split: `"train"` or `"test"`.
    """
    from pellucid.metrics import controls, ranking

    x = getattr(images, split)
    shape = x.shape[:3]
    if order.free and order.attribution == RANDOM:
        return lambda part: ranking.indifferent(part, shape)
    if order.free and order.attribution == "gaussian":
        return _the_same(controls.centred_gaussian(*shape[1:]), shape)
    if order.free and order.attribution == "sobel":
        return lambda part: controls.sobel(x[part])
    return _MADE[order.control](order, context, images, split)


def _the_same(one: Array, shape: tuple[int, int, int]) -> MapsOf:
    """One map for all images."""
    return lambda part: np.broadcast_to(one, (len(range(*part.indices(shape[0]))), *one.shape))


def _own(order: Order, context: Explainer, images: Images, split: str) -> MapsOf:
    x = getattr(images, split)
    return lambda part: context.attribute(order, x[part])


def _mean(order: Order, context: Explainer, images: Images, split: str) -> MapsOf:
    from pellucid.metrics import ranking

    of_training, n = _own(order, context, images, "train"), len(images.train)
    parts = (slice(start, min(start + ranking.CHUNK, n)) for start in range(0, n, ranking.CHUNK))
    total = sum(of_training(part).sum(axis=0, dtype=np.float64) for part in parts)
    return _the_same(np.asarray(total / n, np.float32), getattr(images, split).shape[:3])


def _blurred(order: Order, context: Explainer, images: Images, split: str) -> MapsOf:
    from pellucid.metrics import controls, spectrum

    own, width = _own(order, context, images, split), controls.blur_width(images.train.shape[1])
    return lambda part: spectrum.blur(own(part), width)


def _blur_matched(order: Order, context: Explainer, images: Images, split: str) -> MapsOf:
    """The standard network's maps, as smooth as the network's own.

    Where no map of the network varies, as at chance, it is the limit of ever wider blurs: all
    pixels equal, in random order.
    """
    from pellucid.metrics import ranking, spectrum

    standard = Order(order.attribution, OWN, order.reference)
    some = slice(0, SPECTRUM_IMAGES)
    made = [_own(which, context, images, "train")(some) for which in (order, standard)]
    if not all(spectrum.vary(some_maps).any() for some_maps in made):
        shape = getattr(images, split).shape[:3]
        return lambda part: ranking.indifferent(part, shape)
    width = spectrum.matching_blur(made[1], spectrum.radial_power(made[0]))
    unblurred = _own(standard, context, images, split)
    return lambda part: spectrum.blur(unblurred(part), width)


def _shuffled(order: Order, context: Explainer, images: Images, split: str) -> MapsOf:
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import controls

    x, seed = getattr(images, split), derived_seed("shuffled", split)
    other = controls.shuffled(len(x), seed)
    return lambda part: context.attribute(order, x[other[part]])


def _shuffled_within(order: Order, context: Explainer, images: Images, split: str) -> MapsOf:
    from pellucid.benchmark.training.prediction import predicted_classes
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import controls

    x, seed = getattr(images, split), derived_seed("shuffled within", split)
    other = controls.shuffled_within(predicted_classes(context.explained(order), x), seed)
    return lambda part: context.attribute(order, x[other[part]])


_MADE = {
    OWN: _own,
    UNTRAINED: _own,
    "mean": _mean,
    "blurred": _blurred,
    "blur_matched": _blur_matched,
    "shuffled": _shuffled,
    "shuffled_within": _shuffled_within,
    "masks": _own,
}
assert set(_MADE) - {OWN} == {c.name for c in CONTROLS.values() if c.of_map}
