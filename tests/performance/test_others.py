"""Ours against the plain Keras way and against other libraries, in processes that take turns."""

import statistics
from collections.abc import Iterable

import keras
import numpy as np
import pytest

from pellucid import models
from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution.threads import default_workers
from tests.conftest import needs_tfds
from tests.fitting import fit
from tests.performance.cases import CASES
from tests.performance.contenders import Contender, fastest

ROUNDS = 5


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A trained strided CNN and 1,000 MNIST test images."""
    out = tmp_path_factory.mktemp("contenders")
    data = datasets.load("mnist", train_limit=10_000, test_limit=1000)
    model = models.get("strided_cnn")(data.info.shape, 10, seed=0)
    fit(model, data.x_train, data.y_train, seed=0, epochs=2)
    model.save(out / "strided_cnn.keras")
    np.savez(out / "images.npz", x=data.x_test, y=data.y_test)
    assert keras.saving.load_model(out / "strided_cnn.keras").output_shape == (None, 10)
    return out


def race(
    benchmark, figure, ours: Contender, theirs: Contender, rounds: int = ROUNDS
) -> tuple[list[dict], list[dict]]:
    """Takes turns, theirs before each of ours.

    Notes both medians, the median of the ratios and their range, the median of the ratios of
    processor seconds, and into how many processes the other is divided, if into several.
    """
    own: list[dict] = []
    other: list[dict] = []
    with ours, theirs:
        ours.turn()  # both are ready before the first turn that counts
        theirs.turn()
        benchmark.pedantic(
            lambda: own.append(ours.turn()),
            setup=lambda: other.append(theirs.turn()),
            rounds=rounds,
            iterations=1,
        )
    ratios = [b["seconds"] / a["seconds"] for a, b in zip(own, other, strict=True)]
    for name, found in (("ours", own), ("theirs", other)):
        figure(name, statistics.median(turn["seconds"] for turn in found), "s")
    figure("ratio", statistics.median(ratios))
    figure("least", min(ratios))
    figure("greatest", max(ratios))
    figure("processor ratio", processor_ratio(zip(own, other, strict=True)))
    if len(theirs.processes) > 1:
        figure("their processes", len(theirs.processes))
    return own, other


def processor_ratio(turns: Iterable[tuple[dict, dict]]) -> float:
    """The median of theirs / ours in processor seconds."""
    return statistics.median(theirs["cpu"] / ours["cpu"] for ours, theirs in turns)


@needs_tfds
@pytest.mark.parametrize("network", CASES)
@pytest.mark.parametrize(
    "what", ["training", "adversarial_training", "roar_curve", "attribution", "vae_gan_epoch"]
)
def test_plain(benchmark, figure, folder, what, network):
    """The same work as a Keras user writes it, with TensorFlow's own threads.

    Aim: a ROAR curve at least 3 times.
    """
    rounds = 3 if what == "vae_gan_epoch" else ROUNDS  # each of these compiles its networks anew
    race(
        benchmark,
        figure,
        *(Contender(who, what, network, folder) for who in ("ours", "plain")),
        rounds=rounds,
    )


@needs_tfds
@pytest.mark.parametrize("network", CASES)
def test_roar_curve_in_graph(benchmark, figure, folder, network):
    """A ROAR curve by plain Keras at its fastest, fractions divided among processes if that helps.

    One compiled model, masks in its graph.
    """
    race(
        benchmark,
        figure,
        Contender("ours", "roar_curve", network, folder),
        fastest("plain", "roar_curve_in_graph", network, folder, default_workers()),
    )


@needs_tfds
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize(
    "peer",
    [
        "art-tensorflow",
        "art-keras",
        "foolbox",
        "cleverhans",
        "torchattacks",
        "pytorch",
        "jax",
        "keras-plain",
    ],
)
def test_pgd(benchmark, figure, folder, peer, norm):
    """PGD-40 of 1,000 images, the same weights.

    A peer takes the images in halves, a process of one thread for each, where that is faster than
    its library's own threads. Aim: 3 times every TensorFlow library, not slower than PyTorch and
    JAX.
    """
    pytest.importorskip(
        {"keras-plain": "keras", "pytorch": "torch"}.get(peer, peer.partition("-")[0])
    )
    what = f"pgd_{norm}"
    theirs = fastest(peer, what, "strided_cnn", folder, default_workers())
    ours = Contender("ours", what, "strided_cnn", folder)
    own, other = race(benchmark, figure, ours, theirs, rounds=3)
    figure("success", own[0]["success"])
    figure("their success", other[0]["success"])
    assert own[0]["success"] == pytest.approx(other[0]["success"], abs=0.005)
