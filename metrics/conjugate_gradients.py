"""The solver of `imputation`: conjugate gradients with a multilevel preconditioner, compiled.

Arrays are `(rows, columns)` float32. A column is one channel of one image, a row one pixel; after
the w pixels of an image's row comes one more that is always zero, so neighbours are a fixed number
of rows apart. Columns do not meet: what a column becomes depends neither on the others nor on how
many there are. Products and sums are rounded one by one, in an order of their own: the result does
not depend on the machine's vectors.
"""

from collections.abc import Callable
from typing import ParamSpec, TypeVar

import numba
import numpy as np

from pellucid.models.types import Array

P = ParamSpec("P")
R = TypeVar("R")


def _compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Compiled by Numba when it is first called, and kept; other threads run meanwhile."""
    try:
        return numba.njit(function, cache=True, nogil=True, error_model="numpy")
    except RuntimeError:  # there is no folder to keep it in
        return numba.njit(function, nogil=True, error_model="numpy")


@_compiled
def _sum_rows(x: Array, n: int) -> None:
    """Sums the first n rows of x into its first, pairwise."""
    while n > 1:
        half = (n + 1) // 2
        for i in range(n - half):
            for c in range(x.shape[1]):
                x[i, c] += x[half + i, c]
        n = half


@_compiled
def _dot(x: Array, y: Array, scratch: Array) -> None:
    """The sum over rows of x y, into the first row of the scratch."""
    n = x.shape[0]
    half = (n + 1) // 2
    for i in range(half):
        j = half + i
        if j < n:
            for c in range(x.shape[1]):
                scratch[i, c] = x[i, c] * y[i, c] + x[j, c] * y[j, c]
        else:
            for c in range(x.shape[1]):
                scratch[i, c] = x[i, c] * y[i, c]
    _sum_rows(scratch, half)


@_compiled
def _total(x: Array, scratch: Array) -> None:
    """The sum over rows of x, into the first row of the scratch."""
    scratch[: x.shape[0]] = x
    _sum_rows(scratch, x.shape[0])


@_compiled
def _add(x: Array, factor: Array, to: Array) -> None:
    """Adds x to an array, each column times a factor."""
    for i in range(x.shape[0]):
        for c in range(x.shape[1]):
            to[i, c] += x[i, c] * factor[c]


@_compiled
def blur(padded: Array, stride: int, out: Array, ring: Array) -> None:
    """[1, 2, 1] along both axes: 12 w convolved with an image, with 4 at the centre.

    Args:
        padded: The image, with a row of zeros and one pixel more before and after it.
        stride: Rows from a pixel to the one below.
        out: `(rows, columns)`; not defined at the pixel after each row of the image.
        ring: Scratch, `(3, columns)`.
    """
    n = out.shape[1]
    for k in range(out.shape[0] + 2):  # a row of [1, 2, 1] from above to below; three are kept
        at = k % 3
        for c in range(n):
            ring[at, c] = (padded[k, c] + padded[k + stride, c]) + (
                padded[k + stride, c] + padded[k + 2 * stride, c]
            )
        i, first, second = k - 2, (k - 2) % 3, (k - 1) % 3
        if i >= 0:
            for c in range(n):
                out[i, c] = (ring[first, c] + ring[second, c]) + (ring[second, c] + ring[at, c])


@_compiled
def multiply(
    padded: Array, stride: int, degree: Array, missing: Array, out: Array, ring: Array
) -> None:
    """12 A times an image, padded as for `blur`; zero where pixels are known."""
    blur(padded, stride, out, ring)
    for i in range(out.shape[0]):
        k = i + stride + 1
        for c in range(out.shape[1]):
            out[i, c] = (degree[i, c] * padded[k, c] - out[i, c]) * missing[i, c]


@_compiled
def _halve_row(
    x: Array, even: int, size: int, stride: int, count: int, out: Array, at: int
) -> None:
    """Twice line `even` of `size` lines and once the lines beside it, as far as there are any.

    A line has `count` rows of x, and lines are `stride` rows apart. They go to rows of `out` from
    `at` on.
    """
    for i in range(count):
        to, middle = at + i, even * stride + i
        if even < size:
            for c in range(x.shape[1]):
                out[to, c] = x[middle, c] + x[middle, c]
        else:
            for c in range(x.shape[1]):
                out[to, c] = 0
        if even + 1 < size:
            for c in range(x.shape[1]):
                out[to, c] += x[middle + stride, c]
        if even > 0:
            for c in range(x.shape[1]):
                out[to, c] += x[middle - stride, c]


@_compiled
def _restrict(x: Array, h: int, w: int, stride: int, out: Array, rows: Array) -> None:
    """4 P' x, with P the interpolation from every second pixel.

    The coarse image has h // 2 + 1 rows; if h is even, the last one lies outside. Columns alike.

    Args:
        x: The fine image, of h rows and w columns, `stride` apart.
        h: Its height.
        w: Its width.
        stride: Rows of x from a pixel to the one below.
        out: The coarse image.
        rows: Scratch, `(w, columns)` or more.
    """
    wide = w // 2 + 1
    for y in range(h // 2 + 1):
        _halve_row(x, 2 * y, h, stride, w, rows, 0)
        for i in range(wide):
            _halve_row(rows, 2 * i, w, 1, 1, out, y * wide + i)


@_compiled
def _restrict_all(x: Array, sizes: Array, stride: int, levels: Array, scratch: Array) -> None:
    """The image on all levels; the sum of the last one's pixels as the scratch's first row.

    Arguments as for `weights`.
    """
    for level in range(1, len(sizes)):
        h, w, first = sizes[level - 1]
        at = sizes[level, 2]
        to = levels[at : at + sizes[level, 0] * sizes[level, 1]]
        if level == 1:
            _restrict(x, h, w, stride, to, scratch)
        else:
            _restrict(levels[first : first + h * w], h, w, w, to, scratch)
    at, last = sizes[-1, 2], sizes[-1, 0] * sizes[-1, 1]
    _total(levels[at : at + last], scratch)


@_compiled
def _prolong(coarse: Array, h: int, w: int, stride: int, out: Array) -> None:
    """4 P `coarse`, of h rows and w columns; a pixel below another is `stride` rows away."""
    n, wide = coarse.shape[1], w // 2 + 1
    for y in range(0, h + 1, 2):  # along rows; the coarse row below the last fine one goes into it
        for i in range(w):
            to, left = min(y, h - 1) * stride + i, y // 2 * wide + i // 2
            right = left + i % 2
            if y < h or h % 2 == 0:
                for c in range(n):
                    out[to, c] = coarse[left, c] + coarse[right, c]
    for y in range(1, h, 2):
        for i in range(w):
            to = y * stride + i
            below = to + stride if y + 1 < h else to
            for c in range(n):
                out[to, c] = out[to - stride, c] + out[below, c]
    for y in range(0, h, 2):
        for i in range(y * stride, y * stride + w):
            for c in range(n):
                out[i, c] = out[i, c] + out[i, c]


@_compiled
def weights(
    absorption: Array,
    sizes: Array,
    stride: int,
    constant: float,
    factor: float,
    least: float,
    levels: Array,
    diagonals: Array,
    scratch: Array,
) -> None:
    """The diagonals of the preconditioner, level by level, and 1 / (1' A 1) as their last row.

    They are divided by the powers of 4 that `_restrict` and `_prolong` do not divide by.

    Args:
        absorption: A 1.
        sizes: Of every level `(height, width, first row)`; the first is the image itself.
        stride: As for `blur`.
        constant: c.
        factor: k.
        least: What 1' A 1 is at least.
        levels: Scratch for the coarse images, `(rows, columns)`.
        diagonals: Receives the result, `(rows + 1, columns)`.
        scratch: As many rows as the image.
    """
    n, scale = absorption.shape[1], np.float32(1)
    one, c, k = np.float32(1 / 4), np.float32(constant), np.float32(factor)
    _restrict_all(absorption, sizes, stride, levels, scratch)
    for level in range(1, len(sizes)):
        h, w, first = sizes[level]
        scale *= one
        for i in range(first, first + h * w):
            for column in range(n):
                diagonals[i, column] = (scale * scale) / (levels[i, column] * (k * scale) + c)
    for column in range(n):
        total = max(scratch[0, column] * scale, np.float32(least))
        diagonals[-1, column] = (scale * scale) / total


@_compiled
def precondition(
    x: Array,
    missing: Array,
    sizes: Array,
    stride: int,
    diagonals: Array,
    levels: Array,
    interpolated: Array,
    scratch: Array,
    out: Array,
) -> None:
    """M x, for x that is zero where pixels are known; arguments as for `weights`."""
    n, depth = x.shape[1], len(sizes)
    _restrict_all(x, sizes, stride, levels, scratch)
    for c in range(n):
        scratch[0, c] *= diagonals[-1, c]
    for level in range(depth - 1, 0, -1):
        at, rows = sizes[level, 2], sizes[level, 0] * sizes[level, 1]
        for i in range(rows):
            if level == depth - 1:
                for c in range(n):
                    interpolated[i, c] = scratch[0, c]
            for c in range(n):
                levels[at + i, c] = levels[at + i, c] * diagonals[at + i, c] + interpolated[i, c]
        h, w, _ = sizes[level - 1]
        if level > 1:
            _prolong(levels[at : at + rows], h, w, w, interpolated)
        else:
            _prolong(levels[at : at + rows], h, w, stride, out)

    for i in range(x.shape[0]):
        for c in range(n):
            out[i, c] = (out[i, c] + x[i, c]) * missing[i, c]


@_compiled
def solve(
    u: Array,
    missing: Array,
    padded: Array,
    degree: Array,
    sizes: Array,
    stride: int,
    diagonals: Array,
    levels: Array,
    interpolated: Array,
    scratch: Array,
    ring: Array,
    known: float,
    finished: float,
    most: int,
) -> int:
    """Replaces the missing pixels, starting at the mean of the known ones.

    Args:
        u: The images, changed in place.
        missing: As `u`, 1 where a pixel is missing and 0 elsewhere.
        padded: Scratch, zero before and after the image; see `blur`.
        degree: 12 times the sum of each pixel's weights.
        sizes: As for `weights`, as are the next four.
        stride: As for `blur`.
        diagonals: Of the preconditioner.
        levels: Scratch.
        interpolated: Scratch.
        scratch: Scratch, `(4, rows, columns)`.
        ring: As for `blur`.
        known: The number of an image's pixels.
        finished: r' M r at which a column is finished.
        most: Steps after which it is given up.

    Returns:
        The number of steps, one more than `most` where it was given up.
    """
    n, rows = u.shape[1], u.shape[0]
    z, r, q, product = scratch[0], scratch[1], scratch[2], scratch[3]
    p = padded[stride + 1 : stride + 1 + rows]
    end = np.float32(finished)

    for i in range(rows):
        for c in range(n):
            u[i, c] -= u[i, c] * missing[i, c]
    _total(u, product)
    factor = product[0].copy()
    _total(missing, product)
    for c in range(n):
        factor[c] /= np.float32(known) - product[0, c]
    _add(missing, factor, u)
    p[:] = u

    multiply(padded, stride, degree, missing, r, ring)
    for i in range(rows):
        for c in range(n):
            r[i, c] = -r[i, c]
    precondition(r, missing, sizes, stride, diagonals, levels, interpolated, product, z)
    p[:] = z
    _dot(r, z, product)
    length = product[0].copy()

    for step in range(most + 1):
        if not (length > end).any():
            return step
        multiply(padded, stride, degree, missing, q, ring)
        _dot(p, q, product)
        for c in range(n):
            factor[c] = length[c] / product[0, c] if length[c] > end else np.float32(0)
        _add(p, factor, u)
        for c in range(n):
            factor[c] = -factor[c]
        _add(q, factor, r)
        precondition(r, missing, sizes, stride, diagonals, levels, interpolated, product, z)
        _dot(r, z, product)
        for c in range(n):
            factor[c] = product[0, c] / length[c] if length[c] > end else np.float32(0)
            length[c] = product[0, c]
        for i in range(rows):
            for c in range(n):
                p[i, c] = p[i, c] * factor[c] + z[i, c]
    return most + 1
