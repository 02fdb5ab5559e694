"""Attributions on a linear network, where the gradient is known."""

import subprocess
import sys

import numpy as np
import pytest

from pellucid.metrics import (
    ATTRIBUTIONS,
    attributions,
    integrated_gradients,
    smoothgrad,
)
from pellucid.models.errors import InputError
from tests.conftest import ROOT, linear_model

RNG = np.random.default_rng(3)
WEIGHTS = RNG.normal(0, 0.3, (2 * 3 * 2, 3))
X = RNG.uniform(0, 1, (5, 2, 3, 2)).astype(np.float32)


def by_hand() -> np.ndarray:
    """d xent(f(x), argmax f) / d(2x - 1) = W (p - onehot) / 2."""
    logits = X.reshape(5, -1).astype(np.float64) @ WEIGHTS
    p = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    p[np.arange(5), logits.argmax(1)] -= 1
    return (p @ WEIGHTS.T / 2).reshape(X.shape)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gradient", lambda g: np.abs(g).sum(-1)),
        ("gradient_input", lambda g: np.abs((2 * X - 1) * g).sum(-1)),
        ("log_likelihood_gradient", lambda g: -g.sum(-1)),
    ],
)
def test_linear_network(name, expected):
    model = linear_model(WEIGHTS, np.zeros(3), (2, 3, 2))
    np.testing.assert_allclose(
        attributions.run(name, model, X, batch_size=2), expected(by_hand()), rtol=1e-4, atol=1e-6
    )


def test_uint8_and_float_images_agree(digits, digits_model):
    x = digits.x_test[:20]
    as_float = attributions.run("gradient", digits_model, x / np.float32(255))
    np.testing.assert_allclose(
        attributions.run("gradient", digits_model, x), as_float, rtol=1e-4, atol=1e-7
    )


def test_unknown_name(digits, digits_model):
    with pytest.raises(
        InputError, match=r"Unknown attribution 'gradients'\. Did you mean 'gradient'"
    ):
        attributions.run("gradients", digits_model, digits.x_test[:2])


def test_every_record_has_a_function_and_names_of_its_own(digits, digits_model):
    for name, record in ATTRIBUTIONS.items():
        assert record.name == name
        maps = attributions.run(name, digits_model, digits.x_test[:2], fill=digits.channel_means())
        assert maps.shape == (2, 8, 8)
        assert (maps >= 0).all()
        assert (maps > 0).any()
    for field in ("letter", "title"):
        assert len({getattr(record, field) for record in ATTRIBUTIONS.values()}) == len(
            ATTRIBUTIONS
        )


def test_channel_means_change_only_the_gradients_that_take_them(digits, digits_model):
    x = digits.x_test[:2]
    for name, record in ATTRIBUTIONS.items():
        dark, light = (
            attributions.run(name, digits_model, x, fill=np.full(1, mean)) for mean in (0.1, 0.6)
        )
        assert np.array_equal(dark, light) != record.takes_fill, name


def test_records_are_read_without_keras():
    program = "import sys, pellucid.metrics; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=True)


def test_passes_are_the_gradients_of_a_map():
    stated = {name: record.passes for name, record in ATTRIBUTIONS.items()}
    assert {stated.pop(name) for name in ("gradient", "gradient_input")} == {1}
    assert {stated.pop(f"integrated_gradients{end}") for end in ("", "_mean")} == {
        integrated_gradients.STEPS
    }
    assert set(stated.values()) == {smoothgrad.DRAWS}
