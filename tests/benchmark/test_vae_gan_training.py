"""The VAE-GAN learns to reconstruct, and its losses are the protocol's."""

import dataclasses

import numpy as np
import pytest
from keras.layers import SpectralNormalization

from pellucid import models
from pellucid.benchmark.training import vae_gan as training
from pellucid.benchmark.training.batches import batch_order
from pellucid.benchmark.training.vae_gan import fit_vae_gan
from pellucid.benchmark.units import configuration, plan
from pellucid.benchmark.units import vae_gan as unit_of_vae_gan
from pellucid.benchmark.units.context import Context
from pellucid.benchmark.units.store import Store
from pellucid.metrics import manifold
from pellucid.models import backend
from pellucid.models.vae_gan import BoundedConv2D, published_discriminator


def test_reconstructs_digits_and_is_seeded(digits):
    def trained(seed):
        vae_gan = models.get("digits_vae_gan")((8, 8, 1), seed=0)
        history = fit_vae_gan(
            vae_gan,
            digits.x_train,
            seed=seed,
            epochs=25,
            learning_rate=2e-3,
            reconstruction_weight=0.3,
        )
        return vae_gan, history

    vae_gan, history = trained(0)
    assert history[-1].reconstruction < history[0].reconstruction / 2
    x = digits.x_test / np.float32(255)
    error = np.mean((manifold.project(vae_gan, digits.x_test) - x) ** 2)
    assert error < 0.6 * np.mean((x - x.mean(0)) ** 2), (
        "it must explain more than a constant image does"
    )
    assert trained(0)[1] == history
    clean = manifold.manifold_distance(digits.x_test, vae_gan)
    noise = np.clip(x + np.random.default_rng(0).normal(0, 0.2, x.shape), 0, 1).astype(np.float32)
    assert (manifold.manifold_distance(noise, vae_gan) > clean).mean() > 0.9


def test_without_reshuffling_every_epoch_sees_the_same_images():
    """39 images in batches of 20: 19 are never seen, so that they may be any others."""
    x = np.random.default_rng(0).integers(0, 256, (39, 8, 8, 1), dtype=np.uint8)
    left_out = np.setdiff1d(np.arange(39), np.ravel(batch_order(backend.key(0), 39, 20)))
    assert len(left_out) == 19
    others = x.copy()
    others[left_out] = 0

    def history(images: np.ndarray) -> list:
        vae_gan = models.get("digits_vae_gan")((8, 8, 1), seed=0)
        return fit_vae_gan(vae_gan, images, seed=1, epochs=3, batch_size=20, reshuffle=False)

    assert history(x) == history(others)


@pytest.mark.parametrize("published", [False, True])
def test_spectrally_normalised_discriminator_and_several_steps_train_too(published):
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    vae_gan = models.get("cifar_vae_gan")((8, 8, 3), seed=0, latent=8, width=0.125)
    if published:
        discriminator = published_discriminator((8, 8, 3), seed=0, width=0.125)
        vae_gan = dataclasses.replace(vae_gan, discriminator=discriminator)
    before = [w.copy() for w in vae_gan.discriminator.get_weights()]
    history = fit_vae_gan(
        vae_gan, x, seed=0, epochs=2, batch_size=20, beta_1=0.0, discriminator_steps=2
    )
    assert np.isfinite(history).all()
    pairs = zip(before, vae_gan.discriminator.get_weights(), strict=True)
    changed = [
        not np.array_equal(a, b) for a, b in pairs if a.size > 1
    ]  # a unit vector of one number cannot change
    assert all(changed), "weights and power-iteration vectors alike"


@pytest.mark.parametrize(
    ("changes", "kind", "reshuffle"),
    [
        ([], SpectralNormalization, True),
        (["vae_gan.discriminator='2019'"], BoundedConv2D, True),
        (["vae_gan.reshuffle=false"], SpectralNormalization, False),
    ],
)
def test_a_unit_trains_the_discriminator_that_is_configured(
    changes, kind, reshuffle, digits, tmp_path, monkeypatch
):
    seen = {}

    def fit(vae_gan, x, **options):
        seen["kinds"] = {type(layer) for layer in vae_gan.discriminator.layers}
        seen["reshuffle"] = options["reshuffle"]
        return []

    monkeypatch.setattr(training, "fit_vae_gan", fit)
    small = ["vae_gan.name=cifar_vae_gan", "vae_gan.width=0.02", "vae_gan.latent=4"]
    config = configuration.resolve("quick", None, small + changes)
    work = plan.build(config, digits.info)
    unit = next(work.of(unit_of_vae_gan.KIND))
    unit_of_vae_gan.work(unit.spec, Context(work, Store(tmp_path), digits))
    assert kind in seen["kinds"]
    assert len(seen["kinds"] & {SpectralNormalization, BoundedConv2D}) == 1
    assert seen["reshuffle"] is reshuffle
