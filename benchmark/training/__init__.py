"""Training: of classifiers, of several at once, and of the image-manifold models."""
