"""Stored results as tidy tables: one row per measurement, with its seed; then scores from them."""

from collections.abc import Iterator

import pandas as pd

from pellucid.benchmark.data.dataset import PUBLISHED
from pellucid.benchmark.results import agreement, caveats, controls, distances, groups, trust
from pellucid.benchmark.units.kind import Finished, Measured
from pellucid.benchmark.units.kinds import KINDS
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import Network
from pellucid.metrics import statistics

Tables = dict[str, pd.DataFrame]

CLASS_SEPARATOR = "; "
"""Between the names of classes in the table of the data set."""
SWEPT = "swept."
"""What columns of swept values begin with."""
CORRELATED = ("strength", "test_accuracy")
"""What scores are correlated with."""
FITS = ("train_accuracy", "test_accuracy")
"""What a reader must know of a network beside any score."""
ROBUST = ("robust_accuracy", "pgd_accuracy", "fgsm_accuracy")
"""Accuracies that are correlated; test accuracy is what they are correlated with."""


def scores_of(finished: Finished, network: Network) -> Iterator[Measured]:
    """All scores of one network; an average over seeds."""
    for kind in KINDS:
        yield from kind.scores(finished, network.label)


def scores(finished: Finished) -> pd.DataFrame:
    """Columns: network, norm, epsilon, strength, loss, score, value, low, high, n, ..._accuracy.

    `train_accuracy` and `test_accuracy` of the network stand beside every score.
    """
    rows = []
    for network in finished.plan.networks:
        measured = list(scores_of(finished, network))
        found = {m.name: m.estimate for m in measured}
        if len(found) < len(measured):
            raise ValueError(f"two scores of {network.label} have one name")
        fits = {name: found[name].value for name in FITS if name in found}
        about = finished.plan.columns(network)
        rows += [about | {"score": name} | e._asdict() | fits for name, e in found.items()]
    return pd.DataFrame(rows)


def correlations(scores: pd.DataFrame) -> pd.DataFrame:
    """Columns: score, against (strength or test_accuracy), norm, loss, n, pearson, ..., intercept.

    A series is the networks of one norm and training loss, with the standard network.
    """
    wide = scores.pivot(index="network", columns="score", values="value")
    networks = scores.drop_duplicates("network").set_index("network")
    wide = wide.join(networks[["norm", "epsilon", "strength", "loss"]])
    names = scores["score"].unique()
    measured = [name for name in names if not name.endswith("_accuracy") or name in ROBUST]
    series = networks.loc[networks["norm"] != "none", ["norm", "loss"]].drop_duplicates()
    rows = []
    for norm, loss in series.itertuples(index=False):
        member = (wide["norm"] == "none") | ((wide["norm"] == norm) & (wide["loss"] == loss))
        for name in measured:
            part = wide[member & wide[name].notna()]
            if len(part) < 2:
                continue
            for against in CORRELATED:
                found = statistics.correlation(part[against].to_numpy(), part[name].to_numpy())
                about = {"score": name, "against": against, "norm": norm, "loss": loss}
                rows.append(about | found._asdict())
    return pd.DataFrame(rows)


def dataset(plan: Plan) -> pd.DataFrame:
    """Columns: measure, value: numbers of classes and images, and where the images come from.

    The names of the classes too, where they are not numbers.
    """
    info = plan.info
    facts = {
        "classes": str(info.num_classes),
        "train_images": str(info.train_size),
        "test_images": str(info.test_size),
        "source": info.source,
        "folder": info.folder or "",
    }
    if any(not name.isdigit() for name in info.class_names):
        facts["class_names"] = CLASS_SEPARATOR.join(info.class_names)
    return pd.DataFrame({"measure": list(facts), "value": list(facts.values())})


def class_names(table: pd.DataFrame, name: str) -> list[str]:
    """Names of the classes; `class 3` where none are known.

    Args:
        table: The table of the data set.
        name: The data set's name.
    """
    facts = table.set_index("measure")["value"]
    if "class_names" in facts:
        return str(facts["class_names"]).split(CLASS_SEPARATOR)
    if name in PUBLISHED:
        return list(PUBLISHED[name])  # results from before the table had names
    return [f"class {number}" for number in range(int(facts["classes"]))]


def build(plan: Plan, store: Store) -> Finished:
    """A finished run with all its tables."""
    tables = {
        name: pd.DataFrame(rows(plan, store)) for kind in KINDS for name, rows in kind.rows.items()
    }
    finished = Finished(plan, store, tables)
    tables["scores"] = scores(finished)
    collapsed = controls.at_chance(finished)
    learned = tables["scores"][~tables["scores"]["network"].isin(collapsed)]
    tables["correlations"] = correlations(learned)
    tables["agreement"] = agreement.rank_agreement(learned)
    tables["controls"] = controls.orders(finished)
    tables["rises"] = controls.rises(finished)
    tables["verdicts"] = controls.verdicts(finished)
    tables["groups"] = groups.groups(finished)
    tables["trust"] = trust.of_run(finished)
    tables["distances"] = distances.of_networks(tables["manifold"], tables["off_manifold"])
    tables["dataset"] = dataset(plan)
    tables["remarks"] = caveats.build(plan.config, tables)
    return finished
