"""What units share while a plan runs: data on the device, models and ranks, each made once."""

import functools
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from typing import Any

import keras
import numpy as np

from robust_interpretability import models
from robust_interpretability.benchmark.data.datasets import Dataset
from robust_interpretability.benchmark.units.plan import BASELINE, Plan
from robust_interpretability.benchmark.units.store import Store
from robust_interpretability.metrics import attributions, ranking
from robust_interpretability.models.batching import to_device


def derived_seed(*parts: Hashable) -> int:
    """A seed of 31 bits from a name and numbers: streams of different names do not meet."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:4], "big") >> 1


class _Shared:
    """The few values used last, each made once even when several threads ask for it."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.values: OrderedDict[Hashable, Any] = OrderedDict()
        self.making: dict[Hashable, threading.Lock] = {}
        self.lock = threading.Lock()

    def get(self, key: Hashable, make: Callable[[], Any]) -> Any:
        with self.lock:
            turn = self.making.setdefault(key, threading.Lock())
        with turn:
            with self.lock:
                if key in self.values:
                    self.values.move_to_end(key)
                    return self.values[key]
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
    """

    def __init__(self, plan: Plan, store: Store, data: Dataset) -> None:
        self.store, self.data = store, data
        self._by_key = {unit.key: unit for unit in plan.units}
        self._models = _Shared(8)
        self._ranks = _Shared(3)

    @functools.cached_property
    def x_train(self) -> Any:
        """The training images on the device: one copy for all units."""
        return to_device(self.data.x_train)

    @functools.cached_property
    def white(self) -> Any:
        """White images on the device, as many as for training: masked, they are the masks alone."""
        return to_device(np.full_like(self.data.x_train, 255))

    def build(self, spec: dict[str, Any], seed: int) -> keras.Model:
        """A classifier at its initial weights, from a `model` specification."""
        info = self.data.info
        with models.KERAS_LOCK:
            return models.get(spec["name"])(
                info.shape, info.num_classes, seed=seed, width=spec["width"]
            )

    def initial(self, spec: dict[str, Any], seed: int) -> keras.Model:
        """As `build`, one model for all who ask: to be read, not changed."""
        return self._models.get(("initial", *spec.values(), seed), lambda: self.build(spec, seed))

    def values(self, key: str) -> dict[str, Any]:
        """The stored values of a unit."""
        return self.store.values(self._by_key[key])

    def model(self, key: str, name: str = "model") -> keras.Model:
        """The stored model of a unit."""

        def load() -> keras.Model:
            with models.KERAS_LOCK:
                return keras.saving.load_model(
                    self.store.model_path(self._by_key[key], name), compile=False
                )

        return self._models.get((key, name), load)

    def ranks(self, source: str | None, attribution: str, repeat: int) -> tuple[Any, np.ndarray]:
        """Ranks of the training (on the device) and the test images by an attribution of a base model, or at random."""

        def make() -> tuple[Any, np.ndarray]:
            train = self._rank("train", self.data.x_train, source, attribution, repeat)
            test = self._rank("test", self.data.x_test, source, attribution, repeat)
            # piece by piece to the device: there is never a whole copy on the host beside the one
            # there
            return keras.ops.concatenate([to_device(piece) for piece in train]), np.concatenate(
                list(test)
            )

        return self._ranks.get((source, attribution) if source else (BASELINE, repeat), make)

    def _rank(
        self, split: str, x: np.ndarray, source: str | None, attribution: str, repeat: int
    ) -> Iterator[np.ndarray]:
        n, h, w = x.shape[:3]
        shape = (n, h, w)
        if source is None:
            seed = derived_seed("random ranks", split, repeat)
            return ranking.pieces(lambda part: ranking.indifferent(part, shape), shape, seed=seed)
        model, seed = self.model(source), derived_seed("ties", split)
        return ranking.pieces(
            lambda part: attributions.run(attribution, model, x[part]), shape, seed=seed
        )

    @functools.cached_property
    def fill(self) -> np.ndarray:
        """What a removed pixel becomes."""
        return self.data.channel_means()
