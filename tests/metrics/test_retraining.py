"""ROAR and KAR: the formulas by hand, and the measures on data with known informative pixels."""

import keras
import numpy as np
import pytest

from robust_interpretability.benchmark.training.classifier import train
from robust_interpretability.benchmark.training.masks import Mask
from robust_interpretability.benchmark.training.prediction import predicted_classes
from robust_interpretability.metrics import MODES
from robust_interpretability.metrics.masking import masked, pixel_count
from robust_interpretability.metrics.retraining import Curve, score, score_weights
from robust_interpretability.models.errors import InputError
from tests.ranks import random_ranks, ranks

FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)


def test_score_by_hand():
    """Differences .1, .2, .3, .4, .5 at the fractions, 0 at both ends: widths .1, .2 x 4, .1."""
    baseline = Curve("roar", np.array(FRACTIONS), np.full((2, 5), 0.6))
    curve = Curve(
        "roar",
        np.array(FRACTIONS),
        np.array([[0.4, 0.3, 0.2, 0.1, 0.0], [0.6, 0.5, 0.4, 0.3, 0.2]]),
    )
    area = 0.1 * 0.05 + 0.2 * (0.15 + 0.25 + 0.35 + 0.45) + 0.1 * 0.25
    found = score([curve], baseline)
    assert found.value == pytest.approx(area)
    assert found.low < found.value < found.high
    assert found.n == 2 * 5
    reversed_curve, reversed_baseline = (
        Curve("kar", c.fractions, c.accuracy) for c in (curve, baseline)
    )
    assert score([reversed_curve], reversed_baseline).value == pytest.approx(-area)


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


def test_curve_and_baseline_must_match():
    a, b = (Curve(mode, np.array([0.5]), np.zeros((1, 1))) for mode in ("roar", "kar"))
    with pytest.raises(InputError, match="same mode and fractions"):
        score([a], b)
    with pytest.raises(InputError, match="same mode and fractions"):
        score([a, Curve("roar", np.array([0.4]), np.zeros((1, 1)))], a)


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


@pytest.fixture(scope="module")
def known_scores(known):
    from robust_interpretability import models

    x, y, x_test, y_test = known
    fill = x.mean(axis=(0, 1, 2)).astype(np.float32) / 255
    built = {s: models.get("mlp")((6, 6, 1), 4, seed=s, width=0.5) for s in range(3)}

    def curve(mode, which, seed):
        train_ranks, test_ranks = order(which, len(x), seed), order(which, len(x_test), seed + 1)

        def accuracy(fraction, repeat):
            mask = Mask(train_ranks, fraction, mode, fill)
            values, _ = train(built[repeat], x, y, seed=repeat, epochs=12, mask=mask)
            test = Mask(test_ranks, fraction, mode, fill)
            classes = predicted_classes(built[repeat], x_test, mask=test, values=values)
            return (classes == y_test).mean()

        repeats = [[accuracy(fraction, repeat) for fraction in FRACTIONS] for repeat in range(3)]
        return Curve(mode, np.array(FRACTIONS), np.array(repeats))

    found = {}
    for mode in MODES:
        baseline = curve(mode, "random", 100)
        for which in ("right", "reverse", "random"):
            found[mode, which] = score([curve(mode, which, 200)], baseline)
    return found


@pytest.mark.parametrize("mode", ["roar", "kar"])
def test_right_attribution_wins_reverse_loses_random_is_zero(known_scores, mode):
    assert known_scores[mode, "right"].low > 0.1
    assert known_scores[mode, "reverse"].high < -0.05
    assert abs(known_scores[mode, "random"].value) < 0.02
    random = known_scores[mode, "random"]
    assert random.low - 0.01 <= 0 <= random.high + 0.01
