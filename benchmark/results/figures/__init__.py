"""The figures of a run and of the board, as PNG and SVG.

A run's figures: `tradeoff` (score against accuracy or attack strength), `curves` (ROAR and KAR),
`manifold` (distances to the manifold model), `images` (gradients, adversarial examples,
projections), `tilt` (the two-dimensional toy) and `measures` (any other score). `board` draws those
of a board; `style` holds what they share.
"""
