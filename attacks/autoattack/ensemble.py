"""AutoAttack: attacks in turn, each on the images on which the ones before have failed."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import NamedTuple

import keras
import numpy as np

from pellucid.attacks import check_norm
from pellucid.attacks.autoattack import (
    VERSIONS,
    check_version,
    queue,
    randomness,
)
from pellucid.attacks.autoattack.apgd import Apgd
from pellucid.attacks.autoattack.fab import Fab
from pellucid.attacks.autoattack.last_pass import LastPassApgd
from pellucid.attacks.autoattack.square import Square
from pellucid.attacks.autoattack.stepping import IterativeAttack
from pellucid.models.checks import as_floats
from pellucid.models.errors import InputError, unknown
from pellucid.models.functional import predict
from pellucid.models.types import Array

__all__ = ["VERSIONS", "ensemble", "evaluate"]

TRANSFORMATIONS = 20
"""Passes that the version `rand` averages, in attacks and in predictions."""

JUDGEMENTS = ("mean", "single")
"""What classifies an image under the version `rand`: the mean of passes, or, as published, one."""

SURVIVED = -1
"""In `broken_by`: no attack succeeded."""

MISCLASSIFIED = 0
"""In `broken_by`: misclassified without an attack; from 1 on, the number of an attack."""


def check_judgement(version: str, judged_by: str) -> None:
    """Refuses an unknown judgement, and one pass where a model does not draw at random.

    Raises:
        InputError: It does not exist, or not for this version.
    """
    if judged_by not in JUDGEMENTS:
        raise unknown("judgement", judged_by, JUDGEMENTS)
    if judged_by == "single" and version != "rand":
        raise InputError(
            f"`judged_by='single'` is an option of the version 'rand'. Received '{version}'."
        )


def ensemble(
    version: str, norm: str, classes: int, judged_by: str = "mean"
) -> dict[str, IterativeAttack]:
    """The attacks of a version, in order.

    The DLR loss needs three classes and its targeted form four; with fewer, the margin takes its
    place.

    Args:
        version: `"standard"`, `"plus"` or `"rand"`.
        norm: `"l2"` or `"linf"`.
        classes: The number of classes, at least 2.
        judged_by: One of `JUDGEMENTS`, as for `evaluate`.

    Returns:
        The attacks by name.

    Raises:
        InputError: An unknown version, norm or judgement, or a judgement that belongs to another
            version; fewer than two classes.

    Reference: Croce, Hein, arXiv 2003.01690.
    """
    check_norm(norm)
    check_version(version)
    check_judgement(version, judged_by)
    if classes < 2:
        raise InputError(f"A classifier has at least two classes. Received {classes}.")
    dlr = "dlr" if classes > 2 else "margin"
    targeted = Apgd(norm, "dlr-targeted" if classes > 3 else "margin-targeted")
    if version == "rand":
        apgd = Apgd if judged_by == "mean" else LastPassApgd
        return {
            "apgd-ce": apgd(norm, "xent", transformations=TRANSFORMATIONS),
            "apgd-dlr": apgd(norm, dlr, transformations=TRANSFORMATIONS),
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
    model: keras.Model,
    x: Array,
    passes: int = 1,
    *,
    numbers: Array | None = None,
    first: int = 0,
) -> Array:
    """The classes of images by the mean of the logits over some passes, `(n,)`.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or float32 in [0, 1].
        passes: Passes whose logits are averaged, for a model that draws at random.
        numbers: What the images are called in a message, `(n,)`. None: their places.
        first: The number of the first pass: what the model draws depends on the pass's number.

    Raises:
        InputError: Logits that are not finite; the image is named.
    """
    if not len(x):
        return np.zeros(0, np.int64)
    logits = sum(predict(model, x, draw=first + draw) for draw in range(passes))
    finite = np.isfinite(logits).all(axis=-1)
    if not finite.all():
        place = int(np.flatnonzero(~finite)[0])
        number = place if numbers is None else numbers[place]
        raise InputError(f"The model's logits are not finite for image {number}.")
    return np.asarray(logits).argmax(-1)


def check_change(x: Array, x_adv: Array, norm: str, epsilon: float) -> Array:
    """The norm of each change, `(n,)` float64.

    Raises:
        RuntimeError: A change is longer than the radius, or leaves the box, by more than rounding:
            a defect of the attack, which must not count.
    """
    if not len(x):
        return np.zeros(0)
    change = (x_adv.astype(np.float64) - as_floats(x)).reshape(len(x), -1)
    length = np.abs(change).max(1) if norm == "linf" else np.linalg.norm(change, axis=1)
    outside = (x_adv.min() < 0) or (x_adv.max() > 1) or not np.isfinite(x_adv).all()
    if outside or length.max() > epsilon * (1 + 1e-5) + 1e-6:
        raise RuntimeError(
            f"An attack left its bounds: norm {length.max():.8g} of {epsilon:.8g}, pixels from"
            f" {x_adv.min():.8g} to {x_adv.max():.8g}. Its results are discarded."
        )
    return length


class OutcomeCache(NamedTuple):
    """Where the outcome of each attack is stored, so that a killed evaluation resumes from there.

    Attributes:
        get: From an attack's name to its arrays and its seconds, or to None.
        put: Stores an attack's arrays and its seconds under its name.
    """

    get: Callable[[str], tuple[dict[str, Array], float] | None] = lambda name: None
    put: Callable[[str, dict[str, Array], float], None] = lambda name, arrays, seconds: None


class Outcomes(NamedTuple):
    """What an ensemble did to each image.

    Attributes:
        broken_by: The number of the first attack that succeeded, from 1 on; else `MISCLASSIFIED` or
            `SURVIVED`; `(n,)`.
        gradients: Gradients taken, `(n,)`.
        forwards: Further forward passes, `(n,)`.
        norms: Norm of the change that was successful, in pixel units, `(n,)` float64; NaN if none
            was.
        x_adv: The adversarial examples of the images attacked successfully, in their order,
            `(successes, ...)` float32.
        unconfirmed: Examples that were misclassified in an attack and not by `predict`; they do not
            count.
        seconds: By attack.
    """

    broken_by: Array
    gradients: Array
    forwards: Array
    norms: Array
    x_adv: Array
    unconfirmed: int
    seconds: dict[str, float]


def _attacked(
    attack: IterativeAttack,
    model: keras.Model,
    x: Array,
    y: Array,
    left: Array,
    *,
    norm: str,
    epsilon: float,
    keys: Array,
    numbers: Array,
    passes: int,
    first: int,
    batch_size: int,
    threads: int,
    progress: Callable[[int, int], None],
) -> dict[str, Array]:
    """One attack on the images at the places `left`; the arrays that are stored of it.

    Returns:
        `left`; `broken`, the places of the images attacked successfully, and their `x_adv`;
        `gradients` and `forwards` of those `left`; `unconfirmed`, a number.
    """
    outcome = queue.run(
        attack,
        model,
        x[left],
        y[left],
        epsilon=epsilon,
        keys=keys[left],
        numbers=numbers[left],
        batch_size=batch_size,
        threads=threads,
        progress=progress,
    )
    claimed = np.flatnonzero(outcome.success)
    places, x_adv = left[claimed], outcome.x_adv[claimed]
    check_change(x[places], x_adv, norm, epsilon)
    classes = predicted(model, x_adv, passes, numbers=numbers[places], first=first)
    confirmed = classes != y[places]
    return {
        "left": left,
        "broken": places[confirmed],
        "x_adv": x_adv[confirmed],
        "gradients": outcome.gradients,
        "forwards": outcome.forwards,
        "unconfirmed": np.array((~confirmed).sum()),
    }


def evaluate(
    model: keras.Model,
    x: Array,
    y: Array,
    *,
    norm: str,
    epsilon: float,
    version: str = "standard",
    judged_by: str = "mean",
    seed: int = 0,
    numbers: Array | None = None,
    batch_size: int = 500,
    threads: int = 1,
    progress: Callable[[str, int, int], None] = lambda attack, done, successes: None,
    cache: OutcomeCache = OutcomeCache(),  # noqa: B008  immutable
    attacks: Mapping[str, IterativeAttack] | None = None,
) -> Outcomes:
    """Attacks images with every attack of the ensemble in turn, until one succeeds.

    The outcome for an image does not depend on which other images are attacked, except for
    rounding, and unless the model draws at random.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or float32 in [0, 1].
        y: Labels `(n,)`, integers.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units.
        version: `"standard"`, `"plus"`, or `"rand"` for models that draw at random.
        judged_by: What classifies an image under `rand`: `"mean"`, the mean logits of 20 passes, or
            `"single"`, the logits of one pass, as in the published code. The accuracy is lower
            then, as an image must be right in each of three passes to survive two attacks.
        seed: Seed of starts and proposals.
        numbers: The images' places in their set, `(n,)`, by which random numbers and messages name
            an image. None: 0, 1, ...
        batch_size: Images at a time.
        threads: Batches at a time; one for `rand`, whose draws depend on who shares a batch.
        progress: Called with an attack's name, the number of images it is done with since the last
            call, and of successes among them.
        cache: Where the outcomes of the attacks are stored.
        attacks: Attacks to use in place of the version's.

    Returns:
        The outcome for each image.

    Raises:
        InputError: An unknown version, norm or judgement; logits that are not finite, with the
            image's number; Square Attack on an `x` that does not have the shape of images.
        RuntimeError: An attack left the ball or the box.

    Reference: Croce, Hein, arXiv 2003.01690.
    """
    n = len(x)
    numbers = np.arange(n) if numbers is None else numbers
    check_judgement(version, judged_by)
    single = judged_by == "single"
    passes = TRANSFORMATIONS if version == "rand" and not single else 1
    threads = 1 if version == "rand" else threads
    attacks = attacks or ensemble(version, norm, int(model.output_shape[-1]), judged_by)
    if x.ndim != 4 and any(isinstance(attack, Square) for attack in attacks.values()):
        raise InputError(
            f"Square Attack needs images (n, height, width, channels). Received {x.shape}."
        )
    right = predicted(model, x, passes, numbers=numbers) == y
    broken_by = np.where(right, SURVIVED, MISCLASSIFIED)
    gradients, forwards = np.zeros((2, n), np.int64)
    norms, unconfirmed = np.full(n, np.nan), 0
    examples: dict[int, Array] = {}
    seconds = {}
    keys = randomness.keys_of(seed, numbers)
    for number, (name, attack) in enumerate(attacks.items(), 1):
        left = np.flatnonzero(broken_by == SURVIVED)
        stored = cache.get(name)

        # With another rounding than when it was stored, other images may be left.
        if stored and "left" in stored[0] and np.array_equal(stored[0]["left"], left):
            arrays, seconds[name] = stored
            progress(name, len(left), len(arrays["broken"]))
        else:
            start = time.perf_counter()
            arrays = _attacked(
                attack,
                model,
                x,
                y,
                left,
                norm=norm,
                epsilon=epsilon,
                keys=randomness.keys_of(number, keys),
                numbers=numbers,
                passes=passes,
                first=number if single else 0,
                batch_size=batch_size,
                threads=threads,
                progress=functools.partial(progress, name),
            )
            seconds[name] = time.perf_counter() - start
            cache.put(name, arrays, seconds[name])

        successes, x_adv = arrays["broken"], arrays["x_adv"]
        gradients[left] += arrays["gradients"]
        forwards[left] += arrays["forwards"]
        norms[successes] = check_change(x[successes], x_adv, norm, epsilon)
        examples |= dict(zip(successes.tolist(), x_adv, strict=True))
        broken_by[successes] = number
        unconfirmed += int(arrays["unconfirmed"])

    in_order = np.zeros((0, *x.shape[1:]), np.float32)
    if examples:
        in_order = np.stack([examples[i] for i in sorted(examples)])
    return Outcomes(broken_by, gradients, forwards, norms, in_order, unconfirmed, seconds)
