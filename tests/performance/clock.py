"""Seconds on the wall and of the processors."""

import time
from collections.abc import Callable


def clock() -> Callable[[], dict[str, float]]:
    """Starts now; what it returns tells the time since, `seconds` on the wall and `cpu`.

    `cpu` is the sum over the threads of this process, those that spin while they wait included.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    return lambda: {"seconds": time.perf_counter() - wall, "cpu": time.process_time() - cpu}
