"""Measures of maps as units of a run, and their agreement."""

import numpy as np
import pandas as pd
import pytest

from robust_interpretability.benchmark.data import datasets
from robust_interpretability.benchmark.execution import runner
from robust_interpretability.benchmark.results import agreement
from robust_interpretability.benchmark.results.figures import agreement as figure
from robust_interpretability.benchmark.units import configuration, measures, plan, train
from robust_interpretability.benchmark.units.context import Context
from robust_interpretability.benchmark.units.kind import Finished
from robust_interpretability.benchmark.units.store import Store
from robust_interpretability.metrics import attributions
from robust_interpretability.metrics.alignment import alignment
from robust_interpretability.metrics.gini import gini
from robust_interpretability.metrics.total_variation import total_variation
from robust_interpretability.models.errors import InputError
from tests.commands import TINY

SETTINGS = [
    "grid=[{norm='l2', epsilons=[0.6]}]",
    "measures={images=30, attributions=['gradient', 'gradient_input']}",
]
PER_IMAGE = {"gini", "total_variation", "max_sensitivity", "log_ris", "log_ros", "road"}


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", train_limit=300, test_limit=100)


@pytest.fixture(scope="module")
def measured(data, tmp_path_factory) -> tuple[plan.Plan, Store, Context]:
    config = configuration.resolve(None, TINY, SETTINGS)
    whole = plan.build(config, data.info)
    units = (*whole.of(train.KIND), *whole.of(measures.KIND))
    work, store = (
        plan.Plan(config, data.info, whole.networks, units),
        Store(tmp_path_factory.mktemp("measures")),
    )
    context = Context(work, store, data)
    for unit in units:
        runner.perform([unit], context, store, {})
    return work, store, context


def test_every_measure_of_every_network(measured):
    work, store, _ = measured
    for unit in work.of(measures.KIND):
        arrays = store.arrays(unit)
        first = unit.spec.attribution == "gradient"
        assert set(arrays) == PER_IMAGE | (set(measures.OF_NETWORK) if first else set())
        assert {len(values) for values in arrays.values()} == {30}
        assert all(np.isfinite(values).all() for values in arrays.values())


def test_values_are_those_of_the_functions(measured, data):
    work, store, context = measured
    unit = next(work.of(measures.KIND))
    model, x = context.model(unit.spec.model), data.x_test[:30]
    maps = attributions.run("gradient", model, x)
    arrays = store.arrays(unit)
    np.testing.assert_allclose(arrays["gini"], gini(maps))
    np.testing.assert_allclose(arrays["total_variation"], total_variation(maps))
    np.testing.assert_allclose(arrays["alignment"], alignment(model, x), rtol=1e-5)


def test_scores_are_means_over_images_that_have_a_value(measured):
    """A NaN, as a map of zeros has, is left out and counted."""
    work, store, _ = measured
    unit = next(work.of(measures.KIND))
    arrays = {name: values.copy() for name, values in store.arrays(unit).items()}

    class Changed:
        def arrays(self, other):
            return arrays if other.key == unit.key else store.arrays(other)

        def values(self, other):
            return store.values(other)

    arrays["gini"][:5] = np.nan
    found = {m.name: m.estimate for m in measures.scores(Finished(work, Changed(), {}), "standard")}
    assert found["gini_gradient"].value == pytest.approx(arrays["gini"][5:].mean())
    assert found["gini_gradient"].n == 25
    assert set(measures.OF_NETWORK) <= set(found)
    assert "alignment_gradient_input" not in found
    rows = pd.DataFrame(measures.rows(work, store))
    assert rows["finite"].eq(30).all()
    assert len(rows) == 2 * (2 * len(PER_IMAGE) + len(measures.OF_NETWORK))


def test_data_that_are_no_images_are_refused():
    config = configuration.resolve("paper-toy", None, ["measures={}"])
    with pytest.raises(InputError, match="Measures of maps need images"):
        measures.check_data(config, datasets.describe("gaussians"))


def scores_of(values: dict[str, list[float]]) -> pd.DataFrame:
    return pd.DataFrame(
        {"network": f"n{i}", "score": name, "value": value}
        for name, column in values.items()
        for i, value in enumerate(column)
    )


def test_agreement_by_hand(tmp_path):
    """Ranks 1 2 3 4 against 1 2 4 3: 1 - 6 * 2 / 60 = .8; reversed -1."""
    found = agreement.rank_agreement(
        scores_of(
            {
                "test_accuracy": [0.1, 0.2, 0.3, 0.4],
                "roar_gradient": [1, 2, 4, 3],
                "gini_gradient": [4, 3, 2, 1],
                "alignment": [1, 1, 1, 1],
                "roar_gradient-shuffled": [1, 2, 3, 4],
                "train_accuracy": [1, 2, 3, 4],
            }
        )
    ).set_index(["score", "other"])["spearman"]
    assert found["test_accuracy", "roar_gradient"] == pytest.approx(0.8)
    assert found["test_accuracy", "gini_gradient"] == pytest.approx(-1)
    assert np.isnan(found["test_accuracy", "alignment"])
    names = {name for pair in found.index for name in pair}
    assert names == {"test_accuracy", "roar_gradient", "gini_gradient", "alignment"}
    config = configuration.resolve(None, TINY, [])
    drawn = figure.rank_agreement(tmp_path, config, found.reset_index().assign(networks=4))
    assert {path.suffix for path in drawn} == {".png", ".svg"}


def test_few_networks_are_not_ranked():
    few = scores_of({"test_accuracy": [1, 2, 3], "roar_gradient": [1, 2, 3]})
    assert agreement.rank_agreement(few).empty
