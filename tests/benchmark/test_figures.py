"""Figures of tiny results: drawn with the same bytes each time, and stating what they omit."""

import dataclasses
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib import pyplot as plt

from pellucid.benchmark.data.dataset import Info
from pellucid.benchmark.results import tables as result_tables
from pellucid.benchmark.results.figures import (
    agreement,
    curves,
    images,
    manifold,
    measures,
    style,
    tilt,
    tradeoff,
)
from pellucid.benchmark.units import configuration
from pellucid.benchmark.units.kind import Description
from pellucid.metrics import ATTRIBUTIONS, statistics
from tests.commands import TINY

CONFIG = configuration.resolve(None, TINY, [])
RNG = np.random.default_rng(0)
CLASSES = ["T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"]


def network(norm: str, epsilon: float) -> dict:
    label = "standard" if norm == "none" else f"{norm}-{epsilon:g}-xent"
    return {
        "network": label,
        "norm": norm,
        "epsilon": epsilon,
        "strength": epsilon,
        "loss": "none" if norm == "none" else "xent",
    }


NETWORKS = [network("none", 0), network("l2", 0.5), network("l2", 1.0), network("linf", 1.0)]


@pytest.fixture(scope="module")
def tables() -> dict[str, pd.DataFrame]:
    rows = []
    for number, one in enumerate(NETWORKS):
        values = {"test_accuracy": 0.9 - 0.1 * number}
        values |= {
            f"{m}_{a}": 0.1 * number
            for m in ("roar", "kar")
            for a in ("gradient", "gradient_input")
        }
        values |= {"manifold_xent_excess": 1.0 - 0.1 * number, "manifold_xent_noise_excess": 1.5}
        rows += [
            one | {"score": k, "value": v, "low": v - 0.02, "high": v + 0.02, "n": 4}
            for k, v in values.items()
        ]
    scores = pd.DataFrame(rows)
    r = statistics.correlation(np.arange(4.0), np.array([0.0, 1, 2, 4]))._asdict()
    correlations = pd.DataFrame(
        {"score": f"roar_{a}", "against": "test_accuracy", "norm": n, "loss": "xent"} | r
        for a in ("gradient", "gradient_input")
        for n in ("l2", "linf")
    )
    nobody = {
        "network": "none",
        "norm": "none",
        "epsilon": 0.0,
        "strength": 0.0,
        "loss": "none",
        "seed": -1,
    }
    about = [(nobody, "random")] + [
        (n | {"seed": 0}, a) for n in NETWORKS for a in ("gradient", "gradient_input")
    ]
    retraining = [
        base
        | {
            "attribution": a,
            "control": "none" if a == "random" else "own",
            "fill": "mean",
            "mode": "roar",
            "fraction": f,
            "repeat": r,
            "accuracy": 1 - f + 0.02 * r,
        }
        for base, a in about
        for f in (0.3, 0.7)
        for r in (0, 1)
    ]
    retraining.append(
        nobody
        | {
            "attribution": "none",
            "control": "none",
            "fill": "mean",
            "mode": "none",
            "fraction": 0,
            "repeat": 0,
            "accuracy": 0.95,
        }
    )
    manifold = pd.DataFrame(
        one
        | {
            "attack_loss": "xent",
            "image": i,
            "kept": i < (5 if one["epsilon"] == 0.5 else 40),
            "clean_distance": 1 + i / 40,
            "adversarial_distance": 2 + RNG.random(),
        }
        for one in NETWORKS
        for i in range(40)
    )
    dataset = pd.DataFrame({"measure": ["classes"], "value": [10]})
    return {
        "scores": scores,
        "correlations": correlations,
        "retraining": pd.DataFrame(retraining),
        "manifold": manifold,
        "dataset": dataset,
    }


def twice(tmp_path, draw) -> dict[str, bytes]:
    """Draws into two folders; the bytes must agree."""
    found = []
    for name in ("one", "two"):
        paths = draw(tmp_path / name)
        assert {p.suffix for p in paths} == {".png", ".svg"}
        found.append({p.suffix: p.read_bytes() for p in paths})
    assert found[0] == found[1]
    return found[0]


def test_tradeoff(tmp_path, tables):
    drawn = twice(
        tmp_path, lambda f: tradeoff.tradeoff(f, CONFIG, tables, "roar", "xent", "test_accuracy")
    )
    assert drawn[".png"].startswith(b"\x89PNG")


def test_a_measure_without_a_figure_of_its_own(tmp_path, tables):
    """Also where there is only the standard network."""
    about = Description("Excess distance", "lower")
    draw = lambda f, t: measures.measure(f, CONFIG, t, "manifold_xent_excess", about)  # noqa: E731
    twice(tmp_path, lambda f: draw(f, tables))
    standard = {"scores": tables["scores"].query("norm == 'none'")}
    assert {p.name for p in draw(tmp_path, standard)} == {
        "score_manifold_xent_excess.png",
        "score_manifold_xent_excess.svg",
    }


def test_a_new_attribution_gets_a_look_of_its_own(tmp_path, tables, monkeypatch):
    """The looks of the others stay, and its series is drawn with its letter."""
    before = style.looks()
    record = dataclasses.replace(ATTRIBUTIONS["gradient"], letter="S", title="Saliency")
    monkeypatch.setattr(style, "ATTRIBUTIONS", ATTRIBUTIONS | {"saliency": record})
    after = style.looks()
    assert {series: after[series] for series in before} == before
    assert set(after) - set(before) == {("l2", "saliency"), ("linf", "saliency")}
    assert len(set(after.values())) == len(after) == 2 * len(ATTRIBUTIONS) + 2

    rows = tables["scores"].query("score == 'roar_gradient'").assign(score="roar_saliency")
    wider = tables | {"scores": pd.concat([tables["scores"], rows], ignore_index=True)}
    labels = legend(monkeypatch)
    tradeoff.tradeoff(tmp_path, CONFIG, wider, "roar", "xent", "test_accuracy")
    assert [label for label in labels if not label.startswith("standard")] == [
        "L2, Gradient x Input",
        "L∞, Gradient x Input",
        "L2, Gradient",
        "L∞, Gradient",
        "L2, Saliency",
        "L∞, Saliency",
    ]


def test_thirty_series_look_different(monkeypatch):
    names = [f"attribution-{number}" for number in range(10)]
    monkeypatch.setattr(style, "ATTRIBUTIONS", dict.fromkeys(names))
    looks = style.looks()
    assert len(set(looks.values())) == len(looks) == 2 * len(names) + len(style.FIXED_LOOKS)


def legend(monkeypatch) -> list[str]:
    """The labels in the figure's legends, filled in when a figure is saved."""
    labels = []
    real = style.save
    monkeypatch.setattr(
        style,
        "save",
        lambda made, *rest: (
            labels.extend(text.get_text() for box in made.legends for text in box.get_texts())
            or real(made, *rest)
        ),
    )
    return labels


def test_drawing_leaves_matplotlib_as_it_was(tmp_path, tables):
    """In a notebook: the backend, the settings and the open figures."""
    before = mpl.rcParams["backend"], mpl.rcParams["font.size"], plt.get_fignums()
    curves.curves(tmp_path, CONFIG, tables, "roar", "xent")
    assert before == (mpl.rcParams["backend"], mpl.rcParams["font.size"], plt.get_fignums())


def test_curves(tmp_path, tables):
    twice(tmp_path, lambda f: curves.curves(f, CONFIG, tables, "roar", "xent"))


def test_manifold_densities_need_thirty_examples(tmp_path, tables, monkeypatch):
    """The network with five kept examples gets a line in the legend and no curve."""
    asked = []
    real = manifold.densities.density
    monkeypatch.setattr(
        manifold.densities, "density", lambda v, g: asked.append(len(v)) or real(v, g)
    )
    manifold.manifold_distances(tmp_path, CONFIG, tables["manifold"], "xent")
    assert 5 not in asked
    assert (
        asked.count(40) == 6
    )  # test data and the standard network in two panels, and two other networks


def test_manifold_excess(tmp_path, tables):
    twice(tmp_path, lambda f: manifold.manifold_excess(f, CONFIG, tables, "xent"))


def test_excess_over_nulls_where_a_run_has_it(tmp_path, tables, monkeypatch):
    """A second figure: each null, for each norm of training that has two networks or more."""
    assert len(manifold.manifold_excess(tmp_path, CONFIG, tables, "xent")) == 2
    excess = tables["scores"].query("score == 'manifold_xent_excess'")
    names = [
        f"manifold_xent_{of}_{kind}"
        for of in manifold.MANIFOLDS
        for kind in ("excess", *(f"excess_over_{null}" for null, _, _ in manifold.NULLS))
    ]
    more = [excess.assign(score=name) for name in names]
    wider = {"scores": pd.concat([tables["scores"], *more], ignore_index=True)}
    labels = legend(monkeypatch)
    drawn = [manifold.manifold_excess(tmp_path / n, CONFIG, wider, "xent") for n in ("a", "b")]
    assert [path.name for path in drawn[0][2:]] == [
        "manifold_nulls_xent.png",
        "manifold_nulls_xent.svg",
    ]
    assert [p.read_bytes() for p in drawn[0]] == [p.read_bytes() for p in drawn[1]]
    assert labels[4:10] == [
        "trained against L2: over white noise",
        "trained against L∞: over white noise",
        "trained against L2: over own change, random phases",
        "trained against L∞: over own change, random phases",
        "trained against L2: over another image's change",
        "trained against L∞: over another image's change",
    ]
    standard = {"scores": wider["scores"].query("norm == 'none'")}
    assert len(manifold.manifold_excess(tmp_path, CONFIG, standard, "xent")) == 2


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures(tmp_path, channels):
    shape = (2, 6, 6, channels)
    one = {
        "images": RNG.random(shape),
        "maps": RNG.normal(size=shape[:3]),
        "labels": np.array([1, 2]),
        "predicted": np.array([1, 2]),
        "adversarial": RNG.random(shape),
        "adversarial_predicted": np.array([3, 4]),
    }
    found = {n["network"]: one for n in NETWORKS}
    twice(tmp_path / "a", lambda f: images.loss_gradients(f, CONFIG, found, CLASSES))
    twice(tmp_path / "b", lambda f: images.adversarial_examples(f, CONFIG, found, CLASSES))
    arrays = {
        "images": one["images"],
        "projections": one["adversarial"],
    }
    twice(tmp_path / "c", lambda f: images.projections(f, CONFIG, arrays))


def test_strongest_network_of_a_norm():
    labels = ["standard", "l2-0.5-xent", "l2-0.5-cw", "l2-0.05-xent", "linf-0.1-cw"]
    assert images.strongest(labels, "l2") == "l2-0.5-xent"
    assert images.strongest(labels, "linf") == "linf-0.1-cw"
    assert images.strongest(["standard"], "l2") is None


def limits(monkeypatch, tmp_path, tables, loss: str) -> tuple:
    """The axis limits with which a trade-off figure is saved."""
    seen = []
    real = style.save
    monkeypatch.setattr(
        style,
        "save",
        lambda made, *rest: (
            seen.append((made.axes[0].get_xlim(), made.axes[0].get_ylim())) or real(made, *rest)
        ),
    )
    tradeoff.tradeoff(tmp_path, CONFIG, tables, "roar", loss, "test_accuracy")
    return seen[0]


def test_figures_of_two_training_losses_share_their_axes(tmp_path, tables, monkeypatch):
    """A cw network far outside the others widens both figures alike."""
    far = network("l2", 2.0) | {"network": "l2-2-cw", "loss": "cw"}
    values = {"test_accuracy": 0.2, "roar_gradient": 3.0, "roar_gradient_input": 0.5}
    more = pd.DataFrame(
        far | {"score": k, "value": v, "low": v - 1, "high": v + 1, "n": 4}
        for k, v in values.items()
    )
    wider = tables | {"scores": pd.concat([tables["scores"], more], ignore_index=True)}
    xent, cw = (limits(monkeypatch, tmp_path, wider, loss) for loss in ("xent", "cw"))
    assert xent == cw
    assert xent[0][0] < 0.2 < 0.9 < xent[0][1]
    assert xent[1][0] < -0.5 < 4.0 < xent[1][1]
    assert limits(monkeypatch, tmp_path, tables, "xent")[1][1] < 1


def test_a_long_grid_names_only_some_of_its_curves(tmp_path, tables, monkeypatch):
    labels = []
    real = style.save
    monkeypatch.setattr(
        style,
        "save",
        lambda made, *rest: (
            labels.extend(x.get_text() for x in made.axes[0].get_legend().get_texts())
            or real(made, *rest)
        ),
    )
    one = tables["retraining"].query("norm == 'l2' and epsilon == 0.5")
    many = [one.assign(epsilon=e, network=f"l2-{e:g}-xent") for e in np.arange(1, 21) / 20]
    rows = pd.concat([tables["retraining"].query("norm != 'l2'"), *many], ignore_index=True)
    curves.curves(tmp_path, CONFIG, tables | {"retraining": rows}, "roar", "xent")
    assert labels == ["random order", "standard", "L2 0.05", "L2 0.5", "L2 1"]


def test_boundary_tilting(tmp_path):
    toy = configuration.resolve("paper-toy", None, [])
    labels = ["standard", "l2-0.125-xent", "l2-0.25-xent"]
    scores = pd.DataFrame(
        {
            "network": label,
            "norm": "none" if e == 0 else "l2",
            "epsilon": e,
            "score": "tilt",
            "value": 30 - 80 * e,
            "low": 20.0,
            "high": 40.0,
        }
        for label, e in zip(labels, (0, 0.125, 0.25), strict=True)
    )
    x = RNG.random((50, 2)) / 4
    arrays = {
        "x": x,
        "x_adv": x + 0.4,
        "others": x + 0.6,
        "class_means": np.array([[0.7, 0.7], [0.1, 0.1]]),
        "regions": np.tri(9, dtype=np.uint8),
    }
    twice(
        tmp_path,
        lambda f: tilt.boundary_tilting(f, toy, {"scores": scores}, dict.fromkeys(labels, arrays)),
    )


@pytest.fixture
def drawn(monkeypatch) -> dict:
    """What would have been saved, by name."""
    kept = {}

    def save(made, folder, name):
        made.canvas.draw()
        kept[name] = made
        return [folder / f"{name}.png"]

    monkeypatch.setattr(style, "save", save)
    return kept


def texts(made) -> list[str]:
    """Everything that is written in a figure."""
    return [text.get_text() for text in made.findobj(mpl.text.Text) if text.get_visible()]


def correlated(tables: dict, n: int, low: float) -> dict:
    """The tables with correlations that rest on n networks."""
    table = tables["correlations"].assign(n=n, pearson_low=low, pearson_high=0.9)
    return tables | {"correlations": table}


@pytest.mark.parametrize(("n", "low", "said"), [(4, 0.2, 0), (5, -0.2, 4)])
def test_a_correlation_needs_five_networks_and_a_line_an_interval(
    n, low, said, tmp_path, tables, drawn
):
    draw = lambda t: tradeoff.tradeoff(tmp_path, CONFIG, t, "roar", "xent", "test_accuracy")  # noqa: E731
    draw(correlated(tables, n, low))
    made = drawn["roar_xent_accuracy"]
    labels = [text.get_text() for text in made.legends[0].get_texts()]
    assert sum("r = " in label for label in labels) == said
    lines = [line for line in made.axes[0].lines if line.get_linestyle() == "-"]
    assert len(lines) == 1, "the line at zero alone"
    assert ("fewer than 5 networks" in made.get_supxlabel().replace("\n", " ")) == (not said)
    if said:
        assert any(f"r = +0.98 [{low:+.2f}, +0.90], ρ = +1.00 [" in label for label in labels)


def test_a_line_is_fitted_where_the_interval_allows_it(tmp_path, tables, drawn):
    tradeoff.tradeoff(tmp_path, CONFIG, correlated(tables, 5, 0.2), "roar", "xent", "test_accuracy")
    axis = drawn["roar_xent_accuracy"].axes[0]
    colours = {line.get_color() for line in axis.lines if line.get_linestyle() == "-"}
    assert {style.BLUE, style.VERMILION, style.SKY, style.ORANGE} <= colours


def test_no_point_lies_on_another(tmp_path, tables, drawn):
    """ROAR and KAR of all attributions are equal here, and so are accuracies within a network."""
    tradeoff.tradeoff(tmp_path, CONFIG, tables, "roar", "xent", "strength")
    measures.measure(tmp_path, CONFIG, tables, "test_accuracy", Description("accuracy", "higher"))
    manifold.manifold_excess(tmp_path, CONFIG, tables, "xent")
    for name, made in drawn.items():
        for axis in made.axes:
            marks = [tuple(p) for c in axis.containers for p in c.lines[0].get_xydata().round(6)]
            assert marks
            assert len(set(marks)) == len(marks), name


def test_every_panel_has_numbers_on_its_axes(tmp_path, tables, drawn):
    curves.curves(tmp_path, CONFIG, tables, "roar", "xent")
    measures.measure(tmp_path, CONFIG, tables, "test_accuracy", Description("accuracy", "higher"))
    manifold.manifold_distances(tmp_path, CONFIG, tables["manifold"], "xent")
    assert len(drawn) == 3
    for name, made in drawn.items():
        for axis in made.axes:
            for of in (axis.xaxis, axis.yaxis):
                shown = [t for t in of.get_ticklabels() if t.get_visible() and t.get_text()]
                assert len(shown) > 2, name


def test_terms_are_spelled_out(tmp_path, tables, drawn):
    for against in tradeoff.AGAINST:
        tradeoff.tradeoff(tmp_path, CONFIG, tables, "roar", "xent", against)
    curves.curves(tmp_path, CONFIG, tables, "roar", "xent")
    manifold.manifold_distances(tmp_path, CONFIG, tables["manifold"], "xent")
    manifold.manifold_excess(tmp_path, CONFIG, tables, "xent")
    for name, made in drawn.items():
        words = " ".join(texts(made)).replace(",", " ").split()
        assert not {"xent", "cw", "G", "GX", "linf", "l2"} & set(words), name
        assert "cross-entropy" in " ".join(words), name


def test_standard_networks_are_black_and_norms_have_their_colours(tmp_path, tables, drawn):
    curves.curves(tmp_path, CONFIG, tables, "roar", "xent")
    manifold.manifold_distances(tmp_path, CONFIG, tables["manifold"], "xent")
    for made in drawn.values():
        for axis, norm in zip(made.axes, ("l2", "linf") * 2, strict=False):
            lines = {line.get_label().split(" (")[0]: line.get_color() for line in axis.lines}
            assert lines["standard"] == style.BLACK
            trained = [c for label, c in lines.items() if label.startswith(("L2", "L∞"))]
            assert trained
            for colour in trained:
                red, _, blue = mpl.colors.to_rgb(colour)
                assert (blue > red) == (norm == "l2")


def made_pictures(images: int, networks: list[str]) -> dict:
    one = {
        "images": RNG.random((images, 6, 6, 1)),
        "maps": RNG.normal(size=(images, 6, 6)),
        "labels": np.arange(images) % 5,
        "predicted": np.arange(images) % 5,
        "adversarial": RNG.random((images, 6, 6, 1)),
        "adversarial_predicted": (np.arange(images) + 1) % 5,
    }
    return {name: dict(one) for name in networks}


def panels(made) -> list:
    return [axis for axis in made.axes if axis.images]


MANY = [
    "standard",
    *(f"{n}-{e / 10:g}-{of}" for n in ("l2", "linf") for e in range(1, 9) for of in ("xent", "cw")),
]


def test_pictures_have_eight_panels_at_most_and_names_of_classes(tmp_path, drawn):
    found = made_pictures(10, MANY)
    images.loss_gradients(tmp_path, CONFIG, found, CLASSES)
    images.adversarial_examples(tmp_path, CONFIG, found, CLASSES)
    arrays = {
        "images": RNG.random((10, 6, 6, 1)),
        "projections": RNG.random((10, 6, 6, 1)),
        "samples": RNG.random((10, 6, 6, 1)),
    }
    images.projections(tmp_path, CONFIG, arrays)
    assert set(drawn) == {
        "loss_gradients",
        "adversarial_examples",
        "manifold_projections",
        "manifold_samples",
    }
    for name, made in drawn.items():
        assert len(panels(made)) == 8, name
    below = [axis.get_xlabel() for axis in panels(drawn["adversarial_examples"])]
    assert below == ["T-shirt/top", *["as Trouser"] * 3, "Trouser", *["as Pullover"] * 3]
    heads = [axis.get_title() for axis in panels(drawn["loss_gradients"])[:4]]
    of = "trained against\n{} 0.8, cross-entropy"
    assert heads == ["image", "standard", of.format("L2"), of.format("L∞")]


def test_names_of_classes_go_from_the_data_set_to_the_figures(tmp_path):
    (tmp_path / "label.labels.txt").write_text("\n".join(CLASSES) + "\n")
    facts = ("made", "1.0.0", 9, 9, (6, 6, 1), 5)
    named, numbered = (Info(*facts, folder=folder) for folder in (str(tmp_path), None))
    table = result_tables.dataset(SimpleNamespace(info=named))
    assert result_tables.class_names(table, "made") == CLASSES
    table = result_tables.dataset(SimpleNamespace(info=numbered))
    assert "class_names" not in set(table["measure"])
    assert result_tables.class_names(table, "made") == [f"class {k}" for k in range(5)]
    assert result_tables.class_names(table, "cifar10")[3] == "cat", "results without names"


def test_gradient_maps_have_a_colour_bar_and_say_where_they_are_zero(tmp_path, drawn):
    found = made_pictures(2, ["standard", "l2-1-xent"])
    found["l2-1-xent"]["maps"] = np.zeros((2, 6, 6))
    images.loss_gradients(tmp_path, CONFIG, found, CLASSES)
    made = drawn["loss_gradients"]
    zero = [" ".join(t.get_text().split()) for axis in panels(made) for t in axis.texts]
    assert zero == ["gradient is zero"] * 2
    assert [axis.get_ylabel() for axis in made.axes if not axis.images] == [
        "share of the largest value shown"
    ]
    assert panels(made)[2].get_title() == "trained against\nL2 1", "one loss is not named"


def test_a_toy_of_many_networks_has_eight_panels(tmp_path, drawn):
    toy = configuration.resolve("paper-toy", None, [])
    labels = ["standard", *(f"l2-{e}-xent" for e in range(1, 12))]
    rows = {"norm": "l2", "epsilon": 1.0, "score": "tilt", "value": 1.0, "low": 0.0, "high": 2.0}
    scores = pd.DataFrame({"network": label} | rows for label in labels)
    x = RNG.random((50, 2)) / 4
    arrays = {
        "x": x,
        "x_adv": x + 0.4,
        "others": x + 0.6,
        "class_means": np.array([[0.7, 0.7], [0.1, 0.1]]),
        "regions": np.tri(9, dtype=np.uint8),
    }
    tilt.boundary_tilting(tmp_path, toy, {"scores": scores}, dict.fromkeys(labels, arrays))
    axes = drawn["boundary_tilting"].axes
    assert len([axis for axis in axes if axis.get_visible()]) == 8


def agreements(networks: int, rho: float) -> pd.DataFrame:
    names = ("roar_gradient", "kar_gradient", "test_accuracy")
    pairs = [(a, b) for i, a in enumerate(names) for b in names[i + 1 :]]
    rows = [{"score": a, "other": b, "networks": networks, "spearman": rho} for a, b in pairs]
    rows[-1]["spearman"] = float("nan")
    return pd.DataFrame(rows)


def test_agreement_has_a_colour_where_the_interval_allows_it(tmp_path, drawn):
    """Of seven networks a correlation of .6 may be none, one of .95 is not."""
    assert agreement.rank_agreement(tmp_path, CONFIG, agreements(4, 1.0)) == []
    assert drawn == {}
    for rho, coloured in ((0.6, 0), (0.95, 4)):
        agreement.rank_agreement(tmp_path, CONFIG, agreements(7, rho))
        axis, bar = drawn["rank_agreement"].axes
        values = axis.images[0].get_array()
        assert (values[~np.eye(3, dtype=bool)] != 0).sum() == coloured
        assert len(axis.texts) == 7, "two cells are empty: a score that does not vary"
        assert bar.get_ylabel() == "Spearman's correlation"
        assert "excludes 0" in drawn["rank_agreement"].get_supxlabel().replace("\n", " ")


def test_series_side_by_side_stay_near_their_place():
    for count in (1, 2, 7, 40):
        shifts = [style.dodged(number, count, 2.0) for number in range(count)]
        assert len(set(shifts)) == count
        assert sum(shifts) == pytest.approx(0)
        assert shifts[-1] - shifts[0] <= 2.0 * style.WIDEST
