"""What a classifier and its images must be; each check names what was expected and what came."""

from typing import Any

import keras
import numpy as np

from robust_interpretability.models.errors import InputError


def check_images(x: Any) -> None:
    """Checks images given from outside.

    Raises:
        InputError: `x` is not an array of floats in [0, 1] or of uint8, or has no examples, or
            holds NaN.
    """
    if keras.ops.is_tensor(x) and keras.backend.standardize_dtype(x.dtype) == "uint8":
        return  # any uint8 is an image, and need not leave the device to be looked at
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


def check_labels(y: np.ndarray, n: int, num_classes: int) -> None:
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


def check_classifier(model: keras.Model, x: np.ndarray, num_classes: int) -> None:
    """Checks that a model maps such images to logits.

    Args:
        model: The model.
        x: A few images it must accept, `(n, ...)` floats in [0, 1].
        num_classes: The number of logits it must put out.

    Raises:
        InputError: The model takes another shape, puts out another shape or several outputs, puts
            out probabilities (non-negative rows that sum to 1), or values that are not finite.
    """
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
            f"The model must put out logits of shape (n, {num_classes}). It puts out {got} for n ="
            f" {len(x)}."
        )
    logits = keras.ops.convert_to_numpy(logits)
    if not np.isfinite(logits).all():
        raise InputError("The model must put out finite logits. It puts out NaN or infinity.")
    if (logits >= 0).all() and np.allclose(logits.sum(-1), 1, atol=1e-3):
        raise InputError(
            "The model must put out logits. It puts out probabilities: remove the last softmax."
        )
