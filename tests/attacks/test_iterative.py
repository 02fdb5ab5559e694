"""The attacks of the ensemble, step by step: against plain NumPy, solvers and the papers."""

from dataclasses import dataclass

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from pellucid.attacks import losses
from pellucid.attacks.autoattack import randomness, stepping
from pellucid.attacks.autoattack.apgd import (
    Apgd,
    checkpoints,
    target_classes,
)
from pellucid.attacks.autoattack.fab import onto_hyperplane
from pellucid.attacks.autoattack.queue import run as run_queue
from pellucid.attacks.autoattack.square import bump, sides
from pellucid.attacks.starts import at_distance
from pellucid.models import backend
from pellucid.models.errors import InputError
from pellucid.models.functional import logits_of, state

numpy = keras.ops.convert_to_numpy


def test_checkpoints_of_the_paper():
    assert checkpoints(100) == [22, 41, 57, 70, 80, 87, 93, 99]
    assert checkpoints(10) == [2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert checkpoints(1) == [1]


Z = np.array([[2.0, 1.0, -1.0, 0.5], [0.0, 3.0, 1.0, 2.0]], np.float32)
Y = np.array([0, 2])


def test_difference_of_logits_ratio_by_hand():
    np.testing.assert_allclose(numpy(losses.dlr(Z, Y)), [-1 / 1.5, 2 / 2], rtol=1e-6)
    target = np.array([2, 1])
    np.testing.assert_allclose(
        numpy(losses.dlr_targeted(Z, Y, target)), [-3 / (2 + 0.25), 2 / (3 - 0.5)], rtol=1e-6
    )
    np.testing.assert_allclose(numpy(losses.margin_targeted(Z, Y, target)), [-3, 2], rtol=1e-6)
    np.testing.assert_allclose(numpy(losses.margin(Z, Y)), [-1, 2], rtol=1e-6)


@pytest.mark.parametrize("scale", [1e-15, 1e4])
def test_difference_of_logits_ratio_does_not_change_with_the_scale(scale):
    scaled = (Z * np.float32(scale)).astype(np.float32)
    np.testing.assert_allclose(numpy(losses.dlr(scaled, Y)), numpy(losses.dlr(Z, Y)), rtol=1e-5)


def test_losses_that_need_more_classes():
    with pytest.raises(InputError, match=r"at least 3 classes\. Received 2"):
        losses.dlr(Z[:, :2], Y)
    with pytest.raises(InputError, match=r"at least 4 classes\. Received 3"):
        losses.dlr_targeted(Z[:, :3], Y, Y)


def test_targets_are_ranked_on_the_clean_logits():
    for rank, expected in ((1, [1, 1]), (2, [3, 3]), (3, [2, 0])):
        np.testing.assert_array_equal(
            numpy(target_classes(Z, Y, np.full(2, rank, np.int32))), expected
        )


def first_state(x, y, epsilon):
    n = len(x)
    keys = keras.ops.convert_to_tensor(randomness.keys_of(3, np.arange(n)))
    run = keras.ops.zeros((n,), "int32")
    return stepping.initial_state(
        keras.ops.convert_to_tensor(x), y, keys, np.full(n, epsilon, np.float32), run
    )


def plain_apgd(value_and_gradient, x, start, norm, epsilon, steps):
    """Algorithm 1 of Croce and Hein for one image, in float64, until it succeeds."""

    def project(z):
        change = z - x
        if norm == "linf":
            change = np.clip(change, -epsilon, epsilon)
        else:
            change = change * min(1.0, epsilon / max(np.linalg.norm(change), 1e-300))
        return np.clip(x + change, 0, 1)

    def direction(g):
        return np.sign(g) if norm == "linf" else g / np.linalg.norm(g)

    point = before = start
    value, gradient, _ = value_and_gradient(point)
    best = (value, point, gradient)
    size, raised, checked, halved = 2 * epsilon, 0, value, False
    marks = checkpoints(steps)
    for k in range(steps):
        ahead = project(point + size * direction(gradient))
        share = 1.0 if k == 0 else 0.75
        new = project(point + share * (ahead - point) + (1 - share) * (point - before))
        new_value, new_gradient, wrong = value_and_gradient(new)
        if wrong:
            return new, True
        raised += new_value > value
        if new_value > best[0]:
            best = (new_value, new, new_gradient)
        before, point, value, gradient = point, new, new_value, new_gradient
        if k + 1 in marks:
            length = k + 1 - ([0, *marks][marks.index(k + 1)])
            halve = raised < 0.75 * length or (not halved and best[0] <= checked)
            if halve:
                size /= 2
                value, point, gradient = best
            halved, checked, raised = halve, best[0], 0
    return best[1], False


@pytest.mark.parametrize(("norm", "epsilon"), [("linf", 0.05), ("l2", 0.3)])
def test_apgd_is_the_published_algorithm(norm, epsilon, digits, digits_model):
    """Image by image against plain NumPy; the gradient is the model's, in float32."""
    logits = logits_of(digits_model, state(digits_model))
    x = (digits.x_test[:30] / np.float32(255)).astype(np.float32)
    y = digits.y_test[:30].astype(np.int32)
    steps = 30
    before = first_state(x, y, epsilon)
    key = randomness.fold_in(before["key"], before["run"])
    start = numpy(at_distance(before["x"], before["radius"], norm, key))
    attack = Apgd(norm, "dlr", steps)
    after = stepping.advance(attack, logits, attack.start(logits, before), steps)
    ended = np.where(
        numpy(after["success"])[:, None, None, None],
        numpy(after["x_adv"]),
        numpy(after["best_point"]),
    )
    same, success = [], []
    for i in range(len(x)):
        label = y[i : i + 1]

        def evaluated(point, label=label):
            tensor = keras.ops.convert_to_tensor(point[None].astype(np.float32))

            def total(z):
                out = logits(z)
                return keras.ops.sum(losses.dlr(out, label)), out

            value, out, gradient = backend.value_aux_and_gradient(total, tensor)
            return (
                float(value),
                numpy(gradient)[0].astype(np.float64),
                int(numpy(out).argmax()) != label[0],
            )

        if evaluated(start[i].astype(np.float64))[2]:
            expected, wrong = start[i], True
        else:
            expected, wrong = plain_apgd(
                evaluated, x[i].astype(np.float64), start[i], norm, epsilon, steps
            )
        same.append(np.abs(ended[i] - expected).max() < 1e-3 * epsilon)
        success.append(wrong)
    np.testing.assert_array_equal(numpy(after["success"]), success)
    assert 3 < sum(success) < 27
    assert np.mean(same) > 0.9, same  # a sign of a gradient near zero may turn by rounding


def distance_by_root(x, w, rise, norm):
    """The change to the hyperplane in the box, by Brent's method in float64, and its tolerance.

    The attack's sums are rounded to about a millionth of the rise: where few pixels, of small
    weights, are still free, that is a long way."""
    w = w * np.sign(rise)
    room = np.where(w > 0, 1 - x, np.where(w < 0, x, 0))
    pace = np.abs(w) if norm == "l2" else np.ones_like(w)

    def change(t):
        return np.sign(w) * np.minimum(t * pace, room)

    if np.abs(w) @ room <= abs(rise):
        return np.sign(w) * room, 2e-6 + 3e-6 * abs(rise) / np.maximum(np.abs(w), 1e-30)
    high = 1.0
    while w @ change(high) < abs(rise):
        high *= 2
    t = brentq(lambda t: w @ change(t) - abs(rise), 0, high, xtol=1e-15)
    slope = (np.abs(w) * pace)[(1 + 1e-5) * t * pace < room].sum()
    return change(t), 2e-6 + 3e-6 * abs(rise) / max(slope, 1e-30) * pace


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 10_000),
    st.sampled_from(["l2", "linf"]),
    st.floats(-1.25, 1.25, allow_subnormal=False),
    st.sampled_from([1, 3]),
)
def test_shortest_way_to_a_hyperplane_within_the_box(seed, norm, share, spread):
    rng = np.random.default_rng(seed)
    x = np.clip(rng.uniform(-0.3, 1.3, (1, 20)), 0, 1).astype(np.float32)
    w = (rng.normal(size=(1, 20)) * np.exp(spread * rng.normal(size=(1, 20)))).astype(np.float32)
    toward = w * np.sign(share)
    most = (np.abs(w) * np.where(toward > 0, 1 - x, x)).sum()
    rise = np.array([share * most], np.float32)
    found = numpy(
        onto_hyperplane(keras.ops.convert_to_tensor(x), keras.ops.convert_to_tensor(w), rise, norm)
    )[0]
    if share == 0:
        np.testing.assert_array_equal(found, 0)
        return
    expected, off = distance_by_root(
        x[0].astype(np.float64), w[0].astype(np.float64), float(rise[0]), norm
    )
    assert (np.abs(found - expected) <= off).all(), (found - expected, off)
    assert (w[0] * np.sign(share)) @ found == pytest.approx(min(abs(rise[0]), most), rel=1e-5)


def test_square_windows_follow_the_published_schedule():
    linf = sides(10_000, 28, 28, 0.8, "linf")
    changes = [0, *np.flatnonzero(np.diff(linf)) + 1]
    assert changes == [0, 11, 51, 201, 501, 1001, 2001, 4001, 8001]
    assert linf[changes].tolist() == [25, 18, 13, 9, 6, 4, 3, 2, 1]
    assert set(sides(10_000, 28, 28, 0.8, "l2") % 2) == {1}
    assert sides(10_000, 28, 28, 0.8, "l2").min() == 3
    assert sides(5, 2, 2, 0.8, "l2").max() == 2


@pytest.mark.parametrize("side", [1, 2, 3, 5, 8])
def test_a_bump_has_norm_one_and_two_signs(side):
    found = bump(side)
    assert found.shape == (side, side)
    np.testing.assert_allclose(np.linalg.norm(found), 1, rtol=1e-6)
    assert (found[: side // 2] > 0).all()
    assert (found[side // 2 :] < 0).all()


def test_random_numbers_have_their_distributions():
    keys = keras.ops.convert_to_tensor(randomness.keys_of(5, np.arange(2000)))
    uniform, normal = numpy(randomness.uniform(keys, (50,))), numpy(randomness.normal(keys, (50,)))
    assert abs(uniform.mean() - 0.5) < 0.005
    assert abs(uniform.var() - 1 / 12) < 0.001
    assert abs(normal.mean()) < 0.015
    assert abs(normal.var() - 1) < 0.02
    assert abs(numpy(randomness.signs(keys, (50,))).mean()) < 0.015
    for other in (
        numpy(randomness.uniform(randomness.fold_in(keys, 1), (50,))),
        np.roll(uniform, 1, 0),
        np.roll(uniform, 1, 1),
    ):
        assert abs(np.corrcoef(uniform.ravel(), other.ravel())[0, 1]) < 0.015
    assert len(set(randomness.keys_of(5, np.arange(2000)).tolist())) == 2000
    assert not set(randomness.keys_of(6, np.arange(2000)).tolist()) & set(
        randomness.keys_of(5, np.arange(2000)).tolist()
    )


def test_a_queue_of_no_images(digits, digits_model):
    outcome = run_queue(
        Apgd("linf"),
        digits_model,
        digits.x_test[:0],
        digits.y_test[:0],
        epsilon=0.1,
        keys=np.zeros(0),
    )
    assert outcome.x_adv.shape == (0, 8, 8, 1)


@pytest.mark.skipif(backend.fixed_shapes(), reason="a compiler that needs every size knows two")
def test_images_leave_and_enter_without_another_compilation(digits, digits_model):
    """One start and one loop of steps are traced, however many images are in the batch."""
    lengths, steps = [], []

    @dataclass(frozen=True)
    class Watched(Apgd):
        def start(self, logits, state):
            lengths.append(state["x"].shape)
            return super().start(logits, state)

        def step(self, logits, state):
            steps.append(state["x"].shape)
            return super().step(logits, state)

    x, y = digits.x_test[:30], digits.y_test[:30]
    keys = randomness.keys_of(0, np.arange(30))
    out = run_queue(
        Watched("linf", steps=10, restarts=2),
        digits_model,
        x,
        y,
        epsilon=0.1,
        keys=keys,
        batch_size=16,
    )
    assert 0 < out.success.sum() < 30
    assert len(lengths) == len(steps) == 1
