"""How a score stands in a series after every control under both fills.

A series is the networks of one run, norm and training loss, with the standard network. The joined
verdict follows from the verdicts of single controls (`results.controls`):

    does not        if it does not survive one control under one fill,
    survives        if it survives all of them, and none that the protocol names is missing,
    cannot be told  otherwise.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import pandas as pd

from pellucid.benchmark.findings.runs import VERDICTS, FinishedRun
from pellucid.benchmark.results import names
from pellucid.benchmark.results.controls import DOES_NOT, HALF, JUDGED, SURVIVES, UNCLEAR
from pellucid.benchmark.units.outcomes import IMPUTED, MASKS, Score
from pellucid.metrics import ATTRIBUTIONS, CONTROLS, FILLS, MODES, SHUFFLES


class Share(NamedTuple):
    """The share of a rise that a control explains; the ends are NaN where it has no interval."""

    control: str
    value: float
    low: float
    high: float

    @property
    def bounded(self) -> bool:
        """Whether its interval has two ends."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def most(self) -> bool:
        """Whether it is more than half, by its interval."""
        return self.bounded and min(self.value, self.low) > HALF


@dataclass(frozen=True)
class Side:
    """A score under one fill.

    Attributes:
        rise: From strength 0 to strength 1.
        low: The lower end of its interval.
        high: The upper end.
        verdicts: By control.
        shares: Of every control.
    """

    rise: float
    low: float
    high: float
    verdicts: dict[str, str]
    shares: tuple[Share, ...]

    @property
    def goes_up(self) -> bool:
        """Whether the score goes up with attack strength, before controls."""
        return self.low > 0

    @property
    def goes_down(self) -> bool:
        """Whether it goes down."""
        return self.high < 0

    def largest(self) -> tuple[Share, ...]:
        """The largest share, of every control that has it; none where nothing goes up."""
        known = [share for share in self.shares if not math.isnan(share.value)]
        if not (known and self.goes_up):
            return ()
        value = max(share.value for share in known)
        return tuple(share for share in known if share.value == value)


def required(measure: str, fill: str) -> frozenset[str]:
    """The controls without which a score does not survive.

    Args:
        measure: One of `JUDGED`.
        fill: A key of `FILLS`; under imputation stand the shuffled maps alone.
    """
    if fill == IMPUTED:
        return frozenset(SHUFFLES)
    kept = measure in MODES and MODES[measure].top_pixels == "kept"
    asking = (control.name for control in CONTROLS.values() if control.of_network)
    return frozenset(name for name in asking if kept or name != MASKS)


@dataclass(frozen=True)
class Standing:
    """A score in one series.

    Attributes:
        label: The run's name in the text.
        norm: The series' norm.
        loss: Its training loss; empty where the run has one only.
        seeds: Base-model seeds.
        measure: One of `JUDGED`.
        attribution: A key of `ATTRIBUTIONS`.
        sides: By fill.
    """

    label: str
    norm: str
    loss: str
    seeds: int
    measure: str
    attribution: str
    sides: dict[str, Side]

    @property
    def series(self) -> str:
        """The series' name in the text."""
        return names.series(self.label, self.norm, self.loss)

    @property
    def score(self) -> str:
        """The score's name in tables."""
        return str(Score(self.measure, self.attribution))

    @property
    def fill(self) -> str:
        """The paper's fill, or the one there is."""
        return next(fill for fill in FILLS if fill in self.sides)

    @property
    def first(self) -> Side:
        """The score under that fill."""
        return self.sides[self.fill]

    @property
    def outcome(self) -> str:
        """The joined verdict."""
        found = [verdict for side in self.sides.values() for verdict in side.verdicts.values()]
        if DOES_NOT in found:
            return DOES_NOT
        complete = all(
            fill in self.sides and required(self.measure, fill) <= self.sides[fill].verdicts.keys()
            for fill in FILLS
        )
        return SURVIVES if complete and set(found) == {SURVIVES} else UNCLEAR


def losses(table: pd.DataFrame) -> dict[str, str]:
    """How training losses are shown: not at all where there is one."""
    found = table.loc[table["norm"] != "none", "loss"].unique()
    return {loss: loss if len(found) > 1 else "" for loss in found}


def _side(rows: pd.DataFrame) -> Side:
    first = rows.iloc[0]
    return Side(
        rise=float(first["rise"]),
        low=float(first["rise_low"]),
        high=float(first["rise_high"]),
        verdicts=dict(zip(rows["control"], rows["verdict"], strict=True)),
        shares=tuple(
            Share(str(r.control), float(r.share), float(r.share_low), float(r.share_high))
            for r in rows.itertuples()
        ),
    )


def standings(run: FinishedRun) -> Iterator[Standing]:
    """Every score of a run that has verdicts, in every series."""
    table = run.table(VERDICTS)
    shown = losses(table)
    for (norm, loss), series in table.groupby(["norm", "loss"], sort=False):
        of_score = dict(list(series.groupby("score")))
        for measure in JUDGED:
            for attribution in ATTRIBUTIONS:
                sides = {}
                for fill in FILLS:
                    name = str(Score(measure, attribution, fill=fill))
                    if name in of_score:
                        sides[fill] = _side(of_score[name])
                if sides:
                    seeds = int(series["seeds"].iloc[0])
                    yield Standing(
                        run.label, str(norm), shown[loss], seeds, measure, attribution, sides
                    )
