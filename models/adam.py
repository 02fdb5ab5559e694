"""Adam on one tensor of parameters: one implementation for training and for attacks.

Parameters, moments and gradients may have any shape; training uses one flat vector, or one row per
network where several networks train together.
"""

from typing import NamedTuple

from keras import ops

from pellucid.models.types import Tensor


class Adam(NamedTuple):
    """State of Adam: first and second moments, shaped as the parameters, and the steps taken."""

    first: Tensor
    second: Tensor
    step: Tensor


def adam_start(parameters: Tensor) -> Adam:
    """The state before the first step: moments of zero."""
    return Adam(ops.zeros_like(parameters), ops.zeros_like(parameters), ops.zeros((), "float32"))


def adam_step(
    parameters: Tensor,
    gradient: Tensor,
    adam: Adam,
    learning_rate: Tensor | float,
    beta_1: float = 0.9,
    beta_2: float = 0.999,
    epsilon: float = 1e-7,
) -> tuple[Tensor, Adam]:
    """One step of Adam with Keras' bias correction. Traceable.

    Args:
        parameters: The parameters before the step.
        gradient: The gradient of the loss at them, of the same shape.
        adam: The state before the step.
        learning_rate: A number or a scalar tensor.
        beta_1: Decay of the first moment.
        beta_2: Decay of the second moment.
        epsilon: Added to the root of the second moment.

    Returns:
        The parameters and the state after the step.

    Reference: Kingma and Ba, arXiv 1412.6980, the form at the end of its section 2.
    """
    step = adam.step + 1.0
    first = beta_1 * adam.first + (1.0 - beta_1) * gradient
    second = beta_2 * adam.second + (1.0 - beta_2) * ops.square(gradient)
    rate = learning_rate * ops.sqrt(1.0 - beta_2**step) / (1.0 - beta_1**step)
    return parameters - rate * first / (ops.sqrt(second) + epsilon), Adam(first, second, step)
