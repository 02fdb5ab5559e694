"""VAE-GANs: the protocol's channels, shapes and seeds."""

import keras
import numpy as np
import pytest

from robust_interpretability import models
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.functional import predict

VAE_GANS = [
    ("digits_vae_gan", (8, 8, 1), 10),
    ("mnist_vae_gan", (28, 28, 1), 10),
    ("cifar_vae_gan", (32, 32, 3), 128),
]


@pytest.mark.parametrize(("name", "shape", "latent"), VAE_GANS)
def test_vae_gans(name, shape, latent):
    vae_gan = models.get(name)(shape, seed=0, latent=latent, width=0.25)
    x = np.random.default_rng(0).random((3, *shape), np.float32)
    assert predict(vae_gan.encoder, x).shape == (3, 2 * latent)
    image = predict(vae_gan.decoder, np.zeros((3, latent), np.float32))
    assert image.shape == x.shape
    assert image.min() >= 0
    assert image.max() <= 1
    assert predict(vae_gan.discriminator, x).shape == (3, 1)
    again = models.get(name)(shape, seed=0, latent=latent, width=0.25)
    for a, b in zip(
        vae_gan.discriminator.get_weights(), again.discriminator.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_full_width_vae_gans_have_the_protocols_channels():
    def channels(model, kind):
        stack = [getattr(layer, "layer", layer) for layer in model.layers]
        return [layer.filters for layer in stack if type(layer) is kind]

    mnist = models.get("mnist_vae_gan")((28, 28, 1), seed=0)
    assert channels(mnist.encoder, keras.layers.Conv2D) == [64, 128, 256]
    assert channels(mnist.decoder, keras.layers.Conv2DTranspose) == [256, 128, 32, 1]
    assert channels(mnist.discriminator, keras.layers.Conv2D) == [32, 128, 256, 256]
    cifar = models.get("cifar_vae_gan")((32, 32, 3), seed=0)
    assert channels(cifar.encoder, keras.layers.Conv2D) == [64, 128, 256]
    assert channels(cifar.decoder, keras.layers.Conv2DTranspose) == [256, 128, 64]
    assert channels(cifar.discriminator, keras.layers.Conv2D) == [64, 64, 128, 128, 256, 256, 512]
    assert cifar.latent == 128


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("mnist_vae_gan", (32, 32, 3), r"\(28, 28, c\)"),
        ("cifar_vae_gan", (28, 28, 1), r"\(8 i, 8 j, c\)"),
        ("digits_vae_gan", (9, 8, 1), r"\(4 i, 4 j, c\)"),
    ],
)
def test_vae_gan_that_does_not_fit_the_images(name, shape, expected):
    with pytest.raises(InputError, match=expected):
        models.get(name)(shape, seed=0)
