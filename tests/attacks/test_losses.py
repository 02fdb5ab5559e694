"""Losses against values worked out by hand."""

import keras
import numpy as np
import pytest

from pellucid.attacks import losses
from pellucid.models import backend
from pellucid.models.errors import InputError

Z = np.array([[2.0, 1.0, -1.0], [0.0, 3.0, 1.0], [-2.0, -1.0, -4.0]], np.float32)
Y = np.array([0, 2, 2])


def value(loss, **options) -> np.ndarray:
    return keras.ops.convert_to_numpy(loss(keras.ops.convert_to_tensor(Z), Y, **options))


def test_xent():
    expected = np.log(np.exp(Z).sum(1)) - Z[np.arange(3), Y]
    np.testing.assert_allclose(value(losses.xent), expected, rtol=1e-6)


def test_gradient_of_xent_at_a_confident_prediction():
    """With margin 30 the other class has probability e^-30; the components are opposite."""
    logits = keras.ops.convert_to_tensor(np.array([[30.0, 0.0]], np.float32))
    _, gradient = backend.value_and_gradient(
        lambda z: keras.ops.sum(losses.xent(z, np.array([0]))), logits
    )
    expected = np.exp(-30.0) * np.array([[-1, 1]])
    np.testing.assert_allclose(keras.ops.convert_to_numpy(gradient), expected, rtol=1e-5)


def test_cw_takes_the_best_of_the_other_classes_only():
    """Margins 2 - 1, 1 - 3, -4 - (-1)."""
    np.testing.assert_allclose(value(losses.cw), [-501, -498, -497], rtol=1e-6)
    np.testing.assert_allclose(value(losses.cw, confidence=0.0), [-1, 0, 0], atol=1e-6)


def gradient_of(loss, z: np.ndarray, y: np.ndarray) -> np.ndarray:
    _, gradient = backend.value_and_gradient(
        lambda logits: keras.ops.sum(loss(logits, y)), keras.ops.convert_to_tensor(z)
    )
    return keras.ops.convert_to_numpy(gradient)


@pytest.mark.parametrize("seed", range(5))
def test_cw_of_the_published_code_meets_a_zero_in_the_labels_place(seed):
    """Against max over j of (1 - [j = y]) z_j, in NumPy; a third of the rows are all negative."""
    rng = np.random.default_rng(seed)
    z = rng.normal(rng.choice([-3, 0, 3], (60, 1)), 1.0, (60, 4)).astype(np.float32)
    y = rng.integers(0, 4, 60)
    onehot = np.eye(4, dtype=np.float32)[y]
    others = (1 - onehot) * z
    expected = -np.maximum((onehot * z).sum(1) - others.max(1) + 500, 0)
    published = losses.get("cw", cw_label_zero=True)
    found = keras.ops.convert_to_numpy(published(keras.ops.convert_to_tensor(z), y))
    np.testing.assert_allclose(found, expected, rtol=1e-6)

    below = (others.max(1) == 0)[:, None]
    assert 0.1 < below.mean() < 0.6
    winner = np.eye(4, dtype=np.float32)[others.argmax(1)]
    np.testing.assert_array_equal(
        gradient_of(published, z, y), np.where(below, -onehot, winner - onehot)
    )
    assert (gradient_of(losses.cw, z, y).sum(1) == 0).all()


def test_cw_options_leave_other_losses_alone():
    for name in losses.UNTARGETED:
        assert losses.get(name) is losses.UNTARGETED[name]
        if name != "cw":
            assert losses.get(name, cw_label_zero=True) is losses.get(name)
        if name != "xent":
            assert losses.get(name, xent_rounded=True) is losses.get(name)


def test_rounded_xent_loses_the_labels_part_where_the_network_is_confident():
    """Margin 30: the other class has probability e^-30, and p_y - 1 rounds to zero."""
    published = losses.get("xent", xent_rounded=True)
    np.testing.assert_allclose(value(published), value(losses.xent), rtol=1e-6)
    confident = np.array([[30.0, 0.0]], np.float32)
    found = gradient_of(published, confident, np.array([0]))
    np.testing.assert_allclose(found, [[0.0, np.exp(-30.0)]], rtol=1e-5)
    np.testing.assert_allclose(
        gradient_of(published, Z, Y), gradient_of(losses.xent, Z, Y), atol=1e-6
    )


def test_unknown_loss():
    with pytest.raises(InputError, match=r"Unknown attack loss 'xnt'\. Did you mean 'xent'"):
        losses.get("xnt")
