"""What a classifier and its images must be; each message names what was expected and received."""

from typing import TYPE_CHECKING

import numpy as np

from pellucid.models.errors import InputError
from pellucid.models.types import Array, Tensor

if TYPE_CHECKING:
    import keras


def as_floats(x: Array) -> Array:
    """Images on the host in [0, 1]: uint8 is divided by 255 in float32, floats stay as they are."""
    return x / np.float32(255) if x.dtype == np.uint8 else x


def check_images(x: Array | Tensor) -> None:
    """Checks images that a user passed.

    Raises:
        InputError: `x` is not an array of floats in [0, 1] or of uint8, or has no examples, or
            holds NaN.
    """
    import keras

    if keras.ops.is_tensor(x) and keras.backend.standardize_dtype(x.dtype) == "uint8":
        return  # every uint8 is a valid pixel: nothing to read from the device
    x = np.asarray(x)
    if x.ndim < 2 or not len(x):
        raise InputError(
            "`x` must be an array of at least one example, shape (n, ...). Received shape"
            f" {x.shape}."
        )
    if x.dtype == np.uint8:
        return
    if not np.issubdtype(x.dtype, np.floating):
        raise InputError(f"`x` must be floats in [0, 1] or uint8. Received dtype {x.dtype}.")
    low, high = float(x.min()), float(x.max())
    if not (low >= 0 and high <= 1):
        hint = "; divide by 255 first" if low >= 0 and 1 < high <= 255 else ""
        raise InputError(f"`x` must lie in [0, 1]. Received values in [{low:g}, {high:g}]{hint}.")


def check_paired(x: Array, at: Array) -> None:
    """Checks images that stand beside others, one for each.

    Raises:
        InputError: As `check_images`, or the shapes differ.
    """
    check_images(at)
    if np.shape(at) != np.shape(x):
        raise InputError(
            f"`at` must be images of the shape of `x`, {np.shape(x)}. Received {np.shape(at)}."
        )


def check_labels(y: Array, n: int, num_classes: int) -> None:
    """Checks integer labels `(n,)` in [0, num_classes).

    Raises:
        InputError: Shape, type or range is wrong.
    """
    y = np.asarray(y)
    if y.shape != (n,) or not np.issubdtype(y.dtype, np.integer):
        raise InputError(
            f"`y` must be {n} integers, shape ({n},). Received {y.dtype} of shape {y.shape}."
        )
    if y.size and not (y.min() >= 0 and y.max() < num_classes):
        raise InputError(
            f"`y` must lie in [0, {num_classes - 1}]. Received values in [{y.min()}, {y.max()}]."
        )


def check_classifier(model: "keras.Model", x: Array, num_classes: int) -> None:
    """Checks that a model maps such images to logits.

    Args:
        model: The model.
        x: A few images it must accept, `(n, ...)` floats in [0, 1].
        num_classes: The number of logits it must output.

    Raises:
        InputError: The model takes another shape, or outputs another shape, several tensors,
            probabilities (non-negative rows that sum to 1) or values that are not finite.
    """
    import keras

    check_images(x)
    expected = tuple(x.shape[1:])
    received = model.input_shape
    if (
        not isinstance(received, tuple)
        or len(received) != x.ndim
        or any(size not in (None, want) for size, want in zip(received[1:], expected, strict=False))
    ):
        raise InputError(
            f"The model must take inputs of shape (n, {', '.join(map(str, expected))}). It takes"
            f" {received}."
        )
    logits = model(np.asarray(x, np.float32), training=False)
    if not hasattr(logits, "shape") or tuple(logits.shape) != (len(x), num_classes):
        got = tuple(logits.shape) if hasattr(logits, "shape") else type(logits).__name__
        raise InputError(
            f"The model must output logits of shape (n, {num_classes}). It outputs {got} for n ="
            f" {len(x)}."
        )
    logits = keras.ops.convert_to_numpy(logits)
    if not np.isfinite(logits).all():
        raise InputError("The model must output finite logits. It outputs NaN or infinity.")
    if (logits >= 0).all() and np.allclose(logits.sum(-1), 1, atol=1e-3):
        raise InputError(
            "The model must output logits. It outputs probabilities: remove the last softmax."
        )
