"""The main job: a configuration and a folder in; results, leaderboard and figures out."""

import functools
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from rich.console import Console

from pellucid import models
from pellucid.benchmark.config.names import CONFIG, ENVIRONMENT
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.data import datasets
from pellucid.benchmark.data.dataset import Dataset
from pellucid.benchmark.data.identity import same_images
from pellucid.benchmark.execution import folder
from pellucid.benchmark.execution.failures import Failures
from pellucid.benchmark.execution.pool import (
    LOSSES,
    Observer,
    Pool,
    interruptible,
)
from pellucid.benchmark.execution.schedule import Schedule
from pellucid.benchmark.progress import Display, duration, sayer
from pellucid.benchmark.units import configuration, retrain
from pellucid.benchmark.units.plan import Plan, build
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import Unit
from pellucid.models import compiling
from pellucid.models.errors import InputError, UnwritableError
from pellucid.models.files import write
from pellucid.models.types import Json

if TYPE_CHECKING:
    from pellucid.benchmark.units.context import Context

Say = Callable[[str], None]
WAIT = 0.25
"""Seconds between two looks at the workers."""


class Cluster(NamedTuple):
    """Where Ray's workers are.

    Attributes:
        address: `HOST:PORT` of a running cluster, or `auto`; None for one that is started here.
        cores: Cores of a worker without a GPU.
        share: Workers that share a GPU.
    """

    address: str | None = None
    cores: int = 1
    share: int = 1


def plan(config: Config, data_dir: str | None) -> Plan:
    """The plan of a configuration, from the data's description alone."""
    return build(config, datasets.describe(**limited(config, data_dir)))


def limited(config: Config, data_dir: str | None) -> Json:
    """The arguments of `datasets.describe` and `datasets.load` for a configuration."""
    data = config.data
    return {
        "name": data.name,
        "data_dir": data_dir,
        "train_limit": data.train_limit,
        "test_limit": data.test_limit,
    }


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
    """Computes what is not done, then writes results, leaderboard and figures.

    Args:
        config: The configuration.
        out: The run's folder; made if need be.
        data_dir: The TFDS folder.
        fresh: Remove what the folder holds first.
        workers: Units at a time, by default one per core (one with an accelerator). On Ray,
            workers.
        console: Where progress goes.
        cluster: Run on Ray; without it, in threads of this process.

    Raises:
        InputError: The folder is in use, cannot be written or is full; the data cannot be had, or
            is not what the folder's results were made from; Ray cannot be reached.
        UnitsFailedError: Units failed; those that do not need them are computed and stored.
    """
    say, start = sayer(console), time.perf_counter()
    models.choose_kernels(config.model.name)
    work = plan(config, data_dir)
    with folder.locked(out):
        from pellucid.benchmark import environment
        from pellucid.benchmark.results import files, report

        data = _prepared(work, out, data_dir=data_dir, fresh=fresh, say=say)
        store = Store(out, say)
        store.sweep()
        if cluster is None:
            pool = threads(work, store, data, workers, say)
        else:
            pool = _on_ray(work, out, data_dir, workers, cluster, say)
        with progress(work, store, pool, console, name=config.name) as (done, observer):
            failures = Failures(out, environment.collect(), say)
            left_out = execute(work, done, pool, observer, failed=failures.add)
        failures.check(len(work.units), left_out)

        say("writing results, leaderboard and figures")
        report.write_leaderboard(files.write_results(work, store), data)
        report.draw(out, say)
        made = {"seconds_of_work": report.costs(work, store), "ways": report.ways(work, store)}
        _write_environment(out, config, made)
    board, figures = out / "leaderboard" / "LEADERBOARD.md", out / "figures"
    say(f"done in {duration(time.perf_counter() - start)}: {board}, {figures}")


def _prepared(work: Plan, out: Path, *, data_dir: str | None, fresh: bool, say: Say) -> Dataset:
    """Checks that models and data fit, marks the folder as the run's, and loads the data."""
    from pellucid.models import backend

    config = work.config
    backend.configure()
    _check_fit(work)
    if fresh:
        folder.clear(out)
    stored = out / CONFIG
    if stored.exists() and configuration.load(stored) != config:
        say(
            f"{out} holds a run of another configuration; what both need is reused, and its tables"
            " and figures are replaced. --out chooses another folder"
        )
    data = datasets.load(**limited(config, data_dir), notice=say)
    same_images(out, data, say)
    write(stored, configuration.dumps(config))
    _write_environment(out, config, {})
    return data


def _write_environment(out: Path, config: Config, more: Json) -> None:
    from pellucid.benchmark import environment

    precision = {"training": config.training.compute, "all else": "float32"}
    record = environment.collect() | {"precision": precision} | more
    write(out / ENVIRONMENT, json.dumps(record, indent=2, sort_keys=True) + "\n")


def _check_fit(work: Plan) -> None:
    """Builds each network once: one that does not fit the data is refused before any writing.

    Raises:
        InputError: As the builders.
    """
    import numpy as np

    from pellucid.benchmark.units import vae_gan
    from pellucid.models.checks import check_classifier

    config, info = work.config, work.info
    configuration.check_data(config, info)
    builder = models.get(config.model.name)
    model = builder(info.shape, info.num_classes, seed=0, width=config.model.width)
    check_classifier(model, np.zeros((2, *info.shape), np.float32), info.num_classes)
    section = config.section(vae_gan.VaeGanSection)
    if section and any(work.of(vae_gan.KIND)):
        builder = models.get(section.name)
        builder(info.shape, seed=0, latent=section.latent, width=section.width)


def threads(
    work: Plan,
    store: Store,
    data: Dataset,
    workers: int | None,
    say: Say = lambda line: None,
) -> Pool:
    """Threads of this process that compute the units of a plan."""
    from pellucid.benchmark import environment
    from pellucid.benchmark.execution.threads import Threads, default_workers
    from pellucid.benchmark.units.context import Context

    number = workers or default_workers()
    context, here = Context(work, store, data, say, threads=number), environment.collect()
    compute = functools.partial(perform, context=context, store=store, here=here)
    retrains = any(work.of(retrain.KIND))
    at_once = context.way.together if retrains else 1
    return Threads(number, compute, at_once, holds=context.orders)


def _on_ray(
    work: Plan, out: Path, data_dir: str | None, workers: int | None, cluster: Cluster, say: Say
) -> Pool:
    from pellucid.benchmark import environment
    from pellucid.benchmark.execution.ray import RayPool

    data_folder = str(datasets.tfds_folder(data_dir).resolve())
    return RayPool(
        work,
        out,
        limited(work.config, data_folder),
        here=environment.collect(),
        workers=workers,
        notice=say,
        address=cluster.address,
        cores=cluster.cores,
        share=cluster.share,
    )


@contextmanager
def progress(
    work: Plan, store: Store, pool: Pool, console: Console, *, name: str
) -> Iterator[tuple[set[str], Observer]]:
    """Shows how far a plan is.

    Yields:
        The keys of the units that are stored, and what is told of the others.
    """
    done = {unit.key for unit in work.units if store.done(unit)}
    sayer(console)(
        f"{name}: {len(work.units)} units of work, {len(done)} done before, {pool.workers} at a"
        f" time, in {store.root}"
    )
    with Display(work, done, pool.workers, console) as display:
        for unit in work.units:  # what was computed here before gives the estimate its pace
            if unit.key in done and unit.cost:
                display.estimate.add(unit, store.stored(unit).seconds)
        display.estimate.renew(list(display.left.values()))
        yield done, display


def execute(
    work: Plan,
    done: set[str],
    pool: Pool,
    observer: Observer,
    *,
    failed: Callable[[Unit, BaseException], None] | None = None,
) -> int:
    """Has all units computed that are not in `done`, each after what it needs.

    Args:
        work: The plan.
        done: Keys of the units whose results are stored.
        pool: The workers; entered and left here.
        observer: Told of units as they begin and end, from this thread.
        failed: Told of a unit that failed, and what it raised; what does not need that unit is
            computed. Without it, the first failure ends the work.

    Returns:
        How many units were not computed since they need one that failed.

    Raises:
        Exception: Without `failed`, what the first failing unit raised. Units under way end first,
            and their results are stored.
        UnwritableError: Results cannot be stored.
    """
    schedule = Schedule(work.units, done, pool.holds)
    failure: BaseException | None = None
    losses: Counter[str] = Counter()
    left_out = 0

    def give_up(unit: Unit, error: BaseException) -> None:
        nonlocal failure, left_out
        if failed is None or isinstance(error, UnwritableError):
            failure = failure or error
            return
        failed(unit, error)
        dropped = schedule.fail(unit)
        left_out += len(dropped)
        observer.given_up([unit, *dropped])

    with pool, interruptible() as check_interrupt:
        while pool.busy or (len(schedule) and failure is None):
            check_interrupt()
            for worker in pool.free() if failure is None else ():
                if units := schedule.take(worker, pool.at_once):
                    for unit in units:
                        observer.started(unit)
                    pool.start(worker, units)

            for unit, seconds, error, worker in pool.wait(WAIT):
                if seconds is not None:
                    schedule.finish(unit)
                    observer.finished(unit, seconds)
                elif error is not None:
                    give_up(unit, error)
                else:
                    observer.lost(unit, str(worker))
                    schedule.forget(worker)
                    losses[unit.key] += 1
                    if losses[unit.key] == LOSSES:
                        lost = (
                            f"'{unit.kind.name} {unit.label}' lost its worker {LOSSES} times, the"
                            f" last time {worker}. It may need more memory than a worker has. What"
                            " is done is stored."
                        )
                        give_up(unit, InputError(lost))
                    else:
                        schedule.give_back(unit)
            observer.waiting()
    if failure is not None:
        raise failure
    return left_out


def perform(units: list[Unit], context: "Context", store: Store, here: Json) -> list[float]:
    """Computes units, together where there are several, and stores their results.

    Returns:
        The seconds that each took: of several, its share.
    """
    from pellucid.benchmark.training.ways import ALONE

    start = time.perf_counter()
    kind = units[0].kind
    try:
        if len(units) > 1 and kind.together:
            results = kind.together([unit.spec for unit in units], context)
        else:
            results = [kind.work(unit.spec, context) for unit in units]
    finally:
        compiling.ended()
    seconds = (time.perf_counter() - start) / len(units)
    if kind.together:  # the ways differ in rounding
        here = here | {"way": context.way.name if len(units) > 1 else ALONE.name}
    for unit, result in zip(units, results, strict=True):
        store.put(unit, result, environment=here, seconds=seconds)
    return [seconds] * len(units)
