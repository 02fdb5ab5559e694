"""The main job: a configuration and a folder in; results, leaderboard and figures out."""

import json
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np
from filelock import FileLock, Timeout
from rich.console import Console

from robust_interpretability import models
from robust_interpretability.benchmark.config import configuration
from robust_interpretability.benchmark.config.configuration import Config
from robust_interpretability.benchmark.data import datasets
from robust_interpretability.benchmark.progress import Display, duration, sayer
from robust_interpretability.benchmark.units.plan import Plan, build
from robust_interpretability.benchmark.units.store import Store
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.files import WRITING, write

OWN = ("units", "models", "results", "figures", "leaderboard", "environment.json", "config.toml")
"""What a run writes.

Its configuration, which marks the folder as a run's, is the last to be removed.
"""

LOCK = ".lock"
MARKS = ("config.toml", "evaluations")
"""What shows that a folder is ours to write in."""


@contextmanager
def locked(out: Path, *, wait: Callable[[str], None] | None = None) -> Iterator[None]:
    """Holds a run's folder for this process, the folder made if need be. A killed process holds nothing.

    Args:
        out: The folder.
        wait: Wait for another process that holds it, after telling so in a line; without it,
            refuse.

    Raises:
        InputError: Another process holds it, it cannot be written, or it holds something else than
            a run.
    """
    existed = out.exists()
    try:
        out.mkdir(parents=True, exist_ok=True)
        inside = {path.name for path in out.iterdir() if not path.name.startswith((LOCK, WRITING))}
        if inside and not inside & set(MARKS):
            raise InputError(
                f"{out} is not empty and holds no run (no config.toml). Choose another folder with"
                " --out."
            )
        lock = FileLock(out / LOCK, timeout=0)
        try:
            lock.acquire()
        except Timeout:
            if wait is None:
                raise
            wait(f"waiting for another process at work in {out}")
            lock.acquire(timeout=-1)
    except Timeout:
        raise InputError(
            f"Another run is at work in {out}. Wait for it, or choose another folder with --out."
        ) from None
    except OSError as error:
        raise InputError(
            f"The output folder {out} cannot be written ({error.strerror})."
        ) from error
    try:
        yield
    finally:
        lock.release()
        if not existed and [path.name for path in out.iterdir()] == [
            LOCK
        ]:  # refused before anything was written
            (out / LOCK).unlink()
            out.rmdir()


def _clear(out: Path) -> None:
    for name in OWN:
        path = out / name
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def _limits(config: Config) -> dict[str, int | None]:
    return {"train_limit": config.data.train_limit, "test_limit": config.data.test_limit}


def plan(config: Config, data_dir: str | None) -> Plan:
    """The plan of a configuration, from the data's description alone."""
    return build(config, datasets.describe(config.data.name, data_dir=data_dir, **_limits(config)))


def _check_fit(work: Plan) -> None:
    """Builds each network once: a model that does not fit the data is refused before anything is written.

    Raises:
        InputError: As the builders.
    """
    from robust_interpretability.models.checks import check_classifier

    config, info = work.config, work.info
    if config.retraining and len(info.shape) != 3:
        raise InputError(
            f"ROAR and KAR need images of shape (h, w, c). '{info.name}' has shape {info.shape}."
        )
    if config.tilt and (info.shape != (2,) or info.num_classes != 2):
        raise InputError(
            f"[tilt] needs two classes in the plane, examples of shape (2,). '{info.name}' has "
            f"{info.num_classes} classes of shape {info.shape}."
        )
    if config.tilt and config.tilt.attacked_class >= info.num_classes:
        raise InputError(
            f"tilt.attacked_class must be 0 or 1. Received {config.tilt.attacked_class}."
        )
    model = models.get(config.model.name)(
        info.shape, info.num_classes, seed=0, width=config.model.width
    )
    check_classifier(model, np.zeros((2, *info.shape), np.float32), info.num_classes)
    if config.manifold and config.vae_gan:
        section = config.vae_gan
        models.get(section.name)(info.shape, seed=0, latent=section.latent, width=section.width)


class Cluster(NamedTuple):
    """Where Ray's workers are.

    Attributes:
        address: `HOST:PORT` of a running cluster, or `auto`; None for one that is started on this
            machine.
        cores: Cores of a worker without a GPU.
    """

    address: str | None = None
    cores: int = 1


def run(
    config: Config,
    out: Path,
    *,
    data_dir: str | None,
    fresh: bool,
    workers: int | None,
    console: Console,
    cluster: Cluster | None = None,
) -> None:
    """Runs what is not done, then writes results, leaderboard and figures.

    Args:
        config: The configuration.
        out: The run's folder; made if need be.
        data_dir: The TFDS folder.
        fresh: Remove what the folder holds first.
        workers: Units at a time; one a core (one with an accelerator) where not given. Of Ray,
            workers.
        console: Where progress goes.
        cluster: Run on Ray; without it, in threads of this process.

    Raises:
        InputError: The folder is in use, cannot be written or is full; the data cannot be had; Ray
            cannot be reached.
    """
    say, start = sayer(console), time.perf_counter()
    models.choose_kernels(config.model.name)
    work = plan(config, data_dir)
    with locked(out):
        from robust_interpretability.models import backend

        backend.configure()
        _check_fit(work)
        if fresh:
            _clear(out)
        stored = out / "config.toml"
        if stored.exists() and configuration.load(stored) != config:
            say(f"{out} holds a run of another configuration; what both need is kept")

        from robust_interpretability.benchmark import environment
        from robust_interpretability.benchmark.execution import threads
        from robust_interpretability.benchmark.results import report
        from robust_interpretability.benchmark.units.context import Context

        data = datasets.load(config.data.name, data_dir=data_dir, notice=say, **_limits(config))
        write(stored, configuration.dumps(config))
        write(
            out / "environment.json",
            json.dumps(environment.collect(), indent=2, sort_keys=True) + "\n",
        )
        store = Store(out, say)
        store.sweep()
        done = {unit.key for unit in work.units if store.done(unit)}
        pool: threads.Pool
        if cluster is None:
            pool = threads.Threads(workers, store, Context(work, store, data))
        else:
            from robust_interpretability.benchmark.execution.ray import RayPool

            where = {
                "name": config.data.name,
                "data_dir": str(datasets.tfds_folder(data_dir).resolve()),
            }
            pool = RayPool(
                work,
                out,
                where | _limits(config),
                here=environment.collect(),
                workers=workers,
                notice=say,
                address=cluster.address,
                cores=cluster.cores,
            )
        count = f"{len(work.units)} units of work, {len(done)} done before"
        say(f"{config.name}: {count}, {pool.workers} at a time, in {out}")
        with Display(work, done, pool.workers, console) as display:
            threads.run(work, done, pool, display)
        say("writing results, leaderboard and figures")
        tables = report.write_results(work, store)
        report.write_leaderboard(work, store, tables, data)
        report.draw(out, say)
        record = environment.collect() | {"seconds_of_work": report.costs(work, store)}
        write(out / "environment.json", json.dumps(record, indent=2, sort_keys=True) + "\n")
    say(
        f"done in {duration(time.perf_counter() - start)}:"
        f" {out / 'leaderboard' / 'LEADERBOARD.md'}, {out / 'figures'}"
    )
