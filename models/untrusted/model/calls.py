"""The calls of a layer in a functional model's configuration: their inputs and options."""

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.allowed import AUGMENTATIONS
from pellucid.models.untrusted.model.nested import (
    MAX_CALLS,
    LayerCall,
    Output,
    refuse,
)
from pellucid.models.untrusted.refusal import shown

_ATTENTION = "MultiHeadAttention"
_ATTENTION_INPUTS = ("query", "value", "key")
_OFF = ("training", "return_attention_scores")
"""Options that may be named where they are off."""
_CALLED_SO = AUGMENTATIONS | {"CenterCrop", "Resizing"}
"""Layers for which Keras writes `training=True` unasked; at inference it overrides it."""

NOT_KERAS = "is called in a form that Keras does not write"


def _output(history: object, label: str) -> Output:
    """The output that a history (layer, call, index among the outputs) names."""
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
    return Output(history[0], history[1])


def tensor(data: object, label: str) -> Output:
    """The output that a `__keras_tensor__` names.

    Args:
        data: The serialised tensor.
        label: How a message names who takes it.

    Raises:
        Refused: It is not one.
    """
    if not isinstance(data, dict) or data.get("class_name") != "__keras_tensor__":
        return _output(None, label)
    config = data.get("config")
    return _output(config.get("keras_history") if isinstance(config, dict) else None, label)


def passed(node: object) -> tuple[list[object], Json] | None:
    """What a call passes by position and by name; None where Keras does not write such a call."""
    if not isinstance(node, dict) or set(node) != {"args", "kwargs"}:
        return None
    args, kwargs = node["args"], node["kwargs"]
    return (args, kwargs) if isinstance(args, list) and isinstance(kwargs, dict) else None


def single(value: object, label: str, what: str) -> Output:
    """The one entry of `input_layers` or `output_layers`.

    Args:
        value: The entry of the configuration.
        label: How a message names the model.
        what: "inputs" or "outputs".

    Raises:
        Refused: There are several, or it does not name an output of a layer.
    """
    if isinstance(value, list) and len(value) == 1 and isinstance(value[0], list):
        value = value[0]
    if isinstance(value, dict) or (
        isinstance(value, list) and value and isinstance(value[0], list)
    ):
        raise refuse(f"{label} has several {what}; exactly one is accepted.")
    return _output(value, f"{label}, for its {what},")


def _call(node: object, label: str, class_name: str) -> LayerCall:
    """One call of a layer."""
    found = passed(node)
    if found is None:
        raise refuse(f"{label} {NOT_KERAS}.")
    args, kwargs = found
    attention = class_name == _ATTENTION
    inputs = args[0] if len(args) == 1 and isinstance(args[0], list) else args
    if attention:
        named = [kwargs.get(key) for key in _ATTENTION_INPUTS[len(inputs) :]]
        inputs = [value for value in [*inputs, *named] if value]
        kwargs = {key: value for key, value in kwargs.items() if key not in _ATTENTION_INPUTS}
    if not 1 <= len(inputs) <= MAX_CALLS:
        raise refuse(
            f"{label} is called with {len(inputs)} tensors; 1 to {MAX_CALLS} are accepted."
        )
    options: dict[str, bool] = {}
    for key, value in kwargs.items():
        if attention and key == "use_causal_mask" and type(value) is bool:
            if value:
                options[key] = value
        elif key == "training" and class_name in _CALLED_SO:
            continue
        elif value is not None and not (value is False and key in _OFF):
            raise refuse(
                f"{label} is called with {shown(key)} = {shown(value)}, which is not accepted."
            )
    return LayerCall([tensor(value, label) for value in inputs], options)


def calls(data: object, label: str, class_name: str) -> list[LayerCall]:
    """The calls of a layer of a functional model.

    Args:
        data: The serialised layer.
        label: How a message names it.
        class_name: Its class.

    Raises:
        Refused: It is called too often, or in a way that is not accepted.
    """
    nodes = data.get("inbound_nodes") if isinstance(data, dict) else None
    if not isinstance(nodes, list) or not 1 <= len(nodes) <= MAX_CALLS:
        raise refuse(f"{label} must be called 1 to {MAX_CALLS} times.")
    return [_call(node, label, class_name) for node in nodes]
