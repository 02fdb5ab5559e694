"""Attacks: small changes of an image, inside a ball and the pixel box, that raise a classifier's loss.

An attack is a traceable function of tensors,

    x_adv = attack(logits, x, y, epsilon=..., norm=..., key=..., ...)

with `logits` a function from pixels `(n, ...)` to `(n, classes)`, `x` in [0, 1], `y` integer labels
`(n,)`. It may be called inside a compiled training step. Radii (`epsilon`) and step sizes are in
pixel units, where the box is [0, 1]; the paper's numbers, on [-1, 1], are twice as large. The two
norms are `"l2"`, over all pixels and channels of an image, and `"linf"`. All results lie in the
ball around `x` and in the box.

`Attack` is an attack with its hyperparameters, hashable; `run` applies one to arrays. A new attack
is a file with such a function and a name in `ATTACKS`.

`autoattack.evaluate` attacks images with an ensemble, for robust accuracy: its attacks are written
as a start and a step (`stepping`), so that images leave a batch once they are broken (`queue`).
"""

import importlib
from collections.abc import Callable

from robust_interpretability.models.errors import unknown

ATTACKS: dict[str, str] = {
    name: f"robust_interpretability.attacks.{name}"
    for name in (
        "fgsm",
        "fgsm_rs",
        "mi_fgsm",
        "pgd",
        "apgd",
        "fab",
        "square",
        "deepfool",
        "cw_l2",
        "noise",
    )
}
NORMS = ("l2", "linf")
LOSSES = ("xent", "cw")
"""Losses of networks' adversaries and of the paper's attacks."""
MORE_LOSSES = ("margin", "dlr")
TARGETED_LOSSES = ("margin-targeted", "dlr-targeted")
RANDOM = ("noise", "fgsm_rs", "apgd", "fab", "square")
"""Attacks that draw at random."""


def get(name: str) -> Callable:
    """The attack function of that name.

    Raises:
        InputError: The name is unknown; the closest match is named.
    """
    if name not in ATTACKS:
        raise unknown("attack", name, ATTACKS)
    return getattr(importlib.import_module(ATTACKS[name]), name)


def __getattr__(name: str) -> object:
    if name in ("Attack", "run"):  # they need Keras; a look at the names does not
        return getattr(importlib.import_module("robust_interpretability.attacks.attack"), name)
    raise AttributeError(f"module 'attacks' has no attribute '{name}'")
