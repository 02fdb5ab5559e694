"""What scores are called and which direction is better.

Entries of schema version 4 state both. Those of version 3 do not: `KNOWN` has the titles and
directions of protocol 2, and its order is that of the columns. Further scores follow by name.
"""

import functools
import re
from typing import NamedTuple

from pellucid.leaderboard.entry import Better, Entry, RetrainingCurve
from pellucid.leaderboard.text import spelled
from pellucid.metrics import ATTRIBUTIONS as MAPS
from pellucid.metrics import CONTROLS
from pellucid.models.errors import InputError

HIGHER, LOWER = 1, -1
ACCURACY = "test_accuracy"
ROBUST_ACCURACY = "robust_accuracy"
TRAIN_ACCURACY = "train_accuracy"


class Known(NamedTuple):
    """A score's title, and which direction is better if it measures interpretability."""

    title: str
    better: Better | None = None


KNOWN = {
    ACCURACY: Known("test accuracy"),
    ROBUST_ACCURACY: Known("robust accuracy"),
    "pgd_accuracy": Known("accuracy under PGD (the paper's)"),
    "fgsm_accuracy": Known("accuracy under FGSM"),
    "noise_accuracy": Known("accuracy under noise"),
    "roar_gradient_input": Known("ROAR GX", "higher"),
    "roar_gradient": Known("ROAR G", "higher"),
    "kar_gradient_input": Known("KAR GX", "higher"),
    "kar_gradient": Known("KAR G", "higher"),
    "manifold_xent_excess_over_noise": Known("manifold excess (cross-entropy)", "lower"),
    "manifold_cw_excess_over_noise": Known("manifold excess (CW loss)", "lower"),
}
ATTRIBUTIONS = {"gradient": "Gradient", "gradient_input": "Gradient × Input"}


_WORDS = {
    "xent": "cross-entropy",
    "cw": "CW loss",
    "l2": "L2",
    "linf": "L∞",
    "roar": "ROAR",
    "kar": "KAR",
    "diffroar": "DiffROAR",
    "pgd": "PGD",
    "fgsm": "FGSM",
    "gini": "Gini index",
    "road": "ROAD",
}


def words(name: str) -> str:
    """A name without a title, as words: `kar_gradient-imputed` as `KAR gradient, imputed`."""
    return " ".join(_WORDS.get(word, word) for word in name.replace("-", ",_").split("_"))


_MODELS = {
    "encoder": "by the VAE-GAN's encoder",
    "optimised": "by the VAE-GAN's nearest code",
    "pca": "by a PCA",
    "decoder": "of the VAE-GAN",
}
_BESIDE = {
    "noise": "over white noise",
    "phases": "over its own change, phases at random",
    "permuted": "over another image's change",
    "isotropic": "over a direction at random",
}
_DISTANCES = {
    "kept_distance": "distance of adversarial examples to the manifold",
    "noise_excess": "distance of noise beyond clean images",
    "excess": "distance of adversarial examples beyond clean images",
}
_OF_DISTANCES = re.compile(
    rf"manifold_(?P<loss>xent|cw)(_(?P<model>{'|'.join(_MODELS)}))?"
    rf"_(?P<what>{'|'.join(_DISTANCES)})(_over_(?P<beside>{'|'.join(_BESIDE)}))?"
)
_TANGENTS = {
    "tangent_fraction": "share of the gradient along the manifold",
    "off_manifold_ratio": "change under normal / tangent noise",
}
_OF_TANGENTS = re.compile(
    rf"(?P<what>{'|'.join(_TANGENTS)})_(?P<model>{'|'.join(_MODELS)})"
    rf"(_over_(?P<beside>{'|'.join(_BESIDE)}))?"
)
_OF_MAPS = {
    "log_ris": "log relative input stability",
    "log_ros": "log relative output stability",
    "max_sensitivity": "max-sensitivity",
    "f_fidelity": "F-Fidelity",
    "leak": "leak of the masks",
}
_MARKS = {control.name: control.title for control in CONTROLS.values()} | {
    "within": "against another map of the class",
    "imputed": "imputed",
}


def _joined(title: str, *about: str | None) -> str:
    known = [part for part in about if part]
    return f"{title} ({', '.join(known)})" if known else title


@functools.cache
def described(name: str) -> str:
    """A score's title from its parts, where nothing states one.

    `kar_gradient-blurred` is `KAR (Gradient, own map, blurred)`; a name of another kind is put into
    words.
    """
    if found := _OF_DISTANCES.fullmatch(name):
        title = "manifold excess" if found["beside"] else _DISTANCES[found["what"]]
        return _joined(
            " ".join(filter(None, [title, _BESIDE.get(found["beside"])])),
            _WORDS[found["loss"]],
            _MODELS.get(found["model"]),
        )
    if found := _OF_TANGENTS.fullmatch(name):
        title = " ".join(filter(None, [_TANGENTS[found["what"]], _BESIDE.get(found["beside"])]))
        return _joined(title, _MODELS[found["model"]])
    base, *marks = name.split("-")
    for attribution in sorted(MAPS, key=len, reverse=True):
        if not base.endswith(f"_{attribution}"):
            continue
        measure = base.removesuffix(f"_{attribution}")
        about = [MAPS[attribution].title, *(_MARKS.get(mark, words(mark)) for mark in marks)]
        if measure.startswith("specific_") and "within" not in marks:
            about.insert(1, "against another image's map")
        return _joined(_OF_MAPS.get(measure, words(measure)), *about)
    return words(name)


def names(rows: list[Entry]) -> list[str]:
    """All scores of a table: known ones in their order, then the others by name."""
    present = {name for entry in rows for name in entry.scores}
    return [name for name in KNOWN if name in present] + sorted(present - set(KNOWN))


def title(rows: list[Entry], name: str) -> str:
    """A score's title: as an entry of the table states it, else the known one, else its name.

    Where entries state different titles, the first in alphabetical order.
    """
    stated = [t for e in rows if name in e.scores and (t := e.scores[name].title)]
    return spelled(min(stated)) if stated else KNOWN.get(name, Known(described(name))).title


def _sign(stated: set[str | None], rows: list[Entry], name: str) -> int:
    """From what entries state and what is known of a score."""
    known = {KNOWN[name].better} if name in KNOWN else set()
    found = (stated | known) - {None}
    if len(found) > 1:
        raise InputError(
            f"The entries of {rows[0].track.name} state both directions for the score '{name}':"
            " that higher is better, and that lower is better."
        )
    return {"higher": HIGHER, "lower": LOWER, None: 0}[next(iter(found), None)]


def direction(rows: list[Entry], name: str) -> int:
    """`HIGHER` or `LOWER`; 0 for a score that does not measure interpretability.

    Raises:
        InputError: Entries of the table state different directions.
    """
    return _sign({score.better for e in rows if (score := e.scores.get(name))}, rows, name)


def directions(rows: list[Entry]) -> dict[str, int]:
    """The direction of every score of a table, in order; errors as `direction`."""
    stated: dict[str, set[str | None]] = {}
    for entry in rows:
        for name, score in entry.scores.items():
            stated.setdefault(name, set()).add(score.better)
    return {name: _sign(stated[name], rows, name) for name in names(rows)}


def interpretability(rows: list[Entry]) -> list[str]:
    """The scores of a table that measure interpretability; the first leads the table."""
    return [name for name, sign in directions(rows).items() if sign]


def others(rows: list[Entry]) -> list[str]:
    """The other scores of a table that have a title, accuracies first."""
    titled = {name for entry in rows for name, score in entry.scores.items() if score.title}
    of = directions(rows)
    return [name for name, sign in of.items() if not sign and (name in KNOWN or name in titled)]


def attribution_title(curve: RetrainingCurve) -> str:
    """The title of a curve's attribution: as the curve states it, else the known one, or words."""
    return curve.title or ATTRIBUTIONS.get(curve.attribution, words(curve.attribution))
