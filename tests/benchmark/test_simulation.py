"""Wall times that can be worked out by hand."""

import pytest

from pellucid.benchmark.execution import simulation
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.unit import Unit
from pellucid.models.errors import InputError
from tests.benchmark.made import RETRAIN, kind, unit
from tests.commands import TINY, call


def seconds(units: list[Unit]) -> dict[str, float]:
    return {u.key: u.cost for u in units}


@pytest.mark.parametrize(
    ("workers", "expected"), [(1, 12), (2, 6), (3, 4), (5, 3), (12, 1), (100, 1)]
)
def test_independent_units(workers, expected):
    units = [unit(str(i)) for i in range(12)]
    assert simulation.wall_time(units, seconds(units), workers) == expected


def test_no_number_of_workers_shortens_a_chain():
    """The chain of 6 begins first, though the plan names it last."""
    others = [unit(str(i), cost=2) for i in range(3)]
    a = unit("a", cost=5)
    b = unit("b", a, cost=1)
    units = [*others, a, b]
    assert [simulation.wall_time(units, seconds(units), workers) for workers in (1, 2, 3, 10)] == [
        12,
        6,
        6,
        6,
    ]
    assert [u.label for u in simulation.longest_chain(units, seconds(units))] == ["a", "b"]


def test_pace_is_by_kind():
    units = [
        unit("a", cost=10),
        unit("b", cost=30),
        unit("c", of=RETRAIN, cost=2),
        unit("d", of=kind("tilt")),
    ]
    took = {units[0].key: 5.0, units[1].key: 3.0, units[2].key: 8.0}
    assert simulation.pace(took, units) == {"train": 0.2, "retrain": 4.0}


def test_sizes():
    assert simulation.sizes(1) == [1]
    assert simulation.sizes(12) == [1, 2, 5, 10, 12]
    assert simulation.sizes(1000)[-3:] == [200, 500, 1000]


def test_report():
    done, left = unit("a", cost=10), [unit("b", cost=20), unit("c", cost=20)]
    plan = Plan(None, None, (), (done, *left))
    text = simulation.report(plan, {done.key: 30.0}, 4, workers=1, probe=False, notice=pytest.fail)
    lines = [line.split() for line in text.splitlines()]
    assert text.startswith("2 units, 2 min 0 s of work (train measured)")
    assert ["1", "2", "min", "0", "s", "100%"] in lines
    assert ["2", "1", "min", "0", "s", "100%"] in lines
    assert ["4", "1", "min", "0", "s", "50%"] in lines
    assert text.endswith("\nlongest chain: 1 min 0 s: train b (1 min 0 s)")


def test_what_is_not_known_is_an_error_without_a_probe():
    with pytest.raises(
        InputError, match="No unit of kind 'train' is done, so its time is not known"
    ):
        simulation.report(
            Plan(None, None, (), (unit("a"),)), {}, 2, workers=1, probe=False, notice=pytest.fail
        )


def test_command(tmp_path):
    shown = call("plan", "--config", TINY, "--out", tmp_path / "none", "--simulate", "50")
    assert shown.returncode == 0, shown.stderr
    assert "211 units, " in shown.stdout
    assert "(train estimated" in shown.stdout
    rows = [line.split() for line in shown.stdout.splitlines()[-8:-2]]
    assert [row[0] for row in rows] == ["1", "2", "5", "10", "20", "50"]
    assert all(row[-1].endswith("%") for row in rows)
    assert shown.stdout.splitlines()[-1].startswith("longest chain: ")
