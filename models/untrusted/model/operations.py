"""Functions of `keras.ops` in a functional model, read as layers of the list.

`h + x`, `h * 2`, `keras.ops.relu(h)` are saved as nodes that are not layers. Each is checked here,
with the arguments of its call, and becomes the layers that compute the same (`functions`). So two
models that compute the same have the same graph, however they were written.
"""

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.operations import ELLIPSIS, PREFIX, Index
from pellucid.models.untrusted.layers.rules import (
    Unfit,
    integer,
    numbers,
    optional,
)
from pellucid.models.untrusted.model.calls import NOT_KERAS, passed, tensor
from pellucid.models.untrusted.model.functions import (
    HINTS,
    OPERATIONS,
    Constant,
    Given,
    Node,
)
from pellucid.models.untrusted.model.nested import MAX_CALLS, NestedLayer, refuse
from pellucid.models.untrusted.refusal import Refused, shown

MODULES = ("keras.src.ops.numpy", "keras.src.ops.nn", "keras.src.ops.core", "keras.src.ops.math")
"""Where Keras 3 defines these functions: the module of a node that is not a layer."""

MAX_NAME = 128
MAX_INDEX = 1 << 24
"""The largest number in a key `h[...]`."""

_KEYS = {"module", "class_name", "config", "registered_name", "name", "inbound_nodes"}


def is_operation(data: Json) -> bool:
    """Whether a node of a functional model is a function of `keras.ops`, not a layer."""
    return data.get("module") in MODULES


def _constant(value: object) -> Constant:
    """A number, or one for each channel: axes of size 1 before the last are dropped."""
    if isinstance(value, dict) and value.get("class_name") in ("__numpy__", "__tensor__"):
        config = value.get("config")
        value = config.get("value") if isinstance(config, dict) else None
    for _ in range(8):
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
    try:
        return numbers(value)
    except Unfit:
        raise Unfit("takes a constant that is not a number, or one number per channel") from None


def _part(value: object) -> Index:
    if type(value) is int:
        return [value]
    config = value.get("config") if isinstance(value, dict) else None
    if isinstance(value, dict) and isinstance(config, dict):
        if value.get("class_name") == "__ellipsis__":
            return ELLIPSIS
        if value.get("class_name") == "__slice__":
            ends = [config.get(name) for name in ("start", "stop", "step")]
            if ends[2] != 0:
                return [optional(integer(-MAX_INDEX, MAX_INDEX))(end) for end in ends]
    raise Unfit("takes a key that is not made of integers, slices and an ellipsis")


def _key(value: object) -> list[Index]:
    values = value if isinstance(value, list) else [value]
    if len(values) > 9:
        raise Unfit("takes a key of more than 9 parts")
    return [_part(v) for v in values]


def _given(name: str, value: object, label: str) -> Given:
    if name == "key":
        return _key(value)
    if isinstance(value, dict) and value.get("class_name") == "__keras_tensor__":
        return tensor(value, label)
    if isinstance(value, list) and value and isinstance(value[0], dict):
        if len(value) > MAX_CALLS:
            raise Unfit(f"takes more than {MAX_CALLS} tensors")
        return [tensor(v, label) for v in value]
    return _constant(value)


def _arguments(data: Json, parameters: tuple[str, ...], label: str) -> list[Given]:
    """The arguments of the one call of an operation, in the order of its parameters."""
    nodes = data.get("inbound_nodes")
    found = passed(nodes[0]) if isinstance(nodes, list) and len(nodes) == 1 else None
    if found is None or len(found[0]) > len(parameters) or set(found[1]) - set(parameters):
        raise Unfit(NOT_KERAS)
    named = dict(zip(parameters, found[0], strict=False)) | found[1]
    return [_given(name, named[name], label) for name in parameters if named.get(name) is not None]


def as_layers(data: Json, place: str, group: str) -> list[NestedLayer]:
    """The layers that compute what a node does; the last has its name.

    Args:
        data: The serialised node.
        place: How a message names it, should it have no name.
        group: The path of the model that it is in.

    Raises:
        Refused: It is not on the list, or is called in a way that is not.
    """
    class_name, name, config = data.get("class_name"), data.get("name"), data.get("config")
    called = f"keras.ops function {shown(class_name)}"
    if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not isinstance(config, dict):
        raise refuse(f"{place} is a {called} without a name or a configuration.")
    label = f"{called}, node {shown(name)},"
    if not isinstance(class_name, str) or class_name not in OPERATIONS:
        hint = HINTS.get(str(class_name), "use a layer of the list in its place")
        raise refuse(f"{label} is not on the list; {hint}.")
    if set(data) - _KEYS or data.get("registered_name") not in (None, class_name):
        raise refuse(f"{label} is not as Keras writes it.")
    operation = OPERATIONS[class_name]
    try:
        given = _arguments(data, operation.parameters, label)
        node = Node(name, f"{group}{PREFIX}{name}", config, given)
        operation.make(node)
    except Unfit as unfit:
        raise refuse(f"{label} {unfit}.") from None
    except (ValueError, TypeError) as error:
        if isinstance(error, Refused):
            raise
        raise refuse(f"{label} {NOT_KERAS}.") from None
    return node.finished()
