"""Stored results as tidy tables: one row a measurement, with its seed; then scores and correlations from those rows."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd

from robust_interpretability.benchmark.results import caveats
from robust_interpretability.benchmark.units.plan import (
    BASELINE,
    UNTOUCHED,
    Network,
    Plan,
    Unit,
    strengths,
)
from robust_interpretability.benchmark.units.store import Store
from robust_interpretability.metrics import retraining, statistics
from robust_interpretability.metrics.statistics import Estimate

CORRELATED = ("strength", "test_accuracy")
ROBUST = ("robust_accuracy", "pgd_accuracy", "fgsm_accuracy")


def _of(plan: Plan, network: Network) -> dict[str, Any]:
    """The columns that say which network a row is about."""
    strength = network.epsilon / strengths(plan.config)[network.norm] if network.norm else 0.0
    return {
        "network": network.label,
        "norm": network.norm or "none",
        "epsilon": network.epsilon,
        "strength": strength,
        "loss": network.loss or "none",
    }


def _measured(
    plan: Plan, store: Store, kind: str
) -> Iterator[tuple[Unit, dict[str, Any], dict[str, Any]]]:
    """Each unit of a kind with its network's columns and its values."""
    for unit in plan.of(kind):
        network = unit.tags.get("network")
        columns = _of(plan, network) | {"seed": unit.tags["seed"]} if network else {}
        yield unit, columns, store.values(unit)


def training(plan: Plan, store: Store) -> pd.DataFrame:
    """Columns: network, norm, epsilon, strength, loss, seed, epoch, training_loss, training_accuracy."""
    return pd.DataFrame(
        columns
        | {
            "epoch": number,
            "training_loss": epoch["loss"],
            "training_accuracy": epoch["accuracy"],
        }
        for _, columns, values in _measured(plan, store, "train")
        for number, epoch in enumerate(values["history"], 1)
    )


def accuracy(plan: Plan, store: Store) -> pd.DataFrame:
    """Columns: ..., seed, measure, hits, examples, accuracy, change.

    Measures: train, test, robust (AutoAttack), the paper's attack by its name (pgd or fgsm), and
    noise. `change` is the mean norm of the paper's attack, in pixel units.
    """
    paper = plan.config.evaluation.name
    robust = {
        (unit.tags["network"], unit.tags["seed"]): values
        for unit, _, values in _measured(plan, store, "autoattack")
    }
    rows = []
    for unit, columns, values in _measured(plan, store, "accuracy"):
        counts = {"train": values["train"], "test": values["test"]}
        if attacked := robust.get((unit.tags["network"], unit.tags["seed"])):
            counts["robust"] = [attacked["robust"], attacked["examples"]]
        counts |= {paper: values["robust"], "noise": values["noise"]}
        rows += [
            columns
            | {
                "measure": measure,
                "hits": hits,
                "examples": n,
                "accuracy": hits / n,
                "change": values["mean_change"] if measure == paper else np.nan,
            }
            for measure, (hits, n) in counts.items()
        ]
    return pd.DataFrame(rows)


def autoattack(plan: Plan, store: Store) -> pd.DataFrame:
    """Columns: ..., seed, attack, loss, steps, broken, hits, examples, accuracy, low, high; after each attack."""
    names = ("attack", "loss", "steps", "broken", "hits", "accuracy", "low", "high")
    return pd.DataFrame(
        columns | {"examples": values["examples"]} | {name: row[name] for name in names}
        for _, columns, values in _measured(plan, store, "autoattack")
        for row in values["attacks"]
    )


def manifold(plan: Plan, store: Store) -> pd.DataFrame:
    """Columns: ..., seed, attack_loss, image, kept, change (L2, pixel units), and three distances (paper units)."""
    frames = []
    for unit, columns, _ in _measured(plan, store, "manifold"):
        arrays = store.arrays(unit)
        frame = pd.DataFrame({"image": np.arange(len(arrays["kept"])), **arrays})
        frames.append(frame.assign(**columns, attack_loss=unit.tags["attack_loss"]))
    if not frames:
        return pd.DataFrame()
    front = [
        "network",
        "norm",
        "epsilon",
        "strength",
        "loss",
        "seed",
        "attack_loss",
        "image",
        "kept",
        "change",
    ]
    distances = ["clean_distance", "adversarial_distance", "noise_distance"]
    return pd.concat(frames, ignore_index=True)[front + distances]


def retrained(plan: Plan, store: Store) -> pd.DataFrame:
    """Columns: ..., seed (of the base model), attribution, mode, fraction, repeat, training_seed, hits, ..., accuracy.

    The random baseline and the untouched images have no base model: their network is `none` and
    their seed -1.
    """
    nobody = {
        "network": "none",
        "norm": "none",
        "epsilon": 0.0,
        "strength": 0.0,
        "loss": "none",
        "seed": -1,
    }
    return pd.DataFrame(
        (columns or nobody)
        | {k: unit.tags[k] for k in ("attribution", "mode", "fraction", "repeat")}
        | {"training_seed": values["seed"], "hits": values["hits"], "examples": values["examples"]}
        | {"accuracy": values["hits"] / values["examples"]}
        for unit, columns, values in _measured(plan, store, "retrain")
    )


def manifold_model(plan: Plan, store: Store) -> pd.DataFrame:
    """Columns: measure, value: errors of the manifold model on test images and of a PCA as large, pixel units."""
    names = ("mean_squared_error", "pca_mean_squared_error", "variance")
    return pd.DataFrame(
        {"measure": name, "value": values[name]}
        for _, _, values in _measured(plan, store, "vae_gan")
        for name in names
    )


def tilt(plan: Plan, store: Store) -> pd.DataFrame:
    """Columns: ..., seed, angle (degrees), fooled, examples, mean_change (L2, pixel units)."""
    names = ("angle", "fooled", "examples", "mean_change")
    return pd.DataFrame(
        columns | {name: values[name] for name in names}
        for _, columns, values in _measured(plan, store, "tilt")
    )


def curve(rows: pd.DataFrame) -> np.ndarray:
    """Accuracies of one curve as `(repeats, fractions)`, in order."""
    return rows.pivot(index="repeat", columns="fraction", values="accuracy").sort_index().to_numpy()


def _accuracy_scores(rows: pd.DataFrame) -> Iterator[tuple[str, Estimate]]:
    for measure, part in rows.groupby("measure", sort=False):
        if len(part) == 1:
            estimate = statistics.proportion(part["hits"].iloc[0], part["examples"].iloc[0])
        else:
            estimate = statistics.mean(part["accuracy"].to_numpy())
        yield f"{measure}_accuracy", estimate


def _manifold_scores(rows: pd.DataFrame) -> Iterator[tuple[str, Estimate]]:
    if rows.empty:
        return
    for loss, part in rows.groupby("attack_loss", sort=False):
        per_image = part.groupby("image")[
            ["clean_distance", "adversarial_distance", "noise_distance"]
        ].mean()
        adversarial = per_image["adversarial_distance"]
        kept = part.loc[part["kept"], "adversarial_distance"]
        if len(kept):
            yield f"manifold_{loss}_kept_distance", statistics.mean(kept.to_numpy())
        yield (
            f"manifold_{loss}_excess",
            statistics.mean((adversarial - per_image["clean_distance"]).to_numpy()),
        )
        yield (
            f"manifold_{loss}_noise_excess",
            statistics.mean((per_image["noise_distance"] - per_image["clean_distance"]).to_numpy()),
        )
        yield (
            f"manifold_{loss}_excess_over_noise",
            statistics.mean((adversarial - per_image["noise_distance"]).to_numpy()),
        )


def _retraining_scores(
    rows: pd.DataFrame, baseline: pd.DataFrame
) -> Iterator[tuple[str, Estimate]]:
    if rows.empty:
        return
    for (mode, attribution), part in rows.groupby(["mode", "attribution"], sort=False):
        curves = [curve(one) for _, one in part.groupby("seed")]
        weights = retraining.score_weights(np.sort(part["fraction"].unique()))
        random = curve(baseline[baseline["mode"] == mode])
        sign = 1 if mode == "kar" else -1
        yield (
            f"{mode}_{attribution}",
            statistics.area_difference(curves, random, weights, sign=sign),
        )


def scores(plan: Plan, tables: dict[str, pd.DataFrame]) -> pd.DataFrame:
    """Columns: network, norm, epsilon, strength, loss, score, value, low, high, n; an average over seeds."""

    def about(name: str, network: Network) -> pd.DataFrame:
        table = tables[name]
        return table[table["network"] == network.label] if len(table) else table

    rows = []
    for network in plan.networks:
        columns = _of(plan, network)
        found = [
            *_accuracy_scores(about("accuracy", network)),
            *_manifold_scores(about("manifold", network)),
        ]
        tilts = about("tilt", network)
        if len(tilts):
            found.append(("tilt", statistics.mean(tilts["angle"].to_numpy())))
        table = tables["retraining"]
        if len(table):
            baseline = table[table["attribution"] == BASELINE]
            found += _retraining_scores(about("retraining", network), baseline)
        rows += [columns | {"score": name} | estimate._asdict() for name, estimate in found]
    return pd.DataFrame(rows)


def correlations(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns: score, against (strength or test_accuracy), norm, loss, n, pearson, ..., intercept.

    A series is the networks of one norm and training loss, with the standard network.
    """
    wide = scores.pivot(index="network", columns="score", values="value")
    networks = scores.drop_duplicates("network").set_index("network")
    wide = wide.join(networks[["norm", "epsilon", "strength", "loss"]])
    measured = [s for s in scores["score"].unique() if not s.endswith("_accuracy") or s in ROBUST]
    series = networks.loc[networks["norm"] != "none", ["norm", "loss"]].drop_duplicates()
    rows = []
    for norm, loss in series.itertuples(index=False):
        member = (wide["norm"] == "none") | ((wide["norm"] == norm) & (wide["loss"] == loss))
        for score in measured:
            part = wide[member & wide[score].notna()]
            if len(part) < 2:
                continue
            for against in CORRELATED:
                found = statistics.correlation(part[against].to_numpy(), part[score].to_numpy())
                rows.append(
                    {"score": score, "against": against, "norm": norm, "loss": loss}
                    | found._asdict()
                )
    return pd.DataFrame(rows)


def untouched_accuracy(rows: pd.DataFrame) -> float:
    """Mean accuracy of the retraining budget on untouched images: the curves' end point."""
    return float(rows.loc[rows["attribution"] == UNTOUCHED, "accuracy"].mean())


def build(plan: Plan, store: Store) -> dict[str, pd.DataFrame]:
    """All tables of a finished run, by name."""
    tables = {
        "training": training(plan, store),
        "accuracy": accuracy(plan, store),
        "autoattack": autoattack(plan, store),
        "manifold": manifold(plan, store),
        "manifold_model": manifold_model(plan, store),
        "tilt": tilt(plan, store),
        "retraining": retrained(plan, store),
    }
    tables["scores"] = scores(plan, tables)
    tables["correlations"] = correlations(tables["scores"])
    facts = {
        "classes": plan.info.num_classes,
        "train_images": plan.info.train_size,
        "test_images": plan.info.test_size,
    }
    tables["dataset"] = pd.DataFrame({"measure": list(facts), "value": list(facts.values())})
    tables["remarks"] = caveats.build(plan.config, tables)
    return tables
