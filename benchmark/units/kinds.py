"""The kinds of units, in the order in which a plan lists them. A new kind is a line here."""

from robust_interpretability.benchmark.units import (
    accuracy,
    agreement,
    autoattack,
    manifold,
    pictures,
    retrain,
    robustness,
    submitted,
    tilt,
    train,
    vae_gan,
)
from robust_interpretability.benchmark.units.kind import Description, Kind

KINDS: tuple[Kind, ...] = (
    agreement.KIND,
    train.KIND,
    submitted.KIND,
    vae_gan.KIND,
    accuracy.KIND,
    robustness.KIND,
    autoattack.KIND,
    autoattack.PART,
    pictures.KIND,
    manifold.KIND,
    tilt.KIND,
    retrain.KIND,
)


def named(name: str) -> Kind:
    """The kind of that name."""
    return next(kind for kind in KINDS if kind.name == name)


def describe(score: str) -> Description | None:
    """What a score's name stands for; None for a score that only the tables have."""
    found = (kind.describe(score) for kind in KINDS)
    return next((description for description in found if description), None)
