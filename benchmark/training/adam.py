"""Adam on one flat vector of parameters, and the order of batches: what every training program is made of.

Parameters, moments and gradients may carry a leading axis of networks that take their steps
together.
"""

from typing import Any, NamedTuple

from keras import ops

from robust_interpretability.models import backend

BETA_1, BETA_2, ADAM_EPSILON = 0.9, 0.999, 1e-7


class Adam(NamedTuple):
    """State of Adam on one flat vector of parameters: moments and the number of steps taken."""

    first: Any
    second: Any
    step: Any


def adam_start(parameters: Any) -> Adam:
    """The state before the first step."""
    return Adam(ops.zeros_like(parameters), ops.zeros_like(parameters), ops.zeros((), "float32"))


def adam_step(
    parameters: Any,
    gradient: Any,
    adam: Adam,
    learning_rate: Any,
    beta_1: float = BETA_1,
    beta_2: float = BETA_2,
) -> tuple[Any, Adam]:
    """One step of Adam with Keras' bias correction. Traceable.

    Reference: Kingma and Ba, arXiv 1412.6980, the form at the end of its section 2.
    """
    step = adam.step + 1.0
    first = beta_1 * adam.first + (1.0 - beta_1) * gradient
    second = beta_2 * adam.second + (1.0 - beta_2) * ops.square(gradient)
    rate = learning_rate * ops.sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step)
    return parameters - rate * first / (ops.sqrt(second) + ADAM_EPSILON), Adam(first, second, step)


def batch_order(key: Any, n: int, batch_size: int) -> Any:
    """Random batches of indices, `(n // batch_size, batch_size)`; the rest of the last batch sits this epoch out."""
    steps = n // batch_size
    return ops.reshape(backend.permutation(key, n)[: steps * batch_size], (steps, batch_size))
