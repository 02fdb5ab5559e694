"""Robust accuracy by AutoAttack, block by block of images, with the evidence for flags."""

import dataclasses
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from pellucid.attacks.autoattack import ensemble
from pellucid.attacks.autoattack.ensemble import (
    MISCLASSIFIED,
    SURVIVED,
    OutcomeCache,
    Outcomes,
)
from pellucid.attacks.autoattack.stepping import IterativeAttack
from pellucid.benchmark.robustness.controls import controls, unseen_by_ensemble
from pellucid.benchmark.robustness.counts import (
    EnsembleAccuracy,
    EnsembleAttack,
    UnseenByEnsemble,
)
from pellucid.metrics import statistics
from pellucid.models.checks import check_images, check_labels
from pellucid.models.errors import InputError
from pellucid.models.types import Array

BLOCK = 1000
"""Images whose adversarial examples are in memory at a time."""

Progress = Callable[[str, int, int], None]
Examples = Callable[[Array, Array], None]


@dataclass(frozen=True)
class RobustAccuracy:
    """Accuracy under AutoAttack.

    Attributes:
        counts: The counts.
        arrays: Values per image, `(n,)`: `broken_by`, `gradients`, `forwards` and `norms`, as
            `ensemble.evaluate` returns them.
    """

    counts: EnsembleAccuracy
    arrays: Mapping[str, Array]


def _num_classes(model: keras.Model) -> int:
    shape = model.output_shape
    if not (isinstance(shape, tuple) and len(shape) == 2):
        raise InputError(f"The model must output logits of shape (n, classes). It outputs {shape}.")
    return int(shape[-1])


def _rows(
    attacks: Mapping[str, IterativeAttack], blocks: Sequence[Outcomes], broken_by: Array
) -> tuple[EnsembleAttack, ...]:
    """One row per attack, in order."""
    left = int((broken_by != MISCLASSIFIED).sum())
    rows = []
    for number, (name, attack) in enumerate(attacks.items(), 1):
        broken = int((broken_by == number).sum())
        left -= broken
        accuracy = statistics.proportion(left, len(broken_by))
        row = EnsembleAttack(
            attack=name,
            loss=getattr(attack, "loss", "margin"),
            steps=attack.steps,
            broken=broken,
            hits=left,
            accuracy=accuracy.value,
            low=accuracy.low,
            high=accuracy.high,
            seconds=round(sum(block.seconds[name] for block in blocks), 3),
        )
        rows.append(row)
    return tuple(rows)


def _attack_block(
    model: keras.Model,
    x: Array,
    y: Array,
    *,
    norm: str,
    epsilon: float,
    version: str,
    seed: int,
    numbers: Array,
    threads: int,
    progress: Progress,
    cache: OutcomeCache,
) -> tuple[Outcomes, UnseenByEnsemble]:
    """Attacks one block of images; what the cache holds of these outcomes is not computed again."""
    block = ensemble.evaluate(
        model,
        x,
        y,
        norm=norm,
        epsilon=epsilon,
        version=version,
        seed=seed,
        numbers=numbers,
        threads=threads,
        progress=progress,
        cache=cache,
    )
    stored = cache.get("controls")
    if stored and "of" in stored[0] and np.array_equal(stored[0]["of"], block.broken_by):
        names = [field.name for field in dataclasses.fields(UnseenByEnsemble)]
        return block, UnseenByEnsemble(**{name: int(stored[0][name]) for name in names})
    start = time.perf_counter()
    unseen = unseen_by_ensemble(
        model,
        x,
        y,
        norm=norm,
        epsilon=epsilon,
        version=version,
        seed=seed,
        numbers=numbers,
        broken_by=block.broken_by,
    )
    arrays = {name: np.array(images) for name, images in dataclasses.asdict(unseen).items()}
    cache.put("controls", arrays | {"of": block.broken_by}, time.perf_counter() - start)
    return block, unseen


def evaluate(
    model: keras.Model,
    x: Array,
    y: Array,
    *,
    norm: str,
    epsilon: float,
    version: str = "standard",
    seed: int = 0,
    threads: int = 1,
    progress: Progress = lambda attack, done, successes: None,
    outcomes: Callable[[int], OutcomeCache] = lambda block: OutcomeCache(),
    examples: Examples = lambda places, x_adv: None,
) -> RobustAccuracy:
    """Accuracy under AutoAttack, and the evidence for flags.

    Args:
        model: A classifier: pixels in [0, 1] to logits `(n, classes)`.
        x: Images `(n, h, w, c)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`, integers.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units, at least 0.
        version: `"standard"`, `"plus"` or `"rand"`.
        seed: Seed of all random numbers.
        threads: Batches at a time.
        progress: Called with an attack's name, the number of images that it finished since the last
            call, and on how many of them it succeeded.
        outcomes: From a block's number to where the outcomes of its attacks are read and written,
            so that an interrupted evaluation can resume.
        examples: Called after each block with the places of the images that were attacked
            successfully, `(m,)`, and their adversarial examples, `(m, h, w, c)` float32. They are
            not held in memory.

    Returns:
        The counts, and arrays with values per image.

    Raises:
        InputError: There are images outside [0, 1], labels out of range, a radius below 0, an
            unknown norm or version, outputs that are not `(n, classes)`, or logits that are not
            finite.

    Reference: Croce, Hein, arXiv 2003.01690.
    """
    check_images(x)
    classes = _num_classes(model)
    check_labels(y, len(x), classes)
    if not (np.isfinite(epsilon) and epsilon >= 0):
        raise InputError(
            f"The radius must be a number of at least 0, in pixel units. Received {epsilon}."
        )
    attacks = ensemble.ensemble(version, norm, classes)

    blocks: list[Outcomes] = []
    unseen: list[UnseenByEnsemble] = []
    for number, first in enumerate(range(0, len(x), BLOCK)):
        images, labels = x[first : first + BLOCK], y[first : first + BLOCK]
        block, missed = _attack_block(
            model,
            images,
            labels,
            norm=norm,
            epsilon=epsilon,
            version=version,
            seed=seed,
            numbers=np.arange(first, first + len(images)),
            threads=threads,
            progress=progress,
            cache=outcomes(number),
        )
        examples(first + np.flatnonzero(block.broken_by > 0), block.x_adv)
        blocks.append(block._replace(x_adv=block.x_adv[:0].copy()))  # a view would hold them all
        unseen.append(missed)

    broken_by = np.concatenate([block.broken_by for block in blocks])
    gradients = np.concatenate([block.gradients for block in blocks])
    forwards = np.concatenate([block.forwards for block in blocks])
    norms = np.concatenate([block.norms for block in blocks])
    counts = EnsembleAccuracy(
        norm=norm,
        epsilon=epsilon,
        version=version,
        seed=seed,
        examples=len(x),
        clean=int((broken_by != MISCLASSIFIED).sum()),
        robust=int((broken_by == SURVIVED).sum()),
        attacks=_rows(attacks, blocks, broken_by),
        unconfirmed=sum(block.unconfirmed for block in blocks),
        gradients=float(gradients.mean()),
        forwards=float(forwards.mean()),
        unseen=UnseenByEnsemble(
            square=sum(one.square for one in unseen),
            noise=sum(one.noise for one in unseen),
            more_steps=sum(one.more_steps for one in unseen),
        ),
        controls=controls(model, x[:BLOCK], y[:BLOCK], norm=norm, epsilon=epsilon, seed=seed),
    )
    arrays = {
        "broken_by": broken_by.astype(np.int8),
        "gradients": gradients,
        "forwards": forwards,
        "norms": norms,
    }
    return RobustAccuracy(counts, arrays)
