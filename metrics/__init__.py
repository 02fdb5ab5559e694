"""Measures of gradient interpretability.

`attributions` says how much each pixel matters to a classifier, `ranking` orders the pixels,
`masking` removes them, `retraining` scores the order by the accuracy of networks retrained without
(ROAR) or with only (KAR) the top pixels. `manifold` measures how far adversarial examples lie from
the image manifold. Metrics return per-example values and whole curves; means, intervals and
correlations are taken in `statistics` alone.

A new attribution is a traceable function in `attributions.py` and a line in `ATTRIBUTIONS`.
"""

ATTRIBUTIONS = ("gradient", "gradient_input")
MODES = ("roar", "kar")
