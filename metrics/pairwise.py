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

from typing import NamedTuple

import numpy as np
from scipy import stats
from scipy.sparse import csgraph

from robust_interpretability.metrics import comparisons
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.types import Array


class Differences(NamedTuple):
    """All pairwise differences, first minus second.

    Attributes:
        value: `(n, n)`; NaN where two models have no block in common, even through others.
        error: `(n, n)`, their standard errors; NaN without degrees of freedom.
        freedom: Degrees of freedom.
        p: `(n, n)`, two-sided p-values; NaN where there is no error.
    """

    value: Array
    error: Array
    freedom: int
    p: Array


class Layout(NamedTuple):
    """A two-way layout, fitted.

    Attributes:
        models: `(n,)`, the models' effects: means over blocks, without what the blocks add. Of
            models that were measured in every block, the plain means.
        square: s^2, the variance of a cell; NaN without degrees of freedom.
        freedom: Its degrees of freedom.
        variance: `(n, n)`, the variance of each pairwise difference, in s^2; NaN where two models
            have no block in common, even through others.
    """

    models: Array
    square: float
    freedom: int
    variance: Array


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

    spread = np.einsum("ib,bc,ic->i", weights, inverse, weights)
    crossed = weights @ inverse @ weights.T
    variance = spread[:, None] + spread - 2 * crossed + 1 / of_model[:, None] + 1 / of_model
    variance = np.where(part[:, None] != part, np.nan, np.maximum(variance, 0.0))
    np.fill_diagonal(variance, 0.0)
    return Layout(models, square, freedom, variance)


def differences(values: Array) -> Differences:
    """Compares models that were measured in some of the same blocks.

    Args:
        values: `(n, blocks)`; NaN where a model was not measured in a block.

    Raises:
        InputError: `values` has another shape, a model without a value, or an infinite one.
    """
    found = layout(values)
    apart = np.isnan(found.variance)
    value = np.where(apart, np.nan, found.models[:, None] - found.models)
    error = np.sqrt(found.square * found.variance)
    np.fill_diagonal(error, 0.0)
    p = np.full(value.shape, np.nan)
    told = error > 0
    p[told] = 2 * stats.t.sf(np.abs(value[told]) / error[told], found.freedom)
    return Differences(value, error, found.freedom, p)


def over_images(values: Array) -> Array:
    """Compares models by values of the same images, each pair by Student's paired t-test.

    Args:
        values: `(n, images)`, at least two images.

    Returns:
        `(n, n)` two-sided p-values; 1 where no image tells two apart.
    """
    values = np.asarray(values, float)
    n, images = values.shape
    values = values - values.mean(axis=0)  # what all have in common would only cost digits
    means, products = values.mean(axis=1), values @ values.T
    squares = np.diag(products)
    of_difference = means[:, None] - means
    variance = (squares[:, None] + squares - 2 * products) / images - of_difference**2
    error = np.sqrt(np.maximum(variance, 0.0) / (images - 1))
    p = np.ones((n, n))
    told = error > 1e-9 * np.abs(values).max(initial=0.0)
    p[told] = 2 * stats.t.sf(np.abs(of_difference[told]) / error[told], images - 1)
    always = ~told & (np.abs(of_difference) > 1e-9 * np.abs(values).max(initial=0.0))
    p[always] = 0.0
    return p


def adjusted(p: Array) -> Array:
    """P-values of all pairs, adjusted by Holm's rule; NaN counts as 1.

    Args:
        p: `(n, n)`, symmetric.

    Returns:
        `(n, n)`; 1 on the diagonal.
    """
    upper = np.triu_indices(len(p), 1)
    found = np.ones(np.shape(p))
    found[upper] = comparisons.holm(np.nan_to_num(np.asarray(p)[upper], nan=1.0))
    return np.minimum(found, found.T)


def groups(scores: Array, p: Array, level: float) -> int:
    """The most models of which every two neighbours in the order of scores differ significantly.

    Args:
        scores: `(n,)`.
        p: `(n, n)` adjusted p-values.
        level: From which a difference counts.
    """
    order = np.argsort(scores)
    last, found = order[0], 1
    for model in order[1:]:
        if p[last, model] <= level:
            last, found = model, found + 1
    return found


def ranks(scores: Array, p: Array, level: float) -> Array:
    """The ranks that each model may have, from 1, the highest score first.

    Args:
        scores: `(n,)`.
        p: `(n, n)` adjusted p-values.
        level: From which a difference counts.

    Returns:
        `(n, 2)`: one more than the models that are better, and all less those that are worse.
    """
    scores = np.asarray(scores, float)
    better = (np.asarray(p) <= level) & (scores[:, None] > scores)
    return np.stack([1 + better.sum(axis=0), len(scores) - better.sum(axis=1)], axis=1)


def mcnemar(correct: Array) -> Array:
    """Compares classifiers on the same images, each pair by McNemar's exact test.

    Args:
        correct: Which images each gets right, `(n, images)` bool.

    Returns:
        `(n, n)` two-sided p-values; 1 where no image tells two apart.
    """
    right = np.asarray(correct, np.float32)
    both = right @ right.T
    only = np.diag(both)[:, None] - both
    fewer, either = np.minimum(only, only.T), only + only.T
    return np.minimum(2 * stats.binom.cdf(fewer, either, 0.5), 1.0)
