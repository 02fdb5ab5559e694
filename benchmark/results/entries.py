"""One network's stored results as an entry of the leaderboard."""

import base64
import io
import math
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from pellucid.attacks import options
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.data.dataset import Info
from pellucid.benchmark.results import evidence, tables
from pellucid.benchmark.robustness import flags as warning_flags
from pellucid.benchmark.robustness.counts import (
    Contamination,
    EnsembleAccuracy,
    RisingRadii,
)
from pellucid.benchmark.units import (
    autoattack,
    contamination,
    fit,
    pictures,
    retrain,
    robustness,
    submitted,
    train,
)
from pellucid.benchmark.units.kind import Finished, Measured
from pellucid.benchmark.units.kinds import describe
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.store import Store, Stored
from pellucid.benchmark.units.unit import STANDARD, Network
from pellucid.leaderboard import entry as entries
from pellucid.leaderboard import outcomes
from pellucid.leaderboard.board import Board
from pellucid.leaderboard.card import Card, TrainingClaim
from pellucid.leaderboard.outcomes import Outcomes
from pellucid.metrics import ATTRIBUTIONS, statistics
from pellucid.models.types import Array
from pellucid.models.untrusted.model.size import size
from pellucid.models.untrusted.refusal import Refused

CLIP = (0.5, 99.5)
"""Percentiles at which a gradient map is clipped, as in the paper."""
ID_DIGITS = 16
"""Hexadecimal digits of a submitted model's hash that its id holds."""


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _scores(measured: list[Measured]) -> dict[str, entries.Score]:
    scores = {}
    for name, estimate, trainings, _ in measured:
        if math.isnan(estimate.value):
            continue
        about = describe(name)
        scores[name] = entries.Score(
            title=about.title if about else None,
            better=about.better if about else None,
            value=float(estimate.value),
            low=_number(estimate.low),
            high=_number(estimate.high),
            n=int(estimate.n),
            seeds=trainings,
        )
    return scores


def _accuracy(hits: int, examples: int) -> entries.Score:
    found = statistics.proportion(hits, examples)
    return entries.Score(value=found.value, low=found.low, high=found.high, n=examples, seeds=1)


def _attacks(counts: RisingRadii) -> list[entries.Attacked]:
    return [
        entries.Attacked(
            attack=row.attack,
            norm=row.norm,  # type: ignore[arg-type]
            epsilon=row.epsilon,
            loss=row.loss,
            steps=row.steps,
            accuracy=_accuracy(row.hits, counts.examples),
        )
        for row in counts.attacks
    ]


def _ensemble(counts: EnsembleAccuracy) -> entries.Ensemble:
    return entries.Ensemble(
        version=counts.version,
        norm=counts.norm,  # type: ignore[arg-type]
        epsilon=counts.epsilon,
        seed=counts.seed,
        gradients=counts.gradients,
        forwards=counts.forwards,
        clean=_accuracy(counts.clean, counts.examples),
        attacks=[
            entries.AfterAttack(
                attack=row.attack,
                loss=row.loss,
                steps=row.steps,
                accuracy=_accuracy(row.hits, counts.examples),
            )
            for row in counts.attacks
        ],
    )


def _flags(
    radii: RisingRadii | None,
    ensemble: EnsembleAccuracy | None,
    known: tuple[Contamination, Contamination] | None,
    classes: int,
) -> list[entries.Flag]:
    """Each flag once: AutoAttack's evidence, then that of the rising radii, then contamination.

    Args:
        radii: Counts at rising radii.
        ensemble: AutoAttack's counts.
        known: What tells whether the network knows the test images, and the same of the standard
            network.
        classes: How many classes there are.
    """
    raised = warning_flags.autoattack_flags(ensemble, classes) if ensemble else []
    names = {flag.name for flag in raised}
    if radii:
        raised = [*raised, *(f for f in warning_flags.flags(radii, classes) if f.name not in names)]
    if known:
        raised = [*raised, *warning_flags.contaminated(*known)]
    return [
        entries.Flag(name=flag.name, evidence=flag.evidence)  # type: ignore[arg-type]
        for flag in raised
    ]


def _curves(rows: pd.DataFrame, network: Network) -> list[entries.RetrainingCurve]:
    if rows.empty:
        return []
    curves = []
    own = retrain.of_own_maps(rows)
    measured = own[own["network"] == network.label]
    baseline = retrain.of_random_order(rows)
    for (mode, attribution), part in measured.groupby(["mode", "attribution"], sort=False):
        random = baseline[baseline["mode"] == mode]
        curve = entries.RetrainingCurve(
            title=ATTRIBUTIONS[attribution].title,
            attribution=attribution,
            mode=mode,
            fractions=np.sort(part["fraction"].unique()).tolist(),
            accuracy=[retrain.curve(one).tolist() for _, one in part.groupby("seed")],
            random=retrain.curve(random).tolist(),
            untouched=retrain.untouched_accuracy(rows),
        )
        curves.append(curve)
    return curves


class Evidenced(NamedTuple):
    """An entry and the outcomes behind it."""

    entry: entries.Entry
    outcomes: Outcomes


def put(board: Board, found: list[Evidenced], **options: bool) -> list[Path]:
    """Puts entries and their outcomes on a board; options, returns and errors as `Board.put`."""
    behind = {one.entry.id: one.outcomes for one in found}
    return board.put([one.entry for one in found], behind, **options)


def png(values: Array) -> str:
    """A picture as PNG, base64.

    Args:
        values: An image, `(h, w, 1 or 3)` in [0, 1], or a signed map, `(h, w)`, which is drawn in
            blue, white and red.
    """
    from matplotlib import colormaps
    from PIL import Image

    if values.ndim == 2:
        low, high = np.percentile(values, CLIP)
        largest = max(abs(low), abs(high)) or 1.0
        values = colormaps["bwr"](np.clip(values, low, high) / (2 * largest) + 0.5)[..., :3]
    pixels = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    image = Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", optimize=True)
    return base64.b64encode(buffer.getvalue()).decode()


def _pictures(plan: Plan, store: Store, network: Network) -> list[entries.Picture]:
    unit = next(plan.of(pictures.KIND, network=network, seed=0), None)
    if unit is None:
        return []
    arrays = store.arrays(unit)
    columns = (arrays[name] for name in ("labels", "predicted", "images", "maps"))
    return [
        entries.Picture(
            label=int(label), predicted=int(predicted), image=png(image), gradient=png(gradient)
        )
        for label, predicted, image, gradient in zip(*columns, strict=True)
    ]


def _environment(bodies: list[Stored]) -> entries.EnvironmentRecord:
    found = [body.environment for body in bodies]
    changed = {e["uncommitted_changes"] for e in found}
    return entries.EnvironmentRecord(
        **{k: found[0][k] for k in ("python", "platform", "processors", "backend", "packages")},
        devices=sorted({device for e in found for device in e["devices"]}),
        commits=sorted({e["commit"] for e in found if e["commit"]}),
        uncommitted_changes=None if changed == {None} else any(changed),
    )


def _model(path: Path, info: Info, name: str | None, sha256: list[str]) -> entries.ModelRecord:
    """What is recorded of a stored model.

    Args:
        path: The file.
        info: The data set.
        name: The architecture's, for a network of a run.
        sha256: Hashes of the models of all base-model seeds.
    """
    try:
        layers, parameters, multiply_adds = size(path, info.shape, info.num_classes)
    except Refused:  # a run's own network may have layers that no submission may have
        return entries.ModelRecord(architecture=name, parameters=_parameters(path), sha256=sha256)
    return entries.ModelRecord(
        architecture=f"{name}: {layers}" if name else layers,
        parameters=parameters,
        multiply_adds=multiply_adds,
        sha256=sha256,
    )


def _parameters(path: Path) -> int:
    import keras

    from pellucid.models import KERAS_LOCK

    with KERAS_LOCK:
        return int(keras.saving.load_model(path, compile=False).count_params())


def entry(
    finished: Finished,
    network: Network,
    *,
    track: entries.TrackRecord,
    card: Card,
    name: str,
    role: str,
    verified: bool,
    sha256: list[str] | None = None,
) -> Evidenced:
    """An entry from the stored results of a plan, and the outcomes behind it.

    Args:
        finished: The plan, with its tables (`tables.build`).
        network: Which network.
        track: What makes the scores comparable.
        card: The model's card.
        name: The entry's id.
        role: `"submission"`, `"reference"` or `"baseline"`.
        verified: Whether it is measured for a board.
        sha256: Hashes of the models; by default those of the stored files.

    Returns:
        The entry, sealed, and its outcomes.
    """
    plan, store = finished.plan, finished.store
    units = [unit for unit in plan.units if unit.network == network]
    bodies = {unit.key: store.stored(unit) for unit in units}
    models = [unit for unit in units if unit.kind in (train.KIND, submitted.KIND)]

    def first(kind, network=network):  # noqa: ANN001, ANN202  the values of a kind's first seed
        unit = next(plan.of(kind, network=network, seed=0), None)
        return store.values(unit) if unit else None

    radii, ensemble = first(robustness.KIND), first(autoattack.KIND)
    of_network, of_standard = first(contamination.KIND), first(contamination.KIND, STANDARD)
    measured = list(tables.scores_of(finished, network))
    behind = evidence.outcomes_of(finished, network, measured)
    found = entries.seal(
        entries.Entry(
            id=name,
            role=role,  # type: ignore[arg-type]
            verified=verified,
            track=track,
            card=card,
            model=_model(
                store.model_path(models[0]),
                plan.info,
                plan.config.model.name if role == "reference" else None,
                sha256 or [digest for unit in models for digest in bodies[unit.key].files.values()],
            ),
            classes=plan.info.num_classes,
            scores=_scores(measured),
            autoattack=_ensemble(ensemble) if ensemble else None,
            attacks=_attacks(radii) if radii else [],
            curves=_curves(finished.tables["retraining"], network),
            flags=_flags(
                radii,
                ensemble,
                (of_network, of_standard) if of_network else None,
                plan.info.num_classes,
            ),
            pictures=_pictures(plan, store, network),
            environment=_environment([bodies[unit.key] for unit in units]),
            seconds=round(sum(body.seconds for body in bodies.values()), 1),
            outcomes=outcomes.digest(behind),
        )
    )
    return Evidenced(found, behind)


NORM_NAMES = {"l2": "L2", "linf": "L∞"}


def reference_card(config: Config, network: Network, epochs: int) -> Card:
    """The card of a network of the reference grid, trained for so many epochs."""
    adversary, training = config.adversary, config.training
    name, against = "standard", ""
    if network.norm:
        loss = ", CW loss" if network.loss == "cw" else ""
        name = f"{NORM_NAMES[network.norm]} {network.epsilon:g}{loss}"
        steps = f"{adversary.steps} steps" if "steps" in options(adversary.name) else "one step"
        titles = {"pgd": "PGD", "fgsm": "FGSM", "fgsm_rs": "random-start FGSM"}
        attack = titles.get(adversary.name, adversary.name)
        against = f", every batch replaced by {attack} examples of {steps}"
        if adversary.warmup_epochs:
            against += f", whose radius rises over the first {adversary.warmup_epochs} epochs"
    return Card(
        name=name,
        authors=["reference grid"],
        licence="Apache-2.0",
        description=f"A network of the reference grid, {config.model.name}{against}.",
        training=TrainingClaim(
            norm=network.norm or "none",  # type: ignore[arg-type]
            epsilon=network.epsilon,
            loss="CW margin" if network.loss == "cw" else "cross-entropy",
            recipe=(
                f"{epochs} epochs of Adam, learning rate {training.learning_rate:g},"
                f" batches of {training.batch_size}{against}"
            ),
        ),
    )


def reference_id(network: Network) -> str:
    """The id of a network of the reference grid."""
    return f"reference-{network.label}"


def entry_id(role: str, card: Card, sha256: str) -> str:
    """The id of a model that was submitted, or of a baseline.

    The card's name and, of a submission, the first digits of the model's hash. A baseline of one
    name takes the place of an earlier one.
    """
    slug = re.sub(r"[^a-z0-9]+", "-", card.name.lower()).strip("-")[:40].strip("-")
    if role == "baseline":
        return f"baseline-{slug}"
    if not slug or slug.startswith(("reference", "baseline")):
        slug = f"model-{slug}".strip("-")
    return f"{slug}-{sha256[:ID_DIGITS]}"


def grid_entries(
    finished: Finished, *, track: entries.TrackRecord, verified: bool
) -> list[Evidenced]:
    """Entries of all networks of a run, as its reference grid."""
    fitted = next(finished.plan.of(fit.KIND), None)
    epochs = finished.plan.config.training.epochs
    if fitted:
        epochs = finished.store.values(fitted).epochs
    return [
        entry(
            finished,
            network,
            track=track,
            card=reference_card(finished.plan.config, network, epochs),
            name=reference_id(network),
            role="reference",
            verified=verified,
        )
        for network in finished.plan.networks
    ]
