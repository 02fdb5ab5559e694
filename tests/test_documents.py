"""Documents: links, lengths of lines, and that sentences on results follow from the tables."""

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from pellucid.benchmark.findings import runs
from pellucid.benchmark.findings.standing import standings
from pellucid.benchmark.results.controls import DOES_NOT, SURVIVES, UNCLEAR
from pellucid.metrics import statistics
from tests.conftest import ROOT

DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *(
        ROOT / "docs" / "results" / f"{name}.md"
        for name in ("README", "findings", "findings-tables", "reduced-scale")
    ),
]
LINK = re.compile(r"\]\(([^)#\s]*)(?:#([^)\s]+))?\)")


def anchors(path: Path) -> set[str]:
    """Of a document's headings, as GitHub makes them."""
    headings = re.findall(r"^#+ (.*)$", path.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_somewhere(path):
    for target, anchor in LINK.findall(path.read_text()):
        if "://" in target:
            continue
        linked = path.parent / target if target else path
        assert linked.exists(), f"{path.name} links to {target}"
        if anchor and linked.suffix == ".md":
            assert anchor in anchors(linked), f"{path.name} links to {target}#{anchor}"


@pytest.mark.parametrize(
    "path",
    [path for path in DOCUMENTS if not path.stem.startswith("findings")],  # which a command writes
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_lines_of_text_are_short(path):
    """Tables, code and images apart."""
    text = re.sub(r"^```.*?^```", "", path.read_text(), flags=re.MULTILINE | re.DOTALL)
    long = [line for line in text.splitlines() if len(line) > 100]
    assert [line for line in long if not line.lstrip().startswith(("|", "!["))] == []


def test_the_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150


def test_what_is_said_of_roar_and_diffroar_is_what_the_verdicts_say():
    """The caption of the README's picture, and that of the results' second one."""
    names = ("quick", "reduced-mnist", "reduced-fashion-mnist", "reduced-cifar10")
    found = [
        standing
        for run in runs.read([ROOT / "docs" / "results" / name for name in names]).runs
        for standing in standings(run)
    ]
    words = dict(
        enumerate(["none", "one", "two", "three", "four", "five", "six", "seven", "eight"])
    )
    roar = [standing for standing in found if standing.score == "roar_gradient"]
    readme = " ".join((ROOT / "README.md").read_text().split())
    up = words[sum(standing.first.goes_up for standing in roar)]
    outcomes = Counter(standing.outcome for standing in roar)
    assert f"beyond chance in {up} series of {words[len(roar)]}. But" in readme
    assert f"in {words[outcomes[DOES_NOT]]} series one of them rises by more than half" in readme
    assert f"in the other {words[outcomes[UNCLEAR]]} the intervals are too wide" in readme
    assert outcomes[DOES_NOT] + outcomes[UNCLEAR] == len(roar)

    diffroar = [standing for standing in found if standing.score == "diffroar_gradient"]
    results = " ".join((ROOT / "docs" / "results" / "README.md").read_text().split())
    assert all(standing.first.goes_up for standing in diffroar)
    assert f"rises in all {words[len(diffroar)]} series" in results
    cifar = [s for s in diffroar if s.series.startswith("CIFAR-10")]
    left_open = {
        (control, verdict)
        for one in cifar
        for side in one.sides.values()
        for control, verdict in side.verdicts.items()
        if verdict != SURVIVES
    }
    assert len(cifar) == 2
    assert left_open == {("blurred", UNCLEAR), ("shuffled_within", UNCLEAR)}
    assert "On CIFAR-10 no control is shown to explain more than half of it" in results


def test_what_is_said_of_the_truth_is_what_its_table_says():
    """The caption of the results' first picture."""
    table = pd.read_csv(ROOT / "docs" / "results" / "ground-truth" / "trust.csv")
    above = table.assign(above=table["low"] > 0).groupby(["over", "score"])["above"]
    everywhere = {over: set(s[s].reset_index()["score"]) for over, s in above.all().groupby("over")}
    assert everywhere["attributions"] == {"road"}
    assert everywhere["networks"] == set()
    assert above.sum()["networks", "strength"] == 2
    assert table["truth"].nunique() == 3
    results = " ".join((ROOT / "docs" / "results" / "README.md").read_text().split())
    assert (
        "ROAD alone agrees with every truth over attributions; over networks none does" in results
    )
    assert "nearer the truth by two of three truths" in results

    of_digits = pd.read_csv(ROOT / "docs" / "results" / "ground-truth-mnist" / "trust.csv")
    agrees = of_digits.assign(above=of_digits["low"] > 0).groupby(["over", "score"])["above"].all()
    assert not agrees["attributions"].any()
    assert set(agrees["networks"][agrees["networks"]].index) == {"max_sensitivity", "strength"}
    assert "and over networks max-sensitivity alone, as attack strength does" in results


def test_what_is_said_of_agreement_is_what_the_tables_say():
    """The caption of the figure of rank agreement: by intervals over the four runs."""
    rho: dict[frozenset[str], list[float]] = {}
    for name in ("quick", "reduced-mnist", "reduced-fashion-mnist", "reduced-cifar10"):
        for row in pd.read_csv(ROOT / "docs" / "results" / name / "agreement.csv").itertuples():
            rho.setdefault(frozenset((row.score, row.other)), []).append(row.spearman)
    found = {pair: statistics.mean(np.array(v)) for pair, v in rho.items() if len(v) == 4}
    certain = {pair for pair, mean in found.items() if mean.low > 0 or mean.high < 0}
    assert not any("test_accuracy" in pair for pair in certain)
    for score in ("alignment", "max_sensitivity_gradient"):
        assert frozenset((score, "robust_accuracy")) in certain
    results = " ".join((ROOT / "docs" / "results" / "README.md").read_text().split())
    assert "Alignment and max-sensitivity follow robust accuracy; none is shown to" in results
