"""Robust accuracy of one `.keras` file on one data set: measured, stored as it goes, and written down."""

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from robust_interpretability import models
from robust_interpretability.benchmark.data import datasets
from robust_interpretability.benchmark.execution import runner
from robust_interpretability.benchmark.progress import AttackDisplay, duration, sayer
from robust_interpretability.benchmark.units.store import Store
from robust_interpretability.models.errors import InputError, unknown
from robust_interpretability.models.files import write

FOLDER = Path("runs/robust-accuracy")
PROBED = 64
"""Images on which a model is tried before it is let in."""


def _write_arrays(path: Path, **arrays: np.ndarray) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write(path, buffer.getvalue())


def assess(
    path: Path,
    *,
    data_name: str,
    norm: str,
    epsilon: float,
    version: str,
    images: int,
    seed: int,
    out: Path,
    data_dir: str | None,
    threads: int | None,
    console: Console,
) -> tuple[dict[str, Any], Path]:
    """Lets a model in and measures its accuracy under AutoAttack; stopped, the same call goes on.

    Args:
        path: The `.keras` file.
        data_name: A data set; the first images of its test split are attacked.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units.
        version: Of AutoAttack.
        images: How many images.
        seed: Seed of all that is drawn.
        out: The folder in which outcomes are kept.
        data_dir: The TFDS folder.
        threads: Batches at a time; one a core where not given, one with an accelerator.
        console: Where progress goes.

    Returns:
        What `robust_accuracy.evaluate` returns, with `flags`, `model`, `data`, `environment` and
        `seconds`; and the file it is written to. The arrays lie beside it.

    Raises:
        InputError: The model is refused; the data cannot be had, or has fewer images; the folder
            cannot be written; as `robust_accuracy.evaluate`.
    """
    from robust_interpretability.attacks import NORMS
    from robust_interpretability.attacks.autoattack.ensemble import VERSIONS
    from robust_interpretability.models import untrusted

    for what, value, known in (("norm", norm, NORMS), ("AutoAttack version", version, VERSIONS)):
        if value not in known:
            raise unknown(what, value, known)
    if not (np.isfinite(epsilon) and epsilon >= 0):
        raise InputError(
            f"The radius must be a number of at least 0, in pixel units. Received {epsilon}."
        )
    untrusted.check_path(path)  # before TensorFlow is imported, which takes seconds
    say, start = sayer(console), time.perf_counter()
    models.choose_kernels("digits_cnn" if data_name == "digits" else "")
    from robust_interpretability.models import backend

    backend.configure()
    info = datasets.describe(data_name, data_dir=data_dir)
    if images > info.test_size:
        raise InputError(
            f"'{data_name}' has {info.test_size:,} test images. Received --images {images}."
        )
    data = datasets.load(data_name, data_dir=data_dir, notice=say, train_limit=1, test_limit=images)
    x, y = data.x_test, data.y_test
    say(f"checking {path.name}")
    probe = x[:PROBED] / np.float32(255) if x.dtype == np.uint8 else x[:PROBED]
    admitted = untrusted.admit(
        path, input_shape=info.shape, num_classes=info.num_classes, images=probe
    )
    with runner.locked(out):
        from robust_interpretability.benchmark import environment
        from robust_interpretability.benchmark.robustness import accuracy as robust_accuracy
        from robust_interpretability.benchmark.robustness.flags import autoattack_flags

        (out / "evaluations").mkdir(exist_ok=True)
        store = Store(out, say)
        store.sweep()
        content = {
            "name": info.name,
            "version": info.version,
            "images": len(x),
            "sha256": data.sha256(),
        }
        spec = {
            "model": admitted.sha256,
            "data": content,
            "norm": norm,
            "epsilon": epsilon,
            "version": version,
            "seed": seed,
            "backend": backend.NAME,
        }
        name = f"{path.stem}-{admitted.sha256[:16]}-{data_name}-{norm}-{epsilon:g}-{version}-{seed}"
        threads = threads or (1 if backend.has_accelerator() else os.cpu_count() or 1)
        say(
            f"AutoAttack {version}, {norm} {epsilon:g}, {len(x):,} images of {data_name}, {threads}"
            " batches at a time"
        )
        file = out / "evaluations" / f"{name}-{len(x)}.json"

        def examples(places: np.ndarray, x_adv: np.ndarray) -> None:
            if len(places):
                _write_arrays(
                    file.with_name(f"{file.stem}-examples-from-{places[0]}.npz"),
                    places=places,
                    x_adv=x_adv,
                )

        with AttackDisplay(console, len(x)) as display:
            found = robust_accuracy.evaluate(
                admitted.model,
                x,
                y,
                norm=norm,
                epsilon=epsilon,
                version=version,
                seed=seed,
                threads=threads,
                progress=display.update,
                kept=robust_accuracy.kept_in(store, spec, name),
                examples=examples,
            )
        seconds = time.perf_counter() - start
        flags = [
            {"name": flag, "evidence": evidence}
            for flag, evidence in autoattack_flags(found.values, info.num_classes)
        ]
        values = found.values | {
            "flags": flags,
            "model": {"sha256": admitted.sha256, "parameters": admitted.parameters},
            "data": content,
            "environment": environment.collect(),
            "seconds": round(seconds, 1),
        }
        _write_arrays(file.with_suffix(".npz"), **found.arrays)
        write(file, json.dumps(values, indent=1, sort_keys=True) + "\n")
    say(f"done in {duration(seconds)}: {file}")
    return values, file
