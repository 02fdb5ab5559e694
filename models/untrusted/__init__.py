"""Admits a submitted `.keras` file, which is hostile until shown otherwise.

`admit` copies the file, has it read and tried by a confined process (`sandbox`), and takes from
that process a configuration and an array of numbers, both checked again here by the same plain
Python. The model it returns is built in this process from layer classes on our list; no byte of
HDF5 or ZIP is read here, and Keras deserialises nothing.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from pellucid.models import KERAS_LOCK
from pellucid.models.types import Array
from pellucid.models.untrusted.format import archive
from pellucid.models.untrusted.format.path import check_path, copy
from pellucid.models.untrusted.layers.objects import MIXED
from pellucid.models.untrusted.model import configuration, graph
from pellucid.models.untrusted.refusal import Refused
from pellucid.models.untrusted.sandbox import child, results
from pellucid.models.untrusted.sandbox.confinement import (
    DEFAULT_LIMITS,
    Limits,
    confined,
)

if TYPE_CHECKING:
    import keras


_SOFTMAX = (
    "its last softmax is left out: logits are measured. Its predictions are the same; nothing is to"
    " be done"
)
_MIXED = (
    "it was saved with mixed precision and is measured in float32. Its outputs may differ by"
    " rounding; nothing is to be done"
)


class Admitted(NamedTuple):
    """A model that passed.

    Attributes:
        model: Built in this process: stock layers, flat, with canonical names, not compiled.
        sha256: Of what it computes: its canonical graph and its weights. Names, training state and
            the file's layout do not matter.
        file_sha256: Of the file as it was submitted.
        parameters: Number of weights, those of batch normalisation among them.
        probe: What the confined process measured; see `trial.measure`.
        confinement: The locks that held that process.
        notes: What was changed of the model, in words.
    """

    model: "keras.Model"
    sha256: str
    file_sha256: str
    parameters: int
    probe: dict[str, float]
    confinement: list[str]
    notes: list[str]


def admit(
    path: str | Path,
    *,
    input_shape: tuple[int, ...],
    num_classes: int,
    images: Array,
    limits: Limits = DEFAULT_LIMITS,
) -> Admitted:
    """Checks a submitted model, tries it in confinement, and builds it here from its numbers.

    Args:
        path: A `.keras` file on this machine.
        input_shape: Shape of one image, `(h, w, c)`.
        num_classes: The number of logits that it must output.
        images: `(n, h, w, c)` floats in [0, 1], a few dozen real images to try it on.
        limits: What the confined process may use.

    Returns:
        The model and what is known of it.

    Raises:
        Refused: The file, the configuration, the weights or the model's behaviour break a rule, or
            this machine cannot confine a process; the message is one printable line.
    """
    path = check_path(path)
    with tempfile.TemporaryDirectory(prefix="submitted-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        file_sha256 = copy(path, folder / child.SUBMITTED)
        np.save(folder / child.IMAGES, np.ascontiguousarray(images, np.float32), allow_pickle=False)
        arguments = [list(map(int, input_shape)), int(num_classes)]
        done = confined(
            child.__name__, arguments, folder=folder, outputs=child.OUTPUTS, limits=limits
        )
        measured = results.measurements(folder, done, limits)
        config = results.output(folder, child.CONFIGURATION, 2 * archive.MEMBERS["config.json"])
        flat = graph.flatten(configuration.read(config), input_shape, num_classes)
        arrays = results.arrays(
            results.output(folder, child.ARRAYS, 4 * graph.MAX_PARAMETERS), flat
        )
    from pellucid.models.untrusted.model.build import build, fingerprint

    with KERAS_LOCK:
        model = build(flat, arrays)
    sha256 = fingerprint(flat, arrays)
    notes = [_SOFTMAX] if flat.softmax else []
    notes += [_MIXED] if any(f'"{policy}"'.encode() in config for policy in MIXED) else []
    return Admitted(model, sha256, file_sha256, flat.parameters, measured, done.confinement, notes)


__all__ = ["DEFAULT_LIMITS", "Admitted", "Limits", "Refused", "admit", "check_path"]
