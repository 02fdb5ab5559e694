"""Is a robust image classifier also an interpretable one?

The functions below measure a Keras classifier. They are imported when they are first used:

    import pellucid
    result = pellucid.evaluate(model, x, y, norm="linf", epsilon=8 / 255)

Images are `(n, h, w, c)`, uint8 or floats in [0, 1]; labels are integers `(n,)`. A classifier maps
pixels in [0, 1] to logits; `logits=False` and `scale=255` say that it does otherwise. What does not
fit is an `InputError` of one line that says what to do; a scale with which accuracy is far lower
than with the other is a warning. Radii are in pixel units, where the box is [0, 1].
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pellucid.benchmark.config.versions import __version__
    from pellucid.attacks.attack import Attack
    from pellucid import callbacks
    from pellucid.benchmark.library.adversarial_model import AdversarialModel
    from pellucid.benchmark.library.attacking import attack, list_attacks
    from pellucid.benchmark.library.attributing import (
        attribute,
        input_gradient,
        list_attributions,
    )
    from pellucid.benchmark.library.data import list_datasets, load_data
    from pellucid.benchmark.library.evaluation import Evaluation, evaluate
    from pellucid.benchmark.library.interpreting import (
        Interpretability,
        interpretability,
    )
    from pellucid.benchmark.library.maps import plot_maps
    from pellucid.benchmark.library.retraining import RetrainingBudget
    from pellucid.benchmark.library.robustness import RobustnessCurve, robustness_curve
    from pellucid.benchmark.library.training import History, fit
    from pellucid.benchmark.library.zoo.models import list_models, load_model, load_models
    from pellucid.models.errors import InputError

__all__ = [
    "AdversarialModel",
    "Attack",
    "Evaluation",
    "History",
    "InputError",
    "Interpretability",
    "RetrainingBudget",
    "RobustnessCurve",
    "__version__",
    "attack",
    "attribute",
    "callbacks",
    "evaluate",
    "fit",
    "input_gradient",
    "interpretability",
    "list_attacks",
    "list_attributions",
    "list_datasets",
    "list_models",
    "load_data",
    "load_model",
    "load_models",
    "plot_maps",
    "robustness_curve",
]

_MODULES = {
    "attacks.attack": ("Attack",),
    "benchmark.config.versions": ("__version__",),
    "benchmark.library.adversarial_model": ("AdversarialModel",),
    "benchmark.library.attacking": ("attack", "list_attacks"),
    "benchmark.library.attributing": ("attribute", "input_gradient", "list_attributions"),
    "benchmark.library.data": ("list_datasets", "load_data"),
    "benchmark.library.evaluation": ("Evaluation", "evaluate"),
    "benchmark.library.interpreting": ("Interpretability", "interpretability"),
    "benchmark.library.maps": ("plot_maps",),
    "benchmark.library.retraining": ("RetrainingBudget",),
    "benchmark.library.robustness": ("RobustnessCurve", "robustness_curve"),
    "benchmark.library.training": ("History", "fit"),
    "benchmark.library.zoo.models": ("list_models", "load_model", "load_models"),
    "models.errors": ("InputError",),
}
"""Where the public names are defined."""

_PUBLIC_MODULES = ("callbacks",)
"""Modules that are public as a whole."""


def __getattr__(name: str) -> object:
    if name in _PUBLIC_MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    for module, names in _MODULES.items():
        if name in names:
            value = getattr(importlib.import_module(f"{__name__}.{module}"), name)
            globals()[name] = value
            return value
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
