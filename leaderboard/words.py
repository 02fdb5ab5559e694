"""What a table found, in words: each sentence says no more than its tests do."""

from collections.abc import Callable

from pellucid.leaderboard.fit import FEWEST_SEEDS, LEVEL, Fit
from pellucid.leaderboard.ranking import Ranks
from pellucid.leaderboard.scores import ACCURACY
from pellucid.leaderboard.table import Table
from pellucid.leaderboard.text import spelled


def untold(fitted: Fit) -> str:
    """Why nothing can be claimed of a fit that does not tell the score."""
    if fitted.scatter is None or fitted.scatter.seeds < FEWEST_SEEDS:
        return f"its networks' scores are not known from {FEWEST_SEEDS} seeds or more"
    if fitted.lack_of_fit < LEVEL:
        return "the networks lie farther from it than their trainings scatter"
    return "it explains less than half of the variance"


def summary(table: Table, *, markup: Callable[[str], str] = str) -> str:
    """What a table compares.

    Args:
        table: The table.
        markup: What makes text from outside harmless where the paragraph goes.
    """
    track, data = table.track, table.track.data
    roles = {role: len(table.of_role(role)) for role in ("reference", "baseline", "submission")}
    named = {"reference": "reference network", "baseline": "baseline", "submission": "submission"}
    counted = [f"{n} {named[r]}{'' if n == 1 else 's'}" for r, n in roles.items() if n]
    stated = (data.name, data.version, track.scale, track.retrained, track.robustness)
    name, version, scale, retrained, robustness = (markup(spelled(text)) for text in stated)
    return (
        f"{name} {version}, {data.train_images:,} training and {data.test_images:,} test images,"
        f" {scale} scale, protocol version {track.protocol_version}. Retrained: {retrained}. Robust"
        f" accuracy: {robustness}. {', '.join(counted)}."
    )


def finding(table: Table, score: str, *, markup: Callable[[str], str] = str) -> str:
    """What a table found in a score, in one sentence.

    Args:
        table: The table.
        score: One of its scores, or that by which it is ordered.
        markup: As for `summary`.
    """
    title = "Test accuracy" if score == ACCURACY else markup(table.titles[score])
    ranks, fitted = table.ranks[score], table.fits.get(score)
    parts = [_told_apart(title, ranks)] if len(ranks.of) > 1 else []
    if fitted is None:
        return f"{'; '.join(parts) or f'{title}: nothing to compare yet'}."
    kind = "line" if fitted.straight else "parabola"
    if not fitted.tells:
        parts.append(
            f"no model can be said to beat the reference grid's {kind} over test accuracy, because"
            f" {untold(fitted)}"
        )
        return f"{'; '.join(parts)}."
    parts.append(
        f"a {kind} over test accuracy explains {fitted.r_squared:.0%} of its variance on the"
        " reference grid"
    )
    submitted = [e.id for e in table.of_role("submission") if score in e.scores]
    if submitted:
        beaten = sum(table.standings[score][name].beats for name in submitted)
        parts.append(_beaten(beaten, len(submitted)))
    return f"{'; '.join(parts)}."


def _told_apart(title: str, ranks: Ranks) -> str:
    if ranks.groups == 1:
        return f"{title} tells none of {len(ranks.of)} models apart for certain"
    return f"{title} tells {ranks.groups} groups apart among {len(ranks.of)} models"


def _beaten(count: int, submissions: int) -> str:
    if submissions == 1:
        return f"the one submission {'beats' if count else 'does not beat'} it"
    return f"{count or 'none'} of {submissions} submissions {'beats' if count < 2 else 'beat'} it"
