"""Batches: as large as a device's memory allows, and results that do not depend on them."""

from weakref import WeakKeyDictionary

import numpy as np
import pytest

from pellucid import models
from pellucid.attacks import Attack, run
from pellucid.metrics import attributions
from pellucid.models import backend, batching
from pellucid.models.functional import predict


def network():
    return models.get("digits_cnn")((8, 8, 1), 10, seed=0, width=0.5)


def images(n: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (n, 8, 8, 1)).astype(np.uint8)


class Counting:
    """A program that notes the shapes it is called with: each is a compilation."""

    def __init__(self):
        self.shapes = []

    def __call__(self, factor, x, offset):
        self.shapes.append(tuple(x.shape))
        return x * factor + offset


@pytest.mark.parametrize(
    ("n", "expected"), [(250, {(100, 2)}), (30, {(32, 2)}), (1, {(1, 2)}), (100, {(100, 2)})]
)
def test_a_short_batch_is_filled_up(monkeypatch, n, expected):
    monkeypatch.setattr(backend, "fixed_shapes", lambda: True)
    program, x = Counting(), np.random.default_rng(0).random((n, 2), np.float32)
    found = list(
        batching.in_batches(program, (2.0,), [x], lambda number: (float(number),), batch_size=100)
    )
    assert set(program.shapes) == expected
    assert [part.stop - part.start for part, _ in found] == [len(out) for _, out in found]
    whole = np.concatenate([out for _, out in found])
    np.testing.assert_allclose(
        whole, x * 2 + np.repeat(np.arange(len(found)), 100)[:n, None], rtol=1e-6
    )


@pytest.mark.parametrize("pad", [False, True])
def test_results_do_not_depend_on_the_filling(monkeypatch, pad):
    monkeypatch.setattr(backend, "fixed_shapes", lambda: pad)
    model, x = network(), images(37)
    y = np.arange(37) % 10
    whole = predict(model, x, batch_size=64), attributions.run("gradient", model, x, batch_size=64)
    parts = predict(model, x, batch_size=16), attributions.run("gradient", model, x, batch_size=16)
    for a, b in zip(whole, parts, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    attack = Attack("pgd", "linf", 0.1, steps=3, step_size=0.05)
    one, other = run(attack, model, x, y, batch_size=64), run(attack, model, x, y, batch_size=16)
    assert (
        np.isclose(one, other, atol=1e-5).mean() > 0.999
    )  # a gradient of nearly zero may change its sign
    assert one.shape == x.shape


def test_as_large_as_half_of_the_free_memory_allows(monkeypatch):
    """1,000 bytes and 10 an image."""
    asked = []

    def memory_of(run, arguments):
        asked.append(len(arguments[0]))
        return 1000 + 10 * len(arguments[0])

    monkeypatch.setattr(backend, "memory_of", memory_of, raising=False)
    x = np.zeros((5, 3), np.float32)
    program = Counting()
    for free, expected in (
        (2 * (1000 + 10 * 512), 512),
        (2 * (1000 + 10 * 511), 256),
        (10**12, batching.MOST),
        (10, 1),
    ):
        monkeypatch.setattr(backend, "free_memory", lambda free=free: free)
        monkeypatch.setattr(batching, "_sizes", WeakKeyDictionary())
        assert batching.largest(program, (), [x], (), 100) == expected
    assert set(asked) == set(batching.MEASURED)
    asked.clear()
    assert batching.largest(program, (), [x], (), 100) == 1  # measured once
    assert asked == []


def test_a_size_is_not_that_of_a_program_which_is_gone(monkeypatch):
    """A new program may get the id of one that was collected: its memory is measured anew."""
    monkeypatch.setattr(backend, "free_memory", lambda: 2 * 1000)
    monkeypatch.setattr(
        backend, "memory_of", lambda run, arguments: run.each * len(arguments[0]), raising=False
    )
    monkeypatch.setattr(batching, "_sizes", WeakKeyDictionary())
    x, ids = np.zeros((5, 3), np.float32), set()
    for each in (1, 2, 4, 8, 16):
        program = Counting()
        program.each = each
        ids.add(id(program))
        assert batching.largest(program, (), [x], (), 100) == 512 // each
        assert len(batching._sizes) == 1
        del program
    assert len(ids) < 5, "no id was used twice: the test shows nothing"


def test_on_a_cpu_as_asked(monkeypatch):
    assert batching.largest(None, (), [images(3)], (), 123) == 123


def test_what_the_compiler_says_of_memory_is_used(monkeypatch):
    """With JAX: a budget in which the chosen batch fits and twice as many images do not."""
    if backend.NAME != "jax":
        assert backend.free_memory() is None
        return
    budget, seen, memory_of = 1 << 20, {}, backend.memory_of

    def noting(run, arguments):
        (n,) = {len(a) for a in arguments if getattr(a, "dtype", None) == np.uint8}
        seen[n] = memory_of(run, arguments)
        return seen[n]

    monkeypatch.setattr(backend, "free_memory", lambda: 2 * budget)
    monkeypatch.setattr(backend, "memory_of", noting)
    monkeypatch.setattr(batching, "_sizes", WeakKeyDictionary())
    model, x = network(), images(300)
    found = predict(model, x)
    ((size,),) = (sizes.values() for sizes in batching._sizes.values())
    monkeypatch.setattr(batching, "_sizes", WeakKeyDictionary())
    monkeypatch.setattr(batching, "MEASURED", (size, 2 * size))
    predict(model, x)
    assert seen[size] <= budget < seen[2 * size], seen
    monkeypatch.setattr(backend, "free_memory", lambda: None)
    np.testing.assert_allclose(found, predict(model, x), atol=1e-5)


def test_random_draws_keep_their_blocks(monkeypatch):
    """Noise of an image must not depend on the device's memory."""
    monkeypatch.setattr(batching, "largest", lambda *_: 7)
    model, x, y = network(), images(40), np.zeros(40, np.int64)
    noise = Attack("noise", "l2", 0.5)
    a = run(noise, model, x, y, batch_size=20)
    monkeypatch.setattr(batching, "largest", lambda *_: 40)
    assert np.array_equal(a, run(noise, model, x, y, batch_size=20))
