"""The robust accuracy of a caller's model."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np

from pellucid.attacks import NORM_TITLES, check_norm
from pellucid.attacks.attack import Attack
from pellucid.attacks.attack import run as run_attack
from pellucid.attacks.autoattack import ensemble
from pellucid.benchmark.library.classifier import check_scale, classifier
from pellucid.benchmark.library.inputs import image_maps, labels
from pellucid.benchmark.library.result import Result, Table
from pellucid.benchmark.progress import AttackDisplay, stderr
from pellucid.benchmark.robustness import accuracy
from pellucid.benchmark.robustness.counts import EnsembleAccuracy
from pellucid.benchmark.robustness.flags import Flag, autoattack_flags
from pellucid.leaderboard.flags import MEANINGS
from pellucid.metrics import statistics
from pellucid.models.errors import InputError
from pellucid.models.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

PGD_STEPS = 40


@dataclass(frozen=True)
class UnderAttack:
    """Accuracy under one attack.

    Attributes:
        attack: The attack in words.
        correct: Images that are correct under it.
        images: All images.
        accuracy: Their share.
        low: Lower end of its 95 percent interval (Wilson).
        high: Upper end.
    """

    attack: str
    correct: int
    images: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class Evaluation(Result):
    """Accuracy of a model without and under attacks, with warnings.

    Attributes:
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units.
        seed: Seed of all random numbers.
        clean: Accuracy without an attack.
        pgd: Accuracy under PGD: cross-entropy, 40 steps of 2.5 epsilon / 40, a random start.
        autoattack: Accuracy under AutoAttack.
        worst_case: Accuracy under both: images that are correct under PGD and under AutoAttack.
        flags: Warnings, each with its evidence; `leaderboard.flags.MEANINGS` explains them.
        counts: AutoAttack's counts, attack by attack, and what the flags rest on.
    """

    norm: str
    epsilon: float
    seed: int
    clean: UnderAttack
    pgd: UnderAttack
    autoattack: UnderAttack
    worst_case: UnderAttack
    flags: tuple[Flag, ...]
    counts: EnsembleAccuracy

    def tables(self) -> list[Table]:
        """Accuracy without an attack, under PGD, AutoAttack and both."""
        title = f"robust accuracy, {NORM_TITLES[self.norm]} {self.epsilon:.4g}, seed {self.seed}"
        rows = (self.clean, self.pgd, self.autoattack, self.worst_case)
        return [Table(title, [dict(vars(row)) for row in rows])]

    def notes(self) -> list[str]:
        """The warnings in words."""
        if not self.flags:
            return ["no warnings"]
        meanings = [MEANINGS[flag.name] for flag in self.flags]
        return [f"warning: {m.title}: {m.means}; what to do: {m.advice}" for m in meanings]

    def plot(self) -> "Figure":
        """Accuracy without an attack and under each, with 95 percent intervals.

        Returns:
            A `matplotlib.figure.Figure`, as `Result.plot`. The warnings stand below it.
        """
        from pellucid.benchmark.library import plots

        return plots.evaluation(self)


def _under(attack: str, correct: Array) -> UnderAttack:
    estimate = statistics.proportion(int(correct.sum()), len(correct))
    return UnderAttack(
        attack, int(correct.sum()), len(correct), estimate.value, estimate.low, estimate.high
    )


def correct_under(
    attack: Attack, model: keras.Model, x: Array, y: Array, *, seed: int, passes: int = 1
) -> Array:
    """Whether the adversarial example of each image is classified correctly, `(n,)` bool.

    Args:
        attack: The attack.
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`, integers.
        seed: Seed of what the attack draws at random.
        passes: Passes whose logits are averaged, for a model that draws at random.
    """
    x_adv = run_attack(attack, model, x, y, seed=seed)
    return ensemble.predicted(model, x_adv, passes) == y


def evaluate(
    model: object,
    x: object,
    y: object,
    *,
    norm: str,
    epsilon: float,
    version: str = "standard",
    logits: bool = True,
    scale: float = 1.0,
    seed: int = 0,
    threads: int = 1,
    verbose: bool = True,
) -> Evaluation:
    """Accuracy without an attack, under PGD and under AutoAttack, with warnings.

    Args:
        model: A Keras model of images `(n, h, w, c)` to `(n, classes)`.
        x: Test images `(n, h, w, c)`, uint8 or floats in [0, 1]; what NumPy can convert.
        y: Labels, integers `(n,)` or one-hot `(n, classes)`.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units, where the box is [0, 1].
        version: AutoAttack's version: `"standard"`, `"plus"`, or `"rand"` for models that draw at
            random.
        logits: Whether the model outputs logits; False for probabilities.
        scale: What pixels in [0, 1] are multiplied by before the model: 255 if it takes 0 to 255.
        seed: Seed of all random numbers.
        threads: Batches at a time.
        verbose: Show the progress on stderr.

    Returns:
        Accuracies with 95 percent intervals, and flags where they should not be relied on.

    Raises:
        InputError: An unknown norm or version, a radius below 0, images or labels of another kind,
            or a model that does not do what `logits` says.

    Reference: arXiv 1706.06083 (PGD); arXiv 2003.01690 (AutoAttack).

    >>> import keras
    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    ... )
    >>> _ = pellucid.fit(model, digits.x_train, digits.y_train, epochs=20, verbose=False)
    >>> x, y = digits.x_test[:50], digits.y_test[:50]
    >>> result = pellucid.evaluate(model, x, y, norm="linf", epsilon=0.5, verbose=False)
    >>> result.clean.accuracy > 0.5, result.autoattack.accuracy
    (True, 0.0)
    >>> result == pellucid.Evaluation.from_json(result.to_json())
    True
    >>> result.plot().axes[0].get_xlabel()
    'accuracy'
    """
    check_norm(norm)
    if not (math.isfinite(epsilon) and epsilon >= 0):
        raise InputError(
            f"`epsilon` must be a number of at least 0, in pixel units. Received {epsilon}."
        )
    x = image_maps(x)
    network = classifier(model, x, logits=logits, scale=scale)
    num_classes = network.output_shape[-1]
    y = labels(y, len(x), num_classes)
    check_scale(model, x, y, scale)

    def silent(attack: str, done: int, successes: int) -> None:
        pass

    with AttackDisplay(stderr(verbose), len(x)) as display:
        progress: Callable[[str, int, int], None] = display.update if verbose else silent
        found = accuracy.evaluate(
            network,
            x,
            y,
            norm=norm,
            epsilon=epsilon,
            version=version,
            seed=seed,
            threads=threads,
            progress=progress,
        )
    passes = ensemble.TRANSFORMATIONS if version == "rand" else 1
    outcome = found.arrays["broken_by"]
    clean, survived = outcome != ensemble.MISCLASSIFIED, outcome == ensemble.SURVIVED
    pgd = Attack("pgd", norm, epsilon, steps=PGD_STEPS, random_start=True)
    under_pgd = clean & correct_under(pgd, network, x, y, seed=seed, passes=passes)
    return Evaluation(
        norm=norm,
        epsilon=float(epsilon),
        seed=seed,
        clean=_under("none", clean),
        pgd=_under(f"PGD, {PGD_STEPS} steps", under_pgd),
        autoattack=_under(f"AutoAttack, {version}", survived),
        worst_case=_under("PGD and AutoAttack", np.logical_and(under_pgd, survived)),
        flags=tuple(autoattack_flags(found.counts, num_classes)),
        counts=found.counts,
    )
