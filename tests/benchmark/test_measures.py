"""Measures of maps as units of a run, and their agreement."""

import numpy as np
import pandas as pd
import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution import runner
from pellucid.benchmark.results import agreement
from pellucid.benchmark.results.figures import agreement as figure
from pellucid.benchmark.units import (
    configuration,
    fine_tune,
    map_measures,
    measures,
    plan,
    train,
)
from pellucid.benchmark.units.context import Context
from pellucid.benchmark.units.kind import Finished
from pellucid.benchmark.units.store import Store
from pellucid.metrics import attributions, f_fidelity, ground_truth, ranking, spectrum
from pellucid.metrics.alignment import alignment
from pellucid.metrics.gini import gini
from pellucid.metrics.max_sensitivity import max_sensitivity
from pellucid.metrics.total_variation import total_variation
from pellucid.models.errors import InputError
from pellucid.models.functional import predict
from tests.commands import TINY

SETTINGS = [
    "grid=[{norm='l2', epsilons=[0.6]}]",
    "measures={images=30, attributions=['gradient', 'gradient_input']}",
]
PER_IMAGE = {"gini", "total_variation", "max_sensitivity", "log_ris", "log_ros", "road"}

TRUE = [
    "data.name=xai_tris_translations_rotations_white",
    "grid=[{norm='l2', epsilons=[0.01]}]",
    "training={epochs=8, learning_rate=5e-3}",
    "measures={images=30, attributions=['gradient', 'gradient_input'], fine_tuning_epochs=2,"
    " names=['alignment', 'f_fidelity', 'mass_share', 'precision', 'earth_mover']}",
]


def performed(settings: list[str], data, folder) -> tuple[plan.Plan, Store, Context]:
    config = configuration.resolve(None, TINY, settings)
    whole = plan.build(config, data.info)
    kinds = (train.KIND, fine_tune.KIND, measures.KIND)
    units = tuple(unit for kind in kinds for unit in whole.of(kind))
    work, store = plan.Plan(config, data.info, whole.networks, units), Store(folder)
    context = Context(work, store, data)
    for unit in units:
        runner.perform([unit], context, store, {})
    return work, store, context


@pytest.fixture(scope="module")
def data():
    return datasets.load("digits", train_limit=300, test_limit=100)


@pytest.fixture(scope="module")
def measured(data, tmp_path_factory) -> tuple[plan.Plan, Store, Context]:
    return performed(SETTINGS, data, tmp_path_factory.mktemp("measures"))


def test_every_measure_of_every_network(measured):
    work, store, _ = measured
    for unit in work.of(measures.KIND):
        arrays = store.arrays(unit)
        first = unit.spec.attribution == "gradient"
        assert set(arrays) == PER_IMAGE | (set(map_measures.OF_NETWORK) if first else set())
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


CONTROLLED = [
    "grid=[{norm='l2', epsilons=[0.6]}]",
    f"measures={{images=30, controls={list(map_measures.CONTROLS_OF_MAPS)}}}",
]


@pytest.fixture(scope="module")
def controlled(data, tmp_path_factory) -> tuple[plan.Plan, Store, Context]:
    return performed(CONTROLLED, data, tmp_path_factory.mktemp("controlled"))


def test_every_control_is_measured_by_what_it_says_something_of(controlled):
    work, store, _ = controlled
    found: dict[str, dict[str, set[str]]] = {}
    for unit in work.of(measures.KIND):
        assert unit.network is not None
        found.setdefault(unit.network.label, {})[unit.spec.control] = set(store.arrays(unit))
    of_maps = {"gini", "total_variation", "road"}
    expected = {
        "own": PER_IMAGE | set(map_measures.OF_NETWORK),
        "mean": of_maps,
        "blurred": of_maps | {"max_sensitivity", "log_ris", "log_ros"},
        "blur_matched": of_maps | {"max_sensitivity"},
        "shuffled": of_maps | set(map_measures.OF_NETWORK),
        "shuffled_within": of_maps | set(map_measures.OF_NETWORK),
    }
    assert found["l2-0.6-xent"] == expected
    del expected["blur_matched"]
    assert found["standard"] == expected
    rows = pd.DataFrame(measures.rows_of_controls(work, store))
    assert set(rows["control"]) == set(map_measures.CONTROLS_OF_MAPS)
    assert "own" not in set(pd.DataFrame(measures.rows(work, store)).columns)
    assert not any("-" in m.name for m in measures.scores(Finished(work, store, {}), "standard"))


def test_controls_are_measured_as_their_maps_are(controlled, data):
    work, store, context = controlled
    for unit in work.of(measures.KIND):
        if unit.network.label == "standard":
            continue
        model, arrays, control = context.model(unit.spec.model), store.arrays(unit), None
        own = attributions.run("gradient", model, data.x_test)
        control = unit.spec.control
        if control == "mean":
            mean = attributions.run("gradient", model, data.x_train).mean(0, dtype=np.float64)
            np.testing.assert_allclose(arrays["gini"], gini(np.stack([mean] * 30)), rtol=1e-4)
        if control == "blurred":
            np.testing.assert_allclose(arrays["gini"], gini(spectrum.blur(own, 1)[:30]), rtol=1e-4)
            expected = max_sensitivity(
                "gradient", model, data.x_test[:30], seed=measures_seed(), blur=1.0
            )
            np.testing.assert_allclose(arrays["max_sensitivity"], expected, rtol=1e-4)
        if control.startswith("shuffled"):
            values = gini(own)
            came_from = [np.abs(values - v).argmin() for v in arrays["gini"]]
            np.testing.assert_allclose(arrays["gini"], values[came_from], rtol=1e-4)
            kept = np.array(came_from) == np.arange(30)
            at = alignment(model, data.x_test[:30], at=data.x_test[came_from])
            np.testing.assert_allclose(arrays["alignment"], at, rtol=1e-4)
            if control == "shuffled_within":
                classes = predict(model, data.x_test).argmax(1)
                assert (classes[came_from] == classes[:30]).all()
                alone = np.bincount(classes)[classes[:30]] == 1
                np.testing.assert_array_equal(kept, alone)
            else:
                assert not kept.any()


def test_a_submission_and_another_preset_have_no_controls(data):
    config = configuration.resolve(None, TINY, CONTROLLED)
    submitted = plan.submission(config, data.info, "0" * 64)
    assert {unit.spec.control for unit in submitted.of(measures.KIND)} == {"own"}
    with pytest.raises(InputError, match="sobel"):
        configuration.resolve(None, TINY, ["measures={controls=['sobel']}"])


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
    assert set(map_measures.OF_NETWORK) <= set(found)
    assert "alignment_gradient_input" not in found
    rows = pd.DataFrame(measures.rows(work, store))
    assert rows["finite"].eq(30).all()
    assert len(rows) == 2 * (2 * len(PER_IMAGE) + len(map_measures.OF_NETWORK))


def test_data_that_are_no_images_are_refused():
    config = configuration.resolve("paper-toy", None, ["measures={}"])
    with pytest.raises(InputError, match="Measures of maps need images"):
        measures.check_data(config, datasets.describe("gaussians"))


@pytest.fixture(scope="module")
def true(tmp_path_factory) -> tuple[plan.Plan, Store, Context]:
    data = datasets.load(TRUE[0].partition("=")[2], train_limit=1500, test_limit=60)
    return performed(TRUE, data, tmp_path_factory.mktemp("true"))


def explained(maps: np.ndarray, truth: np.ndarray) -> map_measures.Explained:
    x = np.zeros((*maps.shape, 1), np.uint8)
    return map_measures.Explained(
        None, "gradient", x, None, maps, None, 0, source=None, truth=truth
    )


def test_the_true_pixels_own_map_has_1_and_a_constant_one_their_share():
    truth = np.random.default_rng(0).random((5, 8, 8)) < 0.2
    for name in map_measures.TRUTHS:
        own = map_measures.MEASURES[name](explained(truth.astype(np.float32), truth))[name]
        np.testing.assert_allclose(own, 1)
    constant = explained(np.ones((5, 8, 8), np.float32), truth)
    for name in ("mass_share", "precision"):
        level = map_measures.MEASURES[name](constant)[name]
        np.testing.assert_allclose(level, truth.mean(axis=(1, 2)))


def test_maps_are_compared_with_the_truth_of_their_own_images(true):
    work, store, context = true
    for unit in work.of(measures.KIND):
        model, data = context.model(unit.spec.model), context.data
        maps = attributions.run(unit.spec.attribution, model, data.x_test[:30])
        for name in map_measures.TRUTHS:
            expected = getattr(ground_truth, name)(maps, data.truth_test[:30])
            np.testing.assert_allclose(store.arrays(unit)[name], expected, rtol=1e-4)


def test_truth_is_needed_and_not_asked_for_where_there_is_none():
    digits = datasets.describe("digits")
    for names in (["mass_share"], ["gini", "earth_mover"]):
        config = configuration.resolve(None, TINY, [f"measures={{names={names}}}"])
        with pytest.raises(InputError, match=rf"not known which pixels of 'digits'.*{names[-1]}"):
            measures.check_data(config, digits)
        measures.check_data(config, datasets.describe("xai_tris_xor_white"))
    measures.check_data(configuration.resolve(None, TINY, ["measures={}"]), digits)


def test_a_network_is_fine_tuned_once_for_all_attributions(true):
    work, store, context = true
    tuned = {(unit.network, unit.seed): unit for unit in work.of(fine_tune.KIND)}
    assert len(tuned) == len(list(work.of(fine_tune.KIND))) == 2
    for unit in work.of(measures.KIND):
        copy = tuned[unit.network, unit.seed]
        assert unit.spec.tuned == copy.key
        assert set(unit.needs) == {unit.spec.model, copy.key}
        assert copy.spec.model == unit.spec.model
        assert len(store.values(copy).history) == 2
    x = context.data.x_test[:30]
    before, after = (predict(context.model(k), x) for k in (unit.spec.model, copy.key))
    assert np.abs(before - after).max() > 1e-4, "it was trained further"


def test_f_fidelity_asks_the_fine_tuned_copy(true):
    """The mean over s of FFid+(s) - FFid-(1 - s), image by image."""
    work, store, context = true
    unit = list(work.of(measures.KIND))[1]
    x, y = context.data.x_test[:30], context.data.y_test[:30]
    maps = attributions.run(unit.spec.attribution, context.model(unit.spec.model), x)
    seed = measures_seed()
    ranks = np.concatenate(list(ranking.pieces(lambda part: maps[part], maps.shape, seed=seed)))
    copy = context.model(unit.spec.tuned)
    found = f_fidelity.run(copy, x, y, ranks, fill=context.fill, seed=seed)
    pairs = zip(found.plus(), found.minus()[::-1], strict=True)
    expected = np.mean([top - rest for top, rest in pairs], axis=0)
    np.testing.assert_allclose(store.arrays(unit)["f_fidelity"], expected, atol=1e-12)
    assert found.plus().any()
    assert found.minus().any()


def measures_seed() -> int:
    from pellucid.benchmark.units.context import derived_seed

    return derived_seed("measures")


def test_f_fidelity_needs_to_know_for_how_many_epochs():
    with pytest.raises(InputError, match=r"State for how many epochs, as measures\.fine_tuning_ep"):
        configuration.resolve(None, TINY, ["measures={names=['f_fidelity']}"])


def test_configurations_without_truth_and_fine_tuning_are_as_they_were(measured):
    assert measures.Measures().model_dump() == {
        "images": 200,
        "attributions": ["gradient"],
        "names": [
            "gini",
            "total_variation",
            "max_sensitivity",
            "relative_stability",
            "infidelity",
            "alignment",
            "road",
        ],
    }
    work, _, _ = measured
    fields = {"data", "model", "attribution", "names", "images"}
    assert all(set(unit.spec_json) == fields for unit in work.of(measures.KIND))


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
                "leak_gradient": [4, 3, 1, 2],
                "train_accuracy": [1, 2, 3, 4],
            }
        )
    ).set_index(["score", "other"])["spearman"]
    assert found["test_accuracy", "roar_gradient"] == pytest.approx(0.8)
    assert found["test_accuracy", "gini_gradient"] == pytest.approx(-1)
    assert np.isnan(found["test_accuracy", "alignment"])
    names = {name for pair in found.index for name in pair}
    compared = {"test_accuracy", "roar_gradient", "gini_gradient", "alignment", "leak_gradient"}
    assert names == compared
    config = configuration.resolve(None, TINY, [])
    drawn = figure.rank_agreement(tmp_path, config, found.reset_index().assign(networks=5))
    assert {path.suffix for path in drawn} == {".png", ".svg"}


def test_few_networks_are_not_ranked():
    few = scores_of({"test_accuracy": [1, 2, 3], "roar_gradient": [1, 2, 3]})
    assert agreement.rank_agreement(few).empty
