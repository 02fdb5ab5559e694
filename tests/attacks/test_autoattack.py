"""The ensemble: outcomes, what they rest on, and what it refuses."""

import keras
import numpy as np
import pytest
from scipy import stats

from pellucid.attacks import Attack, run
from pellucid.attacks.autoattack import ensemble as autoattack
from pellucid.attacks.autoattack.apgd import Apgd
from pellucid.attacks.autoattack.ensemble import (
    MISCLASSIFIED,
    SURVIVED,
    OutcomeCache,
    ensemble,
    evaluate,
    predicted,
)
from pellucid.attacks.autoattack.fab import Fab
from pellucid.attacks.autoattack.last_pass import LastPassApgd
from pellucid.attacks.autoattack.square import Square
from pellucid.models.errors import InputError
from pellucid.models.functional import predict
from tests.conftest import linear_model

RADII = {"linf": 0.1, "l2": 0.5}
SHORT = {
    "apgd-ce": Apgd("linf", steps=20),
    "apgd-t": Apgd("linf", "dlr-targeted", steps=10),
    "fab-t": Fab("linf", steps=5),
    "square": Square("linf", steps=100),
}


def short(norm: str) -> dict:
    return {name: type(attack)(**(vars(attack) | {"norm": norm})) for name, attack in SHORT.items()}


@pytest.fixture(scope="module")
def images(digits):
    return digits.x_test[:200], digits.y_test[:200]


def test_standard_is_the_published_ensemble():
    attacks = ensemble("standard", "linf", 10)
    assert list(attacks) == ["apgd-ce", "apgd-t", "fab-t", "square"]
    assert attacks["apgd-ce"] == Apgd("linf", "xent", 100, 1)
    assert attacks["apgd-t"] == Apgd("linf", "dlr-targeted", 100, 1, targets=9)
    assert attacks["fab-t"] == Fab("linf", 100, 1, 9, alpha_max=0.1, eta=1.05, beta=0.9)
    assert attacks["square"] == Square("linf", 5000, 1, 0.8)
    assert list(ensemble("plus", "l2", 10)) == [
        "apgd-ce",
        "apgd-dlr",
        "fab",
        "square",
        "apgd-t",
        "fab-t",
    ]
    assert {a.transformations for a in ensemble("rand", "l2", 10).values()} == {20}
    # an image that survives costs 101 + 9 * 101 + 9 * 100 gradients and 9 + 9 * 101 + 5,001 passes
    # beside them
    costs = [
        np.array(attack.cost(attack.steps, 10)) * attack.runs(10) for attack in attacks.values()
    ]
    assert sum(costs).tolist() == [1910, 5919]


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_outcomes(norm, images, digits_model):
    x, y = images
    epsilon = RADII[norm]
    outcomes = evaluate(digits_model, x, y, norm=norm, epsilon=epsilon, attacks=short(norm), seed=1)
    clean = predict(digits_model, x).argmax(-1) == y
    np.testing.assert_array_equal(outcomes.broken_by == MISCLASSIFIED, ~clean)
    attacked = outcomes.broken_by > 0
    assert 0.2 < attacked.mean() < 0.95
    # every example is confirmed: misclassified, in the ball and in the box
    assert (predict(digits_model, outcomes.x_adv).argmax(-1) != y[attacked]).all()
    assert outcomes.x_adv.min() >= 0
    assert outcomes.x_adv.max() <= 1
    change = (
        (outcomes.x_adv - x[attacked] / np.float32(255))
        .reshape(len(outcomes.x_adv), -1)
        .astype(np.float64)
    )
    length = np.abs(change).max(1) if norm == "linf" else np.linalg.norm(change, axis=1)
    np.testing.assert_allclose(outcomes.norms[attacked], length)
    assert length.max() <= epsilon * (1 + 1e-5)
    assert np.isnan(outcomes.norms[~attacked]).all()
    # an image that is misclassified early costs less; one that survives has had all runs
    survived = outcomes.broken_by == SURVIVED
    all_runs = 21 + 9 * 11 + 9 * 5
    assert set(outcomes.gradients[survived]) == {all_runs}
    assert set(outcomes.forwards[survived]) == {9 + 9 * 6 + 101}
    assert (outcomes.gradients[attacked] < all_runs).all()
    assert outcomes.gradients[outcomes.broken_by == 1].max() <= 21
    assert set(outcomes.gradients[~clean]) == {0}


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_outcomes_do_not_depend_on_batches(norm, images, digits_model):
    """Nor on threads, nor on which other images there are."""
    x, y = images
    options = {"norm": norm, "epsilon": RADII[norm], "attacks": short(norm), "seed": 1}
    once = evaluate(digits_model, x, y, **options)
    again = evaluate(digits_model, x, y, batch_size=16, threads=2, **options)
    np.testing.assert_array_equal(once.broken_by, again.broken_by)
    np.testing.assert_array_equal(once.gradients, again.gradients)
    np.testing.assert_allclose(once.x_adv, again.x_adv, atol=1e-5)
    part = evaluate(digits_model, x[50:90], y[50:90], numbers=np.arange(50, 90), **options)
    np.testing.assert_array_equal(part.broken_by, once.broken_by[50:90])
    np.testing.assert_array_equal(part.forwards, once.forwards[50:90])


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_each_attack_gets_the_survivors_of_the_one_before(norm, images, digits_model):
    x, y = images
    seen: dict[str, int] = {}

    def progress(attack: str, done: int, successes: int) -> None:
        seen[attack] = seen.get(attack, 0) + done

    outcomes = evaluate(
        digits_model, x, y, norm=norm, epsilon=RADII[norm], attacks=short(norm), progress=progress
    )
    counts = [
        ((outcomes.broken_by < 0) | (outcomes.broken_by >= number)).sum() for number in (1, 2, 3, 4)
    ]
    assert list(seen.values()) == counts


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_no_attack_of_the_ensemble_is_weaker_than_pgd(norm, digits, digits_model):
    """Each gradient attack alone succeeds at least where PGD-40 does, up to an image in 200.

    Square takes no gradients, and is only asked to succeed on half as many images.
    """
    x, y = digits.x_test, digits.y_test
    epsilon = RADII[norm]
    pgd = Attack("pgd", norm, epsilon, steps=40, step_size=2.5 * epsilon / 40)
    standing = (predicted(digits_model, run(pgd, digits_model, x, y)) == y).sum()
    clean = (predicted(digits_model, x) == y).sum()
    for name, attack in ensemble("standard", norm, 10).items():
        cheaper = Square(norm, 1000) if name == "square" else attack
        outcomes = evaluate(digits_model, x, y, norm=norm, epsilon=epsilon, attacks={name: cheaper})
        left = (outcomes.broken_by == SURVIVED).sum()
        if name == "square":
            assert clean - left >= (clean - standing) / 2, name
        else:
            assert left <= standing + len(x) / 200, name


def test_a_killed_evaluation_resumes(images, digits_model):
    """What was stored is not computed again, and the outcomes are the same."""
    x, y = images
    store: dict = {}
    cache = OutcomeCache(
        store.get, lambda name, arrays, seconds: store.update({name: (arrays, seconds)})
    )
    options = {"norm": "linf", "epsilon": 0.1, "attacks": SHORT, "cache": cache}
    complete = evaluate(digits_model, x, y, **options)
    assert list(store) == list(SHORT)
    lost = {name: store.pop(name) for name in ("fab-t", "square")}
    ran = []
    again = evaluate(digits_model, x, y, progress=lambda name, *_: ran.append(name), **options)
    assert ran[:2] == ["apgd-ce", "apgd-t"]  # said to be done, at once
    np.testing.assert_array_equal(complete.broken_by, again.broken_by)
    np.testing.assert_array_equal(complete.gradients, again.gradients)
    np.testing.assert_array_equal(store["square"][0]["broken"], lost["square"][0]["broken"])
    assert again.seconds["apgd-ce"] == store["apgd-ce"][1]


def test_an_attack_that_leaves_its_bounds_is_never_counted(images, digits_model):
    x, y = images

    class Cheat(Apgd):
        def start(self, logits, state):
            return super().start(logits, state | {"radius": 2 * state["radius"]}) | {
                "radius": state["radius"]
            }

    with pytest.raises(RuntimeError, match=r"left its bounds: norm 0\.\d+ of 0\.1"):
        evaluate(
            digits_model, x, y, norm="linf", epsilon=0.1, attacks={"cheat": Cheat("linf", steps=5)}
        )


def test_logits_that_are_not_finite_name_the_image():
    weights = np.ones((4, 3))
    model = linear_model(weights, np.zeros(3), (2, 2, 1))
    x = np.full((6, 2, 2, 1), 0.5, np.float32)
    model.layers[-1].set_weights([np.full((4, 3), np.inf, np.float32), np.zeros(3, np.float32)])
    with pytest.raises(InputError, match="logits are not finite for image 40"):
        evaluate(model, x, np.zeros(6, int), norm="linf", epsilon=0.1, numbers=np.arange(40, 46))
    # finite on the image, infinite next to it
    edge = keras.Sequential(
        [keras.Input((2, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(3), Edge()]
    )
    edge.layers[1].set_weights([np.eye(4, 3).astype(np.float32), np.array([1, 0, 0], np.float32)])
    with pytest.raises(
        InputError, match=r"logits, or their gradient, are not finite for image 4\d under attack"
    ):
        evaluate(edge, x, np.zeros(6, int), norm="linf", epsilon=0.1, numbers=np.arange(40, 46))


class Edge(keras.layers.Layer):
    """Infinite above 1.51."""

    def call(self, x):
        return keras.ops.where(x > 1.51, np.inf, x)


@pytest.mark.parametrize("classes", [2, 3])
def test_few_classes_take_the_margin(classes):
    attacks = ensemble("standard", "l2", classes)
    assert attacks["apgd-t"].loss == "margin-targeted"
    assert {
        name: a.loss for name, a in ensemble("plus", "l2", classes).items() if "dlr" in name
    } == {"apgd-dlr": "margin" if classes == 2 else "dlr"}
    rng = np.random.default_rng(0)
    model = linear_model(rng.normal(size=(36, classes)), np.zeros(classes), (6, 6, 1))
    x = rng.uniform(0.3, 0.7, (40, 6, 6, 1)).astype(np.float32)
    y = predicted(model, x)
    outcomes = evaluate(
        model, x, y, norm="l2", epsilon=0.15, attacks=attacks | {"square": Square("l2", 50)}
    )
    weights = model.get_weights()[0].astype(np.float64)
    logits = x.reshape(40, -1).astype(np.float64) @ weights
    rows = np.arange(40)
    apart = [
        np.where(
            y == k,
            np.inf,
            (logits[rows, y] - logits[:, k])
            / np.maximum(np.linalg.norm(weights[:, y] - weights[:, [k]], axis=0), 1e-9),
        )
        for k in range(classes)
    ]
    np.testing.assert_array_equal(outcomes.broken_by > 0, np.min(apart, axis=0) < 0.15)


class Shaken(keras.layers.Layer):
    """Noise in inference, from Keras' seed generator."""

    def __init__(self, size: float, **options) -> None:
        super().__init__(**options)
        self.size = size
        self.seeds = keras.random.SeedGenerator(3)

    def call(self, x):
        return x + self.size * keras.random.normal(keras.ops.shape(x), seed=self.seeds)


def test_expectation_over_a_random_layer():
    """On a linear model with noise the mean gradient is exact, and so is the accuracy of `rand`."""
    rng = np.random.default_rng(1)
    weights = rng.normal(size=(36, 4)).astype(np.float32)
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            Shaken(0.05),
            keras.layers.Flatten(),
            keras.layers.Dense(4, use_bias=False),
        ]
    )
    model.layers[-1].set_weights([weights])
    x = rng.uniform(0.3, 0.7, (40, 6, 6, 1)).astype(np.float32)
    assert np.abs(predict(model, x) - predict(model, x, draw=1)).max() > 0.1
    np.testing.assert_array_equal(predict(model, x), predict(model, x))
    y = predicted(linear_model(weights, np.zeros(4), (6, 6, 1)), x)
    exact = evaluate(
        linear_model(weights, np.zeros(4), (6, 6, 1)),
        x,
        y,
        norm="linf",
        epsilon=0.03,
        attacks=short("linf"),
    )
    outcomes = evaluate(model, x, y, norm="linf", epsilon=0.03, version="rand")
    assert (outcomes.broken_by != SURVIVED).mean() == pytest.approx(
        (exact.broken_by != SURVIVED).mean(), abs=0.1
    )
    assert outcomes.gradients.max() == 2 * 20 * 101


def test_one_lucky_average_does_not_end_an_attack_on_a_random_model():
    """An attack succeeds if the best point is three deviations of an average past the boundary."""
    rng = np.random.default_rng(2)
    direction, size, epsilon = rng.normal(size=(36, 1)).astype(np.float32), 0.5, 0.1
    model = keras.Sequential(
        [
            keras.Input((6, 6, 1)),
            Shaken(size),
            keras.layers.Flatten(),
            keras.layers.Dense(2, use_bias=False),
        ]
    )
    model.layers[-1].set_weights([np.concatenate([direction, -direction], axis=1)])
    x = rng.uniform(0.3, 0.7, (60, 6, 6, 1)).astype(np.float32)
    margin = 2 * np.abs(x.reshape(60, -1) @ direction)[:, 0]
    y = (x.reshape(60, -1) @ direction < 0)[:, 0].astype(int)
    deviation = 2 * np.linalg.norm(direction) * size / np.sqrt(20)
    sure = margin - 2 * epsilon * np.abs(direction).sum() < -3 * deviation
    assert sure.mean() > 0.3
    attacks = {"apgd-ce": Apgd("linf", steps=25, transformations=20)}
    outcomes = evaluate(model, x, y, norm="linf", epsilon=epsilon, version="rand", attacks=attacks)
    assert (outcomes.broken_by[sure] != SURVIVED).all()
    assert (outcomes.gradients[outcomes.broken_by != MISCLASSIFIED] == 20 * 26).all(), (
        "all steps are done"
    )


def noisy_pair(probability: float) -> keras.Model:
    """Two logits, of which one pass misclassifies any image with this probability; y is 0."""
    model = keras.Sequential(
        [
            keras.Input((1, 1, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(2, use_bias=True),
            Shaken(1.0),
        ]
    )
    margin = -np.sqrt(2) * stats.norm.ppf(probability)
    model.layers[1].set_weights([np.zeros((1, 2), np.float32), np.array([margin, 0], np.float32)])
    return model


@pytest.mark.parametrize("probability", [0.02, 0.1, 0.3])
def test_rand_judged_by_single_passes_as_published(probability):
    """An attack cannot change anything, and succeeds by chance.

    It returns a point that one of its passes has misclassified, if any of them does, and the point
    falls if a further pass misclassifies it too. The mean of 20 passes is hardly ever wrong.
    """
    n, steps, passes = 2000, 4, 3
    x, y = np.full((n, 1, 1, 1), 0.5, np.float32), np.zeros(n, int)
    attacks = {name: LastPassApgd("linf", steps=steps, transformations=passes) for name in "ab"}
    model = noisy_pair(probability)
    options = {"norm": "linf", "epsilon": 0.1, "version": "rand"}
    outcomes = evaluate(model, x, y, judged_by="single", attacks=attacks, **options)

    falls = probability * (1 - (1 - probability) ** (steps + 1))
    expected = {
        MISCLASSIFIED: probability,
        1: (1 - probability) * falls,
        2: (1 - probability) * (1 - falls) * falls,
    }
    for outcome, chance in expected.items():
        found = (outcomes.broken_by == outcome).mean()
        assert found == pytest.approx(chance, abs=4 * np.sqrt(chance * (1 - chance) / n)), outcome

    by_mean = {"a": Apgd("linf", steps=steps, transformations=passes)}
    falls = stats.norm.cdf(np.sqrt(20) * stats.norm.ppf(probability))
    robust = (evaluate(model, x, y, attacks=by_mean, **options).broken_by == SURVIVED).mean()
    assert robust > 1 - 2 * falls - 4 * np.sqrt(2 * falls / n) - 1e-9


def test_a_single_pass_that_confirms_draws_anew():
    """A margin between what two passes draw: the first is right, the one that confirms is wrong."""
    model, x = noisy_pair(0.5), np.full((1, 1, 1, 1), 0.5, np.float32)
    first, second = (float(np.diff(predict(model, x, draw=draw))[0, 0]) for draw in (0, 1))
    y = np.array([int(first > second)])
    model.layers[1].set_weights(
        [np.zeros((1, 2), np.float32), np.array([(first + second) / 2, 0], np.float32)]
    )
    attacks = {"a": LastPassApgd("linf", steps=60, transformations=2)}
    outcomes = evaluate(
        model, x, y, norm="linf", epsilon=0.1, version="rand", judged_by="single", attacks=attacks
    )
    assert outcomes.broken_by == [1]


def test_the_last_misclassified_point_counts():
    """Every step goes towards the ball's edge; starts on the boundary are misclassified too."""
    weights = np.array([[-40.0, 40.0]], np.float32)
    model = keras.Sequential(
        [
            keras.Input((1, 1, 1)),
            keras.layers.Flatten(),
            keras.layers.Dense(2, use_bias=False),
            Shaken(1e-3),
        ]
    )
    model.layers[1].set_weights([weights])
    x, y = np.zeros((20, 1, 1, 1), np.float32), np.zeros(20, int)
    options = {"norm": "linf", "epsilon": 0.5, "version": "rand", "judged_by": "single"}
    attacks = {"apgd": LastPassApgd("linf", "margin", steps=6, transformations=2)}
    lasting = evaluate(model, x, y, attacks=attacks, **options)
    fell = lasting.broken_by == 1
    assert fell.mean() > 0.3
    np.testing.assert_allclose(lasting.x_adv, 0.5, atol=1e-6)
    assert (lasting.gradients[lasting.broken_by != MISCLASSIFIED] == 2 * 7).all()
    assert (lasting.forwards[lasting.broken_by != MISCLASSIFIED] == 7).all()


def test_judgements_belong_to_rand(digits_model):
    assert {type(a) for a in ensemble("rand", "l2", 10).values()} == {Apgd}
    assert {type(a) for a in ensemble("rand", "l2", 10, "single").values()} == {LastPassApgd}
    with pytest.raises(InputError, match=r"Unknown judgement 'singel'\. Did you mean 'single'"):
        ensemble("rand", "l2", 10, "singel")
    x, y = np.zeros((2, 8, 8, 1), np.float32), np.zeros(2, int)
    with pytest.raises(InputError, match=r"option of the version 'rand'\. Received 'standard'"):
        evaluate(digits_model, x, y, norm="l2", epsilon=0.1, judged_by="single", attacks=SHORT)


def test_square_needs_images(digits_model):
    flat = keras.Sequential([keras.Input((64,)), keras.layers.Dense(4)])
    with pytest.raises(InputError, match=r"Square Attack needs images .* Received \(5, 64\)"):
        evaluate(flat, np.zeros((5, 64), np.float32), np.zeros(5, int), norm="linf", epsilon=0.1)


def test_what_is_refused():
    with pytest.raises(InputError, match="Unknown norm 'l1'"):
        ensemble("standard", "l1", 10)
    with pytest.raises(
        InputError, match=r"Unknown AutoAttack version 'standart'\. Did you mean 'standard'"
    ):
        ensemble("standart", "l2", 10)
    with pytest.raises(InputError, match="at least two classes"):
        ensemble("standard", "l2", 1)
    assert autoattack.VERSIONS == ("standard", "plus", "rand")
