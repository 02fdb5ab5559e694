"""Standard and adversarial training of a caller's model."""

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pellucid.attacks import NORM_TITLES
from pellucid.attacks.attack import Attack
from pellucid.benchmark.library.attacking import as_attack
from pellucid.benchmark.library.classifier import check_trainable, classifier
from pellucid.benchmark.library.inputs import images, labels
from pellucid.benchmark.library.result import Result, Table
from pellucid.benchmark.training.classifier import EpochMeans, train
from pellucid.models.errors import InputError
from pellucid.models.functional import assign

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Epoch:
    """Means over the batches of one epoch, as they were trained on.

    Attributes:
        epoch: Its number, from 1.
        loss: Cross-entropy.
        accuracy: Accuracy; with an attack, on adversarial examples.
    """

    epoch: int
    loss: float
    accuracy: float


@dataclass(frozen=True, repr=False)
class History(Result):
    """How a training went, epoch by epoch.

    Attributes:
        attack: The adversary in words; None for standard training.
        seed: Seed of the order of the batches and of what the attack draws.
        epochs: One row per epoch.
    """

    attack: str | None
    seed: int
    epochs: tuple[Epoch, ...]

    def tables(self) -> list[Table]:
        """One row per epoch."""
        what = f"training against {self.attack}" if self.attack else "standard training"
        return [Table(f"{what}, seed {self.seed}", [dict(vars(epoch)) for epoch in self.epochs])]

    def plot(self) -> "Figure":
        """Cross-entropy and accuracy by epoch, a panel each.

        Returns:
            A `matplotlib.figure.Figure`, as `Result.plot`.
        """
        from pellucid.benchmark.library import plots

        return plots.history(self)


def fit(
    model: object,
    x: object,
    y: object,
    *,
    epochs: int,
    attack: str | Attack | None = None,
    norm: str | None = None,
    epsilon: float | None = None,
    warmup_epochs: int = 0,
    batch_size: int = 100,
    learning_rate: float = 1e-3,
    seed: int = 0,
    logits: bool = True,
    scale: float = 1.0,
    verbose: bool = True,
    **options: object,
) -> History:
    """Trains a model in place, from its present weights, with Adam on the cross-entropy.

    With an attack, every batch is replaced by its adversarial examples against the present
    weights. The attack and the step are one compiled program.

    Args:
        model: A Keras model of images `(n, ...)` to `(n, classes)`. It need not be compiled.
        x: Training images `(n, ...)`, uint8 or floats in [0, 1]; what NumPy can convert.
        y: Labels, integers `(n,)` or one-hot `(n, classes)`.
        epochs: Passes over the images, at least 1; they are shuffled before each.
        attack: A name from `list_attacks`, or an `Attack`; None for standard training.
        norm: The attack's norm, `"l2"` or `"linf"`.
        epsilon: Its radius in pixel units, where the box is [0, 1].
        warmup_epochs: Over as many first epochs the radius rises linearly. Where a network gives
            every image the same class from the start on, a few epochs help. Fewer than `epochs`.
        batch_size: Images per step. Those left over after the last full batch of an epoch are not
            used in that epoch.
        learning_rate: Adam's.
        seed: Seed of the order of the batches and of what the attack draws.
        logits: Whether the model outputs logits; False for probabilities.
        scale: What pixels in [0, 1] are multiplied by before the model: 255 if it takes 0 to 255.
        verbose: Print a line to stderr for every epoch.
        **options: The attack's options, as `steps=10`, checked against its signature.

    Returns:
        Loss and accuracy of each epoch.

    Raises:
        InputError: An unknown attack or option, a value out of its range, images or labels of
            another kind, or a model that does not do what `logits` says or has weights that are not
            float32.

    Reference: arXiv 1706.06083.

    >>> import keras
    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> keras.utils.set_random_seed(0)
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    ... )
    >>> history = pellucid.fit(
    ...     model, digits.x_train, digits.y_train, epochs=3, verbose=False,
    ...     attack="pgd", norm="linf", epsilon=0.05, steps=3,
    ... )
    >>> history.epochs[-1].loss < history.epochs[0].loss
    True
    >>> [panel.get_ylabel() for panel in history.plot().axes]
    ['cross-entropy', 'accuracy on adversarial examples']
    """
    adversary = None if attack is None else as_attack(attack, norm, epsilon, options)
    if adversary is None and (norm is not None or epsilon is not None or warmup_epochs or options):
        raise InputError("A norm, a radius, a warm-up or options need `attack`, as attack='pgd'.")
    x = images(x)
    network = classifier(model, x, logits=logits, scale=scale)
    y = labels(y, len(x), network.output_shape[-1])
    check_trainable(network)

    def say(number: int, means: EpochMeans) -> None:
        if verbose:
            line = f"epoch {number}/{epochs}: loss {means.loss:.4f}, accuracy {means.accuracy:.4f}"
            print(line, file=sys.stderr, flush=True)

    values, means = train(
        network,
        x,
        y,
        seed=seed,
        epochs=epochs,
        batch_size=batch_size,
        learning_rate=learning_rate,
        attack=adversary,
        warmup_epochs=warmup_epochs,
        progress=say,
    )
    assign(network, values)
    rows = tuple(Epoch(i, one.loss, one.accuracy) for i, one in enumerate(means, 1))
    if adversary is None:
        return History(None, seed, rows)
    words = f"{adversary.name}, {NORM_TITLES[adversary.norm]}, epsilon {adversary.epsilon:.4g}"
    return History(words, seed, rows)
