"""How many images a batch may have, from a model's activations."""

import keras
import numpy as np
import pytest
from keras import layers

from pellucid import models
from pellucid.attacks.autoattack import queue
from pellucid.attacks.autoattack.ensemble import ensemble, evaluate
from pellucid.models import batching, footprint
from pellucid.models.functional import predict


def wide(channels: int = 7) -> keras.Model:
    """A network that no other test uses, so that its programs are made anew."""
    x = keras.Input((8, 8, 1))
    h = layers.Conv2D(channels, 3, padding="same", activation="relu")(x)
    return keras.Model(x, layers.Dense(3)(layers.Flatten()(h * 2.0)))


def test_activations_are_counted():
    assert footprint.activations(wide(7)) == 64 + 3 * 64 * 7 + 3
    sequential = keras.Sequential([keras.Input((5,)), layers.Dense(4), layers.Dense(3)])
    assert footprint.activations(sequential) == 5 + 4 + 3


def test_models_within_models_are_counted():
    x = keras.Input((6,))
    inner = keras.Sequential([keras.Input((6,)), layers.Dense(10), layers.Dense(6)])
    once = keras.Model(x, inner(x))
    assert footprint.activations(once) == 6 + 6 + (6 + 10 + 6)
    twice = keras.Model(x, inner(inner(x)))
    assert footprint.activations(twice) >= 6 + 2 * 6 + 2 * (10 + 6)


@pytest.mark.parametrize("between", ["attention", "separable"])
def test_what_a_layer_holds_between_its_inputs_and_outputs_counts(between):
    x = keras.Input((16, 16, 2))
    if between == "attention":
        h = layers.Reshape((256, 2))(x)
        h = layers.MultiHeadAttention(num_heads=3, key_dim=1)(h, h)
        held = 2 * 3 * 256 * 256
    else:
        h = layers.SeparableConv2D(1, 3, strides=2, padding="same", depth_multiplier=50)(x)
        held = 8 * 8 * 2 * 50
    outputs = sum(np.prod(layer.output.shape[1:]) for layer in keras.Model(x, h).layers)
    assert footprint.activations(keras.Model(x, h)) == outputs + held


def test_a_subclass_tells_nothing():
    class Subclass(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    model = Subclass()
    model(np.ones((1, 4), np.float32))
    assert footprint.largest_batch(model) is None


@pytest.mark.parametrize("name", ["digits_cnn", "strided_cnn", "cifar_cnn", "mnist_cnn"])
def test_the_protocols_networks_are_not_bounded(name):
    """Their batches, and so their results, stay as they were."""
    shape = (28, 28, 1) if name == "mnist_cnn" else (32, 32, 3)
    shape = (8, 8, 1) if name == "digits_cnn" else shape
    assert footprint.largest_batch(models.get(name)(shape, 10, seed=0, width=1.0)) >= 1000


def test_batches_are_bounded_and_outcomes_stay(monkeypatch):
    model = wide(6)  # a structure of its own: its programs are not made yet
    x = np.random.default_rng(0).random((50, 8, 8, 1), np.float32)
    sizes, cut = [], batching.batches

    def seen(n, size):
        sizes.append(size)
        return cut(n, size)

    monkeypatch.setattr(batching, "batches", seen)
    monkeypatch.setattr(footprint, "BUDGET", 7 * 12 * footprint.activations(model))
    bounded = predict(model, x)
    assert sizes == [7]
    np.testing.assert_allclose(bounded, np.asarray(model(x)), rtol=1e-4, atol=1e-6)


def test_autoattacks_batches_are_bounded(monkeypatch):
    model, rng = wide(9), np.random.default_rng(0)
    x, y = rng.random((40, 8, 8, 1), np.float32), rng.integers(0, 3, 40)
    monkeypatch.setattr(footprint, "BUDGET", 4 * 12 * footprint.activations(model))
    entered, enter = [], queue._Queue._enter

    def seen(self, rows):
        jobs = enter(self, rows)
        entered.append(rows + len(jobs))
        return jobs

    monkeypatch.setattr(queue._Queue, "_enter", seen)
    attacks = {"apgd-ce": ensemble("standard", "linf", 3)["apgd-ce"]}
    evaluate(model, x, y, norm="linf", epsilon=0.01, attacks=attacks)
    assert 0 < max(entered) <= 4
