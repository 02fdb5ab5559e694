"""One network's stored results as an entry of the leaderboard: every score with its interval and what it rests on."""

import base64
import io
import itertools
import math
import re
from typing import Any

import numpy as np
import pandas as pd

from robust_interpretability.benchmark.config.configuration import Config
from robust_interpretability.benchmark.results import tables
from robust_interpretability.benchmark.robustness import flags as warning_flags
from robust_interpretability.benchmark.units.plan import BASELINE, Network, Plan, Unit
from robust_interpretability.benchmark.units.store import Store
from robust_interpretability.leaderboard import entry as entries
from robust_interpretability.leaderboard.card import Card, Training
from robust_interpretability.metrics import retraining, statistics

Tables = dict[str, pd.DataFrame]


def _number(value: float) -> float | None:
    return None if math.isnan(value) else float(value)


def _scores(plan: Plan, found: Tables, network: Network) -> dict[str, entries.Score]:
    seeds = plan.config.seeds
    repeats = plan.config.retraining.repeats if plan.config.retraining else 1
    rows = found["scores"]
    return {
        r.score: entries.Score(
            value=float(r.value),
            low=_number(r.low),
            high=_number(r.high),
            n=int(r.n),
            seeds=seeds * repeats if r.score.startswith(("roar_", "kar_")) else seeds,
        )
        for r in rows[rows["network"] == network.label].itertuples()
        if not math.isnan(r.value)
    }


def _accuracy(hits: float, examples: int) -> entries.Score:
    found = statistics.proportion(int(hits), examples)
    return entries.Score(value=found.value, low=found.low, high=found.high, n=examples, seeds=1)


def _attacks(values: dict[str, Any]) -> list[entries.Attacked]:
    return [
        entries.Attacked(
            **{k: row[k] for k in ("attack", "norm", "epsilon", "loss", "steps")},
            accuracy=_accuracy(row["hits"], values["examples"]),
        )
        for row in values["attacks"]
    ]


def _ensemble(values: dict[str, Any]) -> entries.Ensemble:
    n = values["examples"]
    return entries.Ensemble(
        **{k: values[k] for k in ("version", "norm", "epsilon", "seed", "gradients", "forwards")},
        clean=_accuracy(values["clean"], n),
        attacks=[
            entries.AfterAttack(
                **{k: row[k] for k in ("attack", "loss", "steps")},
                accuracy=_accuracy(row["hits"], n),
            )
            for row in values["attacks"]
        ],
    )


def _flags(
    robustness: dict[str, Any] | None, ensemble: dict[str, Any] | None, classes: int
) -> list[entries.Flag]:
    """Each flag once: AutoAttack's evidence, then that of the rising radii."""
    raised = warning_flags.autoattack_flags(ensemble, classes) if ensemble else []
    known = {name for name, _ in raised}
    if robustness:
        raised += [
            (name, evidence)
            for name, evidence in warning_flags.flags(robustness, classes)
            if name not in known
        ]
    return [entries.Flag(name=name, evidence=evidence) for name, evidence in raised]  # type: ignore[arg-type]


def _curves(found: Tables, network: Network) -> list[entries.Curve]:
    rows = found["retraining"]
    if rows.empty:
        return []
    curves = []
    for (mode, attribution), part in rows[rows["network"] == network.label].groupby(
        ["mode", "attribution"], sort=False
    ):
        random = rows[(rows["attribution"] == BASELINE) & (rows["mode"] == mode)]
        curves.append(
            entries.Curve(
                attribution=attribution,
                mode=mode,
                fractions=np.sort(part["fraction"].unique()).tolist(),
                accuracy=[tables.curve(one).tolist() for _, one in part.groupby("seed")],
                random=tables.curve(random).tolist(),
                untouched=tables.untouched_accuracy(rows),
            )
        )
    return curves


def curve_score(curve: entries.Curve) -> statistics.Estimate:
    """The ROAR or KAR score that follows from an entry's curve, interval included."""
    weights = retraining.score_weights(np.array(curve.fractions))
    own = [np.array(seed) for seed in curve.accuracy]
    sign = 1 if curve.mode == "kar" else -1
    return statistics.area_difference(own, np.array(curve.random), weights, sign=sign)


def recheck(entry: entries.Entry) -> str | None:
    """What is wrong with an entry's scores, seen from what they rest on; None where they follow from it."""
    for curve in entry.curves:
        name = f"{curve.mode}_{curve.attribution}"
        said, found = entry.scores.get(name), curve_score(curve)
        given = (
            [math.nan if v is None else v for v in (said.value, said.low, said.high)]
            if said
            else []
        )
        if not given or not np.allclose(given, found[:3], rtol=0, atol=1e-9, equal_nan=True):
            return (
                f"{name} is said to be {said.value if said else 'absent'}; its curves give"
                f" {found.value:.6g}"
            )
    for score in [v for k, v in entry.scores.items() if k.endswith("_accuracy")] + [
        a.accuracy for a in entry.attacks
    ]:
        hits = score.value * score.n
        if score.seeds == 1 and abs(hits - round(hits)) > 1e-6:
            return f"an accuracy of {score.value} is no whole number of {score.n} images"
    if problem := _recheck_ensemble(entry):
        return problem
    if any(name.startswith(("roar_", "kar_")) for name in entry.scores) and not entry.curves:
        return "it has ROAR or KAR scores without curves"
    return None


def _recheck_ensemble(entry: entries.Entry) -> str | None:
    """What is wrong with robust accuracy, seen from the attacks it rests on."""
    said, found = entry.scores.get("robust_accuracy"), entry.autoattack
    if said is None:
        return None
    if found is None:
        return "it has a robust accuracy without AutoAttack"
    steps = [found.clean.value, *(a.accuracy.value for a in found.attacks)]
    if any(after > before for before, after in itertools.pairwise(steps)):
        return "its accuracy rises from one attack of AutoAttack to the next"
    if said.seeds == 1 and abs(said.value - steps[-1]) > 1e-9:
        return (
            f"robust_accuracy is said to be {said.value}; after its last attack it is {steps[-1]}"
        )
    return None


def png(values: np.ndarray) -> str:
    """An image, `(h, w, 1 or 3)` in [0, 1], or a signed map, `(h, w)`, in blue, white and red; as PNG, base64."""
    from matplotlib import colormaps
    from PIL import Image

    if values.ndim == 2:
        from robust_interpretability.benchmark.results.figures.images import CLIP

        low, high = np.percentile(values, CLIP)
        largest = max(abs(low), abs(high)) or 1.0
        values = colormaps["bwr"](np.clip(values, low, high) / (2 * largest) + 0.5)[..., :3]
    pixels = np.round(np.clip(values, 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(
        buffer, "PNG", optimize=True
    )
    return base64.b64encode(buffer.getvalue()).decode()


def _pictures(plan: Plan, store: Store, network: Network) -> list[entries.Picture]:
    unit = next(plan.of("pictures", network=network, seed=0), None)
    if unit is None:
        return []
    arrays = store.arrays(unit)
    return [
        entries.Picture(
            label=int(label), predicted=int(predicted), image=png(image), gradient=png(gradient)
        )
        for label, predicted, image, gradient in zip(
            arrays["labels"], arrays["predicted"], arrays["images"], arrays["maps"], strict=True
        )
    ]


def _environment(bodies: list[dict[str, Any]]) -> entries.Environment:
    found = [body["environment"] for body in bodies]
    first = {k: found[0][k] for k in ("python", "platform", "processors", "backend", "packages")}
    changed = {e["uncommitted_changes"] for e in found}
    return entries.Environment(
        **first,
        devices=sorted({device for e in found for device in e["devices"]}),
        commits=sorted({e["commit"] for e in found if e["commit"]}),
        uncommitted_changes=None if changed == {None} else any(changed),
    )


def _parameters(store: Store, unit: Unit) -> int:
    import keras

    from robust_interpretability.models import KERAS_LOCK

    with KERAS_LOCK:
        return int(keras.saving.load_model(store.model_path(unit), compile=False).count_params())


def entry(
    plan: Plan,
    store: Store,
    network: Network,
    found: Tables,
    *,
    track: entries.Track,
    card: Card,
    name: str,
    role: str,
    verified: bool,
    sha256: list[str] | None = None,
) -> entries.Entry:
    """An entry from the stored results of a plan.

    Args:
        plan: The plan, done.
        store: Its results.
        network: Which network.
        found: The plan's tables (`tables.build`).
        track: What makes the scores comparable.
        card: The model's card.
        name: The entry's id.
        role: `"submission"` or `"reference"`.
        verified: Whether it is measured for a board.
        sha256: Hashes of the models; those of the stored files where not given.

    Returns:
        The entry, sealed.
    """
    own = [unit for unit in plan.units if unit.tags.get("network") == network]
    bodies = {unit.key: store.body(unit) for unit in own}
    models = [u for u in own if u.kind in ("train", "submitted")]
    values, ensemble = (
        next((bodies[u.key]["values"] for u in own if u.kind == kind and u.tags["seed"] == 0), None)
        for kind in ("robustness", "autoattack")
    )
    return entries.seal(
        entries.Entry(
            id=name,
            role=role,  # type: ignore[arg-type]
            verified=verified,
            track=track,
            card=card,
            model=entries.Model(
                parameters=_parameters(store, models[0]),
                sha256=sha256
                or [digest for u in models for digest in bodies[u.key]["files"].values()],
            ),
            scores=_scores(plan, found, network),
            autoattack=_ensemble(ensemble) if ensemble else None,
            attacks=_attacks(values) if values else [],
            curves=_curves(found, network),
            flags=_flags(values, ensemble, plan.info.num_classes),
            pictures=_pictures(plan, store, network),
            environment=_environment([bodies[u.key] for u in own]),
            seconds=round(sum(body["seconds"] for body in bodies.values()), 1),
        )
    )


def reference_card(config: Config, network: Network) -> Card:
    """The card of a network of the reference grid."""
    adversary = config.adversary
    steps = f"{adversary.steps} steps" if adversary.name == "pgd" else "one step"
    words = {"pgd": "PGD", "fgsm": "FGSM", "fgsm_rs": "random-start FGSM"}[adversary.name]
    against = f", every batch replaced by {words} examples of {steps}" if network.norm else ""
    names = {"l2": "L2", "linf": "Linf"}
    return Card(
        name=(
            f"{names[network.norm]} {network.epsilon:g}, {network.loss}"
            if network.norm
            else "standard"
        ),
        authors=["reference grid"],
        licence="Apache-2.0",
        description=f"{config.model.name}, {config.training.epochs} epochs of Adam{against}.",
        training=Training.model_validate(
            {
                "norm": network.norm or "none",
                "epsilon": network.epsilon,
                "loss": network.loss or "xent",
            }
        ),
    )


def reference_id(network: Network) -> str:
    """The id of a network of the reference grid."""
    return f"reference-{network.label}"


def submission_id(card: Card, sha256: str) -> str:
    """The id of a submitted model: the card's name and the first digits of the model's hash."""
    slug = re.sub(r"[^a-z0-9]+", "-", card.name.lower()).strip("-")[:40].strip("-")
    if not slug or slug.startswith("reference"):
        slug = f"model-{slug}".strip("-")
    return f"{slug}-{sha256[:16]}"


def grid_entries(
    plan: Plan, store: Store, found: Tables, *, track: entries.Track, verified: bool
) -> list[entries.Entry]:
    """Entries of all networks of a run, as its reference grid."""
    return [
        entry(
            plan,
            store,
            network,
            found,
            track=track,
            card=reference_card(plan.config, network),
            name=reference_id(network),
            role="reference",
            verified=verified,
        )
        for network in plan.networks
    ]
