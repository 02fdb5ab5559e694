"""One serialised layer of the configuration: its class, its name and its arguments.

A class is a key of the lists in `allowed` or it is refused; no name of the file is ever imported.
"""

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.allowed import (
    AUGMENTATIONS,
    FUNCTIONS,
    HINTS,
    LAYERS,
    MODELS,
    MODULES,
    REQUIRED,
    WRAPPED,
)
from pellucid.models.untrusted.layers.objects import float32
from pellucid.models.untrusted.layers.rules import Unfit
from pellucid.models.untrusted.model.nested import refuse, where
from pellucid.models.untrusted.refusal import shown

KNOWN = {"InputLayer", *LAYERS, *MODELS, *AUGMENTATIONS, *WRAPPED}
"""Classes that a file may hold."""
_LAYER_KEYS = {
    "module",
    "class_name",
    "config",
    "registered_name",
    "build_config",
    "name",
    "inbound_nodes",
}
_IGNORED_KEYS = {"compile_config", "shared_object_id"}
_INPUT_ARGUMENTS = {"batch_shape", "dtype", "sparse", "ragged", "name", "optional"}
MAX_INPUT_RANK = 8
MAX_INPUT_SIZE = 1 << 24


def check_arguments(config: Json, allowed: set[str], label: str) -> None:
    """Refuses an argument that is not allowed.

    Raises:
        Refused: The message names the layer and the argument.
    """
    extra = sorted(set(config) - allowed)
    if extra:
        raise refuse(f"{label} has the argument {shown(extra[0])}, which is not on its list.")


def _check_class(data: Json, label: str) -> str:
    """The class of a serialised layer or model; it must be allowed and Keras' class."""
    class_name, module = data["class_name"], data.get("module")
    registered = data.get("registered_name")
    if class_name not in KNOWN:
        hint = HINTS.get(class_name, "use layers of the list, in a Sequential or functional model")
        raise refuse(
            f"{label} is of class {shown(class_name)[1:-1]}, which is not on the list of allowed"
            f" layers; {hint}."
        )
    modules = MODELS.get(class_name, (MODULES.get(class_name, "keras.layers"),))
    if module not in modules:
        expected = "keras" if class_name in MODELS else modules[0]
        raise refuse(
            f"{label} of class {class_name} is of module {shown(module)}, not {expected}:"
            " custom objects are refused; use the layers of Keras."
        )
    if registered not in (None, class_name):
        raise refuse(
            f"{label} of class {class_name} is registered as {shown(registered)}: custom objects"
            " are refused; use the layers of Keras."
        )
    return class_name


def identity(data: object, place: str) -> tuple[str, Json, str]:
    """Class, configuration and name of a serialised layer or model.

    Args:
        data: The serialised layer.
        place: How a message names it, should it have no name.

    Returns:
        Class name, configuration, name.

    Raises:
        Refused: It is not a layer, or its class is not on the list.
    """
    if not isinstance(data, dict) or not isinstance(data.get("class_name"), str):
        raise refuse(f"{place} is not a layer but {shown(data)}.")
    config = data.get("config")
    name = config.get("name") if isinstance(config, dict) else data.get("name")
    kind = "model" if data["class_name"] in MODELS else "layer"
    label = f"{kind} {shown(name)}" if isinstance(name, str) else place
    class_name = _check_class(data, label)
    label = f"{label} of class {class_name}"
    extra = sorted(set(data) - _LAYER_KEYS - _IGNORED_KEYS)
    if extra:
        raise refuse(f"{label} has the key {shown(extra[0])}, which Keras does not write.")
    if not isinstance(config, dict):
        raise refuse(f"{label} has no configuration.")
    if not isinstance(name, str) or not 0 < len(name) <= 128:
        raise refuse(f"{label} has a name that is not text of 1 to 128 characters.")
    return class_name, config, name


def clean_arguments(class_name: str, config: Json, name: str) -> Json:
    """The arguments of a layer or function on which inference depends, each by its rule.

    Raises:
        Refused: An argument is missing, is not on the layer's list, or breaks its rule.
    """
    allowed, label = (LAYERS | FUNCTIONS)[class_name], where(name, class_name)
    check_arguments(config, set(allowed), label)
    clean = {}
    for key, argument in allowed.items():
        value = config.get(key, argument.default)
        if value is REQUIRED:
            raise refuse(f"{label} lacks the argument {key}.")
        try:
            value = argument.rule(value)
        except Unfit as unfit:
            raise refuse(f"{label}: {key} is {shown(config.get(key))}; it {unfit}.") from None
        if argument.used:
            clean[key] = value
    return clean


def input_shape(config: Json, name: str) -> list[int | None]:
    """The batch shape of an `InputLayer`.

    Raises:
        Refused: The batch size is fixed, or the input is not a plain float32 tensor.
    """
    label = where(name, "InputLayer")
    check_arguments(config, _INPUT_ARGUMENTS, label)
    shape = config.get("batch_shape")
    if not isinstance(shape, list) or not 2 <= len(shape) <= MAX_INPUT_RANK:
        raise refuse(
            f"{label}: batch_shape is {shown(shape)}; it must be a list of 2 to {MAX_INPUT_RANK}"
            " sizes."
        )
    if shape[0] is not None:
        raise refuse(
            f"{label} fixes the batch size at {shown(shape[0])}; it must be free (null): leave out"
            " batch_size."
        )
    if any(
        size is not None and (type(size) is not int or not 1 <= size <= MAX_INPUT_SIZE)
        for size in shape
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
