"""Which of several models differ, where each was measured in some of the same blocks.

A block is what measurements have in common: a base-model seed, whose retrainings start from the
same weights and share a random baseline. With y_ib the value of model i in block b,

    y_ib = model_i + block_b + e_ib,    e_ib ~ N(0, s^2),

fitted by least squares to the cells that there are (a two-way layout without interaction). A model
that was measured in one block is so compared with one that was measured in three: the blocks'
effects follow from the models that were measured in several. With r_i the number of blocks of model
i, M the incidence of models and blocks, and c_b the number of models in block b,

    C = diag(c) - M' diag(1 / r) M,    block = C^- (sum_i y_i. - M' mean_i),
    var(model_i - model_j) = s^2 (1 / r_i + 1 / r_j + (w_i - w_j) C^- (w_i - w_j)'),

with w_i = M_i / r_i, and s^2 has as many degrees of freedom as there are cells less models less
blocks, plus one for each part of the layout that has no block in common with the rest; between such
parts nothing is compared. With two models in the same blocks it is Student's paired t-test. The
scatter is taken to be the same for all models.

*Two classifiers* on the same images are compared by McNemar's exact test: with b images that only
the first gets right and c that only the second does, b ~ Binomial(b + c, 1/2). Values per image of
any kind, as means over several networks, are compared by Student's paired t over images. Both are
about these very networks.

Reference: Searle, Linear Models for Unbalanced Data, 1987, section 4.9; McNemar, Psychometrika 12,
1947.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.sparse import csgraph

from pellucid.models.errors import InputError
from pellucid.models.types import Array


class Tested(NamedTuple):
    """All pairs of models, by how far they lie apart.

    Attributes:
        apart: `(n, n)`, symmetric: the larger, the less likely by chance; NaN where nothing can be
            told.
        critical: From a level to the least `apart` with a two-sided p-value at or below it, a
            number or `(n, n)`.
    """

    apart: Array
    critical: Callable[[float], Array | float]

    def below(self, level: float) -> Array:
        """Whether a pair's p-value is at or below a level, `(n, n)`; False where it is NaN."""
        return self.apart >= self.critical(level)


class Differences(NamedTuple):
    """All pairwise differences, first minus second.

    Attributes:
        value: `(n, n)`; NaN where two models have no block in common, even through others.
        error: `(n, n)`, their standard errors; NaN without degrees of freedom.
        freedom: Degrees of freedom, a number or `(n, n)`.
    """

    value: Array
    error: Array
    freedom: Array

    @property
    def p(self) -> Array:
        """`(n, n)`, two-sided p-values; NaN where there is no error."""
        return 2 * stats.t.sf(self.tested.apart, self.freedom)

    @property
    def tested(self) -> Tested:
        """The differences in standard errors, against Student's t."""
        told = self.error > 0
        apart = np.abs(self.value) / np.where(told, self.error, np.nan)
        return Tested(apart, lambda level: stats.t.isf(level / 2, self.freedom))


@dataclass(frozen=True)
class Layout:
    """A two-way layout, fitted.

    Attributes:
        models: `(n,)`, the models' effects: means over blocks, without what the blocks add. Of
            models that were measured in every block, the plain means.
        square: s^2, the variance of a cell; NaN without degrees of freedom.
        freedom: Its degrees of freedom.
        there: `(n, blocks)` bool, which cells were measured.
        inverse: `(blocks, blocks)`, the variance of the blocks' effects, in s^2.
        part: `(n,)`, a number that models share which have blocks in common, or through others.
    """

    models: Array
    square: float
    freedom: int
    there: Array
    inverse: Array
    part: Array

    @property
    def variance(self) -> Array:
        """`(n, n)`, the variance of each pairwise difference, in s^2.

        NaN where two models have no block in common, even through others.
        """
        # models that were measured in the same blocks have the same row, but for the diagonal
        _, first, alike = np.unique(self.there, axis=0, return_index=True, return_inverse=True)
        number, part = self.there[first].sum(axis=1), self.part[first]
        weights = self.there[first] / number[:, None]
        crossed = weights @ self.inverse @ weights.T
        spread = np.diag(crossed) + 1 / number
        variance = np.maximum(spread[:, None] + spread - 2 * crossed, 0.0)
        variance[part[:, None] != part] = np.nan
        variance = variance[alike.ravel()][:, alike.ravel()]
        np.fill_diagonal(variance, 0.0)
        return variance


def layout(values: Array) -> Layout:
    """Fits models and blocks; arguments and errors as for `differences`."""
    values = np.asarray(values, float)
    if values.ndim != 2 or np.isinf(values).any():
        raise InputError(f"`values` must be finite or NaN, shape (n, blocks). Got {values.shape}.")
    there = np.isfinite(values)
    if not there.any(axis=1).all():
        raise InputError("A model has no value in any block.")
    incidence, of_model, of_block = there.astype(float), there.sum(axis=1), there.sum(axis=0)
    means = np.nansum(values, axis=1) / of_model
    weights = incidence / of_model[:, None]
    information = np.diag(of_block.astype(float)) - incidence.T @ weights
    inverse = np.linalg.pinv(information, rcond=1e-9, hermitian=True)
    blocks = inverse @ (np.nansum(values, axis=0) - incidence.T @ means)
    models = means - weights @ blocks
    residuals = np.where(there, values - models[:, None] - blocks, 0.0)

    used = of_block > 0
    parts, part_of_block = csgraph.connected_components(incidence[:, used].T @ incidence[:, used])
    part = part_of_block[there[:, used].argmax(axis=1)]
    freedom = int(there.sum()) - len(values) - int(used.sum()) + parts
    square = float((residuals**2).sum()) / freedom if freedom > 0 else np.nan
    return Layout(models, square, freedom, there, inverse, part)


def differences(values: Array) -> Differences:
    """Compares models that were measured in some of the same blocks.

    Args:
        values: `(n, blocks)`; NaN where a model was not measured in a block.

    Raises:
        InputError: `values` has another shape, a model without a value, or an infinite one.
    """
    found = layout(values)
    variance = found.variance
    value = found.models[:, None] - found.models
    value[np.isnan(variance)] = np.nan
    error = np.sqrt(found.square * variance)
    np.fill_diagonal(error, 0.0)
    return Differences(value, error, np.asarray(found.freedom))


def over_images(values: Array) -> Tested:
    """Compares models by values of the same images, each pair by Student's paired t-test.

    Two that differ by the same at every image are infinitely far apart, two that never differ not
    at all.

    Args:
        values: `(n, images)`, at least two images; integers where they are counts.
    """
    values = np.asarray(values)
    images = values.shape[1]
    most = float(np.abs(values).max(initial=0))
    if np.issubdtype(values.dtype, np.integer) and images * most**2 < 2**24:
        values = values.astype(np.float32)  # sums of such products are exact
        products = (values @ values.T).astype(float)
    else:
        values = values.astype(float)
        values = values - values.mean(axis=0)  # what all have in common would only cost digits
        products = values @ values.T
    means = values.mean(axis=1, dtype=float)
    squares = np.diag(products)
    of_difference = np.abs(means[:, None] - means)
    variance = (squares[:, None] + squares - 2 * products) / images - of_difference**2
    error = np.sqrt(np.maximum(variance, 0.0) / (images - 1))
    largest = np.abs(values).max(initial=0.0)
    always = np.where(of_difference > 1e-9 * largest, np.inf, 0.0)
    # a variance below is what rounding leaves of a difference that is the same at every image
    told = variance > 64 * np.finfo(float).eps * largest**2
    apart = np.divide(of_difference, error, out=always, where=told)
    return Tested(apart, lambda level: stats.t.isf(level / 2, images - 1))


def mcnemar(correct: Array) -> Tested:
    """Compares classifiers on the same images, each pair by McNemar's exact test.

    Of b and c images that one of two alone gets right, the fewer lie farther apart the fewer they
    are: `apart` is minus their number.

    Args:
        correct: Which images each gets right, `(n, images)` bool.
    """
    right = np.asarray(correct, np.float32)
    both = right @ right.T
    only = np.diag(both)[:, None] - both
    fewer, either = np.minimum(only, only.T), (only + only.T).astype(int)
    numbers = np.arange(either.max(initial=0) + 1)

    def critical(level: float) -> Array:
        most = stats.binom.ppf(level / 2, numbers, 0.5)
        most -= stats.binom.cdf(most, numbers, 0.5) > level / 2
        return -most[either]

    return Tested(-fewer, critical)


def by_p(p: Array) -> Tested:
    """Pairs by p-values that were found otherwise, `(n, n)`; NaN where nothing can be told."""
    return Tested(-np.asarray(p, float), lambda level: -level)


def told_apart(tested: Tested, level: float) -> Array:
    """The pairs that differ, by Holm's rule over all of them.

    With m pairs of which k differ, those differ whose p-value is at or below level / (m - k): the
    least such k, found by steps up from 0, so that no p-value is needed but the critical one.

    Returns:
        `(n, n)`, symmetric booleans.
    """
    n = len(tested.apart)
    pairs, found = n * (n - 1) // 2, -1
    differ, count = np.zeros((n, n), bool), 0
    upper = np.triu(np.ones((n, n), bool), 1)
    while count > found and count < pairs:
        found = count
        differ = tested.below(level / (pairs - found)) & upper
        count = int(np.count_nonzero(differ))
    return differ | differ.T


def groups(scores: Array, differ: Array) -> int:
    """The most models of which every two neighbours in the order of scores differ.

    Args:
        scores: `(n,)`.
        differ: `(n, n)`, which pairs do.
    """
    order = np.argsort(scores)
    last, found = order[0], 1
    for model in order[1:]:
        if differ[last, model]:
            last, found = model, found + 1
    return found


def ranks(better: Array) -> Array:
    """The ranks that each model may have, from 1 for the best.

    Args:
        better: In which pairs the first is significantly better, `(n, n)`.

    Returns:
        `(n, 2)`: one more than the models that are better, and all less those that are worse.
    """
    return np.stack([1 + better.sum(axis=0), len(better) - better.sum(axis=1)], axis=1)
