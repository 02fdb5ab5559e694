"""One model under several attacks at rising radii, with the controls that show whether the attacks can be believed.

What comes out are counts; `benchmark.flags` reads warnings from them.
"""

from typing import Any

import keras
import numpy as np

from robust_interpretability.attacks.attack import Attack
from robust_interpretability.attacks.attack import run as run_attack
from robust_interpretability.benchmark.training.classifier import predicted_classes
from robust_interpretability.metrics import attributions
from robust_interpretability.models.functional import predict

STEP = 2.5
"""PGD's path in radii: steps of STEP radius / steps, so that every point of the ball can be reached and left again."""


def attacks_at(norm: str, epsilon: float, *, steps: int, losses: list[str]) -> list[Attack]:
    """The gradient attacks of one radius (pixel units): FGSM, then PGD with each loss."""
    step_size = STEP * epsilon / steps
    pgd = [
        Attack("pgd", norm, epsilon, loss=loss, steps=steps, step_size=step_size) for loss in losses
    ]
    return [Attack("fgsm", norm, epsilon), *pgd]


def evaluate(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    *,
    radii: dict[str, list[float]],
    steps: int,
    losses: list[str],
    source: keras.Model | None,
    seed: int,
) -> dict[str, Any]:
    """Accuracy under every attack at every radius, and the evidence for gradients that mislead.

    Args:
        model: The classifier.
        x: Test images `(n, ...)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`.
        radii: Rising radii in pixel units, by norm.
        steps: PGD's steps.
        losses: PGD's losses.
        source: The network on which transferred examples are made; None leaves transfer out.
        seed: Seed of the noise.

    Returns:
        JSON values: `examples`; `clean` (hits); `attacks`, one row an attack with `hits`; `unseen`,
        for each norm and radius how many images the gradient attacks left right that noise, or
        transfer, made wrong; `zero_gradients` (images whose loss gradient is zero everywhere);
        `pass_difference` (largest difference of logits between two passes); `largest_logit` (in
        size); `outputs_in_unit_interval`.
    """
    logits = predict(model, x)
    again = predict(model, x, draw=1)
    clean = logits.argmax(-1) == y
    rows: list[dict[str, Any]] = []
    unseen: list[dict[str, Any]] = []

    def right(attack: Attack, on: keras.Model, name: str) -> np.ndarray:
        found = predicted_classes(model, run_attack(attack, on, x, y, seed=seed)) == y
        uses = attack.name != "noise"
        rows.append(
            {
                "attack": name,
                "norm": attack.norm,
                "epsilon": attack.epsilon,
                "loss": attack.loss if uses else None,
                "steps": {"pgd": attack.steps, "fgsm": 1}.get(attack.name, 0),
                "hits": int(found.sum()),
            }
        )
        return found

    for norm, epsilons in radii.items():
        for epsilon in epsilons:
            gradient_attacks = attacks_at(norm, epsilon, steps=steps, losses=losses)
            standing = clean & np.all([right(a, model, a.name) for a in gradient_attacks], axis=0)
            controls = {"noise": right(Attack("noise", norm, epsilon), model, "noise")}
            if source is not None:
                controls["transfer"] = right(gradient_attacks[1], source, "transfer")
            unseen += [
                {
                    "norm": norm,
                    "epsilon": epsilon,
                    "by": name,
                    "images": int((standing & ~found).sum()),
                }
                for name, found in controls.items()
            ]
    flat = attributions.run("log_likelihood_gradient", model, x).reshape(len(x), -1)
    return {
        "examples": len(x),
        "clean": int(clean.sum()),
        "attacks": rows,
        "unseen": unseen,
        "zero_gradients": int((~flat.any(axis=1)).sum()),
        "pass_difference": float(np.abs(logits - again).max()),
        "largest_logit": float(np.abs(logits).max()),
        "outputs_in_unit_interval": bool((logits >= 0).all() and (logits <= 1).all()),
    }
