"""From a graph and its arrays to a Keras model.

Keras' deserialiser is not used: layers are made by calling their classes with clean arguments, and
the graph is made by calling the layers. So nothing of the submitted file is left but numbers and
the values of arguments. This runs twice, in the confined process and in the caller's.
"""

import functools
import hashlib
from collections.abc import Callable
from operator import attrgetter
from typing import TypeAlias

import keras
import numpy as np

from pellucid.models.types import Array
from pellucid.models.untrusted.layers.allowed import MERGING
from pellucid.models.untrusted.layers.operations import PREFIX, Index, parts
from pellucid.models.untrusted.model.graph import Call, Graph, GraphLayer
from pellucid.models.untrusted.model.nested import refuse, snake
from pellucid.models.untrusted.refusal import Refused, one_line


def _get_item(x: keras.KerasTensor, key: list[Index]) -> keras.KerasTensor:
    # one part per axis, as JAX and TensorFlow agree on these
    full = [part[0] if len(part) == 1 else slice(*part) for part in parts(key, x.shape[1:])]
    return x[(slice(None), *full)]


def _power(x: keras.KerasTensor, exponent: float) -> keras.KerasTensor:
    return keras.ops.power(x, exponent)


def _clip(x: keras.KerasTensor, x_min: float | None, x_max: float | None) -> keras.KerasTensor:
    x = x if x_min is None else keras.ops.maximum(x, x_min)
    return x if x_max is None else keras.ops.minimum(x, x_max)


def _reduced(name: str) -> Callable[..., keras.KerasTensor]:
    function = getattr(keras.ops, name)
    return lambda x, axis, keepdims: function(x, axis=tuple(axis), keepdims=keepdims)


Function: TypeAlias = Callable[..., keras.KerasTensor]

_FUNCTIONS: dict[str, Function] = {
    "clip": _clip,
    "get_item": _get_item,
    "max": _reduced("max"),
    "mean": _reduced("mean"),
    "min": _reduced("min"),
    "power": _power,
    "squeeze": lambda x, axis: keras.ops.squeeze(x, tuple(axis)),
    "stack": lambda *xs, axis: keras.ops.stack(xs, axis),
    "sum": _reduced("sum"),
}
"""Functions that `keras.ops` has in another form."""


def _made(layer: GraphLayer, number: int) -> Callable[..., keras.KerasTensor]:
    """A new layer, or the function that a graph names."""
    if layer.class_name.startswith(PREFIX):
        name = layer.class_name.removeprefix(PREFIX)
        return functools.partial(
            _FUNCTIONS.get(name) or getattr(keras.ops, name), **layer.arguments
        )
    # Keras names functions by their class and a count: no layer may have such a name
    common = {"name": f"layer_{number}_{snake(layer.class_name)}", "dtype": "float32"}
    if layer.class_name == "LayerScale":  # Keras has it in one of its applications alone
        return keras.layers.DepthwiseConv2D(1, use_bias=False, **common)
    return getattr(keras.layers, layer.class_name)(**layer.arguments, **common)


def _connect(graph: Graph) -> tuple[keras.Model, list[Callable[..., keras.KerasTensor]]]:
    layers = [_made(layer, i) for i, layer in enumerate(graph.layers)]
    tensors = [keras.Input(graph.input_shape, dtype="float32", name="pixels")]
    for call in graph.calls:
        source = graph.layers[call.layer]
        try:
            tensor = _call(
                layers[call.layer], source.class_name, [tensors[i] for i in call.inputs], call
            )
        except Exception as error:
            raise refuse(
                f"{source.label} cannot be built:"
                f" {one_line(str(error).strip() or type(error).__name__)}"
            ) from None
        if tuple(tensor.shape) != (None, *call.shape):
            raise refuse(
                f"{source.label} has shape {tuple(tensor.shape)} in Keras, not"
                f" {(None, *call.shape)}."
            )
        tensors.append(tensor)
    return keras.Model(tensors[0], tensors[-1], name="submitted"), layers


def _call(
    layer: Callable[..., keras.KerasTensor],
    class_name: str,
    inputs: list[keras.KerasTensor],
    call: Call,
) -> keras.KerasTensor:
    if class_name in MERGING:
        return layer(inputs)
    return layer(*inputs, **call.options)


def build(graph: Graph, arrays: list[Array]) -> keras.Model:
    """Builds a graph in Keras and sets its weights.

    The caller holds `models.KERAS_LOCK` where threads share Keras.

    Args:
        graph: The graph.
        arrays: One array for each of `graph.arrays()`.

    Returns:
        The model.

    Raises:
        Refused: Keras does not build it, or it has other weights in Keras than in the graph.
    """
    try:
        model, layers = _connect(graph)
    except (ValueError, TypeError) as error:
        if isinstance(error, Refused):
            raise
        raise refuse(f"the model cannot be built: {one_line(str(error).strip())}") from None
    by_group = {source.group: layer for source, layer in zip(graph.layers, layers, strict=True)}
    for (source, variable), array in zip(graph.arrays(), arrays, strict=True):
        weight = attrgetter(variable.attribute)(by_group[source.group])
        if tuple(weight.shape) != variable.shape or array.shape != variable.shape:
            raise refuse(
                f"{source.label}: {variable.attribute} has shape {tuple(weight.shape)} in Keras,"
                f" not {variable.shape}."
            )
        weight.assign(array)
    for source, layer in zip(graph.layers, layers, strict=True):
        if isinstance(layer, keras.layers.Normalization) and source.variables:
            layer.finalize_state()
    floats = sum(
        keras.backend.standardize_dtype(weight.dtype) == "float32" for weight in model.variables
    )
    if floats != len(arrays):
        raise refuse(f"the model has {floats} weights in Keras, not {len(arrays)}.")
    return model


def fingerprint(graph: Graph, arrays: list[Array]) -> str:
    """SHA-256 of what a model computes.

    It covers the canonical graph and the weights, as little-endian float32, in order.

    Args:
        graph: The graph.
        arrays: One array for each of `graph.arrays()`.

    Returns:
        The hexadecimal digest.
    """
    digest = hashlib.sha256(graph.canonical().encode())
    for array in arrays:
        digest.update(np.ascontiguousarray(array, "<f4").data)
    return digest.hexdigest()
