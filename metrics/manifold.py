"""Distance of images to the manifold of natural images, modelled by a VAE-GAN.

    d(x) = || x - decode(encode(x)) ||_2,   with x on the scale [-1, 1]

(paper units: twice the distance in pixel units). `encode` returns the posterior mean; the paper
draws a sample, which is an option here.

How distances are compared between networks is in `densities`.

Reference: arXiv 1903.11626, section 2.1.
"""

import numpy as np

from pellucid.models import backend
from pellucid.models.checks import as_floats
from pellucid.models.functional import predict
from pellucid.models.types import Array
from pellucid.models.vae_gan import VaeGan


def project(vae_gan: VaeGan, x: Array, *, sample_seed: int | None = None) -> Array:
    """The projection decode(encode(x)).

    Args:
        vae_gan: The manifold model.
        x: `(n, h, w, c)`, uint8 or floats in [0, 1].
        sample_seed: Draw from the posterior with this seed, as the paper does, instead of taking
            its mean.

    Returns:
        `(n, h, w, c)` float32 in [0, 1].
    """
    posterior = predict(vae_gan.encoder, x)
    mean, log_variance = np.split(posterior, 2, axis=-1)
    if sample_seed is not None:
        mean = mean + np.exp(log_variance / 2) * np.asarray(
            backend.normal(backend.key(sample_seed), mean.shape)
        )
    return predict(vae_gan.decoder, mean.astype(np.float32))


def distance(x: Array, projection: Array) -> Array:
    """||x - projection||_2 in paper units.

    Args:
        x: `(n, h, w, c)`, floats in [0, 1].
        projection: Likewise.

    Returns:
        `(n,)` float64.
    """
    difference = (np.asarray(x, np.float64) - projection).reshape(len(x), -1)
    return 2.0 * np.sqrt(np.sum(difference**2, axis=1))


def manifold_distance(x: Array, vae_gan: VaeGan, *, sample_seed: int | None = None) -> Array:
    """Distance of each image to its projection on the manifold, in paper units.

    Args:
        x: `(n, h, w, c)`, uint8 or floats in [0, 1].
        vae_gan: The manifold model.
        sample_seed: As for `project`.

    Returns:
        `(n,)` float64.
    """
    return distance(as_floats(x), project(vae_gan, x, sample_seed=sample_seed))
