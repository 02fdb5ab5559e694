"""Excess: how much farther from a manifold an adversary's images lie than images changed blindly.

    excess(x) = d(x') - d(x''),    || x'' - x ||_2 = || x' - x ||_2

x' is an adversarial example, and x'' the same image under a null, a change of the same length that
does not know the image:

    noise     a Gaussian direction
    phases    the adversary's own change with random phases (`spectrum.phases_null`)
    permuted  the adversary's change of another image (`spectrum.permuted_null`)

All lengths are reached after clipping to [0, 1]. An excess over noise may mean no more than low
frequencies; phases have the frequencies of the change, and another image's change has all of it but
the link to the image. A change drawn independently of x has an excess of 0 over the last.

For a network's gradients the same: the fraction of a gradient within the tangent space at an image,
beside that of the gradient with random phases and that of another image's gradient.
"""

import numpy as np
from keras import ops

from pellucid.attacks.autoattack import randomness
from pellucid.metrics import spectrum
from pellucid.metrics.latent_projection import places_of
from pellucid.models import backend
from pellucid.models.checks import as_floats
from pellucid.models.types import Array

NULLS = ("noise", "phases", "permuted")


def noise_null(x: Array, x_adv: Array, *, seed: int = 0, places: Array | None = None) -> Array:
    """Images changed by white noise, scaled to the norm of their own perturbation.

    Args:
        x: `(n, h, w, c)`, uint8 or floats in [0, 1].
        x_adv: Likewise.
        seed: Seed of the noise.
        places: The images' places in their set, `(n,)` integers; None for 0 .. n - 1.

    Returns:
        `(n, h, w, c)` float32 in [0, 1].
    """
    keys = backend.to_device(randomness.keys_of(seed, places_of(x, places)))
    white = ops.convert_to_numpy(randomness.normal(keys, x.shape[1:]))
    return spectrum.with_norm(x, white, norms(x, x_adv))


def norms(x: Array, x_adv: Array) -> Array:
    """The L2 norm of each image's change, `(n,)` float64 in pixel units."""
    change = as_floats(x_adv).astype(np.float64) - as_floats(x)
    return np.sqrt(np.sum(change.reshape(len(x), -1) ** 2, axis=1))


def changed(x: Array, x_adv: Array, *, seed: int = 0) -> dict[str, Array]:
    """The adversarial examples, and under each null's name the images under it.

    Args:
        x: The whole set, `(n, h, w, c)`, uint8 or floats in [0, 1].
        x_adv: Its adversarial examples, likewise.
        seed: Seed of the nulls.

    Returns:
        Images `(n, h, w, c)` in [0, 1] under `"adversarial"` and every name in `NULLS`.

    Raises:
        InputError: The shapes differ, or a single image is changed.
    """
    moved = norms(x, x_adv) > 0
    if moved.sum() == 1:
        others = np.where(moved[:, None, None, None], np.float32("nan"), as_floats(x))
    else:
        others = spectrum.permuted_null(x, x_adv, seed=seed)
    found = (
        noise_null(x, x_adv, seed=seed),
        spectrum.phases_null(x, x_adv, seed=seed),
        others,
    )
    return {"adversarial": x_adv} | dict(zip(NULLS, found, strict=True))


def other_gradients(gradients: Array, *, seed: int = 0) -> dict[str, Array]:
    """Gradients, with random phases and of other images.

    Args:
        gradients: Of the whole set, `(n, h, w, c)`, n at least 2.
        seed: Seed of phases and permutation.

    Returns:
        Gradients `(n, h, w, c)` under `"own"`, `"phases"` and `"permuted"`.

    Raises:
        InputError: There is a single image.
    """
    return {
        "own": gradients,
        "phases": spectrum.random_phases(gradients, seed=seed),
        "permuted": gradients[spectrum.derangement(len(gradients), seed)],
    }
