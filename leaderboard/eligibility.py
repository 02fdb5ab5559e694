"""Which entries of a table have a standing, and why the others have none.

Without a standing an entry is shown, but it has no part in ranks, reference lines and Pareto
fronts. There are two reasons:

- a flag that forbids it, as that the model knows the test images, until it is ruled out;
- the model has hardly learned: with a its test accuracy, a* that of the most accurate network of
  the table's reference grid, and c chance, a - c < (a* - c) / 2; without a grid, a - c < .05. The
  gradients of a network at chance say nothing of robustness, and by some scores they look best.
"""

from pellucid.leaderboard.entry import Entry
from pellucid.leaderboard.flags import MEANINGS
from pellucid.leaderboard.scores import ACCURACY

LEARNED = 0.5
"""Share of the grid's best accuracy above chance that a model must reach."""
MARGIN = 0.05
"""Above chance, what it must reach where there is no grid."""
HARDLY_LEARNED = "hardly learned"


def left_out(rows: list[Entry]) -> dict[str, str]:
    """Why entries of a table have no standing, in words, by id."""
    classes = next((entry.classes for entry in rows if entry.classes), None)
    chance = 1 / classes if classes else 0.0
    grid = [e.value(ACCURACY) for e in rows if e.role == "reference"]
    needed = LEARNED * (max(grid) - chance) if grid else MARGIN
    reasons: dict[str, str] = {}
    for entry in rows:
        flagged = [f.name for f in entry.flags if MEANINGS[f.name].unranked]
        forbidden = [name for name in flagged if name not in entry.ruled_out]
        if forbidden:
            reasons[entry.id] = MEANINGS[forbidden[0]].title
        elif entry.value(ACCURACY) - chance < needed:
            reasons[entry.id] = HARDLY_LEARNED
    return reasons
