"""The manifold model: a VAE-GAN whose reconstructions stand for the image manifold."""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field, field_validator

from pellucid.benchmark.config.sections import (
    Count,
    Positive,
    Section,
    known,
    unless,
)
from pellucid.benchmark.units.kind import Kind, Row
from pellucid.benchmark.units.unit import DataSpec, Result
from pellucid.models import VAE_GANS
from pellucid.models.types import Array

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context
    from pellucid.benchmark.units.plan import Plan, Planner
    from pellucid.benchmark.units.store import Store

SHOWN = 10
"""Reconstructions and samples that are stored to look at."""
PCA_IMAGES = 10_000
"""Images, at most, that the PCA is fitted to and tried on."""


class VaeGanSection(Section):
    """The manifold model and its training.

    Attributes:
        name: The architecture, as `"digits_vae_gan"`.
        width: By what its numbers of channels are multiplied.
        latent: Dimensions of its latent space.
        epochs: Passes over the training images.
        batch_size: Images per step.
        learning_rate: Adam's.
        beta_1: Adam's.
        beta_2: Adam's.
        reconstruction_weight: lambda in the decoder's loss.
        discriminator_steps: Discriminator updates for each update of encoder and decoder.
        reshuffle: As for classifiers.
        discriminator: `"2019"`: spectral norms as in the published code. `cifar_vae_gan` alone has
            any, so that the others stay as they are.
    """

    key: ClassVar[str] = "vae_gan"
    later: ClassVar[dict[str, object]] = {"reshuffle": None, "discriminator": None}

    name: str
    width: Positive = 1.0
    latent: Count
    epochs: Count
    batch_size: Count = 100
    learning_rate: Positive
    beta_1: Annotated[float, Field(ge=0, lt=1)]
    beta_2: Annotated[float, Field(ge=0, lt=1)]
    reconstruction_weight: Positive
    discriminator_steps: Count = 1
    reshuffle: bool | None = None
    discriminator: Literal["2019"] | None = None

    _reshuffle = field_validator("reshuffle")(unless(True))
    _name = field_validator("name")(known("VAE-GAN", VAE_GANS))


@dataclass(frozen=True)
class Spec:
    """How the manifold model is trained."""

    data: DataSpec
    vae_gan: VaeGanSection
    seed: int
    shown: int


@dataclass(frozen=True)
class Epoch:
    """Means over the batches of an epoch; see `training.vae_gan`."""

    reconstruction: float
    divergence: float
    discriminator: float


@dataclass(frozen=True)
class Values:
    """Mean squared errors on test images in [0, 1], beside a PCA of as many components."""

    history: tuple[Epoch, ...]
    mean_squared_error: float
    pca_mean_squared_error: float
    variance: float


def add(planner: "Planner") -> str:
    """Adds the manifold model to the plan; returns its key.

    Raises:
        InputError: The configuration has no [vae_gan] section.
    """
    section = planner.config.required(VaeGanSection)
    images = planner.info.train_size * section.epochs
    unit = KIND.unit(
        section.name,
        Spec(planner.data, section, 0, SHOWN),
        images=images,
        cost=float(images * 5 * (1 + section.discriminator_steps)),
        seed=0,
    )
    return planner.add(unit)


def work(spec: Spec, context: "Context") -> Result[Values]:
    """Trains the manifold model and compares its reconstructions with a PCA's."""
    from pellucid import models
    from pellucid.benchmark.training.vae_gan import fit_vae_gan
    from pellucid.benchmark.units.context import derived_seed
    from pellucid.metrics import manifold
    from pellucid.models.checks import as_floats
    from pellucid.models.functional import predict
    from pellucid.models.vae_gan import published_discriminator

    section, data = spec.vae_gan, context.data
    seed = derived_seed("vae-gan", spec.seed)
    vae_gan = context.build_vae_gan(section.name, seed, section.latent, section.width)
    if section.discriminator == "2019" and section.name == "cifar_vae_gan":
        with models.KERAS_LOCK:
            shape = data.info.shape
            discriminator = published_discriminator(shape, seed=seed, width=section.width)
        vae_gan = dataclasses.replace(vae_gan, discriminator=discriminator)
    history = fit_vae_gan(
        vae_gan,
        context.x_train,
        seed=seed,
        epochs=section.epochs,
        batch_size=section.batch_size,
        learning_rate=section.learning_rate,
        beta_1=section.beta_1,
        beta_2=section.beta_2,
        reconstruction_weight=section.reconstruction_weight,
        discriminator_steps=section.discriminator_steps,
        reshuffle=section.reshuffle is not False,
    )

    x = as_floats(data.x_test)
    projection = manifold.project(vae_gan, data.x_test)
    random = np.random.default_rng(derived_seed("prior samples"))
    codes = random.standard_normal((spec.shown, vae_gan.latent))
    values = Values(
        tuple(Epoch(*epoch) for epoch in history),
        mean_squared_error=float(np.mean((x - projection) ** 2, dtype=np.float64)),
        pca_mean_squared_error=pca_error(data.x_train, data.x_test, vae_gan.latent),
        variance=float(np.mean((x - np.mean(x, axis=0, dtype=np.float64)) ** 2, dtype=np.float64)),
    )
    arrays = {
        "images": x[: spec.shown],
        "projections": projection[: spec.shown],
        "samples": predict(vae_gan.decoder, codes.astype(np.float32)),
    }
    return Result(values, arrays, {"encoder": vae_gan.encoder, "decoder": vae_gan.decoder})


def pca_error(x_train: Array, x_test: Array, components: int) -> float:
    """Mean squared error on test images, in [0, 1], of a PCA fitted to training images."""
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    train, test = (
        x[:PCA_IMAGES].reshape(len(x[:PCA_IMAGES]), -1) / np.float32(255) for x in (x_train, x_test)
    )
    # a sum over several threads would have another order on a machine with more cores
    with threadpool_limits(1):
        pca = PCA(min(components, *train.shape), svd_solver="covariance_eigh").fit(train)
        restored = pca.inverse_transform(pca.transform(test))
    return float(np.mean((test - restored) ** 2, dtype=np.float64))


def rows(plan: "Plan", store: "Store") -> Iterator[Row]:
    """Columns: measure, value: errors of the manifold model and of a PCA, pixel units."""
    for unit in plan.of(KIND):
        values = store.values(unit)
        yield {"measure": "mean_squared_error", "value": values.mean_squared_error}
        yield {"measure": "pca_mean_squared_error", "value": values.pca_mean_squared_error}
        yield {"measure": "variance", "value": values.variance}


KIND = Kind(
    name="vae_gan",
    version=1,
    stage="training the manifold model",
    spec=Spec,
    values=Values,
    work=work,
    section=VaeGanSection,
    rows={"manifold_model": rows},
)
