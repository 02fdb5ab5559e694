"""A classifier trained in place, for tests that need one."""

import keras
import numpy as np

from pellucid.benchmark.training.classifier import EpochMeans, train
from pellucid.models.functional import assign


def fit(model: keras.Model, x: np.ndarray, y: np.ndarray, **options: object) -> list[EpochMeans]:
    """Trains with `classifier.train` and keeps the weights; returns the history."""
    values, history = train(model, x, y, **options)  # type: ignore[arg-type]
    assign(model, values)
    return history
