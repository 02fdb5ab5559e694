"""Measures of gradient interpretability.

`attributions` says how much each pixel matters to a classifier, `ranking` orders the pixels,
`masking` removes them, `retraining` scores the order by the accuracy of networks retrained without
(ROAR) or with only (KAR) the top pixels. `manifold` measures how far adversarial examples lie from
the image manifold, `tilt` how far a decision boundary is tilted. Metrics return values per example
and complete curves; means, intervals and correlations are computed in `statistics` alone.

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
    """

    name: str
    letter: str
    title: str
    module: str = "attributions"


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
    )
}
"""The attributions that can be selected, by name."""

SIGNED_GRADIENT = Attribution("log_likelihood_gradient", "S", "Gradient of the log-likelihood")
"""What pictures show: it has a sign, so it does not rank pixels and cannot be selected."""

MODES = {mode.name: mode for mode in (Mode("roar", "ROAR", "removed"), Mode("kar", "KAR", "kept"))}
"""The modes of retraining, by name."""
