"""What two models must have in common for one compiled program to serve both.

A program takes a model's variables as arguments, so models that differ in them alone share it.
Names and seeds do not matter either. Everything else does: the layers' configurations and
connections, which layer uses which variable, and constants that a layer holds outside its
configuration.
"""

import hashlib
import json
import sys
from collections.abc import Iterator
from types import FunctionType

import keras
import numpy as np
from keras import ops

from pellucid.models.types import Array, Json, Tensor

_LIBRARIES = {"keras", "numpy", "tensorflow", "jax", "jaxlib"} | sys.stdlib_module_names
_OPERATIONS = ("keras.layers.", "keras.ops.", "keras.src.layers.", "keras.src.ops.")
_SEEDED = ("keras.layers.", "keras.src.layers.", "keras.initializers.", "keras.src.initializers.")
_TRANSIENT = ("_losses", "_inbound_nodes", "_outbound_nodes")
"""Attributes of an operation that later calls of it change."""


def _within(module: object, packages: tuple[str, ...]) -> bool:
    return isinstance(module, str) and f"{module}.".startswith(packages)


def _is_users(value: object) -> bool:
    """Whether a value holds code or variables that a configuration does not describe."""
    if isinstance(value, (list, tuple, set)):
        return any(map(_is_users, value))
    if isinstance(value, dict):
        return any(map(_is_users, value.values()))
    source = value if isinstance(value, (FunctionType, type)) else type(value)
    package = (source.__module__ or "").partition(".")[0]
    return package != "keras" if callable(value) else package not in _LIBRARIES


def _is_stock(model: object) -> bool:
    """Whether it is a graph of layers by Keras' own class, not by a subclass."""
    kind = type(model)
    return kind is keras.Sequential or (
        kind.__name__ == "Functional" and kind.__module__.startswith("keras.src.models.")
    )


def _operations(model: keras.Model) -> Iterator[keras.Operation]:
    """Layers at every depth, the model first, and the operations between them."""
    for layer in model._flatten_layers():
        yield layer
        inner = getattr(layer, "operations", ())  # a functional model's
        yield from (o for o in inner if not isinstance(o, keras.Layer))


def _is_described(operation: keras.Operation) -> bool:
    """Whether an operation's configuration tells what it computes: Keras' code throughout."""
    if _is_stock(operation):
        return True
    if _is_users(operation):
        return False
    nodes = [(n.arguments.args, n.arguments.kwargs) for n in operation._inbound_nodes]
    arguments = keras.tree.flatten(nodes)
    held = [v for k, v in vars(operation).items() if k not in _TRANSIENT and k[:6] != "_self_"]
    if any(isinstance(v, keras.Variable) or hasattr(v, "assign") for v in arguments):
        return False
    return not any(map(_is_users, arguments)) and not _is_users(held)


def _is_constant(value: object) -> bool:
    if not hasattr(value, "dtype") or isinstance(value, keras.Variable):
        return False  # `is_tensor` is slow
    return isinstance(value, np.ndarray) or ops.is_tensor(value)


def _digest(value: Tensor | Array) -> list:
    array = ops.convert_to_numpy(value)
    if array.dtype.hasobject:
        raise TypeError("an array of objects has no digest")
    return [str(array.dtype), array.shape, hashlib.sha256(array.tobytes()).hexdigest()]


def _outside_configuration(model: keras.Model) -> list:
    """For each layer: which of the model's variables it uses, how it casts, constants it holds."""
    variables = model.trainable_variables + model.non_trainable_variables
    number = {id(v): i for i, v in enumerate(variables)}
    return [len(model.trainable_variables)] + [
        [
            [number.get(id(v), -1) for v in layer.variables],
            layer.dtype_policy.name,
            layer.autocast,
            {k: _digest(v) for k, v in vars(layer).items() if _is_constant(v)},
        ]
        for layer in model._flatten_layers()
    ]


def _references(value: object, numbers: dict[str, int]) -> object:
    """`[name, node, tensor]`, or a structure of such references, with the layer's number."""
    if isinstance(value, dict):
        return {k: _references(v, numbers) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        if value and isinstance(value[0], str):
            return [numbers[value[0]], *value[1:]]
        return [_references(v, numbers) for v in value]
    return value


def _anonymous(config: object, numbers: dict[str, int]) -> object:
    """A configuration without names and seeds of its layers.

    Args:
        config: A configuration or a part of one.
        numbers: The layers of the model around it, by name: their places in its list of layers.
    """
    if isinstance(config, (list, tuple)):
        return [_anonymous(v, numbers) for v in config]
    if not isinstance(config, dict):
        return config
    if isinstance(config.get("config"), dict):
        module, inner = config.get("module"), config["config"]
        if _within(module, _OPERATIONS) or config["class_name"] in ("Functional", "Sequential"):
            config = {k: v for k, v in config.items() if k != "name"}
            inner = {k: v for k, v in inner.items() if k != "name"}
        if _within(module, _SEEDED):
            inner = {k: v for k, v in inner.items() if k != "seed"}
        config = config | {"config": inner}
    if isinstance(config.get("layers"), list):
        numbers = {_name(layer): i for i, layer in enumerate(config["layers"])}
    references = ("input_layers", "output_layers", "keras_history")
    return {
        k: _references(v, numbers) if k in references else _anonymous(v, numbers)
        for k, v in config.items()
    }


def _name(layer: Json) -> str:
    return layer["name"] if "name" in layer else layer["config"].get("name")


def _as_json(value: object) -> object:
    if _is_constant(value):
        return _digest(value)
    if isinstance(value, np.generic):
        return [str(value.dtype), value.item()]
    raise TypeError(f"{type(value).__name__} has no place in a configuration")


def structure(model: keras.Model) -> str:
    """A text that two models share only if one program serves both.

    A configuration tells what a model computes where all its code is Keras'. A subclassed model, a
    model with a user's layer, function or captured variable, or one whose configuration cannot be
    written shares with itself alone.
    """
    alone = f"{type(model).__qualname__} at {id(model)}"
    try:
        known = _is_stock(model) and all(map(_is_described, _operations(model)))
        parts: list = [_outside_configuration(model)]
        if known:
            config = {k: v for k, v in model.get_config().items() if k != "name"}
            outputs = [[tensor.shape, tensor.dtype] for tensor in model.outputs]
            parts += [type(model).__name__, model.input_shape, outputs, _anonymous(config, {})]
        text = json.dumps(parts, sort_keys=True, default=_as_json)
    except Exception:  # a layer may raise what it likes where it cannot be described
        return alone
    return text if known else f"{alone} {text}"
