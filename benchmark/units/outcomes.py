"""Which test images retrained networks classify correctly, and the scores that follow."""

import functools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pellucid.benchmark.units.kind import Description
from pellucid.benchmark.units.orders import NO_CONTROL, OWN, RANDOM
from pellucid.benchmark.units.unit import Network, Unit
from pellucid.metrics import ATTRIBUTIONS, FILLS, MODES, SHUFFLES, retraining
from pellucid.models.types import Array

if TYPE_CHECKING:
    from pellucid.benchmark.units.store import Store

NOBODY = Network(name="none")
"""In the tables, the network of an order that asks no trained network."""
MASKS = "masks"
"""The control that shows the masks of KAR alone: kept pixels white, removed ones black."""
MEAN, IMPUTED = FILLS
SPECIFIC = "specific_"
"""How the measures against shuffled maps begin."""
DIFFROAR = "diffroar"


class Key(NamedTuple):
    """Which retrainings: `network` is a label, `none` for orders that ask no network."""

    network: str
    attribution: str
    control: str
    fill: str
    mode: str


class Outcomes(NamedTuple):
    """Which test images every retrained network classifies correctly.

    Attributes:
        fractions: `(k,)`.
        of: `(seeds, repeats, k, images)` bool for each order and mode.
        classes: Number of classes.
    """

    fractions: Array
    of: dict[Key, Array]
    classes: int

    def random(self, fill: str, mode: str) -> Array:
        """Of the random order."""
        return self.of[Key(NOBODY.label, RANDOM, NO_CONTROL, fill, mode)]


def gathered(
    units: Iterable[Unit], store: "Store", fractions: Sequence[float], repeats: int, classes: int
) -> Outcomes:
    """The outcomes of retraining units.

    Args:
        units: Of kind `retrain`; those on untouched images are left out.
        store: Their results.
        fractions: `(k,)`.
        repeats: Retrainings at each point for each base-model seed.
        classes: Number of classes.
    """
    found: dict[Key, dict[tuple[int, float], Array]] = {}
    for unit in units:
        spec, order, network = unit.spec, unit.spec.order, unit.network or NOBODY
        if order.untouched:
            continue
        key = Key(network.label, order.attribution, order.control, spec.fill, spec.mode)
        found.setdefault(key, {})[spec.draw, spec.fraction] = store.values(unit).outcomes()
    arrays = {}
    for key, cells in found.items():
        draws = sorted({draw for draw, _ in cells})
        stacked = np.stack([[cells[draw, fraction] for fraction in fractions] for draw in draws])
        arrays[key] = stacked.reshape(-1, repeats, *stacked.shape[1:])
    return Outcomes(np.array(fractions), arrays, classes)


class Score(NamedTuple):
    """What a score measures.

    Attributes:
        measure: `roar`, `kar`; `specific_roar`, `specific_kar`; `diffroar`, `net_kar`, `leak`.
        attribution: Whose maps; empty for a measure of the network.
        control: `OWN`, the control whose maps are scored instead, or for a specific score the
            shuffle that it is set against.
        fill: What removed pixels become.
    """

    measure: str
    attribution: str
    control: str = OWN
    fill: str = MEAN

    def __str__(self) -> str:
        """The name in tables: `kar_gradient-shuffled-imputed`, `specific_roar_gradient-within`.

        An attribution is a Python name and holds no hyphen, so no two scores have one name.
        """
        control = self.control
        if self.measure.startswith(SPECIFIC):
            control = control.removeprefix("shuffled").removeprefix("_")
        parts = ["_".join(filter(None, [self.measure, self.attribution]))]
        parts += [control] if control not in (OWN, NO_CONTROL, "") else []
        parts += [self.fill] if self.fill != MEAN else []
        return "-".join(parts)


def contributions(found: Outcomes, network: str) -> Iterator[tuple[Score, Array]]:
    """What each test image adds to every score of a network.

    Args:
        found: The outcomes of a run.
        network: The network's label; `none` for the orders that ask no network.

    Yields:
        The score, and values as for `hierarchical.mean`.
    """
    for key, own in found.of.items():
        if key.network != network or (key.attribution, key.control) == (RANDOM, NO_CONTROL):
            continue
        fractions, mode = found.fractions, key.mode
        score = Score(mode, key.attribution, key.control, key.fill)
        random = found.random(key.fill, mode)[: len(own)]
        yield score, retraining.area(mode, fractions, own, random)
        if key.control == MASKS:
            values = retraining.leak(fractions, own, found.classes)
            yield score._replace(measure="leak", control=OWN), values
        if key.control != OWN:
            continue
        for shuffle in SHUFFLES:
            shuffled = found.of.get(key._replace(control=shuffle))
            if shuffled is not None:
                values = retraining.area(mode, fractions, own, shuffled)
                yield score._replace(measure=SPECIFIC + mode, control=shuffle), values
        if mode != "kar":
            continue
        if (diffroar := _diffroar(found, key)) is not None:
            yield score._replace(measure=DIFFROAR), diffroar
        masks = found.of.get(key._replace(control=MASKS))
        if masks is not None:
            values = retraining.net_kar(fractions, own, random, masks)
            yield score._replace(measure="net_kar"), values


def _diffroar(found: Outcomes, kar: Key) -> Array | None:
    """DiffROAR of an order whose KAR is `kar`; None without its ROAR, or its fractions' mirror."""
    removed = found.of.get(kar._replace(mode="roar"))
    if removed is None or not retraining.symmetric(found.fractions):
        return None
    return retraining.diff_roar(found.fractions, found.of[kar], removed)


def diffroar_of_controls(found: Outcomes, network: str) -> Iterator[tuple[Score, Array]]:
    """DiffROAR of the controls of a network's maps, or of those that ask no network.

    Arguments and values as for `contributions`, which has DiffROAR of own maps. No entry of a
    leaderboard holds them: the verdict on DiffROAR needs them.
    """
    for key in found.of:
        if key.network != network or key.mode != "kar" or key.control in (OWN, MASKS):
            continue
        if key.attribution == RANDOM:
            continue
        if (values := _diffroar(found, key)) is not None:
            yield Score(DIFFROAR, key.attribution, key.control, key.fill), values


TITLES = {
    **{mode.name: mode.title for mode in MODES.values()},
    **{SPECIFIC + mode.name: f"specific {mode.title}" for mode in MODES.values()},
    DIFFROAR: "DiffROAR",
    "net_kar": "net KAR",
    "leak": "leak",
}
"""Scores of retraining. A specific score is against another map of the class unless it says so."""


@functools.cache
def _descriptions() -> dict[str, Description]:
    compared = [
        *((mode, OWN) for mode in MODES),
        *((SPECIFIC + mode, SHUFFLES[-1]) for mode in MODES),
        (DIFFROAR, OWN),
        ("net_kar", OWN),
    ]
    return {
        str(Score(measure, name, control)): Description(
            f"{TITLES[measure]} {record.letter}", "higher"
        )
        for name, record in ATTRIBUTIONS.items()
        for measure, control in compared
    }


def describe(score: str) -> Description | None:
    """The scores of own maps under the paper's fill, which are set against accuracy."""
    return _descriptions().get(score)
