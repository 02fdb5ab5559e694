"""Warning flags, read from the counts; what each flag means is in `leaderboard.flags`."""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from scipy import stats

from pellucid.benchmark.robustness.counts import (
    NEAR_HITS,
    Contamination,
    Controls,
    EnsembleAccuracy,
    RisingRadii,
)

UNSEEN = 0.01
"""Share of the images that a control may succeed on where FGSM and a short PGD do not.

Examples made on another network succeeded on 0.25 to 0.67 percent of the images in this way on 7 of
the 54 reference networks, on none of which Square Attack succeeded on an image that the ensemble's
gradient attacks had missed.
"""
UNSEEN_BY_ENSEMBLE = 0.002
"""The same beside the ensemble, whose gradient attacks have converged."""
LEAST_UNSEEN = 2
"""Images that a control must succeed on at least."""
RISE = 0.01
"""Share of the images by which accuracy may rise with the radius."""
ZERO = 0.01
"""Share of the images that may have no gradient, or hardly any."""
PASSES = 1e-3
"""Share of the largest logit by which two passes over the same images may differ."""
NEAR_MISSES = 0.15
"""Share of the images nearest the boundary that a network gets wrong at least.

Reference networks get 15 percent wrong and more on digits, 30 and more on MNIST
(`contamination.csv` in `docs/results`).
"""
GAIN_ODDS = 0.5
"""Gained against lost by a shift, in those of the standard network.

Reference networks have 0.9 and more on MNIST; on digits 0.2 and more, from so few images that it
tells nothing (`contamination.csv` in `docs/results`).
"""
ABOVE_TRAINING = 0.02
"""By how much test accuracy may exceed training accuracy."""
SIGNIFICANT = 1e-3
"""The probability of each sign under the bounds above, from which it counts."""

Evidence = dict[str, str | int | float]


@dataclass(frozen=True)
class Flag:
    """A warning.

    Attributes:
        name: A key of `leaderboard.flags.MEANINGS`.
        evidence: The numbers that it rests on, by name.
    """

    name: str
    evidence: Evidence


class _Pair(NamedTuple):
    """Hits under the strongest gradient attack at two radii of one norm."""

    norm: str
    small: float
    large: float
    hits_at_small: int
    hits_at_large: int

    @property
    def rise(self) -> int:
        return self.hits_at_large - self.hits_at_small


def _strongest_hits(counts: RisingRadii) -> dict[str, dict[float, int]]:
    """By norm and radius: the fewest hits under a gradient attack."""
    strongest: dict[str, dict[float, int]] = {}
    for row in counts.attacks:
        if row.attack in ("fgsm", "pgd"):
            hits = strongest.setdefault(row.norm, {})
            hits[row.epsilon] = min(row.hits, hits.get(row.epsilon, counts.examples))
    return strongest


def _suspicious_pairs(counts: RisingRadii, chance: float) -> Iterator[_Pair]:
    """Pairs of radii between which accuracy does not fall as it must."""
    n = counts.examples
    for norm, hits in _strongest_hits(counts).items():
        radii = sorted(hits)
        for small, large in itertools.combinations(radii, 2):
            pair = _Pair(norm, small, large, hits[small], hits[large])
            if pair.rise > RISE * n:
                yield pair
        if len(radii) > 1:
            ends = _Pair(norm, radii[0], radii[-1], hits[radii[0]], hits[radii[-1]])
            if ends.hits_at_large >= ends.hits_at_small > chance * n:
                yield ends


def _accuracy_does_not_fall(counts: RisingRadii, chance: float) -> Iterator[Flag]:
    pairs = _suspicious_pairs(counts, chance)
    worst = max(pairs, key=lambda pair: pair.rise, default=None)
    if worst is not None:
        yield Flag(
            "accuracy_does_not_fall",
            {
                "norm": worst.norm,
                "small_epsilon": worst.small,
                "large_epsilon": worst.large,
                "accuracy_at_small": worst.hits_at_small / counts.examples,
                "accuracy_at_large": worst.hits_at_large / counts.examples,
                "chance": chance,
            },
        )


def _exceeds(images: int, share: float, examples: int) -> bool:
    """Whether a control succeeds on more images than chance or a last step explains."""
    return images >= LEAST_UNSEEN and images > share * examples


def _share(images: int, examples: int) -> Evidence:
    return {"images": images, "examples": examples, "share": images / examples}


def _controls_beat_gradients(counts: RisingRadii) -> Iterator[Flag]:
    for name, by in (("noise_beats_gradient", "noise"), ("black_box_beats_gradient", "transfer")):
        rows = [row for row in counts.unseen if row.by == by]
        worst = max(rows, key=lambda row: row.images, default=None)
        if worst and _exceeds(worst.images, UNSEEN, counts.examples):
            radius: Evidence = {"norm": worst.norm, "epsilon": worst.epsilon}
            yield Flag(name, radius | _share(worst.images, counts.examples))


def _ensemble_misses(accuracy: EnsembleAccuracy) -> Iterator[Flag]:
    for name, by, images in (
        ("noise_beats_gradient", "noise", accuracy.unseen.noise),
        ("black_box_beats_gradient", "square", accuracy.unseen.square),
        ("more_steps_gain", "more_steps", accuracy.unseen.more_steps),
    ):
        if _exceeds(images, UNSEEN_BY_ENSEMBLE, accuracy.examples):
            about: Evidence = {"by": by, "norm": accuracy.norm, "epsilon": accuracy.epsilon}
            yield Flag(name, about | _share(images, accuracy.examples))


def _model_properties(counts: RisingRadii) -> Iterator[Flag]:
    """Flags of the gradients, the inference graph and the outputs."""
    n = counts.examples
    if counts.zero_gradients > ZERO * n:
        yield Flag("zero_gradients", _share(counts.zero_gradients, n))
    if isinstance(counts, Controls):
        if counts.vanishing_gradients > ZERO * n:
            yield Flag("vanishing_gradients", _share(counts.vanishing_gradients, n))
        if counts.loops or counts.gradient_operations:
            operations: Evidence = {
                "loops": counts.loops,
                "gradient_operations": counts.gradient_operations,
            }
            yield Flag("optimisation_loop", operations)
    if counts.pass_difference > PASSES * counts.largest_logit:
        difference: Evidence = {
            "pass_difference": counts.pass_difference,
            "largest_logit": counts.largest_logit,
        }
        yield Flag("non_deterministic", difference)
    if counts.outputs_in_unit_interval:
        yield Flag("probabilities", {"examples": n, "largest_logit": counts.largest_logit})


def _few_near_misses(found: Contamination) -> bool:
    """Whether fewer images near the boundary are wrong than an unseen test set's would be."""
    if found.near_hits < NEAR_HITS:
        return False
    chance = stats.nbinom.cdf(found.near_misses, found.near_hits, 1 - NEAR_MISSES)
    return bool(chance < SIGNIFICANT)


def _little_gained(found: Contamination, standard: Contamination) -> bool:
    """Whether a shift gains fewer images for those lost than it does the standard network."""
    gained, lost, gained_by_standard, lost_by_standard = (
        count + 0.5 for count in (found.gained, found.lost, standard.gained, standard.lost)
    )
    ratio = math.log(gained / lost) - math.log(gained_by_standard / lost_by_standard)
    error = math.sqrt(1 / gained + 1 / lost + 1 / gained_by_standard + 1 / lost_by_standard)
    return bool(stats.norm.cdf((ratio - math.log(GAIN_ODDS)) / error) < SIGNIFICANT)


def _above_training(found: Contamination) -> bool:
    """Whether test accuracy exceeds training accuracy by more than chance."""
    test, train = found.test_hits / found.test_examples, found.train_hits / found.train_examples
    error = math.sqrt(
        test * (1 - test) / found.test_examples + train * (1 - train) / found.train_examples
    )
    beyond = test - train - ABOVE_TRAINING
    return beyond > 0 and bool(stats.norm.sf(beyond, scale=error or 1e-9) < SIGNIFICANT)


def contaminated(found: Contamination, standard: Contamination) -> Iterator[Flag]:
    """The flag that a network knows the test images.

    Args:
        found: Its counts.
        standard: Those of the track's standard network, which has not seen them.
    """
    signs = {
        "near misses": _few_near_misses(found),
        "a small shift": _little_gained(found, standard),
        "training against test": _above_training(found),
    }
    if any(signs.values()):
        yield Flag(
            "test_contamination",
            {
                "by": ", ".join(name for name, raised in signs.items() if raised),
                "near_hits": found.near_hits,
                "near_misses": found.near_misses,
                "gained": found.gained,
                "lost": found.lost,
                "gained_by_standard": standard.gained,
                "lost_by_standard": standard.lost,
                "training_accuracy": found.train_hits / found.train_examples,
                "test_accuracy": found.test_hits / found.test_examples,
            },
        )


def flags(counts: RisingRadii, num_classes: int) -> list[Flag]:
    """The flags that counts at rising radii raise.

    Args:
        counts: What `radii.evaluate` or `controls.controls` returns.
        num_classes: The number of classes: chance is 1 / `num_classes`.

    Returns:
        The flags, each name at most once.
    """
    return [
        *_controls_beat_gradients(counts),
        *_accuracy_does_not_fall(counts, 1 / num_classes),
        *_model_properties(counts),
    ]


def autoattack_flags(accuracy: EnsembleAccuracy, num_classes: int) -> list[Flag]:
    """The flags that an evaluation by AutoAttack raises.

    Args:
        accuracy: The counts that `accuracy.evaluate` returns.
        num_classes: The number of classes.

    Returns:
        The flags, each name at most once: the ensemble's evidence comes before that of its
        controls.
    """
    raised = list(_ensemble_misses(accuracy))
    names = {flag.name for flag in raised}
    return raised + [f for f in flags(accuracy.controls, num_classes) if f.name not in names]
