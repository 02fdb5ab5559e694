"""Attacks on a caller's model."""

from pellucid.attacks import ATTACKS
from pellucid.attacks.attack import Attack
from pellucid.attacks.attack import run as run_attack
from pellucid.benchmark.library.classifier import check_scale, classifier
from pellucid.benchmark.library.inputs import images, labels
from pellucid.models.errors import InputError
from pellucid.models.types import Array


def list_attacks() -> list[str]:
    """The names that `attack` and `fit` take.

    >>> import pellucid
    >>> "pgd" in pellucid.list_attacks()
    True
    """
    return list(ATTACKS)


def as_attack(
    attack: str | Attack, norm: str | None, epsilon: float | None, options: dict[str, object]
) -> Attack:
    """An attack from its name and options, or as it is.

    Raises:
        InputError: A name without norm and radius; an `Attack` with further options; as `Attack`.
    """
    if isinstance(attack, Attack):
        if norm is not None or epsilon is not None or options:
            raise InputError("An `Attack` holds its norm, radius and options: pass it alone.")
        return attack
    if norm is None or epsilon is None:
        raise InputError(f"The attack '{attack}' needs `norm` and `epsilon`, in pixel units.")
    return Attack.create(attack, norm=norm, epsilon=float(epsilon), **options)


def attack(
    attack: str | Attack,
    model: object,
    x: object,
    y: object,
    *,
    norm: str | None = None,
    epsilon: float | None = None,
    logits: bool = True,
    scale: float = 1.0,
    batch_size: int = 500,
    seed: int = 0,
    **options: object,
) -> Array:
    """Adversarial examples of images.

    Args:
        attack: A name from `list_attacks`, or an `Attack`.
        model: A Keras model of images `(n, ...)` to `(n, classes)`.
        x: Images `(n, ...)`, uint8 or floats in [0, 1]; what NumPy can convert.
        y: Labels, integers `(n,)` or one-hot `(n, classes)`.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units, where the box is [0, 1].
        logits: Whether the model outputs logits; False for probabilities.
        scale: What pixels in [0, 1] are multiplied by before the model: 255 if it takes 0 to 255.
        batch_size: Images at a time. What is drawn at random depends on it and on `seed`.
        seed: Seed of what is drawn at random.
        **options: The attack's options, as `steps=40`, checked against its signature.

    Returns:
        `(n, ...)` float32 in [0, 1], within `epsilon` of `x`.

    Raises:
        InputError: An unknown attack or option, a value out of its range, images or labels of
            another kind, or a model that does not do what `logits` says.

    >>> import keras
    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> x, y = digits.x_test[:10], digits.y_test[:10]
    >>> model = keras.Sequential(
    ...     [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(10)]
    ... )
    >>> x_adv = pellucid.attack("pgd", model, x, y, norm="linf", epsilon=0.1, steps=5)
    >>> x_adv.shape
    (10, 8, 8, 1)
    >>> print(f"{abs(x_adv - x / 255).max():.2f}")
    0.10
    """
    chosen = as_attack(attack, norm, epsilon, options)
    x = images(x)
    network = classifier(model, x, logits=logits, scale=scale)
    y = labels(y, len(x), network.output_shape[-1])
    check_scale(model, x, y, scale)
    return run_attack(chosen, network, x, y, batch_size=batch_size, seed=seed)
