"""What is shown of work under way: attacks' successes, the time left, what is compiled."""

import io
import itertools
import re
import threading
import time

import pytest
from rich.console import Console

from pellucid.benchmark.progress import AttackDisplay, Display, TimeLeft, countdown, stderr, stdout
from pellucid.benchmark.units.plan import Plan
from pellucid.models import backend, compiling
from tests.benchmark.made import RETRAIN, unit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_estimate_is_by_kind_and_says_what_it_does_not_know():
    clock = Clock()
    estimate = TimeLeft(2, clock)
    ahead = [unit("y", cost=30), unit("y2", cost=30), unit("z", of=RETRAIN, cost=6)]
    estimate.renew(ahead)
    assert estimate.text() == "estimating the time"
    clock.now = 75.0
    assert estimate.text() == "estimating the time, 1 min 15 s so far"
    estimate.add(unit("x", cost=10), 20.0)
    assert estimate.left(ahead) == (66.0, False)  # 2 s for each of 66 units of cost, two at a time
    estimate.renew(ahead)
    assert estimate.text() == "roughly 1 min 6 s left"
    estimate.add(unit("w", of=RETRAIN, cost=1), 4.0)
    estimate.renew(ahead)
    assert estimate.text() == "about 1 min 12 s left"


def test_no_number_of_workers_shortens_a_chain():
    estimate = TimeLeft(100, Clock())
    estimate.add(unit("x", cost=1), 1.0)
    first, other = unit("first", cost=30), unit("other", cost=40)
    assert estimate.left([first, other, unit("second", first, cost=20)]) == (50.0, True)


def test_the_time_that_a_unit_under_way_has_taken_counts():
    clock = Clock()
    estimate = TimeLeft(1, clock)
    estimate.add(unit("x", cost=1), 2.0)
    long, after = unit("long", cost=30), unit("after", cost=5)
    estimate.started(long)
    for clock.now, left in ((0.0, 60.0), (40.0, 20.0), (400.0, 100.0)):
        assert estimate.left([long, after]) == (left + 10.0, True)
    estimate.ended(long)
    assert estimate.left([long, after]) == (70.0, True)


def test_the_estimate_counts_down_and_is_never_the_same_for_a_minute():
    """One unit of three hours, of which nothing is heard, after one that took seconds."""
    clock = Clock()
    estimate = TimeLeft(2, clock)
    long = unit("long", cost=2 * 86_400)
    estimate.add(unit("x", cost=1), 1.0)
    estimate.started(long)
    estimate.renew([long])
    shown = []
    while clock.now < 3 * 86_400:
        shown.append(estimate.text())
        clock.now += 50.0
    assert shown[:2] == ["about 2 d 0 h 0 min 0 s left", "about 1 d 23 h 59 min 10 s left"]
    assert all(a != b for a, b in itertools.pairwise(shown))
    assert shown[-1].endswith(" longer than estimated")
    assert [countdown(s) for s in (0, 59.6, 3600, 12_680)] == [
        "0 s",
        "1 min 0 s",
        "1 h 0 min 0 s",
        "3 h 31 min 20 s",
    ]


@pytest.mark.parametrize("terminal", [True, False])
def test_the_display_says_compiling_while_a_program_is_compiled(terminal):
    """A function that takes two seconds to be traced is called in a thread, as a unit's is."""

    def slow(x):
        time.sleep(2)
        return x + 1

    program = backend.jit(slow)
    thread = threading.Thread(target=lambda: program(backend.to_device([1.0, 2.0])))
    console = Console(file=io.StringIO(), force_terminal=terminal, width=80)
    one = unit("a")
    with Display(Plan(None, None, (), (one,)), set(), 1, console) as display:
        display.started(one)
        thread.start()
        while thread.is_alive():
            display.waiting()
            time.sleep(0.05)
        assert "training base models, compiling" in console.file.getvalue()
        so_far = len(console.file.getvalue())
        display.finished(one, 2.0)
    assert "compiling" not in console.file.getvalue()[so_far:]
    assert not compiling.anywhere()
    if not terminal:
        first, second, last = console.file.getvalue().splitlines()
        assert first == "[0/1] training base models, estimating the time"
        said = r"\[0/1\] training base models, compiling, estimating the time, \d s so far"
        assert re.fullmatch(said, second)
        assert last == "[1/1] training base models, all done"


def test_a_program_that_cannot_be_traced_is_no_longer_compiled():
    def wrong(x):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        backend.jit(wrong)(backend.to_device([1.0]))
    assert not compiling.anywhere()


def test_an_attack_gets_at_most_the_images_that_resisted_those_before_it():
    """Also when the next block of images begins with the first attack."""
    console = Console(file=io.StringIO(), width=200)
    times = iter([0.0, 20.0, 30.0, 100.0, 116.0, 118.0, 130.0])
    with AttackDisplay(console, 100, every=0.0, clock=lambda: next(times)) as display:
        display.update("apgd-ce", 40, 30)
        display.update("apgd-t", 10, 5)
        display.update("square", 5, 0)
        display.update("apgd-ce", 50, 20)
        display.update("apgd-t", 7, 1)
        display.update("square", 39, 2)
    assert console.file.getvalue().splitlines() == [
        "compiling the attacks",
        "apgd-ce: 40 of at most 100 images, 30 attacked successfully,"
        " about 30 s left of this attack",
        "apgd-t: 10 of at most 70 images, 5 attacked successfully,"
        " about 1 min 0 s left of this attack",
        "square: 5 of at most 65 images, 0 attacked successfully,"
        " about 14 min 0 s left of this attack",
        "apgd-ce: 90 of at most 100 images, 50 attacked successfully,"
        " about 4 s left of this attack",
        "apgd-t: 17 of at most 50 images, 6 attacked successfully, about 23 s left of this attack",
        "square: 44 of at most 44 images, 2 attacked successfully",
    ]


def test_a_live_bar_counts_the_successes_of_each_attack():
    console = Console(file=io.StringIO(), force_terminal=True, width=100)
    with AttackDisplay(console, 100) as display:
        assert [task.description for task in display.bar.tasks] == ["compiling the attacks"]
        display.update("apgd-ce", 40, 30)
        display.update("apgd-ce", 50, 20)
        display.update("square", 50, 7)
        tasks = {task.description: task for task in display.bar.tasks}
        first, second = tasks["apgd-ce"], tasks["square"]
        assert (first.completed, first.total, first.fields["successes"]) == (90, 100, 50)
        assert (second.completed, second.total, second.fields["successes"]) == (50, 50, 7)
    assert "7 attacked successfully" in console.file.getvalue()


def test_functions_of_the_library_write_plain_lines_in_a_notebook_too(monkeypatch, capsys):
    """Rich would show HTML there, or a bar in a stream that is none of a terminal."""
    monkeypatch.setenv("FORCE_COLOR", "1")
    assert Console(stderr=True).is_terminal
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert Console().is_jupyter
    with AttackDisplay(stderr(verbose=True), 10, every=0.0) as display:
        display.update("square", 10, 0)
    with AttackDisplay(stderr(verbose=False), 10, every=0.0) as display:
        display.update("square", 5, 0)
    lines = ["compiling the attacks", "square: 10 of at most 10 images, 0 attacked successfully"]
    assert capsys.readouterr().err.splitlines() == lines


def test_commands_write_plain_lines_into_a_pipe_of_a_notebook(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    one = unit("a")
    with Display(Plan(None, None, (), (one,)), set(), 1, stdout()) as display:
        display.started(one)
        display.finished(one, 1.0)
    assert capsys.readouterr().out.splitlines()[-1] == "[1/1] training base models, all done"
