"""The flat graph of a model: each layer once, its calls in a computable order, every shape.

This is what is built, hashed and compared. It is worked out in plain Python from the walked
configuration, together with what the model costs; the caps are here.
"""

import json
import math
from typing import NamedTuple

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.effect import Effect, Shape, Variable
from pellucid.models.untrusted.layers.infer import infer
from pellucid.models.untrusted.layers.rules import Unfit
from pellucid.models.untrusted.model.configuration import MAX_TOTAL_CALLS
from pellucid.models.untrusted.model.nested import (
    NestedLayer,
    NestedModel,
    Output,
    refuse,
    where,
)

MAX_PARAMETERS = 50_000_000
"""Weights in all; ResNet-50 has 25.6 million, WideResNet-28-10 36.5, WideResNet-34-10 46.2."""
MAX_ACTIVATIONS = 4 << 20
"""Numbers that one layer may hold for one image.

WideResNet-28-10 on 32x32 images holds 164 thousand, ResNet-50 on 224x224 images 0.8 million.
"""
MAX_TOTAL_ACTIVATIONS = 32 << 20
"""The sum over all calls of layers: 128 MiB per image.

ResNet-50 on 32x32 images, without strides in its first layers, has about 10 million.
"""
MAX_MULTIPLY_ADDS = 8_000_000_000
"""For one image.

ResNet-50 on 32x32 images needs 1.3 thousand million, WideResNet-28-10 5.2, WideResNet-34-10 6.7.
"""


MAX_PATH = 800
"""Calls from the input to the output, one after another; Keras walks them by recursion."""


class Call(NamedTuple):
    """A call of a layer. Tensor 0 is the model's input; tensor i is the output of call i - 1.

    Attributes:
        layer: The index of the layer.
        inputs: The tensors that it takes.
        options: Options of the call.
        shape: The shape of its output.
    """

    layer: int
    inputs: tuple[int, ...]
    options: dict[str, bool]
    shape: Shape


class GraphLayer(NamedTuple):
    """A layer of the graph.

    Attributes:
        class_name: A key of `allowed.LAYERS`.
        arguments: Its clean arguments.
        group: The path of its weights in the weights file.
        variables: Its weights.
        label: How a message names it.
        unused: Paths in the weights file of numbers that only training uses.
    """

    class_name: str
    arguments: Json
    group: str
    variables: list[Variable]
    label: str
    unused: tuple[str, ...] = ()


class Graph(NamedTuple):
    """A model, flat. The last call's output is the model's.

    Attributes:
        input_shape: Shape of one image.
        layers: The layers.
        calls: Their calls, in order.
        parameters: Number of weights.
        activations: Numbers held for one image by all calls together.
        multiply_adds: Multiplications with addition for one image.
        softmax: Whether the model ended in a softmax, which the graph leaves out.
    """

    input_shape: Shape
    layers: list[GraphLayer]
    calls: list[Call]
    parameters: int
    activations: int
    multiply_adds: int
    softmax: bool = False

    def arrays(self) -> list[tuple[GraphLayer, Variable]]:
        """The weights that inference uses, in order."""
        return [
            (layer, variable)
            for layer in self.layers
            for variable in layer.variables
            if not variable.counter
        ]

    def canonical(self) -> str:
        """A text that two graphs share only if they compute the same from the same weights.

        Names are not in it.
        """
        layers = [[layer.class_name, layer.arguments] for layer in self.layers]
        calls = [[call.layer, call.inputs, call.options] for call in self.calls]
        return json.dumps([self.input_shape, layers, calls], sort_keys=True, separators=(",", ":"))


class _Builder(NamedTuple):
    """A graph as it grows.

    Attributes:
        layers: Its layers.
        indices: Their places, by group.
        calls: Their calls.
        shapes: The shape of each tensor.
        paths: The longest path to each tensor.
        totals: Costs.
    """

    layers: list[GraphLayer]
    indices: dict[str, int]
    calls: list[Call]
    shapes: list[Shape]
    paths: list[int]
    totals: dict[str, int]


def _add(builder: _Builder, layer: NestedLayer, inputs: list[int], options: dict[str, bool]) -> int:
    """Adds one call of a layer; returns the tensor that it outputs."""
    label = where(layer.name, layer.class_name)
    try:
        effect = infer(layer.class_name, layer.arguments, [builder.shapes[i] for i in inputs])
    except Unfit as unfit:
        raise refuse(f"{label}: {unfit}.") from None
    at = builder.indices.setdefault(layer.group, len(builder.layers))
    if at == len(builder.layers):
        builder.layers.append(
            GraphLayer(
                layer.class_name,
                layer.arguments,
                layer.group,
                effect.variables,
                label,
                layer.unused,
            )
        )
        builder.totals["parameters"] += sum(
            math.prod(variable.shape) for variable in effect.variables if not variable.counter
        )
    elif builder.layers[at].variables != effect.variables:
        raise refuse(f"{label} is shared between inputs of different shapes.")
    _check_caps(builder, label, effect)
    builder.calls.append(Call(at, tuple(inputs), options, effect.shape))
    builder.shapes.append(effect.shape)
    builder.paths.append(1 + max(builder.paths[i] for i in inputs))
    if builder.paths[-1] > MAX_PATH:
        raise refuse(f"{label}: more than {MAX_PATH} calls of layers follow one another.")
    return len(builder.calls)


def _check_caps(builder: _Builder, label: str, effect: Effect) -> None:
    totals = builder.totals
    totals["activations"] += effect.activations
    totals["multiply_adds"] += effect.multiply_adds
    if effect.activations > MAX_ACTIVATIONS:
        raise refuse(
            f"{label} holds {effect.activations} activations for one image; at most"
            f" {MAX_ACTIVATIONS} are accepted."
        )
    for name, most in (
        ("parameters", MAX_PARAMETERS),
        ("activations", MAX_TOTAL_ACTIVATIONS),
        ("multiply_adds", MAX_MULTIPLY_ADDS),
    ):
        if totals[name] > most:
            raise refuse(
                f"{label} brings the model to {totals[name]} {name.replace('_', '-')}; at most"
                f" {most} are accepted."
            )
    if len(builder.calls) >= MAX_TOTAL_CALLS:
        raise refuse(f"{label}: the model calls its layers more than {MAX_TOTAL_CALLS} times.")


def _check_input(model: NestedModel, shape: Shape, label: str) -> None:
    if model.input_shape is None:
        return
    sizes = tuple(model.input_shape[1:])
    if len(sizes) != len(shape) or any(
        size not in (None, want) for size, want in zip(sizes, shape, strict=True)
    ):
        raise refuse(f"{label} takes inputs of shape {sizes}, not {shape}.")


def _expand(builder: _Builder, model: NestedModel, source: int, label: str) -> int:
    """Adds the calls of a model to an input; returns the tensor that it outputs."""
    _check_input(model, builder.shapes[source], label)
    if model.output is None:
        for layer in model.layers:
            source = _call(builder, layer, [source], {})
        return source
    known = {Output(model.input_name or "", 0): source}
    waiting = [(layer, i) for layer in model.layers for i in range(len(layer.calls))]
    while waiting:
        left = []
        for layer, i in waiting:
            tensors, options = layer.calls[i]
            if all(tensor in known for tensor in tensors):
                known[Output(layer.name, i)] = _call(
                    builder, layer, [known[t] for t in tensors], options
                )
            else:
                left.append((layer, i))
        if len(left) == len(waiting):
            layer = left[0][0]
            raise refuse(
                f"{where(layer.name, layer.class_name)} takes an output that no layer produces, or"
                " is part of a cycle."
            )
        waiting = left
    if model.output not in known:
        raise refuse(f"{label} has an output that none of its layers produces.")
    return known[model.output]


def _call(
    builder: _Builder, layer: NestedLayer, inputs: list[int], options: dict[str, bool]
) -> int:
    if layer.model is None:
        return _add(builder, layer, inputs, options)
    label = where(layer.name, layer.class_name)
    if len(inputs) != 1:
        raise refuse(f"{label} is called with {len(inputs)} tensors; a nested model takes one.")
    return _expand(builder, layer.model, inputs[0], label)


def _drop_softmax(builder: _Builder) -> bool:
    """Leaves out a softmax that ends the model, so that its outputs are logits.

    Returns:
        Whether there was one.
    """
    last = builder.calls[-1]
    layer = builder.layers[last.layer]
    if [call.layer for call in builder.calls].index(last.layer) < len(builder.calls) - 1:
        return False  # it is called elsewhere too
    if layer.arguments.get("activation") == "softmax" and layer.class_name != "Activation":
        logits = layer.arguments | {"activation": "linear"}
        builder.layers[last.layer] = layer._replace(arguments=logits)
        return True
    alone = layer.class_name == "Softmax" or layer.arguments.get("activation") == "softmax"
    if not alone or len(builder.calls) < 2 or last.inputs != (len(builder.calls) - 1,):
        return False
    builder.calls.pop()
    builder.layers.pop(last.layer)
    return True


def flatten(model: NestedModel, input_shape: tuple[int, ...], num_classes: int) -> Graph:
    """Turns a walked model into one flat graph with every shape, within the caps.

    The layers of nested models become layers of the graph, so a network has the same graph whether
    it is saved as one model or as models within models.

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
    builder = _Builder([], {}, [], [tuple(input_shape)], [0], totals)
    output = _expand(builder, model, 0, "the model")
    if not builder.calls or output == 0:
        raise refuse("the model outputs its input.")
    used = {output}
    for i in range(len(builder.calls), 0, -1):
        if i in used:
            used.update(builder.calls[i - 1].inputs)
        else:
            raise refuse(
                f"{builder.layers[builder.calls[i - 1].layer].label} does not lead to the model's"
                " output."
            )
    if builder.shapes[output] != (num_classes,):
        raise refuse(
            f"the model outputs shape {builder.shapes[output]} for one image, not ({num_classes},)"
            " logits."
        )
    softmax = _drop_softmax(builder)
    return Graph(tuple(input_shape), builder.layers, builder.calls, **totals, softmax=softmax)
