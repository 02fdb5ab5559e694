"""The warning flags: when each is raised, what it means and what to do about it."""

from typing import NamedTuple


class Meaning(NamedTuple):
    """A flag in words.

    Attributes:
        title: Short.
        raised_when: When it is raised.
        means: What it means.
        advice: What to do.
        unranked: Whether an entry is not ranked until a maintainer has ruled the flag out.
    """

    title: str
    raised_when: str
    means: str
    advice: str
    unranked: bool = False


MEANINGS = {
    "noise_beats_gradient": Meaning(
        "noise beats gradients",
        "random noise makes the model misclassify at least two images, and over 0.2 percent, that"
        " it classifies correctly under AutoAttack, or over 1 percent that it classifies correctly"
        " under FGSM and the short PGD at one of the increasing radii",
        "the gradient attacks miss adversarial examples, so robust accuracy is overestimated",
        "report accuracy under all attacks, noise included, and give the gradient attacks more"
        " steps and restarts",
    ),
    "black_box_beats_gradient": Meaning(
        "black box beats gradients",
        "Square Attack succeeds on at least two images, and over 0.2 percent, that resist"
        " AutoAttack's gradient attacks, or examples made on the track's standard network succeed"
        " on over 1 percent that resist FGSM and the short PGD at one of the increasing radii",
        "the model's gradients are masked or too coarse to follow, so robust accuracy is"
        " overestimated",
        "report accuracy under all attacks, those without gradients included, or attack a"
        " differentiable stand-in of the part that hides the gradients",
    ),
    "accuracy_does_not_fall": Meaning(
        "accuracy does not fall",
        "accuracy under the strongest gradient attack rises by over 1 percent of the images from"
        " one radius to a larger one, or is as high at the largest radius as at the smallest and"
        " above chance",
        "a larger radius can only help an attack: one that gains nothing from it does not work on"
        " this model",
        "look for rounding, sampling or saturated outputs, and attack the model without that"
        " part, or without gradients",
    ),
    "zero_gradients": Meaning(
        "zero gradients",
        "the loss gradient is zero in every pixel for over 1 percent of the test images",
        "gradient attacks and gradient attributions have no information on these images",
        "look for rounding, an argmax or saturated activations; attack without gradients, or a"
        " differentiable stand-in of that part",
    ),
    "vanishing_gradients": Meaning(
        "vanishing gradients",
        "the gradient of the margin between the label's logit and the next has an L2 norm below"
        " 0.01 for over 1 percent of the test images",
        "the logits hardly depend on the pixels: they were scaled down or saturate, and attacks"
        " whose losses or steps are not scale-invariant fail on such a model",
        "undo a scaling of the logits, and train without what drives them into saturation",
    ),
    "more_steps_gain": Meaning(
        "more steps still gain",
        "APGD with 200 steps instead of 100 succeeds on at least two, and over 0.2 percent, of the"
        " test images that resist the full evaluation",
        "the attacks had not converged, so robust accuracy is overestimated: more steps or restarts"
        " would succeed on more images",
        "report the lower accuracy, and give the attack more steps or restarts until it no longer"
        " falls",
    ),
    "optimisation_loop": Meaning(
        "loop in inference",
        "the graph of the model's inference contains a loop, or operations that compute gradients",
        "the model may change its input before it classifies and then needs an adaptive attack;"
        " recurrent layers contain loops too, which are harmless",
        "nothing where it is a recurrent layer; else attack through the loop",
    ),
    "non_deterministic": Meaning(
        "non-deterministic outputs",
        "two passes over the same images give logits that differ by over 0.001 of the largest",
        "scores depend on chance; an attack has to average over many passes",
        "remove what is random at inference, or attack the mean of many passes",
    ),
    "test_contamination": Meaning(
        "knows the test images",
        "of the images nearest the boundary hardly any is wrong, or a shift by a thirty-second of"
        " the width gains less than half as many images for those that it loses as it does the"
        " standard network, or test accuracy exceeds training accuracy by over 0.02",
        "the model was probably trained on the test images or looks them up: its accuracies are"
        " not those on new images",
        "train without the test images; where that was so, a maintainer can rule the flag out",
        unranked=True,
    ),
    "probabilities": Meaning(
        "outputs in [0, 1]",
        "all outputs on the test set lie in [0, 1]",
        "the model outputs probabilities or squashed values, not logits: gradients saturate and"
        " attacks are weakened",
        "remove the last softmax or sigmoid, or say so with `logits=False`",
    ),
}
