"""Models nobody here made: each computes the same function, so each must give the same results."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import pellucid
from pellucid.models import backend
from pellucid.models.errors import InputError
from tests.conftest import ROOT
from tests.library import networks
from tests.library.networks import PLAIN, STATED, half

X, Y = networks.images(), networks.labels()
ANY = [*((make, {}) for make in PLAIN), *STATED.items()]


def softmax(z: np.ndarray) -> np.ndarray:
    e = np.exp(z - z.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def closed_form(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """d xent / dx of the linear network."""
    difference = softmax(networks.logits(x)) - np.eye(networks.CLASSES)[y]
    return (difference @ networks.WEIGHTS.T).reshape(x.shape)


@pytest.mark.parametrize(("make", "options"), ANY, ids=lambda v: getattr(v, "__name__", ""))
def test_gradient_has_its_closed_form(make, options):
    found = pellucid.input_gradient(make(), X, Y, **options)
    np.testing.assert_allclose(found, closed_form(X, Y), atol=1e-5)


@pytest.mark.parametrize(("make", "options"), ANY, ids=lambda v: getattr(v, "__name__", ""))
def test_attribution_has_its_closed_form(make, options):
    found = pellucid.attribute("gradient_input", make(), X, **options)
    expected = np.abs((2 * X - 1) * closed_form(X, Y) / 2).sum(-1)
    assert found.shape == (12, 6, 4)
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(("make", "options"), ANY, ids=lambda v: getattr(v, "__name__", ""))
def test_fgsm_takes_the_sign_of_the_closed_form(make, options):
    found = pellucid.attack("fgsm", make(), X, Y, norm="linf", epsilon=0.05, **options)
    expected = np.clip(X + 0.05 * np.sign(closed_form(X, Y)), 0, 1)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_half_precision_gives_float32_results_near_the_closed_form():
    found = pellucid.input_gradient(half(), X, Y)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, closed_form(X, Y), atol=5e-3)


@pytest.mark.parametrize(
    ("make", "options"),
    [(networks.sequential, {}), (networks.Subclassed, {}), *STATED.items()],
    ids=lambda v: getattr(v, "__name__", ""),
)
def test_evaluation_counts_the_same_images(make, options):
    """Robust where the margin exceeds what the radius can change: exact for a linear network."""
    epsilon, z = 0.05, networks.logits(X)
    own = z[np.arange(12), Y]
    width = np.abs(networks.WEIGHTS[:, None] - networks.WEIGHTS[:, :, None]).sum(0)  # (c, c)
    # the box only shortens the change: what this bound calls robust is
    bound = (own[:, None] - z - epsilon * width[Y])[np.eye(3)[Y] == 0].reshape(12, 2).min(1) > 0
    result = pellucid.evaluate(make(), X, Y, norm="linf", epsilon=epsilon, verbose=False, **options)
    assert result.clean.correct == 12
    assert bound.sum() <= result.worst_case.correct <= result.autoattack.correct < 12
    assert {flag.name for flag in result.flags} <= {"accuracy_does_not_fall"}


def test_evaluation_of_two_classes():
    model = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Flatten(), keras.layers.Dense(2)]
    )
    x = np.random.default_rng(0).uniform(size=(8, 4, 4, 3))
    y = np.asarray(model(x)).argmax(-1)
    result = pellucid.evaluate(model, x, y, norm="l2", epsilon=10, verbose=False)
    assert (result.clean.correct, result.autoattack.correct) == (8, 0)


@pytest.mark.filterwarnings("ignore:On the first 12 images")  # another class is trained
@pytest.mark.parametrize(
    "make", [networks.sequential, networks.Subclassed, networks.with_dropout, networks.of_bytes]
)
def test_training_changes_the_callers_weights(make):
    model = make()
    scale = 255 if make is networks.of_bytes else 1
    before = pellucid.input_gradient(model, X, Y, scale=scale)
    history = pellucid.fit(
        model,
        X,
        (Y + 1) % 3,
        epochs=30,
        batch_size=4,
        learning_rate=0.02,
        attack="fgsm",
        norm="linf",
        epsilon=0.01,
        scale=scale,
        verbose=False,
    )
    assert history.attack == "fgsm, Linf, epsilon 0.01"
    assert history.epochs[-1].loss < history.epochs[0].loss
    assert not np.allclose(pellucid.input_gradient(model, X, Y, scale=scale), before)


def test_training_moves_the_statistics_of_batch_normalisation():
    model = networks.with_dropout()
    before = model.layers[0].moving_mean.numpy().copy()
    pellucid.fit(model, X, Y, epochs=1, batch_size=4, verbose=False)
    assert not np.allclose(model.layers[0].moving_mean.numpy(), before)


def test_the_radius_of_an_adversary_warms_up():
    def losses(epsilon: float, epochs: int, warmup_epochs: int) -> list[float]:
        history = pellucid.fit(
            PLAIN[0](), X, Y, epochs=epochs, warmup_epochs=warmup_epochs, batch_size=4,
            attack="fgsm", norm="linf", epsilon=epsilon, verbose=False,
        )  # fmt: skip
        return [epoch.loss for epoch in history.epochs]

    warm, quarter, whole = losses(0.08, 4, 3), losses(0.02, 1, 0), losses(0.08, 1, 0)
    assert warm[0] == pytest.approx(quarter[0], rel=1e-6)
    assert warm[0] != pytest.approx(whole[0], rel=1e-3)
    for number in (-1, 4):
        with pytest.raises(InputError, match=f"Received {number} of 4 epochs"):
            losses(0.08, 4, number)
    with pytest.raises(InputError, match="a warm-up or options need `attack`"):
        pellucid.fit(PLAIN[0](), X, Y, epochs=3, warmup_epochs=2)


def test_weights_that_change_change_the_results_of_a_wrapped_model():
    model = networks.Subclassed()
    before = pellucid.input_gradient(model, X, Y)
    model.dense.set_weights([2 * networks.WEIGHTS, networks.BIAS])
    assert not np.allclose(pellucid.input_gradient(model, X, Y), before)


def test_a_layer_that_is_added_changes_the_results_of_a_wrapped_model():
    model = networks.of_bytes()
    before = pellucid.input_gradient(model, X, Y, scale=255)
    model.add(keras.layers.Rescaling(0.5))
    assert not np.allclose(pellucid.input_gradient(model, X, Y, scale=255), before)


@pytest.mark.parametrize(("make", "options"), [(networks.Subclassed, {}), *STATED.items()])
def test_a_wrapped_model_is_compiled_once(make, options, monkeypatch):
    model, made = make(), []
    jit = backend.jit
    monkeypatch.setattr(backend, "jit", lambda *args, **kw: made.append(1) or jit(*args, **kw))
    for _ in range(3):
        pellucid.input_gradient(model, X, Y, loss=networks.first_logit, **options)
    assert len(made) <= 1


def test_images_of_a_column_or_a_list_or_another_float():
    expected = pellucid.input_gradient(networks.sequential(), X, Y)
    model = networks.sequential()
    columns = Y[:, None]
    for x, y in (
        (list(X), list(Y)),
        (X.astype(np.float64), columns),
        (keras.ops.convert_to_tensor(X), np.eye(3)[Y]),
    ):
        np.testing.assert_allclose(pellucid.input_gradient(model, x, y), expected, atol=1e-6)


def test_uint8_images_are_pixels_in_the_unit_interval():
    x = np.round(255 * X).astype(np.uint8)
    np.testing.assert_allclose(
        pellucid.input_gradient(networks.sequential(), x, Y), closed_form(x / 255, Y), atol=1e-5
    )


def test_the_same_with_jax():
    """The tests above, except the slow ones, in a process whose backend is JAX."""
    if keras.backend.backend() == "jax":
        return
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"),
            *("-k", "not counts_the_same", __file__),
        ],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
