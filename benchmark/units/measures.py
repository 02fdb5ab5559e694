"""Units that measure a network's maps, or controls made of them, without retraining."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field, field_validator

from pellucid.benchmark.config.sections import Config, Count, Section, known
from pellucid.benchmark.data.dataset import Info
from pellucid.benchmark.units import fine_tune
from pellucid.benchmark.units.kind import Finished, Kind, Measured, Row
from pellucid.benchmark.units.map_measures import (
    ALWAYS,
    BLURS,
    CONTROLLED,
    CONTROLS_OF_MAPS,
    MEASURES,
    OF_NETWORK,
    TRUTHS,
    TUNED,
    Explained,
)
from pellucid.benchmark.units.orders import OWN, Blur, Order, others
from pellucid.benchmark.units.outcomes import Score
from pellucid.benchmark.units.unit import DataSpec, Result, Unit, added_later
from pellucid.metrics import ATTRIBUTIONS, SHUFFLES, hierarchical
from pellucid.models.errors import InputError
from pellucid.models.types import Array

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import BaseModel, Plan, Planner
    from pellucid.benchmark.units.store import Store


class Measures(Section):
    """Measures of maps on the first test images.

    Attributes:
        images: How many.
        attributions: Whose maps.
        names: Which measures.
        fine_tuning_epochs: Of the copies that `f_fidelity` asks; only for that measure.
        controls: Which controls of the maps are measured too, each by the measures of which it says
            something (`CONTROLLED`).
    """

    key: ClassVar[str] = "measures"
    later: ClassVar[dict[str, object]] = {"fine_tuning_epochs": None, "controls": []}

    images: Count = 200
    attributions: Annotated[list[str], Field(min_length=1)] = ["gradient"]
    names: Annotated[list[str], Field(min_length=1)] = ALWAYS
    fine_tuning_epochs: Count | None = None
    controls: list[str] = []

    _attributions = field_validator("attributions")(known("attribution", ATTRIBUTIONS))
    _names = field_validator("names")(known("measure", MEASURES))
    _controls = field_validator("controls")(known("control", CONTROLS_OF_MAPS))


@dataclass(frozen=True)
class Spec:
    """The network, the attribution, the measures, and on how many images.

    Attributes:
        tuned: Key of the network's fine-tuned copy.
        control: `OWN`, or the control that is made of the maps.
        reference: Key of the standard network, for the control that blurs its maps.
    """

    data: DataSpec
    model: str
    attribution: str
    names: tuple[str, ...]
    images: int
    tuned: str | None = added_later(None)
    control: str = added_later(OWN)
    reference: str | None = added_later(None)


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
    """Every network, with each attribution; what is of the network alone with the first.

    A submitted model has no part in rises, and no controls.
    """
    section = planner.config.section(Measures)
    if section is None:
        return
    controls = [OWN, *(section.controls if planner.submitted is None else [])]
    for base in planner.measured:
        for number, attribution in enumerate(section.attributions):
            names = [n for n in section.names if number == 0 or n not in OF_NETWORK]
            for control in controls:
                _add(planner, section, base, Order(attribution, control, base.model), names)


def _add(
    planner: "Planner", section: Measures, base: "BaseModel", order: Order, names: list[str]
) -> None:
    """The unit of one network's maps, or of a control made of them, if it says something."""
    network, seed, model = base
    if order.control != OWN:
        names = [name for name in names if order.control in CONTROLLED[name]]
    reference = planner.standard.get(seed) if order.control == "blur_matched" else None
    if not names or (order.control == "blur_matched" and reference in (None, model)):
        return
    tuned = None
    if TUNED in names and section.fine_tuning_epochs is not None:
        tuned = fine_tune.add(planner, base, section.fine_tuning_epochs)
    images = min(section.images, planner.info.test_size)
    spec = Spec(
        planner.data,
        model,
        order.attribution,
        tuple(names),
        images,
        tuned,
        order.control,
        reference,
    )
    control = "" if order.control == OWN else f" {order.control}"
    unit = KIND.unit(
        f"{network.label} seed {seed} {order.attribution}{control}",
        spec,
        *filter(None, [model, tuned, reference]),
        cost=float(images * 100 * len(names)),
        network=network,
        seed=seed,
    )
    planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Explains the images and measures the maps."""
    from pellucid.benchmark.units.context import derived_seed

    order = Order(spec.attribution, spec.control, spec.model, spec.reference)
    part, test = slice(spec.images), context.data.x_test
    truth = context.data.truth_test if set(spec.names) & set(TRUTHS) else None
    blur = context.blur(order) if spec.control in BLURS else Blur(order, None)
    explained = Explained(
        context.model(spec.model),
        spec.attribution,
        test[part],
        context.data.y_test[part],
        context.maps(order)(part),
        context.fill,
        derived_seed("measures"),
        source=context.explained(blur.order) if blur else None,
        blur=blur.width if blur else None,
        at=test[others(order, context, test, "test")[part]] if spec.control in SHUFFLES else None,
        truth=None if truth is None else truth[part],
        tuned=context.model(spec.tuned) if spec.tuned else None,
    )
    arrays: dict[str, Array] = {}
    for name in spec.names:
        arrays |= MEASURES[name](explained)
    finite = {name: int(np.isfinite(values).sum()) for name, values in arrays.items()}
    return Result(Values(spec.images, finite), arrays)


def _row(plan: "Plan", store: "Store", unit: Unit, name: str) -> Row:
    """The columns on one measure of one unit; images without a value are left out of the mean."""
    values = store.arrays(unit)[name]
    found = values[np.isfinite(values)]
    return {
        "attribution": unit.spec.attribution,
        "measure": name,
        "images": unit.spec.images,
        "finite": len(found),
        "mean": float(found.mean()) if len(found) else np.nan,
        "standard_deviation": float(found.std(ddof=1)) if len(found) > 1 else np.nan,
    }


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, attribution, measure, images, finite, mean, standard_deviation.

    Images without a value, as those whose map is zero, are left out of both.
    """
    for unit in plan.of(KIND):
        if unit.spec.control == OWN:
            for name in store.arrays(unit):
                yield plan.about(unit) | _row(plan, store, unit, name)


def rows_of_controls(plan: "Plan", store: "Store") -> Iterator[Row]:
    """As `rows`, of the controls of the maps: with the column control."""
    for unit in plan.of(KIND):
        if unit.spec.control != OWN:
            about = plan.about(unit) | {"control": unit.spec.control}
            for name in store.arrays(unit):
                yield about | _row(plan, store, unit, name)


def contributions(finished: Finished, network: str) -> dict[Score, Array]:
    """The values of every measure at every image, `(seeds, 1, 1, images)`, as of a score.

    Of own maps, and of the controls made of them; NaN where an image has no value. What is of the
    network has no attribution.
    """
    found: dict[Score, dict[int, Array]] = {}
    for unit in finished.plan.of(KIND):
        if unit.network and unit.network.label == network:
            for name, values in finished.store.arrays(unit).items():
                attribution = "" if name in OF_NETWORK else unit.spec.attribution
                score = Score(name, attribution, unit.spec.control)
                found.setdefault(score, {})[unit.seed or 0] = values
    return {
        score: np.stack([of_seed[seed] for seed in sorted(of_seed)])[:, None, None]
        for score, of_seed in found.items()
    }


def scores(finished: Finished, network: str) -> Iterator[Measured]:
    """The mean of every measure over images that have a value for every seed."""
    for score, values in contributions(finished, network).items():
        if score.control != OWN:
            continue
        of_images = values[:, 0, 0, np.isfinite(values).all(axis=(0, 1, 2))]
        if of_images.shape[1] > 1:
            found = hierarchical.over_images(of_images)
            yield Measured(str(score), found, len(of_images))


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
    rows={"measures": rows, "measure_controls": rows_of_controls},
    scores=scores,
)
