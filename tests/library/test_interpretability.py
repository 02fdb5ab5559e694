"""Scores without a grid: controls of attributions, and ROAR and KAR by retraining."""

import keras
import numpy as np
import pytest
from keras import layers

import pellucid
from pellucid.benchmark.library.retraining import fresh_copies
from pellucid.metrics import statistics
from tests.library import networks

X, Y = networks.images(), networks.labels()
SMALL = pellucid.RetrainingBudget(fractions=(0.2, 0.5), repeats=2, epochs=4, learning_rate=0.02)


@pytest.fixture(scope="module")
def one_pixel():
    """The class is whether pixel (1, 2) is bright, and a model that looks at nothing else."""
    x = np.random.default_rng(0).uniform(size=(600, 6, 4, 1)).astype(np.float32)
    weights = np.zeros((24, 2), np.float32)
    weights[1 * 4 + 2] = [-8, 8]
    model = keras.Sequential([keras.Input((6, 4, 1)), layers.Flatten(), layers.Dense(2)])
    model.layers[-1].set_weights([weights, np.array([4, -4], np.float32)])
    y = (x[:, 1, 2, 0] > 0.5).astype(int)
    return model, (x[:400], y[:400]), (x[400:], y[400:])


def score(result: pellucid.Interpretability, name: str):
    return result.score(name)


def test_controls_have_their_closed_form(one_pixel):
    model, _, (x, y) = one_pixel
    result = pellucid.interpretability(model, x, y, attributions=["gradient"])
    assert score(result, "accuracy").value == 1
    assert score(result, "zero_gradient").value == 0
    tied = score(result, "tied_gradient")
    assert tied.value == pytest.approx(23 / 24)
    assert (tied.low, tied.high, tied.n) == (tied.value, tied.value, 200)
    assert {one.accuracy for one in result.scores} == {1.0}
    assert result.retrained == ()


def test_images_without_a_gradient_are_counted():
    model = networks.sequential()
    model.layers[-1].set_weights([networks.WEIGHTS * 0, networks.BIAS])
    result = pellucid.interpretability(model, X, np.full(12, 2))
    zero = score(result, "zero_gradient_input")
    expected = statistics.proportion(12, 12)
    assert (zero.value, zero.low, zero.high) == expected[:3]
    assert score(result, "tied_gradient").value == 1


def test_the_only_pixel_that_matters_scores_high(one_pixel):
    """KAR keeps it, ROAR takes it away: between random order and all or nothing."""
    model, (x_train, y_train), (x, y) = one_pixel
    budget = pellucid.RetrainingBudget(
        fractions=(0.1, 0.5), repeats=2, epochs=40, learning_rate=0.05
    )
    result = pellucid.interpretability(
        model,
        x,
        y,
        x_train=x_train,
        y_train=y_train,
        attributions=["gradient"],
        retrain=budget,
        verbose=False,
    )
    assert score(result, "retrained_accuracy").value > 0.9
    assert score(result, "kar_random").value == score(result, "roar_random").value == 0
    assert score(result, "kar_random").low is None  # with itself: nothing varies
    for mode in ("kar", "roar"):
        found = score(result, f"{mode}_gradient")
        assert found.low > 0
        assert found.value > 0.1
    kept = [r.accuracy for r in result.retrained if (r.mode, r.order) == ("kar", "gradient")]
    assert min(kept) > 0.9
    removed = [r.accuracy for r in result.retrained if (r.mode, r.order) == ("roar", "gradient")]
    assert max(removed) < 0.65


def test_retraining_says_what_it_did(capsys):
    options = {"x_train": X, "y_train": Y, "retrain": SMALL, "attributions": ["gradient"]}
    result = pellucid.interpretability(networks.sequential(), X, Y, **options)
    assert "18/18" in capsys.readouterr().err
    assert len(result.retrained) == 18
    modes = {(one.mode, one.order) for one in result.retrained}
    assert modes == {
        ("none", "none"),
        *((mode, order) for mode in ("roar", "kar") for order in ("random", "gradient")),
    }
    text = str(result)
    assert "ROAR: mean accuracy by share of pixels removed" in text
    assert "random order (control)" in text
    assert "larger budget" in text
    assert pellucid.Interpretability.from_json(result.to_json()) == result
    again = pellucid.interpretability(networks.sequential(), X, Y, **options, verbose=False)
    assert again == result
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("make", [networks.softmax, networks.bytes_to_probabilities])
def test_networks_are_retrained_as_the_model_is_stated(make):
    result = pellucid.interpretability(
        make(),
        X,
        Y,
        x_train=X,
        y_train=Y,
        retrain=SMALL,
        attributions=["gradient"],
        verbose=False,
        **networks.STATED[make],
    )
    assert score(result, "accuracy").value == 1


def test_copies_start_from_new_weights_that_follow_from_the_seed():
    model = keras.Sequential(
        [
            keras.Input((6, 4, 1)),
            layers.Conv2D(4, 3, kernel_initializer=keras.initializers.GlorotUniform(seed=3)),
            layers.Conv2D(4, 3, padding="same"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dropout(0.5),
            layers.Dense(3),
        ]
    )
    build = fresh_copies(model)
    first, again, other = (build(seed).get_weights() for seed in (1, 1, 2))
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    for a, b, c in zip(first, other, model.get_weights(), strict=True):
        if a.ndim > 1:
            assert not np.array_equal(a, b)
            assert not np.array_equal(a, c)


def frozen() -> keras.Model:
    model = networks.nested()
    model.layers[0].trainable = False
    return model


def adapted() -> keras.Model:
    normalization = layers.Normalization()
    normalization.adapt(X)
    return keras.Sequential(
        [keras.Input(networks.SHAPE), normalization, layers.Flatten(), networks.dense()]
    )


@pytest.mark.parametrize("make", [networks.Subclassed, networks.Raw, frozen, adapted])
def test_what_cannot_be_copied_needs_build(make):
    options = {"x_train": X, "y_train": Y, "retrain": SMALL, "verbose": False}
    with pytest.raises(pellucid.InputError, match="Pass build=, a function from a seed"):
        pellucid.interpretability(make(), X, Y, **options)


def test_networks_of_build():
    def build(seed: int) -> keras.Model:
        keras.utils.set_random_seed(seed)
        model = networks.Subclassed()
        model.dense = layers.Dense(3)
        return model

    options = {"x_train": X, "y_train": Y, "retrain": SMALL, "verbose": False}
    result = pellucid.interpretability(networks.Subclassed(), X, Y, build=build, **options)
    assert len(result.retrained) == 2 * (1 + 4 * 3)
    same = networks.Subclassed()
    for wrong in (lambda seed: networks.Subclassed(), lambda seed: same):
        with pytest.raises(pellucid.InputError, match="other initial weights for another seed"):
            pellucid.interpretability(networks.Subclassed(), X, Y, build=wrong, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"retrain": True}, "needs `x_train` and `y_train`"),
        ({"retrain": True, "x_train": X[:, :3], "y_train": Y}, "must have images of shape"),
        ({"retrain": True, "x_train": X, "y_train": Y + 9}, r"`y` must lie in \[0, 2\]"),
        ({"retrain": True, "x_train": X[..., 0], "y_train": Y}, "`x_train` must be images"),
    ],
)
def test_training_images_that_do_not_fit(options, message):
    with pytest.raises(pellucid.InputError, match=message):
        pellucid.interpretability(networks.sequential(), X, Y, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"modes": ("road",)}, "Did you mean 'roar'?"),
        ({"modes": ()}, "at least one mode"),
        ({"fractions": (0.5, 0.1)}, "Fractions must increase"),
        ({"repeats": 0}, "`repeats` must be at least 1"),
        ({"controls": ("means",)}, "Did you mean 'mean'"),
        ({"controls": ("untrained",)}, "Unknown control 'untrained'"),
    ],
)
def test_budgets_out_of_range(options, message):
    with pytest.raises(pellucid.InputError, match=message):
        pellucid.RetrainingBudget(**options)


def test_a_score_that_does_not_exist():
    result = pellucid.interpretability(networks.sequential(), X, Y)
    with pytest.raises(pellucid.InputError, match="Did you mean 'zero_gradient'"):
        result.score("zero_gradients")


def test_controls_stand_beside_the_scores(one_pixel):
    """One pixel decides for all images alike: every control that keeps its place gives the score.

    The masks of KAR alone are one mask for all images: they tell nothing of the class.
    """
    model, (x_train, y_train), (x, y) = one_pixel
    budget = pellucid.RetrainingBudget(
        fractions=(0.1, 0.5),
        repeats=2,
        epochs=40,
        learning_rate=0.05,
        controls=("gaussian", "mean", "shuffled", "masks"),
    )
    result = pellucid.interpretability(
        model,
        x,
        y,
        x_train=x_train,
        y_train=y_train,
        attributions=["gradient"],
        retrain=budget,
        verbose=False,
    )
    for mode in ("kar", "roar"):
        own = score(result, f"{mode}_gradient")
        for control in ("mean", "shuffled"):
            same = score(result, f"{mode}_gradient-{control}")
            assert same.better == ""
            assert same.value == pytest.approx(own.value, abs=0.05)
            beyond = score(result, f"{mode}_gradient-over-{control}")
            assert beyond.better == "higher"
            assert beyond.value == pytest.approx(own.value - same.value, abs=1e-6)
        assert score(result, f"{mode}_gradient-over-gaussian").value == pytest.approx(
            own.value - score(result, f"{mode}_gaussian").value, abs=1e-6
        )
    masks = [r.accuracy for r in result.retrained if r.order == "gradient-masks"]
    assert len(masks) == 4
    assert max(masks) < 0.65
    assert score(result, "kar_gradient-over-masks").low > 0
    names = [one.name for one in result.scores]
    assert not [name for name in names if name.startswith("roar") and "masks" in name]
    text = str(result)
    assert "KAR, Gradient, mean training map (control)" in text
    assert "KAR, Gradient beyond masks alone" in text
    assert pellucid.Interpretability.from_json(result.to_json()) == result
