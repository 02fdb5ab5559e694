"""Ranks of all images in one array, from the pieces that `metrics.ranking` yields."""

import numpy as np

from pellucid.metrics import ranking


def ranks(attribution: np.ndarray, *, seed: int) -> np.ndarray:
    """Of `(n, h, w)` attributions: the order that `ranking.pieces` gives, `(n, h, w)` uint16."""
    pieces = ranking.pieces(lambda part: attribution[part], attribution.shape, seed=seed)
    return np.concatenate(list(pieces))


def random_ranks(shape: tuple[int, int, int], *, seed: int) -> np.ndarray:
    """The random order, `(n, h, w)` uint16."""
    pieces = ranking.pieces(lambda part: ranking.indifferent(part, shape), shape, seed=seed)
    return np.concatenate(list(pieces))
