"""VAE-GANs, which model the image manifold; the projection of x is decode(encode(x)).

A `VaeGan` holds three stock Keras models. All of them see pixels in [0, 1]: the encoder and the
discriminator begin by rescaling to [-1, 1], and the decoder's tanh is rescaled back. The encoder
outputs the posterior's mean and log variance side by side, the discriminator a logit (the paper's
sigmoid is part of the loss, where it is numerically stable).

Encoder and decoder layers are convolution, ReLU, batch norm, in that order. `width` multiplies
every hidden channel. Where the paper is silent: convolutions pad "same", batch norm's momentum is
0.9, and the MNIST discriminator orders its layers like the encoder.

Reference: arXiv 1903.11626, appendix; Larsen et al. 2016, arXiv 1512.09300.
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

from pellucid.models.classifiers import scaled
from pellucid.models.errors import InputError
from pellucid.models.types import Tensor

_CIFAR_DISCRIMINATOR = (
    (64, 3, 1),
    (64, 4, 2),
    (128, 3, 1),
    (128, 4, 2),
    (256, 3, 1),
    (256, 4, 2),
    (512, 3, 1),
)
"""Filters, size and stride of each convolution."""


@dataclass(frozen=True)
class VaeGan:
    """The three networks of a VAE-GAN.

    Attributes:
        encoder: `(n, h, w, c)` in [0, 1] to `(n, 2 * latent)`: means, then log variances.
        decoder: `(n, latent)` to `(n, h, w, c)` in [0, 1].
        discriminator: `(n, h, w, c)` in [0, 1] to a logit `(n, 1)`: real or not.
    """

    encoder: keras.Model
    decoder: keras.Model
    discriminator: keras.Model

    @property
    def latent(self) -> int:
        """Number of latent dimensions."""
        return self.decoder.input_shape[-1]


def _unit(x: Tensor) -> Tensor:
    """A tensor divided by its L2 norm."""
    return x / ops.sqrt(ops.maximum(ops.sum(ops.square(x)), 1e-12))


class BoundedConv2D(layers.Conv2D):
    """A convolution by W / max(sigma, 1), with sigma the largest singular value of W on its input.

    One step of the power iteration at each call, on an image u of the input's shape:

        v = C u / ||C u||,  u = C' v / ||C' v||,  sigma = <C u, v>,

    with C the convolution by W and C' its transpose. Other than in Keras' `SpectralNormalization`,
    sigma is that of the operator and not of the reshaped kernel, a kernel is never enlarged, and
    the gradient runs through u and v.

    Reference: the code of arXiv 1903.11626; Farnia et al., arXiv 1811.07457.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Adds u, `(1, h, w, c)`, which no gradient changes."""
        super().build(input_shape)
        self.vector_u = self.add_weight(
            shape=(1, *input_shape[1:]), initializer="zeros", trainable=False, name="vector_u"
        )

    def call(self, inputs: Tensor) -> Tensor:
        """The convolution, and the next u."""
        v = _unit(self.convolution_op(self.vector_u.value, self.kernel))
        u = _unit(ops.conv_transpose(v, self.kernel, strides=self.strides, padding=self.padding))
        sigma = ops.sum(self.convolution_op(u, self.kernel) * v)
        self.vector_u.assign(ops.stop_gradient(u))
        return self.convolution_op(inputs, self.kernel / ops.maximum(sigma, 1.0)) + self.bias


_WITH_SPECTRAL_NORM = (layers.SpectralNormalization, BoundedConv2D)
"""Layers with a `vector_u`."""


def _norm() -> keras.Layer:
    return layers.BatchNormalization(momentum=0.9)


def _relu_norm(layer: keras.Layer) -> list[keras.Layer]:
    return [layer, layers.ReLU(), _norm()]


def _conv(filters: int, size: int, strides: int = 2) -> keras.Layer:
    return layers.Conv2D(filters, size, strides=strides, padding="same")


def _deconv(filters: int, size: int = 4, strides: int = 2, padding: str = "same") -> keras.Layer:
    return layers.Conv2DTranspose(filters, size, strides=strides, padding=padding)


def _model(
    name: str, input_shape: tuple[int, ...], stack: list[keras.Layer], seed: int
) -> keras.Model:
    states = np.random.SeedSequence([seed, *name.encode()]).generate_state(len(stack))
    for layer, state in zip(stack, states, strict=True):
        inner = layer.layer if isinstance(layer, layers.SpectralNormalization) else layer
        if hasattr(inner, "kernel_initializer"):
            inner.kernel_initializer = keras.initializers.GlorotUniform(seed=int(state >> 1))
    model = keras.Sequential([keras.Input(input_shape), *stack], name=name)
    for layer, state in zip(stack, states, strict=True):
        if isinstance(layer, _WITH_SPECTRAL_NORM):
            # Keras draws this vector without a seed
            draw = np.random.default_rng(state).standard_normal(layer.vector_u.shape)
            layer.vector_u.assign(draw / np.linalg.norm(draw))
    return model


def _encoder(
    input_shape: tuple[int, ...], convs: list[keras.Layer], latent: int, seed: int
) -> keras.Model:
    stack: list[keras.Layer] = [layers.Rescaling(2.0, -1.0)]
    for conv in convs:
        stack += _relu_norm(conv)
    return _model(
        "encoder", input_shape, [*stack, layers.Flatten(), layers.Dense(2 * latent), _norm()], seed
    )


def _tanh_pixels() -> list[keras.Layer]:
    return [layers.Activation("tanh"), layers.Rescaling(0.5, 0.5)]


def _check(name: str, input_shape: tuple[int, ...], fits: bool, expected: str) -> None:
    if not fits:
        raise InputError(f"`{name}` needs images of shape {expected}. Received {input_shape}.")


def digits_vae_gan(
    input_shape: tuple[int, ...], *, seed: int, latent: int = 10, width: float = 1.0
) -> VaeGan:
    """A small VAE-GAN for images whose sides are multiples of 4, made for 8x8 digits.

    It is not one of the paper's.

    Args:
        input_shape: Shape of one image `(h, w, c)`.
        seed: Seed of the initial weights.
        latent: Number of latent dimensions.
        width: Factor on every hidden channel.

    Returns:
        The three networks.

    Raises:
        InputError: The image shape does not fit.
    """
    fits = len(input_shape) == 3 and not (input_shape[0] % 4 or input_shape[1] % 4)
    _check("digits_vae_gan", input_shape, fits, "(4 i, 4 j, c)")
    h, w, channels = input_shape
    a, b = scaled(32, width), scaled(64, width)
    decoder = [
        *_relu_norm(layers.Dense(h // 4 * (w // 4) * b)),
        layers.Reshape((h // 4, w // 4, b)),
        *_relu_norm(_deconv(a)),
        _deconv(channels),
        *_tanh_pixels(),
    ]
    discriminator = [
        layers.Rescaling(2.0, -1.0),
        _conv(a, 3),
        layers.ReLU(),
        *_relu_norm(_conv(b, 3)),
        layers.Flatten(),
        *_relu_norm(layers.Dense(b)),
        layers.Dense(1),
    ]
    return VaeGan(
        _encoder(input_shape, [_conv(a, 3), _conv(b, 3)], latent, seed),
        _model("decoder", (latent,), decoder, seed),
        _model("discriminator", input_shape, discriminator, seed),
    )


def mnist_vae_gan(
    input_shape: tuple[int, ...], *, seed: int, latent: int = 10, width: float = 1.0
) -> VaeGan:
    """The paper's VAE-GAN for MNIST and Fashion-MNIST, 28x28 images.

    Arguments as for `digits_vae_gan`.
    """
    _check(
        "mnist_vae_gan",
        input_shape,
        len(input_shape) == 3 and input_shape[:2] == (28, 28),
        "(28, 28, c)",
    )
    channels = input_shape[-1]
    u = {n: scaled(n, width) for n in (32, 64, 128, 256, 512)}
    decoder = [
        *_relu_norm(layers.Dense(2 * 2 * u[256])),
        layers.Reshape((2, 2, u[256])),
        *_relu_norm(_deconv(u[256])),
        *_relu_norm(_deconv(u[128], strides=1, padding="valid")),
        *_relu_norm(_deconv(u[32])),
        _deconv(channels),
        *_tanh_pixels(),
    ]
    discriminator = [
        layers.Rescaling(2.0, -1.0),
        _conv(u[32], 4),
        layers.ReLU(),
        *_relu_norm(_conv(u[128], 4)),
        *_relu_norm(_conv(u[256], 4)),
        *_relu_norm(_conv(u[256], 4)),
        layers.Flatten(),
        *_relu_norm(layers.Dense(u[512])),
        layers.Dense(1),
    ]
    return VaeGan(
        _encoder(input_shape, [_conv(u[64], 4), _conv(u[128], 4), _conv(u[256], 4)], latent, seed),
        _model("decoder", (latent,), decoder, seed),
        _model("discriminator", input_shape, discriminator, seed),
    )


def cifar_vae_gan(
    input_shape: tuple[int, ...], *, seed: int, latent: int = 128, width: float = 1.0
) -> VaeGan:
    """The paper's VAE-GAN for CIFAR-10, for images whose sides are multiples of 8.

    Arguments as for `digits_vae_gan`. The discriminator is spectrally normalised (Miyato et al.
    2018, arXiv 1802.05957); `published_discriminator` is that of the published code.
    """
    fits = len(input_shape) == 3 and not (input_shape[0] % 8 or input_shape[1] % 8)
    _check("cifar_vae_gan", input_shape, fits, "(8 i, 8 j, c)")
    h, w, channels = input_shape
    u = {n: scaled(n, width) for n in (64, 128, 256, 512)}
    decoder = [
        layers.Dense(h // 8 * (w // 8) * u[512]),
        layers.Reshape((h // 8, w // 8, u[512])),
        *_relu_norm(_deconv(u[256])),
        *_relu_norm(_deconv(u[128])),
        *_relu_norm(_deconv(u[64])),
        layers.Conv2D(channels, 3, padding="same"),
        *_tanh_pixels(),
    ]
    discriminator: list[keras.Layer] = [layers.Rescaling(2.0, -1.0)]
    for filters, size, strides in _CIFAR_DISCRIMINATOR:
        discriminator += [
            layers.SpectralNormalization(_conv(u[filters], size, strides)),
            layers.LeakyReLU(0.1),
        ]
    discriminator += [layers.Flatten(), layers.SpectralNormalization(layers.Dense(1))]
    convs = [_conv(u[64], 5), _conv(u[128], 5), _conv(u[256], 5)]
    return VaeGan(
        _encoder(input_shape, convs, latent, seed),
        _model("decoder", (latent,), decoder, seed),
        _model("discriminator", input_shape, discriminator, seed),
    )


def published_discriminator(
    input_shape: tuple[int, ...], *, seed: int, width: float = 1.0
) -> keras.Model:
    """The discriminator of `cifar_vae_gan` as in the code of arXiv 1903.11626.

    Its convolutions are `BoundedConv2D`, and its last layer has no spectral norm. It is used in
    training alone and not saved. Arguments as for `digits_vae_gan`.
    """
    stack: list[keras.Layer] = [layers.Rescaling(2.0, -1.0)]
    for filters, size, strides in _CIFAR_DISCRIMINATOR:
        conv = BoundedConv2D(scaled(filters, width), size, strides=strides, padding="same")
        stack += [conv, layers.LeakyReLU(0.1)]
    return _model("discriminator", input_shape, [*stack, layers.Flatten(), layers.Dense(1)], seed)
