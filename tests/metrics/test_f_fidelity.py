"""F-Fidelity, on networks for which the probability of every prediction is known."""

import keras
import numpy as np
import pytest

from pellucid import models
from pellucid.attacks.autoattack import randomness
from pellucid.metrics import attributions, f_fidelity
from pellucid.metrics.f_fidelity import FRACTIONS, MASKS
from pellucid.models.errors import InputError
from pellucid.models.functional import predict, program, state
from tests.conftest import linear_model
from tests.ranks import random_ranks, ranks

SIZE = 10
"""Side of an image: 100 pixels."""
PROBABILITIES = np.array([1 / 2, 1 / 3, 1 / 5, 1 / 7, 1 / 9])
"""min(1/2, 10 / m) of each of m = 10, 30, 50, 70, 90 pixels to be removed."""
FILL = np.array([0.9, 0.9, 0.1], np.float32)


def reader(pixels: list[tuple[int, int]], channel=2) -> keras.Model:
    """Class 1 where all of these pixels are bright in a channel, else class 0."""
    weights = np.zeros((SIZE, SIZE, 3, 2))
    for pixel in pixels:
        weights[(*pixel, channel)] = [0, 1]
    bias = np.array([0.9 * len(pixels) - 0.5, 0])  # a removed pixel takes 0.8 from 0.9 each
    return linear_model(weights.reshape(-1, 2), bias, (SIZE, SIZE, 3))


def bright(n: int) -> np.ndarray:
    return np.full((n, SIZE, SIZE, 3), 0.9, np.float32)


def map_of(pixels: list[tuple[int, int]], n: int) -> np.ndarray:
    """The attribution that is 1 in these pixels and 0 elsewhere."""
    values = np.zeros((n, SIZE, SIZE), np.float32)
    for row, column in pixels:
        values[:, row, column] = 1
    return values


def run(model, n, order, **options):
    return f_fidelity.run(
        model, bright(n), np.ones(n, int), order, **({"fill": FILL, "seed": 4} | options)
    )


def within_five_deviations(values, p):
    """Means over `values` `(k, n)`, each a share of `MASKS` draws with probability p `(k,)`."""
    deviation = np.sqrt(p * (1 - p) / (MASKS * values.shape[1]))
    assert (abs(values.mean(1) - p) < 5 * deviation).all()


@pytest.mark.parametrize("pixels", [[(3, 7)], [(0, 0), (9, 4)]], ids=["one pixel", "two pixels"])
def test_the_map_of_the_pixels_that_are_read(pixels):
    """All pixels must be there: FFid+ = 1 - (1 - p)^pixels, and FFid- is exactly 0."""
    n = 200
    found = run(reader(pixels), n, ranks(map_of(pixels, n), seed=0))
    assert found.untouched.all()
    assert found.fractions == FRACTIONS
    assert (found.minus() == 0).all()
    p = 1 - (1 - PROBABILITIES) ** len(pixels)
    within_five_deviations(found.plus(), p)
    # 50 masks of an image are drawn anew, and so is every image: the counts are binomial
    variance = found.without_top.var(axis=1, ddof=1) / (MASKS * p * (1 - p))
    assert (abs(variance - 1) < 5 * np.sqrt(2 / (n - 1))).all()


def test_the_reversed_map():
    """The pixel is always among the others, of which there are 90, 70, 50, 30 and 10."""
    n = 200
    found = run(reader([(3, 7)]), n, ranks(-map_of([(3, 7)], n), seed=0))
    assert (found.plus() == 0).all()
    within_five_deviations(found.minus(), PROBABILITIES[::-1])


def test_a_random_order():
    """FFid+(s) and FFid-(1 - s) are both min(s / 2, 1 / 10) on average, whatever the pixel."""
    n = 1000
    found = run(reader([(3, 7)]), n, random_ranks((n, SIZE, SIZE), seed=1))
    s, p = np.array(FRACTIONS), PROBABILITIES
    expected = np.minimum(s / 2, 0.1)
    np.testing.assert_allclose(expected, s * p)
    deviation = np.sqrt((s * p * (1 - p) / MASKS + s * (1 - s) * p**2) / n)
    assert (abs(found.plus().mean(1) - expected) < 5 * deviation).all()
    assert (abs(found.minus().mean(1)[::-1] - expected) < 5 * deviation).all()


def test_a_network_that_reads_nothing():
    """Right or wrong, its prediction does not change: both values are exactly 0."""
    model = linear_model(np.zeros((300, 2)), np.array([0.0, 1.0]), (SIZE, SIZE, 3))
    y = np.array([1, 0, 1, 0, 0])
    order = random_ranks((5, SIZE, SIZE), seed=1)
    found = f_fidelity.run(model, bright(5), y, order, fill=FILL, seed=0, masks=7)
    np.testing.assert_array_equal(found.untouched, y == 1)
    np.testing.assert_array_equal(found.without_top, np.tile(7 * (y == 1), (5, 1)))
    assert (found.plus() == 0).all()
    assert (found.minus() == 0).all()


def test_against_masks_made_one_at_a_time(digits, digits_model):
    """A trained network, on images masked in NumPy by the same draws."""
    x, y = digits.x_test[:8], digits.y_test[:8]
    order = ranks(attributions.run("gradient", digits_model, x), seed=2)
    fill = digits.channel_means()
    options = {"fractions": (0.25, 0.75), "masks": 6, "alpha": 0.5, "beta": 0.2}
    found = f_fidelity.run(digits_model, x, y, order, fill=fill, seed=9, **options)
    keys = randomness.keys_of(9, np.arange(8))
    expected = np.zeros((2, 2, 8), int)
    for j in range(6):
        folded = randomness.fold_in(keras.ops.convert_to_tensor(keys), j)
        drawn = keras.ops.convert_to_numpy(randomness.uniform(folded, (8, 8)))
        for k, count in enumerate((16, 48)):
            for side in range(2):
                masked = x.astype(np.float32) / np.float32(255)
                members = (order < count) if side == 0 else (order >= count)
                size = (count, 64 - count)[side]
                removed = members & (drawn < (0.5 if size == 16 else 12.8 / 48))
                masked[removed] = fill
                expected[side, k] += predict(digits_model, masked).argmax(-1) == y
    np.testing.assert_array_equal(found.without_top, expected[0])
    np.testing.assert_array_equal(found.without_rest, expected[1])
    assert (expected < 6).any()


def test_masks_belong_to_the_image_and_the_seed():
    n = 30
    model, order = reader([(3, 7)]), random_ranks((n, SIZE, SIZE), seed=1)
    whole = run(model, n, order)
    for size in (7, 16):
        again = run(model, n, order, batch_size=size)
        np.testing.assert_array_equal(again.without_top, whole.without_top)
        np.testing.assert_array_equal(again.without_rest, whole.without_rest)
    places = np.array([21, 4, 5])
    part = run(model, 3, order[places], places=places)
    np.testing.assert_array_equal(part.without_top, whole.without_top[:, places])
    assert not np.array_equal(run(model, n, order, seed=5).without_top, whole.without_top)


def test_other_weights_take_the_place_of_the_models(digits, digits_model):
    x, y = digits.x_test[:20], digits.y_test[:20]
    order = random_ranks(x.shape[:3], seed=1)
    options = {"fill": digits.channel_means(), "seed": 0, "fractions": (0.5,), "masks": 4}
    other = models.get("digits_cnn")((8, 8, 1), 10, seed=3)
    theirs = f_fidelity.run(digits_model, x, y, order, **options)
    ours = f_fidelity.run(other, x, y, order, values=state(digits_model), **options)
    np.testing.assert_array_equal(ours.untouched, theirs.untouched)
    np.testing.assert_array_equal(ours.without_top, theirs.without_top)
    assert not f_fidelity.run(other, x, y, order, **options).untouched.all()


def test_one_program_serves_all_fractions_and_masks():
    """Other networks, seeds and probabilities do not compile again either."""
    n = 9
    model, order = reader([(3, 7)]), random_ranks((n, SIZE, SIZE), seed=1)

    def never(_):
        raise AssertionError("a new program")

    def compiled() -> int:
        made = program(model, ("f-fidelity",), never)
        count = getattr(made, "experimental_get_tracing_count", None)
        return count() if count else made._cache_size()

    run(model, n, order)
    before = compiled()
    run(reader([(1, 1)]), n, order, fractions=(0.2,), masks=3, alpha=0.9, beta=0.3, seed=8)
    assert compiled() == before


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": np.zeros((2, 9, 9), int)}, r"`ranks` must have shape \(2, 10, 10\)"),
        ({"fill": np.zeros(1)}, r"`fill` must have shape \(3,\)\. Received \(1,\)"),
        ({"places": np.zeros(3)}, r"`places` must have shape \(2,\)"),
        ({"masks": 0}, "`masks` must be at least 1. Received 0"),
        ({"alpha": 0}, r"`alpha` must lie in \(0, 1\]"),
        ({"beta": 0}, "`beta` above 0"),
        ({"fractions": (1.0,)}, r"must lie in \(0, 1\)"),
    ],
)
def test_mistakes(change, message):
    order = change.pop("order", np.zeros((2, SIZE, SIZE), int))
    with pytest.raises(InputError, match=message):
        run(reader([(3, 7)]), 2, order, **change)
