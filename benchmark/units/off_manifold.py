"""Where a network's adversarial examples and gradients lie, beside nulls and by several manifolds.

Distances: of adversarial examples to each manifold model of the run, beside images changed by as
much by white noise, by the same change with random phases, and by another image's change
(`metrics.excess`). Gradients: the fraction within the manifold's tangent space, and how far noise
along it and away from it moves the softmax (`metrics.off_manifold`).
"""

import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar

import numpy as np
from pydantic import Field, field_validator

from pellucid.benchmark.config.sections import (
    Config,
    Count,
    Positive,
    Section,
    increasing,
)
from pellucid.benchmark.units import calibration
from pellucid.benchmark.units.calibration import CHUNK, MANIFOLDS, PASSES, PCA
from pellucid.benchmark.units.kind import (
    Description,
    Finished,
    Kind,
    Measured,
    Row,
)
from pellucid.benchmark.units.manifold import Manifold
from pellucid.benchmark.units.unit import AttackSpec, DataSpec, Result
from pellucid.metrics import hierarchical
from pellucid.metrics.statistics import Estimate
from pellucid.models.errors import InputError
from pellucid.models.types import Array

if TYPE_CHECKING:
    import keras

    from pellucid.benchmark.units.calibration import Models
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store

NULLS = ("noise", "phases", "permuted")
"""Those of `metrics.excess`, which imports Keras."""
DECODER = "decoder"
TANGENTS = (DECODER, PCA)
"""Manifolds with tangent spaces: the VAE-GAN's decoder, and the subspace."""
GRADIENTS = ("own", "phases", "permuted")
"""The gradients whose tangent fractions are compared."""


class OffManifold(Section):
    """Noise along and away from the manifold; images and attack are other sections'.

    Attributes:
        lengths: L2 norms of the noise in pixel units; the default is the literature's for CIFAR-10.
        draws: Draws of noise for each image.
    """

    key: ClassVar[str] = "off_manifold"

    lengths: Annotated[list[Positive], Field(min_length=1)] = [1.44, 2.64, 4.83, 8.86]
    draws: Count = 4

    _lengths = field_validator("lengths")(increasing("lengths"))


@dataclass(frozen=True)
class Spec:
    """The network, the standard network, the manifold models, the attacks and the noise."""

    data: DataSpec
    model: str
    standard: str
    models: calibration.Spec
    calibration: str
    attacks: tuple[AttackSpec, ...]
    off_manifold: OffManifold


@dataclass(frozen=True)
class Values:
    """How many images; what was measured on them are arrays.

    Attributes:
        images: Test images.
        kept: By attack loss, the examples that change the standard network's prediction.
    """

    images: int
    kept: dict[str, int]


def check_config(config: Config) -> None:
    """Raises `InputError` where there is no attack, or no calibrated manifold model."""
    if config.section(OffManifold) is None:
        return
    for needed in (calibration.Calibration, Manifold):
        if config.section(needed) is None:
            raise InputError(f"[off_manifold] needs a [{needed.key}] section.")


def plan(planner: "Planner") -> None:
    """The networks whose distances to the manifold are measured."""
    section = planner.config.section(OffManifold)
    distances = planner.config.section(Manifold)
    if section is None or distances is None:
        return
    calibrated = calibration.add(planner)
    models = planner.units[calibrated].spec
    settings = models.calibration
    descents = settings.steps * (1 + settings.prior_draws)
    passes = distances.steps + (1 + len(NULLS)) * PASSES * descents
    for network, seed, model in planner.selected(Manifold.key):
        standard = planner.standard[seed]
        attacks = tuple(distances.attack(loss) for loss in distances.losses)
        spec = Spec(planner.data, model, standard, models, calibrated, attacks, section)
        unit = KIND.unit(
            f"{network.label} seed {seed}",
            spec,
            model,
            standard,
            models.vae_gan,
            calibrated,
            cost=float(settings.images * passes * len(attacks)),
            network=network,
            seed=seed,
        )
        planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Distances of changed images to each manifold, and what concerns the tangent spaces."""
    from pellucid.attacks.attack import run
    from pellucid.benchmark.training.prediction import predicted_classes
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import densities, excess

    stored = context.arrays(calibration.KIND, spec.calibration)
    found = calibration.models(spec.models, context, calibration.stored_subspace(stored))
    n = spec.models.calibration.images
    x, y = context.data.x_test[:n], context.data.y_test[:n]
    model, standard = context.model(spec.model), context.model(spec.standard)

    arrays = {f"{name}_clean": stored[f"{name}_distance"] for name in MANIFOLDS}
    kept = {}
    before = predicted_classes(standard, x)
    for attack in spec.attacks:
        x_adv = run(attack.attack(), model, x, y, seed=derived_seed("manifold"))
        changes = densities.kept(before, predicted_classes(standard, x_adv))
        kept[attack.loss] = int(changes.sum())
        arrays |= {f"{attack.loss}_kept": changes, f"{attack.loss}_change": excess.norms(x, x_adv)}
        sets = excess.changed(x, x_adv, seed=derived_seed("nulls"))
        for name, images in sets.items():
            for manifold, values in found.distances(images, name).items():
                arrays[f"{attack.loss}_{manifold}_{name}"] = values
    return Result(Values(n, kept), arrays | _tangents(spec, found, model, x))


def _tangents(spec: Spec, found: "Models", model: "keras.Model", x: Array) -> dict[str, Array]:
    """Tangent fractions of gradients `(n,)`, and changes under noise `(n, lengths)`."""
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import excess, off_manifold
    from pellucid.models.batching import batches

    section = spec.off_manifold
    gradients = excess.other_gradients(
        off_manifold.input_gradients(model, x), seed=derived_seed("gradients")
    )
    spaces: dict[str, Callable[[slice], Iterable[Array]]] = {
        DECODER: lambda part: off_manifold.tangent_bases(found.vae_gan, x[part]),
        PCA: lambda part: itertools.repeat(found.subspace.basis, len(x[part])),
    }
    arrays: dict[str, Array] = {}
    for manifold, bases_at in spaces.items():
        fractions, directions = [], []
        for part in batches(len(x), CHUNK):
            bases = list(bases_at(part))
            fractions.append(
                [off_manifold.tangent_fraction(of[part], bases) for of in gradients.values()]
            )
            directions.append(
                off_manifold.noise_directions(
                    bases,
                    x[part],
                    draws=section.draws,
                    seed=derived_seed("noise along and away"),
                    places=np.arange(len(x))[part],
                )
            )
        for name, of_parts in zip(gradients, zip(*fractions, strict=True), strict=True):
            arrays[f"{manifold}_fraction_{name}"] = np.concatenate([p.fraction for p in of_parts])
            # that of a random direction: the same for all gradients
            arrays[f"{manifold}_isotropic"] = np.concatenate([p.null for p in of_parts])
        along, away = (np.concatenate(d, axis=1) for d in zip(*directions, strict=True))
        changes = off_manifold.noise_changes(model, x, (along, away), lengths=section.lengths)
        arrays[f"{manifold}_tangent_change"] = changes.tangent
        arrays[f"{manifold}_normal_change"] = changes.normal
    return arrays


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, attack_loss, manifold, image, kept, change, and five distances.

    One row per manifold and image. `change` is an L2 norm in pixel units; distances are in paper
    units: of the clean image, the adversarial example, and the image under each null.
    """
    for unit in plan.of(KIND):
        arrays = store.arrays(unit)
        for attack, manifold in itertools.product(unit.spec.attacks, MANIFOLDS):
            about = plan.about(unit) | {"attack_loss": attack.loss, "manifold": manifold}
            columns = {name: arrays[f"{attack.loss}_{name}"] for name in ("kept", "change")}
            columns["clean_distance"] = arrays[f"{manifold}_clean"]
            for name in ("adversarial", *NULLS):
                columns[f"{name}_distance"] = arrays[f"{attack.loss}_{manifold}_{name}"]
            for image in range(len(columns["kept"])):
                yield about | {"image": image} | {k: v[image] for k, v in columns.items()}


def tangent_rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, manifold, image, four tangent fractions.

    Of the gradient, with random phases, of another image's gradient, and of a random direction.
    """
    for unit in plan.of(KIND):
        arrays = store.arrays(unit)
        for manifold in TANGENTS:
            about = plan.about(unit) | {"manifold": manifold}
            names = (*(f"fraction_{name}" for name in GRADIENTS), "isotropic")
            columns = {name: arrays[f"{manifold}_{name}"] for name in names}
            for image in range(len(columns["isotropic"])):
                yield about | {"image": image} | {k: v[image] for k, v in columns.items()}


def _changes(arrays: dict[str, Array], manifold: str) -> tuple[Array, Array]:
    """Changes under tangent and normal noise of the images that have both, `(m, lengths)`."""
    tangent, normal = (arrays[f"{manifold}_{name}_change"] for name in ("tangent", "normal"))
    both = np.isfinite(tangent).all(axis=1) & np.isfinite(normal).all(axis=1)
    return tangent[both], normal[both]


def noise_rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: ..., seed, manifold, length, images, tangent, normal, ratio, low, high.

    Mean changes of the softmax under noise of each length, in pixel units, and their ratio, normal
    to tangent, with an interval over images.
    """
    from pellucid.metrics import off_manifold

    for unit in plan.of(KIND):
        arrays = store.arrays(unit)
        for manifold in TANGENTS:
            changes = off_manifold.Changes(*_changes(arrays, manifold))
            ratios = off_manifold.ratios(changes)
            for number, length in enumerate(unit.spec.off_manifold.lengths):
                ratio = ratios[number]
                yield plan.about(unit) | {
                    "manifold": manifold,
                    "length": length,
                    "images": ratio.n,
                    "tangent": float(np.sum(changes.tangent[:, number]) / (ratio.n or np.nan)),
                    "normal": float(np.sum(changes.normal[:, number]) / (ratio.n or np.nan)),
                    "ratio": ratio.value,
                    "low": ratio.low,
                    "high": ratio.high,
                }


def _over_images(values: Array) -> Estimate | None:
    """The mean of `(seeds, n)` values over images that have one for every seed, if any two have."""
    values = values[:, np.isfinite(values).all(axis=0)]
    return hierarchical.over_images(values) if values.shape[1] > 1 else None


def _ratio(seeds: list[dict[str, Array]], manifold: str) -> tuple[Estimate, Array] | None:
    """Mean change under normal noise over that under tangent noise, over all lengths.

    Returns:
        The ratio, with an interval over seeds and images, or over the images of one seed; and the
        share of every image, `(seeds, images)`: R + (normal - R tangent) / mean tangent, whose mean
        is the ratio R, and whose spread is to first order that of R. NaN for an image that lacks a
        change of any seed. None where fewer than two images are left, or tangent noise changes
        nothing.
    """
    from pellucid.metrics import off_manifold

    tangent, normal = (
        np.stack([arrays[f"{manifold}_{name}_change"].mean(axis=1) for arrays in seeds])
        for name in ("tangent", "normal")
    )
    both = np.isfinite(tangent).all(axis=0) & np.isfinite(normal).all(axis=0)
    shares = np.full(tangent.shape, np.nan)
    tangent, normal = tangent[:, both], normal[:, both]
    if tangent.shape[1] < 2 or not tangent.any():
        return None
    if len(seeds) == 1:
        found = off_manifold.ratios(off_manifold.Changes(tangent.T, normal.T))[0]
    else:
        above, below = (values[None, :, None, None, :] for values in (normal, tangent))
        found = hierarchical.ratio(above, below, np.ones(1))
    shares[:, both] = found.value + (normal - found.value * tangent) / tangent.mean()
    return found, shares


def scores(finished: Finished, network: str) -> Iterator[Measured]:
    """Excesses of distances and of tangent fractions over every null, and the ratio of changes."""
    units = [u for u in finished.plan.of(KIND) if u.network and u.network.label == network]
    if not units:
        return
    seeds = [finished.store.arrays(unit) for unit in units]

    def stacked(name: str) -> Array:
        return np.stack([arrays[name] for arrays in seeds])

    measured: dict[str, Array] = {}
    for attack, manifold in itertools.product(units[0].spec.attacks, MANIFOLDS):
        prefix = f"manifold_{attack.loss}_{manifold}"
        own = stacked(f"{attack.loss}_{manifold}_adversarial")
        measured[f"{prefix}_excess"] = own - stacked(f"{manifold}_clean")
        for null in NULLS:
            other = stacked(f"{attack.loss}_{manifold}_{null}")
            measured[f"{prefix}_excess_over_{null}"] = own - other
    for manifold in TANGENTS:
        own = stacked(f"{manifold}_fraction_own")
        measured[f"tangent_fraction_{manifold}"] = own
        nulls = {"phases": "fraction_phases", "isotropic": "isotropic"}
        if manifold == DECODER:  # the subspace is the same at every image
            nulls["permuted"] = "fraction_permuted"
        for null, name in nulls.items():
            other = stacked(f"{manifold}_{name}")
            measured[f"tangent_fraction_{manifold}_over_{null}"] = own - other
    for name, values in measured.items():
        estimate = _over_images(values)
        if estimate is not None:
            yield Measured(name, estimate, len(seeds), values[:, None, None, :])
    for manifold in TANGENTS:
        found = _ratio(seeds, manifold)
        if found is not None:
            ratio, shares = found
            name = f"off_manifold_ratio_{manifold}"
            yield Measured(name, ratio, len(seeds), shares[:, None, None, :])


def describe(score: str) -> Description | None:
    """What the literature measures, by the decoder's tangent spaces; set against accuracy."""
    return {
        f"tangent_fraction_{DECODER}": Description("tangent fraction of the gradient", "higher"),
        f"off_manifold_ratio_{DECODER}": Description(
            "change under normal / tangent noise", "lower"
        ),
    }.get(score)


def by_pca(score: str) -> str:
    """The score by the PCA that stands beside one by the VAE-GAN, of `manifold` too."""
    if score.endswith(f"_{DECODER}"):
        return f"{score.removesuffix(DECODER)}{PCA}"
    return score.replace("_excess_", f"_{PCA}_excess_")


KIND = Kind(
    name="off_manifold",
    version=1,
    stage="measuring against manifolds and nulls",
    spec=Spec,
    values=Values,
    work=work,
    plan=plan,
    section=OffManifold,
    check_config=check_config,
    rows={"off_manifold": rows, "tangent_fractions": tangent_rows, "noise_changes": noise_rows},
    scores=scores,
    describe=describe,
)
