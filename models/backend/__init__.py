"""The one place that knows which backend computes: TensorFlow (the default) or JAX.

Keras 3 has no gradient, no random key within a compiled program and no switch for compilation that
work with every backend. `backend/tensorflow.py` and `backend/jax.py` hold those under the same
names, and nothing else; `keras.ops` serves everywhere for the rest. `KERAS_BACKEND=jax` before the
first import chooses JAX.

On a CPU, TensorFlow's programs run in graph mode: XLA compiles a convolution inside a loop to
single-threaded code, about twelve times slower. On an accelerator both backends use XLA.
"""

import math
import os
import sys
from typing import TYPE_CHECKING

import numpy as np

from pellucid.models.errors import InputError
from pellucid.models.startup import BACKENDS, check_backend
from pellucid.models.types import Tensor

_DETERMINISTIC = "--xla_gpu_deterministic_ops"


def import_keras() -> str:
    """Imports Keras with its backend; sets before what they read from the environment only once.

    A user's own values stand. `TF_CPP_MIN_LOG_LEVEL=2` keeps TensorFlow's start off the terminal.
    With JAX, `XLA_FLAGS` gets the flag that makes kernels on a GPU deterministic, which XLA reads
    when the first device is asked for. Everything else is set by `configure`.

    Returns:
        The backend's name.

    Raises:
        InputError: The backend is unknown, is not installed, or cannot be imported.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    keras_is_there = "keras" in sys.modules  # with whatever it was imported with
    name = "" if keras_is_there else check_backend()
    try:
        import keras
    except (ImportError, ValueError) as error:
        raise InputError(f"The backend '{name}' cannot be imported: {error}.") from error
    name = keras.backend.backend()
    if name not in BACKENDS:
        raise InputError(
            f"Keras runs on '{name}'. Set KERAS_BACKEND to {' or '.join(BACKENDS)} before it is"
            " imported."
        )
    flags = os.environ.get("XLA_FLAGS", "")
    if name == "jax" and _DETERMINISTIC not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_DETERMINISTIC}=true".strip()
    return name


NAME = import_keras()

from keras import ops  # noqa: E402 - after its environment is set

if TYPE_CHECKING or NAME == "tensorflow":
    from pellucid.models.backend.tensorflow import *  # noqa: F403
else:
    from pellucid.models.backend.jax import *  # noqa: F403


def flatten(tensors: list[Tensor]) -> Tensor:
    """One vector from a list of float tensors, of any shapes.

    An optimizer's step on one vector costs a tenth of its steps on many small tensors.
    """
    if not tensors:
        return ops.zeros((0,))
    return ops.concatenate([ops.reshape(t, (-1,)) for t in tensors])


def unflatten(vector: Tensor, shapes: list[tuple[int, ...]]) -> list[Tensor]:
    """The inverse of `flatten`, for static shapes."""
    if not shapes:
        return []
    ends = np.cumsum([math.prod(shape) for shape in shapes])[:-1].tolist()
    parts = ops.split(vector, ends)
    return [ops.reshape(part, shape) for part, shape in zip(parts, shapes, strict=True)]
