"""AutoAttack: four attacks without parameters to choose, each on the images that the ones before left right."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np

from robust_interpretability.attacks.autoattack import queue, randomness
from robust_interpretability.attacks.autoattack.apgd import Apgd
from robust_interpretability.attacks.autoattack.fab import Fab
from robust_interpretability.attacks.autoattack.square import Square
from robust_interpretability.attacks.autoattack.stepping import Steps
from robust_interpretability.models.checks import as_floats
from robust_interpretability.models.errors import InputError, unknown
from robust_interpretability.models.functional import predict

VERSIONS = ("standard", "plus", "rand")
TRANSFORMATIONS = 20
"""Passes whose average the version `rand` attacks and judges by."""
SURVIVED, MISCLASSIFIED = -1, 0
"""Values of `broken_by`; from 1 on, the number of an attack."""


def ensemble(version: str, norm: str, classes: int) -> dict[str, Steps]:
    """The attacks of a version, in order.

    The DLR loss needs three classes and its targeted form four; with fewer, the margin takes its
    place.

    Args:
        version: `"standard"`, `"plus"` or `"rand"`.
        norm: `"l2"` or `"linf"`.
        classes: The number of classes, at least 2.

    Raises:
        InputError: An unknown version or norm; one class.

    Reference: Croce, Hein, arXiv 2003.01690.
    """
    if norm not in ("l2", "linf"):
        raise unknown("norm", norm, ("l2", "linf"))
    if version not in VERSIONS:
        raise unknown("AutoAttack version", version, VERSIONS)
    if classes < 2:
        raise InputError(f"A classifier has at least two classes. Received {classes}.")
    dlr = "dlr" if classes > 2 else "margin"
    targeted = Apgd(norm, "dlr-targeted" if classes > 3 else "margin-targeted")
    if version == "rand":
        return {
            f"apgd-{name}": Apgd(norm, loss, transformations=TRANSFORMATIONS)
            for name, loss in (("ce", "xent"), ("dlr", dlr))
        }
    if version == "standard":
        return {
            "apgd-ce": Apgd(norm, "xent"),
            "apgd-t": targeted,
            "fab-t": Fab(norm),
            "square": Square(norm),
        }
    return {
        "apgd-ce": Apgd(norm, "xent", restarts=5),
        "apgd-dlr": Apgd(norm, dlr, restarts=5),
        "fab": Fab(norm, targets=0, restarts=5),
        "square": Square(norm),
        "apgd-t": targeted,
        "fab-t": Fab(norm),
    }


def predicted(
    model: keras.Model, x: np.ndarray, passes: int = 1, *, numbers: np.ndarray | None = None
) -> np.ndarray:
    """The classes of images, by the mean of the logits over some passes.

    Raises:
        InputError: Logits that are not finite; the image is named, by its place where `numbers` is
            not given.
    """
    if not len(x):
        return np.zeros(0, np.int64)
    logits = sum(predict(model, x, draw=draw) for draw in range(passes))
    if not (finite := np.isfinite(logits).all(axis=-1)).all():
        place = int(np.flatnonzero(~finite)[0])
        raise InputError(
            "The model's logits are not finite for image"
            f" {place if numbers is None else numbers[place]}."
        )
    return np.asarray(logits).argmax(-1)


def check_change(x: np.ndarray, x_adv: np.ndarray, norm: str, epsilon: float) -> np.ndarray:
    """The norm of each change, `(n,)` float64.

    Raises:
        RuntimeError: A change that is longer than the radius, or leaves the box, by more than
            rounding: a defect of the attack, which must not count.
    """
    change = (x_adv.astype(np.float64) - as_floats(x)).reshape(len(x), int(np.prod(x.shape[1:])))
    if not len(x):
        return np.zeros(0)
    length = np.abs(change).max(1) if norm == "linf" else np.linalg.norm(change, axis=1)
    outside = (x_adv.min() < 0) or (x_adv.max() > 1) or not np.isfinite(x_adv).all()
    if outside or length.max() > epsilon * (1 + 1e-5) + 1e-6:
        raise RuntimeError(
            f"An attack left its bounds: norm {length.max():.8g} of {epsilon:.8g}, pixels from"
            f" {x_adv.min():.8g} to {x_adv.max():.8g}. Nothing of it is counted."
        )
    return length


class Kept(NamedTuple):
    """Where the outcome of each attack is kept, so that a killed evaluation goes on from there.

    Attributes:
        get: Given an attack's name, its arrays and its seconds, or None.
        put: Given an attack's name, its arrays and its seconds.
    """

    get: Callable[[str], tuple[dict[str, np.ndarray], float] | None] = lambda name: None
    put: Callable[[str, dict[str, np.ndarray], float], None] = lambda name, arrays, seconds: None


class Verdicts(NamedTuple):
    """What an evaluation found for each image.

    Attributes:
        broken_by: 1 for the ensemble's first attack, and so on; `MISCLASSIFIED` without any, or
            `SURVIVED`; `(n,)`.
        gradients: Gradients taken, `(n,)`.
        forwards: Forward passes beside them, `(n,)`.
        norms: Norm of the change that broke it, `(n,)` float64; NaN where none did.
        x_adv: The examples of the images that an attack broke, in their order, `(broken, ...)`
            float32.
        unconfirmed: Examples that an attack held for misclassified and `predict` did not; not
            counted.
        seconds: By attack.
    """

    broken_by: np.ndarray
    gradients: np.ndarray
    forwards: np.ndarray
    norms: np.ndarray
    x_adv: np.ndarray
    unconfirmed: int
    seconds: dict[str, float]


def evaluate(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    *,
    norm: str,
    epsilon: float,
    version: str = "standard",
    seed: int = 0,
    numbers: np.ndarray | None = None,
    batch_size: int = 500,
    threads: int = 1,
    progress: Callable[[str, int, int], None] = lambda attack, left, broken: None,
    kept: Kept = Kept(),  # noqa: B008  immutable
    attacks: Mapping[str, Steps] | None = None,
) -> Verdicts:
    """Attacks images with every attack of the ensemble in turn; a broken one is attacked no more.

    An image's verdict does not depend on which other images are attacked, but for rounding, and
    unless the model draws at random.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or float32 in [0, 1].
        y: Labels `(n,)`.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units.
        version: `"standard"`, `"plus"`, or `"rand"` for models that draw at random.
        seed: Seed of starts and proposals.
        numbers: The images' places in their set, `(n,)`: what random numbers and messages name an
            image by. 0, 1, ... where not given.
        batch_size: Images at a time.
        threads: Batches at a time; one for `rand`, whose draws depend on who shares a batch.
        progress: Called with an attack's name and how many images it is done with and has broken,
            since the last call.
        kept: Where outcomes are kept.
        attacks: Attacks to use in place of the version's.

    Returns:
        The verdicts.

    Raises:
        InputError: Logits that are not finite; the image is named. Square Attack on what are no
            images.
        RuntimeError: An attack left the ball or the box.
    """
    n = len(x)
    numbers = np.arange(n) if numbers is None else numbers
    passes = TRANSFORMATIONS if version == "rand" else 1
    threads = 1 if version == "rand" else threads
    attacks = attacks or ensemble(version, norm, int(model.output_shape[-1]))
    if x.ndim != 4 and any(isinstance(attack, Square) for attack in attacks.values()):
        raise InputError(
            f"Square Attack needs images (n, height, width, channels). Received {x.shape}."
        )
    right = predicted(model, x, passes, numbers=numbers) == y
    broken_by = np.where(right, SURVIVED, MISCLASSIFIED)
    gradients, forwards = np.zeros((2, n), np.int64)
    norms, unconfirmed = np.full(n, np.nan), 0
    examples: dict[int, np.ndarray] = {}
    keys = randomness.keys_of(seed, numbers)
    seconds = {}
    for number, (name, attack) in enumerate(attacks.items(), 1):
        left = np.flatnonzero(broken_by == SURVIVED)
        found = kept.get(name)
        # where rounding is another than when it was kept, others may be left
        if found is None or "left" not in found[0] or not np.array_equal(found[0]["left"], left):
            start = time.perf_counter()
            out = queue.run(
                attack,
                model,
                x[left],
                y[left],
                epsilon=epsilon,
                keys=randomness.keys_of(number, keys[left]),
                numbers=numbers[left],
                batch_size=batch_size,
                threads=threads,
                progress=functools.partial(progress, name),
            )
            held = np.flatnonzero(out.broken)
            check_change(x[left[held]], out.found[held], norm, epsilon)
            stands = (
                predicted(model, out.found[held], passes, numbers=numbers[left[held]])
                != y[left[held]]
            )
            arrays = {
                "left": left,
                "broken": left[held[stands]],
                "x_adv": out.found[held[stands]],
                "gradients": out.gradients,
                "forwards": out.forwards,
                "unconfirmed": np.array((~stands).sum()),
            }
            found = arrays, time.perf_counter() - start
            kept.put(name, *found)
        else:
            progress(name, len(left), len(found[0]["broken"]))
        arrays, seconds[name] = found
        gradients[left] += arrays["gradients"]
        forwards[left] += arrays["forwards"]
        broken = arrays["broken"]
        norms[broken] = check_change(x[broken], arrays["x_adv"], norm, epsilon)
        examples |= dict(zip(broken.tolist(), arrays["x_adv"], strict=True))
        broken_by[broken] = number
        unconfirmed += int(arrays["unconfirmed"])
    x_adv = (
        np.stack([examples[i] for i in sorted(examples)])
        if examples
        else np.zeros((0, *x.shape[1:]), np.float32)
    )
    return Verdicts(broken_by, gradients, forwards, norms, x_adv, unconfirmed, seconds)
