"""What goes up or down with attack strength, by an interval, whatever explains it.

*Scores of retraining.* The table `rises` where a run has it: the rise of every score with its
interval. Without it, the rises that the verdicts rest on, and those of the specific scores: by
linearity

    rise of specific ROAR = rise of ROAR - rise of the shuffled maps' ROAR,

whose interval is not stored, but whose sign is. Fieller's interval of the share that the shuffled
maps explain holds every r for which the interval of (control's rise - r times the score's) holds 0;
so the specific rise differs from 0 where r = 1 lies outside.

*Measures without retraining.* The least-squares slope over strength of each seed's mean over
images. With y_is that of network i and seed s, the scatter is the residual of y without the effects
of network and seed, as in `hierarchical.contrast`. One seed has no interval.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import pandas as pd

from pellucid.benchmark.findings.runs import RISES, VERDICTS, FinishedRun
from pellucid.benchmark.findings.standing import losses
from pellucid.benchmark.results import names
from pellucid.benchmark.results.controls import LEAST, slope
from pellucid.benchmark.units.map_measures import OF_NETWORK
from pellucid.benchmark.units.outcomes import SPECIFIC, Score
from pellucid.metrics import ATTRIBUTIONS, FILLS, MODES, SHUFFLES, hierarchical

UP, DOWN, UNCLEAR = "up", "down", "cannot be told"

EXACT = 1e-6
"""Ends of intervals of shares lie on a grid that holds 1, up to rounding."""


@dataclass(frozen=True)
class Trend:
    """One score over a series' attack strength.

    Attributes:
        label: The run's name in the text.
        norm: The series' norm.
        loss: Its training loss, as it is shown.
        seeds: Base-model seeds.
        score: The score's name in tables.
        value: From strength 0 to strength 1.
        low: The lower end of its interval; NaN where it is not known.
        high: The upper end.
        direction: `UP`, `DOWN` or `UNCLEAR`.
    """

    label: str
    norm: str
    loss: str
    seeds: int
    score: str
    value: float
    low: float
    high: float
    direction: str

    @property
    def series(self) -> str:
        """The series' name in the text."""
        return names.series(self.label, self.norm, self.loss)


def direction(low: float, high: float) -> str:
    """Which side of 0 an interval lies on; without an interval it cannot be told."""
    return UP if low > 0 else DOWN if high < 0 else UNCLEAR


def _of_rises(run: FinishedRun, table: pd.DataFrame) -> Iterator[Trend]:
    shown = losses(table)
    for row in table.drop_duplicates(["norm", "loss", "score"]).itertuples():
        yield Trend(
            run.label,
            row.norm,
            shown[row.loss],
            int(row.seeds),
            row.score,
            row.rise,
            row.rise_low,
            row.rise_high,
            direction(row.rise_low, row.rise_high),
        )


def specific_direction(rise: float, control: float, share_low: float, share_high: float) -> str:
    """The direction of a score less its control, from Fieller's interval of their ratio.

    Args:
        rise: Of the score.
        control: Of the control.
        share_low: The lower end of the interval of control / rise; NaN where there is none.
        share_high: The upper end.
    """
    apart = share_high < 1 - EXACT or share_low > 1 + EXACT
    if not apart or math.isnan(share_low + share_high):
        return UNCLEAR
    return UP if rise > control else DOWN


def _specific(run: FinishedRun, table: pd.DataFrame) -> Iterator[Trend]:
    shown = losses(table)
    scores = {
        str(Score(mode, attribution, fill=fill)): (mode, attribution, fill)
        for mode in MODES
        for attribution in ATTRIBUTIONS
        for fill in FILLS
    }
    for row in table[table["control"].isin(SHUFFLES)].itertuples():
        if row.score not in scores:
            continue
        mode, attribution, fill = scores[row.score]
        yield Trend(
            run.label,
            row.norm,
            shown[row.loss],
            int(row.seeds),
            str(Score(SPECIFIC + mode, attribution, row.control, fill)),
            row.rise - row.control_rise,
            math.nan,
            math.nan,
            specific_direction(row.rise, row.control_rise, row.share_low, row.share_high),
        )


def of_scores(run: FinishedRun) -> list[Trend]:
    """The scores of retraining whose rise is known."""
    if not (table := run.table(RISES)).empty:
        return list(_of_rises(run, table))
    table = run.table(VERDICTS)
    return [*_of_rises(run, table), *_specific(run, table)]


def of_measures(run: FinishedRun) -> Iterator[Trend]:
    """The measures without retraining in every series of three networks or more."""
    table = run.table("measures")
    if table.empty:
        return
    shown = losses(table)
    adversarial = table[table["norm"] != "none"]
    for (norm, loss), series in adversarial.groupby(["norm", "loss"], sort=False):
        members = pd.concat([table[table["norm"] == "none"], series])
        for (attribution, measure), rows in members.groupby(["attribution", "measure"], sort=False):
            wide = rows.pivot(index="strength", columns="seed", values="mean").dropna(
                axis="columns"
            )
            if len(wide) < LEAST or wide.empty:
                continue
            values = wide.to_numpy()[:, :, None, None, None]
            found = hierarchical.contrast(values, slope(wide.index.to_numpy(float)))
            yield Trend(
                run.label,
                str(norm),
                shown[loss],
                wide.shape[1],
                str(measure) if measure in OF_NETWORK else f"{measure}_{attribution}",
                found.value,
                found.low,
                found.high,
                direction(found.low, found.high),
            )
