"""Adversarial training in `model.fit`: exact steps, inputs, files, precision, devices."""

import os
import subprocess
import sys
import textwrap

import keras
import numpy as np
import pytest
from keras import layers

import pellucid
from pellucid.models.functional import State
from tests.conftest import ROOT, linear_model
from tests.library import networks
from tests.library.test_refusals import refusal

SHAPE, N = (4, 4, 1), 24
RNG = np.random.default_rng(0)
X = RNG.uniform(0.3, 0.7, size=(N, *SHAPE)).astype(np.float32)
"""Far enough from the box's sides for the radii below."""
Y = RNG.integers(0, 2, N)
WEIGHTS = RNG.normal(size=(16, 2)).astype(np.float32)
BIAS = np.array([0.2, -0.1], np.float32)
RADII = {"linf": 0.1, "l2": 0.2}
RATE = 0.5
SPARSE = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
ONE_HOT = keras.losses.CategoricalCrossentropy(from_logits=True)


def linear() -> keras.Model:
    return linear_model(WEIGHTS, BIAS, SHAPE)


def worst(norm: str, x: np.ndarray = X, y: np.ndarray = Y) -> np.ndarray:
    """The adversarial example of a linear network with two classes, `(n, 16)`: along w_j - w_y."""
    away = (WEIGHTS[:, 1] - WEIGHTS[:, 0])[None] * (1 - 2 * y)[:, None]
    unit = np.sign(away) if norm == "linf" else away / np.linalg.norm(WEIGHTS[:, 1] - WEIGHTS[:, 0])
    return x.reshape(len(x), -1) + RADII[norm] * unit


def stepped(x: np.ndarray, y: np.ndarray = Y, weight: np.ndarray | float = 1.0) -> np.ndarray:
    """The kernel after one step of gradient descent on the mean cross-entropy."""
    z = x @ WEIGHTS + BIAS
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    difference = (p - np.eye(2)[y]) * np.broadcast_to(weight, len(x))[:, None]
    return WEIGHTS - RATE * x.T @ difference / len(x)


def robust(
    model: keras.Model, norm: str = "linf", loss=SPARSE, **options
) -> pellucid.AdversarialModel:
    chosen = {"attack": "pgd", "norm": norm, "epsilon": RADII[norm], "steps": 3} | options
    made = pellucid.AdversarialModel(model, **chosen)
    made.compile(keras.optimizers.SGD(RATE), loss, metrics=["accuracy"])
    return made


def one_step(model: pellucid.AdversarialModel, *data, **options) -> dict:
    return model.fit(*data, batch_size=N, epochs=1, verbose=0, shuffle=False, **options).history


def kernel(model: keras.Model) -> np.ndarray:
    return np.asarray(model.trainable_variables[0])


@pytest.mark.parametrize("attack", ["fgsm", "pgd"])
@pytest.mark.parametrize("norm", RADII)
def test_a_step_is_exact_on_a_linear_network(norm, attack):
    model = linear()
    made = pellucid.AdversarialModel(model, attack, norm=norm, epsilon=RADII[norm])
    made.compile(keras.optimizers.SGD(RATE), SPARSE, metrics=["accuracy"])
    history = one_step(made, X, Y)
    x_adv = worst(norm)
    np.testing.assert_allclose(kernel(model), stepped(x_adv), atol=2e-6)
    assert not np.allclose(kernel(model), stepped(X.reshape(N, -1)), atol=1e-3)
    accuracy = ((x_adv @ WEIGHTS + BIAS).argmax(1) == Y).mean()
    assert history["accuracy"] == pytest.approx([accuracy])


@pytest.mark.parametrize(
    ("y", "loss"),
    [(Y[:, None], SPARSE), (np.eye(2, dtype=np.float32)[Y], ONE_HOT), (Y.astype("uint8"), SPARSE)],
    ids=["column", "one-hot", "bytes"],
)
def test_labels_in_every_form(y, loss):
    model = linear()
    one_step(robust(model, loss=loss), X, y)
    np.testing.assert_allclose(kernel(model), stepped(worst("linf")), atol=2e-6)


def test_weights_of_samples_and_classes():
    weight = np.linspace(0, 2, N).astype(np.float32)
    model = linear()
    one_step(robust(model), X, Y, sample_weight=weight)
    by_sample = kernel(model).copy()
    np.testing.assert_allclose(by_sample, stepped(worst("linf"), weight=weight), atol=2e-6)
    model = linear()
    one_step(robust(model), X, Y, class_weight={0: 0.5, 1: 3.0})
    expected = stepped(worst("linf"), weight=np.where(Y == 0, 0.5, 3.0))
    np.testing.assert_allclose(kernel(model), expected, atol=2e-6)


def test_probabilities_and_pixels_up_to_255():
    expected = stepped(worst("linf"))
    softmax = keras.Sequential([linear(), layers.Softmax()])
    made = robust(softmax, loss=keras.losses.SparseCategoricalCrossentropy(), logits=False)
    one_step(made, X, Y)
    np.testing.assert_allclose(kernel(softmax), expected, atol=2e-6)
    inner = linear()
    scaled = keras.Sequential([keras.Input(SHAPE), layers.Rescaling(1 / 255), inner])
    one_step(robust(scaled, scale=255), 255 * X, Y)
    np.testing.assert_allclose(kernel(inner), expected, atol=2e-5)


def test_bytes_are_attacked_in_units_of_bytes():
    inner, x = linear(), np.round(255 * X).astype(np.uint8)
    scaled = keras.Sequential([keras.Input(SHAPE), layers.Rescaling(1 / 255), inner])
    one_step(robust(scaled, scale=255), x, Y)
    np.testing.assert_allclose(kernel(inner), stepped(worst("linf", x / 255)), atol=2e-5)


def network(*, dtype: str | None = None, normalised: bool = True) -> keras.Model:
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(4, 3, activation="relu", dtype=dtype),
            *([layers.BatchNormalization(dtype=dtype)] if normalised else []),
            layers.Flatten(dtype=dtype),
            layers.Dropout(0.3, dtype=dtype),
            layers.Dense(2, dtype=dtype),
        ]
    )


def numbers(model: keras.Model) -> list[np.ndarray]:
    values = model.variables + model.optimizer.variables
    return [np.asarray(keras.ops.convert_to_numpy(v)) for v in values]


def trained(model: keras.Model, x=X, y=Y, **options) -> list[np.ndarray]:
    model.compile("adam", SPARSE, metrics=["accuracy"])
    keras.utils.set_random_seed(4)
    model.fit(x, y, **({"batch_size": 10, "epochs": 2, "verbose": 0} | options))
    return numbers(model)


def assert_same(first: list[np.ndarray], second: list[np.ndarray]) -> None:
    assert len(first) == len(second)
    for a, b in zip(first, second, strict=True):
        assert a.dtype == b.dtype
        assert a.tobytes() == b.tobytes()


@pytest.mark.parametrize("scale", [1, 255])
def test_radius_zero_is_plain_training_to_the_byte(scale):
    made = pellucid.AdversarialModel(network(), "pgd", norm="l2", epsilon=0, steps=2, scale=scale)
    assert_same(trained(network(), scale * X), trained(made, scale * X))
    away = pellucid.AdversarialModel(network(), "pgd", norm="l2", epsilon=0.2, steps=2, scale=scale)
    assert not np.array_equal(trained(network(), scale * X)[0], trained(away, scale * X)[0])


def test_full_batches_train_as_the_librarys_own_training():
    own, ours = (keras.models.clone_model(networks.sequential()) for _ in range(2))
    ours.set_weights(own.get_weights())
    x, y = networks.images(), networks.labels()
    attack = pellucid.Attack("pgd", "linf", 0.1, steps=3)
    pellucid.fit(
        own, x, y, epochs=5, attack=attack, batch_size=12, learning_rate=0.01, verbose=False
    )
    made = pellucid.AdversarialModel(ours, attack)
    made.compile(keras.optimizers.Adam(0.01), SPARSE)
    made.fit(x, y, epochs=5, batch_size=12, verbose=0)
    for a, b in zip(own.get_weights(), ours.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-4)


def test_the_radius_rises_over_the_first_updates():
    model = linear()
    made = robust(model, warmup_steps=2)
    before = X.reshape(N, -1)
    for share in (1 / 3, 2 / 3, 1, 1):
        weights, bias = (np.asarray(v) for v in model.get_weights())
        away = np.sign(weights[:, 1] - weights[:, 0])[None] * (1 - 2 * Y)[:, None]
        x_adv = before + share * RADII["linf"] * away
        z = x_adv @ weights + bias
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        one_step(made, X, Y)
        step = RATE * x_adv.T @ (p - np.eye(2)[Y]) / N
        np.testing.assert_allclose(kernel(model), weights - step, atol=3e-6)


def test_full_batches_warm_up_as_the_librarys_own_training():
    """There by epochs, here by updates: of full batches they are the same."""
    ours, other = linear(), linear()
    options = {"epochs": 4, "batch_size": N, "learning_rate": 0.01}
    attack = {"attack": "pgd", "norm": "linf", "epsilon": 0.1, "steps": 3}
    pellucid.fit(ours, X, Y, warmup_epochs=2, **attack, **options)
    made = pellucid.AdversarialModel(other, warmup_steps=2, **attack)
    made.compile(keras.optimizers.Adam(0.01), SPARSE)
    made.fit(X, Y, batch_size=N, epochs=4, verbose=0)
    np.testing.assert_allclose(kernel(other), kernel(ours), atol=2e-6)
    assert "at least 0" in refusal(pellucid.AdversarialModel, linear(), warmup_steps=-1, **attack)


def test_the_attack_sees_the_network_in_inference_mode():
    """Batch normalisation by its moving statistics, which one training step then moves."""
    norm = layers.BatchNormalization(momentum=0.9, epsilon=1e-7)
    model = keras.Sequential([keras.Input(SHAPE), norm, layers.Dropout(0.5), linear()])
    one_step(robust(model), X, Y)
    mean = worst("linf").reshape(X.shape).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(np.asarray(norm.moving_mean), 0.1 * mean, atol=1e-6)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, i):
        return X[8 * i : 8 * i + 8], Y[8 * i : 8 * i + 8]


def test_arrays_data_sets_and_tf_data_train_alike():
    def run(*data, **options) -> list[np.ndarray]:
        made = pellucid.AdversarialModel(network(), "pgd", norm="linf", epsilon=0.1, steps=2)
        return trained(made, *data, **options)

    expected = run(X, Y, batch_size=8, shuffle=False)
    assert_same(run(Batches(), None, batch_size=None, shuffle=False), expected)
    tf = pytest.importorskip("tensorflow")
    assert_same(
        run(tf.data.Dataset.from_tensor_slices((X, Y)).batch(8), None, batch_size=None), expected
    )


@pytest.mark.parametrize("options", [{"run_eagerly": True}, {"steps_per_execution": 2}])
def test_ways_of_execution_take_the_same_step(options):
    model = linear()
    made = pellucid.AdversarialModel(model, "pgd", norm="linf", epsilon=0.1, steps=3)
    made.compile(keras.optimizers.SGD(RATE), SPARSE, **options)
    one_step(made, X, Y)
    np.testing.assert_allclose(kernel(model), stepped(worst("linf")), atol=2e-6)


def test_what_is_drawn_follows_from_the_seed():
    def run(seed: int) -> list[np.ndarray]:
        options = {"norm": "linf", "epsilon": 0.1, "steps": 1, "random_start": True, "seed": seed}
        return trained(
            pellucid.AdversarialModel(linear(), "pgd", step_size=0.0, **options), epochs=1
        )

    assert_same(run(1), run(1))
    assert not np.array_equal(run(1)[0], run(2)[0])


def test_every_step_starts_from_another_point():
    """SGD at rate zero: the weights stay, the loss of the same batch tells where it started."""
    attack = pellucid.Attack("pgd", "linf", 0.3, steps=1, step_size=0.0, random_start=True)
    made = pellucid.AdversarialModel(linear(), attack)
    made.compile(keras.optimizers.SGD(0.0), SPARSE)
    made.fit(X, Y, batch_size=N, epochs=3, verbose=0, shuffle=False)
    assert len({round(loss, 5) for loss in made.history.history["loss"]}) == 3


def test_predictions_evaluation_and_attacks_are_those_of_the_model():
    model = network()
    made = robust(model)
    one_step(made, X, Y)
    np.testing.assert_array_equal(made.predict(X, verbose=0), model.predict(X, verbose=0))
    assert made.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    options = {"norm": "l2", "epsilon": 0.2, "steps": 3}
    of_both = (pellucid.attack("pgd", one, X, Y, **options) for one in (made, model))
    np.testing.assert_allclose(*of_both, atol=1e-6)


LOADS = """
import sys
import keras, numpy as np
model = keras.models.load_model(sys.argv[1])
x = np.load(sys.argv[2])
np.save(sys.argv[3], model.predict(x, verbose=0))
assert type(model) is keras.Sequential, type(model)
assert int(model.optimizer.iterations) == 3
model.fit(x, np.zeros(len(x)), verbose=0)
assert not [name for name in sys.modules if name.startswith("pellucid")]
"""


def test_the_file_is_of_the_plain_model(tmp_path):
    made = pellucid.AdversarialModel(network(), "pgd", norm="linf", epsilon=0.1, steps=2)
    trained(made, epochs=1)
    made.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", X)
    files = [str(tmp_path / name) for name in ("model.keras", "x.npy", "out.npy")]
    done = subprocess.run(
        [sys.executable, "-c", LOADS, *files],
        cwd=tmp_path,
        env={k: v for k, v in os.environ.items() if k != "PYTHONPATH"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    np.testing.assert_allclose(np.load(files[2]), made.predict(X, verbose=0), atol=1e-6)


def test_weights_are_saved_and_loaded_with_the_optimizer(tmp_path):
    made = pellucid.AdversarialModel(network(), "pgd", norm="linf", epsilon=0.1, steps=2)
    expected = trained(made)
    made.save_weights(tmp_path / "of.weights.h5")
    again = pellucid.AdversarialModel(network(), "pgd", norm="linf", epsilon=0.1, steps=2)
    again.compile("adam", SPARSE)
    again.optimizer.build(again.trainable_variables)
    again.load_weights(tmp_path / "of.weights.h5")
    assert_same(numbers(again)[:4], expected[:4])
    assert int(again.optimizer.iterations) == int(made.optimizer.iterations) == 6


class Interrupted(keras.callbacks.Callback):
    def on_epoch_begin(self, epoch, logs=None):
        if epoch == 2:
            raise KeyboardInterrupt


def test_stock_callbacks_of_keras(tmp_path):
    """A training that is interrupted and restored ends as one that is not."""
    pytest.importorskip("tensorflow")  # Keras' TensorBoard needs it
    callbacks = keras.callbacks

    def run(*more, folder="one") -> list[np.ndarray]:
        options = {"norm": "linf", "epsilon": 0.1, "steps": 2, "random_start": True}
        made = pellucid.AdversarialModel(network(normalised=False), "pgd", **options)
        made.model.layers[-2].rate = 0.0  # what dropout draws is not restored
        stock = [
            callbacks.CSVLogger(tmp_path / f"{folder}.csv"),
            callbacks.ModelCheckpoint(tmp_path / f"{folder}-{{epoch}}.keras"),
            callbacks.EarlyStopping("loss", patience=9, restore_best_weights=True),
            callbacks.TerminateOnNaN(),
            callbacks.TensorBoard(tmp_path / folder),
            *more,
        ]
        return trained(made, epochs=4, callbacks=stock, shuffle=False)

    expected = run()
    assert len(list(tmp_path.glob("one-*.keras"))) == 4
    assert (tmp_path / "one.csv").read_text().startswith("epoch,accuracy,loss")
    backup = tmp_path / "backup"
    with pytest.raises(KeyboardInterrupt):
        run(callbacks.BackupAndRestore(backup), Interrupted(), folder="two")
    assert_same(run(callbacks.BackupAndRestore(backup), folder="three")[:4], expected[:4])
    assert not (tmp_path / "three-1.keras").exists()
    plain = keras.models.load_model(tmp_path / "one-4.keras")
    np.testing.assert_array_equal(np.asarray(plain.variables[0]), expected[0])


def confident(dtype: str, last: str) -> keras.Model:
    """A linear network whose cross-entropy has gradients below what float16 holds."""
    stack = [layers.Flatten(dtype=dtype), layers.Dense(2, dtype=dtype)]
    model = keras.Sequential([keras.Input(SHAPE), *stack, layers.Activation("linear", dtype=last)])
    difference = np.where(np.arange(16) % 2, 0.5, -0.5)
    model.layers[1].set_weights([np.stack([difference, -difference], 1), np.array([20.0, -20.0])])
    return model


@pytest.mark.parametrize("last", ["mixed_float16", "float32"])
@pytest.mark.parametrize("norm", RADII)
def test_the_gradient_of_the_image_does_not_underflow_in_float16(norm, last):
    made = robust(confident("mixed_float16", last), norm, epsilon=0.1, steps=1, step_size=0.1)
    values = State(made.trainable_variables, made.non_trainable_variables)
    y = np.zeros(N, np.int32)
    change = keras.ops.convert_to_numpy(made._adversarial(values, X, y, 0)) - X
    sign = np.where(np.arange(16) % 2, -1.0, 1.0).reshape(SHAPE)
    length = 0.1 if norm == "linf" else 0.1 / 4  # of 16 equal entries
    np.testing.assert_allclose(change, np.broadcast_to(length * sign, change.shape), atol=1e-4)


def test_training_in_mixed_float16_scales_the_loss():
    keras.config.set_dtype_policy("mixed_float16")
    try:
        made = pellucid.AdversarialModel(network(), "pgd", norm="linf", epsilon=0.1, steps=2)
        values = trained(made, epochs=3)
    finally:
        keras.config.set_dtype_policy("float32")
    assert isinstance(made.optimizer, keras.optimizers.LossScaleOptimizer)
    assert made.model.optimizer is made.optimizer
    assert made.model.layers[0].compute_dtype == "float16"
    assert all(np.isfinite(value).all() for value in values)
    assert 0 < int(made.optimizer.iterations) <= 9  # a step that overflows is left out


def test_the_refusals_take_one_line():
    model = linear()
    message = refusal(pellucid.AdversarialModel, "resnet", "pgd", norm="linf", epsilon=0.1)
    assert "must be a Keras model" in message
    assert "needs `norm` and `epsilon`" in refusal(pellucid.AdversarialModel, model)
    assert "Did you mean 'pgd'" in refusal(
        pellucid.AdversarialModel, model, "pgdd", norm="l2", epsilon=1
    )
    assert "above 0" in refusal(pellucid.AdversarialModel, model, norm="l2", epsilon=1, scale=0)
    made = robust(linear())
    assert "pass scale=255" not in refusal(made.fit, X - 1, Y)
    assert "scale=255" in refusal(made.fit, 255 * X, Y)
    assert "divide by 255" in refusal(made.fit, (255 * X).astype(np.uint8), Y)
    assert "Add the axis of channels" in refusal(made.fit, X[..., 0], Y)
    softmax = keras.Sequential([linear(), layers.Softmax()])
    assert "pass logits=False" in refusal(robust(softmax).fit, X, Y)
    tf = pytest.importorskip("tensorflow")
    batches = tf.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    assert "pass logits=False" in refusal(robust(softmax).fit, batches)


@pytest.mark.parametrize("y", [None, np.zeros((N, 2, 1))], ids=["none", "images"])
def test_labels_that_are_none_or_of_another_shape_are_refused(y):
    made = pellucid.AdversarialModel(linear(), "pgd", norm="linf", epsilon=0.1)
    made.compile("sgd", "mse")
    assert "Labels must be an array" in refusal(made.fit, X, y, verbose=0)


DISTRIBUTED = """
import keras, numpy as np
import jax
from tests.library import test_adversarial_model as tests
import pellucid

assert len(jax.devices()) == 2
def run():  # a bias before a normalisation has no gradient but what is rounded
    network = tests.network(normalised=False)
    made = pellucid.AdversarialModel(network, "pgd", norm="l2", epsilon=0.2, steps=2)
    measured = pellucid.callbacks.RobustAccuracy(tests.X, tests.Y, "linf", 0.05)
    values = tests.trained(made, batch_size=8, shuffle=False, callbacks=[measured])
    return values, made.history.history["val_robust_accuracy"], made
alone, accuracy, _ = run()
keras.distribution.set_distribution(keras.distribution.DataParallel())
both, of_both, made = run()
assert len(made.trainable_variables[0].value.sharding.device_set) == 2
for a, b in zip(alone, both, strict=True):
    np.testing.assert_allclose(a, b, atol=1e-5)
assert accuracy == of_both
"""


def test_distribution_over_two_devices_with_jax():
    if keras.backend.backend() == "jax":
        return
    flags = "--xla_force_host_platform_device_count=2"
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(DISTRIBUTED)],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "XLA_FLAGS": flags},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_same_with_jax():
    """The tests above in a process whose backend is JAX."""
    if keras.backend.backend() == "jax":
        return
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", __file__],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
