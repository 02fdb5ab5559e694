"""Classifiers and models of the image manifold, by name.

A classifier is a `keras.Model` from pixels in [0, 1], shape `(n, h, w, c)`, to logits `(n,
num_classes)`. Its first layer rescales pixels to [-1, 1], so a radius given in pixel units means
the same for every network. Only stock Keras layers are used: a saved `.keras` file loads without
this project.

A new model is a function of its name, in a module of this package, and a line here.
"""

import importlib
import os
import sys
import threading
from collections.abc import Callable

from pellucid.models.errors import InputError, unknown

KERAS_LOCK = threading.Lock()
"""Held while a model is built, saved or loaded.

Keras does so with global state, and units of work run in threads.
"""

CLASSIFIERS: dict[str, str] = {
    "mlp": "classifiers",
    "digits_cnn": "classifiers",
    "strided_cnn": "classifiers",
    "mnist_cnn": "classifiers",
    "cifar_cnn": "classifiers",
}

VAE_GANS: dict[str, str] = {
    "digits_vae_gan": "vae_gan",
    "mnist_vae_gan": "vae_gan",
    "cifar_vae_gan": "vae_gan",
}

SMALL = ("mlp", "digits_cnn")
"""Networks whose operations are so small that starting oneDNN costs more than it saves."""


def choose_kernels(name: str) -> None:
    """Enables or disables oneDNN's kernels on a CPU, whichever is faster for a classifier.

    Without this TensorFlow decides by the processor's vendor. A value that the user has set in
    `TF_ENABLE_ONEDNN_OPTS` stands. To be called before TensorFlow is imported: later there is
    nothing left to choose, and the variable, which a run records, stays as it is.
    """
    if "tensorflow" not in sys.modules:
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0" if name in SMALL else "1")


def get(name: str) -> Callable:
    """The function that builds a classifier or VAE-GAN.

    Args:
        name: A key of `CLASSIFIERS` or `VAE_GANS`.

    Returns:
        The function; see its docstring for arguments.

    Raises:
        InputError: The name is unknown; the closest match is named.
    """
    table = CLASSIFIERS | VAE_GANS
    if name not in table:
        raise unknown("model", name, table)
    return getattr(importlib.import_module(f"{__name__}.{table[name]}"), name)


__all__ = [
    "CLASSIFIERS",
    "KERAS_LOCK",
    "VAE_GANS",
    "InputError",
    "choose_kernels",
    "get",
    "unknown",
]
