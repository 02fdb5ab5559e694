"""bfloat16: off by default, refused where accuracies do not agree, and then what it says it is."""

import keras
import numpy as np
import pytest

from pellucid import models
from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution import runner, simulation
from pellucid.benchmark.training import classifier, precision_check
from pellucid.benchmark.units import (
    agreement,
    configuration,
    plan,
    retrain,
    train,
    trial,
)
from pellucid.benchmark.units.context import Context
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import Result
from pellucid.models import backend
from pellucid.models.errors import InputError
from pellucid.models.precision import in_precision
from tests.commands import TINY

COMPUTE = "training.compute=bfloat16"


def work(*assignments: str) -> plan.Plan:
    return plan.build(
        configuration.resolve(None, TINY, list(assignments)), datasets.describe("digits")
    )


def test_float32_is_as_it_always_was():
    assert "compute" not in configuration.resolve(None, TINY, []).training.model_dump()
    assert [u.key for u in work().units] == [u.key for u in work("training.compute=float32").units]
    assert not list(work().of(agreement.KIND))


def test_tf32_rests_on_it_too():
    (unit,) = work("training.compute=tf32").of(agreement.KIND)
    assert unit.spec.compute == "tf32"


def test_tf32_is_float32_on_a_cpu_and_refused_by_tensorflow(digits):
    x, y = digits.x_train[:100], digits.y_train[:100]
    model = models.get("digits_cnn")((8, 8, 1), 10, seed=0)
    options = {"seed": 0, "epochs": 1}
    if backend.NAME == "tensorflow":
        with pytest.raises(InputError, match="Training in tf32 needs KERAS_BACKEND=jax"):
            classifier.train(model, x, y, compute="tf32", **options)
        return
    found, expected = (
        classifier.train(model, x, y, compute=c, **options)[0] for c in ("tf32", "float32")
    )
    for a, b in zip(found.trainable, expected.trainable, strict=True):
        np.testing.assert_array_equal(a, b)


def test_every_training_rests_on_the_agreement():
    found = work(COMPUTE)
    (agreed,) = found.of(agreement.KIND)
    trained = [*found.of(train.KIND), *found.of(retrain.KIND)]
    assert all(agreed.key in u.needs and u.spec.agreement == agreed.key for u in trained)
    assert all(u.spec.training.compute == "bfloat16" for u in trained)
    assert not {u.key for u in found.units} & {u.key for u in work().of(train.KIND)}
    assert [a and a.epsilon for a in agreed.spec.attacks] == [
        None,
        0.6,
    ]  # the strongest of the first grid


@pytest.mark.parametrize(
    ("expected", "found", "right"),
    [
        ([950, 960, 955], [952, 957, 955], True),
        ([950, 960, 955], [930, 935, 925], False),
        (
            [955, 955, 955],
            [956, 954, 953],
            True,
        ),  # no spread over seeds, but 3,000 images tell no such difference
        ([955, 955, 955], [975, 975, 975], False),
    ],
)
def test_agreement_by_hand(expected, found, right):
    assert precision_check.agrees(expected, found, 1000) is right


def test_what_is_compared():
    calls = []

    def hits(attack, compute, number):
        calls.append((attack, compute, number))
        return 90 + number if compute == "float32" else 10

    (row,) = precision_check.compare(hits, [None], "bfloat16", 3, 100)
    assert calls == [
        (None, kind, number) for kind in ("float32", "bfloat16") for number in range(3)
    ]
    assert row.hits == {"float32": [90, 91, 92], "bfloat16": [10, 10, 10]}
    with pytest.raises(
        InputError,
        match=r"trained in bfloat16 differ in accuracy .*float32: 90, 91, 92; bfloat16: 10",
    ):
        precision_check.require([row], "bfloat16")


def test_a_training_is_refused_without_agreement(tmp_path, digits):
    found, store = work(COMPUTE), Store(tmp_path)
    (agreed,) = found.of(agreement.KIND)
    row = precision_check.Comparison(None, {"float32": [9], "bfloat16": [1]}, agrees=False)
    values = agreement.Values((row,), 10)
    store.put(agreed, Result(values), environment={}, seconds=0)
    for kind in (train.KIND, retrain.KIND):
        unit = next(found.of(kind))
        with pytest.raises(InputError, match=r"Leave training\.compute at float32"):
            kind.work(unit.spec, Context(found, store, digits))


def test_one_unit_per_network():
    """So that no worker trains them all while others wait."""
    found = work(COMPUTE)
    (agreed,) = found.of(agreement.KIND)
    trials = list(found.of(trial.KIND))
    assert agreed.needs == tuple(unit.key for unit in trials)
    assert [(u.spec.training.compute, u.spec.number) for u in trials[:10]] == [
        (compute, number) for compute in ("float32", "bfloat16") for number in range(5)
    ]
    assert len(trials) == 2 * 2 * 5
    assert not any(unit.needs for unit in trials)
    chain = simulation.longest_chain(
        list(found.units), {unit.key: unit.cost for unit in found.units}
    )
    assert [unit.kind.name for unit in chain].count("trial") == 1


def test_digits_agree(digits, tmp_path):
    """Really trained in both types; the numbers differ, the accuracies agree."""
    found = plan.build(
        configuration.resolve("quick", None, [COMPUTE, "training.epochs=15", "grid=[]"]),
        digits.info,
    )
    store = Store(tmp_path)
    context = Context(found, store, digits)
    (agreed,) = found.of(agreement.KIND)
    for unit in [*found.of(trial.KIND), agreed]:
        runner.perform([unit], context, store, {})
    (row,) = store.values(agreed).networks
    assert row.agrees
    assert min(row.hits["bfloat16"]) > 0.85 * len(digits.y_test)


def test_it_computes_in_bfloat16_and_keeps_weights_in_float32(digits):
    model = models.get("digits_cnn")((8, 8, 1), 10, seed=0)
    twin = in_precision(model, "bfloat16")
    assert (
        keras.backend.standardize_dtype(twin(digits.x_train[:2] / np.float32(255)).dtype)
        == "bfloat16"
    )
    assert [tuple(v.shape) for v in twin.variables] == [tuple(v.shape) for v in model.variables]
    assert {keras.backend.standardize_dtype(v.dtype) for v in twin.trainable_variables} == {
        "float32"
    }
    assert in_precision(model, "float32") is model
    options = {"seed": 0, "epochs": 2}
    both = [
        classifier.train(model, digits.x_train, digits.y_train, compute=c, **options)
        for c in ("float32", "bfloat16")
    ]
    (one, history), (other, other_history) = both
    assert keras.backend.standardize_dtype(other.trainable[0].dtype) == "float32"
    difference = np.abs(np.asarray(one.trainable[0]) - np.asarray(other.trainable[0])).max()
    assert 1e-5 < difference < 0.1
    np.testing.assert_allclose(history[-1].loss, other_history[-1].loss, rtol=0.05)


def test_unknown_types_are_refused():
    with pytest.raises(
        InputError, match=r"Unknown compute type 'float16'\. Did you mean 'bfloat16'"
    ):
        in_precision(models.get("mlp")((2,), 2, seed=0), "float16")
    with pytest.raises(InputError, match=r"training\.compute"):
        configuration.resolve(None, TINY, ["training.compute=float16"])
