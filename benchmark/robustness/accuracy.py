"""Robust accuracy by AutoAttack, block by block of images, stored as it goes, with what speaks against believing it."""

import time
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from robust_interpretability.attacks import losses
from robust_interpretability.attacks.attack import Attack
from robust_interpretability.attacks.attack import run as run_attack
from robust_interpretability.attacks.autoattack import ensemble
from robust_interpretability.attacks.autoattack.apgd import Apgd
from robust_interpretability.attacks.autoattack.ensemble import (
    MISCLASSIFIED,
    SURVIVED,
    Kept,
    Verdicts,
)
from robust_interpretability.attacks.projections import l2_norm
from robust_interpretability.benchmark import environment
from robust_interpretability.benchmark.robustness import radii as robust_evaluation
from robust_interpretability.benchmark.units.plan import Unit
from robust_interpretability.benchmark.units.store import Result, Store
from robust_interpretability.metrics import statistics
from robust_interpretability.models import backend
from robust_interpretability.models.batching import in_batches
from robust_interpretability.models.checks import check_images, check_labels
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.functional import (
    State,
    logits_of,
    pixels,
    predict,
    program,
    state,
)

BLOCK = 1000
"""Images whose examples are in memory at a time."""
MORE_STEPS = 200
"""APGD's steps in the check whether a longer run still gains."""
FACTORS = (0.5, 1.0, 2.0, 4.0)
"""Radii, in the evaluation's, at which accuracy must fall."""
SOME_STEPS = 20
"""PGD's steps at these radii."""
NOISE_DRAWS = 10

Progress = Callable[[str, int, int], None]
Examples = Callable[[np.ndarray, np.ndarray], None]


class Evaluated(NamedTuple):
    """An evaluation.

    Attributes:
        values: JSON values; see `evaluate`.
        arrays: By image: `broken_by`, `gradients`, `forwards`, `norms`, `(n,)`; see `Verdicts`.
    """

    values: dict[str, Any]
    arrays: dict[str, np.ndarray]


def kept_in(store: Store, spec: dict[str, Any], label: str) -> Callable[[int], Kept]:
    """Keeps the outcomes of attacks in a store.

    Args:
        store: The store.
        spec: What the outcomes depend on: the model, the images and labels, norm, radius, version,
            seed.
        label: What they are called in file names.
    """

    def block(number: int) -> Kept:
        def unit(name: str) -> Unit:
            own = spec | {"block": number, "images_in_block": BLOCK, "attack": name}
            return Unit("attacked", f"{label} block {number} {name}", own, (), 0, 0.0)

        def get(name: str) -> tuple[dict[str, np.ndarray], float] | None:
            if not store.done(unit(name)):
                return None
            return store.arrays(unit(name)), store.body(unit(name))["seconds"]

        def put(name: str, arrays: dict[str, np.ndarray], seconds: float) -> None:
            store.put(
                unit(name), Result({}, arrays), environment=environment.collect(), seconds=seconds
            )

        return Kept(get, put)

    return block


def _slopes(model: keras.Model) -> Callable:
    """For each image the largest entry of its loss gradient and the L2 norm of its margin's gradient, `(n, 2)`."""

    def slopes(trainable: Any, other: Any, x: Any, y: Any) -> Any:
        logits = logits_of(model, State(trainable, other))
        steep = []
        for loss in (losses.xent, losses.margin):
            _, gradient = backend.value_and_gradient(
                lambda z, loss=loss: ops.sum(loss(logits(z), y)), pixels(x)
            )
            flat = ops.reshape(gradient, (ops.shape(gradient)[0], -1))
            steep.append(
                ops.max(ops.abs(flat), axis=1) if loss is losses.xent else l2_norm(flat)[:, 0]
            )
        return ops.stack(steep, axis=1)

    return slopes


def slopes(model: keras.Model, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """How steep a model is at images.

    Returns:
        `(n, 2)`: the largest entry, in size, of the cross-entropy's gradient, and the L2 norm of
            the logit margin's.
    """
    values = state(model)
    run = program(model, ("slopes",), _slopes)
    rows = [x, np.asarray(y, np.int32)]
    found = in_batches(run, (values.trainable, values.other), rows, batch_size=500)
    return np.concatenate([part for _, part in found])


def hidden_operations(model: keras.Model, x: np.ndarray) -> dict[str, int]:
    """Loops and gradient operations inside a model's inference, as far as its graph shows them."""
    logits = logits_of(model, state(model))
    return backend.loops_and_gradients(lambda z: logits(pixels(z)), x[:1])


def controls(
    model: keras.Model, x: np.ndarray, y: np.ndarray, norm: str, epsilon: float, seed: int
) -> dict[str, Any]:
    """What flags rest on besides the attacks' verdicts: `robust_evaluation.evaluate` at rising radii, and more.

    Returns:
        Its values, and `vanishing_gradients` (images whose margin's gradient is below
        `flags.VANISHING` in L2 norm), `passes_disagree` (images whose class is another in a second
        pass), `loops` and `gradient_operations` of the inference graph.
    """
    from robust_interpretability.benchmark.robustness.flags import VANISHING

    radii = {norm: [factor * epsilon for factor in FACTORS]} if epsilon > 0 else {}
    found = robust_evaluation.evaluate(
        model, x, y, radii=radii, steps=SOME_STEPS, losses=["xent", "cw"], source=None, seed=seed
    )
    steep = slopes(model, x, y)
    classes = [predict(model, x, draw=draw).argmax(-1) for draw in range(2)]
    return (
        found
        | hidden_operations(model, x)
        | {
            "zero_gradients": int((steep[:, 0] == 0).sum()),
            "vanishing_gradients": int((steep[:, 1] < VANISHING).sum()),
            "passes_disagree": int((classes[0] != classes[1]).sum()),
        }
    )


def _unseen(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    norm: str,
    epsilon: float,
    version: str,
    seed: int,
    numbers: np.ndarray,
    broken_by: np.ndarray,
) -> dict[str, int]:
    """What no gradient attack of the ensemble broke: by Square alone, and of what it left, by noise and more steps."""
    attacks = ensemble.ensemble(version, norm, int(model.output_shape[-1]))
    passes, transformations = (ensemble.TRANSFORMATIONS,) * 2 if version == "rand" else (1, 1)

    def broken(left: np.ndarray, attacks: dict[str, Any]) -> int:
        """How many of these images these attacks break."""
        if not (len(left) and attacks):
            return 0
        found = ensemble.evaluate(
            model,
            x[left],
            y[left],
            norm=norm,
            epsilon=epsilon,
            version=version,
            attacks=attacks,
            seed=seed,
            numbers=numbers[left],
        )
        return int((found.broken_by > 0).sum())

    names = list(attacks)
    place = names.index("square") + 1 if "square" in names else len(names) + 1
    by_square = np.flatnonzero(broken_by == place)
    after = {
        name: attacks[name] for name in names[place:]
    }  # what `plus` did not try on Square's images
    counts = {"square": len(by_square) - broken(by_square, after)}
    left = np.flatnonzero(broken_by == SURVIVED)
    fallen = np.zeros(len(left), bool)
    for draw in range(NOISE_DRAWS if len(left) else 0):
        noisy = run_attack(
            Attack("noise", norm, epsilon), model, x[left], y[left], seed=seed + draw
        )
        fallen |= ensemble.predicted(model, noisy, passes) != y[left]
    longer = {"longer": Apgd(norm, steps=MORE_STEPS, transformations=transformations)}
    return counts | {"noise": int(fallen.sum()), "more_steps": broken(left, longer)}


def _rows(attacks: dict[str, Any], parts: list[Verdicts], n: int) -> list[dict[str, Any]]:
    """One row an attack, in order: what it broke, what was left, what it cost."""
    broken_by = np.concatenate([part.broken_by for part in parts])
    left = int((broken_by != MISCLASSIFIED).sum())
    rows = []
    for number, (name, attack) in enumerate(attacks.items(), 1):
        broken = int((broken_by == number).sum())
        left -= broken
        accuracy = statistics.proportion(left, n)
        rows.append(
            {
                "attack": name,
                "loss": getattr(attack, "loss", "margin"),
                "steps": attack.steps,
                "broken": broken,
                "hits": left,
                "accuracy": accuracy.value,
                "low": accuracy.low,
                "high": accuracy.high,
                "seconds": round(sum(part.seconds[name] for part in parts), 3),
            }
        )
    return rows


def evaluate(
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    *,
    norm: str,
    epsilon: float,
    version: str = "standard",
    seed: int = 0,
    threads: int = 1,
    progress: Progress = lambda attack, left, broken: None,
    kept: Callable[[int], Kept] = lambda block: Kept(),
    examples: Examples = lambda places, x_adv: None,
) -> Evaluated:
    """Accuracy under AutoAttack, and the evidence for flags.

    Args:
        model: A classifier: pixels in [0, 1] to logits `(n, classes)`.
        x: Images `(n, ...)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`, integers.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units, at least 0.
        version: `"standard"`, `"plus"` or `"rand"`.
        seed: Seed of all that is drawn.
        threads: Batches at a time.
        progress: Called with an attack's name and how many images it is done with and has broken,
            since the last call.
        kept: Where the outcomes of a block's attacks are kept, given the block's number.
        examples: Called after each block with the places of the images that an attack broke,
            `(broken,)`, and what broke them, `(broken, ...)`: they are not held in memory.

    Returns:
        Values: `norm`, `epsilon`, `version`, `seed`, `examples`; `clean` and `robust` (hits);
        `attacks`, one row an attack with `attack`, `loss`, `steps`, `broken`, `hits` (images right
        after it), `accuracy`, `low` and `high` (Wilson, 95 percent) and `seconds`; `unconfirmed`
        (see `Verdicts`); `gradients` and `forwards` (means of an image); `unseen` (images that
        stand against every gradient attack and fall to `square`, and that stand against the whole
        ensemble and fall to `noise` or `more_steps`); `controls`.

    Raises:
        InputError: Images outside [0, 1], labels out of range, a radius below 0, an unknown norm or
            version, logits that are not finite.
    """
    check_images(x)
    classes = (
        model.output_shape[-1]
        if isinstance(model.output_shape, tuple) and len(model.output_shape) == 2
        else None
    )
    if classes is None:
        raise InputError(
            "The model must put out logits of shape (n, classes). It puts out"
            f" {model.output_shape}."
        )
    check_labels(y, len(x), int(classes))
    if not (np.isfinite(epsilon) and epsilon >= 0):
        raise InputError(
            f"The radius must be a number of at least 0, in pixel units. Received {epsilon}."
        )
    attacks = ensemble.ensemble(version, norm, int(classes))
    parts, unseen = [], {"noise": 0, "square": 0, "more_steps": 0}
    for block, first in enumerate(range(0, len(x), BLOCK)):
        here = slice(first, first + BLOCK)
        numbers = np.arange(first, first + len(x[here]))
        part = ensemble.evaluate(
            model,
            x[here],
            y[here],
            norm=norm,
            epsilon=epsilon,
            version=version,
            seed=seed,
            numbers=numbers,
            threads=threads,
            progress=progress,
            kept=kept(block),
        )
        examples(first + np.flatnonzero(part.broken_by > 0), part.x_adv)
        parts.append(part._replace(x_adv=part.x_adv[:0]))
        held = kept(block).get("controls")
        if held is None or "of" not in held[0] or not np.array_equal(held[0]["of"], part.broken_by):
            start = time.perf_counter()
            counts = _unseen(
                model, x[here], y[here], norm, epsilon, version, seed, numbers, part.broken_by
            )
            arrays = {name: np.array(count) for name, count in counts.items()} | {
                "of": part.broken_by
            }
            held = arrays, time.perf_counter() - start
            kept(block).put("controls", *held)
        unseen = {name: count + int(held[0][name]) for name, count in unseen.items()}
    broken_by, gradients, forwards, norms = (
        np.concatenate([getattr(part, name) for part in parts])
        for name in ("broken_by", "gradients", "forwards", "norms")
    )
    n = len(x)
    rows = _rows(attacks, parts, n)
    values = {
        "norm": norm,
        "epsilon": epsilon,
        "version": version,
        "seed": seed,
        "examples": n,
        "clean": int((broken_by != MISCLASSIFIED).sum()),
        "robust": int((broken_by == SURVIVED).sum()),
        "attacks": rows,
        "unconfirmed": sum(part.unconfirmed for part in parts),
        "gradients": float(gradients.mean()),
        "forwards": float(forwards.mean()),
        "unseen": unseen,
        "controls": controls(model, x[:BLOCK], y[:BLOCK], norm, epsilon, seed),
    }
    arrays = {
        "broken_by": broken_by.astype(np.int8),
        "gradients": gradients,
        "forwards": forwards,
        "norms": norms,
    }
    return Evaluated(values, arrays)
