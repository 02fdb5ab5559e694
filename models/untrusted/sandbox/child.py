"""The program inside the confinement: everything that reads the submitted file.

First with the standard library, NumPy and h5py alone, so that most of what is refused is refused in
a fraction of a second; then, with Keras, the model is built and tried. It writes an outcome, and
for an accepted file its configuration (without what belongs to training) and its weights as plain
float32 bytes.
"""

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from pellucid.models.types import Array
from pellucid.models.untrusted.format import archive, strict_json
from pellucid.models.untrusted.model import configuration, graph, weights
from pellucid.models.untrusted.refusal import Refused
from pellucid.models.untrusted.sandbox.results import EXAMINATION, OUTCOME

if TYPE_CHECKING:
    import keras

SUBMITTED, IMAGES = "submitted.keras", "images.npy"
CONFIGURATION, ARRAYS = "config.json", "arrays.bin"
OUTPUTS = (OUTCOME, CONFIGURATION, ARRAYS)
_NOT_NEEDED = ("matplotlib", "sklearn", "pandas")
"""Keras imports these where they are installed, and works without them: some seconds less."""


def examine(
    data: bytes, input_shape: tuple[int, ...], num_classes: int
) -> tuple[bytes, graph.Graph, list[Array]]:
    """Checks all of a file without Keras.

    Args:
        data: The bytes of the `.keras` file.
        input_shape: Shape of one image.
        num_classes: The number of logits.

    Returns:
        The configuration without what belongs to training, its graph, and its weights.

    Raises:
        Refused: The file breaks a rule.
    """
    members = archive.members(data)
    strict_json.check_metadata(members["metadata.json"])
    flat = graph.flatten(configuration.read(members["config.json"]), input_shape, num_classes)
    arrays = weights.read(members["model.weights.h5"], flat)
    config = strict_json.read("config.json", members["config.json"])
    config.pop("compile_config", None)
    return json.dumps(config).encode(), flat, arrays


@contextmanager
def within(seconds: float) -> Iterator[None]:
    """Ends the process by SIGPROF once it has used more processor time than this.

    A library may loop without ever coming back to Python, so no handler could act.
    """
    signal.signal(signal.SIGPROF, signal.SIG_DFL)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def _hide_modules() -> None:
    """Lets Keras pass over what it would import and not need here."""
    unused_backend = ("jax",) if os.environ["KERAS_BACKEND"] == "tensorflow" else ()
    for name in (*_NOT_NEEDED, *unused_backend):
        sys.modules[name] = None  # type: ignore[assignment]


def _try(
    measure: Callable[["keras.Model", Array, int], dict[str, float]],
    model: "keras.Model",
    num_classes: int,
) -> dict[str, float]:
    images = np.load(IMAGES, allow_pickle=False)
    try:
        return measure(model, images, num_classes)
    except (Refused, MemoryError):
        raise
    except Exception as error:  # whatever the backend raises: an operation that it does not have
        text = str(error).strip() or type(error).__name__
        raise Refused(f"The model fails on images: {text}") from None


def _write(descriptor: int, *parts: bytes | memoryview) -> None:
    with os.fdopen(descriptor, "wb") as file:
        for part in parts:
            file.write(part)


def _write_outcome(descriptor: int, **outcome: object) -> None:
    _write(descriptor, json.dumps(outcome).encode())


def main(arguments: tuple[list[int], int], outputs: dict[str, int]) -> None:
    """Examines and tries `submitted.keras` in the working folder.

    Args:
        arguments: Shape of one image, number of classes.
        outputs: Open descriptors of the files of `OUTPUTS`.
    """
    shape, num_classes = arguments
    try:
        with within(EXAMINATION):
            config, flat, arrays = examine(Path(SUBMITTED).read_bytes(), tuple(shape), num_classes)

        _hide_modules()
        from pellucid.models import backend
        from pellucid.models.untrusted.model.build import build
        from pellucid.models.untrusted.sandbox.trial import measure

        backend.configure()
        measured = _try(measure, build(flat, arrays), num_classes)
    except Refused as refused:
        _write_outcome(outputs[OUTCOME], refused=str(refused))
        return
    except MemoryError:
        _write_outcome(outputs[OUTCOME], refused="The model needs more memory than it may use.")
        return
    _write(outputs[ARRAYS], *(np.ascontiguousarray(array, "<f4").data for array in arrays))
    _write(outputs[CONFIGURATION], config)
    _write_outcome(outputs[OUTCOME], measured=measured)
