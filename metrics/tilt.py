"""How far a decision boundary is tilted: the angle between attacks and the line through the means.

    tilt = arccos( |d . m| / (||d|| ||m||) )

with d = mean(x_adv - x) over one class, and m the direction of the line through the class means. At
0 degrees the attack moves a class straight towards the other; at 90 degrees it moves it along a
direction in which the classes do not differ.

Reference: arXiv 1903.11626, section 2.2, which shows it as a picture (Tanay and Griffin, arXiv
1608.07690, name it); the angle is ours.
"""

import numpy as np

from pellucid.models.errors import InputError
from pellucid.models.types import Array


def mean_change(x: Array, x_adv: Array) -> Array:
    """The mean attack direction mean(x_adv - x), flattened: `(d,)` from two arrays `(n, ...)`.

    Raises:
        InputError: The shapes differ, or there are no examples.
    """
    if x.shape != x_adv.shape or not len(x):
        raise InputError(
            f"`x` and `x_adv` must be one or more examples of one shape. Received {x.shape} and"
            f" {x_adv.shape}."
        )
    return np.mean((np.asarray(x_adv, np.float64) - x).reshape(len(x), -1), axis=0)


def tilt(x: Array, x_adv: Array, line: Array) -> float:
    """The angle in degrees, 0 to 90, between the mean attack direction and a line.

    Args:
        x: Examples of one class `(n, ...)`.
        x_adv: Their adversarial examples, `(n, ...)`.
        line: Direction of the line through the class means, as many numbers as an example has; its
            sign and length do not matter.

    Returns:
        The angle; NaN where the attack does not move the mean.

    Raises:
        InputError: The shapes differ, there are no examples, or the line has no direction.
    """
    direction, line = mean_change(x, x_adv), np.asarray(line, np.float64).ravel()
    if line.shape != direction.shape or not np.any(line):
        raise InputError(
            f"`line` must be {len(direction)} numbers, not all zero. Received {line.tolist()}."
        )
    length = float(np.linalg.norm(direction))
    if length == 0:
        return float("nan")
    cosine = abs(float(direction @ line)) / (length * float(np.linalg.norm(line)))
    return float(np.degrees(np.arccos(min(cosine, 1.0))))
