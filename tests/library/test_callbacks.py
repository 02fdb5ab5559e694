"""Callbacks that measure: exact values, Keras' own readers in either order, nothing disturbed."""

import csv
import os
import subprocess
import sys
import warnings

import keras
import numpy as np
import pytest
from keras import layers

import pellucid
from tests.conftest import ROOT, linear_model
from tests.library import networks
from tests.library.test_refusals import refusal

NAME = "val_robust_accuracy"
SHAPE, N = (4, 4, 1), 40
RNG = np.random.default_rng(0)
X = RNG.uniform(0.3, 0.7, size=(N, *SHAPE)).astype(np.float32)
"""Far enough from the box's sides for the radii below."""
WEIGHTS = RNG.normal(size=(16, 2)).astype(np.float32)
WEIGHTS -= WEIGHTS.mean(axis=0)
BIAS = np.zeros(2, np.float32)
LOGITS = X.reshape(N, -1) @ WEIGHTS
Y = np.where(np.arange(N) % 8 == 0, LOGITS.argmin(1), LOGITS.argmax(1))
"""One label in eight is wrong."""
RADII = {"linf": 0.04, "l2": 0.12}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def still(model: keras.Model | None = None, rate: float = 0.0) -> keras.Model:
    """A model that training leaves as it is."""
    keras.utils.set_random_seed(1)  # of the order of the batches
    model = model or linear_model(WEIGHTS, BIAS, SHAPE)
    model.compile(keras.optimizers.SGD(rate), LOSS)
    return model


def fitted(model: keras.Model, callbacks: list, epochs: int = 1, **options) -> dict:
    return model.fit(X, Y, epochs=epochs, verbose=0, callbacks=callbacks, **options).history


def exact(norm: str) -> float:
    """Correct where the margin exceeds what the radius can change, by Hölder's inequality."""
    margin = LOGITS[np.arange(N), Y] - LOGITS[np.arange(N), 1 - Y]
    difference = WEIGHTS[:, 1] - WEIGHTS[:, 0]
    dual = np.abs(difference).sum() if norm == "linf" else np.linalg.norm(difference)
    return float((margin > RADII[norm] * dual).mean())


def robust(norm: str = "linf", **options) -> pellucid.callbacks.RobustAccuracy:
    return pellucid.callbacks.RobustAccuracy(X, Y, norm, RADII[norm], **options)


@pytest.mark.parametrize("norm", RADII)
def test_robust_accuracy_has_its_closed_form(norm):
    assert 0 < exact(norm) < (LOGITS.argmax(1) == Y).mean()
    assert fitted(still(), [robust(norm)])[NAME] == [exact(norm)]


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda linear: keras.Sequential([linear, layers.Softmax()]), {"logits": False}),
        (lambda linear: keras.Sequential([layers.Rescaling(1 / 255), linear]), {"scale": 255}),
        (lambda linear: pellucid.AdversarialModel(linear, norm="linf", epsilon=0.1, steps=1), {}),
    ],
    ids=["probabilities", "bytes", "adversarial"],
)
def test_other_models_have_the_same_value(make, options):
    model = still(make(linear_model(WEIGHTS, BIAS, SHAPE)))
    assert fitted(model, [robust(**options)])[NAME] == [exact("linf")]


def gini(maps: np.ndarray) -> np.ndarray:
    values = maps.reshape(len(maps), -1)
    pairs = np.abs(values[:, :, None] - values[:, None]).mean(axis=(1, 2))
    return pairs / (2 * values.mean(axis=1))


def test_measures_of_the_gradient_have_their_closed_forms():
    found = fitted(still(), [pellucid.callbacks.Interpretability(X)])
    difference = WEIGHTS[:, 1] - WEIGHTS[:, 0]
    length = np.linalg.norm(difference)
    alignment = np.abs((2 * X.reshape(N, -1) - 1) @ difference).mean() / (2 * length)
    assert found["val_alignment"] == pytest.approx([alignment], rel=1e-4)
    maps = np.abs(difference).reshape(1, 4, 4)
    assert found["val_gini_gradient"] == pytest.approx(gini(maps), rel=1e-4)
    neighbours = [np.abs(np.diff(maps[0], axis=axis)) for axis in (0, 1)]
    variation = np.concatenate([n.ravel() for n in neighbours]).mean() / maps.mean()
    assert found["val_total_variation_gradient"] == pytest.approx([variation], rel=1e-4)


def test_measures_of_several_attributions_and_of_labels():
    measured = pellucid.callbacks.Interpretability(
        X,
        Y,
        attributions=["gradient", "gradient_input"],
        measures=["gini", "alignment", "relative_stability"],
    )
    found = fitted(still(), [measured])
    assert (
        [name for name in found if name.startswith("val_")]
        == measured.names
        == [
            "val_gini_gradient",
            "val_alignment",
            "val_log_ris_gradient",
            "val_log_ros_gradient",
            "val_gini_gradient_input",
            "val_log_ris_gradient_input",
            "val_log_ros_gradient_input",
        ]
    )


def network() -> keras.Model:
    keras.utils.set_random_seed(3)
    model = keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(4, 3, activation="relu"),
            layers.BatchNormalization(momentum=0.5),
            layers.Flatten(),
            layers.Dropout(0.3),
            layers.Dense(2),
        ]
    )
    model.compile(keras.optimizers.Adam(0.02), LOSS, metrics=["accuracy"])
    return model


def test_the_value_is_of_the_present_weights(tmp_path):
    """As of the file that was saved after the same epoch, which is measured on its own."""
    attack = pellucid.Attack("pgd", "linf", 0.02, steps=4, random_start=True)
    measured = pellucid.callbacks.RobustAccuracy(X, Y, attack=attack, seed=3)
    saved = keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras")
    logged = fitted(network(), [measured, saved], epochs=6, batch_size=10)[NAME]
    expected = []
    for epoch in range(1, 7):
        model = keras.models.load_model(tmp_path / f"{epoch}.keras")
        x_adv = pellucid.attack(attack, model, X, Y, seed=3)
        correct = [model.predict(x, verbose=0).argmax(1) == Y for x in (X, x_adv)]
        expected.append(np.logical_and(*correct).mean())
    assert logged == pytest.approx(expected)
    assert len(set(logged)) > 2


def test_the_value_is_that_of_the_evaluation():
    model = network()
    measured = robust(steps=40, random_start=True, seed=5)
    logged = fitted(model, [measured], epochs=3, batch_size=10)[NAME]
    found = pellucid.evaluate(model, X, Y, norm="linf", epsilon=0.04, seed=5, verbose=False)
    assert logged[-1] == found.pgd.accuracy
    assert 0 < logged[-1] < 1


ORDERS = pytest.mark.parametrize("ours_first", [True, False], ids=["ours first", "ours last"])


def ordered(ours_first: bool, *readers: keras.callbacks.Callback, **options) -> list:
    ours = [robust(**options)]
    return [*ours, *readers] if ours_first else [*readers, *ours]


@ORDERS
def test_csv_logger(tmp_path, ours_first):
    logger = keras.callbacks.CSVLogger(tmp_path / "log.csv")
    fitted(still(), ordered(ours_first, logger), epochs=2)
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [float(row[NAME]) for row in rows] == [exact("linf")] * 2


@ORDERS
def test_early_stopping_without_a_mode(ours_first):
    stop = keras.callbacks.EarlyStopping(NAME, patience=2)
    history = fitted(still(), ordered(ours_first, stop), epochs=6)
    assert len(history[NAME]) == 3  # the first is best, two are not better
    assert stop.best == exact("linf")
    assert stop.mode == "max"


def test_a_mode_that_was_chosen_stays():
    stop = keras.callbacks.EarlyStopping(NAME, mode="min")
    fitted(still(), [stop, robust()])
    assert stop.mode == "min"


@ORDERS
def test_model_checkpoint_without_a_mode(tmp_path, ours_first):
    path = tmp_path / f"{{epoch}}-{{{NAME}:.3f}}.keras"
    saved = keras.callbacks.ModelCheckpoint(path, NAME, save_best_only=True)
    fitted(still(), ordered(ours_first, saved), epochs=3)
    assert [file.name for file in tmp_path.iterdir()] == [f"1-{exact('linf'):.3f}.keras"]


@ORDERS
def test_reduce_lr_on_plateau_without_a_mode(ours_first):
    model = still(rate=1e-9)
    reduce = keras.callbacks.ReduceLROnPlateau(NAME, factor=0.5, patience=1, min_delta=0)
    fitted(model, ordered(ours_first, reduce), epochs=2)
    assert float(model.optimizer.learning_rate) == pytest.approx(5e-10)


def points(folder) -> dict[str, list[tuple[int, float]]]:
    """The scalars in the event files of a folder."""
    import tensorflow as tf

    found: dict[str, list[tuple[int, float]]] = {}
    for file in folder.glob("events*"):
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            event = tf.compat.v1.Event.FromString(record)
            for value in event.summary.value:
                number = float(tf.make_ndarray(value.tensor))
                found.setdefault(value.tag, []).append((event.step, number))
    return found


@ORDERS
def test_tensorboard(tmp_path, ours_first):
    pytest.importorskip("tensorflow")  # Keras' TensorBoard needs it
    board = keras.callbacks.TensorBoard(tmp_path)
    fitted(still(), ordered(ours_first, board), epochs=2)
    value = pytest.approx(exact("linf"))
    assert points(tmp_path / "validation")["epoch_robust_accuracy"] == [(0, value), (1, value)]


def test_epochs_without_a_measurement(tmp_path):
    """The first, every third, the last: the others have NA, no point, and no say in stopping."""
    pytest.importorskip("tensorflow")  # Keras' TensorBoard needs it
    stop = keras.callbacks.EarlyStopping(NAME, patience=9)
    readers = [
        keras.callbacks.CSVLogger(tmp_path / "log.csv"),
        keras.callbacks.TensorBoard(tmp_path),
        stop,
    ]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Early stopping conditioned")
        history = fitted(still(), [*readers, robust(every=3)], epochs=6)
    assert history[NAME] == [exact("linf")] * 3
    rows = list(csv.DictReader((tmp_path / "log.csv").open()))
    assert [row[NAME] != "NA" for row in rows] == [True, False, False, True, False, True]
    steps = [step for step, _ in points(tmp_path / "validation")["epoch_robust_accuracy"]]
    assert steps == [0, 3, 5]
    assert stop.wait == 2


class Zeros(keras.callbacks.Callback):
    """Sets the weights to zero after an epoch, of which the next begins with the old ones."""

    def on_epoch_end(self, epoch, logs=None):
        self.model.set_weights([0 * w for w in self.model.get_weights()])


class Mine(pellucid.callbacks.RobustAccuracy):
    """A user's subclass."""

    def set_model(self, model):
        super().set_model(model)


def test_other_callbacks_keep_their_places():
    first, second = robust(name="val_before"), Mine(X, Y, "linf", 0.04, name="val_after")
    history = fitted(still(), [first, Zeros(), second])
    assert history["val_before"] == [exact("linf")]
    assert history["val_after"] == [(Y == 0).mean()]  # the first of equal logits


def test_a_list_of_callbacks_that_the_caller_made():
    model, stop = still(), keras.callbacks.EarlyStopping(NAME, patience=0)
    made = keras.callbacks.CallbackList(
        [stop, Mine(X, Y, "linf", 0.04)], add_history=True, model=model, epochs=5
    )
    model.fit(X, Y, epochs=5, verbose=0, callbacks=made)
    assert model.history.history[NAME] == [exact("linf")] * 2


def test_a_loop_that_the_caller_wrote():
    measured, logs = robust(), {}
    measured.set_model(still())
    measured.on_train_begin()
    measured.on_epoch_end(0, logs)
    assert logs == {NAME: exact("linf")}


def numbers(model: keras.Model) -> list[bytes]:
    values = model.variables + model.optimizer.variables
    return [keras.ops.convert_to_numpy(v).tobytes() for v in values]


def run(*callbacks) -> tuple[list[bytes], dict]:
    model = network()
    keras.utils.set_random_seed(4)
    history = fitted(model, list(callbacks), epochs=3, batch_size=10, validation_data=(X, Y))
    return numbers(model), history


def test_training_is_the_same_to_the_byte_and_so_are_the_values():
    plain, history = run()

    def ours() -> tuple:
        return robust(random_start=True), pellucid.callbacks.Interpretability(X, Y)

    values, first = run(*ours())
    again, second = run(*ours())
    assert values == again == plain
    assert first == second
    assert {name: first[name] for name in history} == history
    assert len(first) == len(history) + 4


def test_a_model_that_diverges_has_no_value():
    model = still(rate=float("inf"))
    history = fitted(model, [robust(), pellucid.callbacks.Interpretability(X)])
    assert np.isnan(history[NAME]).all()
    assert np.isnan(history["val_gini_gradient"]).all()


def test_the_refusals_take_one_line():
    measured, maps = pellucid.callbacks.RobustAccuracy, pellucid.callbacks.Interpretability
    assert "`every` must be" in refusal(measured, X, Y, "linf", 0.1, every=0)
    assert "needs `norm` and `epsilon`" in refusal(measured, X, Y)
    assert "Did you mean 'steps'" in refusal(measured, X, Y, "linf", 0.1, step=3)
    assert "pass scale=255" in refusal(measured, 255 * X, Y, "linf", 0.1)
    assert "Did you mean 'gini'" in refusal(maps, X, measures=["ginni"])
    assert "Unknown attribution" in refusal(maps, X, attributions=["gradients of x"])
    assert "pass `y`" in refusal(maps, X, measures=["road"])
    assert "at least one name" in refusal(maps, X, measures=[])
    softmax = still(keras.Sequential([linear_model(WEIGHTS, BIAS, SHAPE), layers.Softmax()]))
    assert "pass logits=False" in refusal(fitted, softmax, [robust()])
    other = pellucid.callbacks.RobustAccuracy(X, Y + 1, "linf", 0.1)
    assert "`y` must lie in [0, 1]" in refusal(fitted, still(), [other])
    small = pellucid.callbacks.RobustAccuracy(X[:, :3], Y, "linf", 0.1)
    assert "takes images of shape" in refusal(fitted, still(), [small])


def test_another_scale_is_warned_of():
    model = still(networks.of_bytes())
    x, y = networks.images(), networks.labels()
    measured = pellucid.callbacks.RobustAccuracy(x, y, "linf", 0.01)
    with pytest.warns(UserWarning, match="pass scale=255"):
        model.fit(255 * x, y, verbose=0, callbacks=[measured])


def test_the_same_with_jax():
    """The tests above in a process whose backend is JAX, without AutoAttack."""
    if keras.backend.backend() == "jax":
        return
    done = subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider"),
            *("-k", "not of_the_evaluation", __file__),
        ],
        cwd=ROOT,
        env=os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
