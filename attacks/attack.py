"""An attack with its hyperparameters, and how to run it on arrays."""

import dataclasses
import functools
import inspect
import math
import sys
from collections.abc import Callable
from typing import cast

import keras
import numpy as np
from keras import ops

from pellucid.attacks import check_norm, get, losses
from pellucid.models import backend
from pellucid.models.batching import in_batches
from pellucid.models.checks import check_images, check_labels
from pellucid.models.errors import InputError, unknown
from pellucid.models.functional import State, logits_of, pixels, program, state
from pellucid.models.types import Array, Json, Tensor


@dataclasses.dataclass(frozen=True)
class Attack:
    """An attack and its hyperparameters; hashable.

    Every hyperparameter is checked against the signature of the attack's function. `Attack.create`
    takes them all as keywords, whether they have a field here or not.

    Attributes:
        name: A key of `ATTACKS`.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units ([0, 1]), at least 0.
        loss: `"xent"`, `"cw"`, `"margin"` or `"dlr"`; for APGD also `"margin-targeted"` or
            `"dlr-targeted"`. FAB, Square, DeepFool and CW-L2 have a loss that cannot be chosen.
        steps: Gradient steps of a run; for Square, queries; for CW-L2, steps for each of its
            constants. None: the default of the attack's function, or 1 if it takes no steps.
        step_size: Length of one step in pixel units (PGD, momentum FGSM). None: relative to the
            radius, as the attack's function says.
        random_start: Whether to start from a random point of the ball (PGD).
        restarts: Number of runs (PGD, APGD, FAB, Square).
        more: Further keyword arguments of the attack's function, `(name, value)` pairs; the values
            are hashable.

    Raises:
        InputError: An unknown name, an option that the attack does not have, or a value out of its
            range.
    """

    name: str
    norm: str
    epsilon: float
    loss: str = "xent"
    steps: int = cast(int, None)
    step_size: float | None = None
    random_start: bool = False
    restarts: int = 1
    more: tuple[tuple[str, object], ...] = ()

    def __post_init__(self) -> None:
        known = self._parameters()
        if self.steps is None:
            steps = known["steps"].default if "steps" in known else 1
            object.__setattr__(self, "steps", steps)
        self._check_options(known)
        check_norm(self.norm)
        for field in ("epsilon", "step_size"):
            value = getattr(self, field)
            if value is not None and not (math.isfinite(value) and value >= 0):
                raise InputError(
                    f"`{field}` must be a number of at least 0, in pixel units. Received {value}."
                )
        for field in ("steps", "restarts"):
            if getattr(self, field) < 1:
                raise InputError(f"`{field}` must be at least 1. Received {getattr(self, field)}.")
        if "random_start" in known and self.restarts > 1 and not self.random_start:
            raise InputError(
                "`restarts` above 1 needs `random_start`: without it every run is the same."
            )

    @classmethod
    def create(cls, name: str, *, norm: str, epsilon: float, **options: object) -> "Attack":
        """An attack from any keyword arguments of its function.

        Args:
            name: A key of `ATTACKS`.
            norm: `"l2"` or `"linf"`.
            epsilon: Radius in pixel units, at least 0.
            **options: The attack's further options, as `steps=40` or `decay=0.9`.

        Raises:
            InputError: As `Attack`.
        """
        fields = {field.name for field in dataclasses.fields(cls)}
        more = tuple((option, options[option]) for option in sorted(options.keys() - fields))
        set_here: Json = {option: options[option] for option in options.keys() & fields}
        return cls(name, norm, epsilon, **set_here, more=more)

    def _parameters(self) -> dict[str, inspect.Parameter]:
        """The keyword arguments of the attack's function."""
        parameters = inspect.signature(get(self.name)).parameters
        return {name: p for name, p in parameters.items() if p.kind is p.KEYWORD_ONLY}

    def _check_options(self, known: dict[str, inspect.Parameter]) -> None:
        """Refuses what the attack's function does not take.

        A field at its default says nothing, and one step is what an attack without steps does.
        """
        changed = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.name not in ("name", "more")
            and getattr(self, field.name) != field.default
            and not (field.name == "steps" and self.steps == 1)
        }
        options = known.keys() - {"key"}
        for option in (*changed, *dict(self.more)):
            if option not in options:
                raise unknown(f"{self.name} option", option, options)

        allowed = getattr(sys.modules[get(self.name).__module__], "LOSSES", losses.UNTARGETED)
        if "loss" in known and self.loss not in allowed:
            raise unknown("attack loss", self.loss, allowed)
        try:
            hash(self.more)
        except TypeError:
            raise InputError(
                f"An attack's options must be numbers or text. Received {dict(self.more)}."
            ) from None

    @property
    def is_random(self) -> bool:
        """Whether it draws at random: it requires a key, or starts at random points."""
        required = self._parameters()["key"].default is inspect.Parameter.empty
        return required or self.random_start

    def static(self) -> "Attack":
        """The part that a program is compiled for: radius and step size are its arguments."""
        step_size = None if self.step_size is None else 0.0
        return dataclasses.replace(self, epsilon=0.0, step_size=step_size)

    def function(self) -> Callable[..., Tensor]:
        """The traceable `(logits, x, y, *, epsilon, step_size, key) -> x_adv`.

        All other hyperparameters are set. `step_size` is not used if this attack's is None.
        """
        attack, known = get(self.name), self._parameters()
        arguments = ("epsilon", "step_size", "key")
        fixed = {
            option: getattr(self, option)
            for option in known
            if option not in arguments and hasattr(self, option)
        } | dict(self.more)
        if self.step_size is not None:
            return functools.partial(attack, **fixed)

        def adversarial(
            logits: Callable[..., Tensor],
            x: Tensor,
            y: Tensor,
            *,
            epsilon: Tensor,
            step_size: Tensor,
            key: Tensor,
        ) -> Tensor:
            return attack(logits, x, y, epsilon=epsilon, key=key, **fixed)

        return adversarial


def run(
    attack: Attack,
    model: keras.Model,
    x: Array,
    y: Array,
    *,
    epsilon: Array | None = None,
    batch_size: int = 500,
    seed: int = 0,
    progress: Callable[[int], None] | None = None,
) -> Array:
    """Attacks arrays of images.

    Args:
        attack: The attack.
        model: A classifier: pixels in [0, 1] to logits.
        x: Images `(n, ...)`, uint8 or floats in [0, 1].
        y: Labels `(n,)`, integers.
        epsilon: Radii in pixel units, one per image `(n,)`, in place of the attack's.
        batch_size: Images at a time; an accelerator may take more if nothing is drawn at random.
            What is drawn depends on it and on `seed`.
        seed: Seed of what is drawn at random.
        progress: Called with the number of images done after each batch.

    Returns:
        `(n, ...)` float32 in [0, 1].

    Raises:
        InputError: Images outside [0, 1], labels that do not fit, a radius below 0.
    """
    check_images(x)
    check_labels(y, len(x), int(model.output_shape[-1]))
    radii = np.full(len(x), attack.epsilon, np.float32)
    if epsilon is not None:
        radii = np.asarray(epsilon, np.float32)
    if radii.shape != (len(x),) or not (np.isfinite(radii).all() and (radii >= 0).all()):
        raise InputError(
            f"`epsilon` must be {len(x)} numbers of at least 0. Received shape {radii.shape}."
        )

    static = attack.static()

    def attack_on(network: keras.Model) -> Callable[..., Tensor]:
        adversarial = static.function()

        def attack_batch(
            trainable: list[Tensor],
            other: list[Tensor],
            x: Tensor,
            y: Tensor,
            radii: Tensor,
            step_size: Tensor,
            key: Tensor,
        ) -> Tensor:
            logits = logits_of(network, State(trainable, other))
            return adversarial(logits, pixels(x), y, epsilon=radii, step_size=step_size, key=key)

        return attack_batch

    values = state(model)
    step_size = ops.convert_to_tensor(np.float32(attack.step_size or 0.0))
    x_adv = np.empty(x.shape, np.float32)
    for part, batch in in_batches(
        program(model, ("attack", static), attack_on),
        (values.trainable, values.other),
        [x, np.asarray(y, np.int32), radii],
        lambda number: (step_size, backend.fold_in(backend.key(seed), number)),
        batch_size=batch_size,
        fixed=attack.is_random,
    ):
        x_adv[part] = batch
        if progress:
            progress(part.stop)
    return x_adv
