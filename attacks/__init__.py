"""Adversarial attacks: small changes of an image that raise a classifier's loss.

An attack is a traceable function of tensors,

    x_adv = attack(logits, x, y, *, epsilon, norm, key, ...)

with `logits` a function from pixels `(n, ...)` to `(n, classes)`, `x` in [0, 1] and `y` integer
labels `(n,)`. It may be called inside a compiled training step. Radii (`epsilon`) and step sizes
are in pixel units, where the box is [0, 1]; the paper's numbers, on [-1, 1], are twice as large.
The two norms are `"l2"`, over all pixels and channels of an image, and `"linf"`. All results lie in
the ball around `x` and in the box.

To add an attack, write such a function into a file of its name and add the name to `ATTACKS`. The
rest follows from its signature: a required `key` says that it draws at random, `loss` (and no
required argument besides `epsilon`, `norm` and `key`) that networks can be trained against it. If
its losses are not all untargeted ones, its module names them in `LOSSES`.

`Attack` is an attack with its hyperparameters, hashable; `run` applies one to arrays.
`autoattack.ensemble.evaluate` attacks images with the AutoAttack ensemble.
"""

import ast
import functools
import importlib
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid.models.errors import unknown

if TYPE_CHECKING:
    from pellucid.attacks.attack import Attack, run
    from pellucid.models.types import Tensor

    TRAINING: tuple[str, ...]

__all__ = [
    "ATTACKS",
    "LOSSES",
    "NORMS",
    "NORM_SYMBOLS",
    "NORM_TITLES",
    "TRAINING",
    "Attack",
    "can_train",
    "check_norm",
    "get",
    "options",
    "run",
]

ATTACKS: dict[str, str] = {
    module.rpartition(".")[-1]: module
    for module in (
        "fgsm",
        "fgsm_rs",
        "mi_fgsm",
        "pgd",
        "autoattack.apgd",
        "autoattack.fab",
        "autoattack.square",
        "deepfool",
        "cw_l2",
        "noise",
    )
}
"""The module of each attack, in this package; its function has the module's name."""

NORM_TITLES = {"l2": "L2", "linf": "Linf"}
"""The norms, and how they are printed in text."""

NORM_SYMBOLS = {"l2": "L2", "linf": "L∞"}
"""The same in figures."""

NORMS = tuple(NORM_TITLES)

LOSSES = ("xent", "cw")
"""Losses of training adversaries and of the paper's attacks."""


def check_norm(norm: str) -> None:
    """Refuses the name of an unknown norm.

    Raises:
        InputError: It is unknown; the known ones are named.
    """
    if norm not in NORMS:
        raise unknown("norm", norm, NORMS)


def get(name: str) -> "Callable[..., Tensor]":
    """The attack function of that name.

    Raises:
        InputError: The name is unknown; the closest match is named.
    """
    if name not in ATTACKS:
        raise unknown("attack", name, ATTACKS)
    return getattr(importlib.import_module(f"{__name__}.{ATTACKS[name]}"), name)


@functools.cache
def options(name: str) -> dict[str, bool]:
    """The keyword arguments of an attack, and whether each is required; its random key is left out.

    They are read from the source: importing the function would import Keras, which must wait until
    a configuration is valid.

    Raises:
        InputError: The name is unknown; the closest match is named.
    """
    if name not in ATTACKS:
        raise unknown("attack", name, ATTACKS)
    file = Path(__file__).parent.joinpath(*ATTACKS[name].split(".")).with_suffix(".py")
    definitions = ast.parse(file.read_text(encoding="utf-8")).body
    function = next(d for d in definitions if isinstance(d, ast.FunctionDef) and d.name == name)
    defaults = zip(function.args.kwonlyargs, function.args.kw_defaults, strict=True)
    return {
        argument.arg: default is None for argument, default in defaults if argument.arg != "key"
    }


def can_train(name: str) -> bool:
    """Whether networks can be trained against an attack: it raises a loss that is chosen."""
    known = options(name)
    required = {option for option, needed in known.items() if needed}
    return "loss" in known and required <= {"epsilon", "norm"}


def __getattr__(name: str) -> object:
    if name in ("Attack", "run"):  # they need Keras; a look at the names does not
        return getattr(importlib.import_module(f"{__name__}.attack"), name)
    if name == "TRAINING":
        return tuple(filter(can_train, ATTACKS))
    raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
