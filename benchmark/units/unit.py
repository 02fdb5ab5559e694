"""A unit of work: a pure function of its specification, with a stable key.

The key is a hash of the specification, which holds all that the result depends on: the version of
its kind, the data's version, every number of the configuration that it uses, and the keys of the
units whose results it reads. What is stored under a key need not be computed again.
"""

import base64
import dataclasses
import functools
import hashlib
import json
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np
from pydantic import BaseModel

from pellucid.models.types import Array, Json, Value

if TYPE_CHECKING:
    import keras

    from pellucid.attacks.attack import Attack
    from pellucid.benchmark.units.kind import Kind

S = TypeVar("S")
V = TypeVar("V")
T = TypeVar("T")


@dataclass(frozen=True)
class Network:
    """How a network was trained: standard, against an adversary, or a submitted model.

    Attributes:
        norm: The adversary's norm; None for standard training.
        epsilon: Its radius in pixel units.
        loss: Its loss.
        name: The name of a submitted model.
    """

    norm: str | None = None
    epsilon: float = 0.0
    loss: str | None = None
    name: str | None = None

    @property
    def label(self) -> str:
        """`standard`, as `l2-0.8-xent`, or the name of a submitted model."""
        if self.name is not None:
            return self.name
        return "standard" if self.norm is None else f"{self.norm}-{self.epsilon:g}-{self.loss}"


STANDARD = Network()
SUBMISSION = Network(name="submission")


FORWARD = 1 / 3
"""What a pass forward alone costs of one forward and back."""


def added_later(default: T) -> T:
    """A field that stored results do not know: at its default it does not enter the key."""
    return field(default=default, metadata={"added later": True})


@dataclass(frozen=True)
class DataSpec:
    """The data set, with the numbers of training and test images that are used."""

    name: str
    version: str
    train: int
    test: int


@dataclass(frozen=True)
class AttackSpec:
    """An attack with its hyperparameters; lengths in pixel units. `None`: the attack's default."""

    name: str
    norm: str
    epsilon: float
    loss: str
    steps: int
    step_size: float
    random_start: bool | None = added_later(None)
    restarts: int | None = added_later(None)
    cw_label_zero: bool | None = added_later(None)
    xent_rounded: bool | None = added_later(None)
    direction_floor: float | None = added_later(None)

    def attack(self) -> "Attack":
        """The attack itself; what its function does not take is left out."""
        from pellucid.attacks import options
        from pellucid.attacks.attack import Attack

        known = {"name", *options(self.name)}
        arguments: Json = {k: value for k, value in to_json(self).items() if k in known}
        return Attack.create(**arguments)


def to_json(value: object) -> Value:
    """Dataclasses, sections and tuples as JSON values."""
    if isinstance(value, BaseModel):
        return value.model_dump()
    if hasattr(value, "json"):  # a specification that is stored in another form
        return value.json()
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {
            part.name: to_json(getattr(value, part.name))
            for part in dataclasses.fields(value)
            if not (part.metadata.get("added later") and getattr(value, part.name) == part.default)
        }
    if isinstance(value, Mapping):
        return {name: to_json(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(part) for part in value]
    return value


def packed(correct: Array) -> str:
    """Which images are classified correctly, `(n,)` bool, as text: eight to a byte, base64."""
    return base64.b64encode(np.packbits(correct).tobytes()).decode()


def unpacked(text: str, n: int) -> Array:
    """What `packed` was given, `(n,)` bool."""
    return np.unpackbits(np.frombuffer(base64.b64decode(text), np.uint8), count=n).astype(bool)


class Result(NamedTuple, Generic[V]):
    """What a unit computes.

    Attributes:
        values: A frozen dataclass of JSON values, from which the tables are made.
        arrays: Arrays by name.
        models: Keras models by name, saved as `.keras`.
    """

    values: V
    arrays: Mapping[str, Array] = MappingProxyType({})
    models: "Mapping[str, keras.Model]" = MappingProxyType({})


@dataclass(frozen=True)
class Unit(Generic[S, V]):
    """One unit of work.

    Attributes:
        kind: What does the work.
        label: For people; unique in a plan.
        spec: What the result depends on, a frozen dataclass.
        needs: Keys of the units whose results it reads.
        images: Images it trains on, epochs counted; 0 where it trains nothing.
        cost: Roughly, passes through a network, forward and back; for the estimate of the time.
        network: The network it belongs to. Not part of the key, nor is the seed.
        seed: The base-model seed it belongs to.
    """

    kind: "Kind[S, V]"
    label: str
    spec: S
    needs: tuple[str, ...] = ()
    images: int = 0
    cost: float = 0.0
    network: Network | None = None
    seed: int | None = None

    @functools.cached_property
    def spec_json(self) -> Json:
        """The specification as it is hashed and stored."""
        return to_json(self.spec)

    @functools.cached_property
    def key(self) -> str:
        """Sixteen hexadecimal digits."""
        text = json.dumps([self.kind.version, self.kind.name, self.spec_json], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def shares(self) -> Hashable:
        """What units have in common that are best done by one worker, or together; or None."""
        return self.kind.shares(self.spec)
