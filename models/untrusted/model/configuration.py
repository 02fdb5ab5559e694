"""`config.json`, walked against the allow-list: from JSON to the nested layers and their calls.

The walk never asks Keras for anything. `compile_config` (loss, optimizer, metrics) is not looked at
and goes no further.
"""

from pellucid.models.types import Json
from pellucid.models.untrusted.format import strict_json
from pellucid.models.untrusted.layers.allowed import AUGMENTATIONS, MODELS, WRAPPED
from pellucid.models.untrusted.model.calls import calls, single
from pellucid.models.untrusted.model.nested import (
    MEMBER,
    LayerCall,
    NestedLayer,
    NestedModel,
    Output,
    Shapes,
    refuse,
    snake,
    where,
)
from pellucid.models.untrusted.model.operations import as_layers, is_operation
from pellucid.models.untrusted.model.serialized import (
    check_arguments,
    clean_arguments,
    identity,
    input_shape,
)
from pellucid.models.untrusted.refusal import shown

MAX_LAYERS = 1000
"""Layers in all; ResNet-152 has about 520, DenseNet-201 about 710."""
MAX_DEPTH = 4
"""Models within models."""
MAX_TOTAL_CALLS = 2000
"""Calls of layers, a nested model's layers counted at each of its calls."""

_MODEL_ARGUMENTS = {
    "name",
    "trainable",
    "dtype",
    "layers",
    "build_input_shape",
    "input_layers",
    "output_layers",
}


_WRAPPER_ARGUMENTS = {"name", "trainable", "dtype", "layer", "power_iterations"}


class _Count:
    """How many layers and calls of layers have been walked in the file."""

    def __init__(self) -> None:
        self.layers = self.calls = 0

    def add(self, *, layers: int = 0, calls: int = 0) -> None:
        """Counts more, up to the caps."""
        self.layers += layers
        self.calls += calls
        if self.layers > MAX_LAYERS:
            raise refuse(f"the model has more than {MAX_LAYERS} layers.")
        if self.calls > MAX_TOTAL_CALLS:
            raise refuse(f"the model has more than {MAX_TOTAL_CALLS} calls of layers.")


def _serialized_layers(config: Json, label: str) -> list[object]:
    layers = config.get("layers")
    if not isinstance(layers, list) or not layers:
        raise refuse(f"{label} has no layers.")
    if len(layers) > MAX_LAYERS:
        raise refuse(f"{label} has {len(layers)} layers; at most {MAX_LAYERS} are accepted.")
    return layers


def _layer(kind: str, config: Json, name: str, path: str, made: list[LayerCall]) -> NestedLayer:
    """A layer that is not a model, as it is at inference."""
    if kind in AUGMENTATIONS:
        identical = clean_arguments("Identity", {"name": name}, name)
        return NestedLayer("Identity", name, path, identical, made)
    if kind not in WRAPPED:
        return NestedLayer(kind, name, path, clean_arguments(kind, config, name), made)
    label = where(name, kind)
    check_arguments(config, _WRAPPER_ARGUMENTS, label)
    inner, inner_config, inner_name = identity(config.get("layer"), f"the layer in {label}")
    if inner not in WRAPPED[kind]:
        raise refuse(
            f"{label} wraps a layer of class {inner}; {' or '.join(WRAPPED[kind])} may be."
        )
    arguments = clean_arguments(inner, inner_config, inner_name)
    unused = (f"{path}/vars/0", f"{path}/vars/1")  # the kernel again, and its singular vector
    return NestedLayer(inner, name, f"{path}/layer", arguments, made, unused=unused)


def _walk(
    parent: str, config: Json, name: str, group: str, depth: int, count: _Count
) -> tuple[dict[str, NestedLayer], Shapes]:
    """The layers of a model, and the shapes of its inputs, by name."""
    label = where(name, parent)
    layers: dict[str, NestedLayer] = {}
    inputs: Shapes = {}
    numbers: dict[str, int] = {}
    for i, data in enumerate(_serialized_layers(config, label)):
        if parent == "Functional" and isinstance(data, dict) and is_operation(data):
            made_of = as_layers(data, f"layer number {i} of {shown(name)}", group)
            count.add(layers=len(made_of), calls=len(made_of))
            for layer in made_of:
                if layer.name in layers or layer.name in inputs:
                    raise refuse(f"{label} has two layers named {shown(layer.name)}.")
                layers[layer.name] = layer
            continue
        kind, inner, inner_name = identity(data, f"layer number {i} of {shown(name)}")
        count.add(layers=1)
        if inner_name in layers or inner_name in inputs:
            raise refuse(f"{label} has two layers named {shown(inner_name)}.")
        if kind == "InputLayer":
            inputs[inner_name] = input_shape(inner, inner_name)
            if parent == "Sequential" and i:
                raise refuse(f"{where(inner_name, kind)} comes after other layers of {label}.")
            continue
        number = numbers[kind] = numbers.get(kind, -1) + 1
        path = f"{group}layers/{snake(kind)}" + (f"_{number}" if number else "")
        made: list[LayerCall] = []
        if parent == "Functional":
            made = calls(data, where(inner_name, kind), kind)
            count.add(calls=len(made))
        if kind in MODELS:
            model = _model(kind, inner, inner_name, f"{path}/", depth + 1, count)
            layers[inner_name] = NestedLayer(kind, inner_name, path, {}, made, model)
        else:
            layers[inner_name] = _layer(kind, inner, inner_name, path, made)
    if not layers:
        raise refuse(f"{label} has no layers besides its inputs.")
    if len(inputs) > 1:
        raise refuse(f"{label} has {len(inputs)} inputs; exactly one is accepted.")
    return layers, inputs


def _model(
    class_name: str, config: Json, name: str, group: str, depth: int, count: _Count
) -> NestedModel:
    """A model and all that is in it."""
    label = where(name, class_name)
    if depth > MAX_DEPTH:
        raise refuse(f"{label}: models are nested more than {MAX_DEPTH} levels deep.")
    check_arguments(config, _MODEL_ARGUMENTS, label)
    layers, inputs = _walk(class_name, config, name, group, depth, count)
    if class_name == "Sequential":
        return NestedModel(list(layers.values()), None, next(iter(inputs.values()), None), None)
    source = single(config.get("input_layers"), label, "inputs")
    if source.layer not in inputs:
        raise refuse(f"{label} has an input {shown(source.layer)} that is not an InputLayer.")
    output = single(config.get("output_layers"), label, "outputs")
    last = layers.get(output.layer)
    if last and last.class_name == "Functional":
        # Keras counts the calls of such a model from 1 here, from 0 elsewhere
        output = Output(output.layer, output.call - 1)
    return NestedModel(list(layers.values()), source.layer, inputs[source.layer], output)


def read(content: bytes) -> NestedModel:
    """Walks a configuration.

    Args:
        content: The bytes of `config.json`.

    Returns:
        The model, all of it on the allow-list.

    Raises:
        Refused: Something is not; layer, argument and rule are named.
    """
    class_name, config, name = identity(strict_json.read(MEMBER, content), "the model")
    if class_name not in MODELS:
        raise refuse(f"the file holds a single layer of class {class_name}, not a model.")
    return _model(class_name, config, name, "", 1, _Count())
