"""`config.json`, walked against the allow-list: from nested JSON to a flat list of layers and of their calls.

The walk never asks Keras for anything and never follows a name: a class is a key of
`allowed.LAYERS` or it is refused. Nested models are laid open into the one graph, so what comes out
is the same for a network saved as one model or as models within models. `compile_config` (loss,
optimizer, metrics) is not looked at and goes no further.
"""

import re
from typing import Any, NamedTuple

from robust_interpretability.models.untrusted.format import strict_json
from robust_interpretability.models.untrusted.layers.allowed import LAYERS, MODELS, REQUIRED
from robust_interpretability.models.untrusted.layers.rules import Unfit, float32
from robust_interpretability.models.untrusted.refusal import Refused, shown

MEMBER = "config.json"
MAX_LAYERS = 1000
"""Layers in all; ResNet-152 has about 520, DenseNet-201 about 710."""
MAX_DEPTH = 4
"""Models within models."""
MAX_CALLS = 64
"""Calls of one shared layer."""
MAX_TOTAL_CALLS = 2000
"""Calls of layers, a nested model's layers counted at each of its calls."""

_LAYER_KEYS = {
    "module",
    "class_name",
    "config",
    "registered_name",
    "build_config",
    "name",
    "inbound_nodes",
}
_MODEL_ARGUMENTS = {
    "name",
    "trainable",
    "dtype",
    "layers",
    "build_input_shape",
    "input_layers",
    "output_layers",
}
_IGNORED_KEYS = {"compile_config", "shared_object_id"}


class Tensor(NamedTuple):
    """An output of a layer: the layer's name, and which of its calls."""

    layer: str
    call: int


class Layer(NamedTuple):
    """A layer or nested model as it stands in the configuration.

    Attributes:
        class_name: A key of `allowed.LAYERS`, `"InputLayer"`, or a kind of model.
        name: Its name in the file; only for messages and to follow its calls.
        group: Where its weights lie in the weights file.
        arguments: Its clean arguments; those that inference does not depend on are left out.
        calls: For each call, the tensors it takes and its options.
        model: What is in it, if it is a model.
    """

    class_name: str
    name: str
    group: str
    arguments: dict[str, Any]
    calls: "Calls"
    model: "Model | None" = None


class Model(NamedTuple):
    """A model as it stands in the configuration: its layers, its input's shape with None for the batch, its output."""

    layers: list[Layer]
    input_name: str | None
    input_shape: list[int | None] | None
    output: Tensor | None


Calls = list[tuple[list[Tensor], dict[str, bool]]]
Walked = tuple[dict[str, Layer], dict[str, list[int | None]]]


def snake(class_name: str) -> str:
    """The name of a class as Keras writes it into weights files: `Conv2DTranspose` is `conv2d_transpose`."""
    return re.sub(
        "([a-z])([A-Z])", r"\1_\2", re.sub("(.)([A-Z][a-z]+)", r"\1_\2", class_name)
    ).lower()


def refuse(what: str) -> Refused:
    """The refusal of something in the configuration."""
    return Refused(f"{MEMBER}: {what}")


def where(name: str, class_name: str) -> str:
    """How a message names a layer."""
    return f"layer {shown(name)} of class {class_name}"


def _class_of(data: Any, what: str) -> tuple[str, dict[str, Any], str]:
    """Class, configuration and name of a serialised layer or model, if its class is on the list."""
    if not isinstance(data, dict) or not isinstance(data.get("class_name"), str):
        raise refuse(f"{what} is not a layer but {shown(data)}.")
    class_name, module, registered = (
        data["class_name"],
        data.get("module"),
        data.get("registered_name"),
    )
    config = data.get("config")
    name = config.get("name") if isinstance(config, dict) else data.get("name")
    label = f"layer {shown(name)}" if isinstance(name, str) else what
    known = class_name in LAYERS or class_name in MODELS or class_name == "InputLayer"
    if not known:
        raise refuse(
            f"{label} is of class {shown(class_name)[1:-1]}, which is not on the list of allowed"
            " layers."
        )
    if module not in MODELS.get(class_name, ("keras.layers",)):
        raise refuse(
            f"{label} of class {class_name} is of module {shown(module)}, not keras.layers: "
            "custom objects and operations are refused."
        )
    if registered not in (None, class_name):
        raise refuse(
            f"{label} of class {class_name} is registered as {shown(registered)}: custom objects"
            " are refused."
        )
    extra = sorted(set(data) - _LAYER_KEYS - _IGNORED_KEYS)
    if extra:
        raise refuse(
            f"{label} of class {class_name} has the key {shown(extra[0])}, which Keras does not"
            " write."
        )
    if not isinstance(config, dict):
        raise refuse(f"{label} of class {class_name} has no configuration.")
    if not isinstance(name, str) or not 0 < len(name) <= 128:
        raise refuse(
            f"{label} of class {class_name} has a name that is not text of 1 to 128 characters."
        )
    return class_name, config, name


def _arguments(class_name: str, config: dict[str, Any], name: str) -> dict[str, Any]:
    """The clean arguments of a layer."""
    allowed = LAYERS[class_name]
    extra = sorted(set(config) - set(allowed))
    if extra:
        raise refuse(
            f"{where(name, class_name)} has the argument {shown(extra[0])}, which is not on its"
            " list."
        )
    clean = {}
    for key, argument in allowed.items():
        value = config.get(key, argument.default)
        if value is REQUIRED:
            raise refuse(f"{where(name, class_name)} lacks the argument {key}.")
        try:
            value = argument.rule(value)
        except Unfit as unfit:
            raise refuse(
                f"{where(name, class_name)}: {key} is {shown(config.get(key))}; it {unfit}."
            ) from None
        if argument.kept:
            clean[key] = value
    return clean


def _input_shape(config: dict[str, Any], name: str) -> list[int | None]:
    """The batch shape of an `InputLayer`; the batch must be free."""
    label = where(name, "InputLayer")
    extra = sorted(set(config) - {"batch_shape", "dtype", "sparse", "ragged", "name", "optional"})
    if extra:
        raise refuse(f"{label} has the argument {shown(extra[0])}, which is not on its list.")
    shape = config.get("batch_shape")
    if not isinstance(shape, list) or not 2 <= len(shape) <= 8:
        raise refuse(f"{label}: batch_shape is {shown(shape)}; it must be a list of 2 to 8 sizes.")
    if shape[0] is not None:
        raise refuse(f"{label} fixes the batch size at {shown(shape[0])}; it must be free (null).")
    if any(
        size is not None and (type(size) is not int or not 1 <= size <= 1 << 24) for size in shape
    ):
        raise refuse(
            f"{label}: batch_shape is {shown(shape)}; sizes must be positive integers or null."
        )
    if any(config.get(key) not in (None, False) for key in ("sparse", "ragged", "optional")):
        raise refuse(f"{label} is sparse, ragged or optional; it must be none of these.")
    try:
        float32(config.get("dtype", "float32"))
    except Unfit as unfit:
        raise refuse(f"{label}: dtype is {shown(config.get('dtype'))}; it {unfit}.") from None
    return shape


def _tensor(data: Any, label: str) -> Tensor:
    """A `__keras_tensor__`, which names where a call's input comes from."""
    config = (
        data.get("config")
        if isinstance(data, dict) and data.get("class_name") == "__keras_tensor__"
        else None
    )
    history = config.get("keras_history") if isinstance(config, dict) else None
    return _history(history, label)


def _history(history: Any, label: str) -> Tensor:
    if (
        not isinstance(history, list)
        or len(history) != 3
        or not isinstance(history[0], str)
        or type(history[1]) is not int
        or not 0 <= history[1] <= MAX_CALLS
        or history[2] != 0
        or type(history[2]) is not int
    ):
        raise refuse(f"{label} takes something that is not the output of a layer.")
    return Tensor(history[0], history[1])


def _call(node: Any, label: str, attention: bool) -> tuple[list[Tensor], dict[str, bool]]:
    """The tensors and options of one call of a layer."""
    if not isinstance(node, dict) or set(node) != {"args", "kwargs"}:
        raise refuse(f"{label} is called in a form that Keras does not write.")
    args, kwargs = node["args"], node["kwargs"]
    if not isinstance(args, list) or not isinstance(kwargs, dict):
        raise refuse(f"{label} is called in a form that Keras does not write.")
    flat = args[0] if len(args) == 1 and isinstance(args[0], list) else args
    if attention:
        flat = [
            value
            for value in [*flat, *(kwargs.get(k) for k in ("query", "value", "key")[len(flat) :])]
            if value
        ]
        kwargs = {k: v for k, v in kwargs.items() if k not in ("query", "value", "key")}
    if not 1 <= len(flat) <= 64:
        raise refuse(f"{label} is called with {len(flat)} tensors; 1 to 64 are accepted.")
    options = {}
    for key, value in kwargs.items():
        if attention and key == "use_causal_mask" and type(value) is bool:
            options[key] = value
        elif value is not None and not (
            value is False and key in ("training", "return_attention_scores")
        ):
            raise refuse(
                f"{label} is called with {shown(key)} = {shown(value)}, which is not accepted."
            )
    return [_tensor(value, label) for value in flat], {k: v for k, v in options.items() if v}


def _single(value: Any, what: str) -> Tensor:
    """The one entry of `input_layers` or `output_layers`."""
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, dict) or (
        isinstance(value, list) and value and isinstance(value[0], list)
    ):
        raise refuse(f"{what}; exactly one is accepted.")
    return _history(value, what)


def _layers_of(config: dict[str, Any], label: str) -> list[Any]:
    layers = config.get("layers")
    if not isinstance(layers, list) or not layers:
        raise refuse(f"{label} has no layers.")
    if len(layers) > MAX_LAYERS:
        raise refuse(f"{label} has {len(layers)} layers; at most {MAX_LAYERS} are accepted.")
    return layers


class _Count(NamedTuple):
    """How much of the whole model has been walked, as lists of one number that grow."""

    layers: list[int]
    calls: list[int]

    def add(self, kind: list[int], number: int, most: int, what: str) -> None:
        """Counts more, up to a cap."""
        kind[0] += number
        if kind[0] > most:
            raise refuse(f"the model has more than {most} {what}.")


def _calls(data: dict[str, Any], label: str, kind: str, count: _Count) -> Calls:
    """The calls of a layer of a Functional model."""
    nodes = data.get("inbound_nodes")
    if not isinstance(nodes, list) or not 1 <= len(nodes) <= MAX_CALLS:
        raise refuse(f"{label} must be called 1 to {MAX_CALLS} times.")
    count.add(count.calls, len(nodes), MAX_TOTAL_CALLS, "calls of layers")
    return [_call(node, label, kind == "MultiHeadAttention") for node in nodes]


def _walk(
    class_name: str, config: dict[str, Any], label: str, group: str, depth: int, count: _Count
) -> Walked:
    """The layers of a model, and the shapes of its inputs."""
    layers: dict[str, Layer] = {}
    inputs: dict[str, list[int | None]] = {}
    numbers: dict[str, int] = {}
    for i, data in enumerate(_layers_of(config, label)):
        kind, inner, name = _class_of(data, f"layer number {i} of {label}")
        count.add(count.layers, 1, MAX_LAYERS, "layers")
        if name in layers or name in inputs:
            raise refuse(f"{label} has two layers named {shown(name)}.")
        if kind == "InputLayer":
            inputs[name] = _input_shape(inner, name)
            if class_name == "Sequential" and i:
                raise refuse(f"{where(name, kind)} stands after other layers of {label}.")
            continue
        number = numbers[kind] = numbers.get(kind, -1) + 1
        path = f"{group}layers/{snake(kind)}" + (f"_{number}" if number else "")
        calls = _calls(data, where(name, kind), kind, count) if class_name == "Functional" else []
        if kind in MODELS:
            layers[name] = Layer(
                kind, name, path, {}, calls, _model(kind, inner, name, f"{path}/", depth + 1, count)
            )
        else:
            layers[name] = Layer(kind, name, path, _arguments(kind, inner, name), calls)
    if not layers:
        raise refuse(f"{label} has no layers but its inputs.")
    if len(inputs) > 1:
        raise refuse(f"{label} has {len(inputs)} inputs; exactly one is accepted.")
    return layers, inputs


def _model(
    class_name: str, config: dict[str, Any], name: str, group: str, depth: int, count: _Count
) -> Model:
    """A model and all that is in it."""
    label = where(name, class_name)
    if depth > MAX_DEPTH:
        raise refuse(f"{label}: models nest deeper than {MAX_DEPTH} levels.")
    extra = sorted(set(config) - _MODEL_ARGUMENTS)
    if extra:
        raise refuse(f"{label} has the argument {shown(extra[0])}, which is not on its list.")
    layers, inputs = _walk(class_name, config, label, group, depth, count)
    if class_name == "Sequential":
        return Model(list(layers.values()), None, next(iter(inputs.values()), None), None)
    source = _single(config.get("input_layers"), f"{label} has several inputs")
    if source.layer not in inputs:
        raise refuse(f"{label} has an input {shown(source.layer)} that is not an InputLayer.")
    output = _single(config.get("output_layers"), f"{label} has several outputs")
    last = layers.get(output.layer)
    if (
        last and last.class_name == "Functional"
    ):  # Keras counts the calls of such a model from 1 here, from 0 elsewhere
        output = Tensor(output.layer, output.call - 1)
    return Model(list(layers.values()), source.layer, inputs[source.layer], output)


def read(content: bytes) -> Model:
    """Walks a configuration.

    Args:
        content: The bytes of `config.json`.

    Returns:
        The model, all of it on the allow-list.

    Raises:
        Refused: Something is not; layer, argument and rule are named.
    """
    data = strict_json.read(MEMBER, content)
    class_name, config, name = _class_of(data, "the model")
    if class_name not in MODELS:
        raise refuse(f"the file holds a single layer of class {class_name}, not a model.")
    return _model(class_name, config, name, "", 1, _Count([0], [0]))
