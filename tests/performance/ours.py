"""Our side of each comparison: the same functions that a run uses."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np

from pellucid import models
from pellucid.attacks.attack import Attack
from pellucid.attacks.attack import run as run_attack
from pellucid.attacks.autoattack import queue, randomness
from pellucid.attacks.autoattack.apgd import Apgd
from pellucid.benchmark.execution.threads import default_workers
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.masks import Mask
from pellucid.benchmark.training.prediction import predicted_classes
from pellucid.benchmark.training.vae_gan import fit_vae_gan
from pellucid.metrics import attributions, ranking
from pellucid.models.batching import to_device
from pellucid.models.functional import predict
from tests.performance import floor as floors
from tests.performance import masked, steps_of_attacks
from tests.performance.cases import BATCH, CASES, EPSILON, FRACTIONS, STEP_SIZE, STEPS, load, many
from tests.performance.clock import clock


def _training(network: str, size: tuple[int, int], attack: Attack | None) -> Callable[[], None]:
    x, y, *_ = load(network)
    images, epochs = size
    model = models.get(network)(x.shape[1:], 10, seed=0)
    on_device = to_device(x[:images])
    return lambda: (
        train(model, on_device, y[:images], seed=0, epochs=epochs, batch_size=BATCH, attack=attack)
        and None
    )


def training(network: str, _: Path) -> Callable[[], None]:
    """Standard training."""
    return _training(network, CASES[network].training, None)


def adversarial_training(network: str, _: Path) -> Callable[[], None]:
    """Training against PGD."""
    attack = Attack("pgd", "l2", EPSILON, steps=STEPS, step_size=STEP_SIZE)
    return _training(network, CASES[network].adversarial, attack)


def roar_curve(network: str, _: Path) -> Callable[[], None]:
    """Attribution, ranks, and a retraining per fraction with its accuracy; one per core."""
    x, y, x_test, y_test = load(network)
    images, epochs = CASES[network].retraining
    x, y, x_test, y_test = x[:images], y[:images], x_test[: images // 4], y_test[: images // 4]
    model, fill = (
        models.get(network)(x.shape[1:], 10, seed=0),
        (x.mean((0, 1, 2)) / 255).astype(np.float32),
    )
    on_device = to_device(x)

    def ranks(images: np.ndarray) -> np.ndarray:
        shape = images.shape[:3]
        pieces = ranking.pieces(
            lambda part: attributions.run("gradient", model, images[part]), shape, seed=0
        )
        return np.concatenate(list(pieces))

    def work() -> None:
        own, test = to_device(ranks(x)), ranks(x_test)

        def point(fraction: float) -> float:
            mask = Mask(own, fraction, "roar", fill)
            values, _ = train(
                model, on_device, y, seed=0, epochs=epochs, batch_size=BATCH, mask=mask
            )
            found = predicted_classes(
                model, x_test, mask=Mask(test, fraction, "roar", fill), values=values
            )
            return float((found == y_test).mean())

        with ThreadPoolExecutor(default_workers()) as pool:
            list(pool.map(point, FRACTIONS))

    return work


def floor(network: str, _: Path) -> Callable[[], dict]:
    """Training beside its floors."""
    return lambda: {"figures": floors.measure(network)}


def steps(case: str, _: Path) -> Callable[[], dict]:
    """The attacks' steps in forward passes, for a network and a shape: `strided_cnn-28x28x1`."""
    return lambda: {"figures": steps_of_attacks.measure(*case.split("-"))}


def masked_training(case: str, _: Path) -> Callable[[], dict]:
    """Training with and without a mask, for a network and a shape: `cifar_cnn-32x32x3`."""
    return lambda: {"figures": masked.measure(*case.split("-"))}


def attribution(network: str, _: Path) -> Callable[[], None]:
    """Gradient of many images, in two halves side by side."""
    _, _, x, _ = load(network)
    x = many(x, CASES[network].attributed)
    model = models.get(network)(x.shape[1:], 10, seed=0)

    def work() -> None:
        with ThreadPoolExecutor(default_workers()) as pool:
            list(
                pool.map(
                    lambda part: attributions.run("gradient", model, part),
                    np.array_split(x, default_workers()),
                )
            )

    return work


def vae_gan_epoch(network: str, _: Path) -> Callable[[], dict]:
    """One epoch of the VAE-GAN, of two that are timed after one that compiles."""
    name, width, latent, images = CASES[network].vae_gan
    x = to_device(load(network)[0][:images])

    def work() -> dict:
        vae_gan = models.get(name)(x.shape[1:], seed=0, latent=latent, width=width)
        times: list[dict[str, float]] = []
        told = clock()
        fit_vae_gan(
            vae_gan,
            x,
            seed=0,
            epochs=3,
            batch_size=50,
            progress=lambda *_: times.append(told()),
        )
        return {name: (times[2][name] - times[0][name]) / 2 for name in times[0]}

    return work


def attacked(network: str, folder: Path) -> tuple[keras.Model, np.ndarray, np.ndarray]:
    """The trained classifier and the images that every library attacks."""
    arrays = np.load(folder / "images.npz")
    return (
        keras.saving.load_model(folder / f"{network}.keras", compile=False),
        arrays["x"],
        arrays["y"],
    )


NORMS = {"l2": (1.0, 0.1), "linf": (0.1, 0.01)}
"""Radius and step of PGD with 40 steps."""


def pgd(norm: str, network: str, folder: Path) -> Callable[[], dict]:
    """PGD, in two halves side by side; tells the share of images whose prediction is wrong."""
    model, x, y = attacked(network, folder)
    epsilon, step_size = NORMS[norm]
    attack = Attack("pgd", norm, epsilon, steps=40, step_size=step_size)

    def half(part: np.ndarray) -> np.ndarray:
        return run_attack(attack, model, x[part], y[part])

    def work() -> dict:
        told = clock()
        with ThreadPoolExecutor(default_workers()) as pool:
            x_adv = np.concatenate(
                list(pool.map(half, np.array_split(np.arange(len(x)), default_workers())))
            )
        return told() | {"success": float((predict(model, x_adv).argmax(-1) != y).mean())}

    return work


TINY = {"l2": 1e-3, "linf": 1e-4}
"""Radii at which nothing is broken."""


def apgd(norm: str, network: str, folder: Path) -> Callable[[], dict]:
    """APGD-CE with 100 steps, a batch for each core; tells the share of images that are broken."""
    model, x, y = attacked(network, folder)
    right = np.flatnonzero(predicted_classes(model, x) == y)
    x, y, keys = x[right], y[right], randomness.keys_of(0, right)

    def work() -> dict:
        told = clock()
        out = queue.run(
            Apgd(norm), model, x, y, epsilon=TINY[norm], keys=keys, threads=default_workers()
        )
        return told() | {"success": float(out.success.mean())}

    return work


def apgd_l2(network: str, folder: Path) -> Callable[[], dict]:
    """APGD in L2."""
    return apgd("l2", network, folder)


def apgd_linf(network: str, folder: Path) -> Callable[[], dict]:
    """APGD in Linf."""
    return apgd("linf", network, folder)


def pgd_l2(network: str, folder: Path) -> Callable[[], dict]:
    """PGD in L2."""
    return pgd("l2", network, folder)


def pgd_linf(network: str, folder: Path) -> Callable[[], dict]:
    """PGD in Linf."""
    return pgd("linf", network, folder)
