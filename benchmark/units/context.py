"""What units share while a plan runs: data on the device, models and ranks, each made once."""

import functools
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import TypeVar, cast

import keras
import numpy as np

from robust_interpretability import models
from robust_interpretability.benchmark.config.sections import Model
from robust_interpretability.benchmark.data.dataset import Dataset
from robust_interpretability.benchmark.training import ways
from robust_interpretability.benchmark.training.ways import Way
from robust_interpretability.benchmark.units.kind import Kind
from robust_interpretability.benchmark.units.plan import Plan
from robust_interpretability.benchmark.units.retrain import BASELINE
from robust_interpretability.benchmark.units.store import Store
from robust_interpretability.metrics import attributions, ranking
from robust_interpretability.models.batching import to_device
from robust_interpretability.models.types import Array, Tensor
from robust_interpretability.models.vae_gan import VaeGan

MODELS = 8
"""Models that are held at a time."""
RANKS = 3
"""Networks whose ranks are held at a time."""

S = TypeVar("S")
V = TypeVar("V")
T = TypeVar("T")


def derived_seed(*parts: Hashable) -> int:
    """A seed of 31 bits from a name and numbers: streams of different names do not meet."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1


class _Shared:
    """The values used last, each made once even when several threads ask for it."""

    def __init__(self, size: int) -> None:
        self.size = size
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
                self.values[key] = value
                while len(self.values) > self.size:
                    self.making.pop(self.values.popitem(last=False)[0], None)
            return value


class Context:
    """What units share while a plan runs.

    Args:
        plan: The plan they are of.
        store: Where results they need are read.
        data: The data set.
        notice: Told, in a line, what a user should know.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        data: Dataset,
        notice: Callable[[str], None] = lambda line: None,
    ) -> None:
        self.store, self.data = store, data
        self._config, self._notice = plan.config, notice
        self._by_key = {unit.key: unit for unit in plan.units}
        self._models = _Shared(MODELS)
        self._ranks = _Shared(RANKS)

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
        return self._models.get(("initial", model, seed), lambda: self.build(model, seed))

    def build_vae_gan(self, name: str, seed: int, latent: int, width: float) -> VaeGan:
        """A manifold model at its initial weights."""
        with models.KERAS_LOCK:
            return models.get(name)(self.data.info.shape, seed=seed, latent=latent, width=width)

    def values(self, kind: Kind[S, V], key: str) -> V:
        """The stored values of a unit of this kind."""
        unit = self._by_key[key]
        assert unit.kind is kind
        return self.store.values(unit)

    def model(self, key: str, name: str = "model") -> keras.Model:
        """The stored model of a unit."""

        def load() -> keras.Model:
            with models.KERAS_LOCK:
                path = self.store.model_path(self._by_key[key], name)
                return keras.saving.load_model(path, compile=False)

        return self._models.get((key, name), load)

    def ranks(self, source: str | None, attribution: str, repeat: int) -> tuple[Tensor, Array]:
        """Ranks of the pixels of training images, on the device, and of test images.

        Args:
            source: Key of the base model whose attribution ranks them; None for a random order.
            attribution: The attribution's name.
            repeat: Number of the repeat, which a random order depends on.

        Returns:
            Twice `(n, h, w)` uint16.
        """

        def make() -> tuple[Tensor, Array]:
            train, test = (
                self._rank(split, x, source, attribution, repeat)
                for split, x in (("train", self.data.x_train), ("test", self.data.x_test))
            )
            # piece by piece to the device: the host never holds a second copy of all ranks
            on_device = keras.ops.concatenate([to_device(piece) for piece in train])
            return on_device, np.concatenate(list(test))

        return self._ranks.get((source, attribution) if source else (BASELINE, repeat), make)

    def _rank(
        self, split: str, x: Array, source: str | None, attribution: str, repeat: int
    ) -> Iterator[Array]:
        n, h, w = x.shape[:3]
        shape = (n, h, w)
        if source is None:
            seed = derived_seed("random ranks", split, repeat)
            return ranking.pieces(lambda part: ranking.indifferent(part, shape), shape, seed=seed)
        model, seed = self.model(source), derived_seed("ties", split)
        return ranking.pieces(
            lambda part: attributions.run(attribution, model, x[part]), shape, seed=seed
        )
