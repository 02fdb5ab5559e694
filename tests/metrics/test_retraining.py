"""ROAR and KAR: the formulas by hand, and the measures on data with known informative pixels."""

from typing import NamedTuple

import keras
import numpy as np
import pytest

from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.masks import Mask
from pellucid.benchmark.training.prediction import predicted_classes
from pellucid.metrics import MODES, controls, retraining
from pellucid.metrics.masking import masked, pixel_count, removed
from pellucid.metrics.retraining import Curve, score, score_weights
from pellucid.models.errors import InputError
from tests.ranks import random_ranks, ranks

FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)


def outcomes(rng: np.random.Generator, accuracy: np.ndarray, images: int) -> np.ndarray:
    """Random outcomes of `(seeds, repeats, fractions)` accuracies, for so many images."""
    return rng.random((*accuracy.shape, images)) < accuracy[..., None]


def test_score_by_hand():
    """Differences .1, .2, .3, .4, .5 at the fractions, 0 at both ends: widths .1, .2 x 4, .1."""
    area = 0.1 * 0.05 + 0.2 * (0.15 + 0.25 + 0.35 + 0.45) + 0.1 * 0.25
    images = np.arange(10)
    baseline = np.broadcast_to(images < 6, (1, 2, 5, 10))
    lost = np.array([[1, 2, 3, 4, 5], [1, 2, 3, 4, 5]])
    own = images < 6 - lost[None, :, :, None]
    found = score("roar", FRACTIONS, own, baseline)
    assert found.value == pytest.approx(area)
    assert found.n == 2 * 5
    assert score("kar", FRACTIONS, own, baseline).value == pytest.approx(-area)


@pytest.mark.parametrize("seed", range(3))
def test_scores_of_generated_outcomes(seed):
    """Against the trapezoid rule on mean curves, and the relations between the scores."""
    rng = np.random.default_rng(seed)
    kept, removed, random, masks = (outcomes(rng, rng.random((2, 3, 5)), 40) for _ in range(4))
    x = np.concatenate([[0], FRACTIONS, [1]])

    def integral(curve: np.ndarray) -> float:
        return np.trapezoid(np.concatenate([[0], curve, [0]]), x)

    def mean(outcome: np.ndarray) -> np.ndarray:
        return outcome.mean(axis=(0, 1, 3))

    def total(values: np.ndarray) -> float:
        return values.sum(axis=2).mean()

    assert score("kar", FRACTIONS, kept, random).value == pytest.approx(
        integral(mean(kept) - mean(random)), abs=1e-6
    )
    assert total(retraining.diff_roar(FRACTIONS, kept, removed)) == pytest.approx(
        integral(mean(kept) - mean(removed)[::-1]), abs=1e-6
    )
    backwards = removed[:, :, ::-1], kept[:, :, ::-1]  # the order reversed
    assert total(retraining.diff_roar(FRACTIONS, *backwards)) == pytest.approx(
        -total(retraining.diff_roar(FRACTIONS, kept, removed)), abs=1e-6
    )
    assert total(retraining.leak(FRACTIONS, masks, 4)) == pytest.approx(
        integral(mean(masks) - 0.25), abs=1e-6
    )
    highest = np.maximum(mean(random), mean(masks))
    assert total(retraining.net_kar(FRACTIONS, kept, random, masks)) == pytest.approx(
        integral(mean(kept) - highest), abs=1e-6
    )


def test_diff_roar_needs_fractions_in_pairs():
    assert retraining.symmetric(FRACTIONS)
    two = np.zeros((1, 1, 2, 3), bool)
    with pytest.raises(InputError, match="1 - p among the fractions"):
        retraining.diff_roar([0.1, 0.5], two, two)


def test_weights_are_the_trapezoid_rule():
    np.testing.assert_allclose(score_weights(np.array(FRACTIONS)), [0.15, 0.2, 0.2, 0.2, 0.15])
    np.testing.assert_allclose(score_weights(np.array([0.5])), [0.5])


def test_end_points():
    accuracy = np.array([[0.5]])
    x, y = Curve("roar", np.array([0.5]), accuracy).with_ends(untouched=0.9, chance=0.1)
    np.testing.assert_allclose(x, [0, 0.5, 1])
    np.testing.assert_allclose(y, [0.9, 0.5, 0.1])
    np.testing.assert_allclose(
        Curve("kar", np.array([0.5]), accuracy).with_ends(0.9, 0.1)[1], [0.1, 0.5, 0.9]
    )


@pytest.mark.parametrize(
    ("mode", "fractions", "shape", "message"),
    [
        ("roarr", FRACTIONS, (1, 5), r"Unknown mode 'roarr'\. Did you mean 'roar'"),
        ("roar", (0.1, 1.0), (1, 2), "Fractions must increase within"),
        ("roar", (0.5, 0.3), (1, 2), "Fractions must increase within"),
        ("roar", (0.5,), (1, 2), r"`accuracy` must have shape \(repeats, 1\)"),
    ],
)
def test_bad_curves(mode, fractions, shape, message):
    with pytest.raises(InputError, match=message):
        Curve(mode, np.array(fractions), np.zeros(shape))


def test_outcomes_must_match():
    own = np.zeros((1, 2, 5, 4), bool)
    with pytest.raises(InputError, match="those of the baseline the same"):
        score("roar", FRACTIONS, own, own[:, :1])
    with pytest.raises(InputError, match="Outcomes must have shape"):
        score("roar", FRACTIONS[:2], own, own)
    with pytest.raises(InputError, match="Unknown mode 'karr'"):
        score("karr", FRACTIONS, own, own)


def test_pixel_count():
    assert [pixel_count(f, 64) for f in FRACTIONS] == [6, 19, 32, 45, 58]
    for bad in (0, 1, -0.1, float("nan")):
        with pytest.raises(InputError, match=r"must lie in \(0, 1\)"):
            pixel_count(bad, 64)


@pytest.mark.parametrize("keep", [False, True])
def test_masking_equals_plain_numpy_byte_by_byte(keep):
    rng = np.random.default_rng(0)
    x, order = rng.random((20, 7, 6, 3), np.float32), random_ranks((20, 7, 6), seed=1)
    fill, count = np.array([0.1, 0.5, 0.7], np.float32), 13
    expected = x.copy()
    top = order < count
    expected[~top if keep else top] = fill
    found = keras.ops.convert_to_numpy(masked(x, order, np.int32(count), np.bool_(keep), fill))
    np.testing.assert_array_equal(
        removed(order, count / 42, "kar" if keep else "roar"), ~top if keep else top
    )
    assert found.tobytes() == expected.tobytes()
    assert (found != x).any(-1).sum() == 20 * ((42 - count) if keep else count)


# Data whose answer is known: 36 pixels of noise, of which the 9 informative ones lean to a pattern
# of the class.
INFORMATIVE = np.zeros((6, 6), bool)
INFORMATIVE[1:4, 2:5] = True


@pytest.fixture(scope="module")
def known():
    rng = np.random.default_rng(5)
    patterns = rng.choice([-1.0, 1.0], (4, 9))

    def draw(n):
        y = rng.integers(0, 4, n).astype(np.int32)
        x = rng.uniform(0, 1, (n, 6, 6))
        x[:, INFORMATIVE] = np.clip(0.5 + 0.25 * patterns[y] + rng.normal(0, 0.2, (n, 9)), 0, 1)
        return (x * 255).astype(np.uint8)[..., None], y

    return *draw(1500), *draw(1000)


def order(which: str, n: int, seed: int) -> np.ndarray:
    importance = {"right": INFORMATIVE, "reverse": ~INFORMATIVE, "random": np.zeros((6, 6))}[which]
    return ranks(np.broadcast_to(importance, (n, 6, 6)).astype(np.float32), seed=seed)


def retrained(
    data,
    mode: str,
    fractions,
    train_ranks,
    test_ranks,
    repeats: int,
    fill: np.ndarray | None = None,
) -> np.ndarray:
    """Outcomes of networks retrained on masked images, `(1, repeats, fractions, images)`."""
    from pellucid import models

    x, y, x_test, y_test = data
    fill = x.mean(axis=(0, 1, 2)).astype(np.float32) / 255 if fill is None else fill
    classes = int(y.max()) + 1

    def outcome(fraction: float, seed: int) -> np.ndarray:
        network = models.get("mlp")(x.shape[1:], classes, seed=seed, width=0.5)
        mask = Mask(train_ranks, fraction, mode, fill)
        values, _ = train(network, x, y, seed=seed, epochs=12, mask=mask)
        test = Mask(test_ranks, fraction, mode, fill)
        return predicted_classes(network, x_test, mask=test, values=values) == y_test

    seeds = iter(range(repeats * len(fractions)))
    return np.array([[[outcome(f, next(seeds)) for f in fractions] for _ in range(repeats)]])


@pytest.fixture(scope="module")
def known_outcomes(known):
    x, _, x_test, _ = known

    def run(mode, which, seed):
        orders = order(which, len(x), seed), order(which, len(x_test), seed + 1)
        return retrained(known, mode, FRACTIONS, *orders, repeats=2)

    found = {(mode, "baseline"): run(mode, "random", 100) for mode in MODES}
    for mode in MODES:
        for which in ("right", "reverse", "random"):
            found[mode, which] = run(mode, which, 200)
    return found


@pytest.fixture(scope="module")
def known_scores(known_outcomes):
    return {
        (mode, which): score(mode, FRACTIONS, own, known_outcomes[mode, "baseline"])
        for (mode, which), own in known_outcomes.items()
        if which != "baseline"
    }


@pytest.mark.parametrize("mode", ["roar", "kar"])
def test_right_attribution_wins_reverse_loses_random_is_zero(known_scores, mode):
    assert known_scores[mode, "right"].low > 0.1
    assert known_scores[mode, "reverse"].high < -0.05
    assert abs(known_scores[mode, "random"].value) < 0.02
    random = known_scores[mode, "random"]
    assert random.low - 0.01 <= 0 <= random.high + 0.01


def test_diff_roar_of_right_reversed_and_random_maps(known_outcomes):
    """Reversed, what is kept and what is removed change places."""
    values = {
        which: float(
            retraining.diff_roar(
                FRACTIONS, known_outcomes["kar", which], known_outcomes["roar", which]
            )
            .sum(axis=2)
            .mean()
        )
        for which in ("right", "reverse", "random")
    }
    assert values["right"] > 0.1
    assert values["reverse"] == pytest.approx(-values["right"], abs=0.02)
    assert abs(values["random"]) < 0.02


# Objects at random places: a patch of 3x3, bright in one class and dark in the other.
SIDE, PATCH = 8, 3


def translated(rng: np.random.Generator, n: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Images, labels, and where the object is, `(n, h, w)` bool."""
    y = rng.integers(0, 2, n).astype(np.int32)
    x = rng.uniform(0.3, 0.7, (n, SIDE, SIDE))
    rows, columns = rng.integers(0, SIDE - PATCH + 1, (2, n))
    i, j = np.mgrid[:SIDE, :SIDE]
    truth = (
        (i >= rows[:, None, None])
        & (i < rows[:, None, None] + PATCH)
        & (j >= columns[:, None, None])
        & (j < columns[:, None, None] + PATCH)
    )
    x[truth] = np.repeat(np.where(y == 1, 0.75, 0.25), PATCH**2)
    return (x * 255).astype(np.uint8)[..., None], y, truth


class Specific(NamedTuple):
    """Scores of attributions whose truth is known.

    Attributes:
        scores: Specific, by mode, attribution and shuffle.
        net_kar: By attribution.
        leak: By attribution, that of the random order among them.
    """

    scores: dict[tuple[str, str, str], float]
    net_kar: dict[str, float]
    leak: dict[str, float]


@pytest.fixture(scope="module")
def specific() -> Specific:
    """Of the right pixels, a pattern of the class and a mean map."""
    rng = np.random.default_rng(0)
    x, y, truth = translated(rng, 1500)
    x_test, y_test, truth_test = translated(rng, 600)
    corners = np.zeros((2, SIDE, SIDE))
    corners[0, :PATCH, :PATCH] = corners[1, -PATCH:, -PATCH:] = 1
    maps = {
        "right": (truth.astype(float), truth_test.astype(float)),
        "class": (corners[y], corners[y_test]),
        "mean": tuple(np.broadcast_to(truth.mean(0), t.shape) for t in (truth, truth_test)),
    }
    data, fractions = (x, y, x_test, y_test), [PATCH**2 / SIDE**2]

    white = (np.full_like(x, 255), y, np.full_like(x_test, 255), y_test)
    maps["random"] = (np.zeros(truth.shape), np.zeros(truth_test.shape))

    def of(mode, train_maps, test_maps, data=data, fill=None):
        orders = (ranks(np.asarray(m, np.float32), seed=7) for m in (train_maps, test_maps))
        return retrained(data, mode, fractions, *orders, repeats=2, fill=fill)

    def total(values):
        return float(values.sum(axis=2).mean())

    found = Specific({}, {}, {})
    random = of("kar", *maps["random"])
    for name, (train_maps, test_maps) in maps.items():
        masks = of("kar", train_maps, test_maps, white, np.zeros(1, np.float32))
        found.leak[name] = total(retraining.leak(fractions, masks, 2))
        kar = of("kar", train_maps, test_maps)
        found.net_kar[name] = total(retraining.net_kar(fractions, kar, random, masks))
        for mode in ("roar", "kar") if name != "random" else ():
            own = kar if mode == "kar" else of(mode, train_maps, test_maps)
            for shuffle, (of_train, of_test) in {
                "any": (controls.shuffled(len(y), 1), controls.shuffled(len(y_test), 2)),
                "within": (controls.shuffled_within(y, 1), controls.shuffled_within(y_test, 2)),
            }.items():
                shuffled = of(mode, train_maps[of_train], test_maps[of_test])
                score = total(retraining.area(mode, fractions, own, shuffled))
                found.scores[mode, name, shuffle] = score
    return found


@pytest.mark.parametrize("mode", ["roar", "kar"])
def test_specific_scores_see_the_link_to_the_image_alone(specific, mode):
    """The right pixels score; a mean map never does, a pattern of the class over classes only.

    Taking a pattern of the class out leaves the object in most images, which tells it anyway.
    """
    scores = {key[1:]: value for key, value in specific.scores.items() if key[0] == mode}
    assert scores["right", "any"] > 0.1
    assert scores["right", "within"] > 0.1
    assert scores["mean", "any"] == 0
    assert scores["mean", "within"] == 0
    assert scores["class", "any"] > 0.1 if mode == "kar" else abs(scores["class", "any"]) < 0.05
    assert scores["class", "within"] == 0


def test_masks_alone_tell_of_the_class_what_their_shape_does(specific):
    """A random order tells nothing; a pattern of the class all, so that KAR adds nothing."""
    assert abs(specific.leak["random"]) < 0.02
    assert specific.leak["class"] > 0.2
    assert specific.net_kar["class"] <= 0
    assert specific.net_kar["right"] > 0.1
