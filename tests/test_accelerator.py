"""What an accelerator's flag changes, tried without one: XLA compiles every program.

With TensorFlow that is what a GPU's user gets: `jit_compile`, deterministic. Some operations have
no such kernel; here each kind of unit and each network shows that it needs none of them. All of
this runs on a CPU: it tells nothing of speed.
"""

import importlib

import keras
import numpy as np
import pytest

from pellucid import models
from pellucid.attacks import Attack, run
from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution import runner
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.masks import Mask
from pellucid.benchmark.training.vae_gan import fit_vae_gan
from pellucid.benchmark.units import configuration
from pellucid.benchmark.units.context import Context
from pellucid.benchmark.units.store import Store
from pellucid.metrics import attributions
from pellucid.models import backend, functional
from tests.benchmark.test_golden import COMPUTED, FIT, MANIFOLDS, TOY, TUNED, with_needs
from tests.commands import TINY
from tests.ranks import random_ranks

SHAPES = {
    "mlp": (8, 8, 1),
    "digits_cnn": (8, 8, 1),
    "strided_cnn": (28, 28, 1),
    "mnist_cnn": (28, 28, 1),
    "cifar_cnn": (32, 32, 3),
}
POOLING = ["model.name='mnist_cnn'", "model.width=0.125"]
RUNS = {
    "tiny": (
        TINY,
        [*POOLING, *FIT, *MANIFOLDS],
        COMPUTED - {"tilt", "agreement", "trial", "fine_tune"},
    ),
    "tuned": (TINY, [*POOLING, *TUNED], {"fine_tune", "measures"}),
    "types": (
        TINY,
        [*POOLING, "training.compute=bfloat16", "training.epochs=1"],
        {"agreement", "trial"},
    ),
    "toy": (None, TOY, {"tilt"}),
}
PGD = Attack("pgd", "l2", 0.5, steps=2, step_size=0.3)


@pytest.fixture
def accelerator(monkeypatch):
    """The flag, and no program that was compiled without it."""
    module = importlib.import_module(f"{backend.__name__}.{backend.NAME}")
    for place in (module, backend):
        monkeypatch.setattr(place, "has_accelerator", lambda: True)
    monkeypatch.setattr(functional, "_programs", {})


@pytest.mark.parametrize("name", RUNS)
def test_every_kind_of_unit(accelerator, tmp_path, name):
    path, assignments, kinds = RUNS[name]
    config = configuration.resolve(None if path else "paper-toy", path, assignments)
    work, store = runner.plan(config, None), Store(tmp_path)
    context = Context(work, store, datasets.load(**runner.limited(config, None)))
    for unit in with_needs(work, kinds):
        runner.perform([unit], context, store, {})
        assert store.done(unit)
        kinds = kinds - {unit.kind.name}
    assert not kinds


def case(name: str) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (20, *SHAPES[name]), np.uint8)
    return models.get(name)(SHAPES[name], 10, seed=0, width=0.25), x, np.arange(20) % 10


def computed(name: str) -> list[np.ndarray]:
    """A network trained in batches of all images, without and with masks, and what it gives."""
    model, x, y = case(name)
    mask = Mask(random_ranks((20, *SHAPES[name][:2]), seed=0), 0.3, "roar", np.full(1, 0.5))
    options = {"seed": 0, "epochs": 2, "batch_size": 20}
    found = []
    for attack, part in ((PGD, None), (None, mask)):
        values, history = train(model, x, y, attack=attack, mask=part, **options)
        found += [np.concatenate([np.ravel(v) for v in values.trainable]), np.array(history)]
    found.append(run(PGD, model, x, y, seed=0))
    found += [attributions.run(name, model, x) for name in ("gradient", "gradient_input")]
    return found


@pytest.mark.parametrize("name", [n for n in SHAPES if n != "mlp"])
def test_every_network_gives_what_it_gives_on_a_cpu(monkeypatch, request, name):
    expected = computed(name)
    request.getfixturevalue("accelerator")
    for got, want in zip(computed(name), expected, strict=True):
        np.testing.assert_allclose(got, want, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize(
    ("name", "shape"), [("mnist_vae_gan", (28, 28, 1)), ("cifar_vae_gan", (8, 8, 3))]
)
def test_every_manifold_model_trains(accelerator, name, shape):
    """The small one is a unit above."""
    x = np.random.default_rng(0).integers(0, 256, (20, *shape), np.uint8)
    made = models.get(name)(shape, seed=0, latent=4, width=0.125)
    assert np.isfinite(fit_vae_gan(made, x, seed=0, epochs=1, batch_size=10)).all()


def test_the_order_of_the_batches_is_a_permutation(accelerator):
    draw = backend.jit(lambda key: backend.permutation(key, 500))
    orders = [np.asarray(draw(backend.key(seed))) for seed in (0, 0, 1)]
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(500), (3, 1)))
    np.testing.assert_array_equal(orders[0], orders[1])
    assert (orders[0] == orders[2]).sum() < 10
    assert (orders[0] == np.arange(500)).sum() < 10


def test_without_its_own_pooling_it_would_not_train(accelerator, monkeypatch):
    """TensorFlow has no deterministic gradient of max-pooling there: the test above sees it."""
    if backend.NAME != "tensorflow":
        pytest.skip("JAX has one; it scatters")
    monkeypatch.setattr(functional, "first_maxima", lambda model: model)
    model, x, y = case("mnist_cnn")
    with pytest.raises(Exception, match="MaxPool gradient ops do not yet have a deterministic"):
        train(model, x, y, seed=0, epochs=1)
