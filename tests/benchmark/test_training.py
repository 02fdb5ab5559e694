"""One `fit` for standard, adversarial and masked training."""

import dataclasses

import keras
import numpy as np
import pytest
from keras import ops

from pellucid import models
from pellucid.attacks import Attack, run
from pellucid.benchmark.training.batches import batch_order
from pellucid.benchmark.training.classifier import (
    RADIUS,
    TrainingVariant,
    shared_arguments,
    train,
    warmed_up,
)
from pellucid.benchmark.training.masks import Mask
from pellucid.benchmark.training.prediction import predicted_classes
from pellucid.models import backend
from pellucid.models.adam import Adam, adam_start, adam_step
from pellucid.models.errors import InputError
from pellucid.models.functional import predict, program, state
from tests.fitting import fit
from tests.ranks import random_ranks


def build(seed=0):
    return models.get("digits_cnn")((8, 8, 1), 10, seed=seed)


def weights(digits, **options) -> bytes:
    x = options.pop("x", digits.x_train[:300])
    model = build()
    fit(model, x, digits.y_train[:300], **({"seed": 0, "epochs": 2, "batch_size": 50} | options))
    return b"".join(w.tobytes() for w in model.get_weights())


def test_adam_is_keras_adam():
    rng = np.random.default_rng(0)
    gradients = rng.normal(size=(20, 6)).astype(np.float32)
    variable = keras.Variable(np.ones(6, np.float32))
    optimizer = keras.optimizers.Adam(0.01)
    parameters = keras.ops.ones(6)
    adam: Adam = adam_start(parameters)
    for gradient in gradients:
        optimizer.apply([keras.ops.convert_to_tensor(gradient)], [variable])
        parameters, adam = adam_step(parameters, keras.ops.convert_to_tensor(gradient), adam, 0.01)
    found, expected = (keras.ops.convert_to_numpy(v) for v in (parameters, variable))
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_one_full_batch_is_one_step_of_keras(digits):
    """With one batch per epoch the order does not matter: three epochs are three steps in Keras."""
    x, y = digits.x_train[:100], digits.y_train[:100]
    ours, theirs = build(), build()
    keras.utils.set_random_seed(0)
    fit(ours, x, y, seed=0, epochs=3, batch_size=100)
    theirs.compile(
        keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    )
    theirs.fit(x / np.float32(255), y, batch_size=100, epochs=3, verbose=0)
    for a, b in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=2e-5)


def test_learns(digits, digits_model):
    assert (predicted_classes(digits_model, digits.x_test) == digits.y_test).mean() > 0.9


def test_same_seed_same_bytes(digits):
    assert weights(digits) == weights(digits)
    assert weights(digits) != weights(digits, seed=1)


def test_without_reshuffling_every_epoch_sees_the_same_images(digits):
    """290 images in batches of 100: 90 are never seen, so that they may be any others."""
    x, y = digits.x_train[:290], digits.y_train[:290]
    left_out = np.setdiff1d(np.arange(290), np.ravel(batch_order(backend.key(0), 290, 100)))
    assert len(left_out) == 90
    others = x.copy()
    others[left_out] = 0

    def history(images: np.ndarray, seed: int = 1, **options) -> list:
        return fit(build(), images, y, seed=seed, epochs=3, **options)

    assert history(x, reshuffle=False) == history(others, reshuffle=False)
    assert history(x, reshuffle=False) == history(x, seed=2, reshuffle=False)
    assert history(x) != history(others)
    assert history(x) == history(x, reshuffle=True)


def test_history_is_of_what_was_trained_on(digits):
    seen = []
    model = build()
    history = fit(
        model,
        digits.x_train,
        digits.y_train,
        seed=0,
        epochs=8,
        progress=lambda n, e: seen.append((n, e)),
    )
    assert seen == list(enumerate(history, 1))
    assert history[0].loss > history[-1].loss
    final = (predict(model, digits.x_train).argmax(-1) == digits.y_train).mean()
    assert history[-1].accuracy == pytest.approx(final, abs=0.06)


@pytest.mark.parametrize("mode", ["roar", "kar"])
def test_masked_training_equals_training_on_a_masked_set_byte_by_byte(digits, mode):
    """The mask made inside the step, against a set masked and written by NumPy beforehand."""
    x = digits.x_train[:300]
    ranks, fill = random_ranks(x.shape[:3], seed=3), digits.channel_means()
    written = x.astype(np.float32) / np.float32(255)
    top = ranks < 19
    written[top if mode == "roar" else ~top] = fill
    inside = weights(digits, mask=Mask(ranks, 0.3, mode, fill))
    assert inside == weights(digits, x=written)
    assert inside != weights(digits)


@pytest.mark.parametrize(
    "attack",
    [Attack("pgd", "l2", 0.4, steps=5, step_size=0.2), Attack("fgsm_rs", "l2", 0.4)],
    ids=str,
)
def test_adversarial_training_gives_robustness(digits, digits_model, attack):
    """By PGD, and by the one gradient of fast adversarial training."""
    robust = build(1)
    fit(robust, digits.x_train, digits.y_train, seed=1, epochs=12, attack=attack)
    stronger = Attack("pgd", "l2", 0.4, steps=20, step_size=0.1)

    def under_attack(model):
        x_adv = run(stronger, model, digits.x_test, digits.y_test)
        return (predict(model, x_adv).argmax(-1) == digits.y_test).mean()

    gain = 0.1 if attack.name == "pgd" else 0.05  # one gradient gains less than five
    assert under_attack(robust) > under_attack(digits_model) + gain


def test_the_radius_warms_up(digits):
    """Three epochs of smaller radii, then the whole one; none without an adversary to weaken."""
    attack = Attack("pgd", "l2", 0.4, steps=2, step_size=0.4)
    shared = shared_arguments(digits.x_train, digits.y_train, 1e-3, None, attack)

    def radius(number: int, warmup_epochs: int) -> float:
        return ops.convert_to_numpy(warmed_up(shared, number, warmup_epochs)[RADIUS]).item()

    radii = [radius(number, 3) for number in range(1, 7)]
    assert radii == pytest.approx([0.1, 0.2, 0.3, 0.4, 0.4, 0.4])
    assert radius(1, 0) == np.float32(0.4)

    def losses(attack: Attack | None, epochs: int, **options: int) -> list[float]:
        x, y = digits.x_train[:300], digits.y_train[:300]
        history = fit(build(), x, y, seed=0, epochs=epochs, attack=attack, **options)
        return [means.loss for means in history]

    quarter = dataclasses.replace(attack, epsilon=0.1)
    warm, whole = losses(attack, 4, warmup_epochs=3), losses(attack, 4)
    assert warm[0] == pytest.approx(losses(quarter, 1)[0], rel=1e-6)
    assert warm[0] != pytest.approx(whole[0], rel=1e-3)
    second = losses(quarter, 2)[1]
    assert warm[1] != pytest.approx(second, rel=1e-3), "the second epoch has another radius"
    with pytest.raises(InputError, match="Received 4 of 4 epochs"):
        losses(attack, 4, warmup_epochs=4)


def test_radius_zero_is_standard_training(digits):
    attack = Attack("pgd", "l2", 0.0, steps=2, step_size=1.0)
    adversarial = np.frombuffer(weights(digits, attack=attack), np.float32)
    np.testing.assert_allclose(adversarial, np.frombuffer(weights(digits), np.float32), atol=1e-5)


@pytest.mark.parametrize(
    "attack", [Attack("fgsm", "linf", 0.1, loss="cw"), Attack("noise", "l2", 0.5)], ids=str
)
def test_other_attacks_train_too(digits, attack):
    assert weights(digits, attack=attack) == weights(digits, attack=attack) != weights(digits)


def test_seed_radius_rate_and_fraction_do_not_compile_again(digits):
    model = build()
    x, y = digits.x_train[:200], digits.y_train[:200]
    ranks = random_ranks(x.shape[:3], seed=3)

    def compiled() -> int:
        def never(_):
            raise AssertionError("a new program")

        variant = TrainingVariant(100, Attack("pgd", "l2", 0.0, steps=2, step_size=0.0), True)
        attacked = program(model, ("train", variant), never)
        return (
            attacked.experimental_get_tracing_count()
            if hasattr(attacked, "experimental_get_tracing_count")
            else (attacked._cache_size())
        )

    for seed, radius, rate, fraction, mode in (
        (0, 0.1, 1e-3, 0.3, "roar"),
        (1, 0.2, 1e-2, 0.7, "kar"),
    ):
        mask = Mask(ranks, fraction, mode, digits.channel_means())
        attack = Attack("pgd", "l2", radius, steps=2, step_size=radius)
        fit(build(seed), x, y, seed=seed, epochs=1, learning_rate=rate, attack=attack, mask=mask)
    assert compiled() == 1


def test_train_leaves_the_model_as_it_is(digits):
    model = build()
    before = [w.copy() for w in model.get_weights()]
    values, _ = train(model, digits.x_train[:100], digits.y_train[:100], seed=0, epochs=1)
    assert all(np.array_equal(a, b) for a, b in zip(before, model.get_weights(), strict=True))
    x = digits.x_test
    assert not np.array_equal(predict(model, x), predict(model, x, values=values))
    assert np.array_equal(predict(model, x), predict(model, x, values=state(model)))


def test_other_variables_are_trained_too(digits):
    """Batch norm's moving statistics follow the data; dropout draws at each step."""
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.BatchNormalization(momentum=0.5),
    ]
    layers += [keras.layers.Dropout(0.2, seed=1), keras.layers.Dense(10)]
    model = keras.Sequential(layers)
    fit(model, digits.x_train, digits.y_train, seed=0, epochs=30)
    mean = digits.x_train.reshape(len(digits.x_train), -1).mean(0) / 255
    np.testing.assert_allclose(model.layers[1].get_weights()[2], mean, atol=0.12)
    assert (predict(model, digits.x_test).argmax(-1) == digits.y_test).mean() > 0.8


def test_fewer_images_than_a_batch(digits):
    fit(build(), digits.x_train[:7], digits.y_train[:7], seed=0, epochs=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.full((300, 8, 8, 1), 2.0, np.float32)}, r"`x` must lie in \[0, 1\]"),
        ({"epochs": 0}, "`epochs` must be at least 1. Received 0."),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
        (
            {"mask": Mask(np.zeros((2, 8, 8), np.uint16), 0.5, "roar", np.zeros(1))},
            r"`mask.ranks` must have shape",
        ),
        (
            {"mask": Mask(np.zeros((300, 8, 8), np.uint16), 1.0, "roar", np.zeros(1))},
            r"must lie in \(0, 1\)",
        ),
        (
            {"mask": Mask(np.zeros((300, 8, 8), np.uint16), 0.5, "road", np.zeros(1))},
            "Unknown mode 'road'",
        ),
    ],
)
def test_bad_input(digits, change, message):
    with pytest.raises(InputError, match=message):
        weights(digits, **change)


def test_bad_labels(digits):
    with pytest.raises(
        InputError, match=r"`y` must lie in \[0, 9\]\. Received values in \[10, 10\]"
    ):
        fit(build(), digits.x_train[:5], np.full(5, 10), seed=0, epochs=1)
    with pytest.raises(InputError, match=r"`y` must be 5 integers"):
        fit(build(), digits.x_train[:5], np.full(5, 0.5), seed=0, epochs=1)
