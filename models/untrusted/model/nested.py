"""A model as its configuration holds it: layers with their calls, models within models."""

import re
from typing import NamedTuple, TypeAlias

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.allowed import MODELS
from pellucid.models.untrusted.refusal import Refused, shown

MEMBER = "config.json"
MAX_CALLS = 64
"""Calls of one shared layer, and inputs of one call."""


class Output(NamedTuple):
    """An output of a layer: the layer's name, and which of its calls."""

    layer: str
    call: int


class LayerCall(NamedTuple):
    """One call of a layer: the outputs it takes, and its options."""

    inputs: list[Output]
    options: dict[str, bool]


class NestedModel(NamedTuple):
    """A Sequential or functional model.

    Attributes:
        layers: Its layers, in order.
        input_name: The name of its input; None for a Sequential model.
        input_shape: The shape of its input with None for the batch, where it is known.
        output: The output that is the model's; None for a Sequential model, the last layer's.
    """

    layers: list["NestedLayer"]
    input_name: str | None
    input_shape: list[int | None] | None
    output: Output | None


class NestedLayer(NamedTuple):
    """A layer, or a model within a model.

    Attributes:
        class_name: A key of `allowed.LAYERS` or of `allowed.MODELS`.
        name: Its name in the file; only for messages and to follow its calls.
        group: The path of its weights in the weights file.
        arguments: Its clean arguments; those that inference does not depend on are left out.
        calls: Its calls; none in a Sequential model, which calls each layer once.
        model: What is in it, if it is a model.
        unused: Paths in the weights file of numbers that only training uses.
    """

    class_name: str
    name: str
    group: str
    arguments: Json
    calls: list[LayerCall]
    model: NestedModel | None = None
    unused: tuple[str, ...] = ()


Shapes: TypeAlias = dict[str, list[int | None]]


def snake(class_name: str) -> str:
    """The name of a class as Keras writes it into weights files: `PReLU` is `p_re_lu`."""
    split = re.sub("(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    return re.sub("([a-z])([A-Z])", r"\1_\2", split).lower()


def refuse(what: str) -> Refused:
    """The refusal of something in the configuration."""
    return Refused(f"{MEMBER}: {what}")


def where(name: str, class_name: str) -> str:
    """How a message names a layer or a model."""
    kind = "model" if class_name in MODELS else "layer"
    return f"{kind} {shown(name)} of class {class_name}"
