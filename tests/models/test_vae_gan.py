"""VAE-GANs: the protocol's channels, shapes and seeds."""

import keras
import numpy as np
import pytest

from pellucid import models
from pellucid.models.errors import InputError
from pellucid.models.functional import predict
from pellucid.models.vae_gan import BoundedConv2D, published_discriminator

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


def operator_norm(kernel: np.ndarray, strides: int, side: int) -> float:
    """The largest singular value of a convolution: of its matrix, made from all unit images."""
    channels = kernel.shape[2]
    basis = np.eye(side * side * channels, dtype=np.float32)
    images = basis.reshape(-1, side, side, channels)
    columns = keras.ops.convert_to_numpy(
        keras.ops.conv(images, kernel, strides=strides, padding="same")
    )
    return float(np.linalg.svd(columns.reshape(len(basis), -1), compute_uv=False)[0])


@pytest.mark.parametrize(("size", "strides"), [(3, 1), (4, 2)])
@pytest.mark.parametrize("sigma", [0.2, 4.0])
def test_bounded_convolution_divides_by_a_norm_above_one_alone(size, strides, sigma):
    rng = np.random.default_rng(0)
    layer = BoundedConv2D(5, size, strides=strides, padding="same")
    layer.build((None, 6, 6, 3))
    kernel = rng.normal(size=(size, size, 3, 5)).astype(np.float32)
    kernel *= sigma / operator_norm(kernel, strides, 6)
    bias = rng.normal(size=5).astype(np.float32)
    layer.set_weights([kernel, bias, rng.normal(size=(1, 6, 6, 3)).astype(np.float32)])
    x = rng.normal(size=(2, 6, 6, 3)).astype(np.float32)
    for _ in range(60):
        found = layer(x)
    expected = keras.ops.conv(x, kernel / max(sigma, 1), strides=strides, padding="same") + bias
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(found), keras.ops.convert_to_numpy(expected), atol=1e-3
    )
    np.testing.assert_array_equal(layer.get_weights()[0], kernel)  # Keras' own overwrites it
    u = layer.get_weights()[2]
    assert np.linalg.norm(u) == pytest.approx(1, rel=1e-5)


def test_transposed_convolution_is_the_transpose():
    """<C u, v> = <u, C' v> for any u and v, with every stride and size that is used."""
    rng = np.random.default_rng(1)
    for size, strides, side in ((3, 1, 5), (4, 2, 6), (3, 1, 1), (4, 2, 2)):
        kernel = rng.normal(size=(size, size, 3, 4)).astype(np.float32)
        u = rng.normal(size=(1, side, side, 3)).astype(np.float32)
        forward = keras.ops.conv(u, kernel, strides=strides, padding="same")
        v = rng.normal(size=forward.shape).astype(np.float32)
        back = keras.ops.conv_transpose(v, kernel, strides=strides, padding="same")
        left, right = (
            float(np.sum(keras.ops.convert_to_numpy(a) * b)) for a, b in ((forward, v), (back, u))
        )
        assert left == pytest.approx(right, rel=1e-4)


def test_published_discriminator():
    """The weights of `cifar_vae_gan`'s, other norms: none on the last layer, none that enlarges."""
    published = published_discriminator((8, 8, 3), seed=3, width=0.125)
    ours = models.get("cifar_vae_gan")((8, 8, 3), seed=3, width=0.125).discriminator
    kinds = [type(layer) for layer in published.layers]
    assert kinds == [
        keras.layers.Rescaling,
        *[BoundedConv2D, keras.layers.LeakyReLU] * 7,
        keras.layers.Flatten,
        keras.layers.Dense,
    ]
    for a, b in zip(published.trainable_variables, ours.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
    again = published_discriminator((8, 8, 3), seed=3, width=0.125)
    for a, b in zip(published.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


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
