"""Trained networks by name."""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from pellucid.benchmark.library.zoo import index
from pellucid.models.errors import InputError, unknown
from pellucid.models.files import cache_folder

if TYPE_CHECKING:
    import keras

BASE = "PELLUCID_MODELS"
"""The environment's variable with the address of files that the package does not hold."""


def list_models() -> pd.DataFrame:
    """The networks that `load_model` knows, with their scores on the board.

    They are the reference networks of the tracks: one architecture for each track, trained
    without an adversary (`standard`) and against adversaries of rising strength.

    Returns:
        A table with one row per network, by its name: test accuracy, accuracy under AutoAttack,
        the other scores by name (means over base-model seeds), architecture and parameters.

    >>> import pellucid
    >>> robust = pellucid.list_models()["robust_accuracy"]
    >>> bool(robust["digits/l2-0.6"] > robust["digits/standard"])
    True
    """
    rows = {
        name: network.scores
        | {"architecture": network.architecture, "parameters": network.parameters}
        for name, network in index.networks().items()
    }
    frame = pd.DataFrame.from_dict(rows, orient="index").rename_axis("name")
    first = ["test_accuracy", "robust_accuracy"]
    return frame[[*first, *(name for name in frame.columns if name not in first)]]


def load_model(name: str) -> "keras.Model":
    """A trained network.

    Args:
        name: A name of `list_models`, as `"digits/l2-0.6"`: a network from pixels in [0, 1] to
            logits. Or the address of a Keras model on Hugging Face, `"hf://OWNER/NAME"`, which
            Keras loads as it does any other.

    Returns:
        A Keras model of stock layers. A file of the zoo is known by its SHA-256, and checked as a
        submitted model is before Keras sees it.

    Raises:
        InputError: There is no network of that name; its file cannot be had; it is another one.

    >>> import pellucid
    >>> digits = pellucid.load_data("digits")
    >>> model = pellucid.load_model("digits/l2-0.6")
    >>> predicted = model.predict(digits.x_test / 255, verbose=0).argmax(1)
    >>> float((predicted == digits.y_test).mean()) > 0.9
    True
    """
    if name.startswith("hf://"):
        return _of_hugging_face(name)
    networks = index.networks()
    if name not in networks:
        raise unknown("model", name, networks)
    network = networks[name]
    content = _file(network).read_bytes()
    if hashlib.sha256(content).hexdigest() != network.sha256:
        raise InputError(f"The file of {name} is not the one that the list of models states.")
    from pellucid.models import KERAS_LOCK
    from pellucid.models.untrusted.model.build import build
    from pellucid.models.untrusted.sandbox.child import examine

    _, graph, arrays = examine(content, tuple(network.shape), network.classes)
    with KERAS_LOCK:
        model = build(graph, arrays)
    model.name = name.replace("/", "-")
    return model


def load_models(track: str, networks: Sequence[str] | None = None) -> "dict[str, keras.Model]":
    """The trained networks of a track by name: one architecture, standard and robust.

    Args:
        track: A track of `list_models`, as `"digits"` or `"mnist-reduced"`.
        networks: Names in the track, as `["standard", "l2-0.6"]`; by default all.

    Returns:
        Keras models from pixels in [0, 1] to logits, as of `load_model`: `"standard"`, trained
        without an adversary, then those trained against one, as `"l2-0.6"` (norm and radius in
        pixel units), by norm and radius.

    Raises:
        InputError: There is no such track or network; a file cannot be had, or is another one.

    >>> import pellucid
    >>> list(pellucid.load_models("digits", ["standard", "linf-0.2"]))
    ['standard', 'linf-0.2']
    """
    tracks: dict[str, list[str]] = {}
    for name in index.networks():
        tracks.setdefault(name.split("/")[0], []).append(name.split("/")[1])
    if track not in tracks:
        raise unknown("track", track, tracks)
    names = sorted(tracks[track], key=_strength) if networks is None else list(networks)
    for name in names:
        if name not in tracks[track]:
            raise unknown(f"network of {track}", name, tracks[track])
    return {name: load_model(f"{track}/{name}") for name in names}


def _strength(network: str) -> tuple[str, float, str]:
    """The place of a network in its track: standard first, then by norm and radius."""
    if network == "standard":
        return "", 0.0, ""
    norm, radius, *rest = network.split("-")
    return norm, float(radius), "".join(rest)


def _of_hugging_face(name: str) -> "keras.Model":
    import keras

    try:
        return keras.saving.load_model(name)
    except (ImportError, OSError, ValueError) as error:
        line = " ".join(str(error).split())
        raise InputError(f"{name} cannot be loaded: {line}") from error


def _file(network: index.Network) -> Path:
    """A network's file: the package's own, or fetched once and kept by Keras.

    Raises:
        InputError: It is not in the package, and cannot be fetched.
    """
    path = index.FOLDER / network.file
    if path.exists():
        return path
    base = os.environ.get(BASE)
    if not base:
        raise InputError(
            f"The package does not hold {network.file}. Set {BASE} to the address of a folder that"
            " does."
        )
    import keras

    try:
        fetched = keras.utils.get_file(
            network.file.replace("/", "-"),
            f"{base.rstrip('/')}/{network.file}",
            cache_dir=str(cache_folder()),
            cache_subdir="models",
            file_hash=network.sha256,
        )
    except Exception as error:  # whatever a server, a proxy or a full disk makes Keras raise
        line = " ".join(str(error).split())
        raise InputError(f"{network.file} cannot be fetched from {base}: {line}") from error
    return Path(fetched)
