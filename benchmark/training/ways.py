"""Which way of training several networks is quickest on a device: measured once, then remembered.

At batch sizes of a hundred, a GPU waits for the next kernel most of the time. Several networks can
then be trained in one program (see `batched`), or by several processes that share the GPU. What is
best depends on the device and the network, so the first run on a device measures it, in a minute or
two, and writes it to the user's cache.

`python -m pellucid.benchmark.training.ways CASE` is one of several such processes.
"""

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from typing import NamedTuple

import numpy as np

from pellucid import models
from pellucid.benchmark.training.batched import train_together
from pellucid.benchmark.training.masks import Mask
from pellucid.metrics import ranking
from pellucid.models import backend
from pellucid.models.batching import to_device
from pellucid.models.errors import InputError
from pellucid.models.files import cache_folder, write
from pellucid.models.sharing import MEMORY, share_environment
from pellucid.models.types import Json

BATCHES = 50
"""Batches of an epoch that is timed."""

SPARE = 0.15
"""The share of a GPU's memory that processes which are timed may reserve together."""

WORTH = 1.1
"""How many times as fast processes that share a GPU must be, to be recommended."""


class Way(NamedTuple):
    """How networks that differ in mask and seed are trained.

    Attributes:
        name: One of `batched.WAYS`.
        together: Networks at a time in a process.
        processes: Processes that share the device.
    """

    name: str
    together: int
    processes: int = 1


ALONE = Way("one", 1)
CANDIDATES = (
    ALONE,
    Way("map", 8),
    Way("vmap", 4),
    Way("vmap", 8),
    Way("vmap", 16),
    Way("one", 1, 2),
    Way("one", 1, 4),
    Way("one", 1, 8),
)


class Case(NamedTuple):
    """The networks that are trained.

    Attributes:
        network: A classifier's name.
        width: Its width.
        shape: Shape of an image, `(h, w, c)`.
        classes: Number of classes.
        batch_size: Images per step.
        compute: Type of computation.
    """

    network: str
    width: float
    shape: tuple[int, int, int]
    classes: int
    batch_size: int
    compute: str


def _work(way: Way, case: Case) -> Callable[[], int]:
    """Masked training of random images for one epoch; returns the images that were trained on."""
    images = BATCHES * case.batch_size
    rng = np.random.default_rng(0)
    height, width, channels = case.shape
    shape = (images, height, width)
    x = to_device(rng.integers(0, 256, (images, *case.shape), np.uint8))
    y = rng.integers(0, case.classes, images)
    pieces = ranking.pieces(lambda part: ranking.indifferent(part, shape), shape, seed=0)
    ranks = to_device(np.concatenate(list(pieces)))
    fill = np.full(channels, 0.5, np.float32)
    model = models.get(case.network)(case.shape, case.classes, seed=0, width=case.width)

    def work() -> int:
        train_together(
            [model] * way.together,
            x,
            y,
            seeds=range(way.together),
            masks=[Mask(ranks, 0.3, "roar", fill)] * way.together,
            way=way.name,
            epochs=1,
            batch_size=case.batch_size,
            compute=case.compute,
        )
        return way.together * images

    return work


def rate(way: Way, case: Case) -> float:
    """Images per second in retraining, of all networks and processes; compilation is left out.

    Returns:
        0 for a way that the device has not enough memory for.
    """
    if way.processes > 1:
        return _shared_rate(way, case)
    try:
        work = _work(way, case)
        work()
        start = time.perf_counter()
        return work() / (time.perf_counter() - start)
    except RuntimeError:  # the device's memory is exhausted
        return 0.0


def _shared_rate(way: Way, case: Case) -> float:
    """As `rate`, by processes that begin together once all have compiled."""
    command = [sys.executable, "-m", __spec__.name, json.dumps([way, case])]
    # This process has reserved three quarters of the memory, and an epoch needs little.
    memory = {MEMORY: f"{SPARE / way.processes:.3f}", "KERAS_BACKEND": backend.NAME}
    environment = os.environ | share_environment(way.processes) | memory
    with ExitStack() as stack:
        children = [
            stack.enter_context(
                subprocess.Popen(
                    command,
                    env=environment,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    text=True,
                )
            )
            for _ in range(way.processes)
        ]
        ready = [child.stdout.readline() for child in children if child.stdout]
        if not all(ready):
            for child in children:
                child.kill()
            return 0.0
        start = time.perf_counter()
        for child in children:
            assert child.stdin is not None
            child.stdin.write("go\n")
            child.stdin.flush()
        trained = [child.stdout.readline() for child in children if child.stdout]
        seconds = time.perf_counter() - start
    return sum(map(int, trained)) / seconds if all(trained) else 0.0


def measured(case: Case, measure: Callable[[Way, Case], float] = rate) -> dict[Way, float]:
    """The rate of every candidate on this device, from the cache where it is there.

    Args:
        case: The networks.
        measure: Takes the place of `rate`.
    """
    path = cache_folder() / "ways.json"
    device = [backend.device_names()[0], backend.version()]
    key = json.dumps([*device, *case])
    try:
        known: Json = json.loads(path.read_text(encoding="utf-8"))
        return {Way(*way): float(speed) for way, speed in known[key]}
    except (OSError, ValueError, TypeError, KeyError):
        pass
    found = {way: measure(way, case) for way in CANDIDATES}
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        known = known if isinstance(known, dict) else {}
    except (OSError, ValueError):
        known = {}
    with suppress(InputError):  # a cache that cannot be written costs time only
        write(path, json.dumps(known | {key: list(found.items())}, indent=1))
    return found


def chosen(case: Case, notice: Callable[[str], None] = lambda line: None) -> Way:
    """The quickest way in one process. On a CPU, and with TensorFlow, one network at a time.

    Args:
        case: The networks.
        notice: Told, in a line, if processes that share the device would be quicker.
    """
    if not (backend.WHOLE_RUNS and backend.has_accelerator()):
        return ALONE
    found = measured(case)
    best = max((way for way in found if way.processes == 1), key=lambda way: found[way])
    shared = max(found, key=lambda way: found[way])
    if found[shared] > WORTH * found[best]:
        notice(
            f"{shared.processes} processes that share this device would retrain"
            f" {found[shared] / found[best]:.1f} times as many networks: --executor ray --share"
            f" {shared.processes}"
        )
    return best


def main() -> None:
    """One of several processes: compiles, says so, waits for a line, trains, and says how much."""
    way, (network, image_width, shape, *rest) = json.loads(sys.argv[1])
    backend.configure()
    work = _work(Way(*way), Case(network, image_width, tuple(shape), *rest))
    work()
    print("ready", flush=True)
    sys.stdin.readline()
    print(work(), flush=True)


if __name__ == "__main__":
    main()
