"""Admits a submitted `.keras` file, which is hostile until shown otherwise.

`admit` copies the file, has it read and tried by a confined process (`confinement.py`, `child.py`),
and takes from that process a configuration and an array of numbers, both again checked here by the
same plain Python. The model it returns is built in this process from layer classes on our list; no
byte of HDF5 or ZIP is read here, and Keras deserialises nothing.
"""

import hashlib
import json
import math
import os
import re
import signal
import stat
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from robust_interpretability.models import KERAS_LOCK
from robust_interpretability.models.untrusted.format import archive, configuration
from robust_interpretability.models.untrusted.layers import graph
from robust_interpretability.models.untrusted.refusal import Refused, shown
from robust_interpretability.models.untrusted.sandbox import child
from robust_interpretability.models.untrusted.sandbox.confinement import (
    DEFAULT_LIMITS,
    Completed,
    Limits,
    confined,
)

if TYPE_CHECKING:
    import keras

MAX_VERDICT_BYTES = 64 * 1024
_PROBE = {
    "pass_difference": float,
    "outputs_in_unit_interval": bool,
    "row_sum_spread": float,
    "max_abs_logit": float,
    "seconds_per_image": float,
    "images": int,
}


class Admitted(NamedTuple):
    """A model that passed.

    Attributes:
        model: Built in this process: stock layers, flat, with canonical names, not compiled.
        sha256: Of what it computes: its canonical graph and its weights. Names, training state and
            the file's layout do not matter.
        file_sha256: Of the file as it was submitted.
        parameters: Number of weights, those of batch normalisation among them.
        probe: What the confined process measured; see `probe.py`.
        confinement: The locks that held that process.
    """

    model: "keras.Model"
    sha256: str
    file_sha256: str
    parameters: int
    probe: dict[str, Any]
    confinement: list[str]


def check_path(path: str | Path) -> Path:
    """Refuses at once what is no `.keras` file on this machine by its name and kind; nothing is opened.

    Args:
        path: What was given.

    Returns:
        The path of a plain file that ends in `.keras`.

    Raises:
        Refused: It is an address, a folder, a device, a file of another format, or not there.
    """
    text = os.fspath(path)
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", text) or text.startswith(
        ("hf:", "kaggle:", "gs:", "s3:")
    ):
        raise Refused(f"{shown(text)} is an address; give a .keras file on this machine.")
    if "\0" in text:
        raise Refused(f"{shown(text)} is not a file name.")
    path = Path(text)
    name = shown(path.name or text)
    try:
        mode = path.stat().st_mode
    except OSError:
        raise Refused(f"{name} does not exist or cannot be read.") from None
    if stat.S_ISDIR(mode):
        raise Refused(f"{name} is a folder (a SavedModel?); only a .keras file is accepted.")
    if not stat.S_ISREG(mode):
        raise Refused(f"{name} is not a plain file.")
    if path.suffix.lower() in (".h5", ".hdf5"):
        raise Refused(f"{name} is a legacy HDF5 model; save it again as .keras.")
    if path.suffix != ".keras":
        raise Refused(f"{name} is not a .keras file; only the archive of Keras 3 is accepted.")
    return path


def _copy(path: Path, target: Path) -> str:
    """Copies the file, at most as much as is accepted, and returns the SHA-256 of exactly what was copied."""
    digest = hashlib.sha256()
    try:
        descriptor = os.open(
            path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
        )  # a pipe put there now must not block
    except OSError:
        raise Refused(f"{shown(path.name)} cannot be read.") from None
    with os.fdopen(descriptor, "rb") as source, target.open("xb") as copy:
        status = os.fstat(source.fileno())
        if not stat.S_ISREG(status.st_mode):
            raise Refused(f"{shown(path.name)} is not a plain file.")
        size = status.st_size
        if size > archive.MAX_FILE_BYTES:
            raise Refused(
                f"The file is {size} bytes; at most {archive.MAX_FILE_BYTES} are accepted."
            )
        while part := source.read(min(1 << 20, size)):  # no more, should the file grow meanwhile
            size -= len(part)
            digest.update(part)
            copy.write(part)
    return digest.hexdigest()


def _output(folder: Path, name: str, most: int) -> bytes:
    """An output of the confined process.

    It was made here before, and that process can move no files.
    """
    with (folder / name).open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Refused(f"The confined process wrote more than {most} bytes of {name}.")
    return content


def _verdict(folder: Path, completed: Completed, limits: Limits) -> dict[str, Any]:
    """What the confined process says, or why it says nothing."""
    if completed.timed_out:
        raise Refused(f"The model was not loaded and tried within {limits.wall_seconds:g} seconds.")
    if completed.returncode == -signal.SIGXCPU:
        raise Refused(
            f"The model was not loaded and tried within {limits.cpu_seconds} seconds of processor"
            " time."
        )
    if completed.returncode != 0:
        why = f"ended with signal {-completed.returncode}" if completed.returncode < 0 else "failed"
        raise Refused(
            f"The confined process that loads the model {why}: the file is damaged, or the model"
            f" needs more than {limits.memory_bytes} bytes of memory."
        )
    try:
        verdict = json.loads(_output(folder, child.VERDICT, MAX_VERDICT_BYTES))
    except (ValueError, RecursionError):
        verdict = None
    if not isinstance(verdict, dict):
        raise Refused("The confined process that loads the model gave no verdict.")
    if "refused" in verdict:
        raise Refused(str(verdict["refused"]))
    return verdict


def _measured(verdict: dict[str, Any]) -> dict[str, Any]:
    measured = verdict.get("probe")
    if not isinstance(measured, dict) or set(measured) != set(_PROBE):
        raise Refused("The confined process gave no measurements.")
    for name, kind in _PROBE.items():
        if type(measured[name]) is not kind or not math.isfinite(measured[name]):
            raise Refused(f"The confined process gave {name} = {shown(measured[name])}.")
    return measured


def _arrays(content: bytes, found: graph.Graph) -> list[np.ndarray]:
    arrays, at = [], 0
    if len(content) != 4 * found.parameters:
        raise Refused(
            f"The confined process wrote {len(content)} bytes of weights, not"
            f" {4 * found.parameters}."
        )
    for part, variable in found.arrays():
        size = math.prod(variable.shape)
        array = np.frombuffer(content, "<f4", size, at).reshape(variable.shape).astype(np.float32)
        if not np.isfinite(array).all():
            raise Refused(f"{part.label}: {variable.attribute} holds values that are not finite.")
        arrays.append(array)
        at += 4 * size
    return arrays


def admit(
    path: str | Path,
    *,
    input_shape: tuple[int, ...],
    num_classes: int,
    images: np.ndarray,
    limits: Limits = DEFAULT_LIMITS,
) -> Admitted:
    """Checks a submitted model, tries it in confinement, and builds it afresh here.

    Args:
        path: A `.keras` file on this machine.
        input_shape: Shape of one image, `(h, w, c)`.
        num_classes: The number of logits it must put out.
        images: `(n, h, w, c)` floats in [0, 1], a few dozen real images to try it on.
        limits: What the confined process may use.

    Returns:
        The model and what is known of it.

    Raises:
        Refused: The file, the configuration, the weights or the model's behaviour break a rule, or
            this machine cannot confine a process; the message is one printable line.
    """
    from robust_interpretability.models.untrusted.layers.build import build, fingerprint

    path = check_path(path)
    with tempfile.TemporaryDirectory(prefix="submitted-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        file_sha256 = _copy(path, folder / child.SUBMITTED)
        np.save(folder / child.IMAGES, np.ascontiguousarray(images, np.float32), allow_pickle=False)
        arguments = [list(map(int, input_shape)), int(num_classes)]
        done = confined(
            "robust_interpretability.models.untrusted.sandbox.child", arguments, folder=folder, outputs=child.OUTPUTS, limits=limits
        )
        measured = _measured(_verdict(folder, done, limits))
        config = _output(folder, child.CONFIGURATION, 2 * archive.MEMBERS["config.json"])
        found = graph.flatten(configuration.read(config), input_shape, num_classes)
        arrays = _arrays(_output(folder, child.ARRAYS, 4 * graph.MAX_PARAMETERS), found)
    with KERAS_LOCK:
        model = build(found, arrays)
    return Admitted(
        model, fingerprint(found, arrays), file_sha256, found.parameters, measured, done.confinement
    )


__all__ = ["DEFAULT_LIMITS", "Admitted", "Limits", "Refused", "admit", "check_path"]
