"""Fine-tuning on images that lose random pixels."""

import numpy as np
import pytest

from pellucid import models
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.fine_tuning import (
    fine_tune,
    order_seed,
    random_orders,
)
from pellucid.models.errors import InputError
from pellucid.models.functional import assign, predict, state
from tests.ranks import random_ranks


def build(seed=0):
    return models.get("digits_cnn")((8, 8, 1), 10, seed=seed)


def numbers(values) -> np.ndarray:
    return np.concatenate([np.asarray(v).ravel() for v in values.trainable])


def test_every_pixel_is_as_likely_at_every_place():
    """Each of 16 pixels is first in 1/16 of 20,000 images, within 5 standard deviations."""
    orders = random_orders((20_000, 4, 4), seed=1, epoch=1)
    assert orders.dtype == np.uint16
    flat = orders.reshape(-1, 16)
    np.testing.assert_array_equal(np.sort(flat[:50]), np.tile(np.arange(16), (50, 1)))
    for place in (0, 15):
        often = (flat == place).sum(0)
        assert abs(often - 1250).max() < 5 * np.sqrt(20_000 / 16 * 15 / 16)


def test_every_epoch_and_image_has_an_order_of_its_own():
    shape = (40, 8, 8)
    first, again, second, other = (
        random_orders(shape, seed=seed, epoch=epoch)
        for seed, epoch in ((3, 1), (3, 1), (3, 2), (4, 1))
    )
    np.testing.assert_array_equal(first, again)
    assert len(np.unique(np.concatenate([first, second, other]).reshape(-1, 64), axis=0)) == 120
    assert order_seed(3, 1) not in (order_seed(3, 2), order_seed(4, 1))


def test_equals_training_on_sets_that_lost_their_pixels_byte_by_byte(digits):
    """Two epochs, each against a set written by NumPy beforehand: 6 of 64 pixels are gone."""
    x, y = digits.x_train[:200], digits.y_train[:200]
    fill = digits.channel_means()
    tuned, history = fine_tune(build(), x, y, seed=7, epochs=2, fill=fill, batch_size=50)
    model = build()
    for epoch in (1, 2):
        written = x.astype(np.float32) / np.float32(255)
        orders = random_orders((200, 8, 8), seed=7, epoch=epoch)
        for image, order in zip(written, orders, strict=True):
            for pixel in np.argsort(order.ravel())[:6]:
                image[pixel // 8, pixel % 8] = fill
        seed = order_seed(7, epoch)
        values, means = train(
            model, written, y, seed=seed, epochs=1, batch_size=50, learning_rate=1e-4
        )
        assert means[0] == history[epoch - 1]
        assign(model, values)
    np.testing.assert_array_equal(numbers(tuned), numbers(state(model)))


def test_a_step_is_at_most_the_learning_rate(digits):
    """Adam's first step moves every weight by the rate, where its gradient is not tiny."""
    model = build()
    options = {"seed": 0, "epochs": 1, "fill": digits.channel_means(), "batch_size": 100}
    tuned, _ = fine_tune(model, digits.x_train[:100], digits.y_train[:100], **options)
    moved = abs(numbers(tuned) - numbers(state(model)))
    assert moved.max() == pytest.approx(1e-4, rel=0.01)


def test_a_network_learns_what_missing_pixels_look_like(digits, digits_model):
    """Cross-entropy without random pixels falls below that of further training with all pixels."""
    fill, y = digits.channel_means(), digits.y_test
    without = digits.x_test.astype(np.float32) / np.float32(255)
    without[random_ranks(without.shape[:3], seed=5) < 38] = fill

    def losses(values):
        logits = predict(digits_model, without, values=values).astype(np.float64)
        return np.log(np.exp(logits).sum(-1)) - logits[np.arange(len(y)), y]

    options = {"seed": 0, "epochs": 12, "learning_rate": 1e-3}
    tuned, _ = fine_tune(
        digits_model, digits.x_train, digits.y_train, fill=fill, fraction=0.6, **options
    )
    untouched, _ = train(digits_model, digits.x_train, digits.y_train, **options)
    gain = losses(untouched) - losses(tuned)
    assert gain.mean() > 5 * gain.std() / np.sqrt(len(y))


def test_the_model_stays_as_it_is_and_progress_is_told(digits):
    model = build()
    before = numbers(state(model))
    seen = []
    _, history = fine_tune(
        model,
        digits.x_train[:100],
        digits.y_train[:100],
        seed=0,
        epochs=3,
        fill=digits.channel_means(),
        progress=lambda number, means: seen.append((number, means)),
    )
    np.testing.assert_array_equal(numbers(state(model)), before)
    assert seen == list(enumerate(history, 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": 0}, "`epochs` must be at least 1. Received 0"),
        ({"fraction": 1.0}, r"must lie in \(0, 1\)"),
        ({"batch_size": 0}, "`batch_size` must be at least 1"),
    ],
)
def test_mistakes(digits, change, message):
    options = {"seed": 0, "epochs": 1, "fill": digits.channel_means()} | change
    with pytest.raises(InputError, match=message):
        fine_tune(build(), digits.x_train[:10], digits.y_train[:10], **options)


def test_images_with_too_many_pixels():
    with pytest.raises(InputError, match="at most 65,536 pixels"):
        random_orders((1, 300, 300), seed=0, epoch=1)
