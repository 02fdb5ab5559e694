"""Entries as tables, byte for byte the same from the same entries."""

import csv
import io
import itertools

from tabulate import tabulate

from leaderboard.entry import Entry, Score
from leaderboard.ranking import INTERPRETABILITY, on_front, ordered

TITLES = {
    "test_accuracy": "test accuracy",
    "robust_accuracy": "robust accuracy",
    "noise_accuracy": "accuracy under noise",
    "roar_gradient_input": "ROAR GX",
    "roar_gradient": "ROAR G",
    "kar_gradient_input": "KAR GX",
    "kar_gradient": "KAR G",
    "manifold_xent_excess_over_noise": "manifold excess (xent)",
    "manifold_cw_excess_over_noise": "manifold excess (cw)",
}

NOTES = """\
Order: by the leftmost ROAR or KAR column that every row has. Values carry 95 percent intervals; a missing interval
means that nothing was repeated. **Pareto**: the interpretability scores in which no other row is at least as good in
both the score and test accuracy. ROAR and KAR: area between the curve of the attribution and that of a random order of
pixels, higher is better (GX: Gradient*Input, G: Gradient). Manifold excess: how much farther from the image manifold
the network's adversarial examples lie than random noise of the same norm, paper units, lower is better. Radii in pixel
units ([0, 1]); the paper's are twice as large.
"""


def _groups(entries: list[Entry]) -> list[list[Entry]]:
    """Entries that may be compared: the same data, version of the protocol, scale, model and robustness attack."""

    def key(entry: Entry) -> tuple:
        data = entry.data
        return (data.name, data.version, data.train_images, data.test_images, entry.protocol_version, entry.scale,
                entry.model, entry.robustness)  # fmt: skip

    return [list(group) for _, group in itertools.groupby(sorted(entries, key=key), key=key)]


def _cell(score: Score | None) -> str:
    if score is None:
        return ""
    interval = "" if score.low is None or score.high is None else f" [{score.low:.3f}, {score.high:.3f}]"
    return f"{score.value:.3f}{interval}"


def _training(entry: Entry) -> str:
    adversary = entry.adversary
    if adversary.norm is None:
        return "standard"
    return f"{ {'l2': 'L2', 'linf': 'Linf'}[adversary.norm] } {adversary.epsilon:g}, {adversary.loss}"


def markdown(entries: list[Entry]) -> str:
    """The leaderboard as Markdown: one table for each group of comparable entries."""
    parts = ["# Leaderboard\n"]
    for group in _groups(entries):
        first = group[0]
        rows = ordered(group)
        scores = [s for s in TITLES if any(s in e.scores for e in rows)]
        fronts = {s: on_front(rows, s) for s in INTERPRETABILITY if any(s in e.scores for e in rows)}
        table = []
        for number, entry in enumerate(rows):
            pareto = ", ".join(TITLES[s] for s, front in fronts.items() if front[number])
            cells = [_cell(entry.scores.get(s)) for s in scores]
            table.append([number + 1, _training(entry), entry.seeds, *cells, pareto])
        seeds = "" if first.seeds == 1 else "s"
        parts.append(
            f"## {first.data.name} {first.data.version}, {first.scale} scale\n\n"
            f"{first.model}, {first.data.train_images:,} training and {first.data.test_images:,} test images, "
            f"{first.seeds} base-model seed{seeds}, protocol version {first.protocol_version}. "
            f"Robust accuracy: {first.robustness}.\n"
        )
        headers = ["", "training", "seeds", *(TITLES[s] for s in scores), "Pareto"]
        parts.append(tabulate(table, headers, tablefmt="github", disable_numparse=True) + "\n")
    return "\n".join([*parts, NOTES])


def table(entries: list[Entry]) -> str:
    """The leaderboard as CSV: a row an entry, three columns a score, full precision."""
    names = sorted({s for e in entries for s in e.scores})
    fields = ["id", "data", "data_version", "train_images", "test_images", "scale", "protocol_version", "model", "norm",
              "epsilon", "loss", "seeds"]  # fmt: skip
    for name in names:
        fields += [name, f"{name}_low", f"{name}_high", f"{name}_n"]
    fields += [f"pareto_{s}" for s in INTERPRETABILITY if s in names]
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, fields, restval="", lineterminator="\n")
    writer.writeheader()
    for group in _groups(entries):
        rows = ordered(group)
        fronts = {s: on_front(rows, s) for s in INTERPRETABILITY if s in names}
        for number, entry in enumerate(rows):
            row: dict[str, object] = {
                "id": entry.id, "data": entry.data.name, "data_version": entry.data.version,
                "train_images": entry.data.train_images, "test_images": entry.data.test_images, "scale": entry.scale,
                "protocol_version": entry.protocol_version, "model": entry.model, "norm": entry.adversary.norm,
                "epsilon": entry.adversary.epsilon, "loss": entry.adversary.loss, "seeds": entry.seeds,
            }  # fmt: skip
            for name, score in entry.scores.items():
                row |= {name: score.value, f"{name}_low": score.low, f"{name}_high": score.high, f"{name}_n": score.n}
            row |= {f"pareto_{s}": front[number] for s, front in fronts.items()}
            writer.writerow(row)
    return buffer.getvalue()
