"""Distances beside nulls, tangent fractions and changes under noise, as units of a run."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution import runner
from pellucid.benchmark.units import (
    calibration,
    configuration,
    manifold,
    off_manifold,
    plan,
)
from pellucid.benchmark.units.context import Context
from pellucid.benchmark.units.kind import Finished
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import AttackSpec
from pellucid.metrics import hierarchical
from pellucid.metrics import off_manifold as metric
from pellucid.metrics.off_manifold import Changes
from pellucid.models.errors import InputError
from pellucid.models.vae_gan import VaeGan
from tests.commands import TINY

SETTINGS = [
    "grid=[{norm='l2', epsilons=[0.6]}]",
    "calibration={images=40, longest=1.5, blurs=[0.0], steps=10, prior_draws=0}",
    "off_manifold={lengths=[0.4, 0.8], draws=2}",
    "manifold.losses=['xent']",
]
IMAGES = 40
KINDS = ("train", "vae_gan", "calibration", "off_manifold", "manifold")


@pytest.fixture(scope="module")
def measured(tmp_path_factory) -> tuple[plan.Plan, Store, Context]:
    data = datasets.load("digits", train_limit=300, test_limit=100)
    whole = plan.build(configuration.resolve(None, TINY, SETTINGS), data.info)
    units = tuple(unit for unit in whole.units if unit.kind.name in KINDS)
    work = plan.Plan(whole.config, data.info, whole.networks, units)
    store = Store(tmp_path_factory.mktemp("off manifold"))
    context = Context(work, store, data)
    for unit in units:
        runner.perform([unit], context, store, {})
    return work, store, context


def unit_of(work: plan.Plan, label: str = "standard"):
    return next(u for u in work.of(off_manifold.KIND) if u.network.label == label)


def test_adversarial_examples_are_those_of_the_manifold_s_table(measured):
    """The same attack on the first images: the same distances, changes and kept examples."""
    work, store, _ = measured
    for unit in work.of(off_manifold.KIND):
        table = store.arrays(next(work.of(manifold.KIND, network=unit.network)))
        arrays = store.arrays(unit)
        for mine, theirs in (
            ("encoder_clean", "clean_distance"),
            ("xent_encoder_adversarial", "adversarial_distance"),
            ("xent_change", "change"),
        ):
            np.testing.assert_allclose(arrays[mine], table[theirs][:IMAGES], rtol=1e-4)
        np.testing.assert_array_equal(arrays["xent_kept"], table["kept"][:IMAGES])
        assert store.values(unit).kept == {"xent": int(arrays["xent_kept"].sum())}


def test_every_distance_is_there_and_codes_come_no_farther(measured):
    work, store, _ = measured
    for unit in work.of(off_manifold.KIND):
        arrays = store.arrays(unit)
        for name in ("adversarial", "noise", "phases", "permuted"):
            for of in calibration.MANIFOLDS:
                assert arrays[f"xent_{of}_{name}"].shape == (IMAGES,)
            assert (arrays[f"xent_optimised_{name}"] <= arrays[f"xent_encoder_{name}"]).all()


def test_tangents_are_those_of_the_functions(measured):
    work, store, context = measured
    unit = unit_of(work, "l2-0.6-xent")
    arrays, x = store.arrays(unit), context.data.x_test[:IMAGES]
    model = context.model(unit.spec.model)
    encoder, decoder = (context.model(unit.spec.models.vae_gan, k) for k in ("encoder", "decoder"))
    gradients = metric.input_gradients(model, x)
    bases = list(metric.tangent_bases(VaeGan(encoder, decoder, None), x))
    found = metric.tangent_fraction(gradients, bases)
    np.testing.assert_allclose(arrays["decoder_fraction_own"], found.fraction, rtol=1e-4)
    np.testing.assert_array_equal(arrays["decoder_isotropic"], found.null)

    flat = gradients.reshape(IMAGES, -1).astype(np.float64)
    basis = store.arrays(next(work.of(calibration.KIND)))["pca_basis"]
    inside = np.linalg.norm(flat @ basis, axis=1) ** 2 / np.linalg.norm(flat, axis=1) ** 2
    np.testing.assert_allclose(arrays["pca_fraction_own"], inside, rtol=1e-5)
    np.testing.assert_allclose(np.sort(arrays["pca_fraction_permuted"]), np.sort(inside), rtol=1e-5)
    assert (arrays["pca_fraction_permuted"] != arrays["pca_fraction_own"]).all()
    np.testing.assert_allclose(arrays["pca_isotropic"], 4 / 64)
    for name in ("tangent", "normal"):
        for of in off_manifold.TANGENTS:
            changes = arrays[f"{of}_{name}_change"]
            assert changes.shape == (IMAGES, 2)
            assert (changes[:, 1] > changes[:, 0]).mean() > 0.8, "more noise changes more"


def test_results_do_not_depend_on_how_many_are_held(measured, monkeypatch):
    work, store, context = measured
    monkeypatch.setattr(off_manifold, "CHUNK", 7)
    unit = unit_of(work)
    again = off_manifold.work(unit.spec, context)
    arrays = store.arrays(unit)
    assert again.arrays.keys() == arrays.keys()
    for name, values in arrays.items():
        np.testing.assert_allclose(again.arrays[name], values, rtol=1e-4, atol=1e-6, err_msg=name)


def test_a_change_drawn_without_the_image_has_no_excess(measured):
    """White noise in place of the adversary, on images that it does not push out of the box.

    By every manifold model within 4 standard errors of zero over every null.
    """
    work, store, context = measured
    data = context.data
    grey = datasets.Dataset(
        data.info, data.x_train, data.y_train, data.x_test // 2 + 64, data.y_test
    )
    unit = unit_of(work)
    models = dataclasses.replace(
        unit.spec.models,
        calibration=unit.spec.models.calibration.model_copy(update={"images": 100}),
    )
    noise = AttackSpec("noise", "l2", 0.8, "xent", 1, 0.0)
    spec = dataclasses.replace(unit.spec, models=models, attacks=(noise,))
    arrays = off_manifold.work(spec, Context(work, store, grey)).arrays
    assert np.ptp(arrays["xent_change"]) < 1e-5
    for of in calibration.MANIFOLDS:
        own = arrays[f"xent_{of}_adversarial"]
        for null in off_manifold.NULLS:
            over = own - arrays[f"xent_{of}_{null}"]
            assert abs(over.mean()) < 4 * over.std() / 10, (of, null)
            assert over.std() > 0


class Changed:
    """A store in which every unit has some other arrays."""

    def __init__(self, store: Store, **arrays: np.ndarray) -> None:
        self.store, self.changed = store, arrays

    def arrays(self, unit):
        return self.store.arrays(unit) | self.changed


def scores_of(work: plan.Plan, store, label: str = "standard") -> dict:
    measured = off_manifold.scores(Finished(work, store, {}), label)
    return {m.name: m.estimate for m in measured}


def test_an_image_that_does_not_exist_has_no_distance(measured):
    """As another image's change where the attack changes a single image; the others keep theirs."""
    work, _, context = measured
    spec = unit_of(work).spec
    stored = context.arrays(calibration.KIND, spec.calibration)
    found = calibration.models(spec.models, context, calibration.stored_subspace(stored))
    x = np.array(context.data.x_test[:IMAGES], np.float32) / 255
    whole = found.distances(x, "permuted")
    x[3] = np.nan
    for name, values in found.distances(x, "permuted").items():
        assert np.isnan(values[3])
        others = np.arange(IMAGES) != 3
        np.testing.assert_array_equal(values[others], whole[name][others])


def test_scores_are_means_of_paired_differences(measured):
    work, store, _ = measured
    arrays = store.arrays(unit_of(work))
    found = scores_of(work, store)
    expected = arrays["xent_pca_adversarial"] - arrays["xent_pca_phases"]
    assert found["manifold_xent_pca_excess_over_phases"].value == pytest.approx(expected.mean())
    excess = arrays["xent_optimised_adversarial"] - arrays["optimised_clean"]
    assert found["manifold_xent_optimised_excess"].value == pytest.approx(excess.mean())
    over = arrays["decoder_fraction_own"] - arrays["decoder_fraction_permuted"]
    estimate = found["tangent_fraction_decoder_over_permuted"]
    assert estimate.value == pytest.approx(over.mean())
    assert estimate.n == IMAGES
    assert "tangent_fraction_pca_over_permuted" not in found, "one space for all images"
    assert len(found) == 3 * 4 + (1 + 3 + 1) + (1 + 2 + 1)
    assert not scores_of(work, store, "nobody")


def test_images_without_a_gradient_or_a_direction_are_left_out(measured):
    work, store, _ = measured
    fraction = np.linspace(0, 1, IMAGES)
    fraction[[3, 4]] = np.nan
    change = np.ones((IMAGES, 2))
    change[7, 1] = np.nan
    normal = np.linspace(0, 2, 2 * IMAGES).reshape(IMAGES, 2)
    found = scores_of(
        work,
        Changed(
            store,
            decoder_fraction_own=fraction,
            decoder_tangent_change=change,
            decoder_normal_change=normal,
        ),
    )
    assert found["tangent_fraction_decoder"].n == IMAGES - 2
    assert found["tangent_fraction_decoder"].value == pytest.approx(np.nanmean(fraction))
    ratio = found["off_manifold_ratio_decoder"]
    assert ratio.n == IMAGES - 1
    assert ratio.value == pytest.approx(np.delete(normal, 7, axis=0).mean())
    nothing = scores_of(work, Changed(store, decoder_tangent_change=np.zeros((IMAGES, 2))))
    assert "off_manifold_ratio_decoder" not in nothing


def test_seeds_are_averaged_with_an_interval_over_both(measured):
    """Two seeds: the means' mean, and a ratio of means; one seed: the bootstrap's interval."""
    work, store, _ = measured
    unit = unit_of(work)
    other = dataclasses.replace(unit, seed=1)
    first = store.arrays(unit)
    second = first | {
        "pca_normal_change": 3 * first["pca_normal_change"],
        "xent_pca_adversarial": first["xent_pca_adversarial"] + 1,
    }

    class Two:
        def arrays(self, of):
            return second if of.seed == 1 else first

    two = plan.Plan(work.config, work.info, work.networks, (*work.units, other))
    found, alone = scores_of(two, Two()), scores_of(work, store)
    assert found["off_manifold_ratio_pca"].value == pytest.approx(
        2 * alone["off_manifold_ratio_pca"].value
    )
    name = "manifold_xent_pca_excess_over_noise"
    assert found[name].value == pytest.approx(alone[name].value + 0.5)
    differences = [a["xent_pca_adversarial"] - a["xent_pca_noise"] for a in (first, second)]
    assert found[name] == pytest.approx(hierarchical.over_images(np.stack(differences)))
    changes = (first[f"pca_{k}_change"].mean(axis=1)[:, None] for k in ("tangent", "normal"))
    assert alone["off_manifold_ratio_pca"] == metric.ratios(Changes(*changes))[0]
    assert alone["off_manifold_ratio_pca"].low < alone["off_manifold_ratio_pca"].value


@pytest.mark.parametrize("seeds", [1, 2])
def test_shares_of_images_average_to_the_ratio_and_spread_as_it_does(seeds):
    """Their mean is the ratio; their standard error is the ratio's over samples of images."""
    rng = np.random.default_rng(0)

    def drawn(images):
        tangent = rng.gamma(9.0, 1 / 9, (seeds, images, 1))
        normal = 3 * tangent * rng.gamma(16.0, 1 / 16, (seeds, images, 1))
        return [
            {"pca_tangent_change": t, "pca_normal_change": n}
            for t, n in zip(tangent, normal, strict=True)
        ]

    found = [off_manifold._ratio(drawn(400), "pca") for _ in range(300)]
    for ratio, shares in found:
        assert shares.shape == (seeds, 400)
        assert shares.mean() == pytest.approx(ratio.value)
    error = np.mean([shares.mean(axis=0).std(ddof=1) / 20 for _, shares in found])
    assert error == pytest.approx(np.std([ratio.value for ratio, _ in found]), rel=0.15)

    with_gap = drawn(50)
    with_gap[0]["pca_tangent_change"][7] = np.nan
    ratio, shares = off_manifold._ratio(with_gap, "pca")
    assert np.isnan(shares[:, 7]).all()
    assert np.nanmean(shares) == pytest.approx(ratio.value)


def test_tables(measured):
    work, store, _ = measured
    distances, fractions, noise = (
        pd.DataFrame(rows(work, store))
        for rows in (off_manifold.rows, off_manifold.tangent_rows, off_manifold.noise_rows)
    )
    assert len(distances) == 2 * 3 * IMAGES
    assert len(fractions) == 2 * 2 * IMAGES
    assert len(noise) == 2 * 2 * 2
    arrays = store.arrays(unit_of(work))
    part = distances[(distances["network"] == "standard") & (distances["manifold"] == "pca")]
    assert part["phases_distance"].tolist() == arrays["xent_pca_phases"].tolist()
    assert part["clean_distance"].tolist() == arrays["pca_clean"].tolist()
    assert part["kept"].dtype == bool
    tangent = arrays["decoder_tangent_change"][:, 1].mean()
    normal = arrays["decoder_normal_change"][:, 1].mean()
    row = noise[
        (noise["network"] == "standard")
        & (noise["manifold"] == "decoder")
        & (noise["length"] == 0.8)
    ].iloc[0]
    assert row["ratio"] == pytest.approx(normal / tangent)
    assert (row["tangent"], row["normal"]) == pytest.approx((tangent, normal))
    assert row["low"] < row["ratio"] < row["high"]


def test_which_scores_are_set_against_accuracy(measured):
    """The two that the literature has, by the decoder; all others are in the tables only."""
    work, store, _ = measured
    about = {name: off_manifold.describe(name) for name in scores_of(work, store)}
    described = {name: found.better for name, found in about.items() if found}
    assert described == {
        "tangent_fraction_decoder": "higher",
        "off_manifold_ratio_decoder": "lower",
    }
    assert not any(manifold.describe(name) for name in about)


INFO = datasets.Info("digits", "1.0.0", 300, 100, (8, 8, 1), 10)


def test_networks_are_those_whose_distances_are_measured():
    """One unit each, whatever the number of losses; the keys of other units stay."""
    settings = [*SETTINGS[1:3], "grid.1.measures=['retraining']"]
    before = plan.build(configuration.resolve(None, TINY, settings[2:]), INFO)
    after = plan.build(configuration.resolve(None, TINY, settings), INFO)
    labels = [u.label for u in after.of(off_manifold.KIND)]
    assert labels == [
        f"{name} seed 0"
        for name in ("standard", "l2-0.3-xent", "l2-0.6-xent", "l2-0.3-cw", "l2-0.6-cw")
    ]
    unit = next(after.of(off_manifold.KIND))
    assert [a.loss for a in unit.spec.attacks] == ["xent", "cw"]
    assert {u.key for u in before.units} < {u.key for u in after.units}
    added = {u.kind.name for u in after.units if u.key not in {v.key for v in before.units}}
    assert added == {"calibration", "off_manifold"}
    submitted = plan.submission(after.config, INFO, "ab" * 32)
    assert len(list(submitted.of(off_manifold.KIND))) == 1


@pytest.mark.parametrize("missing", ["calibration", "manifold"])
def test_what_it_needs(missing):
    settings = ["calibration={longest=1.0}", "off_manifold={}"]
    raw = configuration.resolve(None, TINY, settings).model_dump(exclude_none=True)
    del raw[missing]
    with pytest.raises(InputError, match=rf"\[off_manifold\] needs a \[{missing}\] section"):
        configuration.parse(raw)
    with pytest.raises(InputError, match="lengths must increase"):
        configuration.resolve(None, TINY, [*settings, "off_manifold.lengths=[2, 1]"])
