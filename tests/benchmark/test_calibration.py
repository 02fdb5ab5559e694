"""The calibration of a run's manifold models as a unit of a run.

`python -m tests.benchmark.test_calibration` prints how well models that were fitted to discs know
the distance from discs: the numbers in `docs/protocol.md`.
"""

import numpy as np
import pandas as pd
import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution import runner
from pellucid.benchmark.units import calibration, configuration, plan, vae_gan
from pellucid.benchmark.units.context import Context
from pellucid.benchmark.units.store import Store
from pellucid.metrics import known_manifolds, latent_projection, manifold
from pellucid.models.errors import InputError
from pellucid.models.vae_gan import VaeGan
from tests.commands import TINY

SETTINGS = ["calibration={images=40, longest=1.5, blurs=[0.0, 1.0], steps=30, prior_draws=1}"]
IMAGES = 40


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory) -> tuple[plan.Plan, Store, Context]:
    data = datasets.load("digits", train_limit=300, test_limit=100)
    whole = plan.build(configuration.resolve(None, TINY, SETTINGS), data.info)
    units = (*whole.of(vae_gan.KIND), *whole.of(calibration.KIND))
    work = plan.Plan(whole.config, data.info, (), units)
    store = Store(tmp_path_factory.mktemp("calibration"))
    context = Context(work, store, data)
    for unit in units:
        runner.perform([unit], context, store, {})
    return work, store, context


def unit_of(work: plan.Plan):
    return next(work.of(calibration.KIND))


def test_distances_are_those_of_the_functions(calibrated):
    """By the encoder, by optimised codes, and to the subspace as another code fits it."""
    from sklearn.decomposition import PCA

    work, store, context = calibrated
    unit, x = unit_of(work), context.data.x_test[:IMAGES]
    arrays, values = store.arrays(unit), store.values(unit)
    models = (context.model(unit.spec.vae_gan, name) for name in ("encoder", "decoder"))
    loaded = VaeGan(*models, None)
    encoders = manifold.manifold_distance(x, loaded)
    np.testing.assert_allclose(arrays["encoder_distance"], encoders, rtol=1e-6)
    assert (arrays["optimised_distance"] < encoders).all()

    flat = [images.reshape(len(images), -1) / 255.0 for images in (context.data.x_train, x)]
    pca = PCA(4, svd_solver="full").fit(flat[0])
    residual = flat[1] - pca.inverse_transform(pca.transform(flat[1]))
    np.testing.assert_allclose(
        arrays["pca_distance"], 2 * np.linalg.norm(residual, axis=1), rtol=1e-5
    )
    errors = {r.manifold: r.mean_squared_error for r in values.reconstructions}
    assert errors["pca"] == pytest.approx(np.mean(residual**2), rel=1e-5)
    projection = manifold.project(loaded, x)
    expected = np.mean((x / np.float32(255) - projection) ** 2, dtype=np.float64)
    assert errors["encoder"] == pytest.approx(expected, rel=1e-5)
    assert errors["optimised"] < errors["encoder"]
    assert (values.images, values.components) == (IMAGES, 4)


def test_the_subspace_knows_its_distances_and_descents_find_theirs(calibrated):
    """The PCA exactly, and no descent is farther than where it started."""
    work, store, _ = calibrated
    checks = {(c.manifold, c.blur): c for c in store.values(unit_of(work)).checks}
    assert len(checks) == 3 * 2
    arrays = store.arrays(unit_of(work))
    for number, blur in enumerate((0.0, 1.0)):
        assert checks["pca", blur].spearman == 1
        assert checks["pca", blur].bias == pytest.approx(1, abs=1e-5)
        true = arrays[f"pca_away_{number}_true"]
        np.testing.assert_allclose(arrays[f"pca_away_{number}"], true, rtol=1e-5)
        assert 2.5 < true.max() <= 3, "paper units: twice the longest in pixel units"
        by_code, by_encoder = (arrays[f"{m}_away_{number}"] for m in ("optimised", "encoder"))
        assert (by_code <= by_encoder).all()
        assert checks["optimised", blur].spearman > checks["encoder", blur].spearman
        assert checks["optimised", blur].bias < checks["encoder", blur].bias


def test_results_do_not_depend_on_how_many_are_held(calibrated, monkeypatch):
    work, store, context = calibrated
    unit = unit_of(work)
    monkeypatch.setattr(calibration, "CHUNK", 7)
    again = calibration.work(unit.spec, context)
    for name, values in store.arrays(unit).items():
        np.testing.assert_allclose(again.arrays[name], values, rtol=1e-5, atol=1e-6, err_msg=name)
    assert (again.arrays["pca_basis"].sum(axis=0) >= 0).all()


def test_table(calibrated):
    work, store, _ = calibrated
    table = pd.DataFrame(calibration.rows(work, store))
    assert table["manifold"].tolist() == ["encoder", "optimised"] * 2 + ["pca"] * 2
    assert sorted(table["blur"].unique()) == [0, 1]
    assert (table.groupby("manifold")["mean_squared_error"].nunique() == 1).all()
    assert table["spearman"].between(table["low"], table["high"]).all()


def test_a_sampled_posterior_is_calibrated_as_it_is_used(calibrated):
    """With `manifold.sample_posterior` the encoder's code is a draw; the other models stay."""
    work, store, context = calibrated
    info = context.data.info
    config = configuration.resolve(None, TINY, [*SETTINGS, "manifold.sample_posterior=true"])
    sampled = unit_of(plan.build(config, info))
    assert sampled.spec.sample_posterior
    assert not unit_of(work).spec.sample_posterior
    again = calibration.work(sampled.spec, context).arrays
    stored = store.arrays(unit_of(work))
    assert not np.allclose(again["encoder_distance"], stored["encoder_distance"], rtol=1e-3)
    for name in ("optimised_distance", "pca_distance"):
        np.testing.assert_allclose(again[name], stored[name], rtol=1e-5)


def test_plan_and_mistakes():
    """One unit, of no more images than there are; other units keep their keys."""
    info = datasets.Info("digits", "1.0.0", 300, 30, (8, 8, 1), 10)
    before, after = (
        plan.build(configuration.resolve(None, TINY, changes), info) for changes in ([], SETTINGS)
    )
    added = {u.key for u in after.units} - {u.key for u in before.units}
    assert {u.key for u in before.units} < {u.key for u in after.units}
    assert added == {unit_of(after).key}
    assert unit_of(after).spec.calibration.images == 30
    assert unit_of(after).needs == (next(after.of(vae_gan.KIND)).key,)
    with pytest.raises(InputError, match=r"\[calibration\] needs a \[vae_gan\] section"):
        configuration.resolve("paper-toy", None, ["calibration={longest=1.0}"])
    with pytest.raises(InputError, match=r"calibration\.images"):
        configuration.resolve(None, TINY, ["calibration={longest=1.0, images=3}"])


def print_discs() -> None:
    """Fits a VAE-GAN and a PCA to discs, and prints their error and calibration on others."""
    from pellucid import models
    from pellucid.benchmark.training.vae_gan import fit_vae_gan
    from pellucid.models import backend
    from pellucid.models.batching import to_device

    backend.configure()
    discs = known_manifolds.Discs()
    x = np.rint(255 * discs.render(discs.parameters(4000, 1))).astype(np.uint8)
    held = discs.render(discs.parameters(256, 2)).astype(np.float32)
    for latent in (3, 10):
        fitted = models.get("digits_vae_gan")((*discs.size, 1), seed=0, latent=latent, width=1.0)
        fit_vae_gan(
            fitted,
            to_device(x),
            seed=0,
            epochs=20,
            batch_size=100,
            learning_rate=2e-3,
            beta_1=0.5,
            beta_2=0.9,
            reconstruction_weight=0.3,
        )
        estimators = {
            "encoder": lambda images, of=fitted: manifold.manifold_distance(images, of),
            "optimised": lambda images, of=fitted: latent_projection.project(of, images).distance,
            "pca": known_manifolds.pca(x, latent).distance,
        }
        for name, estimate in estimators.items():
            error = np.mean(estimate(held) ** 2) / 4 / held[0].size
            found = [
                known_manifolds.calibration(estimate, discs, sigma=sigma) for sigma in (0.0, 2.0)
            ]
            rhos = "  ".join(f"{rho.value:.3f} [{rho.low:.3f}, {rho.high:.3f}]" for rho in found)
            print(f"{latent:2} dimensions, {name:9}: error {error:.5f}, correlation {rhos}")


if __name__ == "__main__":
    print_discs()
