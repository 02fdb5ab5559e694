"""What readers see in place of the names in tables."""

import functools
import re

from pellucid.attacks import LOSSES, NORM_SYMBOLS
from pellucid.benchmark.results.trust import UNINFORMED
from pellucid.benchmark.units.calibration import ENCODER
from pellucid.benchmark.units.calibration import TITLES as MANIFOLDS
from pellucid.benchmark.units.kinds import describe
from pellucid.benchmark.units.map_measures import TITLES as MEASURES
from pellucid.benchmark.units.orders import OWN
from pellucid.benchmark.units.outcomes import (
    IMPUTED,
    MEAN,
    SPECIFIC,
    Score,
)
from pellucid.benchmark.units.outcomes import TITLES as RETRAINED
from pellucid.metrics import ATTRIBUTIONS, FILLS, SHUFFLES

DATA = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "digits": "digits",
    "gaussians": "Gaussians",
}

LOSS_TITLES = {
    "xent": "cross-entropy",
    "cw": "loss of Carlini and Wagner",
}
"""The losses of attacks, by name."""

OTHERS = {
    "train_accuracy": "train accuracy",
    "test_accuracy": "test accuracy",
    "robust_accuracy": "robust accuracy",
    "pgd_accuracy": "accuracy under PGD",
    "noise_accuracy": "accuracy under noise",
}

AGAINST_MANIFOLD = {
    "manifold_excess_over_noise": "manifold excess over white noise",
    "tangent_fraction": "tangent fraction of the gradient",
    "off_manifold_ratio": "change under normal / tangent noise",
}
"""What is measured against the better of the manifold's models, in the table of trust."""

NULLS = {
    "noise": "white noise",
    "phases": "the own change, phases at random",
    "permuted": "another image's change",
}
"""What a distance to the manifold is an excess over, by the end of a score's name."""

FILL_TITLES = {MEAN: "mean fill", IMPUTED: "imputed"}

EXCESS = re.compile(
    rf"manifold_({'|'.join(LOSSES)})(?:_({'|'.join(MANIFOLDS)}))?_excess_over_({'|'.join(NULLS)})"
)
"""Loss, model of the manifold (the encoder where none is named) and what is subtracted."""


SETTINGS = {
    "training.epochs": "epochs of base training",
    "retraining.epochs": "epochs of a retraining",
    "data.train_limit": "training images",
    "model.width": "width of the network",
}
"""What is swept often, by its key."""


def setting(key: str) -> str:
    """A key of the configuration, as `epochs of base training`; itself where it has no words."""
    return SETTINGS.get(key, key)


def data(name: str) -> str:
    """A data set's name."""
    return DATA.get(name, name.replace("_", " "))


def loss(name: str) -> str:
    """The loss of an attack, as `cross-entropy`."""
    return LOSS_TITLES.get(name, name)


def series(label: str, norm: str, loss: str = "") -> str:
    """A series: the run's label, the norm, and the training loss where a run has several."""
    return " ".join(filter(None, [label, NORM_SYMBOLS.get(norm, norm), loss]))


@functools.cache
def _titles() -> tuple[dict[str, str], dict[str, str]]:
    """Titles of scores of own maps by their names; with the attribution, and without it."""
    full, bare = dict(MEASURES | OTHERS), dict(MEASURES | UNINFORMED | AGAINST_MANIFOLD)
    for attribution, record in ATTRIBUTIONS.items():
        full |= {f"{name}_{attribution}": f"{t} ({record.title})" for name, t in MEASURES.items()}
        for measure, title in RETRAINED.items():
            for control in SHUFFLES if measure.startswith(SPECIFIC) else (OWN,):
                for fill in FILLS:
                    name = str(Score(measure, attribution, control, fill))
                    ends = ["any class"] if control == SHUFFLES[0] else []
                    ends += ["imputed"] if fill == IMPUTED else []
                    full[name] = f"{title} ({', '.join([record.title, *ends])})"
                    bare[name.replace(f"_{attribution}", "", 1)] = ", ".join([title, *ends])
    return full, bare


def _fallback(name: str) -> str:
    return name.replace("_", " ").replace("-", ", ")


def score(name: str, otherwise: str = "") -> str:
    """A score's name, as `ROAR (Gradient, imputed)`.

    Args:
        name: The score.
        otherwise: Its title where this module does not know it; by default its name in words.
    """
    if found := EXCESS.fullmatch(name):
        of, manifold, null = found.groups()
        about = f"{loss(of)}, by {MANIFOLDS[manifold or ENCODER]}"
        return f"manifold excess over {NULLS[null]} ({about})"
    if title := _titles()[0].get(name, otherwise):
        return title
    description = describe(name)
    return description.title if description else _fallback(name)


def bare(name: str) -> str:
    """The name of a score that stands for all attributions, as `ROAR, imputed`."""
    return _titles()[1].get(name) or score(name)
