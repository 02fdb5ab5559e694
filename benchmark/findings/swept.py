"""The tables of what a setting that was swept does to the rises of ROAR and KAR."""

from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from pellucid.benchmark.findings.runs import RISES, Sources
from pellucid.benchmark.findings.standing import losses
from pellucid.benchmark.findings.trends import UNCLEAR, direction
from pellucid.benchmark.paper.tables import markdown
from pellucid.benchmark.results import names
from pellucid.benchmark.results.tables import SWEPT, Tables
from pellucid.benchmark.units.outcomes import SPECIFIC, Score
from pellucid.metrics import ATTRIBUTIONS, FILLS, MODES, SHUFFLES, comparisons

ACCURACIES = ("train_accuracy", "test_accuracy")


class Rise(NamedTuple):
    """A score's rise from strength 0 to strength 1, with its interval."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def _scores(table: pd.DataFrame) -> list[str]:
    """ROAR and KAR, then their specific forms, of the first attribution and fill there is."""
    there = set(table["score"])
    shuffle = SHUFFLES[-1]
    for attribution in ATTRIBUTIONS:
        for fill in FILLS:
            found = [
                *(str(Score(mode, attribution, fill=fill)) for mode in MODES),
                *(str(Score(SPECIFIC + mode, attribution, shuffle, fill)) for mode in MODES),
            ]
            if there.intersection(found):
                return [name for name in found if name in there]
    return []


def _rise(rows: pd.DataFrame, score: str) -> Rise | None:
    found = rows[rows["score"] == score]
    if found.empty:
        return None
    return Rise(*(float(found[column].iloc[0]) for column in ("rise", "rise_low", "rise_high")))


def _accuracies(rows: pd.DataFrame) -> str:
    """Train and test accuracy of one network."""
    values = rows.set_index("score")["value"]
    return ", ".join(f"{values[name]:.3f}" for name in ACCURACIES if name in values)


def _ends(scores: pd.DataFrame, norm: str, loss: str) -> tuple[str, str]:
    """Accuracies of the standard network and of a series' strongest."""
    series = scores[(scores["norm"] == norm) & (scores["loss"] == loss)]
    strongest = series[series["strength"] == series["strength"].max()]
    return _accuracies(scores[scores["norm"] == "none"]), _accuracies(strongest)


def _change(
    series: str, setting: str, values: Sequence[object], found: dict[str, list[Rise | None]]
) -> str:
    """What becomes of the rises from the first value of a setting to the last; empty without."""
    parts = []
    for score, rises in found.items():
        first, last = rises[0], rises[-1]
        if first is None or last is None:
            continue
        between = comparisons.difference(last, first)
        way = direction(between.low, between.high)
        verb = "not shown to differ" if way == UNCLEAR else f"it goes {way}"
        by = Rise(between.value, between.low, between.high)
        parts.append(f"{names.score(score)} by {by}, {verb}")
    if not parts:
        return ""
    start = f"From {values[0]} to {values[-1]} {setting} rises change on {series}"
    return f"{start}: {'; '.join(parts)}."


def _one(name: str, tables: Tables) -> str:
    """Of one sweep: a row for each value and series, then what the ends differ by."""
    rises, scores = tables[RISES], tables["scores"]
    keys = [column for column in rises if column.startswith(SWEPT)]
    shown, chosen = losses(rises), _scores(rises)
    rows: list[list[str]] = []
    parts: list[str] = []
    for (norm, loss), of_series in rises.groupby(["norm", "loss"], sort=False):
        found: dict[str, list[Rise | None]] = {score: [] for score in chosen}
        series, values = names.series(name, str(norm), shown[loss]), []
        for value, part in of_series.groupby(keys, sort=False):
            settings = [str(v) for v in value]
            same = (scores[keys].astype(str) == settings).all(axis=1)
            for score in chosen:
                found[score].append(_rise(part, score))
            cells = [str(found[score][-1] or "-") for score in chosen]
            values.append(", ".join(settings))
            about = _ends(scores[same], str(norm), str(loss))
            rows.append([series, *settings, *about, *cells])
        if len(keys) == 1 and len(values) > 1:
            setting = names.setting(keys[0].removeprefix(SWEPT))
            parts.append(_change(series, setting, values, found))
    headers = [
        "series",
        *(names.setting(key.removeprefix(SWEPT)) for key in keys),
        "standard network: train, test accuracy",
        "strongest: train, test accuracy",
        *(f"rise of {names.score(score)}" for score in chosen),
    ]
    return "\n\n".join([markdown(rows, headers), *filter(None, [" ".join(filter(None, parts))])])


def swept(sources: Sources) -> str | None:
    """What each setting does that was swept; None where no sweep is there."""
    if not sources.swept:
        return None
    read = (
        "Runs that differ in one setting, or a few, alone. Rises are from standard training to the"
        " largest radius, before controls; brackets are 95 percent intervals, taken as independent"
        " where two rises are compared."
    )
    return "\n\n".join([read, *(_one(name, tables) for name, tables in sources.swept.items())])
