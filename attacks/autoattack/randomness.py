"""Random numbers that belong to an image, whatever batch it is in. All functions are traceable.

There is one key per image, `(n,)` uint32. What is drawn is a hash of the key and of the number's
place, so that both backends draw the same. It is good enough for starting points and proposals, and
not for secrets.
"""

import math

import numpy as np
from keras import ops

from pellucid.models.types import Array, Tensor

_ROUNDS = (
    (np.uint32(16), np.uint32(0x21F0AAAD)),
    (np.uint32(15), np.uint32(0xD35A2D97)),
)
"""Shift in bits and factor of each round of the hash."""

_STEP = np.uint32(0x9E3779B9)
"""2**32 over the golden ratio: its multiples spread evenly over the 32-bit integers."""


def _mixed(x: Tensor) -> Tensor:
    """A bijection of 32-bit integers without visible structure.

    It is Wellons' hash of two rounds, x ^= x >> s; x *= f, the result of a search for least bias.
    """
    for shift, factor in _ROUNDS:
        x = ops.bitwise_xor(x, ops.right_shift(x, shift)) * factor
    return ops.bitwise_xor(x, ops.right_shift(x, np.uint32(15)))


def fold_in(keys: Tensor, data: Tensor) -> Tensor:
    """Other keys, from keys `(n,)` and integers, a scalar or `(n,)`."""
    return _mixed(ops.bitwise_xor(keys, _mixed(ops.cast(data, "uint32") * _STEP + _STEP)))


def keys_of(seed: int, numbers: Array) -> Array:
    """Keys of images.

    Args:
        seed: The seed of the attack, up to 62 bits.
        numbers: The images' places in their set, `(n,)`.

    Returns:
        `(n,)` uint32.
    """
    keys = np.asarray(numbers, np.uint32)
    for part in (seed & 0x7FFFFFFF, seed >> 31 & 0x7FFFFFFF):
        keys = np.asarray(
            ops.convert_to_numpy(fold_in(ops.convert_to_tensor(keys), np.uint32(part)))
        )
    return keys


def bits(keys: Tensor, shape: tuple[int, ...]) -> Tensor:
    """32 random bits per place: `(n, *shape)` uint32, for keys `(n,)`."""
    places = _mixed(
        ops.convert_to_tensor(np.arange(1, math.prod(shape) + 1, dtype=np.uint32) * _STEP)
    )
    return ops.reshape(_mixed(ops.bitwise_xor(ops.reshape(keys, (-1, 1)), places)), (-1, *shape))


def uniform(keys: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Uniform float32 draws in [0, 1), `(n, *shape)`."""
    return ops.cast(ops.right_shift(bits(keys, shape), np.uint32(8)), "float32") * np.float32(
        2**-24
    )


def signs(keys: Tensor, shape: tuple[int, ...]) -> Tensor:
    """-1 or 1 with equal chance, float32, `(n, *shape)`."""
    return ops.where(bits(keys, shape) < np.uint32(1 << 31), -1.0, 1.0)


def normal(keys: Tensor, shape: tuple[int, ...]) -> Tensor:
    """Standard normal float32 draws, `(n, *shape)`, by Box and Muller's transform."""
    length = ops.sqrt(-2.0 * ops.log(1.0 - uniform(fold_in(keys, 1), shape)))
    return length * ops.cos(2 * math.pi * uniform(fold_in(keys, 2), shape))
