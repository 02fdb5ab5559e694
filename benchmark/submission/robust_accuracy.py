"""Robust accuracy of one `.keras` file on one data set: measured, stored as it goes, reported."""

import io
import json
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from pellucid import models
from pellucid.attacks import check_norm
from pellucid.benchmark.data import datasets
from pellucid.benchmark.progress import AttackDisplay, duration, sayer
from pellucid.benchmark.robustness.counts import EnsembleAccuracy
from pellucid.benchmark.robustness.flags import Flag
from pellucid.benchmark.submission import admission
from pellucid.benchmark.submission.limits import Resources
from pellucid.benchmark.units.unit import to_json
from pellucid.models.errors import InputError
from pellucid.models.files import write
from pellucid.models.types import Array, Json

FOLDER = Path("runs/robust-accuracy")
IMAGES = 1000
"""That are attacked by default, if the test set has as many."""


@dataclass(frozen=True)
class Spec:
    """What the outcomes of the attacks depend on."""

    model: str
    data: Json
    norm: str
    epsilon: float
    version: str
    seed: int
    backend: str


@dataclass(frozen=True)
class Assessment:
    """The accuracy of a model under AutoAttack, and the warnings that go with it.

    Attributes:
        accuracy: The counts.
        flags: The warnings.
        file: Where everything is written.
    """

    accuracy: EnsembleAccuracy
    flags: list[Flag]
    file: Path


def _write_arrays(path: Path, **arrays: Array) -> None:
    buffer = io.BytesIO()
    np.savez_compressed(buffer, allow_pickle=False, **arrays)
    write(path, buffer.getvalue())


def _check_radius(norm: str, epsilon: float, info: datasets.Info) -> None:
    """Refuses a radius within which every image of the box lies.

    Raises:
        InputError: It is such a radius, or is not a number of at least 0.
    """
    if not (np.isfinite(epsilon) and epsilon >= 0):
        raise InputError(
            f"The radius must be a number of at least 0, in pixel units. Received {epsilon}."
        )
    box = 1.0 if norm == "linf" else math.sqrt(math.prod(info.shape))
    if epsilon > box:
        raise InputError(
            f"Within {norm} {epsilon:g} lies every image of {'x'.join(map(str, info.shape))}, since"
            f" pixels are in [0, 1]: {box:.4g} is their largest distance. Did you mean --epsilon"
            f" {epsilon:g}/255?"
        )


def assess(
    path: Path,
    *,
    data_name: str,
    norm: str,
    epsilon: float,
    version: str,
    images: int | None,
    seed: int,
    out: Path,
    resources: Resources,
    console: Console,
) -> Assessment:
    """Admits a model and measures its accuracy under AutoAttack; stopped, the same call resumes.

    Args:
        path: The `.keras` file.
        data_name: A data set; the first images of its test split are attacked.
        norm: `"l2"` or `"linf"`.
        epsilon: Radius in pixel units.
        version: AutoAttack's version.
        images: How many images; by default `IMAGES`, or all.
        seed: Seed of all random draws.
        out: The folder in which outcomes are stored.
        resources: What may be used. Its workers are batches at a time.
        console: Where progress goes.

    Returns:
        The counts and flags; the arrays lie beside the file.

    Raises:
        InputError: The model is refused; the data cannot be had, or has fewer images; the folder
            cannot be written; as `robustness.accuracy.evaluate`.
    """
    from pellucid.attacks.autoattack import check_version
    from pellucid.models import untrusted

    check_norm(norm)
    check_version(version)
    say, start = sayer(console), time.perf_counter()
    untrusted.check_path(path)
    classifier = "digits_cnn" if data_name == "digits" else ""
    models.choose_kernels(classifier)
    info = datasets.describe(data_name, data_dir=resources.data_dir)
    _check_radius(norm, epsilon, info)
    images = images or min(IMAGES, info.test_size)
    if images > info.test_size:
        raise InputError(
            f"'{data_name}' has {info.test_size:,} test images. Received --images {images}."
        )
    admission.prepare(path, classifier)
    data = datasets.load(
        data_name, data_dir=resources.data_dir, notice=say, train_limit=1, test_limit=images
    )
    x, y = data.x_test, data.y_test
    with (
        resources.watched(path.name),
        admission.failures_in_one_line(path),
        admission.store_in(out, data, say) as store,
    ):
        admitted = admission.admit(path, data, say, weaker=resources.weaker)
        from pellucid.benchmark import environment
        from pellucid.benchmark.execution.threads import default_workers
        from pellucid.benchmark.robustness import accuracy
        from pellucid.benchmark.robustness.flags import autoattack_flags
        from pellucid.benchmark.units.attacked import outcomes_in
        from pellucid.models import backend

        content = {
            "name": info.name,
            "version": info.version,
            "images": len(x),
            "sha256": data.sha256(),
        }
        spec = Spec(admitted.sha256, content, norm, epsilon, version, seed, backend.NAME)
        digits = admitted.sha256[:16]
        name = f"{path.stem}-{digits}-{data_name}-{norm}-{epsilon:g}-{version}-{seed}"
        (out / "evaluations").mkdir(exist_ok=True)
        file = out / "evaluations" / f"{name}-{len(x)}.json"
        threads = resources.workers or default_workers()
        say(
            f"AutoAttack {version}, {norm} {epsilon:g}, {len(x):,} images of {data_name},"
            f" {threads} batches at a time"
        )

        def examples(places: Array, x_adv: Array) -> None:
            if len(places):
                stem = f"{file.stem}-examples-from-{places[0]}"
                _write_arrays(file.with_name(f"{stem}.npz"), places=places, x_adv=x_adv)

        with AttackDisplay(console, len(x)) as display:
            found = accuracy.evaluate(
                admitted.model,
                x,
                y,
                norm=norm,
                epsilon=epsilon,
                version=version,
                seed=seed,
                threads=threads,
                progress=display.update,
                outcomes=outcomes_in(store, spec, name),
                examples=examples,
            )
        seconds = time.perf_counter() - start
        flags = autoattack_flags(found.counts, info.num_classes)
        record = to_json(found.counts) | {
            "flags": to_json(flags),
            "model": {"sha256": admitted.sha256, "parameters": admitted.parameters},
            "data": content,
            "environment": environment.collect(),
            "seconds": round(seconds, 1),
        }
        _write_arrays(file.with_suffix(".npz"), **found.arrays)
        write(file, json.dumps(record, indent=1, sort_keys=True) + "\n")
    say(f"done in {duration(seconds)}: {file}")
    return Assessment(found.counts, flags, file)
