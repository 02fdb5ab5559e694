"""Noisy linear imputation: removed pixels from their neighbours, so that masks leave no edges.

Every removed pixel i is the weighted mean of its neighbours j, plus noise. With w_ij = 1/6 beside,
above and below, and 1/12 along the diagonals, and u_j = x_j where a pixel is not removed,

    sum_j w_ij (u_i - u_j) = 0 for every removed i,    x_i = clip(u_i + noise * N(0, 1), 0, 1),

where j runs over the up to eight neighbours inside the image: the weights of a pixel at the border
are renormalised. A solution u is a mean of pixels that are not removed and lies between them, so
only noise is ever clipped, because networks take pixels in [0, 1]. On black or white it is then
one-sided, with mean .4 noise.

Without noise, linear ramps are restored exactly if no pixel at the border is removed; one that
varies along a row only, if no pixel of the first and last column is; constants always. Other ramps
bend towards the border, beyond which there are no neighbours: a lone removed pixel in the first row
becomes the ramp half a row further in, one in a corner .6 rows and .6 columns further in.

The equations A u = b of an image are symmetric and positive definite, the same for all channels,
and are solved by conjugate gradients, many images side by side. The preconditioner is

    M = I + sum_l P_l diag(c + k P_l' A 1)^-1 P_l' + 1 1' / (1' A 1),

with P_l the bilinear interpolation from every 2^l-th pixel to the removed ones (Bramble, Pasciak
and Xu 1990). With it 9 to 17 steps are enough, whatever the mask. For the residual r = b - A u,

    |u_i - solution_i| <= K sqrt(r' M r)    with K^2 = max_i (A^-1 M^-1 A^-1)_ii,

and every channel of an image is finished when that is at most `ERROR` with K = `WORST`.

Reference: Rong et al., arXiv 2202.00449.
"""

import numpy as np
from numpy.typing import DTypeLike

from pellucid.models.checks import check_images
from pellucid.models.errors import InputError
from pellucid.models.types import Array

NOISE = 0.01
"""Standard deviation of the noise, for pixels in [0, 1]."""

ERROR = 1 / 2000
"""The most by which a pixel differs from the solution; half a step of 8 bits is 1/510."""

WORST = 10.0
"""The largest K; every mask tried on images of up to 224x224 pixels has a smaller one.

K is largest where a single pixel is left, in a corner: 5.9, 6.7 and 9.3 for images of 16x16, 32x32
and 224x224 pixels, and 8.6 for 56x28. Masks that remove 10 to 90 percent of 28x28 have 1.3 to 5.5.
Where one side is s > 2 times as long as the other, `WORST` is multiplied by (s / 2)^2, which is
enough there.
"""

MOST_STEPS = 2000
"""Steps after which a solution is given up; 321 is the most seen, in images of 3000x1 pixels."""

CONSTANT, ABSORPTION = 0.8, 2.0
"""c and k of the preconditioner: those with the fewest steps, over masks of many shapes."""

LEAST = 1 / 12
"""What 1' A 1 is at least, where a pixel is removed."""

BLOCK = 200_000
"""Numbers in an array of images that are solved side by side: ten such fit into a CPU's cache."""

COLUMNS = 32
"""Numbers for each pixel, at least, in such an array of large images."""


class _Solver:
    """Memory for the equations of images side by side, and their solution."""

    def __init__(self, h: int, w: int, columns: int) -> None:
        # Numba takes a second to import; a run that imputes nothing does without.
        from pellucid.metrics import conjugate_gradients

        self._kernels = conjugate_gradients
        self.h, self.w, self.stride = h, w, w + 1
        self.pixels = h * self.stride
        strip = max(1.0, max(h, w) / min(h, w) / 2) ** 2
        # 12 A and 12 b are what `multiply` has, so r' M r is 144 times as large.
        self._finished = float((12 * ERROR / (WORST * strip)) ** 2)
        sizes, first = [(h, w, 0)], 0
        while len(sizes) == 1 or max(sizes[-1][:2]) > 2:
            h, w = h // 2 + 1, w // 2 + 1
            sizes.append((h, w, first))
            first += h * w
        self.sizes = np.array(sizes)

        around = self.stride + 1
        self._padded = np.zeros((self.pixels + 2 * around, columns), np.float32)
        self._scratch = np.zeros((4, self.pixels, columns), np.float32)
        self._ring = np.zeros((3, columns), np.float32)
        self._levels = np.zeros((2, first, columns), np.float32)
        self._diagonals = np.zeros((first + 1, columns), np.float32)
        self._degree = np.zeros((self.pixels, columns), np.float32)

        self.image(self._direction)[:] = 1
        self._kernels.blur(self._padded, self.stride, self._degree, self._ring)

    @property
    def _direction(self) -> Array:
        """The image inside the padding."""
        return self._padded[self.stride + 1 : -self.stride - 1]

    def image(self, x: Array) -> Array:
        """A view `(h, w, columns)` of `(pixels, columns)`."""
        return x.reshape(self.h, self.stride, -1)[:, : self.w]

    def weights(self, missing: Array) -> None:
        """Makes the preconditioner of a mask, `(pixels, columns)`."""
        absorption = self._scratch[0]
        self._direction[:] = missing
        self._kernels.multiply(
            self._padded, self.stride, self._degree, missing, absorption, self._ring
        )
        absorption *= np.float32(1 / 12)
        self._kernels.weights(
            absorption,
            self.sizes,
            self.stride,
            CONSTANT,
            ABSORPTION,
            LEAST,
            self._levels[0],
            self._diagonals,
            self._scratch[1],
        )

    def precondition(self, x: Array, missing: Array, out: Array) -> None:
        """M x, for x that is zero where pixels are known."""
        self._kernels.precondition(
            x,
            missing,
            self.sizes,
            self.stride,
            self._diagonals,
            self._levels[0],
            self._levels[1],
            self._scratch[1],
            out,
        )

    def solve(self, u: Array, missing: Array) -> int:
        """Replaces the missing pixels.

        Args:
            u: `(pixels, columns)`, changed in place.
            missing: As `u`, 1 where a pixel is missing and 0 elsewhere. A column must not be 1 in
                all of the image's pixels.

        Returns:
            The number of steps.

        Raises:
            ArithmeticError: There were more than `MOST_STEPS`.
        """
        self.weights(missing)
        steps = self._kernels.solve(
            u,
            missing,
            self._padded,
            self._degree,
            self.sizes,
            self.stride,
            self._diagonals,
            self._levels[0],
            self._levels[1],
            self._scratch,
            self._ring,
            self.h * self.w,
            self._finished,
            MOST_STEPS,
        )
        if steps > MOST_STEPS:
            raise ArithmeticError("The imputation of an image does not converge.")
        return int(steps)


def _draw(shape: tuple[int, ...], seed: int, first: int) -> Array:
    """Standard normal numbers `(n, m)` float32; row i depends on the seed and on first + i alone.

    A counter that begins with the row's place makes uniform numbers, which Box and Muller's
    transform turns into pairs of normal ones.
    """
    n, m = shape
    uniform = np.empty((n, 2, (m + 1) // 2), np.float32)
    bits = np.random.Philox(key=seed)
    generator, state = np.random.Generator(bits), bits.state
    for place, row in enumerate(uniform, first):
        state["state"]["counter"] = np.array([0, place, 0, 0], np.uint64)
        bits.state = state
        generator.random(out=row, dtype=np.float32)
    radius, angle = uniform[:, 0], uniform[:, 1]
    np.log(np.subtract(1, radius, out=radius), out=radius)
    radius *= -2
    np.sqrt(radius, out=radius)
    angle *= np.float32(2 * np.pi)
    cosine = np.cos(angle)
    np.sin(angle, out=angle)
    cosine *= radius
    angle *= radius
    return np.concatenate([cosine, angle], axis=1)[:, :m]


def _check(
    x: Array, removed: Array, noise: float, seed: int, offset: int, dtype: DTypeLike
) -> None:
    check_images(x)
    if np.ndim(x) != 4:
        raise InputError(f"`x` must have shape (n, h, w, c). Received {np.shape(x)}.")
    if removed.shape != x.shape[:3] or removed.dtype != np.bool_:
        raise InputError(
            f"`removed` must be booleans of shape {x.shape[:3]}, one for each pixel. Received"
            f" {removed.dtype} of shape {removed.shape}."
        )
    for name, value in (("noise", noise), ("seed", seed), ("offset", offset)):
        if not value >= 0:
            raise InputError(f"`{name}` must not be negative. Received {value}.")
    if np.dtype(dtype) not in (np.dtype(np.float32), np.dtype(np.uint8)):
        raise InputError(f"`dtype` must be float32 or uint8. Received {np.dtype(dtype)}.")
    nothing = np.flatnonzero(removed.all(axis=(1, 2)))
    if len(nothing):
        raise InputError(
            "An image needs a pixel that is not removed. All are in"
            f" {len(nothing)} of {len(x)}, first at index {nothing[0]}."
        )


def impute(
    x: Array,
    removed: Array,
    *,
    noise: float = NOISE,
    seed: int = 0,
    offset: int = 0,
    dtype: DTypeLike = np.float32,
) -> Array:
    """Images whose removed pixels follow from the others.

    An image's result depends on its pixels, its removed ones, the seed and its place in the whole
    set; neither on the other images nor on how many are passed at a time. The noise of a pixel
    does not depend on which pixels are removed.

    Args:
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1].
        removed: `(n, h, w)` booleans.
        noise: Standard deviation of the noise, for pixels in [0, 1].
        seed: Seed of the noise, not negative.
        offset: Place of the first image in the whole set, where `x` is a part of one.
        dtype: `np.float32` for pixels in [0, 1] or `np.uint8` for 0 to 255, rounded.

    Returns:
        `(n, h, w, c)` of that type. Pixels that are not removed keep their values.

    Raises:
        InputError: All pixels of an image are removed, or an argument is not as above.
    """
    removed = np.asarray(removed)
    _check(x, removed, noise, seed, offset, dtype)
    n, h, w, c = x.shape
    most = max(BLOCK // (h * (w + 1) * c), COLUMNS // c, 1)
    side_by_side = -(-n // -(-n // most))
    columns = c * side_by_side
    solver = _Solver(h, w, columns)
    out = np.empty(x.shape, dtype)
    u, missing = np.zeros((2, solver.pixels, columns), np.float32)
    scratch = np.zeros_like(u)

    def split(values: Array, size: int) -> Array:
        """The first `size` images of `(pixels, columns)`, as a view `(h, w, c, size)`."""
        return solver.image(values).reshape(h, w, c, side_by_side)[..., :size]

    for start in range(0, n, side_by_side):
        part = slice(start, min(start + side_by_side, n))
        size = part.stop - part.start
        missing[:] = 0  # columns without an image take no steps
        # Two steps: NumPy is slow to transpose and to broadcast at once.
        where = np.ascontiguousarray(removed[part].transpose(1, 2, 0), np.float32)
        split(missing, size)[:] = where[:, :, None]
        split(u, size)[:] = x[part].transpose(1, 2, 3, 0)
        if x.dtype == np.uint8:
            u /= 255
        solver.solve(u, missing)

        if noise:
            drawn = _draw((size, h * w * c), seed, offset + start).reshape(size, h, w, c)
            split(scratch, size)[:] = drawn.transpose(1, 2, 3, 0)
            scratch *= missing
            scratch *= np.float32(noise)
            u += scratch
        np.clip(u, 0, 1, out=u)
        if out.dtype == np.uint8:
            u *= 255
            np.rint(u, out=u)
        out[part] = split(u, size).transpose(3, 0, 1, 2)
    return out
