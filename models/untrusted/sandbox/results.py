"""What the confined process wrote, read as what it is: text and bytes from a hostile process."""

import json
import math
import signal
from pathlib import Path

import numpy as np

from pellucid.models.types import Array, Json
from pellucid.models.untrusted.model.graph import Graph
from pellucid.models.untrusted.refusal import Refused, shown
from pellucid.models.untrusted.sandbox.confinement import MAX_THREADS, Completed, Limits

OUTCOME = "outcome.json"
"""Output of the confined process: why it refuses the file, or what it measured."""
MAX_OUTCOME_BYTES = 64 * 1024
EXAMINATION = 60.0
"""Seconds of processor time for all that is done before Keras is imported."""

_MEASUREMENTS: dict[str, type] = {
    "pass_difference": float,
    "outputs_in_unit_interval": bool,
    "row_sum_spread": float,
    "max_abs_logit": float,
    "seconds_per_image": float,
    "seconds_per_gradient": float,
    "images": int,
}


def output(folder: Path, name: str, most: int) -> bytes:
    """Reads an output of the confined process, which could write it but not replace it.

    Args:
        folder: Its working folder.
        name: The output.
        most: The largest size that is accepted, in bytes.

    Raises:
        Refused: It is larger.
    """
    with (folder / name).open("rb") as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise Refused(f"The confined process wrote more than {most} bytes of {name}.")
    return content


def _check_completed(completed: Completed, limits: Limits) -> None:
    """Refuses where the process did not end by itself and in good order."""
    if completed.crowded:
        raise Refused(
            f"The confined process that loads the model started more than {MAX_THREADS} threads."
        )
    if completed.timed_out:
        raise Refused(f"The model was not loaded and tried within {limits.wall_seconds:g} seconds.")
    if completed.returncode == -signal.SIGPROF:
        raise Refused(
            f"The file was not examined within {EXAMINATION:g} seconds of processor time: it is"
            " damaged."
        )
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


def measurements(folder: Path, completed: Completed, limits: Limits) -> dict[str, float]:
    """What the confined process measured; see `trial.measure`.

    Args:
        folder: Its working folder.
        completed: How it ended.
        limits: What it was allowed to use.

    Returns:
        The measurements by name: finite numbers, one of them a Boolean.

    Raises:
        Refused: It refuses the file, exceeded a limit, or wrote anything else.
    """
    _check_completed(completed, limits)
    content = output(folder, OUTCOME, MAX_OUTCOME_BYTES)
    outcome: Json | None
    try:
        outcome = json.loads(content)
    except (ValueError, RecursionError):
        outcome = None
    if not isinstance(outcome, dict):
        raise Refused("The confined process that loads the model ended without an outcome.")
    if "refused" in outcome:
        raise Refused(str(outcome["refused"]))
    measured = outcome.get("measured")
    if not isinstance(measured, dict) or set(measured) != set(_MEASUREMENTS):
        raise Refused("The confined process wrote no measurements.")
    for name, kind in _MEASUREMENTS.items():
        if type(measured[name]) is not kind or not math.isfinite(measured[name]):
            raise Refused(f"The confined process measured {name} = {shown(measured[name])}.")
    return measured


def arrays(content: bytes, graph: Graph) -> list[Array]:
    """The weights of a graph, from the float32 bytes that the confined process wrote.

    Args:
        content: The bytes.
        graph: The graph.

    Returns:
        One float32 array for each of `graph.arrays()`.

    Raises:
        Refused: There are more or fewer than the graph needs, or some are not finite.
    """
    if len(content) != 4 * graph.parameters:
        raise Refused(
            f"The confined process wrote {len(content)} bytes of weights, not"
            f" {4 * graph.parameters}."
        )
    weights, at = [], 0
    for layer, variable in graph.arrays():
        size = math.prod(variable.shape)
        array = np.frombuffer(content, "<f4", size, at).reshape(variable.shape).astype(np.float32)
        if not np.isfinite(array).all():
            raise Refused(f"{layer.label}: {variable.attribute} holds values that are not finite.")
        weights.append(array)
        at += 4 * size
    return weights
