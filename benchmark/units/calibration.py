"""The manifold models of a run, how well each reconstructs, and whether its distances are right.

Three models stand beside each other: the VAE-GAN by its encoder, the same by codes that are
optimised for each image, and a PCA of the training images with as many components as the VAE-GAN
has latent dimensions. Each is calibrated on its own manifold (`metrics.calibration`).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import Field

from pellucid.benchmark.config.sections import (
    Config,
    Count,
    Positive,
    Radius,
    Section,
)
from pellucid.benchmark.units import manifold, vae_gan
from pellucid.benchmark.units.kind import Kind, Row
from pellucid.benchmark.units.unit import DataSpec, Result
from pellucid.models.errors import InputError
from pellucid.models.types import Array

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store
    from pellucid.metrics.known_manifolds import Subspace
    from pellucid.models.vae_gan import VaeGan

ENCODER, OPTIMISED, PCA = "encoder", "optimised", "pca"
MANIFOLDS = (ENCODER, OPTIMISED, PCA)
TITLES = {
    ENCODER: "the VAE-GAN's encoder",
    OPTIMISED: "the VAE-GAN's nearest code",
    PCA: "the PCA",
}
"""Manifold models in words."""
"""Names of the manifold models: the VAE-GAN in two ways, and the subspace."""

PASSES = 3
"""A step of the descent in the latent space, in passes through a classifier, roughly."""
CHUNK = 32
"""Images whose tangent spaces are held at a time."""


class Calibration(Section):
    """The images on which manifold models are compared, and how they are calibrated.

    Attributes:
        images: How many of the first test images.
        longest: The longest distance of the calibration, in pixel units: that of the changes whose
            distances are compared (the radius of `[manifold]`).
        blurs: Widths, in pixels, of the blur of its directions; 0 is white noise.
        steps: Steps of the descent in the latent space from each start.
        prior_draws: Its starts besides the encoder's.
    """

    key: ClassVar[str] = "calibration"

    images: Annotated[int, Field(ge=4)] = 256
    longest: Positive
    blurs: Annotated[list[Radius], Field(min_length=1)] = [0.0, 2.0]
    steps: Count = 200
    prior_draws: Annotated[int, Field(ge=0)] = 2


@dataclass(frozen=True)
class Spec:
    """The VAE-GAN, and the section; `sample_posterior` as for the distances to be judged."""

    data: DataSpec
    vae_gan: str
    calibration: Calibration
    sample_posterior: bool


@dataclass(frozen=True)
class Reconstruction:
    """A manifold model's mean squared error on the images, in pixel units."""

    manifold: str
    mean_squared_error: float


@dataclass(frozen=True)
class Check:
    """The rank correlation of a model's distances with the true ones, with its interval.

    Attributes:
        manifold: The model.
        blur: Width of the blur of the directions in pixels.
        spearman: The correlation.
        low: The lower end of its interval.
        high: The upper end.
        bias: The median of the estimated over the true distance.
    """

    manifold: str
    blur: float
    spearman: float
    low: float
    high: float
    bias: float


@dataclass(frozen=True)
class Values:
    """What was measured of each model."""

    images: int
    components: int
    reconstructions: tuple[Reconstruction, ...]
    checks: tuple[Check, ...]


def check_config(config: Config) -> None:
    """Raises `InputError` where there is no manifold model to calibrate."""
    if config.section(Calibration) and not config.section(vae_gan.VaeGanSection):
        raise InputError("[calibration] needs a [vae_gan] section.")


def add(planner: "Planner") -> str:
    """Adds the calibration to the plan, after the VAE-GAN; returns its key.

    Raises:
        InputError: The configuration has no [calibration] or [vae_gan] section.
    """
    section = planner.config.required(Calibration)
    model = vae_gan.add(planner)
    of_distances = planner.config.section(manifold.Manifold)
    sample = of_distances is not None and of_distances.sample_posterior
    images = min(section.images, planner.info.test_size)
    section = section.model_copy(update={"images": images})
    sets = 1 + len(section.blurs)
    unit = KIND.unit(
        "manifold models",
        Spec(planner.data, model, section, sample),
        model,
        cost=float(images * sets * PASSES * section.steps * (1 + section.prior_draws)),
        seed=0,
    )
    return planner.add(unit)


def plan(planner: "Planner") -> None:
    """One unit, where the configuration asks for it."""
    if planner.config.section(Calibration):
        add(planner)


class Models(NamedTuple):
    """The manifold models of a run.

    Attributes:
        vae_gan: The VAE-GAN; its discriminator is not stored.
        subspace: The PCA.
        section: How codes are optimised.
        sample_posterior: Whether the encoder's code is a draw.
    """

    vae_gan: "VaeGan"
    subspace: "Subspace"
    section: Calibration
    sample_posterior: bool

    def distances(self, x: Array, name: str) -> dict[str, Array]:
        """The distances of a set of images to each manifold.

        Args:
            x: `(n, h, w, c)`, uint8 or floats in [0, 1]; NaN where there is no such image.
            name: Of the set: what is drawn for its images depends on it.

        Returns:
            `(n,)` in paper units, by the names in `MANIFOLDS`; NaN likewise.
        """
        there = np.isfinite(x).all(axis=(1, 2, 3))
        images = x if there.all() else np.where(there[:, None, None, None], x, np.float32(0))
        found = {
            ENCODER: self.by_encoder(images, name),
            OPTIMISED: self.by_optimisation(images, name),
            PCA: self.subspace.distance(images),
        }
        return {manifold: np.where(there, values, np.nan) for manifold, values in found.items()}

    def by_encoder(self, x: Array, name: str) -> Array:
        """As `distances`."""
        from pellucid.benchmark.units.context import derived_seed
        from pellucid.metrics.manifold import manifold_distance

        seed = derived_seed("posterior", name) if self.sample_posterior else None
        return manifold_distance(x, self.vae_gan, sample_seed=seed)

    def by_optimisation(self, x: Array, name: str) -> Array:
        """As `distances`."""
        from pellucid.benchmark.units.context import derived_seed
        from pellucid.metrics.latent_projection import project

        found = project(
            self.vae_gan,
            x,
            steps=self.section.steps,
            prior_draws=self.section.prior_draws,
            seed=derived_seed("codes", name),
        )
        return found.distance


def models(spec: Spec, context: "Context", subspace: "Subspace") -> Models:
    """The manifold models of a specification."""
    from pellucid.models.vae_gan import VaeGan

    encoder, decoder = (context.model(spec.vae_gan, name) for name in ("encoder", "decoder"))
    loaded = VaeGan(encoder, decoder, None)  # type: ignore[arg-type]
    return Models(loaded, subspace, spec.calibration, spec.sample_posterior)


def stored_subspace(arrays: dict[str, Array]) -> "Subspace":
    """The PCA among a unit's arrays."""
    from pellucid.metrics.known_manifolds import Subspace

    return Subspace(arrays["pca_mean"], arrays["pca_basis"])


def fitted_subspace(x_train: Array, components: int) -> "Subspace":
    """The PCA of the first training images; no basis vector's entries have a negative sum."""
    from pellucid.metrics.known_manifolds import Subspace, pca

    images = x_train[: vae_gan.PCA_IMAGES]
    most = min(len(images) - 1, int(np.prod(images.shape[1:])))
    found = pca(images, min(components, most))
    signs = np.where(found.basis.sum(axis=0) < 0, -1.0, 1.0)
    return Subspace(found.mean, found.basis * signs)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Fits the PCA, reconstructs test images and calibrates each model on its own manifold."""
    from pellucid.metrics import calibration
    from pellucid.models.checks import as_floats

    section = spec.calibration
    x = context.data.x_test[: section.images]
    latent = context.model(spec.vae_gan, "decoder").input_shape[-1]
    found = models(spec, context, fitted_subspace(context.data.x_train, latent))
    clean = found.distances(x, "clean")
    arrays = {f"{name}_distance": values for name, values in clean.items()}
    arrays |= {"pca_mean": found.subspace.mean, "pca_basis": found.subspace.basis}
    pixels = as_floats(x[0]).size
    errors = tuple(
        Reconstruction(name, float(np.mean(values**2) / 4 / pixels))  # a distance is twice the norm
        for name, values in clean.items()
    )

    checks = []
    by_vae_gan = {ENCODER: found.by_encoder, OPTIMISED: found.by_optimisation}
    by_pca = {PCA: lambda images, name: found.subspace.distance(images)}
    for make, estimators in ((_beside_decoder, by_vae_gan), (_beside_subspace, by_pca)):
        beside = zip(section.blurs, make(found, x), strict=True)
        for number, (blur, (images, true)) in enumerate(beside):
            name = f"away_{number}"
            for model, estimate in estimators.items():
                estimated = estimate(images, name)
                arrays[f"{model}_{name}"], arrays[f"{model}_{name}_true"] = estimated, true
                rho = calibration.rank_correlation(estimated, true)
                bias = float(np.median(estimated[true > 0] / true[true > 0]))
                checks.append(Check(model, blur, rho.value, rho.low, rho.high, bias))
    return Result(Values(len(x), found.subspace.basis.shape[1], errors, tuple(checks)), arrays)


Away = list[tuple[Array, Array]]
"""For each blur: images beside a manifold, and their true distances."""


def _true_lengths(found: Models, n: int) -> Array:
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import calibration

    # the section's length is in pixel units
    return calibration.lengths(n, 2 * found.section.longest, seed=derived_seed("lengths"))


def _beside_decoder(found: Models, x: Array) -> Away:
    """Beside the decoded codes of images, within [0, 1]."""
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import calibration, manifold, off_manifold
    from pellucid.models.batching import batches

    points, t = manifold.project(found.vae_gan, x), _true_lengths(found, len(x))
    blurs = found.section.blurs
    images = np.empty((len(blurs), *x.shape), np.float32)
    true = np.empty((len(blurs), len(x)))
    for part in batches(len(x), CHUNK):
        bases = list(off_manifold.tangent_bases(found.vae_gan, x[part]))
        for number, blur in enumerate(blurs):
            images[number, part], true[number, part] = calibration.away(
                points[part],
                bases,
                t[part],
                sigma=blur,
                seed=derived_seed("normals"),
                places=np.arange(len(x))[part],
            )
    return list(zip(images, true, strict=True))


def _beside_subspace(found: Models, x: Array) -> Away:
    """Beside the images' projections, which leave [0, 1]."""
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import calibration

    points, t = found.subspace.project(x), _true_lengths(found, len(x))
    return [
        calibration.away(
            points,
            [found.subspace.basis] * len(x),
            t,
            sigma=blur,
            seed=derived_seed("normals"),
            within_box=False,
        )
        for blur in found.section.blurs
    ]


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: manifold, images, components, mean_squared_error, blur, spearman, low, high, bias.

    One row per model and blur; errors in pixel units, blurs in pixels.
    """
    for unit in plan.of(KIND):
        values = store.values(unit)
        errors = {r.manifold: r.mean_squared_error for r in values.reconstructions}
        for check in values.checks:
            yield {
                "manifold": check.manifold,
                "images": values.images,
                "components": values.components,
                "mean_squared_error": errors[check.manifold],
                "blur": check.blur,
                "spearman": check.spearman,
                "low": check.low,
                "high": check.high,
                "bias": check.bias,
            }


KIND = Kind(
    name="calibration",
    version=1,
    stage="calibrating manifold models",
    spec=Spec,
    values=Values,
    work=work,
    plan=plan,
    section=Calibration,
    check_config=check_config,
    rows={"calibration": rows},
)
