"""The leaderboard as one HTML file that asks nothing of any other address, the same bytes from the same entries.

The file holds the page's style and scripts and four vendored libraries. What submitters wrote is
escaped where it is put (HTML by Jinja, JSON by `_json`), loses its control characters, and is
isolated from the text around it, so its direction cannot reorder the page. A
Content-Security-Policy admits the page's own scripts by their hashes and nothing else. Without
JavaScript every table, number and picture is there.
"""

import bisect
import json
import math
import re
from typing import Any

import numpy as np
from markupsafe import Markup

from robust_interpretability.leaderboard.assets import assets
from robust_interpretability.leaderboard.entry import Attacked, Curve, Ensemble, Entry, Score, place
from robust_interpretability.leaderboard.flags import MEANINGS
from robust_interpretability.leaderboard.render import TITLES, cell, measured, summary, training
from robust_interpretability.leaderboard.tradeoff import (
    ACCURACY,
    FEWEST,
    INTERPRETABILITY,
    Headline,
    Line,
    headlines,
    lead,
    line,
    tables,
)

ROBUST = "robust_accuracy"
NORM_NAMES = {"l2": "L2", "linf": "L∞"}
MISSING = "–"
MOST_BYTES = 2_000_000
"""Of the whole page. Where it would have more, as many entries as need be are shown without
attacks, pictures and
curves: reference networks first, from the end of the last table."""
PLACES = ("above the line", "within its scatter", "below the line")
STEPS = 49
"""Points at which the reference line and its band are drawn."""

Made = dict[str, Any]


def shown(text: str, length: int = 2000) -> str:
    """Text from outside without control characters and marks that reverse or hide text, cut to a length."""
    plain = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)
    return plain if len(plain) <= length else plain[: length - 1] + "…"


def short(text: str) -> str:
    """As `shown`, short enough for a label, and isolated by Unicode's marks where HTML's cannot be."""
    return f"\N{FIRST STRONG ISOLATE}{shown(text, 80)}\N{POP DIRECTIONAL ISOLATE}"


def number(value: float, form: str = ".3f") -> str:
    """A number with a true minus sign; a dash where there is none."""
    if math.isnan(value):
        return MISSING
    text = format(value, form)
    return text.lstrip("+-") if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")


def between(low: float | None, high: float | None, form: str = ".3f") -> str:
    """An interval in brackets; nothing where there is none."""
    if low is None or high is None or math.isnan(low) or math.isnan(high):
        return ""
    return f"[{number(low, form)}, {number(high, form)}]"


def _slug(text: str, taken: set[str]) -> str:
    base = re.sub(r"[^A-Za-z0-9._-]+", "-", text)[:120] or "entry"
    name, n = base, 1
    while name in taken:
        n += 1
        name = f"{base}-{n}"
    taken.add(name)
    return name


def _json(value: object) -> Markup:
    """JSON for a `<script>` element: ASCII, and no character that HTML gives a meaning."""
    text = json.dumps(value, allow_nan=False, ensure_ascii=True, separators=(",", ":"))
    return Markup(text.replace("<", r"\u003c").replace(">", r"\u003e").replace("&", r"\u0026"))


def _rounded(*values: float | None) -> list[float | None]:
    return [None if v is None or math.isnan(v) else float(f"{v:.5g}") for v in values]


def _three(score: Score | None) -> list[float | None] | None:
    return None if score is None else _rounded(score.value, score.low, score.high)


def _cell(score: Score | None) -> Made:
    if score is None:
        return {"text": MISSING, "interval": "", "order": ""}
    return {
        "text": number(score.value),
        "interval": between(score.low, score.high),
        "order": repr(round(score.value, 9)),
        "n": score.n,
        "seeds": score.seeds,
    }


def _standing(found: Headline | None) -> Made:
    if found is None or math.isnan(found.advantage):
        return {"text": MISSING, "interval": "", "order": "", "star": False, "beats": False}
    return {
        "text": number(found.advantage, "+.3f"),
        "interval": between(found.low, found.high, "+.3f"),
        "order": repr(round(found.advantage, 9)),
        "star": found.extrapolated,
        "beats": found.beats,
    }


def _attacks(attacked: list[Attacked]) -> list[Made]:
    """Small tables, one a norm: a row for each attack, a column for each radius."""
    out = []
    for norm in dict.fromkeys(a.norm for a in attacked):
        own = [a for a in attacked if a.norm == norm]
        radii = sorted({a.epsilon for a in own})
        rows: dict[str, dict[float, Made]] = {}
        for a in own:
            words = {
                "fgsm": "FGSM",
                "pgd": "PGD",
                "noise": "random noise",
                "transfer": "transfer from the standard net",
            }
            parts = [words[a.attack], a.loss or "", f"{a.steps} steps" if a.steps > 1 else ""]
            rows.setdefault(", ".join(p for p in parts if p), {})[a.epsilon] = _cell(a.accuracy)
        body = [
            {"name": name, "cells": [cells.get(r, _cell(None)) for r in radii]}
            for name, cells in rows.items()
        ]
        out.append({"norm": NORM_NAMES[norm], "radii": [f"{r:g}" for r in radii], "rows": body})
    return out


def _ensemble(found: Ensemble | None) -> str | None:
    """AutoAttack in a sentence: accuracy before the first attack and after each."""
    if found is None:
        return None
    after = "; ".join(f"after {a.attack} ({a.loss}) {cell(a.accuracy)}" for a in found.attacks)
    return (
        f"AutoAttack {found.version}, {NORM_NAMES[found.norm]} radius {found.epsilon:g} in pixel"
        f" units, {found.clean.n:,} images: without attack {cell(found.clean)}; {after}. On average"
        f" {found.gradients:,.0f} gradients and {found.forwards:,.0f} forward passes an image."
    )


def _curves(curves: list[Curve]) -> list[Made]:
    """Curves that share axes, fractions and the random order: each line with its mean, lowest and highest repeat."""
    groups: dict[str, list[Curve]] = {}
    for curve in curves:
        groups.setdefault(
            repr((curve.mode, curve.fractions, curve.random, curve.untouched)), []
        ).append(curve)
    out = []
    for group in groups.values():
        first = group[0]
        names = {"gradient": "Gradient", "gradient_input": "Gradient × Input"}
        lines = [
            (names[c.attribution], [row for seed in c.accuracy for row in seed]) for c in group
        ]
        drawn = []
        for name, repeats in [*lines, ("random order", first.random)]:
            ends = np.stack([np.mean(repeats, 0), np.min(repeats, 0), np.max(repeats, 0)], axis=1)
            drawn.append(
                {"name": name, "repeats": len(repeats), "values": [_rounded(*v) for v in ends]}
            )
        out.append(
            {
                "mode": first.mode,
                "f": _rounded(*first.fractions),
                "untouched": first.untouched,
                "lines": drawn,
            }
        )
    return out


def _entry(
    entry: Entry,
    standings: dict[str, dict[str, Headline]],
    ids: set[str],
    pictures: dict[str, str],
    brief: bool,
) -> Made:
    """What the template needs of one entry."""
    if brief:
        entry = entry.model_copy(update={"attacks": [], "pictures": [], "curves": []})
    card, track = entry.card, entry.track
    own = {s: found[entry.id] for s, found in standings.items()}
    names = [s for s in TITLES if s in entry.scores] + sorted(
        s for s in entry.scores if s not in TITLES
    )
    link = card.link or ""
    return {
        "id": _slug(f"{track.name}-v{track.protocol_version}-{entry.id}", ids),
        "entry": entry,
        "brief": brief,
        "name": shown(card.name, 200),
        "heading": shown(card.name, 1000),
        "label": short(card.name),
        "authors": [shown(author, 200) for author in card.authors[:50]],
        "link": link if re.fullmatch(r"https?://[!-~]+", link) and len(link) <= 2000 else "",
        "licence": shown(card.licence, 200),
        "description": shown(card.description),
        "training": shown(training(entry), 200),
        "extra_data": shown(card.training.extra_data, 300),
        "test": _cell(entry.scores.get(ACCURACY)),
        "robust": _cell(entry.scores.get(ROBUST)),
        "scores": [
            {
                "key": s,
                "value": _cell(entry.scores.get(s)),
                "standing": _standing(own[s]),
                "pareto": own[s].pareto,
            }
            for s in standings
        ],
        "rank": next(iter(own.values())).rank if own else 0,
        "pareto": [TITLES[s] for s in standings if own[s].pareto],
        "beats": [TITLES[s] for s in standings if own[s].beats],
        "all_scores": [
            {
                "title": TITLES.get(s, s.replace("_", " ")),
                "value": _cell(entry.scores[s]),
                "standing": _standing(own.get(s)),
                "rank": own[s].rank if s in own else 0,
                "better": {1: "higher", -1: "lower"}.get(INTERPRETABILITY.get(s, 0), ""),
            }
            for s in names
        ],
        "flags": [
            {
                "meaning": MEANINGS[flag.name],
                "evidence": [
                    (k.replace("_", " "), shown(str(v), 200)) for k, v in flag.evidence.items()
                ],
            }
            for flag in entry.flags
        ],
        "ensemble": _ensemble(entry.autoattack),
        "attacks": _attacks(entry.attacks),
        "curves": _curves(entry.curves),
        "pictures": [
            {
                "label": p.label,
                "predicted": p.predicted,
                "gradient": p.gradient,
                "image": pictures.setdefault(p.image, f"im{len(pictures)}"),
            }
            for p in entry.pictures
            if _is_png(p.image) and _is_png(p.gradient)
        ],
    }


def _is_png(text: str) -> bool:
    return re.fullmatch(r"iVBORw0KGgo[A-Za-z0-9+/]+={0,2}", text) is not None


def _verdict(
    rows: list[Made], entries: list[Entry], score: str, found: dict[str, Headline]
) -> Made:
    """Which submissions of a table beat the trade-off in a score, in words."""
    own = [(row, found[row["entry"].id]) for row in rows if row["entry"].role == "submission"]
    have = [(row, h) for row, h in own if score in row["entry"].scores]
    references = sum(e.role == "reference" and score in e.scores for e in entries)
    title, lined = TITLES[score], line(entries, score) is not None
    groups: Made = {name: [] for name in (*PLACES, "not compared")}
    for row, h in own:
        where = (
            "not compared"
            if math.isnan(h.advantage)
            else PLACES[0 if h.beats else 2 if h.high < 0 else 1]
        )
        groups[where].append({"row": row, "standing": _standing(h)})
    n, beating, state = len(have), len(groups[PLACES[0]]), "open"
    if not own:
        text = "No submission has been measured yet."
    elif not n:
        text = f"No submission has a score in {title}."
    elif not lined:
        text = (
            f"Cannot be said: a reference line needs at least {FEWEST} networks of the reference"
            f" grid with different test accuracies, and there {'is' if references == 1 else 'are'}"
            f" {references}."
        )
    elif beating:
        state, text = (
            "yes",
            f"{beating} of {n} submission{'s' * (n != 1)} {'do' if beating != 1 else 'does'}.",
        )
    else:
        state, text = (
            "no",
            "The one submission does not." if n == 1 else f"None of the {n} submissions does.",
        )
    return {
        "state": state,
        "text": text,
        "title": title,
        "groups": [(k, v) for k, v in groups.items() if v and lined],
    }


def _drawn_line(found: Line | None, accuracies: list[float]) -> Made | None:
    """The reference line and its band over all accuracies of a table, with the grid's own range."""
    if found is None:
        return None
    x = np.linspace(min(accuracies), max(accuracies), STEPS)
    x = np.unique(np.concatenate([x, [found.least, found.most]]))
    points = [
        _rounded(
            v, found.at(v), found.at(v) - found.half_width(v), found.at(v) + found.half_width(v)
        )
        for v in x
    ]
    return {
        "points": points,
        "least": _rounded(found.least)[0],
        "most": _rounded(found.most)[0],
        "n": found.n,
        "explained": _rounded(found.r_squared)[0],
    }


def _table(entries: list[Entry], ids: set[str], pictures: dict[str, str], brief: set[str]) -> Made:
    """What the template and the scripts need of one table; `brief` has the places of entries to be shortened."""
    track = entries[0].track
    scores = measured(entries)
    leading = lead(entries)
    scores.sort(key=lambda s: s != leading)  # ranks are those of the first
    standings = {s: headlines(entries, s) for s in scores}
    anchor = _slug(f"{track.name}-v{track.protocol_version}", ids)
    rows = [_entry(entry, standings, ids, pictures, place(entry) in brief) for entry in entries]
    accuracies = [v for e in entries if not math.isnan(v := e.value(ACCURACY))]
    points = [
        {
            "id": row["id"],
            "name": row["label"],
            "role": e.role,
            "training": row["training"],
            "flags": [flag["meaning"].title for flag in row["flags"]],
            "norm": e.card.training.norm,
            "test": _three(e.scores.get(ACCURACY)),
            "robust": _three(e.scores.get(ROBUST)),
            "scores": [_three(e.scores.get(s)) for s in scores],
            "advantages": [_rounded(*standings[s][e.id][:3]) for s in scores],
            "pareto": [standings[s][e.id].pareto for s in scores],
        }
        for row, e in zip(rows, entries, strict=True)
    ]
    described = [
        {
            "title": TITLES[s],
            "better": INTERPRETABILITY[s],
            "line": _drawn_line(line(entries, s), accuracies),
        }
        for s in scores
    ]
    submitted = any(e.role == "submission" for e in entries)
    verdicts = [
        _verdict(rows, entries, s, standings[s]) for s in (scores if submitted else scores[:1])
    ]
    return {
        "anchor": anchor,
        "track": track,
        "summary": summary(entries),
        "titles": [
            (s, TITLES[s], "higher" if INTERPRETABILITY[s] > 0 else "lower") for s in scores
        ],
        "rows": rows,
        "submissions": [row for row in rows if row["entry"].role == "submission"],
        "references": [row for row in rows if row["entry"].role == "reference"],
        "verdicts": verdicts,
        "lined": any(d["line"] for d in described),
        "compared": sum(
            len(items) for v in verdicts for name, items in v["groups"] if name != "not compared"
        ),
        "data": {"anchor": anchor, "scores": described, "points": points},
    }


def page(entries: list[Entry]) -> str:
    """The leaderboard as one HTML file.

    Args:
        entries: All entries; those that may not be compared get tables of their own.
    """
    found = tables(entries)
    order = sorted(
        (e for rows in reversed(found) for e in reversed(rows)),
        key=lambda e: e.role == "submission",
    )

    def shortened(count: int) -> str:
        return _page(found, {place(e) for e in order[:count]})

    def fits(count: int) -> bool:
        return len(shortened(count).encode()) < MOST_BYTES

    return shortened(0 if fits(0) else bisect.bisect_left(range(len(order)), True, key=fits))


def _page(board: list[list[Entry]], brief: set[str]) -> str:
    ids: set[str] = {"top", "question", "reading", "main", "data"}
    pictures: dict[str, str] = {}
    found = [_table(rows, ids, pictures, brief) for rows in board]
    curves = {row["id"]: row["curves"] for table in found for row in table["rows"] if row["curves"]}
    fixed = assets(number=number, missing=MISSING, fewest=FEWEST)
    return (
        fixed["template"]
        .render(
            tables=found,
            pictures=pictures,
            data=_json({"tables": [table["data"] for table in found], "curves": curves}),
            compared=sum(table["compared"] for table in found),
            **{k: fixed[k] for k in ("scripts", "style", "policy")},
        )
        .strip()
        + "\n"
    )
