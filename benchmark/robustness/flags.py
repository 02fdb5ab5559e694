"""Warning flags, read from the counts of `robust_evaluation`; what each means is in `leaderboard.flags`."""

import itertools
from typing import Any

UNSEEN, RISE, ZERO, PASSES = 0.01, 0.01, 0.01, 1e-3
"""Thresholds of the flags: shares of the images; and of the largest logit.

`UNSEEN` is of what FGSM and a short PGD leave right: examples made on another network broke 0.25 to
0.67 percent of the images so on 7 of the 54 reference networks, on none of which Square broke one
that the ensemble's gradient attacks had left. """
UNSEEN_BY_ENSEMBLE = 0.002
"""The share of images that a control may break beside the ensemble, whose gradient attacks have converged."""
LEAST_UNSEEN = 2
"""Images at least that a control must break."""
VANISHING = 0.01
"""L2 norm of the logit margin's gradient below which it counts as vanishing."""


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
            found.append(
                (
                    hits[large] - hits[small] > RISE * n,
                    hits[large] - hits[small],
                    norm,
                    small,
                    large,
                )
            )
        if len(radii) > 1:
            small, large = radii[0], radii[-1]
            stuck = hits[large] >= hits[small] > chance * n
            found.append((stuck, hits[large] - hits[small], norm, small, large))
    raised = max((pair for pair in found if pair[0]), key=lambda pair: pair[1], default=None)
    if raised is None:
        return None
    _, _, norm, small, large = raised
    hits = strongest[norm]
    return {
        "norm": norm,
        "small_epsilon": small,
        "large_epsilon": large,
        "accuracy_at_small": hits[small] / n,
        "accuracy_at_large": hits[large] / n,
        "chance": chance,
    }


def _over(images: int, share: float, n: int) -> bool:
    """Whether a control breaks more images than chance or a last step explains."""
    return images >= LEAST_UNSEEN and images > share * n


def autoattack_flags(values: dict[str, Any], num_classes: int) -> list[tuple[str, dict[str, Any]]]:
    """Warnings with their evidence, from what `robust_accuracy.evaluate` returns; each name at most once."""
    n, norm, epsilon = values["examples"], values["norm"], values["epsilon"]
    raised = []
    names = {
        "noise": "noise_beats_gradient",
        "square": "black_box_beats_gradient",
        "more_steps": "more_steps_gain",
    }
    for by, name in names.items():
        images = values["unseen"][by]
        if _over(images, UNSEEN_BY_ENSEMBLE, n):
            evidence = {
                "by": by,
                "norm": norm,
                "epsilon": epsilon,
                "images": images,
                "examples": n,
                "share": images / n,
            }
            raised.append((name, evidence))
    controls = values["controls"]
    seen = {name for name, _ in raised}
    return raised + [
        (name, evidence) for name, evidence in flags(controls, num_classes) if name not in seen
    ]


def flags(values: dict[str, Any], num_classes: int) -> list[tuple[str, dict[str, Any]]]:
    """Warnings with their evidence, from what `robust_evaluation.evaluate` or `robust_accuracy.controls` returns.

    Args:
        values: The counts.
        num_classes: The number of classes, for chance.

    Returns:
        `(name, evidence)` pairs.
    """
    n, raised = values["examples"], []
    for name, by in (("noise_beats_gradient", "noise"), ("black_box_beats_gradient", "transfer")):
        rows = [row for row in values["unseen"] if row["by"] == by]
        worst = max(rows, key=lambda row: row["images"], default=None)
        if worst and _over(worst["images"], UNSEEN, n):
            evidence = {k: worst[k] for k in ("norm", "epsilon", "images")} | {
                "examples": n,
                "share": worst["images"] / n,
            }
            raised.append((name, evidence))
    if rising := _rises(values, 1 / num_classes):
        raised.append(("accuracy_does_not_fall", rising))
    if values["zero_gradients"] > ZERO * n:
        raised.append(
            (
                "zero_gradients",
                {
                    "images": values["zero_gradients"],
                    "examples": n,
                    "share": values["zero_gradients"] / n,
                },
            )
        )
    if values.get("vanishing_gradients", 0) > ZERO * n:
        raised.append(
            (
                "vanishing_gradients",
                {
                    "images": values["vanishing_gradients"],
                    "examples": n,
                    "share": values["vanishing_gradients"] / n,
                },
            )
        )
    if values.get("loops") or values.get("gradient_operations"):
        raised.append(
            ("optimisation_loop", {k: values[k] for k in ("loops", "gradient_operations")})
        )
    if values["pass_difference"] > PASSES * values["largest_logit"]:
        raised.append(
            ("non_deterministic", {k: values[k] for k in ("pass_difference", "largest_logit")})
        )
    if values["outputs_in_unit_interval"]:
        raised.append(("probabilities", {"examples": n, "largest_logit": values["largest_logit"]}))
    return raised
