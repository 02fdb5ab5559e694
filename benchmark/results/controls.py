"""How much of a score's rise over attack strength its controls explain.

The *rise* of a score is its least-squares slope over the networks of a series, from standard
training (strength 0) to the largest radius (strength 1). A control made of the same networks' maps
rises too. The *share* it explains is the ratio of the two rises. By the rule of `docs/protocol.md`
a score's rise

    survives        if the score rises, and the control explains less than half of it,
    does not        if the score falls, or the control explains more than half of its rise,
    cannot be told  otherwise,

each beyond doubt: the 95 percent interval decides.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from pellucid.benchmark.results.caveats import CHANCE_MARGIN
from pellucid.benchmark.units import map_measures, measures, retrain
from pellucid.benchmark.units.kind import Finished, Row
from pellucid.benchmark.units.measures import Measures
from pellucid.benchmark.units.orders import OWN
from pellucid.benchmark.units.outcomes import (
    DIFFROAR,
    NOBODY,
    SPECIFIC,
    Score,
    contributions,
    diffroar_of_controls,
)
from pellucid.benchmark.units.plan import strengths
from pellucid.benchmark.units.retrain import Retraining
from pellucid.benchmark.units.unit import STANDARD, Network
from pellucid.metrics import CONTROLS, MODES, hierarchical
from pellucid.metrics.statistics import Estimate
from pellucid.models.types import Array

SURVIVES, DOES_NOT, UNCLEAR = "survives", "does not", "cannot be told"
HALF = 0.5
"""The share of a rise below which a control leaves the claim standing."""
LEAST = 3
"""Networks of a series without which there is no rise."""

JUDGED = (*MODES, DIFFROAR)
"""The scores of retraining whose rise the controls are held against."""

Contributions = dict[str, dict[Score, Array]]
"""What each test image adds to a score, by network and score."""


def _contributions(finished: Finished) -> Contributions:
    found = retrain.outcomes(finished)
    networks = [network.label for network in finished.plan.networks]
    return {
        label: dict([*contributions(found, label), *diffroar_of_controls(found, label)])
        for label in (*networks, NOBODY.label)
    }


def contributions_of(finished: Finished) -> Contributions:
    """Those of every network of a run, and of `none`; made once."""
    return finished.once("contributions", _contributions)


def orders(finished: Finished) -> pd.DataFrame:
    """Columns: score, value, low, high, n: those scores of the orders that ask no network.

    The random order's own score is 0 by definition, and has no row.
    """
    if finished.plan.config.section(Retraining) is None:
        return pd.DataFrame()
    found = contributions_of(finished)[NOBODY.label]
    return pd.DataFrame(
        {"score": str(score)} | hierarchical.mean(values)._asdict()
        for score, values in found.items()
    )


def least_accuracy(finished: Finished) -> float:
    """The test accuracy below which a network has not learned."""
    return 1 / finished.plan.info.num_classes + CHANCE_MARGIN


def at_chance(finished: Finished) -> list[str]:
    """Labels of the networks that have not learned, in any seed."""
    accuracy = finished.tables["accuracy"]
    low = accuracy["accuracy"] < least_accuracy(finished)
    return list(accuracy.loc[(accuracy["measure"] == "test") & low, "network"].unique())


class Series(NamedTuple):
    """The networks of one norm and training loss that were scored, the standard network first.

    Attributes:
        norm: The norm.
        loss: The training loss.
        found: What each test image adds to the scores of each network.
        weights: With these, the networks' scores add up to the score's rise.
    """

    norm: str
    loss: str
    found: list[dict[Score, Array]]
    weights: Array

    @property
    def scores(self) -> dict[Score, Array]:
        """Those of the strongest network, which has all controls."""
        return self.found[-1]

    def of(self, score: Score, *, instead: Score | None = None) -> Array:
        """A score of all networks; of those without it, the score `instead`."""
        other = instead or score
        return np.stack([of[score] if score in of else of[other] for of in self.found])

    def row(self, score: Score) -> Row:
        """The columns that all tables of rises begin with."""
        seeds = self.scores[score].shape[0]
        return {"norm": self.norm, "loss": self.loss, "seeds": seeds, "score": str(score)}


def _series(finished: Finished, found: Contributions) -> Iterator[Series]:
    """The series of a run that have a rise; networks at chance are left out."""
    collapsed = at_chance(finished)
    members: dict[tuple[str, str], list[Network]] = {}
    for network in finished.plan.networks:
        if network.norm and network.loss:
            members.setdefault((network.norm, network.loss), [STANDARD]).append(network)
    for (norm, loss), networks in members.items():
        scored = [n for n in networks if found[n.label] and n.label not in collapsed]
        if len(scored) >= LEAST:
            radius = strengths(finished.plan.config)[norm]
            weights = slope(np.array([network.epsilon / radius for network in scored]))
            yield Series(norm, loss, [found[network.label] for network in scored], weights)


def slope(strength: Array) -> Array:
    """Weights with which the networks' scores add up to the least-squares slope over strength."""
    centred = strength - strength.mean()
    return centred / (centred**2).sum()


def outcome(rise: Estimate, rest: Estimate) -> str:
    """What the rule says.

    Args:
        rise: The rise of the score.
        rest: The control's rise less half of the score's. Both with the opposite sign for a score
            of which less is better.
    """
    if rise.high < 0:
        return DOES_NOT
    if not rise.low > 0:
        return UNCLEAR
    return SURVIVES if rest.high < 0 else DOES_NOT if rest.low > 0 else UNCLEAR


def verdicts(finished: Finished) -> pd.DataFrame:
    """Columns: norm, loss, seeds, score, control, rise, control_rise, share, verdict.

    Of rises and share, `<name>_low` and `<name>_high` are the ends of the interval. With one seed a
    verdict is about these very networks.
    """
    rows: list[Row] = []
    if finished.plan.config.section(Retraining) is not None:
        for series in _series(finished, contributions_of(finished)):
            for score, control in _pairs(series.scores):
                rows.append(_verdict(series, score, control))
    if finished.plan.config.section(Measures) is not None:
        networks = [network.label for network in finished.plan.networks]
        values = {label: measures.contributions(finished, label) for label in networks}
        for series in _series(finished, values):
            for score in series.scores:
                for name in CONTROLS:
                    other = score._replace(control=name)
                    if score.control == OWN and other in series.scores:
                        rows.append(_verdict(series, score, other))
    return pd.DataFrame(rows)


def _verdict(series: Series, score: Score, control: Score) -> Row:
    """The row of one score and one control; images without a value have no part."""
    own = series.of(score)
    # Of the standard network, the standard map blurred to match is the own map.
    other = series.of(control, instead=score)
    known = np.isfinite(own + other).all(axis=(0, 1, 2, 3))
    if not known.all():
        own, other = own[..., known], other[..., known]
    rise = hierarchical.contrast(own, series.weights)
    rest = hierarchical.contrast(other - HALF * own, series.weights)
    lower = score.measure in map_measures.LOWER
    return (
        series.row(score)
        | {"control": control.control}
        | _ends("rise", rise)
        | _ends("control_rise", hierarchical.contrast(other, series.weights))
        | _ends("share", hierarchical.ratio(other, own, series.weights))
        | {"verdict": outcome(_negative(rise), _negative(rest)) if lower else outcome(rise, rest)}
    )


def _negative(estimate: Estimate) -> Estimate:
    return Estimate(-estimate.value, -estimate.high, -estimate.low, estimate.n)


def rises(finished: Finished) -> pd.DataFrame:
    """Columns: norm, loss, seeds, score, rise, rise_low, rise_high, of every score of own maps.

    ROAR, KAR, their specific forms, DiffROAR, net KAR and leak. With one seed a rise is that of
    these very networks.
    """
    if finished.plan.config.section(Retraining) is None:
        return pd.DataFrame()
    rows: list[Row] = []
    for series in _series(finished, contributions_of(finished)):
        for score in series.scores:
            if score.control == OWN or score.measure.startswith(SPECIFIC):
                rise = hierarchical.contrast(series.of(score), series.weights)
                rows.append(series.row(score) | _ends("rise", rise))
    return pd.DataFrame(rows)


def _ends(name: str, estimate: Estimate) -> Row:
    """Columns of an estimate and the ends of its interval."""
    return {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}


def _pairs(found: dict[Score, Array]) -> Iterator[tuple[Score, Score]]:
    """Each score of own maps, with that of each control which is made of the same maps."""
    for score in found:
        if score.measure not in JUDGED or score.control != OWN:
            continue
        for name in CONTROLS:
            if (other := score._replace(control=name)) in found:
                yield score, other
