"""Attribution maps beside their images."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from pellucid.benchmark.library.inputs import image_maps
from pellucid.models.errors import InputError
from pellucid.models.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_maps(x: object, maps: object, *, titles: Sequence[str] | None = None) -> "Figure":
    """Images, and beside each what belongs to it: attribution maps, adversarial examples.

    A row is an image. The colours of a map end at its own largest absolute value, which stands
    below it; a map that is zero in every pixel says so. At most 8 panels are drawn, of the first
    images: others are drawn by passing them, as `x[20:24]`.

    Args:
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1]; what NumPy can convert.
        maps: Maps `(n, h, w)` of the same images, as from `attribute`, or a dictionary of up to
            seven by title. Images `(n, h, w, c)` in [0, 1], as from `attack`, are drawn as images.
        titles: One for each image, as the names of their classes.

    Returns:
        A `matplotlib.figure.Figure`, which a notebook shows; `figure.savefig("file.png")` writes
        it.

    Raises:
        InputError: Images of another kind, maps of another shape or that are not finite, another
            number of titles, or more than seven maps.

    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> x = digits.x_test[:2]
    >>> models = pellucid.load_models("digits", ["standard", "l2-0.6"])
    >>> maps = {name: pellucid.attribute("gradient", one, x) for name, one in models.items()}
    >>> figure = pellucid.plot_maps(x, maps, titles=[f"digit {k}" for k in digits.y_test[:2]])
    >>> [panel.get_title() for panel in figure.axes[:3]]
    ['image', 'standard', 'l2-0.6']
    """
    from pellucid.benchmark.library import plots
    from pellucid.benchmark.results.figures.pictures import MOST_PANELS

    x = image_maps(x)
    by_title = maps if isinstance(maps, Mapping) else {"map": maps}
    if not 1 <= len(by_title) < MOST_PANELS:
        raise InputError(
            f"`maps` must be 1 to {MOST_PANELS - 1} maps by title. Received {len(by_title)}."
        )
    if titles is not None and len(titles) != len(x):
        raise InputError(f"`titles` must be {len(x)}, one per image. Received {len(titles)}.")
    drawn = {str(title): _values(str(title), values, x) for title, values in by_title.items()}
    return plots.maps(x, drawn, titles)


def _values(title: str, values: object, x: Array) -> Array:
    """Maps `(n, h, w)` float64, or images `(n, h, w, c)`.

    Raises:
        InputError: They have another shape, or are not finite.
    """
    array = np.asarray(values)
    if array.shape == x.shape:
        if array.dtype != np.uint8 and (array.min() < 0 or array.max() > 1):
            raise InputError(
                f"'{title}' has the shape of images, which must lie in [0, 1]. Sum a gradient over"
                " its channels, as abs(gradient).sum(axis=-1)."
            )
        return image_maps(array, title)
    if array.shape != x.shape[:3]:
        raise InputError(
            f"'{title}' must have the shape {x.shape[:3]}, a map for each image. Received"
            f" {array.shape}."
        )
    if not np.isfinite(array).all():
        raise InputError(f"'{title}' must be finite. It has NaN or infinity.")
    return array.astype(np.float64)
