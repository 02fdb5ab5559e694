"""The measures of maps that need no retraining: how sparse, smooth, stable, faithful, right.

`mass_share`, `precision` and `earth_mover` compare the maps with the pixels that tell the classes
apart: they need data of which these are known. `f_fidelity` asks a fine-tuned copy of the network.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pellucid.metrics import SHUFFLES
from pellucid.models.types import Array

if TYPE_CHECKING:
    import keras

FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
"""Of the pixels, for ROAD."""


class Explained(NamedTuple):
    """A network, images, and the maps that explain it there.

    Attributes:
        model: The network.
        attribution: Name of the maps.
        x: Images `(n, h, w, c)` uint8.
        y: Labels `(n,)`.
        maps: `(n, h, w)` float32.
        fill: The training set's channel means, `(c,)`.
        seed: Of what a measure draws.
        source: The network whose maps they are, for a blur perhaps the standard one; None where
            no blur matches maps that do not vary.
        blur: By how many pixels its maps are blurred; None for not at all.
        at: The images that are explained, as `x`, where maps are shuffled; None for the same.
        truth: The pixels that tell the classes apart, `(n, h, w)` bool; None where no measure asks
            for them.
        tuned: The network fine-tuned on images without random pixels; None likewise.
    """

    model: "keras.Model"
    attribution: str
    x: Array
    y: Array
    maps: Array
    fill: Array
    seed: int
    source: "keras.Model | None"
    blur: float | None = None
    at: Array | None = None
    truth: Array | None = None
    tuned: "keras.Model | None" = None

    def ranks(self) -> Array:
        """The pixels in order of importance, `(n, h, w)`; tied ones in random order."""
        from pellucid.metrics import ranking

        pieces = ranking.pieces(lambda part: self.maps[part], self.maps.shape, seed=self.seed)
        return np.concatenate(list(pieces))


def _gini(of: Explained) -> dict[str, Array]:
    from pellucid.metrics.gini import gini

    return {"gini": gini(of.maps)}


def _total_variation(of: Explained) -> dict[str, Array]:
    from pellucid.metrics.total_variation import total_variation

    return {"total_variation": total_variation(of.maps)}


def _max_sensitivity(of: Explained) -> dict[str, Array]:
    from pellucid.metrics.max_sensitivity import max_sensitivity

    if of.source is None:
        return {"max_sensitivity": np.full(len(of.x), np.nan)}
    found = max_sensitivity(
        of.attribution, of.source, of.x, seed=of.seed, fill=of.fill, blur=of.blur
    )
    return {"max_sensitivity": found}


def _relative_stability(of: Explained) -> dict[str, Array]:
    """As logarithms: the ratios have long tails."""
    from pellucid.metrics.relative_stability import relative_stability

    assert of.source is not None  # the own map can be blurred
    found = relative_stability(
        of.attribution, of.source, of.x, seed=of.seed, fill=of.fill, blur=of.blur
    )
    with np.errstate(divide="ignore"):
        return {"log_ris": np.log(found.input), "log_ros": np.log(found.output)}


def _infidelity(of: Explained) -> dict[str, Array]:
    """Of the gradient of the predicted logit, whatever the attribution."""
    from pellucid.metrics.infidelity import infidelity

    return {"infidelity": infidelity(of.model, of.x, at=of.at, relative=True, seed=of.seed)}


def _alignment(of: Explained) -> dict[str, Array]:
    """Of the gradient of the logits' margin, whatever the attribution."""
    from pellucid.metrics.alignment import alignment

    return {"alignment": alignment(of.model, of.x, at=of.at)}


def _road(of: Explained) -> dict[str, Array]:
    from pellucid.metrics import road

    ranks = of.ranks()
    first, last = (
        road.road(of.model, of.x, of.y, ranks, fractions=FRACTIONS, order=order, seed=of.seed)
        for order in ("morf", "lerf")
    )
    return {"road": road.road_score(first, last, FRACTIONS)}


def _f_fidelity(of: Explained) -> dict[str, Array]:
    """The mean over s of FFid+(s) - FFid-(1 - s): an order that knows nothing has 0."""
    from pellucid.metrics import f_fidelity

    assert of.tuned is not None
    found = f_fidelity.run(
        of.tuned, of.x, of.y, of.ranks(), fill=of.fill, seed=of.seed, fractions=FRACTIONS
    )
    return {"f_fidelity": found.plus().mean(axis=0) - found.minus().mean(axis=0)}


def _against_truth(name: str) -> "Callable[[Explained], dict[str, Array]]":
    """A score of `metrics.ground_truth`."""

    def measure(of: Explained) -> dict[str, Array]:
        from pellucid.metrics import ground_truth

        return {name: getattr(ground_truth, name)(of.maps, of.truth)}

    return measure


TRUTHS = ("mass_share", "precision", "earth_mover")
"""Those that compare maps with the true pixels."""
TUNED = "f_fidelity"
"""The one that asks a fine-tuned copy of the network."""

MEASURES: dict[str, Callable[[Explained], dict[str, Array]]] = {
    "gini": _gini,
    "total_variation": _total_variation,
    "max_sensitivity": _max_sensitivity,
    "relative_stability": _relative_stability,
    "infidelity": _infidelity,
    "alignment": _alignment,
    "road": _road,
    "f_fidelity": _f_fidelity,
} | {name: _against_truth(name) for name in TRUTHS}
"""From a network and its maps to values per image, by the name of what they measure."""
TITLES = {
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
"""What readers see in place of a measure's name; also of scores against the truth."""
OF_NETWORK = ("infidelity", "alignment")
"""Those that are of the network, not of one attribution."""
LOWER = ("total_variation", "max_sensitivity", "log_ris", "log_ros", "infidelity")
"""Those of which less is read as better."""

BLURS = ("blurred", "blur_matched")
"""The controls that blur maps."""
CONTROLS_OF_MAPS = ("mean", *BLURS, *SHUFFLES)
"""The controls that are maps made of a network's own."""
CONTROLLED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("gini", "total_variation", "road", TUNED, *TRUTHS), CONTROLS_OF_MAPS),
    "max_sensitivity": BLURS,
    "relative_stability": BLURS[:1],
    **dict.fromkeys(OF_NETWORK, SHUFFLES),
}
"""The controls that say something about a measure, by its name."""

ALWAYS = [name for name in MEASURES if name not in (*TRUTHS, TUNED)]
"""Those that need neither true pixels nor training."""
