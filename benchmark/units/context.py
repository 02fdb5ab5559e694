"""What units share while a plan runs: data on the device, models and ranks, each made once."""

import functools
import hashlib
import math
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar, cast

import keras
import numpy as np

from pellucid import models
from pellucid.benchmark.config.sections import Model
from pellucid.benchmark.data.dataset import Dataset
from pellucid.benchmark.training import ways
from pellucid.benchmark.training.ways import Way
from pellucid.benchmark.units.kind import Kind
from pellucid.benchmark.units.orders import RANDOM, Blur, Images, MapsOf, Order, blur, maps
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.store import Store
from pellucid.metrics import attributions, imputation, masking, ranking
from pellucid.models.batching import to_device
from pellucid.models.types import Array, Tensor
from pellucid.models.vae_gan import VaeGan

MODELS = 8
"""Trained models that are held at a time."""
INITIAL_BYTES = 2**30
"""Bytes of networks at their initial weights that are held at a time: retrainings come back to
those of every fraction and draw with each order."""
LEAST_BYTES = 2**24
"""What a network counts as at least; 64 small ones are held."""
ORDERS = 3
"""Orders whose ranks are held at a time, at least; as many sets of imputed images are."""
ORDERS_BYTES = 2**31
"""What the ranks and imputed images of more orders may take."""

S = TypeVar("S")
V = TypeVar("V")
T = TypeVar("T")


def derived_seed(*parts: Hashable) -> int:
    """A seed of 31 bits from a name and numbers: streams of different names do not meet."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1


def _bytes(model: object) -> int:
    """What a network at its initial weights takes of `INITIAL_BYTES`."""
    return max(4 * cast(keras.Model, model).count_params(), LEAST_BYTES)


def _orders(data: Dataset, threads: int) -> int:
    """How many orders are held at a time."""
    info = data.info
    images, pixels = info.train_size + info.test_size, math.prod(info.shape[:2])
    ranks, imputed = 2 * images * pixels, images * math.prod(info.shape)
    return max(ORDERS, min(threads + 1, ORDERS_BYTES // (ranks + imputed)))


class _Shared:
    """The values used last, each made once even when several threads ask for it.

    Args:
        size: How much is held, the value used last in any case.
        cost: How much of it a value takes.
    """

    def __init__(self, size: int, cost: Callable[[object], int] = lambda value: 1) -> None:
        self.size, self.cost, self.held = size, cost, 0
        self.values: OrderedDict[Hashable, object] = OrderedDict()
        self.making: dict[Hashable, threading.Lock] = {}
        self.lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], T]) -> T:
        with self.lock:
            turn = self.making.setdefault(key, threading.Lock())
        with turn:
            with self.lock:
                if key in self.values:
                    self.values.move_to_end(key)
                    return cast(T, self.values[key])
            value = make()
            with self.lock:
                if key in self.values:  # dropped and made again by two at once
                    self.held -= self.cost(self.values[key])
                self.values[key] = value
                self.held += self.cost(value)
                while self.held > self.size and len(self.values) > 1:
                    oldest, dropped = self.values.popitem(last=False)
                    self.held -= self.cost(dropped)
                    self.making.pop(oldest, None)
            return value


class Context:
    """What units share while a plan runs.

    Args:
        plan: The plan they are of.
        store: Where results they need are read.
        data: The data set.
        notice: Told, in a line, what a user should know.
        threads: How many threads use it. Each works on an order of its own where memory allows.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        data: Dataset,
        notice: Callable[[str], None] = lambda line: None,
        threads: int = 1,
    ) -> None:
        self.store, self.data = store, data
        self._config, self._notice = plan.config, notice
        self._by_key = {unit.key: unit for unit in plan.units}
        self._models = _Shared(MODELS)
        self._initial = _Shared(INITIAL_BYTES, _bytes)
        self.orders = _orders(data, threads)
        self._ranks = _Shared(self.orders)
        self._imputed = _Shared(self.orders)

    @functools.cached_property
    def way(self) -> Way:
        """How several of the plan's networks are trained: the quickest way on this device."""
        config, info = self._config, self.data.info
        batch_size = min(config.training.batch_size, info.train_size)
        case = ways.Case(
            config.model.name,
            config.model.width,
            cast(tuple[int, int, int], info.shape),
            info.num_classes,
            batch_size,
            config.training.compute,
        )
        return ways.chosen(case, self._notice)

    @functools.cached_property
    def x_train(self) -> Tensor:
        """The training images on the device: one copy for all units."""
        return to_device(self.data.x_train)

    @functools.cached_property
    def white(self) -> Tensor:
        """White images on the device, as many as for training: masked, they are the masks."""
        return to_device(np.full_like(self.data.x_train, 255))

    @functools.cached_property
    def fill(self) -> Array:
        """What a removed pixel becomes: the mean of its channel, `(c,)` float32."""
        return self.data.channel_means()

    def build(self, model: Model, seed: int) -> keras.Model:
        """A classifier at its initial weights."""
        info = self.data.info
        with models.KERAS_LOCK:
            builder = models.get(model.name)
            return builder(info.shape, info.num_classes, seed=seed, width=model.width)

    def initial(self, model: Model, seed: int) -> keras.Model:
        """As `build`, one model for all who ask: to be read, not changed."""
        return self._initial.get((model, seed), lambda: self.build(model, seed))

    def build_vae_gan(self, name: str, seed: int, latent: int, width: float) -> VaeGan:
        """A manifold model at its initial weights."""
        with models.KERAS_LOCK:
            return models.get(name)(self.data.info.shape, seed=seed, latent=latent, width=width)

    def values(self, kind: Kind[S, V], key: str) -> V:
        """The stored values of a unit of this kind."""
        unit = self._by_key[key]
        assert unit.kind is kind
        return self.store.values(unit)

    def arrays(self, kind: Kind, key: str) -> dict[str, Array]:
        """The stored arrays of a unit of this kind."""
        unit = self._by_key[key]
        assert unit.kind is kind
        return self.store.arrays(unit)

    def model(self, key: str, name: str = "model") -> keras.Model:
        """The stored model of a unit."""

        def load() -> keras.Model:
            with models.KERAS_LOCK:
                path = self.store.model_path(self._by_key[key], name)
                return keras.saving.load_model(path, compile=False)

        return self._models.get((key, name), load)

    def explained(self, order: Order) -> keras.Model:
        """The network whose maps an order is made of: trained, or at its initial weights."""
        if order.source is not None:
            return self.model(order.source)
        return self.initial(self._config.model, derived_seed("train", order.draw))

    def attribute(self, order: Order, x: Array) -> Array:
        """The maps of some images by the network of an order, `(m, h, w)`."""
        return attributions.run(order.attribution, self.explained(order), x, fill=self.fill)

    def maps(self, order: Order) -> MapsOf:
        """The maps of test images that an order is that of."""
        return maps(order, self, self._images(None), "test")

    def blur(self, order: Order) -> Blur | None:
        """As `orders.blur`, with the run's images."""
        return blur(order, self, self._images(None))

    def _images(self, limit: int | None) -> Images:
        return Images(self.data.x_train[:limit], self.data.x_test)

    def ranks(self, order: Order, limit: int | None = None) -> tuple[Tensor, Array]:
        """Ranks of the pixels of training images, on the device, and of test images.

        Args:
            order: What orders them.
            limit: How many training images are used; None for all.

        Returns:
            Twice `(n, h, w)` uint16.
        """
        images = self._images(limit)

        def make() -> tuple[Tensor, Array]:
            # piece by piece to the device: the host never holds a second copy of all ranks
            of_training = [to_device(piece) for piece in self._rank(order, images, "train")]
            of_test = list(self._rank(order, images, "test"))
            return keras.ops.concatenate(of_training), np.concatenate(of_test)

        return self._ranks.get((order, limit), make)

    def _rank(self, order: Order, images: Images, split: str) -> Iterator[Array]:
        seed = derived_seed("ties", split)
        if order.free and order.attribution == RANDOM:
            seed = derived_seed("random ranks", split, order.draw)
        shape = getattr(images, split).shape[:3]
        return ranking.pieces(maps(order, self, images, split), shape, seed=seed)

    def imputed(
        self, order: Order, fraction: float, mode: str, limit: int | None = None
    ) -> tuple[Tensor, Array]:
        """Training images, on the device, and test images, their removed pixels imputed; uint8.

        Args:
            order: What orders the pixels.
            fraction: Share of the pixels that is removed or kept.
            mode: A key of `MODES`.
            limit: As for `ranks`.
        """

        def make() -> tuple[Tensor, Array]:
            images, ranks = self._images(limit), Images(*self.ranks(order, limit))

            def impute(split: str) -> Array:
                gone = keras.ops.convert_to_numpy(getattr(ranks, split))
                return imputation.impute(
                    getattr(images, split),
                    masking.removed(gone, fraction, mode),
                    seed=derived_seed("imputation", split),
                    dtype=np.uint8,
                )

            return to_device(impute("train")), impute("test")

        return self._imputed.get((order, fraction, mode, limit), make)
