"""What readers see in place of the names in tables."""

import functools
import re

from robust_interpretability.attacks import NORM_SYMBOLS
from robust_interpretability.benchmark.units.orders import OWN
from robust_interpretability.benchmark.units.outcomes import IMPUTED, SPECIFIC, Score
from robust_interpretability.metrics import ATTRIBUTIONS, FILLS, MODES, SHUFFLES

DATA = {
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
    "digits": "digits",
    "gaussians": "Gaussians",
}

MEASURES = {
    "gini": "Gini index",
    "total_variation": "total variation",
    "max_sensitivity": "max-sensitivity",
    "log_ris": "log relative input stability",
    "log_ros": "log relative output stability",
    "infidelity": "infidelity",
    "alignment": "alignment",
    "road": "ROAD",
    "f_fidelity": "F-Fidelity",
    "mass_share": "share of the map on the true pixels",
    "precision": "precision on the true pixels",
    "earth_mover": "earth mover's similarity to the true pixels",
}
"""Measures that need no retraining."""

OTHERS = {
    "train_accuracy": "train accuracy",
    "test_accuracy": "test accuracy",
    "robust_accuracy": "robust accuracy",
    "pgd_accuracy": "accuracy under PGD",
    "noise_accuracy": "accuracy under noise",
}

UNINFORMED = {"random": "a random score", "strength": "attack strength"}
"""Controls of trust: scores that know nothing of the maps."""

RETRAINED = {
    **{mode.name: mode.title for mode in MODES.values()},
    **{SPECIFIC + mode.name: f"specific {mode.title}" for mode in MODES.values()},
    "diffroar": "DiffROAR",
    "net_kar": "net KAR",
    "leak": "leak",
}
"""Scores of retraining. A specific score is against another map of the class unless it says so."""


def data(name: str) -> str:
    """A data set's name."""
    return DATA.get(name, name.replace("_", " "))


def series(label: str, norm: str, loss: str = "") -> str:
    """A series: the run's label, the norm, and the training loss where a run has several."""
    return " ".join(filter(None, [label, NORM_SYMBOLS.get(norm, norm), loss]))


@functools.cache
def _titles() -> tuple[dict[str, str], dict[str, str]]:
    """Titles of scores of own maps by their names; with the attribution, and without it."""
    full, bare = dict(MEASURES | OTHERS), dict(MEASURES | UNINFORMED)
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


def score(name: str) -> str:
    """A score's name, as `ROAR (Gradient, imputed)`."""
    if re.fullmatch(r"manifold_[a-z]+_excess_over_noise", name):
        return "manifold excess over noise"
    return _titles()[0].get(name, _fallback(name))


def bare(name: str) -> str:
    """The name of a score that stands for all attributions, as `ROAR, imputed`."""
    return _titles()[1].get(name, _fallback(name))
