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
        "random noise breaks at least two images, and over 0.2 percent, that AutoAttack leaves"
        " right, or over 1 percent that FGSM and the short PGD of one of the rising radii leave"
        " right",
        "the gradient attacks do not find the adversarial examples there are, so robust accuracy is"
        " overestimated",
    ),
    "black_box_beats_gradient": Meaning(
        "black box beats gradients",
        "Square Attack breaks at least two images, and over 0.2 percent, that AutoAttack's gradient"
        " attacks leave right, or examples made on the track's standard network break over 1"
        " percent that FGSM and the short PGD of one of the rising radii leave right",
        "the model's gradients are masked or too coarse to follow, so robust accuracy is"
        " overestimated",
    ),
    "accuracy_does_not_fall": Meaning(
        "accuracy does not fall",
        "accuracy under the strongest gradient attack rises by over 1 percent of the images from"
        " one radius to a larger one, or is as high at the largest radius as at the smallest while"
        " it lies above chance",
        "a larger radius can only help an attack: one that gains nothing from it does not work on"
        " this model",
    ),
    "zero_gradients": Meaning(
        "zero gradients",
        "the loss gradient is zero in every pixel for over 1 percent of the test images",
        "gradient attacks and gradient attributions have nothing to go by on these images",
    ),
    "vanishing_gradients": Meaning(
        "vanishing gradients",
        "the gradient of the margin between the label's logit and the next has an L2 norm below"
        " 0.01 at over 1 percent of the test images",
        "the logits hardly move with the pixels: they were scaled down or squashed, and attacks"
        " whose losses or steps are not free of scale fail on such a model",
    ),
    "more_steps_gain": Meaning(
        "more steps still gain",
        "APGD with 200 steps in place of 100 breaks over 0.2 percent of the test images, and at"
        " least two, that the whole evaluation left right",
        "the attacks had not converged, so robust accuracy is overestimated: more steps or restarts"
        " would find more",
    ),
    "optimisation_loop": Meaning(
        "loop in inference",
        "the graph of the model's inference holds a loop, or operations that compute gradients",
        "the model may change its input before it classifies, and an attack must then be made for"
        " it; recurrent layers hold loops too, which are harmless",
    ),
    "non_deterministic": Meaning(
        "non-deterministic outputs",
        "two passes over the same images give logits that differ by over 0.001 of the largest",
        "scores depend on chance; an attack needs an average over many passes",
    ),
    "probabilities": Meaning(
        "outputs in [0, 1]",
        "all outputs on the test set lie in [0, 1]",
        "the outputs are probabilities or were squashed, not logits: gradients saturate and attacks"
        " are weakened",
    ),
}
