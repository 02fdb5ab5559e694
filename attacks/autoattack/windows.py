"""Square windows, one per image: the rows of the image that they meet, read and written. Traceable.

A row is `(w c)` numbers, the channels of a pixel beside each other: long rows keep a processor's
vectors full, where three channels would not.
"""

from typing import NamedTuple, Self

import numpy as np
from keras import ops

from pellucid.models import backend
from pellucid.models.types import Tensor


class Windows(NamedTuple):
    """One window per image, and the rows that are looked at for its sake.

    Where a batch may have any shape (a graph on a CPU) these are as many as the largest window of
    the batch has, gathered and scattered. Where shapes are fixed they are all rows: compilers
    compute with a mask faster than they gather.

    Attributes:
        corner: The window's first row and column, `(n, 2)` int32.
        side: The window's side, `(n,)` int32.
        rows: Numbers of the rows, `(n, k)` int32.
        place: Places of the rows in the flat batch, `(n, k)` int32; None for all rows.
    """

    corner: Tensor
    side: Tensor
    rows: Tensor
    place: Tensor | None

    @classmethod
    def drawn(cls, uniform: Tensor, side: Tensor, shape: tuple[int, int, int]) -> Self:
        """Windows anywhere in images.

        Args:
            uniform: Draws in [0, 1), `(n, 2)`.
            side: Sides in pixels, `(n,)` int32.
            shape: Of an image, `(h, w, c)`.
        """
        height, width, _ = shape
        free = np.array([height + 1, width + 1], np.float32) - ops.cast(side, "float32")[:, None]
        corner = ops.cast(ops.floor(uniform * free), "int32")
        first = corner[:, :1]
        if backend.fixed_shapes():
            return cls(corner, side, np.arange(height, dtype=np.int32) + 0 * first, None)
        largest = ops.max(side)
        rows = ops.minimum(first, height - largest) + ops.arange(largest, dtype="int32")
        image = ops.arange(ops.shape(side)[0], dtype="int32")
        return cls(corner, side, rows, rows + height * image[:, None])

    def read(self, images: Tensor) -> Tensor:
        """The rows of images `(n, h, w, c)`, `(n, k, w c)`."""
        _, height, width, channels = images.shape
        if self.place is None:
            return ops.reshape(images, (-1, height, width * channels))
        return backend.take(ops.reshape(images, (-1, width * channels)), self.place)

    def written(self, images: Tensor, rows: Tensor) -> Tensor:
        """Images `(n, h, w, c)` with other rows, `(n, k, w c)`."""
        after = rows
        if self.place is not None:
            flat = ops.reshape(images, (-1, rows.shape[-1]))
            after = ops.scatter_update(flat, self.place[..., None], rows)
        return ops.reshape(after, (-1, *images.shape[1:]))

    def distances(self, width: int, channels: int = 1) -> tuple[Tensor, Tensor]:
        """From the window's corner to each row, `(n, k)`, and to each number of it, `(n, w c)`."""
        columns = np.repeat(np.arange(width, dtype=np.int32), channels)
        return self.rows - self.corner[:, :1], columns - self.corner[:, 1:]

    def covers(self, other: Self, shape: tuple[int, int, int]) -> Tensor:
        """Which numbers of other windows' rows these windows hold, `(n, k, w c)` bool."""
        down, across = (
            (distance >= 0) & (distance < self.side[:, None])
            for distance in self._replace(rows=other.rows).distances(*shape[1:])
        )
        return down[:, :, None] & across[:, None, :]
