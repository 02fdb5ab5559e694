"""APGD on a random model as the published AutoAttack runs it: one pass tells success and loss."""

from collections.abc import Callable
from dataclasses import dataclass

from keras import ops

from pellucid.attacks import losses
from pellucid.attacks.autoattack.apgd import Apgd
from pellucid.attacks.autoattack.stepping import State
from pellucid.models.types import Tensor


@dataclass(frozen=True)
class LastPassApgd(Apgd):
    """Auto-PGD whose gradients are averaged over passes, and nothing else.

    A point counts as misclassified by the logits of the last of its passes, and its loss, which
    decides when a step is halved, is that of the last pass too. The result is the last point that
    was misclassified: among 101 points of a random model there often is one, so that what the
    attack returns has to be judged again.

    Reference: Croce, Hein, arXiv 2003.01690, in their code.
    """

    def cost(self, i: Tensor, classes: int) -> tuple[Tensor, Tensor]:
        """Gradients and forward passes: the last pass at each point is repeated for its logits."""
        return (i + 1) * self.transformations, i + 1

    def _evaluated(
        self, logits: Callable[..., Tensor], state: State, point: Tensor, step: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Loss and logits of the last pass at a point, and the mean gradient."""
        _, gradient, _ = super()._evaluated(logits, state, point, step)
        z = logits(point, step * self.transformations + self.transformations - 1)
        return losses.get(self.loss)(z, state["y"]), gradient, z

    def _with_success(
        self, state: State, point: Tensor, value: Tensor, z: Tensor, last: Tensor
    ) -> State:
        """As `Apgd`, with a point's number in place of its loss: the last one counts."""
        number = ops.cast(state["i"], "float32") + float("point" in state)
        return super()._with_success(state, point, number, z, last)
