"""Which scores can be trusted: how far they agree with the truth, where it is known.

On data whose true pixels are known, a network's maps are scored against these (`metrics.
ground_truth`), and by every score of the suite. A cell is a network with an attribution; its values
are means over seeds. Of all m x a cells, Spearman's rho between a score and a truth is taken

    over networks and attributions   over all cells at once,
    over networks                    for each attribution, then averaged,
    over attributions                for each network, then averaged.

A score that says how right a map is has rho > 0. Where less is better (`LOWER`: max-sensitivity,
infidelity, the logarithms of relative stability, the leak of masks, distance to the manifold and
change under noise away from it) a score is taken with the opposite sign. All others are taken as
they are, also the Gini index and total variation, of which more is not said to be better.
Infidelity, alignment and what is measured against the manifold are of the network alone: all of its
attributions have the same value, and over attributions they have no rho. The manifold's model is
the VAE-GAN, or the PCA of as many components where that comes nearer to the test images.

*Interval.* Cells of one network are not independent, nor are those of one attribution. So the score
is given to other networks, to other attributions, or to both, by random permutations of the rows
and columns of its table; q is the value that 95 of 100 of the |rho| that come out do not exceed.
With z = artanh the interval is z(rho) ± z(q): it holds 0 for 95 of 100 scores that know nothing of
the truth, as exactly as permutations are, and the population's rho in 89 to 96 of 100 where that is
.7 (simulated; see `tests/benchmark/test_trust.py`). Where there are so few networks or attributions
that a perfect order is no surprise, it is [-1, 1]: four attributions that all networks order alike,
or four networks that all attributions order alike, cannot be told from chance.

*Controls.* `random` is a score that is drawn at random. `strength` is the radius that a network was
trained with, as a share of its norm's largest: networks of a grid are ordered by it, so that all
scores which it raises agree with each other. A score whose rho over networks is not above that of
`strength` says no more than the radius does.

A network that is at chance in any seed has maps of nothing, and is left out (column `left_out`).
Where retraining on untouched images stays at chance too, scores by retraining are left out.
"""

import itertools
import zlib
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy import stats

from pellucid.benchmark.results.controls import (
    at_chance,
    contributions_of,
    least_accuracy,
)
from pellucid.benchmark.units import manifold, map_measures, off_manifold
from pellucid.benchmark.units.kind import Finished, Row
from pellucid.benchmark.units.map_measures import OF_NETWORK, TRUTHS
from pellucid.benchmark.units.orders import OWN
from pellucid.benchmark.units.outcomes import SPECIFIC, Score
from pellucid.benchmark.units.retrain import Retraining, untouched_accuracy
from pellucid.metrics import ATTRIBUTIONS, statistics
from pellucid.metrics.statistics import CONFIDENCE, Estimate
from pellucid.models.types import Array

OVER = ("networks and attributions", "networks", "attributions")
"""What cells are ranked over."""
EITHER = ("gini", "total_variation")
"""Scores of which neither more nor less is said to be better."""
LOWER = (*(name for name in map_measures.LOWER if name not in EITHER), "leak")
"""Scores of which less is better."""
RANDOM, STRENGTH = "random", "strength"
"""Scores that know nothing of a network's maps."""
UNINFORMED = {RANDOM: "a random score", STRENGTH: "attack strength"}
"""Their titles."""
CONTROLS = tuple(UNINFORMED)
PERMUTATIONS = 2000
"""Of which one leaves all in place."""
ROUNDING = 1e-9
"""Added to half an interval, so that one which ends at 0 holds it."""

Table = dict[str, dict[str, float]]
"""A score's values by network, then by attribution; by "" where they are of the network alone."""


class Ranks(NamedTuple):
    """The ranks of a score's cells, so that rho of two scores is the sum of products.

    Attributes:
        values: `(networks, attributions)`, centred, and scaled within each group.
        over: A name in `OVER`.
    """

    values: Array
    over: str

    @property
    def size(self) -> int:
        """Cells that are ranked with each other."""
        return self.values.size // self.groups

    @property
    def groups(self) -> int:
        """How often that is done."""
        networks, attributions = self.values.shape
        return {OVER[0]: 1, OVER[1]: attributions, OVER[2]: networks}[self.over]

    def permuted(self, rng: np.random.Generator) -> Array:
        """The score given to others, `(PERMUTATIONS, networks, attributions)`; itself first."""
        rows, columns = (np.tile(np.arange(size), (PERMUTATIONS, 1)) for size in self.values.shape)
        if self.over != OVER[2]:
            rows[1:] = rng.permuted(rows[1:], axis=1)
        if self.over != OVER[1]:
            columns[1:] = rng.permuted(columns[1:], axis=1)
        return self.values[rows[:, :, None], columns[:, None, :]]


def ranks(values: Array, over: str) -> Ranks:
    """The ranks of a score; a group of equal values has zeros.

    Args:
        values: `(networks, attributions)`.
        over: A name in `OVER`.
    """
    axis = {OVER[0]: None, OVER[1]: 0, OVER[2]: 1}[over]
    placed = stats.rankdata(values, axis=axis).reshape(np.shape(values))
    centred = placed - placed.mean(axis=axis, keepdims=True)
    length = np.sqrt((centred**2).sum(axis=axis, keepdims=True))
    return Ranks(np.divide(centred, length, out=np.zeros_like(centred), where=length > 0), over)


def agreement(score: Array, truth: Array, over: str, *, seed: int = 0) -> Estimate:
    """Spearman's rho of a score and a truth, with its interval.

    Args:
        score: `(networks, attributions)`.
        truth: Likewise.
        over: A name in `OVER`.
        seed: Of the permutations.

    Returns:
        The estimate; n is the number of cells. NaN where score or truth does not vary.
    """
    own, true = ranks(score, over), ranks(truth, over)
    nan, cells = float("nan"), own.values.size
    if not (own.values.any() and true.values.any()):
        return Estimate(nan, nan, nan, cells)
    rng = np.random.default_rng(seed)
    found = np.tensordot(own.permuted(rng), true.values, axes=2) / own.groups
    rho = float(np.clip(found[0], -1, 1))
    exceeding = int(PERMUTATIONS * (1 - CONFIDENCE))
    limit = float(np.sort(np.abs(found))[::-1][exceeding])
    # a perfect order is taken as if half a swap of neighbours were missing
    most = 1 - 6 / ((own.size**3 - own.size) * own.groups)
    if limit > most:
        return Estimate(rho, -1.0, 1.0, cells)
    middle, half = np.arctanh(np.clip(rho, -most, most)), np.arctanh(limit) + ROUNDING
    low, high = float(np.tanh(middle - half)), float(np.tanh(middle + half))
    return Estimate(rho, -1.0 if rho < -most else low, 1.0 if rho > most else high, cells)


def _grid(table: Table, networks: list[str], attributions: list[str]) -> pd.DataFrame:
    """A score's values, one row per network and one column per attribution; NaN where not known."""
    rows = {
        network: {name: cells.get(name, cells.get("", np.nan)) for name in attributions}
        for network in networks
        if (cells := table.get(network))
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=attributions, dtype=float)


def trust(
    scores: dict[str, Table],
    truths: dict[str, Table],
    *,
    lower: Collection[str] = LOWER,
    left_out: Sequence[str] = (),
    seed: int,
) -> pd.DataFrame:
    """Columns: score, better, truth, over, networks, attributions, cells, rho, low, high, left_out.

    `better` is what was taken to be better, `higher` or `lower`; empty where nothing is said.

    Args:
        scores: Every score, unsigned.
        truths: The scores against the truth.
        lower: The scores of which less is better.
        left_out: Networks that are not ranked.
        seed: Of the random score.
    """
    first = next(iter(truths.values()))
    networks = [network for network in first if network not in set(left_out)]
    attributions = list(dict.fromkeys(name for cells in first.values() for name in cells))
    rng = np.random.default_rng(seed)
    drawn: Table = {
        network: {name: float(rng.normal()) for name in attributions} for network in networks
    }
    rows: list[Row] = []
    for score, table in {**scores, RANDOM: drawn}.items():
        own = _grid(table, networks, attributions).dropna(axis=1, how="all").dropna()
        if own.empty:
            continue
        sign = -1 if score in lower else 1
        better = "" if score in (*EITHER, *CONTROLS) else "lower" if score in lower else "higher"
        for truth, values in truths.items():
            true = _grid(values, list(own.index), list(own.columns))
            for over in OVER:
                found = agreement(sign * own.to_numpy(), true.to_numpy(), over)
                rows.append(
                    {
                        "score": score,
                        "better": better,
                        "truth": truth,
                        "over": over,
                        "networks": len(own),
                        "attributions": len(own.columns),
                        "cells": found.n,
                        "rho": found.value,
                        "low": found.low,
                        "high": found.high,
                        "left_out": ", ".join(left_out),
                    }
                )
    return pd.DataFrame(rows)


def _measured(measures: pd.DataFrame) -> dict[str, Table]:
    """The measures of maps, by name: means over seeds."""
    found: dict[str, Table] = {}
    means = measures.groupby(["measure", "network", "attribution"], sort=False)["mean"].mean()
    for (name, network, attribution), value in means.items():
        column = "" if name in OF_NETWORK else attribution
        found.setdefault(name, {}).setdefault(network, {})[column] = float(value)
    return found


def _of_own_maps(score: Score) -> bool:
    return score.measure.startswith(SPECIFIC) or score.control == OWN


def _retrained(finished: Finished) -> dict[str, Table]:
    """The scores by retraining of networks' own maps, by name without the attribution.

    None where retraining on untouched images has not learned either.
    """
    if finished.plan.config.section(Retraining) is None:
        return {}
    if untouched_accuracy(finished.tables["retraining"]) < least_accuracy(finished):
        return {}
    found: dict[str, Table] = {}
    for network, values in contributions_of(finished).items():
        for score, added in values.items():
            if _of_own_maps(score) and score.attribution in ATTRIBUTIONS:
                name = str(score).replace(f"_{score.attribution}", "", 1)
                value = float(added.sum(axis=2, dtype=np.float64).mean())
                found.setdefault(name, {}).setdefault(network, {})[score.attribution] = value
    return found


def _against_manifold(finished: Finished) -> tuple[dict[str, Table], list[str]]:
    """What is measured against the manifold and set against accuracy; of which less is better.

    By the VAE-GAN, or by the PCA where that comes nearer to the test images. Names are without that
    of the model, and of the attack's loss where there is one alone.
    """
    section = finished.plan.config.section(manifold.Manifold)
    alone = f"manifold_{section.losses[0]}_" if section and len(section.losses) == 1 else ""
    values = finished.tables["scores"].set_index(["score", "network"])["value"]
    errors = finished.tables["manifold_model"]
    by_pca = False
    if not errors.empty:
        found = errors.set_index("measure")["value"]
        by_pca = found["pca_mean_squared_error"] <= found["mean_squared_error"]
    tables: dict[str, Table] = {}
    lower = []
    describes = (manifold.describe, off_manifold.describe)
    names = dict.fromkeys(values.index.get_level_values("score"))
    for describe, name in itertools.product(describes, names):
        if not (description := describe(name)):
            continue
        source = off_manifold.by_pca(name) if by_pca else name
        if source not in names:
            continue
        known = name.removesuffix(f"_{off_manifold.DECODER}")
        if alone and known.startswith(alone):
            known = f"manifold_{known.removeprefix(alone)}"
        tables[known] = {network: {"": float(v)} for network, v in values[source].items()}
        lower += [known] if description.better == "lower" else []
    return tables, lower


def of_run(finished: Finished) -> pd.DataFrame:
    """`trust` of a run whose measures hold scores against the truth; empty for another."""
    measures = finished.tables["measures"]
    if measures.empty or not measures["measure"].isin(TRUTHS).any():
        return pd.DataFrame()
    measured = _measured(measures)
    truths = {name: measured.pop(name) for name in TRUTHS if name in measured}
    strength = {
        network.label: {"": float(str(finished.plan.columns(network)["strength"]))}
        for network in finished.plan.networks
    }
    distances, lower = _against_manifold(finished)
    scores = measured | _retrained(finished) | distances | {STRENGTH: strength}
    seed = zlib.crc32(finished.plan.info.name.encode())  # another one for every data set
    left_out = at_chance(finished)
    return trust(scores, truths, lower=(*LOWER, *lower), left_out=left_out, seed=seed)


def join(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables of several data sets as one: the mean rho over data sets, with Student's interval.

    Args:
        tables: As `trust` returns them, one per data set.

    Returns:
        Columns: score, better, truth, over, sets, cells, rho, low, high. `sets` are the data sets
        with a rho, and `cells` their cells. The interval ends at -1 and 1; NaN for one data set.
    """

    def rows() -> Iterator[Row]:
        every = pd.concat(list(tables), ignore_index=True)
        about = ["score", "better", "truth", "over"]
        for names, part in every.groupby(about, sort=False, dropna=False):
            known = part.dropna(subset="rho")
            if known.empty:
                continue
            found = statistics.mean(known["rho"].to_numpy())
            yield dict(zip(about, names, strict=True)) | {
                "sets": len(known),
                "cells": int(known["cells"].sum()),
                "rho": found.value,
                "low": float(np.clip(found.low, -1, 1)),
                "high": float(np.clip(found.high, -1, 1)),
            }

    return pd.DataFrame(rows())
