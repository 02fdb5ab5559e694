"""Contenders that take turns, each in a process of its own.

TensorFlow's threads are set once per process.

`python -m tests.performance.contenders WHO WHAT NETWORK FOLDER` prepares its work, does it once,
and then once more for every line it reads, answering with a line of JSON: the seconds, and whatever
else the work tells."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Self

ROOT = Path(__file__).parents[2]
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"


class Contender:
    """The other end of such a process.

    Args:
        who: `ours`, `plain` (the way a Keras user writes it), or the name of a peer.
        what: What is to be done; a function of `ours` and of `plain`.
        network: A classifier's name.
        folder: Where files that contenders share are.
    """

    def __init__(self, who: str, what: str, network: str, folder: Path) -> None:
        command = [
            sys.executable,
            "-m",
            "tests.performance.contenders",
            who,
            what,
            network,
            str(folder),
        ]
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.name = f"{who} {what} {network}"

    def turn(self) -> dict[str, Any]:
        """Does the work once; the first call waits for the preparations."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("{"):
                return json.loads(line)
        raise RuntimeError(
            f"{self.name} ended:"
            f" {self.process.stderr.read()[-2000:] if self.process.stderr else ''}"
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()


def prepared(who: str, what: str, network: str, folder: Path) -> Any:
    """A contender's work: a function that does it once and returns its figures, as `seconds`."""
    os.environ.pop(ONEDNN, None)  # the tests' own choice; TensorFlow is not imported yet
    if who == "ours":
        from robust_interpretability import models

        models.choose_kernels(network)
        from robust_interpretability.models import backend

        backend.configure(1 if what == "floor" else None)
        from tests.performance import ours

        return getattr(ours, what)(network, folder)
    from tests.performance import plain

    return (
        getattr(plain, what)(network, folder) if who == "plain" else plain.peer(who, what, folder)
    )


def main() -> None:
    """Takes turns until the input ends."""
    who, what, network, folder = sys.argv[1:]
    work = prepared(who, what, network, Path(folder))
    work()
    for _ in sys.stdin:
        start = time.perf_counter()
        told = work() or {}
        seconds = time.perf_counter() - start
        print(json.dumps({"seconds": seconds} | told), flush=True)


if __name__ == "__main__":
    main()
