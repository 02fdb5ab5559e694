"""The figures of the findings show the tables' numbers, and no raw names."""

import re
from pathlib import Path

import numpy as np
import pytest

from pellucid.benchmark.findings import figures, report
from pellucid.benchmark.results.figures import style
from tests.benchmark.made_findings import DOES_NOT, SURVIVES, always, sources, trust

RAW = re.compile(r"linf|_|nan")


@pytest.fixture
def drawn(monkeypatch) -> dict:
    """What would have been saved, by name."""
    kept = {}

    def save(made, folder, name):
        made.canvas.draw()
        kept[name] = made
        return [folder / f"{name}.png", folder / f"{name}.svg"]

    monkeypatch.setattr(style, "save", save)
    return kept


def texts(made) -> set[str]:
    """Everything that is written in a figure."""
    from matplotlib.text import Text

    return {text.get_text() for text in made.findobj(Text)}


def points(axis) -> set[tuple[float, float]]:
    """Marks of one point each, rounded."""
    return {
        (round(float(line.get_xdata()[0]), 6), round(float(line.get_ydata()[0]), 6))
        for line in axis.lines
        if len(line.get_xdata()) == 1
    }


def test_at_most_five_each_of_one_thing(drawn):
    found = sources(always(DOES_NOT), always(SURVIVES))._replace(trust={"known": trust()})
    made = list(figures.drawings(Path("there"), found))
    assert list(drawn) == [
        "findings_roar",
        "findings_kar",
        "findings_diffroar",
        "findings_specific",
        "trust",
    ]
    assert len({title for _, title in made}) == len(made) == 5
    for figure in drawn.values():
        assert not [text for text in texts(figure) if RAW.search(text)]
        assert 7 <= figure.get_figwidth() <= 10
    assert {"CIFAR-10 L2", "MNIST L∞", "does not survive", "survives"} <= texts(
        drawn["findings_roar"]
    )
    both = "CIFAR-10, MNIST: reduced scale, 7 networks, 3 seeds; bars: 95 % intervals"
    assert both in texts(drawn["findings_kar"])
    assert {"ROAD", "infidelity (low)", "over networks", "attack strength"} <= texts(drawn["trust"])
    assert any("(low): less is better" in text for text in texts(drawn["trust"]))


def test_the_forest_has_every_rise_at_its_place(drawn):
    """Own map on top, under the mean fill above the middle and imputed below it."""
    found = sources(always(DOES_NOT, 0.1))
    table = found.runs[0].tables["verdicts"]
    blurred = (table["control"] == "blurred") & (table["score"] == "roar_gradient")
    table.loc[blurred & (table["norm"] == "linf"), "control_rise"] = -0.3
    figures.rises(Path("there"), found.runs, "roar", "gradient")
    first, second = drawn["findings_roar"].axes
    names = [label.get_text() for label in first.get_yticklabels()]
    assert names[:3] == ["own map: ROAR", "mean training map", "own map, blurred"]
    apart = figures.APART
    assert {(0.1, -apart), (0.1, apart), (0.09, 1 - apart), (0.09, 2 - apart)} <= points(first)
    assert (-0.3, 2 - apart) in points(second)
    assert (-0.3, 2 - apart) not in points(first)
    assert not [y for _, y in points(first) if y == 1 + apart]  # the mean map is not imputed
    halves = [line for line in first.lines if set(line.get_xdata()) == {0.05}]
    assert len(halves) == 2


def test_a_series_that_does_not_rise_has_no_half(drawn):
    figures.rises(Path("there"), sources(always(DOES_NOT, 0.0)).runs, "roar", "gradient")
    first = drawn["findings_roar"].axes[0]
    assert len([line for line in first.lines if line.get_linestyle() in ("--", ":")]) == 0


def test_scores_are_drawn_at_their_values(drawn):
    found = sources(always(DOES_NOT))
    scores = found.runs[0].tables["scores"]
    figures.specific(Path("there"), found.runs, "gradient")

    def values(score: str, norm: str) -> list[float]:
        rows = scores[(scores["score"] == score) & scores["norm"].isin(["none", norm])]
        return rows.sort_values("strength")["value"].tolist()

    roar, kar = drawn["findings_specific"].axes
    for axis, mode in ((roar, "roar"), (kar, "kar")):
        lines = [list(line.get_ydata()) for line in axis.lines if len(line.get_xdata()) == 4]
        for norm in ("l2", "linf"):
            for end in ("", "-imputed"):
                assert values(f"specific_{mode}_gradient-within{end}", norm) in lines


def test_what_was_not_measured_is_not_drawn(drawn):
    found = sources(always(DOES_NOT))
    scores = found.runs[0].tables["scores"]
    found.runs[0].tables["scores"] = scores[~scores["score"].str.startswith("specific")]
    list(figures.drawings(Path("there"), found))
    assert list(drawn) == ["findings_roar", "findings_kar", "findings_diffroar"]


def test_imputation_alone_is_drawn(drawn):
    found = sources(always(DOES_NOT))
    for name in ("verdicts", "scores"):
        table = found.runs[0].tables[name]
        of_retraining = table["score"].str.contains("roar|kar")
        kept = ~of_retraining | table["score"].str.endswith("-imputed")
        found.runs[0].tables[name] = table[kept]
    list(figures.drawings(Path("there"), found))
    assert list(drawn)[:2] == ["findings_roar", "findings_kar"]
    assert points(drawn["findings_roar"].axes[0])


def test_which_scores_agree_in_every_run(drawn):
    """The mean of .9, .5 and .7 by hand; one run has no scores that the others lack."""
    found = sources(always(DOES_NOT), always(DOES_NOT), always(DOES_NOT))
    alike = [run.tables["agreement"] for run in found.runs]
    pair = ["roar_gradient", "gini_gradient"]
    for table, rho in zip(alike, (0.9, 0.5, 0.7), strict=True):
        table.loc[table[["score", "other"]].eq(pair).all(axis=1), "spearman"] = rho
    alike[2].loc[len(alike[2])] = ["roar_gradient", "alignment", 7, 0.1]
    paths, title = figures.agreement(Path("there"), found)
    assert [path.name for path in paths] == ["rank_agreement.png", "rank_agreement.svg"]
    assert title.endswith("mean over CIFAR-10, MNIST and Fashion-MNIST")
    axis = drawn["rank_agreement"].axes[0]
    labels = [label.get_text() for label in axis.get_xticklabels()]
    assert sorted(labels) == ["Gini index (Gradient)", "KAR (Gradient)", "ROAR (Gradient)"]
    shown = axis.images[0].get_array()
    row, column = labels.index("ROAR (Gradient)"), labels.index("Gini index (Gradient)")
    assert shown[row, column] == pytest.approx(0.7)
    assert "0.7" in {text.get_text() for text in axis.texts}
    alike[1]["spearman"] *= -1
    figures.agreement(Path("there"), found)
    assert drawn["rank_agreement"].axes[0].images[0].get_array()[0, 1] == 0  # not told from 0
    assert figures.agreement(Path("there"), sources(always(DOES_NOT)))[0] == []


def test_the_same_bytes_twice_and_the_report_names_every_picture(tmp_path, monkeypatch):
    found = sources(always(DOES_NOT))
    monkeypatch.setattr(report.runs, "read", lambda folders: found)
    # one of the figures stands for all
    monkeypatch.setattr(
        figures,
        "drawings",
        lambda folder, what: iter([(figures.rises(folder, what.runs, "kar", "gradient"), "KAR")]),
    )
    contents = []
    for name in ("one", "two"):
        written = report.write_findings([], tmp_path / name / "findings.md")
        assert [path.name for path in written] == [
            "findings.md",
            "findings-tables.md",
            "findings_kar.png",
            "findings_kar.svg",
        ]
        contents.append([path.read_bytes() for path in written])
    assert contents[0] == contents[1]
    pictures = re.findall(r"!\[.*?\]\((.*?)\)", contents[0][0].decode())
    assert pictures == ["findings_kar.png"]
    assert all((tmp_path / "one" / name).exists() for name in pictures)
    assert np.all([len(content) > 1000 for content in contents[0]])
