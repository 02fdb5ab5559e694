"""What the programs do on a GPU, counted in what XLA compiles for one. `make test-gpu-compile`.

Compiled is not run: this says nothing of seconds, nor whether a GPU's driver takes the programs.
"""

import os
from pathlib import Path

import jax
import numpy as np
import pytest

from pellucid import models
from pellucid.benchmark.accelerator.floors import traffic
from pellucid.models import backend
from pellucid.models.precision import COMPUTE
from tests.gpu_compile import recorded
from tests.gpu_compile.recorded import IMAGES, SHAPES, VAE_GANS, Part, Recorded

pytestmark = pytest.mark.skipif(
    "GPU_COMPILE" not in os.environ, reason="needs a compiler for GPUs; make test-gpu-compile"
)
DOCUMENT = os.environ.get("GPU_COMPILE_DOCUMENT")
HEAD = """# Programs compiled for a GPU that is not there

Counted in the HLO that XLA {version} optimises for the GPU of `tests/gpu_compile/h200.txtpb` (an
H200), by `make test-gpu-compile`. **None of it has run on a GPU.** A row is one pass through a
part of a program that holds convolutions or products, without the loops inside it. Launches are
kernels and library calls; bytes are what they read and write, of an array that is gathered or
sliced the part. Memory is what the whole program takes beside its arguments. Batches have {images}
images.

`cifar_cnn` moves at least {floor:.2f} MB an image in a training step (`test_floor` in
[performance](../performance.md)). Bars: no sort, scatter or transfer to the host inside a loop;
for `cifar_cnn` a masked training step of at most 60 launches and 1.5 times that floor, a step of
PGD of at most 36 launches and 3.7 MB an image.

| network | program | loops around | launches | MB an image | sorts | scatters | host | MiB |
| --- | --- | --- | --- | --- | --- | --- | --- | --- |
"""


@pytest.fixture(scope="module")
def note(request):
    """Notes a part of a program; at the end the document is written, where one is asked for."""
    jax.config.update("jax_enable_compilation_cache", False)
    rows: list[str] = []

    def note(network: str, program: str, part: Part) -> None:
        c = part.counts
        rows.append(
            f"| `{network}` | {program} | {part.loops} | {c.launches} | {megabytes(part):.2f} |"
            f" {c.sorts} | {c.scatters} | {c.host} | {part.memory / 2**20:.0f} |\n"
        )

    yield note
    if DOCUMENT and not request.session.testsfailed:
        head = HEAD.format(version=jax.__version__, images=IMAGES, floor=floor() / 1e6)
        Path(DOCUMENT).write_text(head + "".join(rows))


def floor() -> float:
    return traffic(models.get("cifar_cnn")(SHAPES["cifar_cnn"], 10, seed=0))


def megabytes(part: Part) -> float:
    return part.counts.bytes / IMAGES / 1e6


def innermost(found: list[Recorded]) -> list[Part]:
    """The parts of the one program; each is free of what stalls a GPU where it is in a loop."""
    (one,) = found
    parts = recorded.compiled(one)
    assert parts
    for part in parts:
        if part.loops:
            assert (part.counts.sorts, part.counts.scatters, part.counts.host) == (0, 0, 0)
    return parts


@pytest.mark.parametrize("compute", COMPUTE)
@pytest.mark.parametrize("name", SHAPES)
def test_masked_training(note, name, compute):
    (step,) = innermost(recorded.training(name, "masked", compute))
    assert step.exact == (compute == "float32")
    note(name, f"masked training, {compute}", step)
    if name == "cifar_cnn":
        assert step.counts.launches <= 60
        assert megabytes(step) <= 1.5 * floor() / 1e6


@pytest.mark.parametrize("name", SHAPES)
def test_training_against_pgd_40(note, name):
    step, pgd = innermost(recorded.training(name, "PGD-40"))
    assert step.exact
    note(name, "PGD-40 training", step)
    note(name, "its step of PGD", pgd)
    if name == "cifar_cnn":
        assert pgd.counts.launches <= 36
        assert megabytes(pgd) <= 3.7


@pytest.mark.parametrize("name", SHAPES)
def test_attribution(note, name):
    (whole,) = innermost(recorded.attribution(name))
    assert whole.exact
    assert (whole.counts.sorts, whole.counts.scatters, whole.counts.host) == (0, 0, 0)
    note(name, "gradient times image", whole)


@pytest.mark.parametrize("name", VAE_GANS)
def test_manifold_model(note, name):
    (step,) = innermost(recorded.manifold_model(name))
    note(name, "training", step)


@pytest.mark.parametrize("norm", ["linf", "l2"])
@pytest.mark.parametrize("name", SHAPES)
def test_autoattack(note, name, norm):
    """Each attack has a program that begins and one that takes steps."""
    found = recorded.autoattack(name, norm)
    steps = [one for one in found if one.name == "advance"]
    for attack, one in zip(("APGD-CE", "APGD-T", "FAB-T", "Square"), steps, strict=True):
        (step,) = innermost([one])
        assert step.exact
        note(name, f"{attack}, {norm}", step)


def test_a_sort_would_be_seen(note, monkeypatch):
    """With JAX's own gradient of max-pooling, the step of training holds sorts."""
    monkeypatch.setattr(recorded.functional, "first_maxima", lambda model: model)
    (one,) = recorded.training("cifar_cnn", "plain")
    step = recorded.compiled(one)[-1]
    note("cifar_cnn", "training with JAX's own max-pooling, for comparison", step)
    assert step.counts.sorts == 2
    assert step.counts.launches > 60


def test_the_flag_is_down_again():
    assert not backend.has_accelerator()
    recorded.training("strided_cnn", "plain")
    assert not backend.has_accelerator()
    np.testing.assert_allclose(backend.jit(lambda x: x + 1)(np.ones(2)), 2)
