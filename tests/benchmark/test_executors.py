"""Units run once, after what they need; a failure keeps what is done; estimates are honest."""

import os
import signal
import threading
import time
from io import StringIO

import pytest
from rich.console import Console

from pellucid.benchmark.execution import runner
from pellucid.benchmark.execution.threads import Threads
from pellucid.benchmark.progress import Display, duration
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import Result
from pellucid.models.errors import UnwritableError
from tests.benchmark.made import Values, unit

A, B = unit("a"), unit("b")
C = unit("c", A, B)
D = unit("d", C)
UNITS = (A, B, C, D)


class Silent:
    def __init__(self):
        self.begun, self.ended = [], []

    def started(self, unit):
        self.begun.append(unit.label)

    def finished(self, unit, seconds):
        self.ended.append(unit.label)

    def lost(self, unit, worker):
        raise AssertionError("a thread is never lost")

    def waiting(self):
        pass


def threads(store, work, workers):
    """Threads that do one unit at a time and store its result."""

    def perform(units):
        for one in units:
            store.put(one, work(one, None), environment={}, seconds=0.0)
        return [0.0] * len(units)

    return Threads(workers, perform)


def run(tmp_path, work, done=(), workers=2):
    observer, store = Silent(), Store(tmp_path)
    plan = Plan(None, None, (), UNITS)
    try:
        runner.execute(plan, set(done), threads(store, work, workers), observer)
    finally:
        observer.stored = [u.label for u in UNITS if store.done(u)]
    return observer


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_order(tmp_path, workers):
    ended = []

    def work(unit, _):
        assert set(unit.needs) <= {u.key for u in UNITS if u.label in ended}
        time.sleep(0.01)
        ended.append(unit.label)
        return Result(Values())

    observer = run(tmp_path, work, workers=workers)
    assert sorted(ended) == sorted(observer.ended) == observer.stored == list("abcd")


def test_side_by_side(tmp_path):
    together = threading.Barrier(2, timeout=10)

    def work(unit, _):
        if unit.label in "ab":
            together.wait()
        return Result(Values())

    assert run(tmp_path, work).stored == list("abcd")


def test_what_is_done_is_not_done_again(tmp_path):
    assert run(tmp_path, lambda *_: Result(Values()), done=[A.key, B.key]).begun == ["c", "d"]


def test_failure_keeps_what_is_done(tmp_path):
    def work(unit, _):
        if unit.label == "c":
            raise ZeroDivisionError
        return Result(Values())

    with pytest.raises(ZeroDivisionError):
        run(tmp_path, work)
    store = Store(tmp_path)
    assert [u.label for u in UNITS if store.done(u)] == ["a", "b"]


class Patient(Silent):
    """Told of failures, after which the rest is computed."""

    def __init__(self):
        super().__init__()
        self.failures, self.left = [], []

    def failed(self, unit, error):
        self.failures.append((unit.label, type(error)))

    def given_up(self, units):
        self.left.append([unit.label for unit in units])


def fails_at(label, error):
    def work(unit, _):
        if unit.label == label:
            raise error
        return Result(Values())

    return work


@pytest.mark.parametrize("workers", [1, 2])
def test_what_does_not_need_a_failed_unit_is_computed(tmp_path, workers):
    observer, store = Patient(), Store(tmp_path)
    pool = threads(store, fails_at("a", ZeroDivisionError()), workers)
    plan = Plan(None, None, (), UNITS)
    left_out = runner.execute(plan, set(), pool, observer, failed=observer.failed)
    assert left_out == 2
    assert observer.failures == [("a", ZeroDivisionError)]
    assert observer.left == [["a", "c", "d"]]
    assert [u.label for u in UNITS if store.done(u)] == ["b"]


def test_results_that_cannot_be_stored_end_the_run_at_once(tmp_path):
    """The disk is full: every other unit would be computed in vain."""
    observer, plan = Patient(), Plan(None, None, (), UNITS)
    pool = threads(Store(tmp_path), fails_at("a", UnwritableError("full")), 1)
    with pytest.raises(UnwritableError, match="full"):
        runner.execute(plan, set(), pool, observer, failed=observer.failed)
    assert observer.begun == ["a"]


def test_durations():
    assert [duration(s) for s in (0.4, 59, 61, 7265)] == ["0 s", "59 s", "1 min 1 s", "2 h 1 min"]


@pytest.mark.parametrize("terminal", [False, True])
def test_display(tmp_path, terminal):
    out = StringIO()
    console = Console(file=out, force_terminal=terminal, width=100)
    plan = Plan(None, None, (), UNITS)
    with Display(plan, {A.key}, 2, console, every=0) as display:
        runner.execute(
            plan, {A.key}, threads(Store(tmp_path), lambda *_: Result(Values()), 1), display
        )
    text = out.getvalue()
    assert "training base models" in text
    if not terminal:
        assert "\x1b" not in text
        assert text.splitlines()[0].startswith("[1/4] training base models, estimating the time")
        assert text.splitlines()[-1] == "[4/4] training base models, all done"


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_ctrl_c_that_strikes_inside_a_destructor_is_not_lost(tmp_path):
    """Python ignores what a destructor raises, KeyboardInterrupt included."""

    class Pressing:
        def __del__(self):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(0.01)

    class Observer(Silent):
        def started(self, unit):
            super().started(unit)
            if unit is A:
                Pressing()

    observer = Observer()
    plan = Plan(None, None, (), UNITS)
    with pytest.raises(KeyboardInterrupt):
        runner.execute(
            plan, set(), threads(Store(tmp_path), lambda *_: Result(Values()), 1), observer
        )
    assert observer.begun == ["a"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
