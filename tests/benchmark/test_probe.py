"""The estimate of a plan's time from a measured pace."""

import time

import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution import estimate
from pellucid.benchmark.units import configuration, plan, retrain, train
from tests.commands import TINY


def tiny() -> plan.Plan:
    info = datasets.Info("digits", "1.0.0", 300, 100, (8, 8, 1), 10)
    return plan.build(configuration.resolve(None, TINY, []), info)


def test_seconds_follow_from_the_pace():
    """300 images, 3 epochs: 900 passes; against 3 attack steps, 2,700 steps more.

    The VAE-GAN: 3 epochs.
    """
    pace, work = estimate.Pace(standard=0.01, step=0.001, vae_gan=0.1, workers=2), tiny()
    by_kind = {unit.kind.name: estimate.seconds(unit, pace) for unit in reversed(work.units)}
    assert by_kind["train"] == pytest.approx(9)  # the standard network comes first
    assert estimate.seconds(list(work.of(train.KIND))[1], pace) == pytest.approx(9 + 2.7)
    assert by_kind["vae_gan"] == pytest.approx(90)
    assert by_kind["retrain"] == pytest.approx(6)
    units = list(work.of(retrain.KIND))
    assert estimate.estimate(units, pace) == pytest.approx(len(units) * 6 / 2)


@pytest.mark.parametrize("whole", [True, False])
def test_no_epoch_seems_to_take_no_time(monkeypatch, whole):
    """With JAX all epochs of a run are told of at its end."""

    def fit(epochs, progress=lambda *_: None):
        for number in range(epochs):
            time.sleep(0.01)
            if not whole:
                progress(number)
        if whole:
            for number in range(epochs):
                progress(number)

    monkeypatch.setattr(estimate.backend, "WHOLE_RUNS", whole)
    assert 0.01 <= estimate._seconds(fit, 1) < 0.1


def test_a_measured_pace_is_positive_and_a_toy_has_no_manifold_model():
    pace = estimate.measure(tiny(), 1)
    assert pace.standard > 0
    assert pace.vae_gan > pace.standard
    toy = configuration.resolve("paper-toy", None, [])
    work = plan.build(toy, datasets.Info("gaussians", "1.0.0", 6000, 6000, (2,), 2))
    assert estimate.measure(work, 2).vae_gan == 0
