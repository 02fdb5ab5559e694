"""A CPU's results, written to the standard output: `python -m ...reference NETWORK SCALE`."""

import io
import os
import sys

import numpy as np


def main(name: str, scale: str) -> None:
    """Writes the arrays of `correctness.computed` as a `.npz` file."""
    results = os.dup(1)
    os.dup2(2, 1)  # nothing else that is printed may get among them
    from pellucid.benchmark.accelerator.correctness import computed
    from pellucid.benchmark.accelerator.scale import SCALES
    from pellucid.models import backend

    backend.configure()
    if backend.has_accelerator():
        raise RuntimeError("An accelerator is still visible where the CPU is meant.")
    content = io.BytesIO()
    arrays = computed(name, SCALES[scale])
    np.savez(content, **arrays)  # type: ignore[arg-type]
    with os.fdopen(results, "wb") as file:
        file.write(content.getvalue())


if __name__ == "__main__":
    main(*sys.argv[1:])
