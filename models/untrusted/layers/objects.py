"""Rules for serialised objects of Keras: initialisers, regularisers, constraints, seeds, the dtype.

Clean, an object is its class name and its arguments.
"""

from typing import TypeAlias

from pellucid.models.types import Json
from pellucid.models.untrusted.layers.rules import (
    Rule,
    Unfit,
    choice,
    integer,
    listed,
    number,
    optional,
)

Arguments: TypeAlias = dict[str, tuple[Rule[object], object]]
"""For each argument its rule and its default."""
Classes: TypeAlias = dict[str, Arguments]
"""The arguments of each class."""

_KEYS = {"module", "class_name", "config", "registered_name", "shared_object_id"}


def _one_of(kind: str, module: str, classes: Classes) -> Rule[list[object]]:
    """A serialised object of one of a few classes."""
    article = "an" if kind[0] in "aeiou" else "a"

    def rule(value: object) -> list[object]:
        if not isinstance(value, dict):
            raise Unfit(f"must be {article} {kind} object: one of {', '.join(classes)}")
        name, config = value.get("class_name"), value.get("config")
        if not isinstance(name, str) or name not in classes:
            raise Unfit(f"must be {article} {kind}: one of {', '.join(classes)}")
        if value.get("module") != module or value.get("registered_name") not in (None, name):
            raise Unfit(f"must be Keras' {kind} {name}, of module {module}")
        if set(value) - _KEYS:
            raise Unfit(f"must be the {kind} {name} with no other keys than Keras writes")
        arguments = classes[name]
        if not isinstance(config, dict) or set(config) - set(arguments):
            known = f"no arguments but {', '.join(arguments)}" if arguments else "no arguments"
            raise Unfit(f"must be the {kind} {name} with {known}")
        clean = {}
        for key, (inner, default) in arguments.items():
            try:
                clean[key] = inner(config.get(key, default))
            except Unfit as unfit:
                raise Unfit(f"must be the {kind} {name} whose {key} {unfit}") from None
        return [name, clean]

    return rule


def seed(value: object) -> None:
    """Drops a seed, whatever it is: the weights are in the file."""
    if value is None or type(value) is int:
        return
    if isinstance(value, dict) and value.get("class_name") == "SeedGenerator":
        config = value.get("config")
        if (
            value.get("module") == "keras.random"
            and isinstance(config, dict)
            and all(v is None or type(v) in (int, str) for v in config.values())
        ):
            return
    raise Unfit("must be an integer or null")


MIXED = ("mixed_float16", "mixed_bfloat16")
"""Policies under which weights are float32; a model is rebuilt in float32."""


def float32(value: object) -> str:
    """A dtype policy with float32 weights, as a name or as Keras saves it; read as float32."""
    if isinstance(value, dict):
        policy: Json = value
        if (policy.get("module"), policy.get("class_name")) != ("keras", "DTypePolicy"):
            raise Unfit("must be Keras' policy float32, or a mixed one")
        if set(policy) - _KEYS:
            raise Unfit("must be Keras' policy float32")
        config = policy.get("config")
        value = config.get("name") if isinstance(config, dict) else None
    if value != "float32" and value not in MIXED:
        raise Unfit(
            "must be float32 or mixed_float16, mixed_bfloat16: load the model under"
            " keras.config.set_dtype_policy('float32') and save it again"
        )
    return "float32"


_SEEDED: Arguments = {"seed": (seed, None)}
_AXES = optional(listed(integer(-8, 8)))
_FAN: Arguments = _SEEDED | {"input_axes": (_AXES, None), "output_axes": (_AXES, None)}
_SCALED: Arguments = {
    "scale": (number(1e-30), 1.0),
    "mode": (choice("fan_in", "fan_out", "fan_avg"), "fan_in"),
    "distribution": (
        choice("truncated_normal", "untruncated_normal", "uniform"),
        "truncated_normal",
    ),
}
_INITIALIZERS: Classes = {
    "Zeros": {},
    "Ones": {},
    "Constant": {"value": (number(), 0.0)},
    "GlorotNormal": _FAN,
    "GlorotUniform": _FAN,
    "HeNormal": _FAN,
    "HeUniform": _FAN,
    "LecunNormal": _FAN,
    "LecunUniform": _FAN,
    "VarianceScaling": _SCALED | _FAN,
    "RandomNormal": {"mean": (number(), 0.0), "stddev": (number(0), 0.05)} | _SEEDED,
    "TruncatedNormal": {"mean": (number(), 0.0), "stddev": (number(0), 0.05)} | _SEEDED,
    "RandomUniform": {"minval": (number(), -0.05), "maxval": (number(), 0.05)} | _SEEDED,
    "Orthogonal": {"gain": (number(), 1.0)} | _SEEDED,
    "OrthogonalInitializer": {"gain": (number(), 1.0)} | _SEEDED,
    "Identity": {"gain": (number(), 1.0)},
    "IdentityInitializer": {"gain": (number(), 1.0)},
}
_AXIS: Arguments = {"axis": (listed(integer(-8, 8)), 0)}
_FACTOR = number(0, 1e6)

initializer = _one_of("initializer", "keras.initializers", _INITIALIZERS)
regularizer = optional(
    _one_of(
        "regularizer",
        "keras.regularizers",
        {
            "L1": {"l1": (_FACTOR, 0.01)},
            "L2": {"l2": (_FACTOR, 0.01)},
            "L1L2": {"l1": (_FACTOR, 0.0), "l2": (_FACTOR, 0.0)},
            "OrthogonalRegularizer": {
                "factor": (_FACTOR, 0.01),
                "mode": (choice("rows", "columns"), "rows"),
            },
        },
    )
)
constraint = optional(
    _one_of(
        "constraint",
        "keras.constraints",
        {
            "MaxNorm": _AXIS | {"max_value": (number(0), 2.0)},
            "MinMaxNorm": _AXIS
            | {
                "min_value": (number(0), 0.0),
                "max_value": (number(0), 1.0),
                "rate": (number(0, 1), 1.0),
            },
            "NonNeg": {},
            "UnitNorm": _AXIS,
        },
    )
)
