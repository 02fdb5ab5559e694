"""The VAE-GAN learns to reconstruct, and its losses are the protocol's."""

import numpy as np

from robust_interpretability import models
from robust_interpretability.benchmark.training.vae_gan import fit_vae_gan
from robust_interpretability.metrics import manifold


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


def test_spectrally_normalised_discriminator_and_several_steps_train_too():
    x = np.random.default_rng(0).integers(0, 256, (60, 8, 8, 3), dtype=np.uint8)
    vae_gan = models.get("cifar_vae_gan")((8, 8, 3), seed=0, latent=8, width=0.125)
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
