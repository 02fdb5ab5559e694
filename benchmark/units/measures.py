"""Measures of networks' maps that need no retraining: how sparse, smooth, stable, faithful, right.

`mass_share`, `precision` and `earth_mover` compare the maps with the pixels that tell the classes
apart: they need data of which these are known. `f_fidelity` asks a fine-tuned copy of the network.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import Field, field_validator

from pellucid.benchmark.config.sections import Config, Count, Section, known
from pellucid.benchmark.data.dataset import Info
from pellucid.benchmark.units import fine_tune
from pellucid.benchmark.units.kind import Finished, Kind, Measured, Row
from pellucid.benchmark.units.unit import DataSpec, Result, added_later
from pellucid.metrics import ATTRIBUTIONS, hierarchical
from pellucid.models.errors import InputError
from pellucid.models.types import Array

if TYPE_CHECKING:
    import keras

    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store

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

    found = max_sensitivity(of.attribution, of.model, of.x, seed=of.seed, fill=of.fill)
    return {"max_sensitivity": found}


def _relative_stability(of: Explained) -> dict[str, Array]:
    """As logarithms: the ratios have long tails."""
    from pellucid.metrics.relative_stability import relative_stability

    found = relative_stability(of.attribution, of.model, of.x, seed=of.seed, fill=of.fill)
    with np.errstate(divide="ignore"):
        return {"log_ris": np.log(found.input), "log_ros": np.log(found.output)}


def _infidelity(of: Explained) -> dict[str, Array]:
    """Of the gradient of the predicted logit, whatever the attribution."""
    from pellucid.metrics.infidelity import infidelity

    return {"infidelity": infidelity(of.model, of.x, relative=True, seed=of.seed)}


def _alignment(of: Explained) -> dict[str, Array]:
    """Of the gradient of the logits' margin, whatever the attribution."""
    from pellucid.metrics.alignment import alignment

    return {"alignment": alignment(of.model, of.x)}


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
ALWAYS = [name for name in MEASURES if name not in (*TRUTHS, TUNED)]
"""Those that need neither true pixels nor training."""


class Measures(Section):
    """Measures of maps on the first test images.

    Attributes:
        images: How many.
        attributions: Whose maps.
        names: Which measures.
        fine_tuning_epochs: Of the copies that `f_fidelity` asks; only for that measure.
    """

    key: ClassVar[str] = "measures"
    later: ClassVar[dict[str, object]] = {"fine_tuning_epochs": None}

    images: Count = 200
    attributions: Annotated[list[str], Field(min_length=1)] = ["gradient"]
    names: Annotated[list[str], Field(min_length=1)] = ALWAYS
    fine_tuning_epochs: Count | None = None

    _attributions = field_validator("attributions")(known("attribution", ATTRIBUTIONS))
    _names = field_validator("names")(known("measure", MEASURES))


@dataclass(frozen=True)
class Spec:
    """The network, the attribution, the measures, and on how many images.

    Attributes:
        tuned: Key of the network's fine-tuned copy.
    """

    data: DataSpec
    model: str
    attribution: str
    names: tuple[str, ...]
    images: int
    tuned: str | None = added_later(None)


@dataclass(frozen=True)
class Values:
    """How many of the images have a value of each measure; the values are arrays."""

    images: int
    finite: dict[str, int]


def check_config(config: Config) -> None:
    """Raises `InputError` where a measure is to fine-tune for no stated number of epochs."""
    section = config.section(Measures)
    if section and TUNED in section.names and section.fine_tuning_epochs is None:
        raise InputError(
            f"The measure '{TUNED}' fine-tunes every network. State for how many epochs, as"
            " measures.fine_tuning_epochs=3."
        )


def check_data(config: Config, info: Info) -> None:
    """Raises `InputError` where the data are not images, or true pixels are not known."""
    section = config.section(Measures)
    if section is None:
        return
    unknowable = [name for name in section.names if name in TRUTHS]
    if unknowable and not info.truth:
        raise InputError(
            f"It is not known which pixels of '{info.name}' tell its classes apart, which"
            f" {', '.join(unknowable)} need. Leave them out of measures.names, or choose data made"
            " with known truth, as xai_tris_linear_white."
        )
    if len(info.shape) != 3:
        raise InputError(
            f"Measures of maps need images of shape (h, w, c). '{info.name}' has shape"
            f" {info.shape}."
        )


def plan(planner: "Planner") -> None:
    """Every network, with each attribution; what is of the network alone with the first."""
    section = planner.config.section(Measures)
    if section is None:
        return
    images = min(section.images, planner.info.test_size)
    for base in planner.measured:
        network, seed, model = base
        for number, attribution in enumerate(section.attributions):
            names = tuple(n for n in section.names if number == 0 or n not in OF_NETWORK)
            tuned = None
            if TUNED in names and section.fine_tuning_epochs is not None:
                tuned = fine_tune.add(planner, base, section.fine_tuning_epochs)
            unit = KIND.unit(
                f"{network.label} seed {seed} {attribution}",
                Spec(planner.data, model, attribution, names, images, tuned),
                *filter(None, [model, tuned]),
                cost=float(images * 100 * len(names)),
                network=network,
                seed=seed,
            )
            planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Explains the images and measures the maps."""
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import attributions

    model, x = context.model(spec.model), context.data.x_test[: spec.images]
    maps = attributions.run(spec.attribution, model, x, fill=context.fill)
    y, seed = context.data.y_test[: spec.images], derived_seed("measures")
    truth = context.data.truth_test if set(spec.names) & set(TRUTHS) else None
    explained = Explained(
        model,
        spec.attribution,
        x,
        y,
        maps,
        context.fill,
        seed,
        truth=None if truth is None else truth[: spec.images],
        tuned=context.model(spec.tuned) if spec.tuned else None,
    )
    arrays: dict[str, Array] = {}
    for name in spec.names:
        arrays |= MEASURES[name](explained)
    finite = {name: int(np.isfinite(values).sum()) for name, values in arrays.items()}
    return Result(Values(spec.images, finite), arrays)


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, attribution, measure, images, finite, mean, standard_deviation.

    Images without a value, as those whose map is zero, are left out of both.
    """
    for unit in plan.of(KIND):
        values, arrays = store.values(unit), store.arrays(unit)
        for name, all_values in arrays.items():
            found = all_values[np.isfinite(all_values)]
            yield plan.about(unit) | {
                "attribution": unit.spec.attribution,
                "measure": name,
                "images": values.images,
                "finite": values.finite[name],
                "mean": float(found.mean()) if len(found) else np.nan,
                "standard_deviation": float(found.std(ddof=1)) if len(found) > 1 else np.nan,
            }


def scores(finished: Finished, network: str) -> Iterator[Measured]:
    """The mean of every measure over images that have a value for every seed."""
    of_network: dict[str, list[dict[str, Array]]] = {}
    for unit in finished.plan.of(KIND):
        if unit.network and unit.network.label == network:
            arrays = finished.store.arrays(unit)
            of_network.setdefault(unit.spec.attribution, []).append(arrays)
    for attribution, seeds in of_network.items():
        for name in seeds[0]:
            values = np.stack([arrays[name] for arrays in seeds])
            values = values[:, np.isfinite(values).all(axis=0)]
            if values.shape[1] > 1:
                found = hierarchical.over_images(values)
                score = name if name in OF_NETWORK else f"{name}_{attribution}"
                yield Measured(score, found, len(seeds))


KIND = Kind(
    name="measures",
    version=1,
    stage="measuring maps",
    spec=Spec,
    values=Values,
    work=work,
    plan=plan,
    section=Measures,
    check_config=check_config,
    check_data=check_data,
    rows={"measures": rows},
    scores=scores,
)
