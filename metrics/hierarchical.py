"""Intervals for scores that rest on few networks, few repeats, and the same test images.

A score differs from its true value for three reasons: which base networks were trained (one per
seed), how the networks retrained for it came out (repeats), and which images the test set holds.
With y the measured values, the estimate is their mean, and its variance

    v = v_trained + v_images.

*Several seeds.* A seed's mean over its repeats holds the scatter of both trainings; with s^2 the
variance of these means over S seeds, v_trained = s^2 / S, with S - 1 degrees of freedom. Of a
contrast of m networks, sum_i c_i y_i with sum c_i = 0, what a seed has in common for all of them
cancels: s^2 is then the residual variance of the m x S means without the effects of network and
seed, v_trained = s^2 sum c_i^2 / S, with (m - 1)(S - 1) degrees of freedom (a randomised block
design; it takes the scatter to be the same for all networks).

*One seed.* The interval is about this very network. The repeats at each fraction of the pixels are
independent trainings, so v_trained is the sum over fractions of their variances divided by R, with
Satterthwaite's degrees of freedom.

*Images.* What an image adds to the score in every training alike is not seen in the scatter between
them. Its variance is the mean covariance, over images, of two seeds (with one seed: of two
repeats); v_images is that divided by the number of images, and at least 0.

The two parts are joined by Satterthwaite's approximation, whose intervals are too narrow for two or
three seeds, or by Cochran and Cox's, t = (t_1 v_trained + t_2 v_images) / v with Student's
quantiles t_1 and t_2, whose intervals are too wide. With several seeds the quantile is one third
the former and two thirds the latter: of two seeds' intervals, 93 to 97 of 100 then hold the true
value, whichever part is larger. All intervals are at 95 percent; `tests/metrics/test_hierarchical`
simulates how often they hold it.

Reference: Satterthwaite, Biometrics Bulletin 2, 1946; Cochran and Cox, Experimental Designs, 1957.
"""

from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

from pellucid.metrics import statistics
from pellucid.metrics.statistics import CONFIDENCE, Estimate
from pellucid.models.errors import InputError
from pellucid.models.types import Array

AXES = ("networks", "seeds", "repeats", "fractions", "images")

WIDER = 2 / 3
"""The weight of Cochran and Cox's quantile where there are several seeds."""

SMALLEST_P = 1e-12
"""No p-value is stated below it."""

WIDEST, STEPS = 5.0, 1001
"""The ratios among which the ends of an interval are searched."""


def _half_width(
    trained: Array,
    freedom: float,
    shared: Array,
    images: int,
    seeds: int,
    confidence: float = CONFIDENCE,
) -> Array:
    """Half the width of an interval, or of many; arguments as `Parts`, not both variances 0."""
    variance = trained + shared
    of_images = max(images - 1, 1)
    smaller = trained**2 / freedom + shared**2 / of_images
    satterthwaite = _quantile(variance**2 / smaller, confidence)
    wide = _quantile(freedom, confidence) * trained + _quantile(of_images, confidence) * shared
    wide = wide / variance
    wider = WIDER if seeds > 1 else 0.0
    return (wider * wide + (1 - wider) * satterthwaite) * np.sqrt(variance)


def _quantile(freedom: Array | float, confidence: float) -> Array:
    return stats.t.ppf(0.5 + confidence / 2, freedom)


def _between_seeds(means: Array, weights: Array) -> tuple[float, float]:
    """Variance from the trainings and its degrees of freedom, of `(networks, seeds)` means."""
    networks, seeds = means.shape
    if networks > 1 and abs(weights.sum()) < 1e-9 * np.abs(weights).sum():
        residual = means - means.mean(0) - means.mean(1, keepdims=True) + means.mean()
        freedom = (networks - 1) * (seeds - 1)
        variance = (residual**2).sum() / freedom * (weights**2).sum()
        return float(variance) / seeds, freedom
    return float((weights @ means).var(ddof=1)) / seeds, seeds - 1


def _between_repeats(means: Array, weights: Array) -> tuple[float, float]:
    """As `_between_seeds`, of `(networks, repeats, fractions)` means of one seed."""
    repeats = means.shape[1]
    parts = weights[:, None] ** 2 * means.var(axis=1, ddof=1) / repeats
    total = float(parts.sum())
    if total == 0:
        return 0.0, 1.0
    return total, (repeats - 1) * total**2 / float((parts**2).sum())


def _common(values: Array) -> float:
    """The mean covariance over images of two rows of `(trainings, images)`, at least 0."""
    trainings = len(values)
    together = values.sum(axis=0).var(ddof=1) - values.var(axis=1, ddof=1).sum()
    return max(float(together) / (trainings * (trainings - 1)), 0.0)


class Parts(NamedTuple):
    """A contrast, and the parts of its variance.

    Attributes:
        value: The contrast.
        n: Trainings behind it.
        trained: The variance from trainings; NaN where nothing was repeated.
        freedom: Its degrees of freedom.
        shared: The variance from test images.
        images: Their number.
        seeds: Number of seeds.
    """

    value: float
    n: int
    trained: float
    freedom: float
    shared: float
    images: int
    seeds: int

    def estimate(self) -> Estimate:
        """The contrast with its interval."""
        variance = self.trained + self.shared
        if not variance > 0:
            return Estimate(self.value, float("nan"), float("nan"), self.n)
        half = float(
            _half_width(
                np.asarray(self.trained),
                self.freedom,
                np.asarray(self.shared),
                self.images,
                self.seeds,
            )
        )
        return Estimate(self.value, self.value - half, self.value + half, self.n)

    def p(self) -> float:
        """The two-sided p-value: one less the confidence of the interval that ends at 0."""
        if not self.trained + self.shared > 0:
            return float("nan")
        trained, shared = np.asarray(self.trained), np.asarray(self.shared)

        def beyond(p: float) -> float:
            half = _half_width(trained, self.freedom, shared, self.images, self.seeds, 1 - p)
            return abs(self.value) - float(half)

        if beyond(SMALLEST_P) >= 0:
            return SMALLEST_P
        return float(optimize.brentq(beyond, SMALLEST_P, 1.0)) if self.value else 1.0


def parts(values: Array, weights: Array) -> Parts:
    """The value and the variances of a contrast; arguments and errors as for `contrast`."""
    values, weights = np.asarray(values), np.asarray(weights, float)
    if values.ndim != len(AXES) or weights.shape != values.shape[:1]:
        raise InputError(
            f"`values` must have the axes {', '.join(AXES)}, and `weights` one number per network."
            f" Received shapes {values.shape} and {weights.shape}."
        )
    seeds, repeats, images = values.shape[1], values.shape[2], values.shape[4]
    per_image = values.sum(axis=3, dtype=np.float64)
    if seeds > 1:
        trained, freedom = _between_seeds(per_image.mean(axis=(2, 3)), weights)
        trainings = np.einsum("m,msn->sn", weights, per_image.mean(axis=2))
    elif repeats > 1:
        means = values[:, 0].mean(axis=3, dtype=np.float64)
        trained, freedom = _between_repeats(means, weights)
        trainings = np.einsum("m,mrn->rn", weights, per_image[:, 0])
    else:
        trained, freedom, trainings = float("nan"), 1.0, np.zeros((2, images))
    return Parts(
        value=float(weights @ per_image.mean(axis=(1, 2, 3))),
        n=int(np.prod(values.shape[:4])),
        trained=trained,
        freedom=freedom,
        shared=_common(trainings) / images if images > 1 else 0.0,
        images=images,
        seeds=seeds,
    )


def contrast(values: Array, weights: Array) -> Estimate:
    """sum_i w_i (mean of network i), with its interval.

    Args:
        values: `(networks, seeds, repeats, fractions, images)`. What an image adds to a network's
            score: summed over fractions, and then averaged, the values are the score.
        weights: `(networks,)`. Where they sum to 0, the scatter is estimated from all networks.

    Returns:
        The estimate; n is the number of trainings, `networks * seeds * repeats * fractions`. The
        ends are NaN where nothing was repeated or nothing varies.

    Raises:
        InputError: Shapes do not fit.
    """
    return parts(values, weights).estimate()


def mean(values: Array) -> Estimate:
    """The mean of one network's values, `(seeds, repeats, fractions, images)`; see `contrast`."""
    return contrast(np.asarray(values)[None], np.ones(1))


def over_images(values: Array) -> Estimate:
    """The mean of values per network and image, each of one training.

    Args:
        values: `(seeds, images)`.

    Returns:
        As `mean`; with one seed Student's interval over images, which is about this very network.
    """
    values = np.asarray(values, float)
    if len(values) > 1:
        return mean(values[:, None, None, :])
    return statistics.mean(values[0])


def ratio(first: Array, second: Array, weights: Array) -> Estimate:
    """The ratio of two contrasts, first / second, with Fieller's interval.

    The interval holds every r for which the interval of first - r second holds 0. It is
    searched among r of at most `WIDEST`; the ends are NaN where it does not end there, as where the
    second contrast's own interval holds 0.

    Args:
        first: As `contrast`'s values.
        second: Likewise, of the same trainings.
        weights: As `contrast`'s.
    """
    # Both variances are quadratic in r: three values determine them.
    at = {r: parts(np.asarray(first) - r * np.asarray(second), weights) for r in (-1.0, 0.0, 1.0)}
    below = parts(second, weights)
    value = at[0.0].value / below.value if below.value else float("nan")
    r = np.linspace(-WIDEST, WIDEST, STEPS)

    def along(name: str) -> Array:
        low, middle, high = (getattr(at[point], name) for point in (-1.0, 0.0, 1.0))
        return middle + r * (high - low) / 2 + r**2 * ((high + low) / 2 - middle)

    trained, shared = along("trained"), np.maximum(along("shared"), 0)
    values, middle = at[0.0].value - r * below.value, at[0.0]
    with np.errstate(invalid="ignore", divide="ignore"):
        half = _half_width(trained, middle.freedom, shared, middle.images, middle.seeds)
    inside = np.abs(values) <= half
    if not inside.any() or inside[0] or inside[-1] or not np.isfinite(value):
        return Estimate(value, float("nan"), float("nan"), at[0.0].n)
    accepted = r[inside]
    return Estimate(
        value, min(float(accepted[0]), value), max(float(accepted[-1]), value), at[0.0].n
    )
