"""A first contact: its steps within a budget of time, each stored when it is done."""

import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from datetime import date
from pathlib import Path

from filelock import FileLock, Timeout

from pellucid.benchmark import environment
from pellucid.benchmark.accelerator import report
from pellucid.benchmark.accelerator.record import (
    DONE,
    FAILED,
    LEFT_OUT,
    WRONG,
    Record,
)
from pellucid.benchmark.accelerator.scale import FULL, REDUCED, Scale
from pellucid.benchmark.accelerator.steps import Step, all_steps
from pellucid.models import backend
from pellucid.models.errors import InputError
from pellucid.models.files import write, writing
from pellucid.models.types import Json

NAME = "gpu-check"
"""Of the two files, without their endings."""
FLAGS = (
    "XLA_FLAGS",
    "TF_ENABLE_ONEDNN_OPTS",
    "NVIDIA_TF32_OVERRIDE",
    "JAX_DEFAULT_MATMUL_PRECISION",
    "XLA_PYTHON_CLIENT_MEM_FRACTION",
)
"""Variables that change what a device computes, or how fast."""

Say = Callable[[str], None]


def about(scale: Scale) -> Json:
    """What the figures rest on: with anything else they are measured again."""
    return environment.collect() | {
        "accelerator": backend.has_accelerator(),
        "device_names": backend.device_names(),
        "flags": {name: os.environ[name] for name in FLAGS if name in os.environ},
        "scale": dataclasses.asdict(scale),
    }


def run(out: Path, *, small: bool, budget: float, only: Sequence[str], say: Say) -> bool:
    """Makes the steps that are not done, and writes `gpu-check.json` and `gpu-check.md`.

    Args:
        out: The folder of the two files; made if need be.
        small: Make a reduced run; without an accelerator it is reduced in any case.
        budget: Seconds for the steps of this start.
        only: Make only steps whose names begin with one of these; all where there are none.
        say: Is given a line when a step ends.

    Returns:
        Whether no step failed or found a wrong result.

    Raises:
        InputError: The folder is in use or cannot be written; `only` names no step.
    """
    start = time.perf_counter()
    backend.configure()
    scale = REDUCED if small or not backend.has_accelerator() else FULL
    steps = [
        step
        for step in all_steps(scale)
        if not only or any(step.name.startswith(name) for name in only)
    ]
    if not steps:
        names = ", ".join(step.name for step in all_steps(scale))
        raise InputError(f"No step begins with {', '.join(only)}. The steps: {names}.")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)
        lock = FileLock(out / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout as error:
            raise InputError(f"Another process is at work in {out}.") from error
    with lock:
        return _run(out, scale, steps, start + budget, say)


def _run(out: Path, scale: Scale, steps: list[Step], end: float, say: Say) -> bool:
    record = Record.opened(out / f"{NAME}.json", about(scale), say)
    where = ", ".join(record.about["device_names"])
    reduced = "" if record.about["accelerator"] else "CPU: a reduced run; "
    done = sum(record.done(step.name) for step in steps)
    say(f"{reduced}{where}; {len(steps)} steps, {done} done before")
    for number, step in enumerate(steps, 1):
        if not record.done(step.name):
            say(f"[{number}/{len(steps)}] {step.name}: {_made(step, record, end)}")
            write(out / f"{NAME}.md", report.text(record, date.today().isoformat()))
    write(out / f"{NAME}.md", report.text(record, date.today().isoformat()))
    for note in record.steps.get("proposal", {}).get("notes", ()):
        say(note)
    say(f"{report.verdict(record)} {out / NAME}.md, {NAME}.json")
    return not any(step["status"] in (FAILED, WRONG) for step in record.steps.values())


def _made(step: Step, record: Record, end: float) -> str:
    """Makes a step, stores what came of it, and says so in a few words."""
    missing = [name for name in step.needs if not record.done(name)]
    start = time.perf_counter()
    if missing:
        status = f"not run: needs {', '.join(missing)}"
        record.put(step.name, status, 0.0)
        return status
    if step.seconds and start + step.seconds > end:
        record.put(step.name, LEFT_OUT, 0.0)
        return LEFT_OUT
    try:
        outcome = step.work(record)
    except Exception as error:  # whatever it is, the other steps go on
        lines = str(error).strip().splitlines() or [""]
        message = f"{type(error).__name__}: {lines[0][:500]}"
        record.put(step.name, FAILED, time.perf_counter() - start, error=message)
        return f"{FAILED}: {message}"
    status, seconds = DONE if outcome.fine else WRONG, time.perf_counter() - start
    record.put(step.name, status, seconds, rows=outcome.rows, notes=list(outcome.notes))
    return f"{status}, {seconds:.1f} s"
