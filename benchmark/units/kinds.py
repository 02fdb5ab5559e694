"""The kinds of units, in the order in which a plan lists them. A new kind is a line here."""

import importlib

from pellucid.benchmark.units.kind import Description, Kind

FILES = (
    "trial",
    "agreement",
    "fit",
    "train",
    "submitted",
    "vae_gan",
    "accuracy",
    "robustness",
    "contamination",
    "autoattack",
    "attacked",
    "pictures",
    "manifold",
    "calibration",
    "off_manifold",
    "fine_tune",
    "measures",
    "tilt",
    "retrain",
)
"""Modules of this package that define a `KIND`."""

KINDS: tuple[Kind, ...] = tuple(
    importlib.import_module(f"pellucid.benchmark.units.{name}").KIND for name in FILES
)


def named(name: str) -> Kind:
    """The kind of that name."""
    return next(kind for kind in KINDS if kind.name == name)


def describe(score: str) -> Description | None:
    """What a score's name stands for; None for a score that only the tables have."""
    found = (kind.describe(score) for kind in KINDS)
    return next((description for description in found if description), None)
