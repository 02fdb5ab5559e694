"""Single units, where a whole run would hide what they see."""

import dataclasses
from collections import Counter

import numpy as np
import pytest

from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution import runner, threads
from pellucid.benchmark.results import report
from pellucid.benchmark.training import ways
from pellucid.benchmark.units import configuration, context, plan, retrain, train
from pellucid.benchmark.units.context import Context
from pellucid.benchmark.units.orders import NO_CONTROL, RANDOM
from pellucid.benchmark.units.outcomes import MASKS
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import Unit, packed, unpacked
from pellucid.models import backend, functional
from tests.commands import TINY


def hits(data: datasets.Dataset, control: str = NO_CONTROL) -> list[int]:
    """Of the networks retrained on pixels kept at random: no base model is needed."""
    work = plan.build(configuration.resolve(None, TINY, ["retraining.epochs=30"]), data.info)
    context = Context(work, None, data)
    specs = [u.spec for u in baseline(work) if (u.spec.mode, u.spec.fraction) == ("kar", 0.7)]
    orders = [dataclasses.replace(spec.order, control=control) for spec in specs]
    return [
        retrain.work(dataclasses.replace(spec, order=order), context).values.hits
        for spec, order in zip(specs, orders, strict=True)
    ]


def baseline(work: plan.Plan) -> list[Unit]:
    """The retrainings on pixels in random order."""
    return [u for u in work.of(retrain.KIND) if u.spec.order.attribution == RANDOM]


def test_masks_alone_tell_nothing_of_the_pixels(digits):
    """With other images under the same masks, a network trained on masks learns the same."""
    part = dataclasses.replace(
        digits,
        info=dataclasses.replace(digits.info, train_size=300, test_size=100),
        x_train=digits.x_train[:300],
        y_train=digits.y_train[:300],
        x_test=digits.x_test[:100],
        y_test=digits.y_test[:100],
    )
    other = dataclasses.replace(
        part, x_train=np.flip(part.x_train, 0).copy(), x_test=np.flip(part.x_test, 0).copy()
    )
    assert hits(part, MASKS) == hits(other, MASKS)
    assert hits(part) != hits(other)
    assert max(hits(part, MASKS)) < 25  # of 100: the masks are random, so this is chance
    assert min(hits(part)) > 35


@pytest.mark.parametrize(
    ("images", "threads", "held"),
    [(2000, 1, 3), (2000, 2, 3), (2000, 16, 17), (60_000, 16, 6), (10**9, 16, 3)],
)
def test_each_thread_has_an_order_of_its_own_where_memory_allows(digits, images, threads, held):
    """Of 32x32x3: 5,120 bytes for the ranks and the imputed pixels of an image."""
    info = dataclasses.replace(digits.info, train_size=images, test_size=0, shape=(32, 32, 3))
    work = plan.build(configuration.resolve(None, TINY, []), digits.info)
    like = dataclasses.replace(digits, info=info)
    assert Context(work, None, like, threads=threads).orders == held


def test_outcomes_are_stored_for_every_image(digits):
    work = plan.build(configuration.resolve(None, TINY, []), digits.info)
    context = Context(work, None, digits)
    unit = baseline(work)[0]
    values = retrain.work(unit.spec, context).values
    assert values.outcomes().shape == (values.examples,)
    assert values.outcomes().sum() == values.hits
    assert 0 < values.hits < values.examples


@pytest.mark.parametrize("n", [1, 8, 13, 1000])
def test_outcomes_are_packed_and_unpacked(n):
    correct = np.random.default_rng(n).random(n) < 0.5
    np.testing.assert_array_equal(unpacked(packed(correct), n), correct)


def test_several_at_once_end_with_the_same_results(digits, tmp_path, monkeypatch):
    """Retrainings that share their ranks, done together by a worker, in each way there is."""
    work = plan.build(
        configuration.resolve(None, TINY, ["data.train_limit=1200", "data.test_limit=597"]),
        digits.info,
    )
    chosen = tuple(u for u in baseline(work) if u.spec.draw == 0)
    part = plan.Plan(work.config, work.info, (), chosen)
    together_seen = []

    def hits(way: str, at_once: int) -> tuple[list[retrain.Values], dict[str, int]]:
        monkeypatch.setattr(ways, "chosen", lambda *_: ways.Way(way, at_once))
        store = Store(tmp_path / f"{way}{at_once}")
        context = Context(part, store, digits)

        def work(some):
            together_seen.append(len(some))
            return runner.perform(some, context, store, {})

        runner.execute(part, set(), threads.Threads(1, work, context.way.together), Quiet())
        return [store.values(u) for u in chosen], report.ways(part, store)

    alone, recorded = hits("one", 1)
    assert len(alone) == 4
    assert recorded == {"one": 4}
    assert set(together_seen) == {1}
    for way in ("one", "map") if backend.NAME == "jax" else ("one",):
        together_seen.clear()
        found, recorded = hits(way, 3)
        assert found == alone
        assert recorded == Counter({way: 3}) + Counter(one=1)
        assert together_seen == [3, 1]


class Quiet:
    def __getattr__(self, name):
        return lambda *_: None


def test_units_of_one_shape_are_traced_once(digits, monkeypatch):
    """Networks against adversaries of two radii; retrainings of several modes and fractions."""
    monkeypatch.setattr(functional, "_programs", {})
    limits = [
        "data.train_limit=1200",
        "data.test_limit=597",
        "training.epochs=1",
        "retraining.epochs=1",
    ]
    work = plan.build(configuration.resolve(None, TINY, limits), digits.info)
    context = Context(work, None, digits)
    attacked = [
        u
        for u in work.of(train.KIND)
        if u.spec.attack and u.label.startswith("l2-") and "xent" in u.label
    ]
    retrained = baseline(work)
    assert (len(attacked), len(retrained)) == (2, 8)
    for unit in (*attacked, *retrained):
        unit.kind.work(unit.spec, context)
    traces = {key[1:]: traced(compiled) for key, (compiled, _) in functional._programs.items()}
    assert (
        len([key for key in traces if key[0] == "train"]) == 2
    )  # against an adversary, and masked
    assert set(traces.values()) == {1}, traces


def traced(compiled) -> int:
    if backend.NAME == "tensorflow":
        return compiled.experimental_get_tracing_count()
    return compiled._cache_size()


def test_networks_are_built_once_for_all_orders_of_a_run(digits, monkeypatch):
    """More than the trained models that are held: those of every fraction and draw come back."""
    work = plan.build(configuration.resolve(None, TINY, []), digits.info)
    made = Context(work, None, digits)
    built: list[int] = []
    build = made.build
    monkeypatch.setattr(made, "build", lambda model, seed: built.append(seed) or build(model, seed))
    seeds = list(range(2 * context.MODELS))
    for _ in range(3):
        models = [made.initial(work.config.model, seed) for seed in seeds]
    assert built == seeds
    assert len({id(model) for model in models}) == len(seeds)


def test_what_is_held_has_a_bound():
    """By cost: the value used last stays in any case; the one used longest ago goes first."""
    held = context._Shared(10, cost=lambda value: len(str(value)))
    for key in ("aaaa", "bbbb", "cc"):
        held.get(key, lambda key=key: key)
    held.get("aaaa", lambda: "made anew")
    held.get("dddd", lambda: "dddd")
    assert list(held.values) == ["cc", "aaaa", "dddd"]
    assert held.get("x" * 50, lambda: "x" * 50) == "x" * 50
    assert list(held.values) == ["x" * 50]
    assert held.held == 50
    assert held.get("e", lambda: "e") == "e"
    assert (list(held.values), held.held) == (["e"], 1)
