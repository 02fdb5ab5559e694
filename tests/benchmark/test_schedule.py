"""Long chains first; a worker keeps to its ranks; nothing is handed out twice or too early."""

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.benchmark.data import datasets
from pellucid.benchmark.data.dataset import Info
from pellucid.benchmark.execution import simulation
from pellucid.benchmark.execution.schedule import Schedule, chains
from pellucid.benchmark.units import configuration, plan
from pellucid.benchmark.units.unit import Unit
from tests.benchmark.made import kind, unit
from tests.commands import TINY

RETRAIN = kind("retrain", shares=lambda spec: spec.name.split()[0])


def retraining(source: str, fraction: float) -> Unit:
    return unit(f"{source} {fraction}", of=RETRAIN)


def labels(units: list[Unit]) -> list[str]:
    return [u.label for u in units]


def test_chains():
    a, b = unit("a", cost=5), unit("b", cost=1)
    c = unit("c", a, b, cost=10)
    d = unit("d", b, cost=2)
    found = chains([a, b, c, d])
    assert [found[u.key] for u in (a, b, c, d)] == [15, 11, 10, 2]


def test_long_chains_first():
    short, first = unit("short", cost=3), unit("first", cost=1)
    second = unit("second", first, cost=9)
    schedule = Schedule([short, first, second], ())
    assert labels(schedule.take()) == ["first"]
    assert labels(schedule.take()) == ["short"]
    assert schedule.take() == []  # the second waits for the first
    schedule.finish(first)
    assert labels(schedule.take()) == ["second"]
    assert len(schedule) == 2
    schedule.finish(short)
    schedule.finish(second)
    assert len(schedule) == 0


def test_what_is_done_is_neither_waited_for_nor_handed_out():
    a = unit("a")
    b = unit("b", a)
    schedule = Schedule([a, b], {a.key})
    assert labels(schedule.take()) == ["b"]


def test_a_worker_keeps_to_the_ranks_it_holds():
    units = [retraining(source, fraction) for source in "xyz" for fraction in (0.1, 0.2)]
    schedule = Schedule(units, ())
    assert labels(schedule.take("one")) == ["x 0.1"]
    assert labels(schedule.take("two")) == ["y 0.1"]  # not x, which another holds
    assert labels(schedule.take("two")) == ["y 0.2"]
    assert labels(schedule.take("one")) == ["x 0.2"]
    assert labels(schedule.take("two")) == ["z 0.1"]
    assert labels(schedule.take("one")) == ["z 0.2"]  # none is left that nobody holds: it helps


def test_what_is_held_together_is_no_more_than_fits():
    """Two at a time: a third worker helps, until those that hold the two have taken the last."""
    units = [retraining(source, fraction) for source in "xyz" for fraction in (0.1, 0.2, 0.3)]
    schedule = Schedule(units, (), holds=2)
    assert labels(schedule.take("one")) == ["x 0.1"]
    assert labels(schedule.take("two")) == ["y 0.1"]
    assert labels(schedule.take("three")) == ["x 0.2"]
    assert labels(schedule.take("three")) == ["x 0.3"]
    assert labels(schedule.take("one")) == ["y 0.2"]  # x is done, but the third is at it
    assert labels(schedule.take("three")) == ["z 0.1"]
    assert labels(schedule.take("two")) == ["y 0.3"]
    assert labels(schedule.take("two")) == ["z 0.2"]


def test_units_that_share_nothing_keep_nobody_from_beginning():
    units = [unit("a"), unit("b"), retraining("x", 0.1), retraining("y", 0.1)]
    schedule = Schedule(units, (), holds=1)
    taken = [schedule.take(worker)[0] for worker in ("one", "two", "three", "four")]
    assert labels(taken) == ["a", "b", "x 0.1", "y 0.1"]


def test_several_at_once_share_their_ranks():
    schedule = Schedule(
        [retraining(source, fraction) for source in "xy" for fraction in (0.1, 0.2, 0.3)], ()
    )
    assert labels(schedule.take("one", 2)) == ["x 0.1", "x 0.2"]
    assert labels(schedule.take("one", 2)) == ["x 0.3"]
    alone = Schedule([unit("a"), unit("b")], ())
    assert labels(alone.take("one", 2)) == ["a"]


def test_what_needs_a_failed_unit_is_not_handed_out_and_all_else_is():
    a, b = unit("a", cost=9), unit("b")
    c, d = unit("c", a, b), unit("d", b)
    e = unit("e", c, d)
    schedule = Schedule([a, b, c, d, e], ())
    assert labels(schedule.take()) == ["a"]
    assert labels(schedule.fail(a)) == ["c", "e"]
    assert labels(schedule.take()) == ["b"]
    schedule.finish(b)
    assert labels(schedule.take()) == ["d"]
    assert labels(schedule.fail(d)) == []
    assert schedule.take() == []
    assert len(schedule) == 0


def test_given_back_it_comes_first():
    units = [unit(name) for name in "abc"]
    schedule = Schedule(units, ())
    taken = schedule.take("one")[0]
    schedule.give_back(taken)
    assert labels(schedule.take("two")) == ["a"]


def test_every_unit_of_a_plan_once_after_what_it_needs_whatever_is_lost(digits):
    work = plan.build(configuration.resolve(None, TINY, []), datasets.describe("digits"))
    rng, schedule = random.Random(0), Schedule(work.units, ())
    running: list[tuple[str, Unit]] = []
    finished: list[str] = []
    while len(schedule):
        worker = rng.choice("abcd")
        running += [(worker, u) for u in schedule.take(worker, rng.choice([1, 3]))]
        if running and rng.random() < 0.7:
            worker, ended = running.pop(rng.randrange(len(running)))
            assert set(ended.needs) <= set(finished)
            if rng.random() < 0.2:
                schedule.forget(worker)
                schedule.give_back(ended)
            else:
                schedule.finish(ended)
                finished.append(ended.key)
    assert sorted(finished) == sorted(u.key for u in work.units)


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_a_long_chain_holds_up_only_what_needs_it(data):
    """No worker waits while a unit is ready: Graham's bound holds for any plan.

    With W the work in all and L the longest chain, n workers end within W / n + L (1 - 1 / n).
    """
    units: list[Unit] = []
    for number in range(data.draw(st.integers(1, 25))):
        needs = data.draw(st.lists(st.sampled_from(units), max_size=3)) if units else []
        cost = data.draw(st.sampled_from([0, 1, 2, 5, 40]))
        units.append(unit(str(number), *dict.fromkeys(needs), cost=cost))
    workers = data.draw(st.integers(1, 6))
    seconds = {u.key: float(u.cost) for u in units}
    work, longest = sum(seconds.values()), max(chains(units).values())
    wall = simulation.wall_time(units, seconds, workers)
    assert max(longest, work / workers) <= wall + 1e-9
    assert wall <= work / workers + longest * (1 - 1 / workers) + 1e-9


def test_the_manifold_model_and_the_comparison_of_types_hold_nobody_up():
    """On a plan in bfloat16: nine workers need hardly more than a ninth of the time of one."""
    config = configuration.resolve("paper-cifar10", None, ["training.compute=bfloat16"])
    info = Info("cifar10", "3.0.2", 50_000, 10_000, (32, 32, 3), 10)
    units = list(plan.build(config, info).units)
    seconds = {u.key: u.cost for u in units}
    total, chain = sum(seconds.values()), simulation.longest_chain(units, seconds)
    wall = simulation.wall_time(units, seconds, 9)
    assert wall == pytest.approx(max(total / 9, sum(seconds[u.key] for u in chain)), rel=0.05)
