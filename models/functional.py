"""A Keras model as a pure function of its weights, compiled once per architecture.

Every compiled program in this project (prediction, attack, attribution, training) takes the weights
as arguments. So the hundreds of models of a grid share one program. A table holds the programs,
keyed by the structure of the model.
"""

import threading
from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from pellucid.models import backend
from pellucid.models.batching import bound, in_batches
from pellucid.models.convolution import forward
from pellucid.models.footprint import largest_batch
from pellucid.models.pooling import first_maxima
from pellucid.models.structure import structure
from pellucid.models.types import Array, Tensor

SEED = "seed_generator_state"
"""Keras' name of the variable from which a layer's random numbers follow."""


class State(NamedTuple):
    """The numbers of a model: trainable and other variables, each a list of tensors."""

    trainable: list[Tensor]
    other: list[Tensor]


def state(model: keras.Model) -> State:
    """The present values of a model's variables."""
    # tensors, not variables: TensorFlow would compile a program again for each variable
    trainable, other = model.trainable_variables, model.non_trainable_variables
    return State([ops.copy(v.value) for v in trainable], [ops.copy(v.value) for v in other])


def assign(model: keras.Model, values: State) -> None:
    """Writes values back into a model's variables."""
    for variable, value in zip(model.trainable_variables, values.trainable, strict=True):
        variable.assign(value)
    for variable, value in zip(model.non_trainable_variables, values.other, strict=True):
        variable.assign(value)


def logits_of(model: keras.Model, values: State) -> Callable[..., Tensor]:
    """The traceable function `(x, draw=0)` from pixels to logits, in inference mode.

    Args:
        model: The model.
        values: The weights at which it is evaluated.

    Returns:
        The function. A model that draws at random in inference draws other numbers for another
        `draw`, an integer or a scalar tensor.
    """
    layerwise = forward(model) if backend.has_faster_convolution() else None
    if layerwise is not None:
        return lambda x, draw=0: layerwise(values.trainable, x)
    random = [v.name == SEED for v in model.non_trainable_variables]

    def logits(x: Tensor, draw: Tensor | int = 0) -> Tensor:
        shift = ops.cast(draw, "uint32")
        other = [
            v + ops.cast(shift, v.dtype) if is_seed else v
            for v, is_seed in zip(values.other, random, strict=True)
        ]
        return model.stateless_call(values.trainable, other, x, training=False)[0]

    return logits


PROGRAMS = 128
"""Compiled programs kept; beyond that, the one used longest ago is dropped."""

_programs: dict[tuple, tuple[Callable, keras.Model]] = {}
_lock = threading.Lock()


def program(
    model: keras.Model,
    key: tuple,
    make: Callable[[keras.Model], Callable],
    *,
    any_length: bool = True,
    rows_from: int | None = None,
    exact: bool = True,
) -> Callable:
    """The compiled program for a model's structure, made at its first use.

    Args:
        model: The model. Only its structure matters.
        key: What else the program depends on; hashable.
        make: For a model, returns the function to compile. It must use the model through
            `stateless_call` alone.
        any_length: Whether it works for batches whose length is not known when it is compiled.
        rows_from: The argument from which on all first axes are a batch's, where that is so.
        exact: Whether float32 keeps all its bits (see `models.precision`).

    Returns:
        The compiled function.
    """
    text = structure(model)
    full = (text, *key)
    with _lock:
        # A program holds the model it was made with: an id in use cannot name another model. That
        # model may have been changed since, and another batch shape would trace it as it is now.
        run, maker = _programs.pop(full, (None, model))
        if run is None or (maker is not model and structure(maker) != text):
            made_with = first_maxima(model) if backend.has_accelerator() else model
            run = backend.jit(
                make(made_with), any_length=any_length, rows_from=rows_from, exact=exact
            )
            if most := largest_batch(model):
                bound(run, most)
            maker = model
        _programs[full] = run, maker
        while len(_programs) > PROGRAMS:
            del _programs[next(iter(_programs))]
        return run


def pixels(x: Tensor) -> Tensor:
    """Images as float32 in [0, 1]: uint8 is divided by 255, floats stay as they are. Traceable.

    The quotients are rounded as a division rounds: a compiler turns one by a constant into a
    product, which rounds differently.
    """
    if keras.backend.standardize_dtype(x.dtype) == "uint8":
        return backend.bytes_over_255(x)
    return ops.cast(x, "float32")


def _predict(model: keras.Model) -> Callable:
    return lambda trainable, other, x, draw: logits_of(model, State(trainable, other))(
        pixels(x), draw
    )


def predict(
    model: keras.Model,
    x: Array,
    *,
    values: State | None = None,
    batch_size: int = 1000,
    draw: int = 0,
) -> Array:
    """Outputs of a model for arrays.

    Args:
        model: A classifier (or any model with one input and one output).
        x: `(n, ...)`, uint8 or float32 in [0, 1].
        values: The variables' values; None for those of the model.
        batch_size: Examples at a time; does not change the result beyond rounding.
        draw: An integer; a model that draws at random in inference draws other numbers for another.

    Returns:
        `(n, ...)` float32, for a classifier its logits.
    """
    run = program(model, ("predict",), _predict)
    values = values or state(model)
    number = backend.to_device(np.array(draw, np.int32))
    outputs = in_batches(
        run, (values.trainable, values.other), [x], lambda _: (number,), batch_size=batch_size
    )
    return np.concatenate([out for _, out in outputs])
