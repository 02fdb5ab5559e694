"""Warning flags, read from the counts of `robust_evaluation`; what each means is in `leaderboard.flags`."""

import itertools
from typing import Any

UNSEEN, RISE, ZERO, PASSES = 0.01, 0.01, 0.01, 1e-3
"""Thresholds of the flags: shares of the images; and of the largest logit."""


def _rises(values: dict[str, Any], chance: float) -> dict[str, Any] | None:
    """Evidence that accuracy does not fall with the radius: the worst pair of radii, None where it falls."""
    n = values["examples"]
    strongest: dict[str, dict[float, int]] = {}
    for row in values["attacks"]:
        if row["attack"] in ("fgsm", "pgd"):
            hits = strongest.setdefault(row["norm"], {})
            hits[row["epsilon"]] = min(row["hits"], hits.get(row["epsilon"], n))
    found = []
    for norm, hits in strongest.items():
        radii = sorted(hits)
        for small, large in itertools.combinations(radii, 2):
            found.append((hits[large] - hits[small] > RISE * n, hits[large] - hits[small], norm, small, large))
        if len(radii) > 1:
            small, large = radii[0], radii[-1]
            stuck = hits[large] >= hits[small] > chance * n
            found.append((stuck, hits[large] - hits[small], norm, small, large))
    raised = max((pair for pair in found if pair[0]), key=lambda pair: pair[1], default=None)
    if raised is None:
        return None
    _, _, norm, small, large = raised
    hits = strongest[norm]
    return {"norm": norm, "small_epsilon": small, "large_epsilon": large, "accuracy_at_small": hits[small] / n,
            "accuracy_at_large": hits[large] / n, "chance": chance}  # fmt: skip


def flags(values: dict[str, Any], num_classes: int) -> list[tuple[str, dict[str, Any]]]:
    """Warnings with their evidence, from what `robust_evaluation.evaluate` returns.

    Args:
        values: From `robust_evaluation.evaluate`.
        num_classes: The number of classes, for chance.

    Returns:
        `(name, evidence)` pairs.
    """
    n, raised = values["examples"], []
    for name, by in (("noise_beats_gradient", "noise"), ("black_box_beats_gradient", "transfer")):
        rows = [row for row in values["unseen"] if row["by"] == by]
        worst = max(rows, key=lambda row: row["images"], default=None)
        if worst and worst["images"] > UNSEEN * n:
            evidence = {k: worst[k] for k in ("norm", "epsilon", "images")} | {
                "examples": n,
                "share": worst["images"] / n,
            }
            raised.append((name, evidence))
    if rising := _rises(values, 1 / num_classes):
        raised.append(("accuracy_does_not_fall", rising))
    if values["zero_gradients"] > ZERO * n:
        raised.append(("zero_gradients", {"images": values["zero_gradients"], "examples": n,
                                          "share": values["zero_gradients"] / n}))  # fmt: skip
    if values["pass_difference"] > PASSES * values["largest_logit"]:
        raised.append(("non_deterministic", {k: values[k] for k in ("pass_difference", "largest_logit")}))
    if values["outputs_in_unit_interval"]:
        raised.append(("probabilities", {"examples": n, "largest_logit": values["largest_logit"]}))
    return raised
