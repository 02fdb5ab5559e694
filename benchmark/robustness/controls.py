"""Controls of an ensemble evaluation: whether its gradient attacks can be relied on."""

import dataclasses
from collections.abc import Callable, Mapping

import keras
import numpy as np
from keras import ops

from pellucid.attacks import losses
from pellucid.attacks.attack import Attack
from pellucid.attacks.attack import run as run_attack
from pellucid.attacks.autoattack import ensemble
from pellucid.attacks.autoattack.apgd import Apgd
from pellucid.attacks.autoattack.ensemble import SURVIVED
from pellucid.attacks.autoattack.stepping import IterativeAttack
from pellucid.attacks.projections import l2_norm
from pellucid.benchmark.robustness import radii
from pellucid.benchmark.robustness.counts import Controls, UnseenByEnsemble
from pellucid.models import backend
from pellucid.models.batching import in_batches
from pellucid.models.functional import (
    State,
    logits_of,
    pixels,
    predict,
    program,
    state,
)
from pellucid.models.types import Array, Tensor

FACTORS = (0.5, 1.0, 2.0, 4.0)
"""Radii, in those of the evaluation, at which accuracy must fall."""
PGD_STEPS = 20
"""PGD's steps at these radii."""
PGD_LOSSES = ["xent", "cw"]
"""PGD's losses at these radii."""
MORE_STEPS = 200
"""APGD's steps in the check whether a longer run still gains."""
NOISE_DRAWS = 10
"""Draws of noise per image."""
VANISHING = 0.01
"""L2 norm of the logit margin's gradient below which the gradient counts as vanishing."""


def _slopes(model: keras.Model) -> Callable:
    def slopes(trainable: list[Tensor], other: list[Tensor], x: Tensor, y: Tensor) -> Tensor:
        logits = logits_of(model, State(trainable, other))

        def gradient_of(loss: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
            _, gradient = backend.value_and_gradient(
                lambda z: ops.sum(loss(logits(z), y)), pixels(x)
            )
            return ops.reshape(gradient, (ops.shape(gradient)[0], -1))

        largest = ops.max(ops.abs(gradient_of(losses.xent)), axis=1)
        length = l2_norm(gradient_of(losses.margin))[:, 0]
        return ops.stack([largest, length], axis=1)

    return slopes


def slopes(model: keras.Model, x: Array, y: Array) -> Array:
    """How steep a model's losses are at images.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`.

    Returns:
        `(n, 2)`: the largest absolute entry of the cross-entropy's gradient, and the L2 norm of the
        gradient of the logit margin.
    """
    values = state(model)
    run = program(model, ("slopes",), _slopes)
    rows = [x, np.asarray(y, np.int32)]
    parts = in_batches(run, (values.trainable, values.other), rows, batch_size=500)
    return np.concatenate([part for _, part in parts])


def hidden_operations(model: keras.Model, x: Array) -> dict[str, int]:
    """Loops and gradient operations inside a model's inference, as far as its graph shows them.

    Args:
        model: A classifier.
        x: Images `(n, ...)`, of which the first is used.

    Returns:
        `loops` and `gradient_operations`.
    """
    logits = logits_of(model, state(model))
    return backend.loops_and_gradients(lambda z: logits(pixels(z)), x[:1])


def controls(
    model: keras.Model, x: Array, y: Array, *, norm: str, epsilon: float, seed: int
) -> Controls:
    """Short attacks at rising radii, and properties of the gradients and of the inference graph.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units; with 0 there are no attacks.
        seed: Seed of the noise.
    """
    counts = radii.evaluate(
        model,
        x,
        y,
        radii={norm: [factor * epsilon for factor in FACTORS]} if epsilon > 0 else {},
        steps=PGD_STEPS,
        losses=PGD_LOSSES,
        source=None,
        seed=seed,
    )
    steep = slopes(model, x, y)
    classes = [predict(model, x, draw=draw).argmax(-1) for draw in range(2)]
    operations = hidden_operations(model, x)
    counts = dataclasses.replace(counts, zero_gradients=int((steep[:, 0] == 0).sum()))
    return Controls(
        **vars(counts),
        loops=operations["loops"],
        gradient_operations=operations["gradient_operations"],
        vanishing_gradients=int((steep[:, 1] < VANISHING).sum()),
        passes_disagree=int((classes[0] != classes[1]).sum()),
    )


def unseen_by_ensemble(
    model: keras.Model,
    x: Array,
    y: Array,
    *,
    norm: str,
    epsilon: float,
    version: str,
    seed: int,
    numbers: Array,
    broken_by: Array,
) -> UnseenByEnsemble:
    """Counts the images that resisted the ensemble's gradient attacks, and not a control.

    Args:
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units.
        version: AutoAttack's version.
        seed: Seed of all random numbers.
        numbers: The images' places in their set, `(n,)`.
        broken_by: Which attack of the ensemble was successful, `(n,)`, as `ensemble.evaluate`
            returns it.
    """
    attacks = ensemble.ensemble(version, norm, int(model.output_shape[-1]))
    passes, transformations = (ensemble.TRANSFORMATIONS,) * 2 if version == "rand" else (1, 1)

    def successes(places: Array, attacks: Mapping[str, IterativeAttack]) -> int:
        """How many of these images the attacks succeed on."""
        if not (len(places) and attacks):
            return 0
        outcome = ensemble.evaluate(
            model,
            x[places],
            y[places],
            norm=norm,
            epsilon=epsilon,
            version=version,
            attacks=attacks,
            seed=seed,
            numbers=numbers[places],
        )
        return int((outcome.broken_by > 0).sum())

    names = list(attacks)
    place = names.index("square") + 1 if "square" in names else len(names) + 1
    by_square = np.flatnonzero(broken_by == place)
    # the gradient attacks of `plus` that did not run on Square's images
    after_square = {name: attacks[name] for name in names[place:]}
    square = len(by_square) - successes(by_square, after_square)

    resisted = np.flatnonzero(broken_by == SURVIVED)
    by_noise = np.zeros(len(resisted), bool)
    for draw in range(NOISE_DRAWS if len(resisted) else 0):
        noise = Attack("noise", norm, epsilon)
        noisy = run_attack(noise, model, x[resisted], y[resisted], seed=seed + draw)
        by_noise |= ensemble.predicted(model, noisy, passes) != y[resisted]

    longer = {"longer": Apgd(norm, steps=MORE_STEPS, transformations=transformations)}
    return UnseenByEnsemble(
        square=square, noise=int(by_noise.sum()), more_steps=successes(resisted, longer)
    )
