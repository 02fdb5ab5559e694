"""How long a plan would take on more workers than there are.

The units' own order (`schedule`) is played through with the seconds that they took, or would take.
What every worker does once (starting, loading data, compiling) and the ranks that it computes for
itself are in the measured seconds of some units only, so a real run takes a little longer.
"""

import heapq
from collections import defaultdict
from collections.abc import Callable

from pellucid.benchmark.execution.schedule import Schedule, chains
from pellucid.benchmark.progress import duration
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.unit import Unit
from pellucid.models.errors import InputError

STEPS = (1, 2, 5)


def pace(measured: dict[str, float], units: list[Unit]) -> dict[str, float]:
    """Seconds per unit of cost of each kind, from the seconds of measured units by key."""
    cost: dict[str, float] = defaultdict(float)
    seconds: dict[str, float] = defaultdict(float)
    for unit in units:
        if unit.key in measured and unit.cost:
            cost[unit.kind.name] += unit.cost
            seconds[unit.kind.name] += measured[unit.key]
    return {kind: seconds[kind] / cost[kind] for kind in cost}


def wall_time(units: list[Unit], seconds: dict[str, float], workers: int) -> float:
    """Seconds until the last unit is done, each unit taking its `seconds` (by key)."""
    schedule = Schedule(units, ())
    idle = list(range(workers))
    running: list[tuple[float, int, Unit]] = []
    now = 0.0
    while len(schedule):
        while idle and (taken := schedule.take(idle[-1])):
            heapq.heappush(running, (now + seconds[taken[0].key], idle.pop(), taken[0]))
        now, worker, unit = heapq.heappop(running)
        schedule.finish(unit)
        idle.append(worker)
    return now


def longest_chain(units: list[Unit], seconds: dict[str, float]) -> list[Unit]:
    """The units of the longest chain of dependent work, in order."""
    behind = chains(units, lambda unit: seconds[unit.key])
    chain: list[Unit] = []
    ahead = units
    while ahead:
        chain.append(max(ahead, key=lambda unit: behind[unit.key]))
        ahead = [unit for unit in units if chain[-1].key in unit.needs]
    return chain


def sizes(most: int) -> list[int]:
    """1, 2, 5, 10, ... up to and including `most`."""
    steps = [digit * 10**power for power in range(4) for digit in STEPS]
    return [size for size in steps if size < most] + [most]


def _seconds(
    plan: Plan,
    units: list[Unit],
    took: dict[str, float],
    estimated: list[str],
    workers: int | None,
) -> dict[str, float]:
    """Seconds of each unit by key: by what its kind took, else by a few batches measured now."""
    measured = pace(took, list(plan.units))
    if estimated:
        from pellucid.benchmark.execution import estimate
        from pellucid.benchmark.execution.threads import default_workers
        from pellucid.models import backend

        backend.configure()
        device = estimate.measure(plan, workers or default_workers())
    return {
        unit.key: estimate.seconds(unit, device)
        if unit.kind.name in estimated
        else unit.cost * measured.get(unit.kind.name, 0.0)
        for unit in units
    }


def report(
    plan: Plan,
    took: dict[str, float],
    most: int,
    *,
    workers: int | None,
    probe: bool,
    notice: Callable[[str], None],
) -> str:
    """The wall time and efficiency on 1 to `most` workers, of what is left of a plan, else of all.

    Args:
        plan: The plan.
        took: The seconds that finished units took, by key.
        most: The largest number of workers.
        workers: Units at a time where this device is measured.
        probe: Whether kinds of which no unit is done may be estimated from a few batches measured
            now.
        notice: Told, in a line, when that takes time.

    Raises:
        InputError: They would have to be, and may not.
    """
    units = [unit for unit in plan.units if unit.key not in took] or list(plan.units)
    timed = pace(took, list(plan.units))
    kinds = dict.fromkeys(unit.kind.name for unit in units if unit.cost)
    estimated = [kind for kind in kinds if kind not in timed]
    if estimated and not probe:
        raise InputError(
            f"No unit of kind '{estimated[0]}' is done, so its time is not known. Leave out"
            " --no-probe."
        )
    if estimated:
        notice("measuring the pace of this device ...")
    seconds = _seconds(plan, units, took, estimated, workers)

    total, chain = sum(seconds.values()), longest_chain(units, seconds)
    source = ", ".join(
        f"{kind} {'estimated' if kind in estimated else 'measured'}" for kind in kinds
    )
    lines = [
        f"{len(units):,} units, {duration(total)} of work ({source})",
        "",
        "workers   wall time        efficiency",
    ]
    for count in sizes(most):
        wall = wall_time(units, seconds, count)
        lines.append(f"{count:>7,}   {duration(wall):15} {total / (count * wall):>10.0%}")
    names = " -> ".join(f"{u.kind.name} {u.label} ({duration(seconds[u.key])})" for u in chain)
    longest = duration(sum(seconds[unit.key] for unit in chain))
    return "\n".join([*lines, "", f"longest chain: {longest}: {names}"])
