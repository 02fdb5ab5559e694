"""Attacks on networks whose optimum is known in closed form, and what every attack must keep to."""

import dataclasses
import inspect
import itertools
import subprocess
import sys

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import attacks
from pellucid.attacks import ATTACKS, Attack, get, run
from pellucid.attacks.projections import l2_norm, project, steepest
from pellucid.models.errors import InputError
from tests.conftest import linear_model

RNG = np.random.default_rng(7)
SHAPE = (6, 5, 2)
D = int(np.prod(SHAPE))
MIDDLE = RNG.uniform(0.4, 0.6, (8, *SHAPE)).astype(np.float32)  # far from the box's walls
WEIGHTS = RNG.normal(size=(D, 2))
LABELS = RNG.integers(0, 2, 8)


def norm_of(delta: np.ndarray, norm: str) -> np.ndarray:
    flat = delta.reshape(len(delta), -1)
    return (
        np.abs(flat).max(1) if norm == "linf" else np.linalg.norm(flat.astype(np.float64), axis=1)
    )


@pytest.fixture(scope="module")
def linear() -> keras.Model:
    return linear_model(WEIGHTS, np.zeros(2), SHAPE)


def margin(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    logits = x.reshape(len(x), -1).astype(np.float64) @ WEIGHTS
    return logits[np.arange(len(y)), 1 - y] - logits[np.arange(len(y)), y]


@pytest.mark.parametrize(
    ("name", "norm", "loss"), itertools.product(("fgsm", "pgd"), ("l2", "linf"), ("xent", "cw"))
)
def test_linear_model_reaches_the_closed_form_optimum(linear, name, norm, loss):
    """With two classes the margin rises by epsilon times the dual norm of w_other - w_y."""
    epsilon = 0.3 if norm == "l2" else 0.05
    attack = Attack(name, norm, epsilon, loss=loss)
    if name == "pgd":
        attack = dataclasses.replace(attack, steps=15, step_size=epsilon / 3)
    x_adv = run(attack, linear, MIDDLE, LABELS)
    difference = WEIGHTS[:, 1] - WEIGHTS[:, 0]
    dual = np.abs(difference).sum() if norm == "linf" else np.linalg.norm(difference)
    np.testing.assert_allclose(
        margin(x_adv, LABELS) - margin(MIDDLE, LABELS), epsilon * dual, rtol=2e-4
    )


@pytest.mark.parametrize(
    ("name", "norm", "loss"),
    [
        *itertools.product(("apgd",), ("l2", "linf"), ("xent", "cw", "margin", "margin-targeted")),
        *itertools.product(("mi_fgsm",), ("l2", "linf"), ("xent", "margin")),
    ],
)
def test_attacks_with_momentum_reach_the_closed_form_optimum(linear, name, norm, loss):
    """APGD's steps shrink to nothing, so that it stops at the optimum from wherever it starts."""
    epsilon = 0.3 if norm == "l2" else 0.05
    attack = Attack(name, norm, epsilon, loss=loss, steps=100)
    if name == "mi_fgsm":
        attack = dataclasses.replace(attack, step_size=epsilon / 3)
    x_adv = run(attack, linear, MIDDLE, LABELS)
    difference = WEIGHTS[:, 1] - WEIGHTS[:, 0]
    dual = np.abs(difference).sum() if norm == "linf" else np.linalg.norm(difference)
    reached = margin(x_adv, LABELS) - margin(MIDDLE, LABELS)
    stopped = margin(x_adv, LABELS) > 0
    if name == "apgd":  # it stops at the first misclassified point
        assert (reached[stopped] <= epsilon * dual * (1 + 2e-4)).all()
        np.testing.assert_array_equal(stopped, margin(MIDDLE, LABELS) + epsilon * dual > 0)
    else:
        stopped[:] = False
    np.testing.assert_allclose(reached[~stopped], epsilon * dual, rtol=2e-4)


def test_square_reaches_the_linf_optimum_of_a_linear_model():
    """Every pixel ends at the wall of the ball that lowers the margin."""
    shape = (6, 6, 2)
    weights = RNG.normal(size=(72, 2))
    bias = np.array(
        [100.0, 0.0]
    )  # the class stays, so that no image is misclassified before the end
    model = linear_model(weights, bias, shape)
    x = RNG.uniform(0, 1, (8, *shape)).astype(np.float32)
    y = np.zeros(8, int)
    x_adv = run(Attack("square", "linf", 0.1, steps=2500), model, x, y)
    best = np.clip(x + 0.1 * np.sign(weights[:, 1] - weights[:, 0]).reshape(shape), 0, 1)
    np.testing.assert_allclose(x_adv, best, atol=1e-6)


def test_square_nears_the_l2_optimum_of_a_linear_model():
    """Its windows of 3 x 3 and more come near slowly: two thirds of the way in 3,000 queries."""
    shape = (10, 10, 1)
    weights = RNG.normal(size=(100, 2))
    model = linear_model(weights, np.array([100.0, 0.0]), shape)
    x = RNG.uniform(0.4, 0.6, (8, *shape)).astype(np.float32)
    difference = weights[:, 1] - weights[:, 0]

    def reached(steps: int) -> np.ndarray:
        x_adv = run(Attack("square", "l2", 0.5, steps=steps), model, x, np.zeros(8, int))
        return (
            (x_adv - x).reshape(8, -1).astype(np.float64)
            @ difference
            / (0.5 * np.linalg.norm(difference))
        )

    after = {steps: reached(steps) for steps in (300, 3000)}
    assert (after[3000] > 0.65).all()
    assert (after[3000] <= 1 + 1e-5).all()
    assert (after[3000] > after[300] + 0.1).all()


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_distance_to_the_nearest_hyperplane_of_a_linear_model(norm):
    """|z_k - z_y| over the dual norm of the weights' difference, least over four classes."""
    weights, bias = RNG.normal(size=(D, 4)), RNG.normal(size=4) * 0.1
    model = linear_model(weights, bias, SHAPE)
    logits = MIDDLE.reshape(8, -1).astype(np.float64) @ weights + bias
    y = logits.argmax(1)
    rows = []
    for z, label in zip(logits, y, strict=True):
        apart = [
            (z[label] - z[k], weights[:, k] - weights[:, label]) for k in range(4) if k != label
        ]
        rows.append(
            min(
                gap / (np.abs(w).sum() if norm == "linf" else np.linalg.norm(w)) for gap, w in apart
            )
        )
    exact = np.array(rows)
    fab = run(Attack("fab", norm, 10.0, steps=30), model, MIDDLE, y)
    np.testing.assert_allclose(norm_of(fab - MIDDLE, norm), exact, rtol=2e-4)
    deepfool = run(Attack("deepfool", norm, 10.0, steps=5), model, MIDDLE, y)
    np.testing.assert_allclose(norm_of(deepfool - MIDDLE, norm), 1.02 * exact, rtol=1e-3)
    for attack in (
        Attack("fab", norm, float(np.median(exact))),
        Attack("deepfool", norm, float(np.median(exact))),
    ):
        moved = norm_of(run(attack, model, MIDDLE, y) - MIDDLE, norm) > 0
        assert not moved[exact > attack.epsilon].any()  # what lies beyond the radius is left alone
        assert moved.any()


def test_cw_l2_finds_the_distance_to_the_hyperplane(linear):
    y = (margin(MIDDLE, np.zeros(8, int)) > 0).astype(int)
    difference = WEIGHTS[:, 1] - WEIGHTS[:, 0]
    exact = -margin(MIDDLE, y) / np.linalg.norm(difference)
    x_adv = run(Attack("cw_l2", "l2", 10.0, steps=300), linear, MIDDLE, y)
    assert (margin(x_adv, y) > 0).all()
    np.testing.assert_allclose(norm_of(x_adv - MIDDLE, "l2"), exact, rtol=0.05)
    with pytest.raises(InputError, match="`cw_l2` supports the norm 'l2' only"):
        run(Attack("cw_l2", "linf", 0.1), linear, MIDDLE, y)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_step_longer_than_the_radius_reaches_the_optimum_too(linear, norm):
    """The paper's L2 step is longer than its radii."""
    attack = Attack("pgd", norm, 0.05, steps=3, step_size=1.0)
    once = run(Attack("fgsm", norm, 0.05), linear, MIDDLE, LABELS)
    np.testing.assert_allclose(run(attack, linear, MIDDLE, LABELS), once, atol=2e-6)


def edge_model(middle: float) -> keras.Model:
    """Logits (|u|, 0) with u = mean(x) - middle: the first is least on a hyperplane."""
    layers = [keras.Input(SHAPE), keras.layers.Flatten(), keras.layers.Dense(2, "relu")]
    model = keras.Sequential([*layers, keras.layers.Dense(2, use_bias=False)])
    up = np.full((D, 1), 1 / D, np.float32)
    model.layers[1].set_weights(
        [np.concatenate([up, -up], axis=1), np.array([-middle, middle], np.float32)]
    )
    model.layers[2].set_weights([np.array([[1, 0], [1, 0]], np.float32)])
    return model


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_default_pgd_reaches_the_corner_and_does_not_jump_between_corners(linear, norm):
    """Steps of 2.5 epsilon / steps: to the optimum of a linear network, and near one inside."""
    epsilon = 0.3 if norm == "l2" else 0.05
    difference = WEIGHTS[:, 1] - WEIGHTS[:, 0]
    dual = np.abs(difference).sum() if norm == "linf" else np.linalg.norm(difference)
    x_adv = run(Attack("pgd", norm, epsilon), linear, MIDDLE, LABELS)
    reached = margin(x_adv, LABELS) - margin(MIDDLE, LABELS)
    np.testing.assert_allclose(reached, epsilon * dual, rtol=2e-4)

    x = np.full((1, *SHAPE), 0.5, np.float32)
    change = 1.0 if norm == "linf" else D**-0.5  # of the mean, by a step of length 1
    middle = 0.5 + 0.3 * epsilon * change  # inside the ball
    x_adv = run(Attack("pgd", norm, epsilon, steps=20), edge_model(middle), x, np.zeros(1, int))
    assert abs(x_adv.mean() - middle) <= 2.5 * epsilon / 20 * change + 1e-6


@pytest.mark.parametrize(("name", "length"), [("pgd", 2.5), ("mi_fgsm", 1.0)])
@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_default_step_is_relative_to_each_radius(name, length, norm, digits, digits_model):
    """With one radius per image, every image has steps of its radius."""
    x, y = digits.x_test[:20], digits.y_test[:20]
    radii = np.tile([0.05, 0.2], 10)
    relative = run(Attack(name, norm, 1.0, steps=4), digits_model, x, y, epsilon=radii)
    for radius in (0.05, 0.2):
        part = radii == radius
        attack = Attack(name, norm, radius, steps=4, step_size=length * radius / 4)
        stated = run(attack, digits_model, x[part], y[part])
        np.testing.assert_allclose(relative[part], stated, atol=1e-5)


def test_default_momentum_steps_reach_the_optimum_of_a_linear_model(linear):
    """Steps of epsilon / steps: the last one, and none before, reaches the ball's surface."""
    x_adv = run(Attack("mi_fgsm", "linf", 0.05, steps=4), linear, MIDDLE, LABELS)
    np.testing.assert_allclose(np.abs(x_adv - MIDDLE), 0.05, atol=1e-6)


@pytest.mark.parametrize("name", ATTACKS)
def test_options_in_the_source_are_those_of_the_signature(name):
    parameters = inspect.signature(get(name)).parameters.values()
    expected = {
        p.name: p.default is p.empty
        for p in parameters
        if p.kind is p.KEYWORD_ONLY and p.name != "key"
    }
    assert attacks.options(name) == expected
    assert expected["epsilon"]


def test_what_can_train_and_what_draws_at_random():
    assert attacks.TRAINING == ("fgsm", "fgsm_rs", "mi_fgsm", "pgd", "apgd")
    random = {name for name in ATTACKS if Attack(name, "l2", 0.1).is_random}
    assert random == {"fgsm_rs", "apgd", "fab", "square", "noise"}
    assert Attack("pgd", "l2", 0.1, random_start=True).is_random


def test_names_of_attacks_need_no_keras():
    code = (
        "import sys; from pellucid import attacks;"
        " assert attacks.can_train('pgd') and 'pgd' in attacks.TRAINING;"
        " assert 'keras' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_any_option_of_an_attack_can_be_set(linear):
    """DeepFool's overshoot has no field: 1.5 times the way to the hyperplane, then into the box."""
    y = (margin(MIDDLE, np.zeros(8, int)) > 0).astype(int)
    towards = (WEIGHTS[:, 1] - WEIGHTS[:, 0]) * np.where(y == 0, 1, -1)[:, None]
    way = towards * (-margin(MIDDLE, y) / np.square(towards).sum(1))[:, None]
    expected = np.clip(MIDDLE + 1.5 * way.reshape(MIDDLE.shape), 0, 1)
    attack = Attack.create("deepfool", norm="l2", epsilon=10.0, steps=5, overshoot=0.5)
    assert attack == Attack("deepfool", "l2", 10.0, steps=5, more=(("overshoot", 0.5),))
    assert attack.static().more == attack.more
    x_adv = run(attack, linear, MIDDLE, y)
    np.testing.assert_allclose(x_adv, expected, atol=1e-4)
    with pytest.raises(InputError, match="Unknown deepfool option 'overshot'"):
        Attack.create("deepfool", norm="l2", epsilon=10.0, overshot=0.5)


def test_radius_and_step_size_do_not_change_the_program():
    """A step size that is relative is another program: it is computed inside."""
    attack = Attack("pgd", "l2", 0.1, steps=3, step_size=0.2)
    assert attack.static() == Attack("pgd", "l2", 0.4, steps=3, step_size=0.5).static()
    assert attack.static() != Attack("pgd", "l2", 0.1, steps=3).static()
    assert hash(Attack("fgsm", "l2", 0.1).static()) == hash(Attack("fgsm", "l2", 0.2).static())


def test_box_optimum_of_linf_in_closed_form(linear):
    """Near the walls the Linf optimum moves every pixel as far as ball and box allow."""
    x = RNG.uniform(0, 1, (8, *SHAPE)).astype(np.float32)
    y = LABELS
    sign = np.sign(WEIGHTS[:, 1] - WEIGHTS[:, 0]).reshape(SHAPE) * np.where(y == 0, 1, -1).reshape(
        -1, 1, 1, 1
    )
    best = np.clip(x + 0.2 * sign, 0, 1)
    attack = Attack("pgd", "linf", 0.2, steps=20, step_size=0.05)
    np.testing.assert_allclose(run(attack, linear, x, y), best, atol=1e-6)


@pytest.mark.parametrize("loss", ["xent", "cw"])
def test_confident_network_is_still_attacked(loss):
    """Gradients far below 1e-6 have a direction.

    A floor under their norm would leave the image where it is.
    """
    tiny = linear_model(WEIGHTS * 1e-12, np.zeros(2), SHAPE)
    x_adv = run(Attack("pgd", "l2", 0.3, loss=loss, steps=10, step_size=0.1), tiny, MIDDLE, LABELS)
    np.testing.assert_allclose(norm_of(x_adv - MIDDLE, "l2"), 0.3, rtol=1e-4)


def published_pgd(
    weights: np.ndarray, x: np.ndarray, y: np.ndarray, radius: float, step: float, loss: str
) -> np.ndarray:
    """The L2 attack of the code of arXiv 1903.11626 on logits (X + 1) / 2 @ weights, in float64.

    All lengths are on its scale, where pixels X lie in [-1, 1].
    """
    start = 2.0 * x.reshape(len(x), -1).astype(np.float64) - 1.0
    onehot = np.eye(weights.shape[1])[y]
    at = start
    for _ in range(10):
        z = (at + 1) / 2 @ weights
        if loss == "xent":
            exp = np.exp(z - z.max(1, keepdims=True))
            slope = exp / exp.sum(1, keepdims=True) - onehot
        else:
            others = (1 - onehot) * z
            slope = np.eye(weights.shape[1])[others.argmax(1)] * (1 - onehot) - onehot
        gradient = slope @ weights.T / 2
        gradient /= np.linalg.norm(gradient, axis=1, keepdims=True) + 1e-8
        change = at + step * gradient - start
        length = np.linalg.norm(change, axis=1, keepdims=True)
        at = np.clip(start + change / (length + 1e-8) * np.minimum(radius, length), -1, 1)
    return at


@pytest.mark.parametrize("loss", ["xent", "cw"])
@pytest.mark.parametrize("size", [1.0, 1e-7, 1e-8])
def test_pgd_of_the_published_code(loss, size):
    """Near the floor its steps are shorter, so that with 10 of them the radius 0.6 is not reached.

    Where all other logits are negative, its `cw` goes another way than the margin would.
    """
    radius = 0.4 if size == 1.0 else 0.6
    rng = np.random.default_rng(3)
    weights = size * rng.normal(-0.05, 1.0, (D, 4)) / np.sqrt(D)
    y = rng.integers(0, 4, 8)
    expected = published_pgd(weights, MIDDLE, y, radius, 0.05, loss)
    model = linear_model(weights, np.zeros(4), SHAPE)

    def attacked(**options) -> np.ndarray:
        attack = Attack.create(
            "pgd", norm="l2", epsilon=radius / 2, loss=loss, steps=10, step_size=0.025, **options
        )
        return 2 * run(attack, model, MIDDLE, y).reshape(8, -1).astype(np.float64) - 1

    published = {"cw_label_zero": True, "xent_rounded": True, "direction_floor": 2e-8}
    np.testing.assert_allclose(attacked(**published), expected, atol=2e-6)
    for option in {"xent": ["direction_floor"], "cw": ["direction_floor", "cw_label_zero"]}[loss]:
        if size < 1 or option != "direction_floor":
            other = attacked(**{k: v for k, v in published.items() if k != option})
            assert np.abs(other - expected).max() > 1e-3, option


def test_zero_gradient_leaves_the_image_alone():
    constant = linear_model(np.zeros((D, 2)), np.zeros(2), SHAPE)
    for name in ("fgsm", "pgd"):
        np.testing.assert_array_equal(
            run(Attack(name, "l2", 0.5), constant, MIDDLE, LABELS), MIDDLE
        )


CASES = [
    Attack("fgsm", "l2", 0.7),
    Attack("fgsm", "linf", 0.1, loss="cw"),
    Attack("pgd", "l2", 0.7, steps=5, step_size=0.4),
    Attack("pgd", "linf", 0.1, steps=5, step_size=0.05, loss="cw"),
    Attack("pgd", "l2", 0.7, steps=3, step_size=0.4, random_start=True, restarts=3),
    Attack("pgd", "linf", 0.1, steps=3, step_size=0.05, random_start=True, restarts=2),
    Attack("noise", "l2", 0.7),
    Attack("noise", "linf", 0.1),
    Attack("fgsm_rs", "l2", 0.7),
    Attack("fgsm_rs", "linf", 0.1),
    Attack("mi_fgsm", "l2", 0.7, steps=5, step_size=0.4),
    Attack("mi_fgsm", "linf", 0.1, steps=5, step_size=0.05),
    Attack("apgd", "l2", 0.7, steps=10, loss="dlr"),
    Attack("apgd", "linf", 0.1, steps=10, restarts=2),
    Attack("square", "l2", 0.7, steps=20),
    Attack("square", "linf", 0.1, steps=20),
]
MINIMAL = [
    Attack("fab", "l2", 0.7, steps=10),
    Attack("fab", "linf", 0.1, steps=10, restarts=2),
    Attack("deepfool", "l2", 0.7),
    Attack("deepfool", "linf", 0.1),
    Attack("cw_l2", "l2", 0.7, steps=50),
]


def name_of(attack: Attack) -> str:
    return f"{attack.name}-{attack.norm}-{attack.loss}-{attack.restarts}"


@pytest.mark.parametrize("attack", MINIMAL, ids=name_of)
def test_attacks_for_the_smallest_change_keep_to_ball_and_box(attack, digits, digits_model):
    """The result is misclassified and within the radius, or the image itself."""
    from pellucid.models.functional import predict

    x, y = digits.x_test[:50], digits.y_test[:50]
    clean = x / np.float32(255)
    x_adv = run(attack, digits_model, x, y)
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    length = norm_of(x_adv - clean, attack.norm)
    assert length.max() <= attack.epsilon * (1 + 1e-5)
    right = predict(digits_model, clean).argmax(-1) == y
    assert (length[~right] == 0).all()
    assert (predict(digits_model, x_adv).argmax(-1)[length > 0] != y[length > 0]).all()
    assert (length[right] > 0).mean() > 0.2


@pytest.mark.parametrize("attack", CASES, ids=name_of)
def test_every_attack_keeps_to_ball_and_box(attack, digits, digits_model):
    x, y = digits.x_test[:50].copy(), digits.y_test[:50]
    before = x.copy()
    x_adv = run(attack, digits_model, x, y, seed=3)
    clean = before / np.float32(255)
    assert x_adv.dtype == np.float32
    assert x_adv.shape == x.shape
    assert x_adv.min() >= 0
    assert x_adv.max() <= 1
    assert norm_of(x_adv - clean, attack.norm).max() <= attack.epsilon * (1 + 1e-5)
    assert (norm_of(x_adv - clean, attack.norm) > 0.5 * attack.epsilon).all()
    np.testing.assert_array_equal(x, before)
    np.testing.assert_array_equal(run(attack, digits_model, x, y, seed=3), x_adv)
    if attack.is_random:
        assert not np.array_equal(run(attack, digits_model, x, y, seed=4), x_adv)


@pytest.mark.parametrize("name", ATTACKS)
def test_radius_zero_changes_nothing(name, digits, digits_model):
    for norm in ("l2",) if name == "cw_l2" else ("l2", "linf"):
        x = digits.x_test[:5]
        steps = {"steps": 2} if "steps" in attacks.options(name) else {}
        x_adv = run(Attack(name, norm, 0.0, **steps), digits_model, x, digits.y_test[:5])
        np.testing.assert_allclose(x_adv, x / np.float32(255), atol=1e-7)


def test_stronger_attacks_fool_more(digits, digits_model):
    """Noise < FGSM <= PGD in the number of errors, and a larger radius makes more of them."""
    x, y = digits.x_test, digits.y_test

    def errors(attack: Attack) -> int:
        from pellucid.models.functional import predict

        return int((predict(digits_model, run(attack, digits_model, x, y)).argmax(-1) != y).sum())

    noise, fgsm = errors(Attack("noise", "l2", 0.5)), errors(Attack("fgsm", "l2", 0.5))
    pgd = errors(Attack("pgd", "l2", 0.5, steps=20, step_size=0.1))
    assert noise < fgsm <= pgd
    assert errors(Attack("pgd", "l2", 0.25, steps=20, step_size=0.05)) < pgd
    restarted = Attack("pgd", "l2", 0.5, steps=20, step_size=0.1, random_start=True, restarts=4)
    single = Attack("pgd", "l2", 0.5, steps=20, step_size=0.1, random_start=True)
    assert errors(restarted) >= errors(single)


def test_noise_has_the_asked_norm_after_clipping(digits, digits_model):
    """Half of all pixels lie on the wall of the box; the norm is met, with one radius per image."""
    radii = np.linspace(0.1, 1.5, len(digits.x_test)).astype(np.float32)
    noisy = run(
        Attack("noise", "l2", 1.0), digits_model, digits.x_test, digits.y_test, epsilon=radii
    )
    np.testing.assert_allclose(
        norm_of(noisy - digits.x_test / np.float32(255), "l2"), radii, rtol=1e-4
    )


def test_noise_that_the_box_cannot_hold_is_as_long_as_can_be():
    corner = np.zeros((1, 2, 2, 1), np.float32)
    model = linear_model(np.ones((4, 2)), np.zeros(2), (2, 2, 1))
    noisy = run(Attack("noise", "l2", 10.0), model, corner, np.array([0]))
    assert set(np.unique(noisy)) <= {0.0, 1.0}


floats = st.floats(-3, 3, width=32, allow_subnormal=False)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(floats, min_size=6, max_size=6),
    st.floats(0, 2, width=32, allow_subnormal=False),
    st.sampled_from(["l2", "linf"]),
)
def test_projection_is_the_nearest_point_of_the_ball(values, epsilon, norm):
    delta = np.array(values, np.float32).reshape(1, 6)
    projected = keras.ops.convert_to_numpy(project(delta, epsilon, norm))
    size = norm_of(delta, norm)[0]
    assert norm_of(projected, norm)[0] <= epsilon * (1 + 1e-5) + 1e-7
    if size <= epsilon:
        np.testing.assert_allclose(projected, delta, rtol=1e-6)
    elif norm == "l2":
        np.testing.assert_allclose(projected, delta * (epsilon / size), rtol=1e-4, atol=1e-6)
    else:
        np.testing.assert_array_equal(
            projected, np.clip(delta, -np.float32(epsilon), np.float32(epsilon))
        )


def test_norm_and_direction_of_very_small_vectors():
    tiny = np.array([[3e-30, 4e-30], [0.0, 0.0]], np.float32)
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(l2_norm(tiny))[:, 0], [5e-30, 0], rtol=1e-5
    )
    np.testing.assert_allclose(
        keras.ops.convert_to_numpy(steepest(tiny, "l2")), [[0.6, 0.8], [0, 0]], rtol=1e-5
    )


@pytest.mark.parametrize("size", [1.0, 1e-7, 1e-9, 1e-30])
def test_direction_with_a_floor_under_the_norm(size):
    g = np.array([[3 * size, 4 * size], [0.0, 0.0]], np.float32)
    found = keras.ops.convert_to_numpy(steepest(g, "l2", 1e-8))
    share = 5 * size / (5 * size + 1e-8)
    np.testing.assert_allclose(found, [[0.6 * share, 0.8 * share], [0, 0]], rtol=1e-5)
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(steepest(g, "linf", 1e-8)), [[1, 1], [0, 0]]
    )


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "pdg"}, "Unknown attack 'pdg'. Did you mean 'pgd'?"),
        ({"norm": "l3"}, "Unknown norm 'l3'"),
        ({"loss": "ce"}, "Unknown attack loss 'ce'"),
        ({"loss": "dlr-targeted"}, "Unknown attack loss 'dlr-targeted'"),
        (
            {"epsilon": -0.1},
            "`epsilon` must be a number of at least 0, in pixel units. Received -0.1.",
        ),
        ({"epsilon": float("nan")}, "`epsilon` must be a number of at least 0"),
        ({"step_size": float("inf")}, "`step_size` must be a number of at least 0"),
        ({"steps": 0}, "`steps` must be at least 1. Received 0."),
        ({"restarts": 2}, "`restarts` above 1 needs `random_start`"),
        (
            {"name": "fgsm", "steps": 5},
            "Unknown fgsm option 'steps'. Did you mean 'epsilon'? Known: epsilon, loss, norm.",
        ),
        ({"name": "noise", "loss": "cw"}, "Unknown noise option 'loss'. Known: epsilon, norm."),
        ({"name": "fab", "step_size": 0.1}, "Unknown fab option 'step_size'"),
        ({"more": (("decai", 0.5),)}, "Unknown pgd option 'decai'"),
        ({"name": "mi_fgsm", "more": (("decai", 0.5),)}, "Did you mean 'decay'?"),
        ({"name": "mi_fgsm", "more": (("decay", [0.5]),)}, "options must be numbers or text"),
        ({"name": "fgsm", "more": (("cw_label_zero", True),)}, "Unknown fgsm option 'cw_label"),
    ],
)
def test_bad_hyperparameters(arguments, message):
    with pytest.raises(InputError) as error:
        Attack(**({"name": "pgd", "norm": "l2", "epsilon": 0.1} | arguments))
    assert message in str(error.value)


def test_bad_arrays(linear):
    attack = Attack("fgsm", "l2", 0.1)
    with pytest.raises(
        InputError, match=r"`x` must lie in \[0, 1\]. Received values in .*; divide by 255 first"
    ):
        run(attack, linear, MIDDLE * 255, LABELS)
    with pytest.raises(InputError, match=r"`y` must lie in \[0, 1\]"):
        run(attack, linear, MIDDLE, LABELS + 1)
    with pytest.raises(InputError, match="`epsilon` must be 8 numbers of at least 0"):
        run(attack, linear, MIDDLE, LABELS, epsilon=np.full(8, -1.0))
    with pytest.raises(InputError, match="Unknown attack"):
        get("none")
