"""Accuracy against the strength of an attack, of several of a caller's models."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import keras
import numpy as np
from rich.progress import track

from pellucid.attacks import NORM_TITLES, check_norm
from pellucid.attacks.attack import Attack
from pellucid.attacks.autoattack.ensemble import predicted
from pellucid.benchmark.library.classifier import check_scale, classifier
from pellucid.benchmark.library.evaluation import correct_under
from pellucid.benchmark.library.inputs import images, labels
from pellucid.benchmark.library.result import Result, Row, Table
from pellucid.benchmark.progress import stderr
from pellucid.metrics import statistics
from pellucid.models.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class AtRadius:
    """A model's accuracy under an attack of one radius.

    Attributes:
        model: The model's name.
        epsilon: The radius in pixel units; 0 is accuracy without an attack.
        correct: Images that are correct without an attack and under it.
        images: All images.
        accuracy: Their share.
        low: Lower end of its 95 percent interval (Wilson).
        high: Upper end.
    """

    model: str
    epsilon: float
    correct: int
    images: int
    accuracy: float
    low: float
    high: float


@dataclass(frozen=True, repr=False)
class RobustnessCurve(Result):
    """Accuracy of models against the strength of an attack.

    Attributes:
        attack: The attack in words.
        norm: `"l2"` or `"linf"`.
        seed: Seed of what the attack draws.
        points: One for each model and radius, model by model, radii increasing from 0.
    """

    attack: str
    norm: str
    seed: int
    points: tuple[AtRadius, ...]

    def tables(self) -> list[Table]:
        """Accuracy, one row per model and one column per radius."""
        rows: dict[str, dict[str, str | int | float | None]] = {}
        for point in self.points:
            row = rows.setdefault(point.model, {"model": point.model})
            row[f"{point.epsilon:g}"] = point.accuracy
        title = (
            f"accuracy under {self.attack}, by {NORM_TITLES[self.norm]} radius,"
            f" {self.points[0].images} images, seed {self.seed}"
        )
        listed: list[Row] = list(rows.values())
        return [Table(title, listed)]

    def to_frame(self) -> "pd.DataFrame":
        """One row per model and radius, with the interval: the fields of `AtRadius`."""
        import pandas as pd

        return pd.DataFrame([dict(vars(point)) for point in self.points])

    def plot(self) -> "Figure":
        """Accuracy over the radius with 95 percent intervals, one line per model.

        Models that are named as those of `load_models` have the colours of the benchmark's figures:
        the standard one is black, those trained in L2 are blue and those in Linf orange, darker
        with their radius.

        Returns:
            A `matplotlib.figure.Figure`, as `Result.plot`.
        """
        from pellucid.benchmark.library import plots

        return plots.robustness(self)


def robustness_curve(
    models: object,
    x: object,
    y: object,
    *,
    norm: str,
    epsilons: Sequence[float],
    attack: str = "pgd",
    logits: bool = True,
    scale: float = 1.0,
    seed: int = 0,
    verbose: bool = True,
    **options: object,
) -> RobustnessCurve:
    """Accuracy against attack strength: each model attacked at each radius.

    An image counts as correct at a radius if it is classified correctly without an attack and under
    the attack of that radius. A larger ball contains the smaller one, so accuracy that rises with
    the radius shows that the attack fails, not that the model is robust: see the flags of
    `evaluate`.

    Args:
        models: Keras models of images `(n, ...)` to `(n, classes)`: a dictionary by name, as
            `load_models` returns, or one model.
        x: Test images `(n, ...)`, uint8 or floats in [0, 1]; what NumPy can convert.
        y: Labels, integers `(n,)` or one-hot `(n, classes)`.
        norm: `"l2"` or `"linf"`.
        epsilons: Radii in pixel units, where the box is [0, 1]. Accuracy without an attack is
            measured in any case and stands at radius 0.
        attack: A name from `list_attacks`. `"pgd"` starts at random, as in `evaluate`: 40 steps of
            2.5 epsilon / 40 on the cross-entropy.
        logits: Whether the models output logits; False for probabilities.
        scale: What pixels in [0, 1] are multiplied by before the models: 255 if they take 0 to 255.
        seed: Seed of what is drawn at random.
        verbose: Show the progress on stderr.
        **options: The attack's options, as `steps=10`, checked against its signature.

    Returns:
        Accuracies with 95 percent intervals, which print as a table and can be plotted.

    Raises:
        InputError: Not models by name, no radius, one that is not a number of at least 0, an
            unknown norm, attack or option, images or labels of another kind, or a model that does
            not do what `logits` says.

    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> x, y = digits.x_test[:100], digits.y_test[:100]
    >>> models = pellucid.load_models("digits", ["standard", "l2-0.6"])
    >>> curve = pellucid.robustness_curve(
    ...     models, x, y, norm="l2", epsilons=[0.3, 0.6], steps=10, verbose=False
    ... )
    >>> wide = curve.to_frame().pivot(index="model", columns="epsilon", values="accuracy")
    >>> bool(wide.loc["l2-0.6", 0.6] > wide.loc["standard", 0.6])
    True
    >>> curve.plot().axes[0].get_ylabel()
    'accuracy'
    """
    check_norm(norm)
    named = _named(models)
    radii = _radii(epsilons)
    if attack == "pgd":
        options = {"random_start": True} | options
    attacks = [Attack.create(attack, norm=norm, epsilon=radius, **options) for radius in radii]
    x = images(x)
    points = []
    shown = stderr(verbose)
    for name, model in track(named.items(), "attacking", total=len(named), console=shown):
        network = classifier(model, x, logits=logits, scale=scale)
        y = labels(y, len(x), network.output_shape[-1])
        check_scale(model, x, y, scale)
        clean = predicted(network, x) == y
        for radius, one in zip((0.0, *radii), (None, *attacks), strict=True):
            correct = clean
            if one is not None:
                correct = clean & correct_under(one, network, x, y, seed=seed)
            estimate = statistics.proportion(int(correct.sum()), len(x))
            points.append(
                AtRadius(
                    name,
                    radius,
                    int(correct.sum()),
                    len(x),
                    estimate.value,
                    estimate.low,
                    estimate.high,
                )
            )
    steps = f", {attacks[0].steps} steps" if attacks[0].steps > 1 else ""
    return RobustnessCurve(f"{attack}{steps}", norm, seed, tuple(points))


def _named(models: object) -> Mapping[str, keras.Model]:
    """Models by name; one model has its own.

    Raises:
        InputError: It is neither a model nor a dictionary of one at least.
    """
    if isinstance(models, keras.Model):
        return {str(models.name): models}
    if not isinstance(models, Mapping) or not models:
        raise InputError(
            "`models` must be a Keras model or a dictionary of models by name, as"
            f" {{'mine': model}}. Received {type(models).__name__}."
        )
    return {str(name): model for name, model in models.items()}


def _radii(epsilons: Sequence[float]) -> list[float]:
    """The radii above 0, increasing, each once.

    Raises:
        InputError: There are none, or one is not a number of at least 0.
    """
    radii = sorted({float(value) for value in np.ravel(epsilons)})
    if not all(math.isfinite(radius) and radius >= 0 for radius in radii):
        raise InputError(f"`epsilons` must be numbers of at least 0. Received {list(epsilons)}.")
    above = [radius for radius in radii if radius > 0]
    if not above:
        raise InputError("`epsilons` needs at least one radius above 0, in pixel units.")
    return above
