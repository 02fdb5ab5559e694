"""What evaluations of robustness count, as it is stored: the field names are the JSON keys.

Counts are numbers of images unless stated otherwise; an image is *correct* where the model predicts
its label.
"""

from dataclasses import dataclass

NEAR_HITS = 60
"""Right images nearest the boundary, among which wrong ones are counted."""


@dataclass(frozen=True)
class AttackCount:
    """Accuracy under one attack at one radius.

    Attributes:
        attack: `"fgsm"`, `"pgd"`, `"noise"`, or `"transfer"`: PGD on another network.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units.
        loss: The attack's loss; None for noise.
        steps: Its gradient steps.
        hits: Images still correct.
    """

    attack: str
    norm: str
    epsilon: float
    loss: str | None
    steps: int
    hits: int


@dataclass(frozen=True)
class UnseenCount:
    """Images that resisted the gradient attacks at one radius, and not a control.

    Attributes:
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units.
        by: The control: `"noise"` or `"transfer"`.
        images: How many images.
    """

    norm: str
    epsilon: float
    by: str
    images: int


@dataclass(frozen=True)
class RisingRadii:
    """Accuracy under several attacks at rising radii, with controls.

    Attributes:
        examples: Images.
        clean: Images that are correct without an attack.
        attacks: One row per attack and radius.
        unseen: One row per control and radius.
        zero_gradients: Images whose loss gradient is zero in every pixel.
        pass_difference: Largest difference of a logit between two passes over the same images.
        largest_logit: Largest absolute value of a logit.
        outputs_in_unit_interval: Whether all outputs lie in [0, 1].
    """

    examples: int
    clean: int
    attacks: tuple[AttackCount, ...]
    unseen: tuple[UnseenCount, ...]
    zero_gradients: int
    pass_difference: float
    largest_logit: float
    outputs_in_unit_interval: bool


@dataclass(frozen=True)
class Controls(RisingRadii):
    """What the flags of an ensemble evaluation rest on, besides the attacks' outcomes.

    Attributes:
        loops: Loops in the graph of the model's inference.
        gradient_operations: Operations in that graph that compute gradients.
        vanishing_gradients: Images whose margin's gradient is nearly zero (`controls.VANISHING`).
        passes_disagree: Images whose predicted class differs between two passes.
    """

    loops: int
    gradient_operations: int
    vanishing_gradients: int
    passes_disagree: int


@dataclass(frozen=True)
class EnsembleAttack:
    """One attack of an ensemble, which runs on the images that resisted those before it.

    Attributes:
        attack: The attack's name in the ensemble.
        loss: Its loss.
        steps: Its steps.
        broken: Images that it attacked successfully.
        hits: Images still correct after it.
        accuracy: Their share of all images.
        low: Lower end of the 95 percent interval (Wilson) of the accuracy.
        high: Upper end.
        seconds: How long it took.
    """

    attack: str
    loss: str
    steps: int
    broken: int
    hits: int
    accuracy: float
    low: float
    high: float
    seconds: float


@dataclass(frozen=True)
class UnseenByEnsemble:
    """Images that resisted the ensemble's gradient attacks, and not a control.

    Attributes:
        square: Images that resisted every gradient attack, and not Square Attack.
        noise: Images that resisted the complete ensemble, and not noise of the same norm.
        more_steps: Images that resisted it, and not a longer run of APGD.
    """

    square: int
    noise: int
    more_steps: int


@dataclass(frozen=True)
class EnsembleAccuracy:
    """Accuracy under AutoAttack, with the evidence for flags.

    Attributes:
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units.
        version: AutoAttack's version.
        seed: Seed of all random numbers.
        examples: Images.
        clean: Images that are correct without an attack.
        robust: Images that are correct under every attack.
        attacks: One row per attack, in order.
        unconfirmed: Examples that an attack took for adversarial and a second prediction did not.
        gradients: Gradients per image, on average.
        forwards: Forward passes beside them per image, on average.
        unseen: What the gradient attacks missed.
        controls: Controls, on the first block of images.
    """

    norm: str
    epsilon: float
    version: str
    seed: int
    examples: int
    clean: int
    robust: int
    attacks: tuple[EnsembleAttack, ...]
    unconfirmed: int
    gradients: float
    forwards: float
    unseen: UnseenByEnsemble
    controls: Controls


@dataclass(frozen=True)
class Contamination:
    """What tells a network that has seen the test images.

    Attributes:
        train_hits: Training images that are classified correctly.
        train_examples: Of how many.
        test_hits: Test images that are classified correctly.
        test_examples: Of how many.
        near_hits: Right test images nearest the boundary: `NEAR_HITS`, or all that there are.
        near_misses: Wrong test images whose margin is no larger than theirs.
        shift: In pixels.
        gained: Test images that are wrong, and right once they are shifted.
        lost: Test images that are right, and wrong once they are shifted.
    """

    train_hits: int
    train_examples: int
    test_hits: int
    test_examples: int
    near_hits: int
    near_misses: int
    shift: float
    gained: int
    lost: int
