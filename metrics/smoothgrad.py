"""SmoothGrad, SmoothGrad-Squared and VarGrad: moments of the gradient around an image.

With g_k = d xent(f(x + n_k), c) / d(2x - 1), c the class that f predicts at the clean image x and
n_k, k = 1 .. 50, Gaussian noise of standard deviation .15 in pixels of [0, 1]:

    SmoothGrad            |mean_k g_k|
    SmoothGrad-Squared    mean_k g_k^2
    VarGrad               mean_k g_k^2 - (mean_k g_k)^2

elementwise, then summed over channels. All images have the same 50 draws of noise, so a map depends
neither on the batch nor on the image's place in it, and both backends draw the same. Noisy images
are not clipped to [0, 1]: clipped noise would no longer have mean zero at dark and bright pixels.

The papers take the gradient of the class's score. Here it is the loss's, as in all attributions of
this suite.

Reference: Smilkov et al., arXiv 1706.03825 (SmoothGrad); Hooker et al., arXiv 1806.10758
(SmoothGrad-Squared); Adebayo et al., arXiv 1810.03292, and Seo et al., arXiv 1806.03000 (VarGrad).
"""

import numpy as np
from keras import ops

from pellucid.attacks.autoattack import randomness
from pellucid.metrics.attributions import Logits, loss_gradient, predicted
from pellucid.models import backend
from pellucid.models.types import Tensor

DRAWS = 50
"""Noisy copies of an image."""

SIGMA = 0.15
"""Standard deviation of the noise, in pixel units."""

SEED = 0
"""Of the noise: the same in every run."""


def noise(shape: tuple[int, ...], draw: Tensor | int) -> Tensor:
    """Standard normal noise of one image's shape, the same for every image; `shape`. Traceable.

    Args:
        shape: `(h, w, c)`.
        draw: The draw's number, an integer or a scalar tensor.
    """
    seed = ops.convert_to_tensor(np.array([SEED], np.uint32))
    return randomness.normal(randomness.fold_in(seed, draw), shape)[0]


def moments(
    logits: Logits,
    x: Tensor,
    label: Tensor | None = None,
    *,
    draws: int = DRAWS,
    sigma: float = SIGMA,
) -> tuple[Tensor, Tensor]:
    """Mean and variance of the gradient over noisy images, each `(n, h, w, c)`. Traceable.

    Both are updated draw by draw (Welford), so that memory does not grow with the draws and a small
    variance is not the difference of two large numbers.

    Args:
        logits: Function from pixels `(n, h, w, c)` to `(n, classes)`.
        x: Images in [0, 1], `(n, h, w, c)` float32.
        label: c, `(n,)` integers; None for the class that f predicts at `x`.
        draws: Noisy copies of each image; the variance divides by this number.
        sigma: Standard deviation of the noise, in pixel units.
    """
    if label is None:
        label = predicted(logits, x)

    def add(draw: Tensor, state: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
        mean, squares = state
        before = ops.cast(draw, "float32")
        gradient = loss_gradient(logits, x + sigma * noise(x.shape[1:], draw), label)
        change = gradient - mean
        return (
            mean + change / (before + 1.0),
            squares + ops.square(change) * (before / (before + 1.0)),
        )

    mean, squares = backend.fori_loop(draws, add, (ops.zeros_like(x), ops.zeros_like(x)))
    return mean, squares / draws


def smoothgrad(logits: Logits, x: Tensor, label: Tensor | None = None) -> Tensor:
    """SmoothGrad (SG): |mean of the gradients|, summed over channels; `(n, h, w)`."""
    mean, _ = moments(logits, x, label)
    return ops.sum(ops.abs(mean), axis=-1)


def smoothgrad_squared(logits: Logits, x: Tensor, label: Tensor | None = None) -> Tensor:
    """SmoothGrad-Squared (SG-SQ): mean of the squares, summed over channels; `(n, h, w)`."""
    mean, variance = moments(logits, x, label)
    return ops.sum(ops.square(mean) + variance, axis=-1)


def vargrad(logits: Logits, x: Tensor, label: Tensor | None = None) -> Tensor:
    """VarGrad (VG): variance of the gradients, summed over channels; `(n, h, w)`."""
    _, variance = moments(logits, x, label)
    return ops.sum(variance, axis=-1)
