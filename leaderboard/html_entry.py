"""What the page shows of one entry: numbers as text, and the values of `entry.html.jinja`."""

import math
import re
from typing import NamedTuple

import numpy as np

from robust_interpretability.leaderboard import scores
from robust_interpretability.leaderboard.eligibility import left_out
from robust_interpretability.leaderboard.entry import (
    Attacked,
    Ensemble,
    Entry,
    RetrainingCurve,
    Score,
)
from robust_interpretability.leaderboard.flags import MEANINGS, Meaning
from robust_interpretability.leaderboard.render import cell as score_text
from robust_interpretability.leaderboard.render import printable, rank_range, training
from robust_interpretability.leaderboard.tradeoff import Headline
from robust_interpretability.models.types import Json

NORM_NAMES = {"l2": "L2", "linf": "L∞"}
ATTACK_NAMES = {
    "fgsm": "FGSM",
    "pgd": "PGD",
    "noise": "random noise",
    "transfer": "transfer from the standard net",
}
MISSING = "–"
MAX_TITLE = 60
"""Characters of a title."""


class Cell(NamedTuple):
    """A number in a table.

    Attributes:
        text: The number.
        interval: In brackets.
        order: What the table sorts by.
        n: Sample size of a score.
        seeds: Trainings averaged in a score.
        star: Whether an advantage is extrapolated.
        beats: Whether an advantage is beyond the grid's scatter.
    """

    text: str = MISSING
    interval: str = ""
    order: str = ""
    n: int = 0
    seeds: int = 0
    star: bool = False
    beats: bool = False


class ScoreRow(NamedTuple):
    """A score of an entry; `better` is `higher`, `lower`, or empty without a standing."""

    title: str
    value: Cell
    standing: Cell
    rank: Cell
    pareto: bool
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


class ShownPicture(NamedTuple):
    """A test image, by its class in the style sheet, and the loss gradient at it, base64."""

    label: int
    predicted: int
    gradient: str
    image: str


class ShownEntry(NamedTuple):
    """The values of `entry.html.jinja`.

    Attributes:
        id: Of the entry's section.
        entry: The entry.
        brief: Whether attacks, pictures and curves are left out.
        name: The card's name, for tables.
        heading: The same, for a heading.
        label: The same, for attributes and scripts.
        authors: From the card.
        link: From the card; empty where there is none.
        licence: From the card.
        description: From the card.
        training: From the card.
        extra_data: From the card.
        test: Test accuracy.
        robust: Robust accuracy.
        scores: The table's interpretability scores.
        rank: Its ranks in the first of them.
        unranked: Why it has none; empty where it may have some.
        pareto: Titles of scores in which the entry is Pareto-optimal.
        beats: Titles of scores in which it beats the trade-off.
        all_scores: All scores of the entry.
        flags: Warnings.
        ensemble: AutoAttack in a sentence.
        attacks: Accuracy by attack.
        curves: ROAR and KAR.
        pictures: Loss gradients.
    """

    id: str
    entry: Entry
    brief: bool
    name: str
    heading: str
    label: str
    authors: list[str]
    link: str
    licence: str
    description: str
    training: str
    extra_data: str
    test: Cell
    robust: Cell
    scores: list[ScoreRow]
    rank: Cell
    unranked: str
    pareto: list[str]
    beats: list[str]
    all_scores: list[ScoreRow]
    flags: list[RaisedFlag]
    ensemble: str | None
    attacks: list[AttackTable]
    curves: list[Json]
    pictures: list[ShownPicture]


def number(value: float, form: str = ".3f") -> str:
    """A number with a true minus sign; a dash for NaN."""
    if math.isnan(value):
        return MISSING
    text = format(value, form)
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def rounded(*values: float | None) -> list[float | None]:
    """Values for the page's scripts: five digits, null for NaN."""
    return [None if v is None or math.isnan(v) else float(f"{v:.5g}") for v in values]


def title(rows: list[Entry], name: str) -> str:
    """A score's title, printable and of bounded length."""
    return printable(scores.title(rows, name), MAX_TITLE)


def _interval(low: float | None, high: float | None, form: str = ".3f") -> str:
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"[{number(low, form)}, {number(high, form)}]"


def _cell(score: Score | None) -> Cell:
    if score is None:
        return Cell()
    return Cell(
        text=number(score.value),
        interval=_interval(score.low, score.high),
        order=repr(round(score.value, 9)),
        n=score.n,
        seeds=score.seeds,
    )


def standing_cell(standing: Headline | None) -> Cell:
    """An entry's advantage."""
    if standing is None or math.isnan(standing.advantage):
        return Cell()
    return Cell(
        text=number(standing.advantage, "+.3f"),
        interval=_interval(standing.low, standing.high, "+.3f"),
        order=repr(round(standing.advantage, 9)),
        star=standing.extrapolated,
        beats=standing.beats,
    )


def _rank_cell(ranks: tuple[int, int] | None) -> Cell:
    if ranks is None:
        return Cell()
    text = rank_range(ranks).replace("-", "\N{EN DASH}")
    return Cell(text=text, order=f"{ranks[0]}.{ranks[1]:06}")


def _score_row(rows: list[Entry], entry: Entry, name: str, standing: Headline | None) -> ScoreRow:
    return ScoreRow(
        title=title(rows, name),
        value=_cell(entry.scores.get(name)),
        standing=standing_cell(standing),
        rank=_rank_cell(standing.ranks if standing else None),
        pareto=standing.pareto if standing else False,
        better={1: "higher", -1: "lower", 0: ""}[scores.direction(rows, name)],
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
            parts = [name, a.loss or "", f"{a.steps} steps" if a.steps > 1 else ""]
            rows.setdefault(", ".join(p for p in parts if p), {})[a.epsilon] = _cell(a.accuracy)
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
        f"after {a.attack} ({a.loss}) {score_text(a.accuracy)}" for a in ensemble.attacks
    )
    return (
        f"AutoAttack {ensemble.version}, {NORM_NAMES[ensemble.norm]} radius {ensemble.epsilon:g} in"
        f" pixel units, {ensemble.clean.n:,} images: without attack {score_text(ensemble.clean)};"
        f" {after}. On average {ensemble.gradients:,.0f} gradients and {ensemble.forwards:,.0f}"
        " forward passes per image."
    )


def _curves(curves: list[RetrainingCurve]) -> list[Json]:
    """Curves grouped by what they share: axes, fractions and the random order.

    Each line has the mean, the lowest and the highest repeat; the last line is the random order.
    """
    groups: dict[str, list[RetrainingCurve]] = {}
    for curve in curves:
        shared = repr((curve.mode, curve.fractions, curve.random, curve.untouched))
        groups.setdefault(shared, []).append(curve)
    out = []
    for group in groups.values():
        first = group[0]
        lines = [
            (
                printable(scores.attribution_title(c), MAX_TITLE),
                [row for seed in c.accuracy for row in seed],
            )
            for c in group
        ]
        drawn = []
        for name, repeats in [*lines, ("random order", first.random)]:
            ends = np.stack([np.mean(repeats, 0), np.min(repeats, 0), np.max(repeats, 0)], axis=1)
            drawn.append(
                {"name": name, "repeats": len(repeats), "values": [rounded(*v) for v in ends]}
            )
        out.append(
            {
                "mode": first.mode,
                "f": rounded(*first.fractions),
                "untouched": first.untouched,
                "lines": drawn,
            }
        )
    return out


def _is_png(text: str) -> bool:
    return re.fullmatch(r"iVBORw0KGgo[A-Za-z0-9+/]+={0,2}", text) is not None


def _label(text: str) -> str:
    """Short enough for a label, and isolated by Unicode's marks where HTML's cannot be used."""
    return f"\N{FIRST STRONG ISOLATE}{printable(text, 80)}\N{POP DIRECTIONAL ISOLATE}"


def shown_entry(
    entry: Entry,
    rows: list[Entry],
    standings: dict[str, Headline],
    *,
    identifier: str,
    pictures: dict[str, str],
    brief: bool,
) -> ShownEntry:
    """The values of `entry.html.jinja`.

    Args:
        entry: The entry.
        rows: The entries of its table.
        standings: How it stands in each of the table's interpretability scores.
        identifier: Of its section.
        pictures: Class in the style sheet by image; images without one are added.
        brief: Whether attacks, pictures and curves are left out.
    """
    if brief:
        entry = entry.model_copy(update={"attacks": [], "pictures": [], "curves": []})
    card, link = entry.card, entry.card.link or ""
    linked = re.fullmatch(r"https?://[!-~]+", link) and len(link) <= 2000
    compared = {s: _score_row(rows, entry, s, standings[s]) for s in standings}
    return ShownEntry(
        id=identifier,
        entry=entry,
        brief=brief,
        name=printable(card.name, 200),
        heading=printable(card.name, 1000),
        label=_label(card.name),
        authors=[printable(author, 200) for author in card.authors[:50]],
        link=link if linked else "",
        licence=printable(card.licence, 200),
        description=printable(card.description, 2000),
        training=printable(training(entry), 200),
        extra_data=printable(card.training.extra_data, 300),
        test=_cell(entry.scores.get(scores.ACCURACY)),
        robust=_cell(entry.scores.get(scores.ROBUST_ACCURACY)),
        scores=list(compared.values()),
        rank=next(iter(compared.values())).rank if compared else Cell(),
        unranked=left_out(rows).get(entry.id, ""),
        pareto=[row.title for row in compared.values() if row.pareto],
        beats=[row.title for row in compared.values() if row.standing.beats],
        all_scores=[
            compared.get(s) or _score_row(rows, entry, s, None) for s in scores.names([entry])
        ],
        flags=[
            RaisedFlag(
                MEANINGS[flag.name],
                [(scores.words(k), printable(str(v), 200)) for k, v in flag.evidence.items()],
                printable(entry.ruled_out.get(flag.name, "")),
            )
            for flag in entry.flags
        ],
        ensemble=_ensemble(entry.autoattack),
        attacks=_attacks(entry.attacks),
        curves=_curves(entry.curves),
        pictures=[
            ShownPicture(
                p.label,
                p.predicted,
                p.gradient,
                pictures.setdefault(p.image, f"im{len(pictures)}"),
            )
            for p in entry.pictures
            if _is_png(p.image) and _is_png(p.gradient)
        ],
    )
