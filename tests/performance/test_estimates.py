"""A submission's estimated time against what a unit takes, with models of keras.applications.

pytest tests/performance/test_estimates.py -n 0 -s
"""

import time

import keras
import pytest
from keras import layers

from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution import runner
from pellucid.benchmark.submission import admission, cost, measure
from pellucid.benchmark.units import accuracy, configuration, plan, submitted
from pellucid.benchmark.units.context import Context
from pellucid.benchmark.units.store import Store
from tests.commands import TINY

WITHIN = 2.0
"""Ratio of a measured time to its estimate, either way; these machines are shared."""


def on_digits(name: str) -> keras.Model:
    """A model of keras.applications for 32x32 pixels and three channels, behind what makes them."""
    x = keras.Input((8, 8, 1))
    inner = getattr(keras.applications, name)(
        weights=None, input_shape=(32, 32, 3), classes=10, classifier_activation=None
    )
    return keras.Model(x, inner(layers.Resizing(32, 32)(layers.Concatenate()([x, x, x]))))


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50", "EfficientNetB0", "DenseNet121"])
def test_measuring_takes_about_as_long_as_estimated(name, tmp_path, benchmark, figure):
    on_digits(name).save(tmp_path / "model.keras")
    data = datasets.load("digits", train_limit=300, test_limit=100)
    began = time.perf_counter()
    admitted = admission.admit(tmp_path / "model.keras", data, print, weaker=True)
    figure("seconds in the cage and for the ranges", time.perf_counter() - began)
    work = plan.submission(configuration.resolve(None, TINY, []), data.info, admitted.sha256)
    store = Store(tmp_path / "run")
    store.root.mkdir()
    measure._store(work, store, admitted)
    estimated = cost.estimate(work, store, admitted.model, data, workers=1)
    context = Context(work, store, data)
    unit = next(u for u in work.of(accuracy.KIND) if u.network == submitted.SUBMISSION)

    def perform() -> float:
        began = time.perf_counter()
        runner.perform([unit], context, store, {})
        return time.perf_counter() - began

    first = perform()  # compiles
    taken = benchmark.pedantic(perform, rounds=1)
    expected = unit.cost * estimated.per_pass
    figure("milliseconds of a pass", 1000 * estimated.per_pass)
    figure("seconds, measured", taken)
    figure("seconds, the first time", first)
    figure("measured over estimated", taken / expected)
    assert 1 / WITHIN < taken / expected < WITHIN
