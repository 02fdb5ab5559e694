"""Training of the VAE-GANs that model the image manifold.

With R = sum |x - x~| per image on the scale [-1, 1], x~ the reconstruction, x_p the decoding of a
sample from the prior, and D the discriminator's probability that an image is real:

    encoder:        mean(R + KL)
    decoder:        mean(lambda R - log D(x~) - log D(x_p))
    discriminator: -mean(log D(x) + log(1 - D(x~)) + log(1 - D(x_p)))

Each network minimises its loss over its weights. As in `program`, an epoch is one compiled program.

Reference: arXiv 1903.11626, appendix; Larsen et al., arXiv 1512.09300.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops

from pellucid.benchmark.training.batches import batch_order
from pellucid.models import backend
from pellucid.models.adam import Adam, adam_start, adam_step
from pellucid.models.batching import to_device
from pellucid.models.checks import check_images
from pellucid.models.functional import State, assign, pixels, state
from pellucid.models.types import Array, Tensor
from pellucid.models.vae_gan import VaeGan


class NetworkState(NamedTuple):
    """What training carries for one network: flat weights, Adam's state, other variables."""

    weights: Tensor
    adam: Adam
    other: list[Tensor]


class VaeGanEpochMeans(NamedTuple):
    """Means over the batches of one epoch.

    Attributes:
        reconstruction: R, the summed absolute difference of an image on the scale [-1, 1].
        divergence: KL of the posterior from the prior, in nats.
        discriminator: The discriminator's loss.
    """

    reconstruction: float
    divergence: float
    discriminator: float


def _epoch(  # noqa: PLR0915  the step reads best in one piece
    vae_gan: VaeGan,
    batch_size: int,
    reconstruction_weight: float,
    discriminator_steps: int,
    betas: tuple[float, float],
    reshuffle: bool,
) -> Callable:
    models = (vae_gan.encoder, vae_gan.decoder, vae_gan.discriminator)
    shapes = [[tuple(v.shape) for v in model.trainable_variables] for model in models]
    latent = vae_gan.latent

    def call(
        which: int, weights: Tensor, other: list[Tensor], x: Tensor
    ) -> tuple[Tensor, list[Tensor]]:
        outputs, after = models[which].stateless_call(
            backend.unflatten(weights, shapes[which]), other, x, training=True
        )[:2]
        return outputs, after

    def encode(
        weights: Tensor, other: list[Tensor], x: Tensor
    ) -> tuple[Tensor, Tensor, list[Tensor]]:
        posterior, after = call(0, weights, other, x)
        return posterior[:, :latent], posterior[:, latent:], after

    def draw(mean: Tensor, log_variance: Tensor, key: Tensor) -> Tensor:
        return mean + ops.exp(log_variance / 2) * backend.normal(key, (batch_size, latent))

    def epoch(
        encoder: NetworkState,
        decoder: NetworkState,
        discriminator: NetworkState,
        key: Tensor,
        x: Tensor,
        learning_rate: Tensor,
    ) -> tuple[NetworkState, NetworkState, NetworkState, tuple[Tensor, ...]]:
        order_key = backend.fold_in(key, 0) if reshuffle else backend.key(0)
        order = batch_order(order_key, x.shape[0], batch_size)

        def update(network: NetworkState, gradient: Tensor, after: list[Tensor]) -> NetworkState:
            weights, adam = adam_step(
                network.weights, gradient, network.adam, learning_rate, *betas
            )
            return NetworkState(weights, adam, after)

        def step(i: Tensor, carry: tuple) -> tuple:
            encoder, decoder, discriminator, sums = carry
            images = pixels(ops.take(x, order[i], axis=0))
            step_key = backend.fold_in(key, i + 1)
            loss_d = ops.zeros((), "float32")

            for k in range(discriminator_steps):
                k_key = backend.fold_in(step_key, 2 + k)
                mean, log_variance, _ = encode(encoder.weights, encoder.other, images)
                z = draw(mean, log_variance, backend.fold_in(k_key, 0))
                prior = backend.normal(backend.fold_in(k_key, 1), (batch_size, latent))
                fakes = [
                    backend.stop_gradient(call(1, decoder.weights, decoder.other, code)[0])
                    for code in (z, prior)
                ]

                def discriminator_loss(
                    weights: Tensor,
                    fakes: list[Tensor] = fakes,
                    other: list[Tensor] = discriminator.other,
                ) -> tuple:
                    real, other = call(2, weights, other, images)
                    value = ops.mean(ops.softplus(-real))
                    for fake in fakes:
                        logit, other = call(2, weights, other, fake)
                        value = value + ops.mean(ops.softplus(logit))
                    return value, other

                loss_d, after, gradient = backend.value_aux_and_gradient(
                    discriminator_loss, discriminator.weights
                )
                discriminator = update(discriminator, gradient, after)

            code_key, prior_key = backend.fold_in(step_key, 0), backend.fold_in(step_key, 1)
            prior = backend.normal(prior_key, (batch_size, latent))

            def reconstruct(weights: Tensor, z: Tensor) -> tuple[Tensor, Tensor, list[Tensor]]:
                image, after = call(1, weights, decoder.other, z)
                axes = tuple(range(1, len(images.shape)))
                return image, 2.0 * ops.mean(ops.sum(ops.abs(images - image), axis=axes)), after

            def encoder_loss(weights: Tensor) -> tuple:
                mean, log_variance, after = encode(weights, encoder.other, images)
                kl = 0.5 * ops.sum(
                    ops.square(mean) + ops.exp(log_variance) - 1.0 - log_variance, axis=-1
                )
                z = draw(mean, log_variance, code_key)
                _, r, _ = reconstruct(decoder.weights, z)
                kl = ops.mean(kl)
                return r + kl, (after, z, r, kl)

            _, (after_e, z, r, kl), gradient_e = backend.value_aux_and_gradient(
                encoder_loss, encoder.weights
            )
            z = backend.stop_gradient(z)

            def decoder_loss(weights: Tensor) -> tuple:
                # batch normalisation follows the reconstructions, as the decoder is used for them
                image, r, after = reconstruct(weights, z)
                sample, _ = call(1, weights, decoder.other, prior)
                logits = [
                    call(2, discriminator.weights, discriminator.other, v)[0]
                    for v in (image, sample)
                ]
                adversarial = sum(ops.mean(ops.softplus(-logit)) for logit in logits)
                return reconstruction_weight * r + adversarial, after

            _, after_d, gradient_d = backend.value_aux_and_gradient(decoder_loss, decoder.weights)
            sums = (sums[0] + r, sums[1] + kl, sums[2] + loss_d)
            return (
                update(encoder, gradient_e, after_e),
                update(decoder, gradient_d, after_d),
                discriminator,
                sums,
            )

        zero = ops.zeros((), "float32")
        steps = order.shape[0]
        encoder, decoder, discriminator, sums = backend.fori_loop(
            steps, step, (encoder, decoder, discriminator, (zero, zero, zero))
        )
        return encoder, decoder, discriminator, tuple(s / steps for s in sums)

    return epoch


def fit_vae_gan(
    vae_gan: VaeGan,
    x: Array | Tensor,
    *,
    seed: int,
    epochs: int,
    batch_size: int = 100,
    learning_rate: float = 5e-4,
    beta_1: float = 0.5,
    beta_2: float = 0.9,
    reconstruction_weight: float = 5e-3,
    discriminator_steps: int = 1,
    reshuffle: bool = True,
    progress: Callable[[int, VaeGanEpochMeans], None] | None = None,
) -> list[VaeGanEpochMeans]:
    """Trains a freshly built VAE-GAN in place.

    Args:
        vae_gan: The three networks at their initial weights.
        x: Training images `(n, h, w, c)`, uint8 or float32 in [0, 1].
        seed: Seed of the order of the batches and of all random numbers.
        epochs: Passes over the data.
        batch_size: Images per step.
        learning_rate: Adam's, for all three networks.
        beta_1: Adam's.
        beta_2: Adam's.
        reconstruction_weight: lambda in the decoder's loss.
        discriminator_steps: Discriminator updates for each update of encoder and decoder.
        reshuffle: Shuffle the images before each epoch; see `classifier.train`.
        progress: Called after every epoch with its number, from 1, and its means.

    Returns:
        One `VaeGanEpochMeans` per epoch.

    Raises:
        InputError: There are images outside [0, 1].
    """
    check_images(x)
    batch_size = min(batch_size, len(x))
    models = (vae_gan.encoder, vae_gan.decoder, vae_gan.discriminator)
    run = backend.jit(
        _epoch(
            vae_gan,
            batch_size,
            reconstruction_weight,
            discriminator_steps,
            (beta_1, beta_2),
            reshuffle,
        )
    )
    networks = []
    for model in models:
        values = state(model)
        vector = backend.flatten(values.trainable)
        networks.append(NetworkState(vector, adam_start(vector), values.other))
    images, rate = to_device(x), to_device(np.asarray(learning_rate, np.float32))
    key = backend.key(seed)
    history = []
    for number in range(1, epochs + 1):
        *networks, sums = run(*networks, backend.fold_in(key, number), images, rate)
        history.append(VaeGanEpochMeans(*(float(s) for s in sums)))
        if progress:
            progress(number, history[-1])
    for model, network in zip(models, networks, strict=True):
        shapes = [tuple(v.shape) for v in model.trainable_variables]
        assign(model, State(backend.unflatten(network.weights, shapes), network.other))
    return history
