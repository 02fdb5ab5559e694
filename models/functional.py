"""A Keras model as a pure function of its weights, compiled once for an architecture and not once for a model.

Every compiled program in this project (prediction, attack, attribution, training) takes the weights
as arguments. So the hundreds of models of a grid share one program, kept here under the model's
structure.
"""

import json
import threading
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from robust_interpretability.models import backend
from robust_interpretability.models.batching import in_batches
from robust_interpretability.models.convolution import forward

SEED = "seed_generator_state"
"""Keras' name of the variable that a layer's random numbers follow from."""
_QUOTIENTS = np.arange(256, dtype=np.float32) / np.float32(255)


class State(NamedTuple):
    """The numbers of a model: trainable and other variables, each a list of tensors."""

    trainable: list[Any]
    other: list[Any]


def state(model: keras.Model) -> State:
    """The present values of a model's variables."""
    # tensors, not variables: TensorFlow would compile a program anew for each variable it is given
    trainable, other = model.trainable_variables, model.non_trainable_variables
    return State([ops.copy(v.value) for v in trainable], [ops.copy(v.value) for v in other])


def assign(model: keras.Model, values: State) -> None:
    """Writes values back into a model's variables."""
    for variable, value in zip(model.trainable_variables, values.trainable, strict=True):
        variable.assign(value)
    for variable, value in zip(model.non_trainable_variables, values.other, strict=True):
        variable.assign(value)


def logits_of(model: keras.Model, values: State) -> Callable[..., Any]:
    """The traceable function `(x, draw=0)` from pixels to logits, in inference mode, at the given weights.

    A model that draws at random in inference draws other numbers for another `draw`, an integer or
    a scalar tensor.
    """
    layerwise = forward(model, backend.convolution) if backend.own_convolution() else None
    if layerwise is not None:
        return lambda x, draw=0: layerwise(values.trainable, x)
    random = [v.name == SEED for v in model.non_trainable_variables]

    def logits(x: Any, draw: Any = 0) -> Any:
        shift = ops.cast(draw, "uint32")
        other = [
            v + ops.cast(shift, v.dtype) if is_seed else v
            for v, is_seed in zip(values.other, random, strict=True)
        ]
        return model.stateless_call(values.trainable, other, x, training=False)[0]

    return logits


def _names(config: Any) -> list[str]:
    """All names in a configuration, in order."""
    if isinstance(config, dict):
        own = [config["name"]] if isinstance(config.get("name"), str) else []
        return own + [name for value in config.values() for name in _names(value)]
    if isinstance(config, (list, tuple)):
        return [name for value in config for name in _names(value)]
    return []


def _anonymous(config: Any, numbers: dict[str, str]) -> Any:
    """A configuration without seeds, its names replaced by numbers: what the computation depends on."""
    if isinstance(config, dict):
        return {numbers.get(k, k): _anonymous(v, numbers) for k, v in config.items() if k != "seed"}
    if isinstance(config, (list, tuple)):
        return [_anonymous(v, numbers) for v in config]
    return numbers.get(config, config) if isinstance(config, str) else config


def structure(model: keras.Model) -> str:
    """A text that two models share only if one program serves both.

    A subclassed model's configuration need not tell what its `call` does, so such a model shares
    with itself alone.
    """
    if type(model) not in (keras.Sequential, keras.Model) and type(model).__name__ != "Functional":
        return f"{type(model).__qualname__} at {id(model)}"
    config = model.get_config()
    numbers = {name: f"#{i}" for i, name in enumerate(dict.fromkeys(_names(config)))}
    return json.dumps([model.input_shape, _anonymous(config, numbers)], sort_keys=True, default=str)


_programs: dict[tuple, tuple[Callable, keras.Model]] = {}
_lock = threading.Lock()


def program(
    model: keras.Model,
    key: tuple,
    make: Callable[[keras.Model], Callable],
    *,
    any_length: bool = True,
    rows_from: int | None = None,
) -> Callable:
    """The compiled program for a model's structure, made at its first use.

    Args:
        model: The model. Only its structure matters.
        key: What else the program depends on; hashable.
        make: Given a model, returns the function to compile. It must use the model through
            `stateless_call` alone.
        any_length: Whether it works for batches whose length is not known when it is compiled.
        rows_from: The argument from which on all first axes are a batch's, where that is so.

    Returns:
        The compiled function.
    """
    full = (structure(model), *key)
    with _lock:
        if (
            full not in _programs
        ):  # the model is kept with its program: an id in use cannot name another model
            _programs[full] = (
                backend.jit(make(model), any_length=any_length, rows_from=rows_from),
                model,
            )
        return _programs[full][0]


def pixels(x: Any) -> Any:
    """Traceable: images as float32 in [0, 1]; uint8 is divided by 255, floats stay as they are.

    The quotients are looked up: a compiler turns a division by a constant into a product, which
    rounds differently.
    """
    if keras.backend.standardize_dtype(x.dtype) == "uint8":
        return ops.take(_QUOTIENTS, ops.cast(x, "int32"))
    return ops.cast(x, "float32")


def _predict(model: keras.Model) -> Callable:
    return lambda trainable, other, x, draw: logits_of(model, State(trainable, other))(
        pixels(x), draw
    )


def predict(
    model: keras.Model,
    x: np.ndarray,
    *,
    values: State | None = None,
    batch_size: int = 1000,
    draw: int = 0,
) -> np.ndarray:
    """Outputs of a model for arrays.

    Args:
        model: A classifier (or any model with one input and one output).
        x: `(n, ...)`, uint8 or float32 in [0, 1].
        values: Variables to use in place of the model's own.
        batch_size: Examples at a time; does not change the result beyond rounding.
        draw: A number; a model that draws at random in inference draws other numbers for another.

    Returns:
        `(n, ...)` float32, for a classifier its logits.
    """
    run = program(model, ("predict",), _predict)
    values = values or state(model)
    number = backend.to_device(np.array(draw, np.int32))
    found = in_batches(
        run, (values.trainable, values.other), [x], lambda _: (number,), batch_size=batch_size
    )
    return np.concatenate([out for _, out in found])
