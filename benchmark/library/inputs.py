"""Images and labels as callers pass them, as the arrays that the rest of the project takes."""

import numpy as np

from pellucid.models.checks import check_images, check_labels
from pellucid.models.errors import InputError
from pellucid.models.types import Array


def _array(value: object, name: str) -> Array:
    """Anything that NumPy can convert.

    Raises:
        InputError: It cannot, or makes an array of objects of it.
    """
    try:
        array = np.asarray(value)
    except Exception as error:  # a foreign tensor raises what it likes
        raise InputError(
            f"`{name}` cannot be converted to a NumPy array ({type(error).__name__})."
            " A PyTorch tensor can after `.detach().cpu().numpy()`."
        ) from error
    if array.dtype == object:
        raise InputError(
            f"`{name}` must be an array. Received {type(value).__name__}: collect its batches with"
            " `np.concatenate`."
        )
    return array


def images(x: object, name: str = "x") -> Array:
    """Images as uint8 or float32 in [0, 1], `(n, ...)`.

    Args:
        x: What NumPy can convert: an array, a tensor, a list of images, a data frame.
        name: How the caller calls it.

    Raises:
        InputError: It is not an array of at least one image, or its values are neither uint8 nor
            floats in [0, 1].
    """
    array = _array(x, name)
    if array.ndim > 1 and len(array) and array.dtype != np.uint8:
        if not np.issubdtype(array.dtype, np.floating):
            raise InputError(
                f"`{name}` must be uint8 or floats in [0, 1]. Received {array.dtype}: if its"
                f" values are 0 to 255, pass `{name}.astype('uint8')`."
            )
        low, high = float(array.min()), float(array.max())
        if low >= 0 and 1 < high <= 255:
            raise InputError(
                f"`{name}` must lie in [0, 1]. Received values in [{low:g}, {high:g}]: divide by"
                " 255, and if the model takes 0 to 255, pass scale=255."
            )
        if -1 <= low < 0 and high <= 1:
            raise InputError(
                f"`{name}` must lie in [0, 1]. Received values in [{low:g}, {high:g}]: pass"
                f" ({name} + 1) / 2 and rescale at the start of the model, as with"
                " `keras.layers.Rescaling(2, -1)`."
            )
    check_images(array)
    return array if array.dtype == np.uint8 else array.astype(np.float32, copy=False)


def image_maps(x: object, name: str = "x") -> Array:
    """As `images`, and with rows, columns and channels.

    Raises:
        InputError: As `images`; another number of axes.
    """
    array = images(x, name)
    if array.ndim != 4:
        raise InputError(
            f"`{name}` must be images of shape (n, h, w, c). Received shape {array.shape}."
        )
    return array


def labels(y: object, n: int, num_classes: int, name: str = "y") -> Array:
    """Labels as integers `(n,)` int32; a column is flattened, one-hot rows become their class.

    Args:
        y: What NumPy can convert.
        n: The number of images.
        num_classes: The number of classes.
        name: How the caller calls it.

    Raises:
        InputError: Another number of labels, labels that are not integers or out of range, or rows
            that are not one-hot.
    """
    array = _array(y, name)
    if array.shape == (n, 1) and num_classes > 1:
        array = array[:, 0]
    if array.shape == (n, num_classes):
        is_one_hot = np.isin(array, (0, 1)).all() and (array.sum(axis=1) == 1).all()
        if not is_one_hot:
            raise InputError(
                f"`{name}` must be integers of shape ({n},) or one-hot rows. Received rows of"
                f" other values: pass `{name}.argmax(axis=1)`."
            )
        array = array.argmax(axis=1)
    if array.shape == (n,) and not np.issubdtype(array.dtype, np.integer):
        raise InputError(
            f"`{name}` must be integers. Received {array.dtype}: pass `{name}.astype(int)` if they"
            f" are the classes 0 to {num_classes - 1}."
        )
    if array.shape != (n,):
        raise InputError(
            f"`{name}` must be {n} integers, one per image. Received shape {array.shape}."
        )
    check_labels(array, n, num_classes)
    return array.astype(np.int32)
