"""Results as figures: what they show, and that a notebook shows them."""

import dataclasses

import keras
import matplotlib as mpl
import numpy as np
import pytest

import pellucid
from pellucid.benchmark.library.robustness import AtRadius
from pellucid.benchmark.results.figures import pictures, style
from tests.library import networks

X, Y = networks.images(), networks.labels()
BUDGET = pellucid.RetrainingBudget(fractions=(0.3, 0.6), repeats=2, epochs=1, batch_size=4)


@pytest.fixture(scope="module")
def curve():
    models = {"standard": networks.sequential(), "l2-0.5": networks.functional()}
    return pellucid.robustness_curve(
        models, X, Y, norm="l2", epsilons=[0.4, 0.1, 0.4, 0], steps=3, verbose=False
    )


def bars(axis) -> list[np.ndarray]:
    """The ends of the intervals of each line or mark, `(n, 2)`."""
    found = []
    for container in axis.containers:
        segments = container.lines[2][0].get_segments()
        across = container.has_xerr
        found.append(np.array([segment[:, 0 if across else 1] for segment in segments]))
    return found


def test_an_evaluation_shows_every_accuracy_with_its_interval():
    result = pellucid.evaluate(
        networks.sequential(), X, Y, norm="linf", epsilon=0.05, verbose=False
    )
    (axis,) = result.plot().axes
    rows = [result.clean, result.pgd, result.autoattack, result.worst_case]
    assert [label.get_text() for label in axis.get_yticklabels()] == [
        "no attack",
        *(row.attack for row in rows[1:]),
    ]
    for row, drawn in zip(rows, bars(axis), strict=True):
        np.testing.assert_allclose(drawn, [[row.low, row.high]])
    assert "L∞ radius 0.05" in axis.get_title(loc="left")


def test_an_evaluation_says_its_warnings_below():
    model = networks.sequential()
    model.layers[-1].set_weights([networks.WEIGHTS * 0, networks.BIAS])
    result = pellucid.evaluate(
        model, X, np.full(12, 2), norm="l2", epsilon=0.1, verbose=False, version="rand"
    )
    below = result.plot().get_supxlabel().replace("\n", " ")
    assert "warning: zero gradients" in below
    assert "have no information" not in below


def test_a_history_has_a_panel_for_loss_and_accuracy():
    history = pellucid.fit(networks.sequential(), X, Y, epochs=3, batch_size=4, verbose=False)
    loss, accuracy = history.plot().axes
    assert loss.get_ylabel() == "cross-entropy"
    np.testing.assert_array_equal(
        accuracy.lines[0].get_xydata(), [[e.epoch, e.accuracy] for e in history.epochs]
    )
    assert all(tick == round(tick) for tick in loss.get_xticks())


def test_scores_have_their_intervals_and_attributions_their_colours():
    result = pellucid.interpretability(
        networks.sequential(), X, Y, x_train=X, y_train=Y, retrain=BUDGET, verbose=False
    )
    scores, *modes = result.plot().axes
    for score, drawn in zip(result.scores, bars(scores), strict=True):
        expected = (score.value, score.value) if score.low is None else (score.low, score.high)
        np.testing.assert_allclose(drawn, [expected], atol=1e-9)
    assert [axis.get_title(loc="left") for axis in modes] == ["ROAR", "KAR"]
    colours = {
        container.get_label(): container.lines[0].get_color() for container in modes[0].containers
    }
    assert colours == {
        "random order (control)": style.GREY,
        "Gradient": style.GREEN,
        "Gradient x Input": style.PURPLE,
    }
    drawn = dict(zip(result.scores, scores.containers, strict=True))
    for score, container in drawn.items():
        if score.name.endswith("_gradient"):
            assert container.lines[0].get_color() == style.GREEN, score.name
    at = [container.lines[0].get_xdata()[0] for container in modes[0].containers]
    assert len(set(np.round(at, 6))) == 3, "intervals at one share stand side by side"


def test_controls_are_drawn_beside_the_maps_they_are_made_of():
    budget = dataclasses.replace(BUDGET, controls=("mean", "masks"))
    result = pellucid.interpretability(
        networks.sequential(),
        X,
        Y,
        x_train=X,
        y_train=Y,
        attributions=["gradient"],
        retrain=budget,
        verbose=False,
    )
    scores, roar, kar = result.plot().axes
    lines = [
        {container.get_label(): container.lines[0] for container in axis.containers}
        for axis in (roar, kar)
    ]
    mean, masks = "Gradient, mean training map (control)", "Gradient, masks alone (control)"
    assert list(lines[0]) == ["random order (control)", "Gradient", mean]
    assert list(lines[1]) == ["random order (control)", "Gradient", mean, masks]
    assert lines[1][mean].get_linestyle() == lines[1][masks].get_linestyle() == "--"
    assert lines[1]["Gradient"].get_linestyle() == "-"
    assert len({line.get_color() for line in lines[1].values()}) == 4
    drawn = dict(zip((s.name for s in result.scores), scores.containers, strict=True))
    for name, own in (("kar_gradient-mean", mean), ("kar_gradient-over-mean", "Gradient")):
        assert drawn[name].lines[0].get_color() == lines[1][own].get_color()


def test_without_retraining_there_are_only_scores():
    result = pellucid.interpretability(networks.sequential(), X, Y, verbose=False)
    assert len(result.plot().axes) == 1


def test_a_curve_measures_each_model_at_each_radius(curve):
    """The same networks, so the same accuracies, and those of the attack itself."""
    frame = curve.to_frame()
    assert frame["epsilon"].tolist() == [0, 0.1, 0.4] * 2
    wide = frame.pivot(index="epsilon", columns="model", values="accuracy")
    assert (wide["standard"] == wide["l2-0.5"]).all()
    assert wide.loc[0, "standard"] == 1
    model = networks.sequential()
    x_adv = pellucid.attack("pgd", model, X, Y, norm="l2", epsilon=0.4, steps=3, random_start=True)
    hits = model.predict(x_adv, verbose=0).argmax(1) == Y
    assert 0 < hits.mean() < 1, "or it does not tell"
    assert wide.loc[0.4, "standard"] == hits.mean()
    assert pellucid.RobustnessCurve.from_json(curve.to_json()) == curve
    assert "accuracy under pgd, 3 steps, by L2 radius, 12 images" in str(curve)


def test_a_curve_is_drawn_with_intervals_side_by_side(curve):
    figure = curve.plot()
    (axis,) = figure.axes
    points = [curve.points[:3], curve.points[3:]]
    for own, drawn in zip(points, bars(axis), strict=True):
        np.testing.assert_allclose(drawn, [[p.low, p.high] for p in own])
    first, second = (container.lines[0] for container in axis.containers)
    assert (first.get_xdata() < second.get_xdata()).all()
    assert first.get_color() == style.BLACK
    red, green, blue = mpl.colors.to_rgb(second.get_color())
    assert blue > green > red, "networks trained in L2 are blue"
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["standard", "L2 0.5"]
    assert [tick.get_text() for tick in axis.get_xticklabels()] == ["0", "0.1", "0.4"]


def test_models_of_other_names_are_told_apart():
    points = tuple(
        AtRadius(f"model {i}", radius, 5, 10, 0.5, 0.2, 0.8) for i in range(9) for radius in (0, 1)
    )
    figure = pellucid.RobustnessCurve("pgd", "linf", 0, points).plot()
    looks = {
        (container.lines[0].get_color(), container.lines[0].get_marker())
        for container in figure.axes[0].containers
    }
    assert len(looks) == 9
    names = [text.get_text() for text in figure.legends[0].get_texts()]
    assert names == [f"model {i}" for i in range(9)]


@pytest.mark.parametrize(
    ("models", "epsilons", "said"),
    [
        ([1], [0.1], "dictionary of models by name"),
        ({}, [0.1], "dictionary of models by name"),
        ({"a": 1}, [0.1], "must be a Keras model"),
        (None, [0.0], "at least one radius above 0"),
        (None, [], "at least one radius above 0"),
        (None, [-0.1, 0.1], "numbers of at least 0"),
    ],
)
def test_what_a_curve_refuses(models, epsilons, said):
    models = networks.sequential() if models is None else models
    with pytest.raises(pellucid.InputError, match=said):
        pellucid.robustness_curve(models, X, Y, norm="l2", epsilons=epsilons, verbose=False)


def test_one_model_has_its_own_name():
    model = keras.Sequential(networks.sequential().layers, name="mine")
    curve = pellucid.robustness_curve(
        model, X, Y, norm="linf", epsilons=[0.1], attack="fgsm", verbose=False
    )
    assert [point.model for point in curve.points] == ["mine", "mine"]
    assert curve.attack == "fgsm"


MAPS = np.random.default_rng(3).random((12, 6, 4))


def drawn_panels(figure) -> list:
    """The panels of pictures, without the colour bar."""
    return [axis for axis in figure.axes if axis.images]


@pytest.mark.parametrize(("maps", "panels"), [(1, 8), (2, 6), (3, 8), (4, 5), (7, 8)])
def test_a_grid_has_at_most_eight_panels(maps, panels):
    figure = pellucid.plot_maps(X, {f"map {i}": MAPS for i in range(maps)})
    assert len(drawn_panels(figure)) == panels <= pictures.MOST_PANELS
    rows = panels // (maps + 1)
    assert f"the first {rows} of 12 images" in figure.get_supxlabel()


def test_a_map_ends_its_colours_at_its_own_largest_value():
    figure = pellucid.plot_maps(X[:2], {"a": MAPS[:2], "b": MAPS[:2] - 0.5}, titles=["x", "y"])
    panels = drawn_panels(figure)
    assert [axis.get_title() for axis in panels[:3]] == ["image", "a", "b"]
    assert [panels[0].get_ylabel(), panels[3].get_ylabel()] == ["x", "y"]
    for axis, values in ((panels[1], MAPS[0]), (panels[5], MAPS[1] - 0.5)):
        largest = np.abs(values).max()
        assert axis.images[0].get_clim() == (-largest, largest)
        assert axis.get_xlabel() == f"{largest:.2g}"
    (bar,) = [axis for axis in figure.axes if not axis.images]
    assert bar.get_ylabel() == "share of the map's largest absolute value"
    assert [tick.get_text() for tick in bar.get_yticklabels()] == ["−1", "0", "1"]


def test_a_map_that_is_zero_says_so():
    maps = MAPS.copy()
    maps[1] = 0
    _, first, _, second = drawn_panels(pellucid.plot_maps(X[:2], maps[:2]))
    assert [text.get_text() for text in first.texts] == []
    assert [text.get_text().split() for text in second.texts] == [["map", "is", "zero"]]
    assert first.images[0].get_clim() == (0, maps[0].max())


def test_images_beside_images_are_drawn_as_images():
    colour = np.random.default_rng(0).integers(0, 256, (2, 6, 4, 3)).astype(np.uint8)
    figure = pellucid.plot_maps(colour, {"adversarial": colour / 255})
    assert len(figure.axes) == 4, "no colour bar without a map"
    for axis, image in zip(figure.axes[::2], colour, strict=True):
        np.testing.assert_allclose(axis.images[0].get_array(), image / 255)


@pytest.mark.parametrize(
    ("maps", "titles", "said"),
    [
        ({}, None, "1 to 7 maps by title. Received 0"),
        (dict.fromkeys("abcdefgh", MAPS), None, "1 to 7 maps by title. Received 8"),
        ({"a": MAPS[:3]}, None, "'a' must have the shape"),
        ({"a": MAPS * np.nan}, None, "'a' must be finite"),
        ({"a": X - 0.5}, None, "Sum a gradient over its channels"),
        ({"a": MAPS}, ["one"], "`titles` must be 12, one per image. Received 1"),
    ],
)
def test_what_a_grid_of_maps_refuses(maps, titles, said):
    with pytest.raises(pellucid.InputError, match=said):
        pellucid.plot_maps(X, maps, titles=titles)


def test_a_notebook_shows_a_figure_by_itself(curve):
    """IPython asks an object for its forms, whether or not pyplot is there."""
    shell = pytest.importorskip("IPython.core.interactiveshell")
    formatter = shell.InteractiveShell.instance().display_formatter
    data, _ = formatter.format(curve.plot())
    assert data["image/png"][:4] == b"\x89PNG"


def test_pyplot_holds_no_figure(curve, tmp_path):
    """Keras imports pyplot; a figure that it knew of would stay in memory until it is closed."""
    from matplotlib import pyplot

    before = pyplot.get_fignums()
    curve.plot().savefig(tmp_path / "curve.png")
    assert pyplot.get_fignums() == before
    assert (tmp_path / "curve.png").read_bytes()[:4] == b"\x89PNG"
