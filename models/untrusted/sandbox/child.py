"""What runs inside the confinement: everything that reads the submitted file.

First with the standard library, NumPy and h5py alone, so that most of what is refused is refused in
a fraction of a second; then, with Keras, the model is built and tried. It writes a verdict, and for
an accepted file its configuration (without what belongs to training) and its weights as plain
float32 bytes.
"""

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from robust_interpretability.models.untrusted.format import (
    archive,
    configuration,
    strict_json,
    weights,
)
from robust_interpretability.models.untrusted.layers import graph
from robust_interpretability.models.untrusted.refusal import Refused

SUBMITTED, IMAGES = "submitted.keras", "images.npy"
VERDICT, CONFIGURATION, ARRAYS = "verdict.json", "config.json", "arrays.bin"
OUTPUTS = (VERDICT, CONFIGURATION, ARRAYS)
_NOT_NEEDED = ("matplotlib", "sklearn", "pandas")
"""Keras imports these where they are installed, and goes without where they are not: some seconds less."""


def examine(
    data: bytes, input_shape: tuple[int, ...], num_classes: int
) -> tuple[bytes, graph.Graph, list[np.ndarray]]:
    """Checks a whole file without Keras.

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
    found = graph.flatten(configuration.read(members["config.json"]), input_shape, num_classes)
    arrays = weights.read(members["model.weights.h5"], found)
    config = strict_json.read("config.json", members["config.json"])
    config.pop("compile_config", None)
    return json.dumps(config).encode(), found, arrays


def _write(descriptor: int, parts: list[Any]) -> None:
    with os.fdopen(descriptor, "wb") as file:
        for part in parts:
            file.write(part)


def _try(probe: Callable[..., dict[str, Any]], model: Any, num_classes: int) -> dict[str, Any]:
    images = np.load(IMAGES, allow_pickle=False)
    try:
        return probe(model, images, num_classes)
    except (Refused, MemoryError):
        raise
    except (
        Exception
    ) as error:  # whatever the backend raises: out of memory, an operation it does not have
        text = str(error).strip() or type(error).__name__
        raise Refused(f"The model fails on images: {text}") from None


def main(arguments: list[Any], outputs: dict[str, int]) -> None:
    """Examines and tries `submitted.keras` in the working folder.

    Args:
        arguments: Shape of one image, number of classes.
        outputs: Open descriptors of the files of `OUTPUTS`.
    """
    input_shape, num_classes = tuple(arguments[0]), arguments[1]
    try:
        config, found, arrays = examine(Path(SUBMITTED).read_bytes(), input_shape, num_classes)

        for name in [
            *_NOT_NEEDED,
            *(["jax"] if os.environ["KERAS_BACKEND"] == "tensorflow" else []),
        ]:
            sys.modules[name] = None  # type: ignore[assignment]
        from robust_interpretability.models import backend
        from robust_interpretability.models.untrusted.layers.build import build
        from robust_interpretability.models.untrusted.sandbox.trial import probe

        backend.configure()
        model = build(found, arrays)
        measured = _try(probe, model, num_classes)
    except Refused as refused:
        _write(outputs[VERDICT], [json.dumps({"refused": str(refused)}).encode()])
        return
    except MemoryError:
        _write(
            outputs[VERDICT],
            [json.dumps({"refused": "The model needs more memory than it may use."}).encode()],
        )
        return
    _write(outputs[ARRAYS], [np.ascontiguousarray(array, "<f4").data for array in arrays])
    _write(outputs[CONFIGURATION], [config])
    _write(outputs[VERDICT], [json.dumps({"probe": measured}).encode()])
