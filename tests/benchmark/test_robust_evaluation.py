"""Accuracy at rising radii on models with known answers; each flag on a model that raises it."""

import dataclasses

import keras
import numpy as np
import pytest

from pellucid.benchmark.robustness import radii
from pellucid.benchmark.robustness.counts import AttackCount, RisingRadii
from pellucid.benchmark.robustness.flags import flags
from pellucid.benchmark.robustness.radii import evaluate
from tests.conftest import linear_model

SHAPE = (2, 2, 1)
W = np.array([[1.0, 0.0, -2.0, 0.5]]).T @ np.array([[-1.0, 1.0]])
B = np.array([0.5, 0.0])
RADII = {"l2": [0.05, 0.1, 0.2], "linf": [0.05, 0.1, 0.2]}


@pytest.fixture(scope="module")
def images():
    """Away from the box's edges, so that it does not get in an attack's way."""
    return np.random.default_rng(0).uniform(0.3, 0.7, (200, *SHAPE)).astype(np.float32)


@pytest.fixture(scope="module")
def linear():
    return linear_model(W, B, SHAPE)


def run(model, x, y, **change):
    options = {
        "radii": RADII,
        "steps": 10,
        "losses": ["xent", "cw"],
        "source": None,
        "seed": 0,
    } | change
    return evaluate(model, x, y, **options)


def raised(counts: RisingRadii, classes: int) -> dict[str, dict]:
    return {flag.name: flag.evidence for flag in flags(counts, classes)}


def margin(x: np.ndarray) -> np.ndarray:
    z = x.reshape(len(x), -1) @ W + B
    return z[:, 1] - z[:, 0]


def test_accuracy_of_a_linear_model_is_that_of_the_formula(linear, images):
    """An image falls when the radius exceeds |margin| / (dual norm of the margin's gradient)."""
    y = (margin(images) > 0).astype(np.int32)
    found = run(linear, images, y)
    direction = W[:, 1] - W[:, 0]
    assert (found.clean, found.examples) == (200, 200)
    checked = 0
    for row in found.attacks:
        if row.attack == "noise":
            continue
        dual = np.linalg.norm(direction) if row.norm == "l2" else np.abs(direction).sum()
        assert row.hits == int((np.abs(margin(images)) > row.epsilon * dual).sum()), row
        checked += 1
    assert checked == 2 * 3 * 3
    assert flags(found, 2) == []


def test_counts_of_what_gradients_do_not_see(linear, images):
    y = (margin(images) > 0).astype(np.int32)
    found = run(linear, images, y, source=linear)
    assert {row.by for row in found.unseen} == {"noise", "transfer"}
    assert all(row.images == 0 for row in found.unseen), "its transferred examples are those of PGD"


def rounded(linear: keras.Model) -> keras.Model:
    """The same decisions on a grid of inputs, and no gradient anywhere."""
    inputs = keras.Input(SHAPE)
    return keras.Model(
        inputs, linear(keras.layers.Lambda(lambda x: keras.ops.round(x * 50) / 50)(inputs))
    )


def test_masked_gradients_are_flagged(linear, images):
    model = rounded(linear)
    y = model(images).numpy().argmax(-1).astype(np.int32)
    found = run(model, images, y, source=linear)
    by_name = raised(found, 2)
    assert {"black_box_beats_gradient", "accuracy_does_not_fall", "zero_gradients"} <= set(by_name)
    assert by_name["zero_gradients"] == {"images": 200, "examples": 200, "share": 1.0}
    worst = by_name["black_box_beats_gradient"]
    transferred = [row.images for row in found.unseen if row.by == "transfer"]
    assert worst["images"] == max(transferred) > 2
    assert by_name["accuracy_does_not_fall"]["accuracy_at_large"] == 1.0


def test_noise_that_beats_gradients_is_flagged(linear, images):
    near = images[np.argsort(np.abs(margin(images)))[:50]]
    model = rounded(linear)
    y = model(near).numpy().argmax(-1).astype(np.int32)
    assert "noise_beats_gradient" in raised(run(model, near, y), 2)


def test_probabilities_are_flagged(linear, images):
    model = keras.Sequential([keras.Input(SHAPE), linear, keras.layers.Activation("sigmoid")])
    y = (margin(images) > 0).astype(np.int32)
    assert "probabilities" in raised(run(model, images, y), 2)


def test_randomness_is_flagged(linear, images):
    counts = run(linear, images[:4], np.zeros(4, np.int32))
    assert counts.pass_difference == 0
    noisy = dataclasses.replace(counts, pass_difference=0.01 * counts.largest_logit)
    assert raised(noisy, 2)["non_deterministic"]["pass_difference"] == noisy.pass_difference


def with_hits(hits: dict[float, int], examples: int = 100) -> RisingRadii:
    rows = [AttackCount("pgd", "l2", radius, "xent", 1, n) for radius, n in hits.items()]
    return RisingRadii(examples, examples, tuple(rows), (), 0, 0.0, 1.0, False)


def test_a_rise_with_the_radius_is_flagged_with_the_pair():
    ((name, evidence),) = raised(with_hits({0.1: 50, 0.2: 40, 0.4: 45}), 10).items()
    assert name == "accuracy_does_not_fall"
    assert (evidence["small_epsilon"], evidence["large_epsilon"]) == (0.2, 0.4)
    assert flags(with_hits({0.1: 50, 0.2: 40, 0.4: 40}), 10) == [], "equal does not rise"
    twice = raised(with_hits({0.1: 50, 0.2: 40, 0.3: 42, 0.4: 44}, examples=200), 10)
    assert twice["accuracy_does_not_fall"]["large_epsilon"] == 0.4, "two rises of one percent add"
    level = with_hits({0.1: 50, 0.2: 50, 0.4: 50})
    assert raised(level, 10)["accuracy_does_not_fall"]["large_epsilon"] == 0.4, (
        "accuracy does not fall from the smallest radius to the largest"
    )
    assert flags(level, 2) == [], "at chance it cannot fall"


def test_steps_reach_across_the_ball():
    _, pgd = radii.attacks_at("l2", 0.4, steps=10, losses=["xent"])
    assert pgd.step_size * pgd.steps == pytest.approx(2.5 * 0.4)
