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


class Blur(NamedTuple):
    """Maps that are blurred.

    Attributes:
        order: Own maps: whose.
        width: By how much, in pixels; None for not at all.
    """

    order: Order
    width: float | None


def blur(order: Order, context: Explainer, images: Images) -> Blur | None:
    """What the controls `blurred` and `blur_matched` blur, and by how much.

    None where the standard network's maps are to be as smooth as maps that do not vary.
    """
    from pellucid.metrics import controls, spectrum

    if order.control == "blurred":
        return Blur(order, controls.blur_width(images.train.shape[1]))
    standard = Order(order.attribution, OWN, order.reference)
    some = slice(0, SPECTRUM_IMAGES)
    made = [_own(which, context, images, "train")(some) for which in (order, standard)]
    if not all(spectrum.vary(some_maps).any() for some_maps in made):
        return None
    return Blur(standard, spectrum.matching_blur(made[1], spectrum.radial_power(made[0])))


def _blurred(order: Order, context: Explainer, images: Images, split: str) -> MapsOf:
    """The network's maps, or the standard network's, as smooth as they should be.

    Where no map of the network varies, as at chance, the maps that match are the limit of ever
    wider blurs: all pixels equal, in random order.
    """
    from pellucid.metrics import ranking, spectrum

    found = blur(order, context, images)
    if found is None:
        shape = getattr(images, split).shape[:3]
        return lambda part: ranking.indifferent(part, shape)
    unblurred = _own(found.order, context, images, split)
    width = found.width or 0.0
    return lambda part: spectrum.blur(unblurred(part), width)


def others(order: Order, context: Explainer, x: Array, split: str) -> Array:
    """For each image the one whose map it gets, `(n,)`, by the controls that shuffle maps."""
    from pellucid.benchmark.training.prediction import predicted_classes
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import controls

    if order.control == "shuffled":
        return controls.shuffled(len(x), derived_seed("shuffled", split))
    seed = derived_seed("shuffled within", split)
    return controls.shuffled_within(predicted_classes(context.explained(order), x), seed)


def _shuffled(order: Order, context: Explainer, images: Images, split: str) -> MapsOf:
    x = getattr(images, split)
    other = others(order, context, x, split)
    return lambda part: context.attribute(order, x[other[part]])


_MADE = {
    OWN: _own,
    UNTRAINED: _own,
    "mean": _mean,
    "blurred": _blurred,
    "blur_matched": _blurred,
    "shuffled": _shuffled,
    "shuffled_within": _shuffled,
    "masks": _own,
}
assert set(_MADE) - {OWN} == {c.name for c in CONTROLS.values() if c.of_map}
