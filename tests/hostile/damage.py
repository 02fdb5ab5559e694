"""Damaged HDF5 files, made and read inside the confinement, where HDF5 may die of them.

Imports no Keras.
"""

import os
from pathlib import Path

import numpy as np

from pellucid.models.untrusted import Refused
from pellucid.models.untrusted.model import configuration, graph, weights


def damage(content: bytes, draw: np.random.Generator) -> bytes:
    """An HDF5 file of the same length, bytes of its structure, not of its values, overwritten."""
    changed = bytearray(content)
    for _ in range(draw.integers(1, 6)):
        at = int(draw.integers(0, len(changed) - 8))
        kind = draw.integers(4)
        if kind == 0:
            changed[at] ^= 1 << int(draw.integers(8))
        elif kind == 1:
            changed[at] = int(draw.integers(256))
        elif kind == 2:
            changed[at : at + 8] = int(
                draw.choice([0, 1, 96, 4096, len(content), 2**32 - 1, 2**63])
            ).to_bytes(8, "little")
        else:
            to = int(draw.integers(0, len(changed) - 8))
            changed[at : at + 8] = changed[to : to + 8]
    return bytes(changed)


def main(arguments, outputs):
    """Reads damaged weights files in the confinement; writes a letter before and after each."""
    name, shape, classes, seed, first, last = arguments
    config, content = (Path(f"{name}.{end}").read_bytes() for end in ("json", "h5"))
    flat = graph.flatten(configuration.read(config), tuple(shape), classes)
    for i in range(first, last):
        os.write(outputs["progress"], b"?")
        answer = b"a"
        try:
            weights.read(damage(content, np.random.default_rng([seed, i])), flat)
        except Refused:
            answer = b"r"
        except BaseException as error:
            answer = b"x"
            print(i, type(error).__name__, error)
        os.write(outputs["progress"], answer)
