"""The tilt of a boundary, on networks whose angle can be worked out by hand."""

import numpy as np
import pytest

from pellucid.attacks.attack import Attack, run
from pellucid.metrics.tilt import mean_change, tilt
from pellucid.models.errors import InputError
from tests.conftest import linear_model


def test_angle_to_a_line_whatever_its_sign_and_length():
    x = np.zeros((4, 2))
    x_adv = np.array([[1, 1], [2, 2], [0, 0], [1, 1.0]])
    for line in ([1, 0], [-3, 0], [0, 0.1]):
        assert tilt(x, x_adv, np.array(line)) == pytest.approx(45)
    assert tilt(x, x_adv, np.array([1, -1])) == pytest.approx(90)
    assert tilt(x, x_adv, np.array([2, 2])) == pytest.approx(0, abs=1e-5)


def test_mean_change_is_not_the_mean_of_angles():
    """A long change counts for more: (3, 0) and (0, 1) together point along (3, 1)."""
    x, x_adv = np.zeros((2, 2)), np.array([[3.0, 0], [0, 1]])
    np.testing.assert_allclose(mean_change(x, x_adv), [1.5, 0.5])
    assert tilt(x, x_adv, np.array([1, 0])) == pytest.approx(np.degrees(np.arctan2(1, 3)))


@pytest.mark.parametrize("degrees", [0, 20, 65, 90])
def test_linear_network(degrees):
    """An L2 attack on logits (w.x, -w.x) moves along w: the tilt is the angle of w to the line."""
    w = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees))])
    model = linear_model(np.stack([w, -w], axis=1), np.zeros(2), (2,))
    x = np.random.default_rng(0).uniform(0.4, 0.6, (50, 2)).astype(np.float32)
    x_adv = run(Attack("pgd", "l2", 0.2, steps=5, step_size=0.1), model, x, np.ones(50, np.int32))
    assert tilt(x, x_adv, np.array([1.0, 0.0])) == pytest.approx(degrees, abs=0.05)


def test_an_attack_that_moves_nothing_has_no_direction():
    x = np.ones((3, 2))
    assert np.isnan(tilt(x, x, np.array([1, 0])))


@pytest.mark.parametrize(
    ("x", "x_adv", "line", "message"),
    [
        (np.zeros((2, 2)), np.zeros((3, 2)), [1, 0], r"one shape. Received \(2, 2\) and \(3, 2\)"),
        (np.zeros((0, 2)), np.zeros((0, 2)), [1, 0], "one or more examples"),
        (np.zeros((2, 2)), np.ones((2, 2)), [0, 0], "`line` must be 2 numbers, not all zero"),
        (np.zeros((2, 2)), np.ones((2, 2)), [1, 0, 0], "`line` must be 2 numbers"),
    ],
)
def test_mistakes(x, x_adv, line, message):
    with pytest.raises(InputError, match=message):
        tilt(x, x_adv, np.array(line))
