"""How interpretable the gradients of a caller's model are: scores that need no grid of networks."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import keras
import numpy as np

from pellucid.attacks.autoattack.ensemble import predicted
from pellucid.benchmark.library import retraining
from pellucid.benchmark.library.classifier import check_scale, classifier
from pellucid.benchmark.library.inputs import image_maps, labels
from pellucid.benchmark.library.result import Result, Row, Table
from pellucid.benchmark.library.retraining import (
    Build,
    Retrained,
    RetrainingBudget,
    channel_means,
    scored_in,
)
from pellucid.benchmark.units.orders import OWN, RANDOM, UNTOUCHED, Order
from pellucid.metrics import (
    ATTRIBUTIONS,
    CONTROLS,
    MODES,
    OF_THE_PAPER,
    attributions,
    statistics,
)
from pellucid.metrics.statistics import Estimate
from pellucid.models.errors import InputError, unknown
from pellucid.models.types import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENOUGH = 0.9
"""Share of the model's accuracy that networks retrained on untouched images should reach."""

Better = Literal["higher", "lower", ""]


@dataclass(frozen=True)
class Score:
    """One score with its 95 percent interval.

    Attributes:
        name: By which programs find it.
        title: What readers see.
        value: The score.
        low: Lower end of the interval; None where the data do not allow one.
        high: Upper end.
        better: `"higher"`, `"lower"`, or `""` for a control.
        n: Images or retrained networks behind it.
        accuracy: The model's accuracy on the same test images.
    """

    name: str
    title: str
    value: float
    low: float | None
    high: float | None
    better: Better
    n: int
    accuracy: float


@dataclass(frozen=True, repr=False)
class Interpretability(Result):
    """Scores of a model's attributions, with the retrained networks behind ROAR and KAR.

    Attributes:
        scores: The scores, the model's accuracy first.
        retrained: The accuracy of each retrained network; none without retraining.
    """

    scores: tuple[Score, ...]
    retrained: tuple[Retrained, ...] = ()

    def score(self, name: str) -> Score:
        """The score of that name.

        Raises:
            InputError: There is none; the closest is named.
        """
        by_name = {score.name: score for score in self.scores}
        if name not in by_name:
            raise unknown("score", name, by_name)
        return by_name[name]

    def tables(self) -> list[Table]:
        """The scores, and for each mode of retraining the mean curves."""
        scores = Table("interpretability", [dict(vars(score)) for score in self.scores])
        modes = dict.fromkeys(v.mode for v in self.retrained if v.mode != UNTOUCHED)
        return [scores, *(self._curves(mode) for mode in modes)]

    def notes(self) -> list[str]:
        """A warning if the retrained networks are far less accurate than the model."""
        untouched = [value.accuracy for value in self.retrained if value.mode == UNTOUCHED]
        accuracy = self.score("accuracy").value
        if not untouched or np.mean(untouched) >= ENOUGH * accuracy:
            return []
        return [
            f"warning: retrained on untouched images, networks reach {np.mean(untouched):.2f}, and"
            f" the model {accuracy:.2f}: ROAR and KAR need a larger budget, as"
            " retrain=pellucid.RetrainingBudget(epochs=50)"
        ]

    def plot(self) -> "Figure":
        """The scores with 95 percent intervals; with retraining, the curves of ROAR and KAR too.

        A curve is the mean accuracy of the retrained networks by the share of pixels removed or
        kept, with its 95 percent interval over repeats, beside the random order and the accuracy of
        networks retrained on untouched images.

        Returns:
            A `matplotlib.figure.Figure`, as `Result.plot`.
        """
        from pellucid.benchmark.library import plots

        return plots.interpretability(self)

    def _curves(self, mode: str) -> Table:
        rows: list[Row] = []
        orders = dict.fromkeys(v.order for v in self.retrained if v.mode == mode)
        for order in orders:
            curve = retraining.curve(self.retrained, mode, order)
            means = zip(curve.fractions, np.mean(curve.accuracy, axis=0), strict=True)
            title = order_title(order)
            rows.append({"order": title} | {f"{share:g}": float(mean) for share, mean in means})
        what = MODES[mode].top_pixels
        return Table(f"{MODES[mode].title}: mean accuracy by share of pixels {what}", rows)


def order_title(order: str) -> str:
    """What readers see of an order of the pixels: the attribution's title, or the control's."""
    if order == RANDOM:
        return "random order (control)"
    attribution, _, control = order.rpartition("-")
    if order in ATTRIBUTIONS:
        return ATTRIBUTIONS[order].title
    what = f"{ATTRIBUTIONS[attribution].title}, " if attribution else ""
    return f"{what}{CONTROLS[control].title} (control)"


def interpretability(
    model: object,
    x: object,
    y: object,
    *,
    x_train: object = None,
    y_train: object = None,
    attributions: Sequence[str] | None = None,
    retrain: bool | RetrainingBudget = False,
    build: Build | None = None,
    logits: bool = True,
    scale: float = 1.0,
    seed: int = 0,
    verbose: bool = True,
) -> Interpretability:
    """Scores of a model's attributions, with the model's accuracy beside each.

    Without retraining, for each attribution: the share of images on which it is zero in every
    pixel, and the share of pixels that it does not tell from another of the same image, whose rank
    is therefore drawn at random. With `retrain`, ROAR and KAR too: the area between the curve of
    the attribution and that of a random order, which stands in the table as a control. Further
    controls are chosen by the budget: each has its own score against the random order, and beside
    it stands how far the attribution's lies beyond it, compared in pairs.

    Args:
        model: A Keras model of images `(n, h, w, c)` to `(n, classes)`.
        x: Test images `(n, h, w, c)`, uint8 or floats in [0, 1]; what NumPy can convert.
        y: Labels, integers `(n,)` or one-hot `(n, classes)`.
        x_train: Training images, for `retrain`; as `x`.
        y_train: Their labels; as `y`.
        attributions: Names from `list_attributions`; by default the paper's, Gradient and
            Gradient x Input.
        retrain: Whether to retrain for ROAR and KAR, or with which budget. The default budget is
            30 networks for each attribution and for the random order, 10 epochs each.
        build: From a seed to an untrained network, for `retrain`; by default copies of the model's
            architecture with new initial weights.
        logits: Whether the model outputs logits; False for probabilities. Also of `build`.
        scale: What pixels in [0, 1] are multiplied by before the model, and before the networks of
            `build`: 255 if they take 0 to 255.
        seed: Seed of the retraining, where `retrain` is True.
        verbose: Show the progress of retraining on stderr.

    Returns:
        The scores with 95 percent intervals, and the accuracies of the retrained networks.

    Raises:
        InputError: An unknown attribution, images or labels of another kind, a model that does not
            do what `logits` says, retraining without training images, or a model that
            cannot be copied.

    Reference: arXiv 1806.10758 (ROAR); arXiv 1903.11626 (KAR).

    >>> import keras
    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    ... )
    >>> _ = pellucid.fit(model, digits.x_train, digits.y_train, epochs=5, verbose=False)
    >>> result = pellucid.interpretability(
    ...     model, digits.x_test, digits.y_test, attributions=["gradient"],
    ...     x_train=digits.x_train, y_train=digits.y_train, verbose=False,
    ...     retrain=pellucid.RetrainingBudget(
    ...         modes=("kar",), fractions=(0.2,), repeats=2, epochs=2
    ...     ),
    ... )
    >>> [score.name for score in result.scores]  # doctest: +NORMALIZE_WHITESPACE
    ['accuracy', 'zero_gradient', 'tied_gradient', 'retrained_accuracy', 'kar_random',
     'kar_gradient']
    >>> result.score("zero_gradient").value
    0.0
    """
    names = list(OF_THE_PAPER if attributions is None else attributions)
    for name in names:
        if name not in ATTRIBUTIONS:
            raise unknown("attribution", name, ATTRIBUTIONS)
    x = image_maps(x)
    network = classifier(model, x, logits=logits, scale=scale)
    num_classes = network.output_shape[-1]
    y = labels(y, len(x), num_classes)
    check_scale(model, x, y, scale)
    correct = statistics.proportion(int((predicted(network, x) == y).sum()), len(y))

    def scored(name: str, title: str, estimate: Estimate, better: Better) -> Score:
        low, high = (float(end) if np.isfinite(end) else None for end in estimate[1:3])
        value = float(estimate.value) + 0.0  # no negative zero
        return Score(name, title, value, low, high, better, estimate.n, correct.value)

    scores = [
        scored("accuracy", "accuracy", correct, "higher"),
        *_controls(network, x, names, channel_means(x), scored),
    ]
    retrained: list[Retrained] = []
    if retrain:
        budget = RetrainingBudget(seed=seed) if retrain is True else retrain
        orders = retraining.orders(names, budget.controls)
        if x_train is None or y_train is None:
            raise InputError("Retraining needs `x_train` and `y_train`.")
        x_train = image_maps(x_train, "x_train")
        if x_train.shape[1:] != x.shape[1:]:
            raise InputError(
                f"`x_train` must have images of shape {x.shape[1:]}, as `x`. Received"
                f" {x_train.shape[1:]}."
            )
        retrained = retraining.retrain(
            network,
            build or retraining.fresh_copies(model),
            x_train,
            labels(y_train, len(x_train), num_classes, "y_train"),
            x,
            y,
            orders=orders,
            budget=budget,
            logits=logits,
            scale=scale,
            verbose=verbose,
        )
        scores += _retraining_scores(retrained, orders, scored)
    return Interpretability(tuple(scores), tuple(retrained))


Scored = Callable[[str, str, Estimate, Better], Score]


def _controls(
    network: keras.Model, x: Array, names: list[str], fill: Array, scored: Scored
) -> Iterator[Score]:
    """For each attribution: images without one, and pixels that it does not tell apart."""
    for name in names:
        maps = attributions.run(name, network, x, fill=fill).reshape(len(x), -1)
        if not np.isfinite(maps).all():
            raise InputError(f"The attribution '{name}' is not finite on every image.")
        title = ATTRIBUTIONS[name].title
        zero = statistics.proportion(int((maps == 0).all(axis=1).sum()), len(x))
        yield scored(f"zero_{name}", f"images without attribution, {title}", zero, "lower")
        ordered = np.sort(maps, axis=1)
        equal = ordered[:, 1:] == ordered[:, :-1]
        edge = np.zeros((len(x), 1), bool)
        tied = np.hstack([edge, equal]) | np.hstack([equal, edge])
        shares = statistics.mean(tied.mean(axis=1))
        yield scored(f"tied_{name}", f"tied pixels, {title}", shares, "lower")


def _retraining_scores(
    values: list[Retrained], orders: Mapping[str, Order], scored: Scored
) -> Iterator[Score]:
    """Accuracy retrained on untouched images; for each mode every order, and own maps beyond."""
    untouched = statistics.mean(np.array([v.accuracy for v in values if v.mode == UNTOUCHED]))
    yield scored("retrained_accuracy", "accuracy, retrained on untouched images", untouched, "")
    for mode in dict.fromkeys(value.mode for value in values if value.mode != UNTOUCHED):
        named = {name: order for name, order in orders.items() if scored_in(mode, order)}
        for name, order in named.items():
            better: Better = "higher" if order.control == OWN else ""
            title = f"{MODES[mode].title}, {order_title(name)}"
            yield scored(f"{mode}_{name}", title, retraining.score(values, mode, name), better)
        for name, against in _pairs(named):
            control = _control(against)
            title = f"{MODES[mode].title}, {order_title(name)} beyond {CONTROLS[control].title}"
            beyond = retraining.score(values, mode, name, against)
            yield scored(f"{mode}_{name}-over-{control}", title, beyond, "higher")


def _pairs(orders: Mapping[str, Order]) -> Iterator[tuple[str, str]]:
    """Attributions, each with every control that could give its score."""
    for name, order in orders.items():
        for against, control in orders.items():
            of_it = control.free or control.attribution == order.attribution
            if order.control == OWN and control.control != OWN and of_it and against != RANDOM:
                yield name, against


def _control(order: str) -> str:
    """The control's name: what follows the attribution's where it is made of one's maps."""
    return order.rpartition("-")[2]
