"""Boards to look at: as large as a full one, with unknown scores, and with hostile text."""

import hashlib

import numpy as np

from pellucid.leaderboard import entry as entries
from pellucid.leaderboard import outcomes
from pellucid.leaderboard.board import Board
from pellucid.leaderboard.card import Card, TrainingClaim
from pellucid.leaderboard.entry import Attacked, Entry, RetrainingCurve, Score, place
from pellucid.leaderboard.outcomes import Bits, Numbers, Outcomes
from tests.conftest import ROOT
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


def measured(number: int, on: str = "mnist-reduced") -> tuple[list[Entry], dict[str, Outcomes]]:
    """So many entries as full as measured ones: a committed grid, and copies of its networks.

    Every score and every outcome of a copy is another one.
    """
    board, draw = Board(ROOT / "leaderboard"), np.random.default_rng(0)
    grid = [e for e in board.entries() if (e.track.name, e.role) == (on, "reference")]
    newest = max(e.track.protocol_version for e in grid)
    grid = [e for e in grid if e.track.protocol_version == newest]
    behind = {}
    for one in grid:
        found = outcomes.read(board.root, one)
        assert found is not None
        behind[place(one)] = found
    rows = list(grid)
    for i in range(number - len(grid)):
        like = grid[i % len(grid)]
        found = _moved(behind[place(like)], draw)
        rows.append(_copied(like, f"s{i}", outcomes.digest(found), draw))
        behind[place(rows[-1])] = found
    return rows, behind


def _moved(found: Outcomes, draw: np.random.Generator) -> Outcomes:
    def flipped(bits: Bits | None) -> Bits | None:
        if bits is None:
            return None
        values = bits.array()
        return outcomes.bits(values ^ (draw.random(values.shape) < 0.05))

    def shifted(of: dict[str, Numbers]) -> dict[str, Numbers]:
        arrays = {name: one.array() for name, one in of.items()}
        return {n: outcomes.numbers(v + draw.normal(0, 0.01, v.shape)) for n, v in arrays.items()}

    changed = {"test": flipped(found.test), "robust": flipped(found.robust)}
    of_scores = {name: shifted(getattr(found, name)) for name in ("contributions", "by_image")}
    return found.model_copy(update=changed | of_scores)


def _copied(like: Entry, name: str, digest: str, draw: np.random.Generator) -> Entry:
    scores = {}
    for of, one in like.scores.items():
        shift = float(draw.normal(0, 0.005))
        ends = {end: v + shift for end in ("low", "high") if (v := getattr(one, end)) is not None}
        scores[of] = one.model_copy(update={"value": one.value + shift, **ends})
    model = like.model.model_copy(
        update={
            "sha256": [hashlib.sha256(name.encode()).hexdigest()],
            "parameters": int(draw.integers(10**4, 10**7)),
        }
    )
    card = like.card.model_copy(update={"name": f"Model {name}", "authors": [f"Author {name}"]})
    about = {"id": name, "role": "submission", "outcomes": digest}
    return entries.seal(
        like.model_copy(update=about | {"scores": scores, "model": model, "card": card})
    )


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
