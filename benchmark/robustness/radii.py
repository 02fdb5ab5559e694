"""One model under several attacks at rising radii, with controls that show whether they mislead.

The result holds counts; `flags` reads warnings from them.
"""

import keras
import numpy as np

from pellucid.attacks.attack import Attack
from pellucid.attacks.attack import run as run_attack
from pellucid.benchmark.robustness.counts import (
    AttackCount,
    RisingRadii,
    UnseenCount,
)
from pellucid.benchmark.training.prediction import predicted_classes
from pellucid.metrics import attributions
from pellucid.models.functional import predict
from pellucid.models.types import Array

RELATIVE_PATH = 2.5
"""Length of PGD's path in radii: enough to reach every point of the ball and to leave it again."""


def attacks_at(norm: str, epsilon: float, *, steps: int, losses: list[str]) -> list[Attack]:
    """The gradient attacks at one radius (pixel units): FGSM, then PGD with each loss."""
    step_size = RELATIVE_PATH * epsilon / steps
    pgd = [
        Attack("pgd", norm, epsilon, loss=loss, steps=steps, step_size=step_size) for loss in losses
    ]
    return [Attack("fgsm", norm, epsilon), *pgd]


def _row(name: str, attack: Attack, hits: int) -> AttackCount:
    return AttackCount(
        attack=name,
        norm=attack.norm,
        epsilon=attack.epsilon,
        loss=None if attack.name == "noise" else attack.loss,
        steps={"pgd": attack.steps, "fgsm": 1}.get(attack.name, 0),
        hits=hits,
    )


def evaluate(
    model: keras.Model,
    x: Array,
    y: Array,
    *,
    radii: dict[str, list[float]],
    steps: int,
    losses: list[str],
    source: keras.Model | None,
    seed: int,
) -> RisingRadii:
    """Accuracy under every attack at every radius, and the evidence for gradients that mislead.

    Args:
        model: The classifier: pixels in [0, 1] to logits.
        x: Test images `(n, ...)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`.
        radii: Rising radii in pixel units, by norm.
        steps: PGD's steps.
        losses: PGD's losses.
        source: The network that transferred examples are made on; None leaves transfer out.
        seed: Seed of the noise.

    Returns:
        The counts.

    Raises:
        InputError: There are images outside [0, 1] or labels that do not fit; a norm, loss, radius
            or number of steps is not one that attacks accept.
    """
    logits = predict(model, x)
    again = predict(model, x, draw=1)
    clean = logits.argmax(-1) == y
    rows: list[AttackCount] = []
    unseen: list[UnseenCount] = []

    def correct_under(attack: Attack, made_on: keras.Model, name: str) -> Array:
        x_adv = run_attack(attack, made_on, x, y, seed=seed)
        correct = predicted_classes(model, x_adv) == y
        rows.append(_row(name, attack, int(correct.sum())))
        return correct

    for norm, epsilons in radii.items():
        for epsilon in epsilons:
            gradient_attacks = attacks_at(norm, epsilon, steps=steps, losses=losses)
            resisted = clean & np.all(
                [correct_under(attack, model, attack.name) for attack in gradient_attacks], axis=0
            )
            noise = Attack("noise", norm, epsilon)
            controls = {"noise": correct_under(noise, model, "noise")}
            if source is not None:
                controls["transfer"] = correct_under(gradient_attacks[1], source, "transfer")
            unseen += [
                UnseenCount(norm, epsilon, by, int((resisted & ~correct).sum()))
                for by, correct in controls.items()
            ]

    gradient = attributions.run("log_likelihood_gradient", model, x).reshape(len(x), -1)
    return RisingRadii(
        examples=len(x),
        clean=int(clean.sum()),
        attacks=tuple(rows),
        unseen=tuple(unseen),
        zero_gradients=int((~gradient.any(axis=1)).sum()),
        pass_difference=float(np.abs(logits - again).max()),
        largest_logit=float(np.abs(logits).max()),
        outputs_in_unit_interval=bool((logits >= 0).all() and (logits <= 1).all()),
    )
