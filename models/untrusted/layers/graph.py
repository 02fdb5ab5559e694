"""The flat graph of a model: every layer once, every call in an order that can be computed, every shape known.

This is what is built, hashed and compared. It is worked out in plain Python from the walked
configuration, together with what the model costs; the caps are here.
"""

import json
import math
from typing import Any, NamedTuple

from robust_interpretability.models.untrusted.format.configuration import (
    MAX_TOTAL_CALLS,
    Layer,
    Model,
    Tensor,
    refuse,
    where,
)
from robust_interpretability.models.untrusted.layers.merging import infer
from robust_interpretability.models.untrusted.layers.rules import Unfit
from robust_interpretability.models.untrusted.layers.shapes import Effect, Shape, Variable

MAX_PARAMETERS = 50_000_000
"""Weights in all. ResNet-50 has 25.6 million, WideResNet-28-10 36.5, WideResNet-34-10 46.2."""
MAX_ACTIVATIONS = 4 << 20
"""Numbers one layer may hold for one image. WideResNet-28-10 on 32x32 images holds 164 thousand,
ResNet-50 on 224x224 images 0.8 million."""
MAX_TOTAL_ACTIVATIONS = 32 << 20
"""The sum over all calls of layers: 128 MiB an image. ResNet-50 on 32x32 images (no striding in its
first layers) comes to about 10 million."""
MAX_MULTIPLY_ADDS = 8_000_000_000
"""For one image.

ResNet-50 on 32x32 images needs 1.3 thousand million, WideResNet-28-10 5.2, WideResNet-34-10 6.7.
"""


class Call(NamedTuple):
    """A call of a layer: the layer's index, the tensors it takes, its options, and its output's shape.

    Tensor 0 is the input; tensor i is the output of call i - 1.
    """

    layer: int
    inputs: tuple[int, ...]
    options: dict[str, bool]
    shape: Shape


class Part(NamedTuple):
    """A layer of the graph: class, clean arguments, group in the weights file, weights, name for messages."""

    class_name: str
    arguments: dict[str, Any]
    group: str
    variables: list[Variable]
    label: str


class Graph(NamedTuple):
    """A model, flat. The last call's output is the model's.

    Attributes:
        input_shape: Shape of one image.
        parts: The layers.
        calls: Their calls, in order.
        parameters: Number of weights.
        activations: Numbers held for one image by all calls together.
        multiply_adds: Multiplications with addition for one image.
    """

    input_shape: Shape
    parts: list[Part]
    calls: list[Call]
    parameters: int
    activations: int
    multiply_adds: int

    def arrays(self) -> list[tuple[Part, Variable]]:
        """The weights that inference uses, in order."""
        return [
            (part, variable)
            for part in self.parts
            for variable in part.variables
            if not variable.counter
        ]

    def canonical(self) -> str:
        """A text that two graphs share only if they compute the same from the same weights; names are not in it."""
        parts = [[part.class_name, part.arguments] for part in self.parts]
        calls = [[call.layer, call.inputs, call.options] for call in self.calls]
        return json.dumps([self.input_shape, parts, calls], sort_keys=True, separators=(",", ":"))


class _Builder(NamedTuple):
    parts: list[Part]
    places: dict[str, int]
    calls: list[Call]
    shapes: list[Shape]
    totals: dict[str, int]


def _add(builder: _Builder, layer: Layer, inputs: list[int], options: dict[str, bool]) -> int:
    """Adds one call of a layer; returns the tensor it puts out."""
    label = where(layer.name, layer.class_name)
    try:
        effect = infer(layer.class_name, layer.arguments, [builder.shapes[i] for i in inputs])
    except Unfit as unfit:
        raise refuse(f"{label}: {unfit}.") from None
    at = builder.places.setdefault(layer.group, len(builder.parts))
    if at == len(builder.parts):
        builder.parts.append(
            Part(layer.class_name, layer.arguments, layer.group, effect.variables, label)
        )
        builder.totals["parameters"] += sum(
            math.prod(variable.shape) for variable in effect.variables if not variable.counter
        )
    elif builder.parts[at].variables != effect.variables:
        raise refuse(f"{label} is shared between inputs of different shapes.")
    _check_caps(builder, label, effect)
    builder.calls.append(Call(at, tuple(inputs), options, effect.shape))
    builder.shapes.append(effect.shape)
    return len(builder.calls)


def _check_caps(builder: _Builder, label: str, effect: Effect) -> None:
    totals = builder.totals
    totals["activations"] += effect.values
    totals["multiply_adds"] += effect.multiply_adds
    if effect.values > MAX_ACTIVATIONS:
        raise refuse(
            f"{label} holds {effect.values} activations for one image; at most {MAX_ACTIVATIONS}"
            " are accepted."
        )
    for name, most in (
        ("parameters", MAX_PARAMETERS),
        ("activations", MAX_TOTAL_ACTIVATIONS),
        ("multiply_adds", MAX_MULTIPLY_ADDS),
    ):
        if totals[name] > most:
            raise refuse(
                f"{label} brings the model to {totals[name]} {name}; at most {most} are accepted."
            )
    if len(builder.calls) >= MAX_TOTAL_CALLS:
        raise refuse(f"{label}: the model calls its layers more than {MAX_TOTAL_CALLS} times.")


def _check_input(model: Model, shape: Shape, label: str) -> None:
    given = model.input_shape
    if given is not None and (
        len(given) != len(shape) + 1
        or any(n not in (None, m) for n, m in zip(given[1:], shape, strict=True))
    ):
        raise refuse(f"{label} takes inputs of shape {tuple(given[1:])}, not {shape}.")


def _expand(builder: _Builder, model: Model, source: int, label: str) -> int:
    """Adds the calls of a model to an input; returns the tensor it puts out."""
    _check_input(model, builder.shapes[source], label)
    if model.output is None:
        for layer in model.layers:
            source = _call(builder, layer, [source], {})
        return source
    known = {Tensor(model.input_name or "", 0): source}
    waiting = [(layer, i) for layer in model.layers for i in range(len(layer.calls))]
    while waiting:
        left = []
        for layer, i in waiting:
            tensors, options = layer.calls[i]
            if all(tensor in known for tensor in tensors):
                known[Tensor(layer.name, i)] = _call(
                    builder, layer, [known[t] for t in tensors], options
                )
            else:
                left.append((layer, i))
        if len(left) == len(waiting):
            layer = left[0][0]
            raise refuse(
                f"{where(layer.name, layer.class_name)} takes an output that no layer gives, or"
                " runs in a circle."
            )
        waiting = left
    if model.output not in known:
        raise refuse(f"{label} puts out something that none of its layers gives.")
    return known[model.output]


def _call(builder: _Builder, layer: Layer, inputs: list[int], options: dict[str, bool]) -> int:
    if layer.model is None:
        return _add(builder, layer, inputs, options)
    label = where(layer.name, layer.class_name)
    if len(inputs) != 1:
        raise refuse(f"{label} is called with {len(inputs)} tensors; a nested model takes one.")
    return _expand(builder, layer.model, inputs[0], label)


def flatten(model: Model, input_shape: tuple[int, ...], num_classes: int) -> Graph:
    """Lays a walked model open into one graph, works out every shape, and holds it against the caps.

    Args:
        model: The walked configuration.
        input_shape: Shape of one image.
        num_classes: The number of logits.

    Returns:
        The graph.

    Raises:
        Refused: Shapes do not fit, a cap is exceeded, or a layer leads nowhere.
    """
    totals = {"parameters": 0, "activations": 0, "multiply_adds": 0}
    builder = _Builder([], {}, [], [tuple(input_shape)], totals)
    output = _expand(builder, model, 0, "the model")
    if not builder.calls or output == 0:
        raise refuse("the model puts out its input.")
    used = {output}
    for i in range(len(builder.calls), 0, -1):
        if i in used:
            used.update(builder.calls[i - 1].inputs)
        else:
            raise refuse(
                f"{builder.parts[builder.calls[i - 1].layer].label} does not lead to the model's"
                " output."
            )
    if builder.shapes[output] != (num_classes,):
        raise refuse(
            f"the model puts out shape {builder.shapes[output]} for one image, not ({num_classes},)"
            " logits."
        )
    return Graph(tuple(input_shape), builder.parts, builder.calls, **totals)
