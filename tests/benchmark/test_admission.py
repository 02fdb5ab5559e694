"""What is said of a submitted model before anything is measured."""

import dataclasses
from pathlib import Path

import keras
import numpy as np
import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.submission import admission, cost
from pellucid.benchmark.submission.admission import check_range, failures_in_one_line
from pellucid.benchmark.units import configuration, plan
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import SUBMISSION
from pellucid.models import untrusted
from pellucid.models.errors import InputError
from pellucid.models.untrusted import Refused
from tests.commands import TINY

FILE = Path("mine.keras")


@pytest.fixture(scope="module")
def digits():
    return datasets.load("digits")


def trained(digits, pixels, *first: keras.Layer) -> keras.Model:
    """A network fitted to pixels of some range."""
    keras.utils.set_random_seed(0)
    layers = [*first, keras.layers.Flatten(), keras.layers.Dense(32, activation="relu")]
    model = keras.Sequential([keras.Input(digits.info.shape), *layers, keras.layers.Dense(10)])
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(keras.optimizers.Adam(1e-2), loss)
    model.fit(pixels, digits.y_train, epochs=8, verbose=0)
    return model


def test_pixels_to_255_are_told(digits):
    model = trained(digits, digits.x_train.astype("float32"), keras.layers.Rescaling(1 / 255))
    with pytest.raises(Refused) as refused:
        check_range(FILE, model, digits)
    message = str(refused.value)
    assert message.startswith("mine.keras: this model expects pixels in [0, 255]")
    assert "remove its Rescaling(1/255) layer, or put keras.layers.Rescaling(255) before" in message
    mended = keras.Sequential([keras.Input(digits.info.shape), keras.layers.Rescaling(255), model])
    check_range(FILE, mended, digits)


def test_pixels_from_minus_1_are_told(digits):
    model = trained(digits, digits.x_train / 127.5 - 1)
    with pytest.raises(Refused, match=r"in \[-1, 1\].* put keras.layers.Rescaling\(2, -1\) before"):
        check_range(FILE, model, digits)


@pytest.mark.parametrize("first", [(), (keras.layers.Rescaling(2, -1),)])
def test_pixels_to_1_pass(digits, first):
    check_range(FILE, trained(digits, digits.x_train / 255, *first), digits)


def test_a_network_that_knows_nothing_is_not_accused(digits):
    for seed in range(5):
        keras.utils.set_random_seed(seed)
        layers = [keras.Input(digits.info.shape), keras.layers.Flatten(), keras.layers.Dense(10)]
        check_range(FILE, keras.Sequential(layers), digits)


@pytest.mark.parametrize(("pace", "images"), [(1e-6, 500), (0.05, 200), (3.0, 64)])
def test_ranges_are_tried_on_as_many_images_as_time_allows(pace, images, digits, monkeypatch):
    tried: list[int] = []
    admitted = untrusted.Admitted(
        keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]),
        sha256="0" * 64,
        file_sha256="1" * 64,
        parameters=650,
        probe={"seconds_per_image": pace},
        confinement=["seccomp"],
        notes=[],
    )
    monkeypatch.setattr(untrusted, "admit", lambda *_, **__: admitted)
    monkeypatch.setattr(admission, "check_range", lambda *given: tried.append(given[3]))
    admission.admit(FILE, digits, lambda line: None)
    assert tried == [images]


@pytest.mark.parametrize(
    "error",
    [RecursionError("maximum recursion depth exceeded"), ValueError("a\x1b\nb"), Exception()],
)
def test_whatever_fails_after_admission_is_one_line(error):
    with pytest.raises(InputError) as told, failures_in_one_line(FILE):
        raise error
    message = str(told.value)
    assert message.startswith("mine.keras could not be measured (")
    assert type(error).__name__ in message
    assert message.isprintable()


def test_a_users_mistake_stays_what_it_says():
    with pytest.raises(InputError, match=r"^as it was$"), failures_in_one_line(FILE):
        raise InputError("as it was")
    with pytest.raises(KeyboardInterrupt), failures_in_one_line(FILE):
        raise KeyboardInterrupt


def test_a_constant_answer_that_changes_with_the_range_is_not_accused(digits, monkeypatch):
    """An untrained network may name another class in another range, and more images be of it."""
    rare, common = 1, 2
    labels = np.full(500, common)
    labels[:100] = rare
    x = digits.x_test[:500] // 2  # in [0, 0.5]
    skewed = dataclasses.replace(digits, x_test=x, y_test=labels)
    inputs = keras.Input(digits.info.shape)
    mean = keras.layers.GlobalAveragePooling2D()(inputs)
    kernel, bias = np.zeros((1, 10), np.float32), np.full(10, -9.0, np.float32)
    kernel[0, common], bias[[rare, common]] = 1.0, [1.0, 0.0]
    last = keras.layers.Dense(10)
    model = keras.Model(inputs, last(mean))
    last.set_weights([kernel, bias])
    with pytest.raises(Refused, match="expects pixels in"):
        check_range(FILE, model, skewed)  # 80 percent are of the other class: it has learned that
    monkeypatch.setattr(admission, "LEARNED", 9.0)
    check_range(FILE, model, skewed)


def test_the_cost_is_of_what_is_left(tmp_path, digits):
    work = plan.submission(configuration.resolve(None, TINY, []), digits.info, "a" * 64)
    store = Store(tmp_path)
    whole = cost.passes(work, store)
    asked = [u for u in work.units if u.network == SUBMISSION and u.kind.name != "retrain"]
    orders = {u.spec.order for u in work.units if u.kind.name == "retrain" and u.spec.order.source}
    per_order = digits.info.train_size + digits.info.test_size
    assert whole == sum(u.cost for u in asked) + len(orders) * per_order
    assert orders
    done = next(u for u in asked if u.cost)
    monkey = Store(tmp_path)
    monkey.done = lambda unit: unit.key == done.key
    assert cost.passes(work, monkey) == whole - done.cost


def test_a_map_of_fifty_gradients_costs_fifty(tmp_path, digits):
    def passes(attribution: str) -> float:
        changes = [f"retraining.attributions=['{attribution}']", "retraining.controls=[]"]
        config = configuration.resolve(None, TINY, changes)
        return cost.passes(plan.submission(config, digits.info, "a" * 64), Store(tmp_path))

    per_map = digits.info.train_size + digits.info.test_size
    extra = passes("integrated_gradients") - passes("gradient")
    assert extra == 49 * per_map
