"""The paper's comparison of distances to the manifold: kept examples, common scale, densities.

Kept are the adversarial examples that change the *standard* network's prediction; a panel is scaled
by the range of its clean images' distances and drawn as a Gaussian kernel density estimate. The
kept sets differ between networks, so the scores add the paired excess d(x_adv) - d(x) over all
images, beside that of random noise of the same norm.

Reference: arXiv 1903.11626, section 2.1.
"""

import numpy as np
from scipy import ndimage, stats

from robust_interpretability.metrics.statistics import RESAMPLES, TAILS, Estimate
from robust_interpretability.models.errors import InputError

BANDWIDTH = 0.25
"""Factor of the Gaussian KDE's bandwidth (times the sample's standard deviation), as in the paper."""

SMALLEST = 30
"""No density is estimated from fewer values."""


def kept(standard_clean: np.ndarray, standard_adversarial: np.ndarray) -> np.ndarray:
    """Which adversarial examples the paper keeps: those that change the standard network's prediction.

    Args:
        standard_clean: The standard network's predicted classes of the clean images, `(n,)`.
        standard_adversarial: Its predicted classes of the adversarial examples, `(n,)`.

    Returns:
        `(n,)` booleans.
    """
    return standard_clean != standard_adversarial


def scaled(values: np.ndarray, clean: np.ndarray) -> np.ndarray:
    """Distances with the clean images' minimum at 0 and their maximum at 1.

    Raises:
        InputError: All clean distances are equal.
    """
    low, high = float(np.min(clean)), float(np.max(clean))
    if not high > low:
        raise InputError("The clean images' distances must differ to scale by their range.")
    return (values - low) / (high - low)


def density(values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """Gaussian kernel density estimate of `values` at the points of `grid`, bandwidth factor `BANDWIDTH`."""
    return stats.gaussian_kde(values, bw_method=BANDWIDTH)(grid)


_BINS = 1024


def _peak(values: np.ndarray) -> float:
    """Where the density is highest: a histogram of narrow bins, smoothed by the KDE's kernel."""
    width = BANDWIDTH * float(np.std(values, ddof=1))
    counts, edges = np.histogram(
        values, _BINS, (values.min() - 3 * width, values.max() + 3 * width)
    )
    bin_width = edges[1] - edges[0]
    smooth = ndimage.gaussian_filter1d(
        counts.astype(float), width / bin_width, mode="constant", truncate=6
    )
    return float(edges[np.argmax(smooth)] + bin_width / 2)


def peak(values: np.ndarray, *, resamples: int = RESAMPLES // 8, seed: int = 0) -> Estimate:
    """The place of the highest density (`density`, to about a thousandth of the range), with a bootstrap interval.

    Args:
        values: `(n,)`, at least `SMALLEST`, not all equal.
        resamples: Number of bootstrap samples.
        seed: Seed of the resampling.

    Raises:
        InputError: Too few values, or all are equal.
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
