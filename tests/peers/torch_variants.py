"""Which variant of the PyTorch port is the fastest: `VARIANTS` of `torch_models`, taking turns.

`taskset -c 0 python -m tests.peers.torch_variants` prints, for PGD-40 of 500 MNIST images on
`strided_cnn`, the processor seconds of each variant: the median of five turns."""

import statistics
import time

import numpy as np
import torch

from pellucid import models
from pellucid.benchmark.data import datasets
from tests.peers.attacks import pytorch
from tests.peers.torch_models import VARIANTS, has_compiler

TURNS = 5
RADII = {"linf": (0.1, 0.01), "l2": (1.0, 0.1)}


def main() -> None:
    """Measures and prints."""
    torch.set_num_threads(1)
    data = datasets.load("mnist", train_limit=1, test_limit=500)
    x, y = np.asarray(data.x_test[:], np.float32) / 255, data.y_test
    model = models.get("strided_cnn")(data.info.shape, 10, seed=0)
    if not has_compiler():
        print("There is no C++ compiler: nothing is compiled.")
    for norm, (epsilon, step_size) in RADII.items():
        attacks = {
            name: pytorch(
                model, norm=norm, epsilon=epsilon, steps=40, step_size=step_size, variant=name
            )
            for name in VARIANTS
        }
        seconds: dict[str, list[float]] = {name: [] for name in VARIANTS}
        for turn in range(TURNS + 1):  # the first one compiles
            for name, attack in attacks.items():
                start = time.process_time()
                attack(x, y)
                if turn:
                    seconds[name].append(time.process_time() - start)
        for name, found in seconds.items():
            print(f"{norm:5} {name:24} {statistics.median(found):.3f} s", flush=True)


if __name__ == "__main__":
    main()
