"""The paper's comparison of distances to the manifold: selection, common scale, densities.

The paper keeps the adversarial examples that change the *standard* network's prediction, scales a
panel by the range of its clean images' distances, and draws a Gaussian kernel density estimate.
The selected sets differ between networks, so the scores add the paired excess d(x_adv) - d(x) over
all images, beside that of random noise of the same norm.

Reference: arXiv 1903.11626, section 2.1.
"""

import numpy as np
from scipy import ndimage, stats

from pellucid.metrics.statistics import CONFIDENCE, Estimate
from pellucid.models.errors import InputError
from pellucid.models.types import Array

BANDWIDTH = 0.25
"""Bandwidth of the Gaussian KDE in standard deviations of the sample, as in the paper."""

SMALLEST = 30
"""No density is estimated from fewer values."""
BINS = 1024
"""Of the histogram in which the highest density is searched."""
RESAMPLES = 250
"""Of the bootstrap."""
TAILS = (50 * (1 - CONFIDENCE), 100 - 50 * (1 - CONFIDENCE))
"""Percentiles between which its interval lies."""


def kept(standard_clean: Array, standard_adversarial: Array) -> Array:
    """Which adversarial examples the paper keeps: those that change the standard prediction.

    Args:
        standard_clean: The standard network's predicted classes of the clean images, `(n,)`.
        standard_adversarial: Its predicted classes of the adversarial examples, `(n,)`.

    Returns:
        `(n,)` booleans.
    """
    return standard_clean != standard_adversarial


def scaled(values: Array, clean: Array) -> Array:
    """Distances on a scale where the clean images' minimum is 0 and their maximum is 1.

    Args:
        values: Distances, `(n,)`.
        clean: The clean images' distances, `(m,)`.

    Returns:
        `(n,)`.

    Raises:
        InputError: All clean distances are equal.
    """
    low, high = float(np.min(clean)), float(np.max(clean))
    if not high > low:
        raise InputError("The clean images' distances must differ to scale by their range.")
    return (values - low) / (high - low)


def density(values: Array, grid: Array) -> Array:
    """Gaussian kernel density estimate of `values` at the points of `grid`.

    Args:
        values: `(n,)`.
        grid: `(m,)`.

    Returns:
        `(m,)`.
    """
    return stats.gaussian_kde(values, bw_method=BANDWIDTH)(grid)


def _peak(values: Array) -> float:
    """Where the density is highest: a histogram of narrow bins, smoothed by the KDE's kernel."""
    width = BANDWIDTH * float(np.std(values, ddof=1))
    counts, edges = np.histogram(values, BINS, (values.min() - 3 * width, values.max() + 3 * width))
    bin_width = edges[1] - edges[0]
    smooth = ndimage.gaussian_filter1d(
        counts.astype(float), width / bin_width, mode="constant", truncate=6
    )
    return float(edges[np.argmax(smooth)] + bin_width / 2)


def peak(values: Array, *, resamples: int = RESAMPLES, seed: int = 0) -> Estimate:
    """Where the density is highest, with a bootstrap interval.

    The place is exact to about a thousandth of the range of the values.

    Args:
        values: `(n,)`, at least `SMALLEST`, not all equal.
        resamples: Number of bootstrap samples.
        seed: Seed of the resampling.

    Raises:
        InputError: Too few values, or all values are equal.
    """
    values = np.asarray(values, float)
    if len(values) < SMALLEST or np.ptp(values) == 0:
        raise InputError(
            f"A density needs {SMALLEST} or more values that differ. Received {len(values)}."
        )
    rng = np.random.default_rng(seed)
    samples = (values[rng.integers(len(values), size=len(values))] for _ in range(resamples))
    low, high = np.percentile([_peak(s) for s in samples if np.ptp(s)], TAILS)
    return Estimate(_peak(values), float(low), float(high), len(values))
