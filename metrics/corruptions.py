"""Corruptions of test images: five kinds, five severities each, for images of about 32x32 pixels.

With x an image in [0, 1], m its mean in each channel, z standard normal numbers and s the constant
of a severity,

    brightness        x + s
    contrast          m + s (x - m)
    gaussian_noise    x + s z
    blur              x * Gaussian of s pixels, each channel by itself, the border mirrored
    jpeg              x stored as JPEG of quality s, chroma at half the resolution, and read again

clipped to [0, 1] and rounded to bytes.

The constants are CIFAR-10-C's. They depend on the size of the images: those of ImageNet-C, which
packages for corruptions bring along, are noise of .08 to .38 for 224x224 pixels. CIFAR-10-C adds
its brightness to the value of HSV, and blurs with a nearest border; its files are not made here.

Reference: Hendrycks and Dietterich, arXiv 1903.12261.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from pellucid.models.checks import as_floats, check_images
from pellucid.models.errors import InputError, unknown
from pellucid.models.types import Array

SEVERITIES = (1, 2, 3, 4, 5)
"""From mild to severe."""

CHUNK = 500
"""Images corrupted at a time: what bounds the memory."""


@dataclass(frozen=True)
class Corruption:
    """A corruption.

    Attributes:
        title: What readers see.
        function: From images `(n, h, w, c)` in [0, 1], a constant and random generators, one per
            image, to corrupted images; these may leave [0, 1].
        constants: One per severity.
    """

    title: str
    function: Callable[[Array, float, list[np.random.Generator]], Array]
    constants: tuple[float, float, float, float, float]


def brightness(x: Array, added: float, rngs: list[np.random.Generator]) -> Array:
    """The constant `added` to all channels."""
    return x + added


def contrast(x: Array, factor: float, rngs: list[np.random.Generator]) -> Array:
    """Differences to the mean of an image's channel times `factor`."""
    mean = x.mean(axis=(1, 2), keepdims=True)
    return mean + factor * (x - mean)


def gaussian_noise(x: Array, deviation: float, rngs: list[np.random.Generator]) -> Array:
    """Normal numbers added to every channel of every pixel; a severity scales the same numbers."""
    return x + deviation * np.stack([rng.standard_normal(x.shape[1:]) for rng in rngs])


def blur(x: Array, deviation: float, rngs: list[np.random.Generator]) -> Array:
    """A Gaussian filter over height and width, `deviation` in pixels."""
    return ndimage.gaussian_filter(x, (0, deviation, deviation, 0), mode="reflect")


def jpeg(x: Array, quality: float, rngs: list[np.random.Generator]) -> Array:
    """Images of one or three channels stored as JPEG and read again."""
    from PIL import Image

    if x.shape[-1] not in (1, 3):
        raise InputError(f"JPEG needs images of 1 or 3 channels. Received {x.shape[-1]}.")
    out = np.empty(x.shape)
    for i, image in enumerate(as_bytes(x)):
        stored = io.BytesIO()
        picture = Image.fromarray(image[..., 0] if x.shape[-1] == 1 else image)
        picture.save(stored, "JPEG", quality=int(quality), subsampling="4:2:0")
        out[i] = np.asarray(Image.open(stored)).reshape(image.shape) / 255
    return out


CORRUPTIONS = {
    "brightness": Corruption("Brightness", brightness, (0.05, 0.10, 0.15, 0.20, 0.30)),
    "contrast": Corruption("Contrast", contrast, (0.75, 0.50, 0.40, 0.30, 0.15)),
    "gaussian_noise": Corruption("Gaussian noise", gaussian_noise, (0.04, 0.06, 0.08, 0.09, 0.10)),
    "blur": Corruption("Gaussian blur", blur, (0.4, 0.6, 0.7, 0.8, 1.0)),
    "jpeg": Corruption("JPEG", jpeg, (80, 65, 58, 50, 40)),
}
"""The corruptions by name, with the constants of severities 1 to 5 for 32x32 pixels."""


def as_bytes(x: Array) -> Array:
    """Images in [0, 1], clipped to it, as uint8, rounded to the nearest."""
    return np.rint(np.clip(x, 0, 1) * 255).astype(np.uint8)


def corrupt(
    name: str, x: Array, *, severity: int, seed: int = 0, places: Array | None = None
) -> Array:
    """Corrupted images.

    What is drawn at random belongs to an image's place and the seed. It is the same for all
    severities.

    Args:
        name: A key of `CORRUPTIONS`.
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1].
        severity: 1 to 5.
        seed: Seed of what is drawn.
        places: The images' places in their set, `(n,)`; None for 0, 1, ..., n - 1.

    Returns:
        `(n, h, w, c)` uint8.

    Raises:
        InputError: An unknown corruption or severity, or images of another kind.
    """
    if name not in CORRUPTIONS:
        raise unknown("corruption", name, CORRUPTIONS)
    if severity not in SEVERITIES:
        raise InputError(f"`severity` must be an integer from 1 to 5. Received {severity}.")
    check_images(x)
    places = np.arange(len(x)) if places is None else np.asarray(places)
    if x.ndim != 4 or places.shape != x.shape[:1]:
        raise InputError(
            "`x` must have shape (n, h, w, c) and `places` (n,). Received"
            f" {x.shape} and {places.shape}."
        )
    record = CORRUPTIONS[name]
    constant = record.constants[severity - 1]
    out = np.empty(x.shape, np.uint8)
    for start in range(0, len(x), CHUNK):
        part = slice(start, start + CHUNK)
        images = as_floats(x[part]).astype(np.float64)
        rngs = [np.random.default_rng([seed, int(place)]) for place in places[part]]
        out[part] = as_bytes(record.function(images, constant, rngs))
    return out
