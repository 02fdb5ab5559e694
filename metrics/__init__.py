"""Measures of gradient interpretability, and what else could give their numbers.

`attributions` (with `integrated_gradients` and `smoothgrad`) says how much each pixel matters to a
classifier. Of such maps

- `ranking` orders the pixels, `masking` and `imputation` remove them, `retraining` scores the order
  by networks retrained without (ROAR) or with only (KAR) the top pixels, `road` and `f_fidelity` by
  the network itself, `ground_truth` by the pixels that are known to matter;
- `gini` and `total_variation` describe the map, `max_sensitivity`, `infidelity`,
  `relative_stability` and `alignment` how it answers to changes of the image;
- `controls` are maps that know less, and `spectrum` blurs until maps are equally smooth.

`manifold` measures how far adversarial examples lie from the image manifold, `latent_projection`
likewise by search, `off_manifold` how a network answers to steps off it, `known_manifolds`
calibrates them; `tilt` is of a decision boundary. Metrics return values per example and complete
curves; intervals and correlations are computed in `hierarchical`, `statistics` and `comparisons`.

A new attribution is a traceable function, in `attributions.py` or a module of its own, and a record
in `ATTRIBUTIONS`. The records can be read without importing Keras.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Attribution:
    """An attribution: what it is called, and where its function is.

    Attributes:
        name: The function's name, by which configurations select it.
        letter: Short name, in a table's head or a legend.
        title: What readers see.
        module: Module of this package that defines the function; see `attributions`.
        takes_fill: Whether the function also takes the training set's channel means.
        passes: Gradients of the network that one map takes.
    """

    name: str
    letter: str
    title: str
    module: str = "attributions"
    takes_fill: bool = False
    passes: int = 1


@dataclass(frozen=True)
class Mode:
    """A way to score an order of the pixels by retraining.

    Attributes:
        name: By which configurations select it.
        title: What readers see.
        top_pixels: What happens to a fraction of the pixels, the highest-ranked: `"removed"` or
            `"kept"`.
    """

    name: str
    title: str
    top_pixels: str


ATTRIBUTIONS = {
    record.name: record
    for record in (
        Attribution("gradient", "G", "Gradient"),
        Attribution("gradient_input", "GX", "Gradient x Input"),
        Attribution(
            "integrated_gradients",
            "IG",
            "Integrated Gradients, black baseline",
            module="integrated_gradients",
            passes=50,
        ),
        Attribution(
            "integrated_gradients_mean",
            "IG-M",
            "Integrated Gradients, mean baseline",
            module="integrated_gradients",
            takes_fill=True,
            passes=50,
        ),
        Attribution("smoothgrad", "SG", "SmoothGrad", module="smoothgrad", passes=50),
        Attribution(
            "smoothgrad_squared", "SG-SQ", "SmoothGrad-Squared", module="smoothgrad", passes=50
        ),
        Attribution("vargrad", "VG", "VarGrad", module="smoothgrad", passes=50),
    )
}
"""The attributions that can be selected, by name."""

OF_THE_PAPER = ("gradient", "gradient_input")
"""Those that are scored where none is named."""

SIGNED_GRADIENT = Attribution("log_likelihood_gradient", "S", "Gradient of the log-likelihood")
"""What pictures show: it has a sign, so it does not rank pixels and cannot be selected."""


@dataclass(frozen=True)
class Control:
    """What else could give a map's score: an order of the pixels that knows less than the map does.

    Attributes:
        name: By which configurations select it.
        title: What readers see.
        keeps: What it keeps of the map, in words.
        of_map: Whether it is made of an attribution's maps.
        of_network: Whether it is made of a trained network's own maps.
    """

    name: str
    title: str
    keeps: str
    of_map: bool = True
    of_network: bool = True


CONTROLS = {
    control.name: control
    for control in (
        Control("gaussian", "centred Gaussian", "the centre", of_map=False, of_network=False),
        Control("sobel", "edges (Sobel)", "the image's edges", of_map=False, of_network=False),
        Control("untrained", "untrained weights", "the architecture", of_network=False),
        Control("mean", "mean training map", "where the network looks, whatever the image"),
        Control("blurred", "own map, blurred", "the map's low frequencies"),
        Control("blur_matched", "standard map, blurred to match", "the map's smoothness"),
        Control("shuffled", "another image's map", "all but the image"),
        Control("shuffled_within", "another map of the class", "all but the image, and the class"),
        Control("masks", "masks alone", "the mask's shape, without the pixels"),
    )
}
"""The controls that can be selected, by name; see `controls`."""

SHUFFLES = ("shuffled", "shuffled_within")
"""The controls that a map's specific scores are set against."""

FILLS = {
    "mean": "removed pixels become their channel's mean, which shows where they were",
    "imputed": "removed pixels are imputed from their neighbours, which hides where they were",
}
"""What removed pixels become, by name; see `masking` and `imputation`."""

MODES = {mode.name: mode for mode in (Mode("roar", "ROAR", "removed"), Mode("kar", "KAR", "kept"))}
"""The modes of retraining, by name."""
