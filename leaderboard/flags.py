"""The warning flags: when each is raised and what it means."""

from typing import NamedTuple


class Meaning(NamedTuple):
    """A flag in words: a short title, when it is raised, what it means."""

    title: str
    raised_when: str
    means: str


MEANINGS = {
    "noise_beats_gradient": Meaning(
        "noise beats gradients",
        "random noise breaks over 1 percent of the test images although every gradient attack of the same radius "
        "leaves them right",
        "the gradient attacks do not find the adversarial examples there are, so robust accuracy is overestimated",
    ),
    "black_box_beats_gradient": Meaning(
        "black box beats gradients",
        "examples made on the track's standard network break over 1 percent of the test images although every gradient "
        "attack of the same radius leaves them right",
        "the model's gradients are masked or too coarse to follow, so robust accuracy is overestimated",
    ),
    "accuracy_does_not_fall": Meaning(
        "accuracy does not fall",
        "accuracy under the strongest gradient attack rises by over 1 percent of the images from one radius to a "
        "larger one, or is as high at the largest radius as at the smallest while it lies above chance",
        "a larger radius can only help an attack: one that gains nothing from it does not work on this model",
    ),
    "zero_gradients": Meaning(
        "zero gradients",
        "the loss gradient is zero in every pixel for over 1 percent of the test images",
        "gradient attacks and gradient attributions have nothing to go by on these images",
    ),
    "non_deterministic": Meaning(
        "non-deterministic outputs",
        "two passes over the same images give logits that differ by over 0.001 of the largest",
        "scores depend on chance; an attack needs an average over many passes",
    ),
    "probabilities": Meaning(
        "outputs in [0, 1]",
        "all outputs on the test set lie in [0, 1]",
        "the outputs are probabilities or were squashed, not logits: gradients saturate and attacks are weakened",
    ),
}
