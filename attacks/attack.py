"""An attack with its hyperparameters, and how to run it on arrays."""

import dataclasses
import functools
import inspect
import math
from collections.abc import Callable
from typing import Any, cast

import keras
import numpy as np
from keras import ops

from robust_interpretability.attacks import LOSSES, MORE_LOSSES, NORMS, RANDOM, TARGETED_LOSSES, get
from robust_interpretability.models import backend
from robust_interpretability.models.batching import in_batches
from robust_interpretability.models.checks import check_images, check_labels
from robust_interpretability.models.errors import InputError, unknown
from robust_interpretability.models.functional import State, logits_of, pixels, program, state


@dataclasses.dataclass(frozen=True)
class Attack:
    """An attack and its hyperparameters; hashable.

    Attributes:
        name: A key of `ATTACKS`.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units ([0, 1]), at least 0.
        loss: `"xent"`, `"cw"`, `"margin"` or `"dlr"`; for APGD also `"margin-targeted"` or
            `"dlr-targeted"`. Attacks that have a loss of their own (FAB, Square, DeepFool, CW-L2)
            do not use it.
        steps: Gradient steps of a run; of Square, queries; of CW-L2, steps for each of its
            constants. As many as the attack's function takes by itself where not given.
        step_size: Length of one step in pixel units (PGD, momentum FGSM).
        random_start: Whether to start from a random point of the ball (PGD).
        restarts: Number of runs (PGD, APGD, FAB, Square).

    Raises:
        InputError: A name is unknown or a value out of its range.
    """

    name: str
    norm: str
    epsilon: float
    loss: str = "xent"
    steps: int = cast(int, None)
    step_size: float = 1.0
    random_start: bool = False
    restarts: int = 1

    def __post_init__(self) -> None:
        own = inspect.signature(get(self.name)).parameters.get("steps")
        if self.steps is None:
            object.__setattr__(self, "steps", own.default if own else 1)
        if self.norm not in NORMS:
            raise unknown("norm", self.norm, NORMS)
        known = (*LOSSES, *MORE_LOSSES, *(TARGETED_LOSSES if self.name == "apgd" else ()))
        if self.loss not in known:
            raise unknown("attack loss", self.loss, known)
        for field in ("epsilon", "step_size"):
            value = getattr(self, field)
            if not (math.isfinite(value) and value >= 0):
                raise InputError(
                    f"`{field}` must be a number of at least 0, in pixel units. Received {value}."
                )
        for field in ("steps", "restarts"):
            if getattr(self, field) < 1:
                raise InputError(f"`{field}` must be at least 1. Received {getattr(self, field)}.")
        if self.name == "pgd" and self.restarts > 1 and not self.random_start:
            raise InputError(
                "`restarts` above 1 needs `random_start`: without it every run is the same."
            )

    def static(self) -> "Attack":
        """The part that a program is compiled for: radius and step size are arguments."""
        return dataclasses.replace(self, epsilon=0.0, step_size=0.0)

    def function(self) -> Callable:
        """The traceable `(logits, x, y, *, epsilon, step_size, key) -> x_adv`, the other hyperparameters set."""
        attack = get(self.name)
        takes = inspect.signature(attack).parameters
        fixed = {k: v for k, v in dataclasses.asdict(self.static()).items() if k in takes}
        for argument in ("epsilon", "step_size"):
            fixed.pop(argument, None)
        bound = functools.partial(attack, **fixed)
        if "step_size" in takes:
            return bound
        return lambda logits, x, y, *, epsilon, step_size, key: bound(
            logits, x, y, epsilon=epsilon, key=key
        )


def _program(static: Attack, model: keras.Model) -> Callable:
    attack = static.function()

    def run_batch(
        trainable: Any, other: Any, x: Any, y: Any, epsilon: Any, step_size: Any, key: Any
    ) -> Any:
        logits = logits_of(model, State(trainable, other))
        return attack(logits, pixels(x), y, epsilon=epsilon, step_size=step_size, key=key)

    return run_batch


def run(
    attack: Attack,
    model: keras.Model,
    x: np.ndarray,
    y: np.ndarray,
    *,
    epsilon: np.ndarray | None = None,
    batch_size: int = 500,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> np.ndarray:
    """Attacks arrays of images.

    Args:
        attack: The attack.
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`.
        epsilon: A radius for each image, `(n,)`, instead of the attack's own.
        batch_size: Images at a time; without randomness an accelerator may take more. What is drawn
            at random (`RANDOM`, `random_start`) depends on it and on `seed`.
        seed: Seed of what is drawn at random.
        progress: Called with the number of images done after each batch.

    Returns:
        `(n, ...)` float32 in [0, 1].

    Raises:
        InputError: Images outside [0, 1], labels that do not fit, a radius below 0.
    """
    check_images(x)
    check_labels(y, len(x), int(model.output_shape[-1]))
    radii = (
        np.full(len(x), attack.epsilon, np.float32)
        if epsilon is None
        else np.asarray(epsilon, np.float32)
    )
    if radii.shape != (len(x),) or not (np.isfinite(radii).all() and (radii >= 0).all()):
        raise InputError(
            f"`epsilon` must be {len(x)} numbers of at least 0. Received shape {radii.shape}."
        )
    static = attack.static()
    compiled = program(model, ("attack", static), functools.partial(_program, static))
    values = state(model)
    step_size = ops.convert_to_tensor(np.float32(attack.step_size))
    out = np.empty(x.shape, np.float32)
    random = attack.random_start or attack.name in RANDOM
    for part, found in in_batches(
        compiled,
        (values.trainable, values.other),
        [x, np.asarray(y, np.int32), radii],
        lambda number: (step_size, backend.fold_in(backend.key(seed), number)),
        batch_size=batch_size,
        fixed=random,
    ):
        out[part] = found
        if progress:
            progress(part.stop)
    return out
