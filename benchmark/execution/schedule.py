"""Which unit a worker takes next; the same for threads, for Ray's workers and for `simulation`.

Units with the longest chain of work behind them come first, since no number of workers shortens a
chain. Among equals, a worker goes on with the network whose ranks it holds, else begins with one
that no other worker holds: ranks take a pass over the data to make. Workers in processes of their
own each make them; a thread would wait while another makes what it needs too.
"""

import heapq
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Hashable, Iterable

from pellucid.benchmark.units.unit import Unit


def chains(
    units: Iterable[Unit], cost: Callable[[Unit], float] = lambda unit: unit.cost
) -> dict[str, float]:
    """By key: the cost of the longest chain of dependent units that begins with this one."""
    behind: dict[str, float] = {}
    for unit in reversed(list(units)):  # a unit comes after what it needs
        own = behind[unit.key] = behind.get(unit.key, 0.0) + cost(unit)
        for need in unit.needs:
            behind[need] = max(behind.get(need, 0.0), own)
    return behind


class _Level:
    """The ready units of one priority, by what they share."""

    def __init__(self) -> None:
        self.groups: OrderedDict[Hashable, deque[Unit]] = OrderedDict()

    def add(self, unit: Unit, *, first: bool = False) -> None:
        group = self.groups.setdefault(unit.shares, deque())
        (group.appendleft if first else group.append)(unit)

    def choose(self, held: Hashable, by_others: Counter[Hashable], most: int | None) -> Hashable:
        if held in self.groups:
            return held
        fresh = [group for group in self.groups if not by_others[group]]
        begun = [group for group in self.groups if by_others[group] and group is not None]
        if fresh and not (begun and most is not None and len(+by_others) >= most):
            return fresh[0]
        return max(begun or self.groups, key=lambda group: len(self.groups[group]))

    def take(self, group: Hashable, most: int) -> list[Unit]:
        units = self.groups[group]
        taken = [units.popleft() for _ in range(min(most, len(units)))]
        if not units:
            del self.groups[group]
        return taken


class Schedule:
    """The units that are not done, handed out to workers.

    Args:
        units: All units, each after what it needs.
        finished: Keys of those that are done.
        holds: How many things that units share, as ranks, all workers hold together; None where
            each worker holds its own.
    """

    def __init__(
        self, units: Iterable[Unit], finished: Iterable[str], holds: int | None = None
    ) -> None:
        finished, units = set(finished), list(units)
        left = [unit for unit in units if unit.key not in finished]
        self._behind = chains(left)
        self._left = {unit.key for unit in left}
        self._missing = {unit.key: len(self._left.intersection(unit.needs)) for unit in left}
        self._dependents: dict[str, list[Unit]] = {}
        for unit in left:
            for need in self._left.intersection(unit.needs):
                self._dependents.setdefault(need, []).append(unit)
        self._levels: dict[float, _Level] = {}
        self._heap: list[float] = []
        self._holds = holds
        self._held: dict[Hashable, Hashable] = {}
        self._holders: Counter[Hashable] = Counter()
        for unit in left:
            if not self._missing[unit.key]:
                self._add(unit)

    def __len__(self) -> int:
        """Units that are not finished, those under way included."""
        return len(self._left)

    def _add(self, unit: Unit, *, first: bool = False) -> None:
        priority = self._behind[unit.key]
        if priority not in self._levels:
            self._levels[priority] = _Level()
            heapq.heappush(self._heap, -priority)
        self._levels[priority].add(unit, first=first)

    def _hold(self, worker: Hashable, group: Hashable) -> None:
        self.forget(worker)
        if group is not None:
            self._held[worker] = group
            self._holders[group] += 1

    def forget(self, worker: Hashable) -> None:
        """A worker holds nothing any more."""
        if worker in self._held:
            self._holders[self._held.pop(worker)] -= 1

    def take(self, worker: Hashable = None, most: int = 1) -> list[Unit]:
        """The units that a worker does next, all sharing what they need; empty where none is ready.

        Args:
            worker: Who takes them; None for one that holds nothing.
            most: How many that share something it can do at once.
        """
        if not self._heap:
            return []
        priority = -self._heap[0]
        level = self._levels[priority]
        held = self._held.get(worker)
        if held not in level.groups:
            self.forget(worker)
        group = level.choose(held, self._holders, self._holds)
        units = level.take(group, most if group is not None else 1)
        if not level.groups:
            heapq.heappop(self._heap)
            del self._levels[priority]
        if worker is not None:
            self._hold(worker, group)
        return units

    def finish(self, unit: Unit) -> None:
        """A unit is done: what waited for it alone is ready."""
        self._left.remove(unit.key)
        for dependent in self._dependents.get(unit.key, ()):
            self._missing[dependent.key] -= 1
            if not self._missing[dependent.key]:
                self._add(dependent)

    def fail(self, unit: Unit) -> list[Unit]:
        """A unit cannot be done: what needs it is not handed out either, and is returned."""
        self._left.remove(unit.key)
        dropped: list[Unit] = []
        for dependent in self._dependents.get(unit.key, ()):
            if dependent.key in self._left:
                dropped += [dependent, *self.fail(dependent)]
        return dropped

    def give_back(self, unit: Unit) -> None:
        """A unit that was taken has not been done: it comes first among its equals."""
        self._add(unit, first=True)
