"""Which pixels are removed from training images and test images."""

import math
from typing import NamedTuple

import numpy as np

from pellucid.metrics import MODES
from pellucid.metrics.masking import pixel_count
from pellucid.models.batching import to_device
from pellucid.models.errors import unknown
from pellucid.models.types import Array, Tensor

MaskTensors = tuple[Tensor, Tensor, Tensor]
"""`(count, keep, fill)` for `metrics.masking.masked`."""


class Mask(NamedTuple):
    """Which pixels are removed from images.

    Attributes:
        ranks: `(n, h, w)` uint16, one order of the pixels per image, 0 the most important pixel; an
            array or a tensor.
        fraction: Share of the pixels that is removed (`"roar"`) or kept (`"kar"`), in (0, 1).
        mode: `"roar"` or `"kar"`.
        fill: `(c,)` float32: what a removed pixel becomes, in [0, 1].
    """

    ranks: Array | Tensor
    fraction: float
    mode: str
    fill: Array

    def tensors(self) -> MaskTensors:
        """`(count, keep, fill)` for `metrics.masking.masked`, on the device.

        Raises:
            InputError: An unknown mode, or a fraction outside (0, 1).
        """
        if self.mode not in MODES:
            raise unknown("mode", self.mode, MODES)
        count = pixel_count(self.fraction, math.prod(self.ranks.shape[1:]))
        return (
            to_device(np.asarray(count, np.int32)),
            to_device(np.asarray(MODES[self.mode].top_pixels == "kept")),
            to_device(np.asarray(self.fill, np.float32)),
        )
