"""What the page of one entry shows: numbers as text, and the values of `entry.html.jinja`.

Nothing of it depends on other entries, so another entry leaves the page as it is.
"""

import math
import re
from typing import NamedTuple

import numpy as np

from pellucid.leaderboard import charts, scores, text
from pellucid.leaderboard.charts import Tick
from pellucid.leaderboard.entry import (
    Attacked,
    Ensemble,
    Entry,
    Picture,
    RetrainingCurve,
    Score,
)
from pellucid.leaderboard.flags import MEANINGS, Meaning
from pellucid.leaderboard.render import cell as score_text
from pellucid.leaderboard.render import training
from pellucid.leaderboard.table import MAX_TITLE
from pellucid.leaderboard.text import printable

NORM_NAMES = {"l2": "L2", "linf": "L∞"}
ATTACK_NAMES = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "noise": "random noise",
    "transfer": "transfer from the standard net",
}
MISSING = "–"
MAX_LINK = 2000
MAX_ROW = 110
"""Characters of a score's title in the table of all scores."""
RANDOM_ORDER = "random order"


class Cell(NamedTuple):
    """A number in a table.

    Attributes:
        text: The number.
        interval: In brackets.
        n: Sample size of a score.
        seeds: Trainings averaged in a score.
    """

    text: str = MISSING
    interval: str = ""
    n: int = 0
    seeds: int = 0


class ScoreRow(NamedTuple):
    """A score of an entry; `better` is `higher`, `lower`, or empty without a direction."""

    title: str
    value: Cell
    better: str


class AttackRow(NamedTuple):
    """Accuracy under an attack, one cell per radius."""

    name: str
    cells: list[Cell]


class AttackTable(NamedTuple):
    """Accuracy by attack and radius under one norm."""

    norm: str
    radii: list[str]
    rows: list[AttackRow]


class RaisedFlag(NamedTuple):
    """A flag with its meaning, the numbers that raised it, and why it was ruled out, if it was."""

    meaning: Meaning
    evidence: list[tuple[str, str]]
    ruled_out: str


class Line(NamedTuple):
    """A line of a chart: its name, its place among the styles, and two SVG paths."""

    name: str
    style: str
    path: str
    band: str


class Curves(NamedTuple):
    """Retraining curves that share their axes and the random order, drawn and in numbers.

    Attributes:
        title: What was done to the pixels.
        label: Of the x axis.
        x: Its ticks.
        y: Ticks of the accuracy.
        lines: The lines; the last is the random order.
        fractions: Of pixels.
        rows: By line: its name, the number of repeats, and mean, least and greatest accuracy at
            each fraction.
        untouched: Accuracy on unmodified images.
    """

    title: str
    label: str
    x: list[Tick]
    y: list[Tick]
    lines: list[Line]
    fractions: list[str]
    rows: list[tuple[str, int, list[tuple[str, str, str]]]]
    untouched: str


class ShownEntry(NamedTuple):
    """The values of `entry.html.jinja`.

    Attributes:
        entry: The entry.
        name: The card's name.
        authors: From the card.
        link: From the card; empty where there is none.
        code: The same.
        licence: From the card.
        description: From the card.
        training: From the card.
        recipe: From the card.
        extra_data: From the card.
        architecture: Of the model.
        size: Its parameters and what a forward pass costs.
        scores: All scores.
        flags: Warnings.
        ensemble: AutoAttack in a sentence.
        attacks: Accuracy by attack.
        curves: ROAR and KAR.
        pictures: Loss gradients.
    """

    entry: Entry
    name: str
    authors: list[str]
    link: str
    code: str
    licence: str
    description: str
    training: str
    recipe: str
    extra_data: str
    architecture: str
    size: str
    scores: list[ScoreRow]
    flags: list[RaisedFlag]
    ensemble: str | None
    attacks: list[AttackTable]
    curves: list[Curves]
    pictures: list[Picture]


def number(value: float, form: str = ".3f") -> str:
    """A number with a true minus sign; a dash for NaN."""
    if math.isnan(value):
        return MISSING
    text = format(value, form)
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def _interval(low: float | None, high: float | None, form: str = ".3f") -> str:
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"[{number(low, form)}, {number(high, form)}]"


def cell(score: Score | None) -> Cell:
    """A score with its interval."""
    if score is None:
        return Cell()
    return Cell(
        text=number(score.value),
        interval=_interval(score.low, score.high),
        n=score.n,
        seeds=score.seeds,
    )


def _attacks(attacked: list[Attacked]) -> list[AttackTable]:
    """One table per norm: a row for each attack, a column for each radius."""
    out = []
    for norm in dict.fromkeys(a.norm for a in attacked):
        of_norm = [a for a in attacked if a.norm == norm]
        radii = sorted({a.epsilon for a in of_norm})
        rows: dict[str, dict[float, Cell]] = {}
        for a in of_norm:
            name = ATTACK_NAMES.get(a.attack, scores.words(a.attack))
            parts = [name, scores.words(a.loss or ""), f"{a.steps} steps" if a.steps > 1 else ""]
            rows.setdefault(", ".join(p for p in parts if p), {})[a.epsilon] = cell(a.accuracy)
        body = [
            AttackRow(name, [cells.get(r, Cell()) for r in radii]) for name, cells in rows.items()
        ]
        out.append(AttackTable(NORM_NAMES[norm], [f"{r:g}" for r in radii], body))
    return out


def _ensemble(ensemble: Ensemble | None) -> str | None:
    """AutoAttack in a sentence: accuracy before the first attack and after each."""
    if ensemble is None:
        return None
    after = "; ".join(
        f"after {a.attack} ({scores.words(a.loss)}) {score_text(a.accuracy)}"
        for a in ensemble.attacks
    )
    return (
        f"AutoAttack {ensemble.version}, {NORM_NAMES[ensemble.norm]} radius {ensemble.epsilon:g} in"
        f" pixel units, {ensemble.clean.n:,} images: without attack {score_text(ensemble.clean)};"
        f" {after}. On average {ensemble.gradients:,.0f} gradients and {ensemble.forwards:,.0f}"
        " forward passes per image."
    )


STYLES = {
    "Gradient": "gradient",
    "Gradient × Input": "gradient-input",
    "Gradient x Input": "gradient-input",
}
"""Of the lines of attributions that are always drawn alike; others take the free ones in turn."""
FREE = ("free-0", "free-1", "free-2", "free-3")


def _curves(curves: list[RetrainingCurve]) -> list[Curves]:
    """Curves grouped by what they share: axes, fractions and the random order."""
    groups: dict[str, list[RetrainingCurve]] = {}
    for curve in curves:
        shared = repr((curve.mode, curve.fractions, curve.random, curve.untouched))
        groups.setdefault(shared, []).append(curve)
    return [_drawn(group) for group in groups.values()]


def _drawn(group: list[RetrainingCurve]) -> Curves:
    first, roar = group[0], group[0].mode == "roar"
    x, y, x_ticks, y_ticks = charts.of_shares()
    named = [
        (
            printable(scores.attribution_title(curve), MAX_TITLE),
            [row for seed in curve.accuracy for row in seed],
        )
        for curve in group
    ]
    others = [name for name, _ in named if name not in STYLES]
    lines, rows = [], []
    for name, repeats in [*named, (RANDOM_ORDER, first.random)]:
        values = np.array(repeats)
        ends = np.stack([values.mean(axis=0), values.min(axis=0), values.max(axis=0)], axis=1)
        at = np.array(first.fractions, float)
        start = [[first.untouched] * 3]
        whole = np.concatenate([start, ends] if roar else [ends, start])
        places = np.concatenate([[0.0], at] if roar else [at, [1.0]])
        style = STYLES.get(name, "random")
        if name in others:
            style = FREE[others.index(name) % len(FREE)]
        lines.append(
            Line(
                name,
                style,
                charts.path(x, y, np.stack([places, whole[:, 0]], axis=1)),
                charts.band(x, y, places, whole[:, 1], whole[:, 2]),
            )
        )
        cells = [(number(mean), number(low), number(high)) for mean, low, high in ends.tolist()]
        rows.append((name, len(repeats), cells))
    return Curves(
        title="ROAR: top pixels removed" if roar else "KAR: only top pixels kept",
        label=f"fraction of pixels {'removed' if roar else 'kept'}",
        x=x_ticks,
        y=y_ticks,
        lines=lines,
        fractions=[f"{f:g}" for f in first.fractions],
        rows=rows,
        untouched=number(first.untouched),
    )


def _is_png(text: str) -> bool:
    return re.fullmatch(r"iVBORw0KGgo[A-Za-z0-9+/]+={0,2}", text) is not None


def link(address: str | None) -> str:
    """An address that a page may link to; empty where it may not."""
    text = address or ""
    return text if re.fullmatch(r"https?://[!-~]+", text) and len(text) <= MAX_LINK else ""


def size(entry: Entry) -> str:
    """The number of parameters, and what a forward pass costs where that is known."""
    parts = [f"{entry.model.parameters:,} parameters"]
    if entry.model.multiply_adds is not None:
        parts.append(f"{short(entry.model.multiply_adds)} multiply-adds")
    return ", ".join(parts)


def short(count: int) -> str:
    """A count with three digits: `612 thousand`, `1.21 million`."""
    for factor, name in ((10**9, " billion"), (10**6, " million"), (10**3, " thousand")):
        if count >= factor:
            return f"{count / factor:.3g}{name}"
    return str(count)


def architecture(entry: Entry) -> str:
    """The model's layers; a dash for entries of before they were recorded."""
    return printable(entry.model.architecture or MISSING, 120)


def _score_row(entry: Entry, name: str) -> ScoreRow:
    known = scores.KNOWN.get(name)
    score = entry.scores[name]
    better = score.better or (known.better if known else None)
    title = printable(scores.title([entry], name), MAX_ROW)
    return ScoreRow(title, cell(score), better or "")


def _fact(value: float | bool | str) -> str:
    """One value of a flag's evidence; four digits of a fraction say enough."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return printable(text.spelled(str(value)), 200)


def shown_entry(entry: Entry) -> ShownEntry:
    """The values of `entry.html.jinja`."""
    card = entry.card
    return ShownEntry(
        entry=entry,
        name=text.name(entry, 1000),
        authors=[printable(author, 200) for author in card.authors[:50]],
        link=link(card.link),
        code=link(card.code),
        licence=printable(card.licence, 200),
        description=printable(card.description, 2000),
        training=printable(training(entry), 200),
        recipe=printable(card.training.recipe or "", 300),
        extra_data=printable(card.training.extra_data, 300),
        architecture=architecture(entry),
        size=size(entry),
        scores=[_score_row(entry, name) for name in scores.names([entry])],
        flags=[
            RaisedFlag(
                MEANINGS[flag.name],
                [(scores.words(k), _fact(v)) for k, v in flag.evidence.items()],
                printable(entry.ruled_out.get(flag.name, "")),
            )
            for flag in entry.flags
        ],
        ensemble=_ensemble(entry.autoattack),
        attacks=_attacks(entry.attacks),
        curves=_curves(entry.curves),
        pictures=[p for p in entry.pictures if _is_png(p.image) and _is_png(p.gradient)],
    )
