"""What the device computes beside what a CPU computes, in another process, from the same input."""

import io
import os
import subprocess
import sys
import tempfile
from typing import NamedTuple

import keras
import numpy as np

from pellucid import models
from pellucid.attacks.attack import Attack
from pellucid.attacks.attack import run as run_attack
from pellucid.attacks.autoattack import ensemble
from pellucid.attacks.autoattack.apgd import Apgd
from pellucid.attacks.autoattack.fab import Fab
from pellucid.attacks.autoattack.square import Square
from pellucid.attacks.autoattack.stepping import IterativeAttack
from pellucid.benchmark.accelerator.record import Outcome
from pellucid.benchmark.accelerator.scale import (
    INFOS,
    PRESETS,
    Scale,
    built,
    case,
    images,
    random_ranks,
)
from pellucid.benchmark.training.classifier import train
from pellucid.benchmark.training.masks import Mask
from pellucid.benchmark.training.vae_gan import fit_vae_gan
from pellucid.metrics import attributions
from pellucid.models import backend
from pellucid.models.functional import predict, state
from pellucid.models.types import Array, Json

RADII = {
    "cifar_cnn": ("l2", 0.28),
    "mnist_cnn": ("linf", 0.0045),
    "strided_cnn": ("linf", 0.002),
    "digits_cnn": ("l2", 0.1),
}
"""Norm and radius, in pixel units, at which FAB breaks about half of the images."""
EPOCHS = 5
CHILD_SECONDS = 240.0
"""That the CPU may take for one network."""


class Tolerance(NamedTuple):
    """The greatest relative difference that rounding may make, and why that one."""

    most: float
    reason: str


ROUNDING = Tolerance(1e-4, "sums in another order differ by about 1e-6; tf32 would by 1e-3")
ITERATED = Tolerance(2e-2, "Adam divides by small gradients, so rounding grows from step to step")
OUTCOME = Tolerance(0.13, "an image at the very edge may fall on either side: two of 16")
TOLERANCES = {
    "logits": ROUNDING,
    "gradient": Tolerance(5e-4, "as logits; a unit of value zero may be on or off"),
    "training": ITERATED,
    "masked training": Tolerance(
        5e-2, "as training; equal pixels under a max-pooling are told apart by rounding"
    ),
    "reconstruction": ROUNDING,
    "VAE-GAN training": ITERATED,
    "success": OUTCOME,
    "distance": Tolerance(2e-2, "a few steps, each of which turns with the gradient's rounding"),
}
"""By the last words of what is compared."""


def short(norm: str) -> dict[str, IterativeAttack]:
    """The attacks of AutoAttack's standard version, with few steps and two target classes."""
    return {
        "APGD-CE": Apgd(norm, "xent", 8),
        "APGD-T": Apgd(norm, "dlr-targeted", 8, targets=2),
        "FAB-T": Fab(norm, 8, targets=2),
        "Square": Square(norm, 60),
    }


def computed(name: str, scale: Scale) -> dict[str, Array]:
    """What a network gives on this process's device; arrays by what they are."""
    return _classifier(name, scale) if name in PRESETS else _vae_gan(name, scale)


def _way(before: list[Array], after: list[Array]) -> Array:
    """How far training moved the weights, as one vector."""
    return np.concatenate(
        [np.ravel(a) - np.ravel(b) for a, b in zip(after, before, strict=True)], dtype=np.float64
    )


def _numbers(tensors: list) -> list[Array]:
    return [keras.ops.convert_to_numpy(tensor) for tensor in tensors]


def _classifier(name: str, scale: Scale) -> dict[str, Array]:
    shape, n = case(name).shape, scale.checked
    model, (x, labels) = built(name), images(shape, n)
    logits = predict(model, x)
    found = {"logits": logits, "gradient": attributions.run("gradient", model, x)}

    # A batch is all images: the order of batches is the device's own with TensorFlow.
    before = _numbers(state(model).trainable)
    mask = Mask(random_ranks(shape, n), 0.3, "roar", np.full(shape[-1], 0.5))
    for what, part in (("training", None), ("masked training", mask)):
        values, _ = train(model, x, labels, seed=0, epochs=EPOCHS, batch_size=n, mask=part)
        found[what] = _way(before, _numbers(values.trainable))

    y, (norm, epsilon) = logits.argmax(-1), RADII[name]
    attack = Attack("pgd", norm, epsilon, steps=8, step_size=epsilon / 3)
    x_adv = run_attack(attack, model, x, y)
    found["PGD success"] = predict(model, x_adv).argmax(-1) != y
    change = (x_adv.astype(np.float64) - x / 255.0).reshape(n, -1)
    found["PGD distance"] = np.linalg.norm(change, axis=1)
    for label, one in short(norm).items():
        outcome = ensemble.evaluate(
            model, x, y, norm=norm, epsilon=epsilon, attacks={label: one}, batch_size=n
        )
        found[f"{label} success"] = outcome.broken_by > 0
        if label == "FAB-T":  # the others go to the edge of the ball
            found[f"{label} distance"] = outcome.norms
    return found


def _vae_gan(name: str, scale: Scale) -> dict[str, Array]:
    data = {"cifar_vae_gan": "cifar10", "mnist_vae_gan": "mnist"}.get(name)
    shape = INFOS[data].shape if data else case("digits_cnn").shape
    made = models.get(name)(shape, seed=0, latent=8, width=scale.width)
    x, _ = images(shape, scale.checked)
    parts = (made.encoder, made.decoder, made.discriminator)
    code = predict(made.encoder, x)[:, : made.latent]
    found = {"reconstruction": predict(made.decoder, np.clip(code, 0, 1))}
    before = [value for part in parts for value in _numbers(state(part).trainable)]
    fit_vae_gan(made, x, seed=0, epochs=3, batch_size=len(x))
    after = [value for part in parts for value in _numbers(state(part).trainable)]
    return found | {"VAE-GAN training": _way(before, after)}


def difference(what: str, here: Array, cpu: Array) -> tuple[float, float]:
    """How much two results differ, relative to the CPU's.

    Args:
        what: What they are.
        here: The device's.
        cpu: The CPU's.

    Returns:
        The norm of the difference over the CPU's norm, and the largest difference over the CPU's
        largest value. Of successes, the share of images that differ, twice.
    """
    if here.shape != cpu.shape:
        return float("inf"), float("inf")
    if what.endswith("success"):
        return (float((here != cpu).mean()),) * 2
    if what.endswith("distance"):  # where both attacks succeeded
        both = np.isfinite(here) & np.isfinite(cpu)
        here, cpu = here[both], cpu[both]
    if not here.size:
        return 0.0, 0.0
    change, tiny = here.astype(np.float64) - cpu, np.finfo(np.float32).tiny
    by_norm = np.linalg.norm(change) / max(np.linalg.norm(cpu), tiny)
    return float(by_norm), float(np.abs(change).max() / max(np.abs(cpu).max(), tiny))


def tolerance(what: str) -> Tolerance:
    """The tolerance of a comparison."""
    return TOLERANCES.get(what) or TOLERANCES[what.rsplit(maxsplit=1)[-1]]


def check(name: str, scale: Scale) -> Outcome:
    """Compares a network's results on this device, computed twice, with those of a CPU.

    Raises:
        RuntimeError: The CPU's process fails.
    """
    with tempfile.TemporaryFile() as errors:
        process = subprocess.Popen(
            [sys.executable, "-m", f"{__package__}.reference", name, scale.name],
            env=_cpu_environment(),
            stdout=subprocess.PIPE,
            stderr=errors,
        )
        try:
            output = b""
            if not backend.has_accelerator():  # the programs that it stores are then read here
                output, _ = process.communicate(timeout=CHILD_SECONDS)
            here, again = computed(name, scale), computed(name, scale)
            if backend.has_accelerator():
                output, _ = process.communicate(timeout=CHILD_SECONDS)
        finally:
            process.kill()
            process.wait()
        if process.returncode:
            errors.seek(0)
            told = errors.read().decode(errors="replace").strip().splitlines()
            raise RuntimeError(f"The CPU's process failed: {told[-1] if told else 'no message'}")
    cpu = dict(np.load(io.BytesIO(output), allow_pickle=False))
    rows = [_row(what, here[what], again[what], cpu[what]) for what in here if _comparable(what)]
    fine = all(row["within"] and row["same bytes again"] for row in rows)
    return Outcome(rows, (), fine)


def _comparable(what: str) -> bool:
    """TensorFlow promises the same random numbers on the same device alone."""
    return what != "VAE-GAN training" or backend.NAME == "jax" or not backend.has_accelerator()


def _row(what: str, here: Array, again: Array, cpu: Array) -> Json:
    by_norm, largest = difference(what, here, cpu)
    most = tolerance(what)
    return {
        "what": what,
        "relative difference": by_norm,
        "largest difference / largest value": largest,
        "tolerance": most.most,
        "within": bool(by_norm <= most.most),
        "mean on the CPU": float(np.nanmean(cpu)) if np.isfinite(cpu).any() else None,
        "same bytes again": here.tobytes() == again.tobytes(),
        "reason for the tolerance": most.reason,
    }


def _cpu_environment() -> dict[str, str]:
    """The environment in which a process of this project sees no accelerator."""
    hidden = {"JAX_PLATFORMS": "cpu", "CUDA_VISIBLE_DEVICES": "", "HIP_VISIBLE_DEVICES": ""}
    path = os.pathsep.join(place for place in sys.path if place)
    return os.environ | hidden | {"PYTHONPATH": path, "KERAS_BACKEND": backend.NAME}
