"""Contenders that take turns, each in processes of its own.

TensorFlow's threads are set once per process.

`python -m tests.performance.contenders WHO WHAT NETWORK FOLDER INDEX OF` prepares its work, or of
so many processes this one's share of it, does it once, and then once more for every line it reads,
answering with a line of JSON: the seconds on the wall and of the processors, and whatever else the
work tells."""

import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple, Self

from tests.performance.clock import clock

ROOT = Path(__file__).parents[2]
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TF_NUM_INTRAOP_THREADS": "1",
    "TF_NUM_INTEROP_THREADS": "1",
    "NPROC": "1",  # XLA's name for it
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}
"""Variables with which PyTorch, TensorFlow and JAX use one thread."""
ONE_TURN = ("floor", "steps", "masked_training")
"""Work of one thread that compiles, and repeats what it measures, by itself."""
TRIALS = 2
"""Turns of each number of processes before the faster one is chosen."""


class Share(NamedTuple):
    """Which part of the work a process does: the `index`th of `of`."""

    index: int = 0
    of: int = 1


class Contender:
    """The other end of such processes.

    Args:
        who: `ours`, `plain` (the way a Keras user writes it), or the name of a peer.
        what: What is to be done; a function of `ours` and of `plain`.
        network: A classifier's name, for some work with a shape as in `digits_cnn-8x8x1`.
        folder: Where files that contenders share are.
        processes: How many share the work. If there are several, each has one thread; the work must
            be one that can be shared.
    """

    def __init__(
        self, who: str, what: str, network: str, folder: Path, *, processes: int = 1
    ) -> None:
        command = [sys.executable, "-m", "tests.performance.contenders", who, what, network]
        self.processes = [
            subprocess.Popen(
                [*command, str(folder), str(index), str(processes)],
                cwd=ROOT,
                env=os.environ | (ONE_THREAD if processes > 1 else {}),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
            for index in range(processes)
        ]
        self.name = f"{who} {what} {network}"
        self.ready = False

    def turn(self) -> dict[str, Any]:
        """Does the work once; the first call waits for the preparations.

        Returns:
            What the processes told: the slowest one's seconds, the sum of the processors' seconds,
            the mean of any other number.
        """
        if not self.ready:
            self._answers()  # so that all begin the next turn at the same time
            self.ready = True
        for process in self.processes:
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
        return merged(self._answers())

    def _answers(self) -> list[dict[str, Any]]:
        return [self._answer(process) for process in self.processes]

    def _answer(self, process: subprocess.Popen) -> dict[str, Any]:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(
            f"{self.name} ended: {process.stderr.read()[-2000:] if process.stderr else ''}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends the processes."""
        for process in self.processes:
            process.kill()
            process.communicate()


def merged(found: list[dict[str, Any]]) -> dict[str, Any]:
    """One answer of several processes that did equal shares of the work side by side."""
    if len(found) == 1:
        return found[0]
    how: dict[str, Callable] = {"seconds": max, "cpu": sum}
    return {
        name: how.get(name, statistics.fmean)([part[name] for part in found]) for name in found[0]
    }


def fastest(who: str, what: str, network: str, folder: Path, most: int) -> Contender:
    """A contender with its library's own threads, or with `most` processes if that is faster."""
    found = []
    for processes in sorted({1, most}):
        contender = Contender(who, what, network, folder, processes=processes)
        try:
            found.append((min(contender.turn()["seconds"] for _ in range(TRIALS)), contender))
        except RuntimeError:
            for _, other in found:
                other.close()
            contender.close()
            raise
    found.sort(key=lambda item: item[0])
    for _, slower in found[1:]:
        slower.close()
    return found[0][1]


def prepared(who: str, what: str, network: str, folder: Path, share: Share) -> Any:
    """A contender's work: a function that does it once and returns its figures, as `seconds`."""
    os.environ.pop(ONEDNN, None)  # the tests' own choice; TensorFlow is not imported yet
    if who == "ours":
        from pellucid import models

        models.choose_kernels(network.partition("-")[0])
        from pellucid.models import backend

        backend.configure(1 if what in ONE_TURN else None)
        from tests.performance import ours

        return getattr(ours, what)(network, folder)
    from tests.performance import plain

    if who != "plain":
        return plain.peer(who, what, folder, share)
    options = {"share": share} if share.of > 1 else {}
    return getattr(plain, what)(network, folder, **options)


def main() -> None:
    """Takes turns until the input ends."""
    who, what, network, folder, index, of = sys.argv[1:]
    work = prepared(who, what, network, Path(folder), Share(int(index), int(of)))
    if what not in ONE_TURN:
        work()
    print("{}", flush=True)
    for _ in sys.stdin:
        told = clock()
        found = work() or {}
        print(json.dumps(told() | found), flush=True)


if __name__ == "__main__":
    main()
