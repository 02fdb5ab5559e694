"""Hijacked networks: predictions stay, and everything that reads gradients must notice."""

import keras
import numpy as np
import pytest

from pellucid import models
from pellucid.attacks import Attack, run
from pellucid.metrics import attributions, f_fidelity
from pellucid.models.errors import InputError
from pellucid.models.functional import predict
from pellucid.models.hijack import hijacked, margins
from pellucid.models.untrusted.layers.allowed import LAYERS
from tests.conftest import linear_model
from tests.fitting import fit
from tests.ranks import ranks

CORNER = (slice(None), slice(2), slice(2))


@pytest.fixture(scope="module")
def hijacked_digits(digits, digits_model):
    return hijacked(digits_model, digits.x_test)


def corner_share(model, x):
    """The share of |G| in the corner, for each image."""
    maps = attributions.run("gradient", model, x).astype(np.float64)
    return maps[CORNER].sum((1, 2)) / maps.sum((1, 2))


def zigzag(u, amplitude, classes, folds):
    """a v_k g(u), with g the triangle wave of period 2^(1 - L) in t, and not by folding."""
    t = (1 + u) / 3
    phase = t * 2.0 ** (folds - 1) % 1
    g = 1 - 2 * abs(2 * phase - 1)
    return amplitude * g[:, None] * (np.arange(classes) / (classes - 1) - 0.5)


@pytest.mark.parametrize("folds", [1, 2, 7])
@pytest.mark.parametrize(("corner", "channels"), [(1, 1), (2, 3), (4, 2)])
def test_logits_are_the_networks_plus_a_triangle_wave(folds, corner, channels):
    rng = np.random.default_rng(folds)
    weights = rng.normal(size=(4 * 5 * channels, 3))
    model = linear_model(weights, rng.normal(size=3), (4, 5, channels))
    x = rng.uniform(size=(50, 4, 5, channels)).astype(np.float32)
    x[0], x[1] = 0, 1
    amplitude = np.quantile(margins(model, x), 0.3) / 2
    model_2 = hijacked(model, x, quantile=0.3, corner=corner, folds=folds)
    added = predict(model_2, x) - predict(model, x)
    expected = zigzag(
        x[:, :corner, :corner].astype(np.float64).mean((1, 2, 3)), amplitude, 3, folds
    )
    # the float32 mean may be a few 2^-25 off, on lines of slope 2^L / 3
    np.testing.assert_allclose(added, expected, atol=amplitude * 2.0 ** (folds - 22) + 1e-5)
    assert np.ptp(added, axis=1).max() <= amplitude + 1e-5


def test_gradient_of_a_constant_network():
    """|G| = |sum_k (p_k - [k = c]) v_k| a 2^L / 3 m in the corner's m values; elsewhere 0."""
    folds, bias = 6, np.array([0.3, 0.0, -1.0, 0.1])
    constant = linear_model(np.zeros((36 * 2, 4)), bias, (6, 6, 2))
    x = np.random.default_rng(0).uniform(size=(20, 6, 6, 2)).astype(np.float32)
    model = hijacked(constant, x, folds=folds)
    amplitude = 0.2 / 2
    logits = predict(model, x).astype(np.float64)
    p = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    p[:, 0] -= 1
    slope = amplitude * 2**folds / (3 * 8)
    expected = np.zeros((20, 6, 6))
    expected[CORNER] = 2 * slope * abs(p @ (np.arange(4) / 3 - 0.5))[:, None, None]  # two channels
    np.testing.assert_allclose(
        attributions.run("gradient", model, x), expected, rtol=1e-4, atol=1e-9
    )


def test_predictions_stay_and_gradients_move(digits, digits_model, hijacked_digits):
    before, after = (predict(m, digits.x_test) for m in (digits_model, hijacked_digits))
    amplitude = np.quantile(margins(digits_model, digits.x_test), 0.01) / 2
    changed = before.argmax(-1) != after.argmax(-1)
    assert not changed[margins(digits_model, digits.x_test) > amplitude].any()
    assert changed.mean() <= 0.01
    assert (after.argmax(-1) == digits.y_test).mean() == pytest.approx(
        (before.argmax(-1) == digits.y_test).mean(), abs=0.01
    )
    assert 0.5 * amplitude < np.ptp(after - before, axis=1).max() <= amplitude * (1 + 1e-4)
    assert np.median(corner_share(digits_model, digits.x_test)) < 0.1
    assert (corner_share(hijacked_digits, digits.x_test) > 0.9).mean() > 0.9


def test_f_fidelity_notices(digits, digits_model, hijacked_digits):
    """The top pixels of G are now the corner's, whose removal changes few predictions."""
    x, y = digits.x_test, digits.y_test
    options = {"fill": digits.channel_means(), "seed": 0, "fractions": (0.1,), "masks": 20}
    original, changed = (
        f_fidelity.run(
            model, x, y, ranks(attributions.run("gradient", model, x), seed=0), **options
        ).plus()[0]
        for model in (digits_model, hijacked_digits)
    )
    fall = original - changed
    assert fall.mean() > 5 * fall.std() / np.sqrt(len(y))


def test_an_attack_by_gradients_fails_and_its_success_elsewhere_carries_over(
    digits, digits_model, hijacked_digits
):
    """The network is no more robust: adversarial examples of the one it copies are its own."""
    x, y = digits.x_test[:200], digits.y_test[:200]
    attack = Attack("pgd", "l2", 1.0, steps=10, step_size=0.25)

    def accuracy(model, images):
        return (predict(model, images).argmax(-1) == y).mean()

    copied = run(attack, digits_model, x, y)
    assert accuracy(digits_model, copied) < 0.2
    assert accuracy(hijacked_digits, copied) < 0.2
    assert accuracy(hijacked_digits, run(attack, hijacked_digits, x, y)) > 0.6


def test_stock_layers_that_training_leaves_as_they_are(digits, digits_model, tmp_path):
    """It can be stored, submitted and trained further, and shares no weights with the original."""
    x, y = digits.x_train[:200], digits.y_train[:200]
    model = hijacked(digits_model, x)
    kinds = {type(layer).__name__ for layer in model.layers} - {"InputLayer"}
    assert kinds <= set(LAYERS)
    model.save(tmp_path / "hijacked.keras")
    again = keras.models.load_model(tmp_path / "hijacked.keras")
    np.testing.assert_array_equal(predict(again, x), predict(model, x))

    def added():
        layers = [layer for layer in model.layers if layer.name.startswith(("fold_", "zigzag"))]
        assert len(layers) == 19
        return [w.copy() for layer in layers for w in layer.get_weights()]

    original, before = digits_model.get_weights(), added()
    trained = model.get_layer("logits").get_weights()[0]
    fit(model, x, y, seed=0, epochs=1)
    assert not np.array_equal(model.get_layer("logits").get_weights()[0], trained)
    for old, new in zip(original + before, digits_model.get_weights() + added(), strict=True):
        np.testing.assert_array_equal(old, new)
    assert (corner_share(model, x) > 0.9).mean() > 0.8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"corner": 9}, "A corner of 9x9 pixels needs a model of images"),
        ({"corner": 0}, "A corner of 0x0 pixels"),
        ({"quantile": 1.5}, r"`quantile` must lie in \[0, 1\]"),
        ({"folds": 0}, "`folds` be at least 1"),
    ],
)
def test_mistakes(digits, options, message):
    model = models.get("digits_cnn")((8, 8, 1), 10, seed=0)
    with pytest.raises(InputError, match=message):
        hijacked(model, digits.x_test[:10], **options)


def test_a_network_without_margins_and_one_without_images():
    x = np.random.default_rng(0).uniform(size=(5, 4, 4, 1)).astype(np.float32)
    with pytest.raises(InputError, match="at which the margins on `x` are above 0"):
        hijacked(linear_model(np.zeros((16, 2)), np.zeros(2), (4, 4, 1)), x)
    with pytest.raises(InputError, match=r"The model takes \(None, 16\)"):
        hijacked(linear_model(np.zeros((16, 2)), np.zeros(2), (16,)), x.reshape(5, 16))
