"""A caller's model as a classifier from pixels in [0, 1] to float32 logits, or a refusal."""

import functools
import math
import re
import warnings

import keras
import numpy as np
from keras import ops

from pellucid.models import KERAS_LOCK
from pellucid.models.errors import InputError
from pellucid.models.structure import structure
from pellucid.models.types import Array, Tensor

TRIED = 64
"""Images on which a model is tried."""
SUM_TOLERANCE = 5e-3
"""By how much rows of probabilities may differ from 1; float16 rounds."""
GAIN = 0.25
"""Accuracy that another scale must gain on the tried images to be called the model's."""
SMALLEST = float(np.finfo(np.float32).tiny)
"""What smaller probabilities are raised to before their logarithm is taken."""
WRAPPED = 8
"""Wrapped models that are held at a time, with what is compiled for them."""


def classifier(model: object, x: Array, *, logits: bool = True, scale: float = 1.0) -> keras.Model:
    """A model that maps pixels in [0, 1] to float32 logits, with the weights of the caller's.

    It is the caller's model if that does so already. Otherwise it is wrapped: `scale` multiplies
    its input, and the logarithm is taken of its outputs if they are probabilities.

    Args:
        model: A Keras model with one input and one output: functional, sequential or subclassed.
        x: Images that it must accept, `(n, ...)`, uint8 or float32 in [0, 1].
        logits: Whether it outputs logits; else probabilities.
        scale: What pixels in [0, 1] are multiplied by before the model.

    Raises:
        InputError: It is not a Keras model, does not accept such images, or does not output what
            `logits` says; a scale that is not above 0.
    """
    check_kind(model, scale)
    assert isinstance(model, keras.Model)
    shape = tuple(x.shape[1:])
    outputs = check_classifier(model, x, logits=logits, scale=scale)
    direct = logits and scale == 1 and keras.backend.standardize_dtype(outputs.dtype) == "float32"
    if direct and _shapes(model) == ((None, *shape), (None, outputs.shape[-1])):
        return model
    return _wrapped(model, structure(model), shape, logits, scale)


def check_kind(model: object, scale: float) -> None:
    """Refuses what is not a Keras model, and a scale that is not above 0.

    Raises:
        InputError: It is one of these.
    """
    if not isinstance(model, keras.Model):
        kind = type(model)
        raise InputError(
            f"`model` must be a Keras model. Received {kind.__module__}.{kind.__qualname__}."
        )
    if not (math.isfinite(scale) and scale > 0):
        raise InputError(f"`scale` must be a number above 0. Received {scale}.")


def check_classifier(model: keras.Model, x: Array, *, logits: bool, scale: float) -> Tensor:
    """Tries a model on the first images; arguments and errors as for `classifier`.

    Returns:
        What it outputs for them.
    """
    _check_input(model, tuple(x.shape[1:]))
    outputs = _outputs(model, x[:TRIED], scale)
    _check_outputs(outputs, min(len(x), TRIED), logits)
    return outputs


def as_logits(outputs: Tensor, logits: bool) -> Tensor:
    """Outputs as float32 logits; of probabilities, their logarithms. Traceable."""
    outputs = ops.cast(outputs, "float32")
    return outputs if logits else ops.log(ops.clip(outputs, SMALLEST, 1.0))


def check_scale(model: keras.Model, x: Array, y: Array, scale: float) -> None:
    """Warns where a model is far less accurate with a scale than with the other usual one.

    It is not refused: the caller may have chosen images that are misclassified.

    Args:
        model: The caller's model.
        x: Images `(n, ...)`, uint8 or float32 in [0, 1].
        y: Labels `(n,)`.
        scale: The scale as passed; only 1 and 255 are compared.
    """
    others = {1.0: 255.0, 255.0: 1.0}
    if float(scale) not in others:
        return
    other = others[float(scale)]
    accuracy, with_other = (
        float(np.mean(ops.convert_to_numpy(outputs).argmax(-1) == y[:TRIED]))
        for outputs in (_outputs(model, x[:TRIED], scale), _outputs(model, x[:TRIED], other))
    )
    if with_other - accuracy < GAIN:
        return
    mend = "pass scale=255" if other == 255 else "leave out scale=255"
    warnings.warn(
        f"On the first {len(y[:TRIED])} images the model's accuracy is {accuracy:.2f}, and"
        f" {with_other:.2f} on pixels from 0 to {other:g}. If it takes those, {mend}.",
        stacklevel=3,
    )


def check_trainable(model: keras.Model) -> None:
    """Refuses a model whose trainable weights are not float32.

    Raises:
        InputError: They are not.
    """
    types = {variable.dtype for variable in model.trainable_variables} - {"float32"}
    if types:
        raise InputError(
            f"Weights are trained in float32. The model's are {', '.join(sorted(types))}: build it"
            " with the dtype policy float32 or mixed_bfloat16."
        )


def _shapes(model: keras.Model) -> tuple[object, object] | None:
    """Declared shapes of input and output; None for a model that does not declare them."""
    try:
        return model.input_shape, model.output_shape
    except Exception:  # subclassed models differ in what they raise
        return None


def _check_input(model: keras.Model, shape: tuple[int, ...]) -> None:
    """Refuses images whose shape is not the declared one."""
    declared = _shapes(model)
    if declared is None:
        return
    takes = declared[0]
    if not isinstance(takes, tuple) or any(isinstance(part, (tuple, list)) for part in takes):
        raise InputError(f"The model must have one input. Its inputs have the shapes {takes}.")
    wanted = takes[1:]

    def fits(received: tuple[int, ...]) -> bool:
        return len(received) == len(wanted) and all(
            want in (None, size) for size, want in zip(received, wanted, strict=True)
        )

    if fits(shape):
        return
    mend = ""
    if fits((*shape, 1)):
        mend = " Add the axis of channels: x[..., None]."
    elif len(shape) == 3 and fits((*shape[1:], shape[0])):
        mend = " Move the channels to the end: np.moveaxis(x, 1, -1)."
    raise InputError(f"The model takes images of shape {wanted}. Received {shape}.{mend}")


def _outputs(model: keras.Model, x: Array, scale: float) -> Tensor:
    """What the model outputs in inference mode, outside a compiled program.

    Raises:
        InputError: The model raises an error.
    """
    pixels = x.astype(np.float32) / np.float32(255) if x.dtype == np.uint8 else x
    try:
        return model(pixels * np.float32(scale), training=False)
    except Exception as error:  # the caller's code may raise what it likes
        raise _failed(error, f"{len(x)} images of shape {tuple(x.shape[1:])}") from error


def _failed(error: Exception, on: str) -> InputError:
    """The first line of what a model raised; Keras puts a heading before it, and colours."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if len(lines) > 1 and lines[0].startswith("Exception encountered when calling"):
        lines = lines[1:]
    line = lines[0][:200] if lines else ""
    return InputError(f"The model could not be called on {on} ({type(error).__name__}: {line}).")


def _check_outputs(outputs: Tensor, n: int, logits: bool) -> None:
    """Refuses outputs that are not what `logits` says."""
    if not ops.is_tensor(outputs):
        raise InputError(
            f"The model must return one tensor of logits. It returns {type(outputs).__name__}."
        )
    shape = tuple(outputs.shape)
    if len(shape) != 2 or shape[0] != n or shape[1] < 2:
        hint = ": end it with one output per class, two for two classes" if shape == (n, 1) else ""
        raise InputError(
            f"The model must output logits of shape (n, classes). It outputs {shape} for n ="
            f" {n}{hint}."
        )
    values = ops.convert_to_numpy(ops.cast(outputs, "float32"))
    if not np.isfinite(values).all():
        raise InputError("The model must output finite numbers. It outputs NaN or infinity.")
    are_probabilities = bool(
        (values >= 0).all() and np.allclose(values.sum(axis=1), 1, atol=SUM_TOLERANCE)
    )
    if logits and are_probabilities:
        raise InputError(
            "The model outputs probabilities, and logits are needed: pass logits=False, or remove"
            " its softmax."
        )
    if not logits and not are_probabilities:
        raise InputError(
            "With logits=False the model must output probabilities, rows of numbers of at least 0"
            " that sum to 1. It does not: leave out logits=False."
        )


@functools.lru_cache(maxsize=WRAPPED)
def _wrapped(
    model: keras.Model, _structure: str, shape: tuple[int, ...], logits: bool, scale: float
) -> keras.Model:
    """A functional model around a model; the structure tells whether one made before still fits."""
    with KERAS_LOCK:
        pixels = keras.Input(shape, dtype="float32")
        try:
            outputs = model(pixels if scale == 1 else pixels * scale)
        except Exception as error:
            raise _failed(error, f"a symbolic input of shape {(None, *shape)}") from error
        return keras.Model(pixels, as_logits(outputs, logits))
