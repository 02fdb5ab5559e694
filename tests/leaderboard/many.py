"""Boards to look at: as large as a full one, with unknown scores, and with hostile text."""

import numpy as np

from pellucid.leaderboard import entry as entries
from pellucid.leaderboard.card import Card, TrainingClaim
from pellucid.leaderboard.entry import Attacked, Entry, RetrainingCurve, Score
from tests.leaderboard.made import grid, made, score, track

HARM = "window.harmed = true"
LONG = "N" * 10_000


def board() -> list[Entry]:
    """Two tracks: one with submissions above and below the line, one too small for a line."""
    small = track("mnist-reduced")
    rows = [
        *grid(),
        made("above", 0.95, 0.2, manifold=-0.9),
        made("below", 0.955, -0.1, norm="linf", flags=["zero_gradients"]),
    ]
    rows += [
        made("plain", 0.9, norm="none", epsilon=0),
        *grid(small, 3),
        made("alone", 0.9, 0.1, on=small),
    ]
    return rows


def large(tracks: int = 4) -> list[Entry]:
    """Fifteen entries per track."""
    names = (
        "digits",
        "mnist-reduced",
        "fashion-mnist-reduced",
        "cifar10-reduced",
        *(f"more-{i}" for i in range(8)),
    )
    names = names[:tracks]
    return [
        e
        for name in names
        for e in [
            *grid(track(name), 12),
            *(made(f"s{i}", 0.9, 0.05 * i, on=track(name)) for i in range(3)),
        ]
    ]


def grown(number: int) -> list[Entry]:
    """So many entries on one track: a grid of twelve, and submissions about its line."""
    draw = np.random.default_rng(0)
    accuracy, shift = draw.uniform(0.87, 0.98, number), draw.normal(0, 0.01, (2, number))
    submissions = (
        made(
            f"s{i}",
            float(accuracy[i]),
            float(0.98 - accuracy[i] + shift[0, i]),
            manifold=float(-0.5 - 5 * (0.98 - accuracy[i]) + shift[1, i]),
        )
        for i in range(number - 12)
    )
    return [*grid(n=12), *submissions]


def hostile() -> list[Entry]:
    """Cards that validation would refuse."""
    training = TrainingClaim.model_construct(
        norm="l2", epsilon=0.4, loss=f"<img src=x onerror='{HARM}'>", extra_data="</script>"
    )
    names = {
        "script": f"<script>{HARM}</script>",
        "attribute": f'"><img src=x onerror="{HARM}">\'',
        "template": "{{ 7 * 7 }} {% raw %} ${7*7} </title></script><!--",
        "direction": "\u202eevil\u202d \u2066hidden\u2069 \u200f\u2028",
        "long": LONG,
    }
    cards = {
        key: Card.model_construct(
            name=name,
            authors=[name, "B"],
            link=f"javascript:{HARM}",
            licence=name,
            description=name,
            training=training,
        )
        for key, name in names.items()
    }
    links = {
        "quote": 'https://example.org/"onmouseover="' + HARM,
        "data": f"data:text/html,<script>{HARM}</script>",
    }
    for key, link in links.items():
        cards[key] = Card.model_construct(
            name=key, authors=["A"], link=link, licence="MIT", description="x", training=training
        )
    return [
        *grid(),
        *(
            entries.seal(made(key, 0.9, 0.1).model_copy(update={"card": card}))
            for key, card in cards.items()
        ),
    ]


def unknown(edges: str = "ROAR E", sparsity: str = "sparsity") -> list[Entry]:
    """A grid and a submission with scores, an attribution and an attack that no code here names."""

    def with_unknown(entry: Entry, slope: float) -> Entry:
        curve = RetrainingCurve(
            attribution="edges",
            title="Edges <b>",
            **entry.curves[0].model_dump(exclude={"attribution"}),
        )
        attacked = Attacked(
            attack="zeroth_order",
            norm="l2",
            epsilon=0.2,
            loss="logit",
            steps=1,
            accuracy=score(entry.value("test_accuracy") - 0.1),
        )
        added = {
            "roar_edges": Score(**score(slope).model_dump(), title=edges, better="higher"),
            "sparsity": Score(**score(0.7 - slope).model_dump(), title=sparsity, better="lower"),
            "density": Score(**score(0.3).model_dump(), title="density"),
            "untitled_detail": score(0.4),
        }
        return entries.seal(
            entry.model_copy(
                update={
                    "scores": entry.scores | added,
                    "curves": [*entry.curves, curve],
                    "attacks": [*entry.attacks, attacked],
                }
            )
        )

    references = [
        with_unknown(e, 0.5 - 0.4 * e.value("test_accuracy") + 0.002 * (-1) ** i)
        for i, e in enumerate(grid())
    ]
    return [*references, with_unknown(made("new", 0.95, 0.2), 0.3)]
