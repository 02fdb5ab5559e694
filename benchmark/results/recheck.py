"""Whether an entry's scores follow from what they rest on: curves, attacks, outcomes.

Intervals of ROAR and KAR are not checked: they rest on the outcome of every test image under every
retrained network, which neither an entry nor its outcomes hold.
"""

import itertools

import numpy as np

from pellucid.leaderboard.entry import Entry, RetrainingCurve
from pellucid.leaderboard.outcomes import Outcomes
from pellucid.metrics import retraining

ROUNDING = 1e-7
"""How far a score may be from what its curves give."""
SINGLE = 1e-5
"""The same for outcomes, which are stored in single precision; relative, for values above 1."""


def curve_score(curve: RetrainingCurve) -> float:
    """The ROAR or KAR score that follows from an entry's curve."""
    own, random = np.array(curve.accuracy), np.array(curve.random)[None, :, :]
    fractions = np.array(curve.fractions)
    means = (accuracy.mean(axis=(0, 1))[None, None, :, None] for accuracy in (own, random))
    return float(retraining.area(curve.mode, fractions, *means).sum())


def recheck(entry: Entry, outcomes: Outcomes | None = None) -> str | None:
    """What is wrong with an entry's scores; None where they follow from what they rest on.

    Args:
        entry: The entry.
        outcomes: The outcomes that it states, if it states any.
    """
    if outcomes and (problem := _recheck_outcomes(entry, outcomes)):
        return problem
    for curve in entry.curves:
        name = f"{curve.mode}_{curve.attribution}"
        score, expected = entry.scores.get(name), curve_score(curve)
        if score is None or abs(score.value - expected) > ROUNDING:
            said = score.value if score else "absent"
            return f"{name} is stated as {said}; its curves give {expected:.6g}"
    accuracies = [s for name, s in entry.scores.items() if name.endswith("_accuracy")]
    for score in [*accuracies, *(attacked.accuracy for attacked in entry.attacks)]:
        hits = score.value * score.n
        if score.seeds == 1 and abs(hits - round(hits)) > 1e-6:
            return f"an accuracy of {score.value} is not a whole number of {score.n} images"
    if problem := _recheck_ensemble(entry):
        return problem
    if any(name.startswith(("roar_", "kar_")) for name in entry.scores) and not entry.curves:
        return "it has ROAR or KAR scores without curves"
    return None


def _recheck_outcomes(entry: Entry, outcomes: Outcomes) -> str | None:
    """What is wrong with scores, seen from the outcomes."""
    expected = {"test_accuracy": outcomes.test.array().mean()}
    if outcomes.robust:
        expected["robust_accuracy"] = outcomes.robust.array().mean()
    for name, numbers in outcomes.contributions.items():
        expected[name] = numbers.array().astype(np.float64).sum(axis=2).mean()
    for name, value in expected.items():
        score = entry.scores.get(name)
        if score is None or not abs(score.value - value) <= SINGLE * max(1.0, abs(value)):
            said = score.value if score else "absent"
            return f"{name} is stated as {said}; its outcomes give {value:.6g}"
    return None


def _recheck_ensemble(entry: Entry) -> str | None:
    """What is wrong with robust accuracy, seen from the attacks it rests on."""
    score, ensemble = entry.scores.get("robust_accuracy"), entry.autoattack
    if score is None:
        return None
    if ensemble is None:
        return "it has a robust accuracy without AutoAttack"
    steps = [ensemble.clean.value, *(attack.accuracy.value for attack in ensemble.attacks)]
    if any(after > before for before, after in itertools.pairwise(steps)):
        return "its accuracy rises from one attack of AutoAttack to the next"
    if score.seeds == 1 and abs(score.value - steps[-1]) > ROUNDING:
        return (
            f"robust_accuracy is stated as {score.value}; after its last attack it is {steps[-1]}"
        )
    return None
