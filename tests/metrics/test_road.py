"""ROAD on networks whose hits are known, and on orders whose score is."""

import numpy as np
import pytest

from pellucid.metrics.road import ORDERS, road, road_score
from pellucid.models.errors import InputError
from tests.conftest import linear_model
from tests.metrics.test_imputation import exact
from tests.ranks import random_ranks, ranks

FRACTIONS = (0.1, 0.3, 0.5, 0.7, 0.9)
MOST = 1 - (0.1 + 0.1) / 2
"""What the trapezoid rule gives to curves that are 1 apart at all fractions."""

READ = np.zeros((6, 6), bool)
READ[2, 1:4] = True
"""Three of 36 pixels; a tenth is four."""


@pytest.fixture(scope="module")
def reader():
    """A network that reads three pixels alone, and images on which it is right thanks to them.

    Label 1 if the three are brighter than .5. In images of class 1 they are white and all others
    black, in images of class 0 the reverse, so that whatever is imputed for all three is wrong.
    """
    weights = np.zeros((6, 6, 3, 2))
    weights[READ, :, 1] = 1
    model = linear_model(weights.reshape(-1, 2), np.array([4.5, 0]), (6, 6, 3))
    y = np.arange(30) % 2
    x = np.where((y == 1)[:, None, None] == READ, 255, 0).astype(np.uint8)
    return model, np.repeat(x[..., None], 3, axis=-1), y


def both(model, x, y, order, **options):
    return tuple(road(model, x, y, order, fractions=FRACTIONS, order=o, **options) for o in ORDERS)


def test_the_pixels_that_a_network_reads_get_the_best_score(reader):
    model, x, y = reader
    right = ranks(np.broadcast_to(READ, (30, 6, 6)).astype(np.float32), seed=0)
    morf, lerf = both(model, x, y, right)
    assert morf.shape == (5, 30)
    assert not morf.any()
    assert lerf.all()
    np.testing.assert_allclose(road_score(morf, lerf, FRACTIONS), MOST)


@pytest.mark.parametrize("seed", range(3))
def test_the_reverse_of_an_order_has_minus_its_score(digits, digits_model, seed):
    x, y = digits.x_test[:150], digits.y_test[:150]
    order = random_ranks((150, 8, 8), seed=seed)
    scores = [
        road_score(*both(digits_model, x, y, o, seed=seed), FRACTIONS) for o in (order, 63 - order)
    ]
    assert np.abs(scores[0]).mean() > 0.05
    np.testing.assert_array_equal(scores[0], -scores[1])


@pytest.mark.parametrize("seed", range(2))
def test_a_random_order_scores_zero(digits, digits_model, seed):
    """An order and its reverse are equally likely, so the mean of n scores has 0 expected.

    Images are independent: its standard error is std / sqrt(n), of which it stays within 4.
    """
    x, y = np.tile(digits.x_test, (2, 1, 1, 1)), np.tile(digits.y_test, 2)
    order = random_ranks((len(x), 8, 8), seed=seed)
    scores = road_score(*both(digits_model, x, y, order), FRACTIONS)
    assert scores.std() > 0.05
    assert abs(scores.mean()) < 4 * scores.std() / np.sqrt(len(scores))


def test_a_network_that_ignores_its_input_scores_zero(digits):
    model = linear_model(np.zeros((64, 10)), np.eye(10)[3], (8, 8, 1))
    x, y = digits.x_test[:60], digits.y_test[:60]
    pixel_values = ranks(x[..., 0].astype(np.float32), seed=0)
    morf, lerf = both(model, x, y, pixel_values)
    np.testing.assert_array_equal(morf, np.tile(y == 3, (5, 1)))
    assert not road_score(morf, lerf, FRACTIONS).any()


@pytest.mark.parametrize("order", ORDERS)
def test_hits_of_a_linear_network_by_hand(order):
    """Without noise: the sparse solution times the weights; 36 pixels, of which 4, 11, 18, ..."""
    rng = np.random.default_rng(2)
    weights, x = rng.normal(size=(6 * 6 * 3, 4)), rng.random((80, 6, 6, 3)).astype(np.float32)
    y = rng.integers(0, 4, 80)
    importance = random_ranks((80, 6, 6), seed=1)
    sequence = importance if order == "morf" else 35 - importance
    found = road(
        linear_model(weights, np.zeros(4), (6, 6, 3)),
        x,
        y,
        importance,
        fractions=FRACTIONS,
        order=order,
        noise=0,
    )
    for row, count in zip(found, (4, 11, 18, 25, 32), strict=True):
        logits = exact(x, sequence < count).reshape(80, -1) @ weights
        top = np.sort(logits, axis=1)
        # An error of 1/2000 in every pixel moves the difference of two logits by less than this.
        sure = top[:, -1] - top[:, -2] > 2 * np.abs(weights).sum(0).max() / 2000
        assert sure.mean() > 0.8
        np.testing.assert_array_equal(row[sure], (logits.argmax(1) == y)[sure])


def test_noise_is_added_once_per_image_and_not_per_batch(digits, digits_model):
    x, y = digits.x_test[:50], digits.y_test[:50]
    order = random_ranks((50, 8, 8), seed=0)
    options = {"fractions": (0.3, 0.6), "order": "morf", "noise": 0.3}
    found = road(digits_model, x, y, order, **options)
    np.testing.assert_array_equal(found, road(digits_model, x, y, order, batch_size=7, **options))
    assert (found != road(digits_model, x, y, order, seed=1, **options)).any()
    assert (found != road(digits_model, x, y, order, **options | {"noise": 0})).any()


def test_score_by_hand():
    """Differences 1, 0, -1 at .2, .5, .7: widths .25, .25, .25."""
    morf, lerf = np.array([[0, 0], [1, 0], [1, 1]], bool), np.array([[1, 0], [1, 1], [0, 1]], bool)
    np.testing.assert_allclose(road_score(morf, lerf, (0.2, 0.5, 0.7)), [0.0, 0.25])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "mrof"}, r"Unknown order 'mrof'\. Did you mean 'morf'"),
        ({"fractions": (0.5, 0.3)}, "Fractions must increase within"),
        ({"fractions": (0.5, 1.0)}, "Fractions must increase within"),
        ({"fractions": (0.999,)}, "needs a pixel that is not removed"),
        ({"ranks": np.zeros((30, 6, 6, 3), int)}, r"one rank per pixel of `x`, shape \(30, 6, 6\)"),
        ({"y": np.full(30, 2)}, r"`y` must lie in \[0, 1\]"),
    ],
)
def test_mistakes(reader, change, message):
    model, x, y = reader
    arguments = {"y": y, "ranks": random_ranks((30, 6, 6), seed=0)}
    arguments |= {"fractions": FRACTIONS, "order": "morf"} | change
    with pytest.raises(InputError, match=message):
        road(model, x, arguments.pop("y"), arguments.pop("ranks"), **arguments)


def test_score_of_other_shapes():
    with pytest.raises(InputError, match=r"must both have shape \(2, n\)"):
        road_score(np.zeros((3, 4)), np.zeros((3, 4)), (0.2, 0.4))
    with pytest.raises(InputError, match="must both have shape"):
        road_score(np.zeros((2, 4)), np.zeros((2, 5)), (0.2, 0.4))
