"""AutoAttack against torchattacks on the same weights, APGD per gradient, memory over images."""

import os
import statistics
import subprocess
import sys

import numpy as np
import pytest

from pellucid.attacks.attack import Attack
from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution.threads import default_workers
from tests.conftest import ROOT, needs_tfds
from tests.peers.autoattack import measured, trained
from tests.performance.contenders import Contender, fastest
from tests.performance.test_others import folder, processor_ratio, race

__all__ = ["folder"]
RADII = {"linf": 0.3, "l2": 2.0}
"""Those of the AutoAttack paper for MNIST."""
ROUNDS = {"standard": 3, "weak": 3, "robust": 1}
"""The most robust network takes minutes a turn."""


@pytest.fixture(scope="session")
def networks(tmp_path_factory):
    """A standard, a weakly and a strongly trained network, and 1,000 MNIST test images."""
    out = tmp_path_factory.mktemp("networks")
    data = datasets.load("mnist", train_limit=10_000, test_limit=1000)
    np.savez(out / "images.npz", x=data.x_test, y=data.y_test)
    for name, epsilon in (("standard", 0.0), ("weak", 0.5), ("robust", 2.0)):
        attack = Attack("pgd", "l2", epsilon, steps=10, step_size=1.0) if epsilon else None
        trained(data, attack).save(out / f"{name}.keras")
    return out


@needs_tfds
@pytest.mark.parametrize("norm", RADII)
@pytest.mark.parametrize("name", ROUNDS)
def test_autoattack(benchmark, figure, networks, name, norm):
    """1,000 images, our compilation included.

    Aim: 3 times on the first two networks, not slower on the last.
    """
    pytest.importorskip("torchattacks")

    def turn(who: str) -> dict:
        return measured(
            who,
            networks / f"{name}.keras",
            networks / "images.npz",
            norm,
            RADII[norm],
            processes=default_workers() if who == "torchattacks" else 1,
        )

    turns = [(turn("torchattacks"), turn("ours")) for _ in range(ROUNDS[name] - 1)]
    theirs = turn("torchattacks")
    turns.append((theirs, benchmark.pedantic(lambda: turn("ours"), rounds=1)))
    ratios = [theirs["seconds"] / ours["seconds"] for theirs, ours in turns]
    figure("ours", statistics.median(ours["seconds"] for _, ours in turns), "s")
    figure("theirs", statistics.median(theirs["seconds"] for theirs, _ in turns), "s")
    figure("ratio", statistics.median(ratios))
    figure("least", min(ratios))
    figure("greatest", max(ratios))
    figure("processor ratio", processor_ratio((ours, theirs) for theirs, ours in turns))
    if default_workers() > 1:
        figure("their processes", default_workers())
    for who, found in zip(("their", "our"), turns[-1], strict=True):
        figure(f"{who} accuracy", found["attacks"][-1]["accuracy"])


@needs_tfds
@pytest.mark.parametrize("norm", RADII)
def test_apgd(benchmark, figure, folder, norm):
    """100 steps of APGD-CE where no image is broken: the same number of gradients.

    Aim: not slower.
    """
    pytest.importorskip("torchattacks")
    what = f"apgd_{norm}"
    own, other = race(
        benchmark,
        figure,
        Contender("ours", what, "strided_cnn", folder),
        fastest("torchattacks", what, "strided_cnn", folder, default_workers()),
    )
    figure("success", own[0]["success"])
    figure("their success", other[0]["success"])


PROGRAM = """
import resource, sys
from pellucid import models
models.choose_kernels("strided_cnn")
from pellucid.models import backend
backend.configure()
import numpy as np
from pellucid.attacks.autoattack import ensemble as autoattack
from pellucid.attacks.autoattack.apgd import Apgd
from pellucid.attacks.autoattack.square import Square
from pellucid.benchmark.data import datasets
from pellucid.benchmark.robustness import accuracy as robust_accuracy
autoattack.ensemble = lambda *_: {"apgd-ce": Apgd("linf", steps=5), "square": Square("linf", 20)}
n = int(sys.argv[1])
data = datasets.load("mnist", test_limit=10_000)
model = models.get("strided_cnn")(data.info.shape, 10, seed=0)
x = data.x_test[:n]
y = autoattack.predicted(model, x)
found = robust_accuracy.evaluate(model, x, y, norm="linf", epsilon=0.1)
print(found.counts.robust / n, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)
"""


@needs_tfds
def test_memory_over_images(benchmark, figure):
    """Peak resident memory of an evaluation that breaks nearly all.

    Aim: the same for any number of images.
    """

    def peak(images: int) -> float:
        command = [sys.executable, "-c", PROGRAM, str(images)]
        done = subprocess.run(
            command, cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True
        )
        return int(done.stdout.split()[-1]) / 1024

    figure("1,000 images", peak(1000), "MiB")
    figure("4,000 images", peak(4000), "MiB")
    figure("10,000 images", benchmark.pedantic(lambda: peak(10_000), rounds=1), "MiB")
