"""The steps of a first contact, in order of importance."""

import functools
import time
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from keras import ops

from pellucid.benchmark.accelerator import correctness, proposal, speed
from pellucid.benchmark.accelerator.record import Outcome, Record
from pellucid.benchmark.accelerator.scale import Scale
from pellucid.models import backend
from pellucid.models.batching import to_device
from pellucid.models.types import Json

SHARES = {"full": 1.0, "reduced": 0.2}
"""By scale, the share of a full step's expected seconds."""


class Step(NamedTuple):
    """A step of the contact.

    Attributes:
        name: Its name, also its heading.
        seconds: That it is expected to take, the compiler's included: it is begun if they are left.
        work: What it does, from what is known.
        needs: Steps whose figures it cannot do without.
    """

    name: str
    seconds: float
    work: Callable[[Record], Outcome]
    needs: tuple[str, ...] = ()


def all_steps(scale: Scale) -> list[Step]:
    """Every step of a scale; what is measured on the first network comes before the others."""
    share = SHARES[scale.name]

    def check(name: str, seconds: float) -> Step:
        work = functools.partial(_checked, name, scale)
        return Step(f"correctness {name}", share * seconds, work)

    def pace(what: str, network: str, seconds: float, work: Callable) -> Step:
        call = functools.partial(work, network, scale)
        return Step(f"{what} {network}", share * seconds, call)

    first, *others = scale.networks
    nets = scale.networks
    return [
        Step("compilation", share * 10, lambda _: compiled()),
        *(check(name, 40) for name in (*nets, *scale.manifold)),
        Step(speed.FLOORS, share * 15, lambda _: speed.measured_floors(scale)),
        *(pace(speed.TRAINED, name, 25, speed.training) for name in nets),
        *(pace("attacks", name, 10, speed.attacked) for name in nets),
        pace("AutoAttack", first, 60, speed.autoattack),
        pace(speed.ADVERSARIAL, first, 20, speed.adversarial),
        Step(proposal.MANIFOLD, share * 30, lambda _: proposal.manifold(scale)),
        pace(speed.TOGETHER, first, 60, speed.together),
        Step(
            "proposal",
            0.0,
            lambda record: proposal.propose(scale, record),
            proposal.needs(scale),
        ),
        *(pace(speed.TOGETHER, name, 40, speed.together) for name in others),
        *(pace(speed.ADVERSARIAL, name, 20, speed.adversarial) for name in others),
        *(pace("AutoAttack", name, 60, speed.autoattack) for name in others),
    ]


def _checked(name: str, scale: Scale, _: Record) -> Outcome:
    return correctness.check(name, scale)


def compiled() -> Outcome:
    """A small program, compiled and run; its result is known."""
    start = time.perf_counter()
    run = backend.jit(lambda x: ops.sum(x * x))
    found = float(ops.convert_to_numpy(run(to_device(np.arange(4, dtype=np.float32)))))
    first = time.perf_counter() - start
    free = backend.free_memory()
    rows: list[Json] = [
        {
            "what": "sum of squares of 0 .. 3",
            "result": found,
            "compiled and run, s": first,
            "free memory, GiB": None if free is None else free / 2**30,
        }
    ]
    where = "an accelerator" if backend.has_accelerator() else "CPUs alone"
    return Outcome(rows, (f"The backend {backend.NAME} sees {where}.",), found == 14)
