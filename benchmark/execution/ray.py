"""Workers on Ray: long-lived processes on one machine or on many, one per GPU or group of cores.

A worker loads the data itself, keeps its compiled programs, is sent keys, and writes results to the
run's folder, which every machine must see under the same path. A lost worker's units are computed
again by others; another worker is asked for in its place, and waits, at no cost, until the cluster
has room.
"""

import logging
import os
import socket
import time
from collections.abc import Callable, Hashable
from pathlib import Path
from typing import Self

from pellucid.benchmark.config.names import CONFIG
from pellucid.benchmark.execution.pool import LOSSES, Ended
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.unit import Unit
from pellucid.models.errors import InputError
from pellucid.models.sharing import share_environment
from pellucid.models.types import Json, Untyped

HEAD_SILENT = 10.0
"""Seconds without an answer after which Ray's head is taken to be gone."""

NO_WORKER = 60.0
"""Seconds after which a run without any worker says so."""

# Ray's own switch for clusters on a desktop: off, a Ray started here listens on 127.0.0.1 alone
LOCAL_ONLY = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
# Ray's own number of tries, a second each, to join a cluster whose head answers: 20 by default
TRIES = "RAY_NUM_REDIS_GET_RETRIES"


class Worker:
    """One process of Ray's with the data and the compiled programs of a plan."""

    def __init__(self, arguments: tuple[Plan, Path, Json, int | None, int]) -> None:
        self.plan, self.folder, self.data, self.threads, self.share = arguments

    def prepare(self) -> tuple[str, Json, int]:
        """Loads everything.

        Returns:
            Where it is, what it runs with, and how many units it computes together.

        Raises:
            InputError: It does not see the folder, or its images are not those of the run.
        """
        from pellucid.models import backend

        backend.configure(self.threads)
        from pellucid.benchmark import environment
        from pellucid.benchmark.data import datasets
        from pellucid.benchmark.data.identity import same_images
        from pellucid.benchmark.units.context import Context
        from pellucid.benchmark.units.store import Store

        if not (self.folder / CONFIG).exists():
            raise InputError(
                f"{self.folder} is not seen on {socket.gethostname()}. A run's folder must be on a"
                " file system that all machines of the cluster share, under the same path."
            )
        self.store = Store(self.folder)
        data = datasets.load(**self.data)
        same_images(self.folder, data)
        self.context = Context(self.plan, self.store, data)
        self.units = {unit.key: unit for unit in self.plan.units}
        self.here = environment.collect()
        # Workers that share a GPU would disturb each other's measurements.
        together = 1 if self.share > 1 else self.context.way.together
        return f"{socket.gethostname()}, process {os.getpid()}", self.here, together

    def perform(self, keys: list[str]) -> list[float]:
        """Computes units and stores their results; returns the seconds of each."""
        from pellucid.benchmark.execution import runner

        units = [self.units[key] for key in keys]
        return runner.perform(units, self.context, self.store, self.here)


class _Member:
    """What the run knows of one worker."""

    def __init__(self, actor: Untyped) -> None:
        self.actor = actor
        self.preparing: Untyped = actor.prepare.remote()
        self.running: dict[Untyped, list[Unit]] = {}
        self.name = "a worker"
        self.at_once = 1

    def __str__(self) -> str:
        return self.name

    @property
    def ready(self) -> bool:
        return self.preparing is None


def _same(here: Json, there: Json, name: str) -> None:
    """Results must not depend on which worker made them.

    Raises:
        InputError: A worker has another program or other libraries.
    """
    for what in ("backend", "commit", "protocol_version", "packages"):
        known = None not in (here[what], there[what])  # a machine may lack git
        if known and here[what] != there[what]:
            differ = f"{there[what]}, here it is {here[what]}"
            if isinstance(here[what], dict):
                names = sorted({*here[what], *there[what]})
                differ = ", ".join(
                    f"{n} {there[what].get(n)}, here {here[what].get(n)}"
                    for n in names
                    if here[what].get(n) != there[what].get(n)
                )
            raise InputError(
                f"The Ray worker on {name} differs in {what}: {differ}. All machines need the same."
            )


def _connect(address: str | None, cpus: int | None, backend: str, share: int = 1) -> str:
    """Starts Ray on this machine or joins the cluster at an address; returns its head's address.

    Raises:
        InputError: Ray is not installed, or nothing answers there.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    if address is None:
        os.environ.setdefault(LOCAL_ONLY, "0")
    else:
        os.environ.setdefault(TRIES, "5")
    try:
        import ray
    except ImportError:
        raise InputError(
            "--executor ray needs Ray, which is not installed here: pip install 'ray>=2.50'."
        ) from None
    options: Json = {"address": address}
    if address is None:
        options = {"address": "local", "include_dashboard": False, "num_cpus": cpus}
    names = (
        "TF_ENABLE_ONEDNN_OPTS",
        "TFDS_DATA_DIR",
        "XDG_CACHE_HOME",
        "XLA_FLAGS",
        "TF_CPP_MIN_LOG_LEVEL",
        "CUDA_MPS_PIPE_DIRECTORY",
        "CUDA_MPS_LOG_DIRECTORY",
    )
    passed = {name: os.environ[name] for name in names if name in os.environ}
    passed |= share_environment(share) | {"KERAS_BACKEND": backend}
    try:
        if address and address != "auto":
            _answers(address, 5.0)
        context: Untyped = ray.init(
            **options,
            log_to_driver=False,
            logging_level=logging.ERROR,
            runtime_env={"env_vars": passed},
        )
    except (OSError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
        first = str(error).strip().splitlines()[0]
        refused = "uthentication token" in f"{error} {error.__cause__}"
        why = (
            "it asks for a token; with that token here, set RAY_AUTH_MODE=token"
            if refused
            else first[:200]
        )
        raise InputError(f"No Ray cluster answers at '{address}' ({why}).") from error
    return context.address_info["gcs_address"]


def _answers(address: str, timeout: float) -> None:
    """Raises `OSError` or `ValueError` where nothing listens at `HOST:PORT`."""
    host, _, port = address.rpartition(":")
    socket.create_connection((host, int(port)), timeout).close()


class RayPool:
    """Workers on Ray.

    Args:
        plan: The plan they work on.
        folder: The run's folder.
        data: Arguments of `datasets.load`.
        here: This process' `environment.collect()`, which every worker's must agree with.
        address: `HOST:PORT` of a running cluster, `auto` for the one this machine belongs to; None
            starts one here.
        workers: How many; None for `share` on each GPU or, without GPUs, one for each `cores` cores
            of the cluster.
        cores: Cores of a worker, which does as many units at a time; they share its memory.
        share: Workers that share a GPU; each gets an equal part of its memory.
        notice: Told, in a line, what a user should know.

    Raises:
        InputError: Ray is not installed, no cluster answers, or it has no GPUs to share.
    """

    def __init__(
        self,
        plan: Plan,
        folder: Path,
        data: Json,
        *,
        here: Json,
        address: str | None,
        workers: int | None,
        cores: int,
        share: int = 1,
        notice: Callable[[str], None],
    ) -> None:
        here_alone = workers * cores if workers else None
        self.head = _connect(address, here_alone, here["backend"], share)
        import ray

        self.ray, self.here, self.notice, self.cores = ray, here, notice, cores
        found = ray.cluster_resources()
        gpus = int(found.get("GPU", 0))
        if share > 1 and not gpus:
            ray.shutdown()
            raise InputError(f"--share {share} needs GPUs, and Ray finds none in the cluster.")
        self.count = workers or gpus * share or max(1, int(found.get("CPU", 1)) // cores)
        per = "core" if cores == 1 else f"group of {cores} cores"
        if gpus:
            per = "GPU"
        self.slots = 1 if gpus else cores
        options: Json = {
            "num_cpus": cores,
            "num_gpus": 1 / share if gpus else 0,
            "max_concurrency": self.slots,
        }
        self._actor = ray.remote(**options)(Worker)
        self._arguments = ray.put((plan, folder.resolve(), data, None if gpus else cores, share))
        self.holds: int | None = None
        self.workers = self.count * self.slots
        notice(f"Ray at {self.head}: {self.count} worker(s), {share} per {per}")
        self.members: list[_Member] = []
        self.lost_in_a_row = 0
        self.last_answer = self.began = time.monotonic()

    def __enter__(self) -> Self:
        for _ in range(self.count):
            self._hire()
        return self

    def __exit__(self, *_: object) -> None:
        if (
            time.monotonic() - self.last_answer < HEAD_SILENT
        ):  # without a head, leaving politely takes a minute
            for member in self.members:
                self.ray.kill(member.actor)
            self.ray.shutdown()

    def _hire(self) -> None:
        self.members.append(_Member(self._actor.remote(self._arguments)))

    def _replace(self, member: _Member) -> None:
        if member in self.members:
            self.members.remove(member)
            self.ray.kill(member.actor)
            self._hire()

    @property
    def busy(self) -> bool:
        """Whether a unit is under way."""
        return any(member.running for member in self.members)

    @property
    def at_once(self) -> int:
        """How many units that share their ranks one worker does together."""
        return max((member.at_once for member in self.members), default=1)

    def free(self) -> list[Hashable]:
        """A worker once for each unit that it could begin."""
        return [m for m in self.members if m.ready for _ in range(self.slots - len(m.running))]

    def start(self, worker: Untyped, units: list[Unit]) -> None:
        """Begins units."""
        worker.running[worker.actor.perform.remote([unit.key for unit in units])] = units

    def wait(self, timeout: float) -> list[Ended]:
        """The units that ended.

        Raises:
            InputError: The cluster's head is gone; a worker cannot work; workers are lost before
                they begin.
        """
        self._check_head()
        owner = {m.preparing: m for m in self.members if not m.ready}
        owner |= {reference: m for m in self.members for reference in m.running}
        if not owner:
            time.sleep(timeout)
            return []
        references = list(owner)
        self.ray.wait(references, timeout=timeout)
        ready, _ = self.ray.wait(references, num_returns=len(references), timeout=0)
        out: list[Ended] = []
        for reference in ready:
            member = owner[reference]
            if reference == member.preparing:
                self._prepared(member)
            else:
                out += self._ended(member, reference)
        return out

    def _prepared(self, member: _Member) -> None:
        try:
            member.name, there, member.at_once = self.ray.get(member.preparing)
        except self.ray.exceptions.RayTaskError as error:
            raise InputError(f"A Ray worker cannot begin: {_cause(error)}") from error
        except self.ray.exceptions.RayError as error:
            self.lost_in_a_row += 1
            if self.lost_in_a_row >= LOSSES * self.count:
                raise InputError(
                    f"Ray's workers die before they begin. The last one: {_first_line(error)}"
                ) from error
            self._replace(member)
            return
        _same(self.here, there, member.name)
        member.preparing, self.lost_in_a_row = None, 0

    def _ended(self, member: _Member, reference: Untyped) -> list[Ended]:
        units = member.running.pop(reference)
        try:
            seconds = self.ray.get(reference)
        except self.ray.exceptions.RayTaskError as error:
            cause = _cause(error)
            if cause is not error:
                cause.add_note(str(error))  # the worker's traceback
            return [Ended(unit, None, cause) for unit in units]
        except self.ray.exceptions.RayError:  # the process, its machine or the way to it is gone
            self._replace(member)
            for others in member.running.values():
                units = [*units, *others]
            member.running = {}
            return [Ended(unit, None, None, member) for unit in units]
        return [Ended(unit, taken) for unit, taken in zip(units, seconds, strict=True)]

    def _check_head(self) -> None:
        now = time.monotonic()
        if self.began and now - self.began > NO_WORKER:
            if not any(member.ready for member in self.members):
                self.notice(
                    f"no worker has begun for {NO_WORKER:.0f} s; free in the cluster:"
                    f" {self._free()}"
                )
            self.began = 0.0
        if now - self.last_answer < 1.0:
            return
        try:
            _answers(self.head, 1.0)
        except OSError:
            if now - self.last_answer > HEAD_SILENT:
                raise InputError(
                    f"The head of the Ray cluster at {self.head} is gone. Start it again; the same"
                    " command goes on from here."
                ) from None
        else:
            self.last_answer = now

    def _free(self) -> str:
        found = self.ray.available_resources()
        return ", ".join(f"{found.get(name, 0):g} {name}s" for name in ("CPU", "GPU"))


def _cause(error: Untyped) -> BaseException:
    """What a worker raised, without Ray's wrapping."""
    return error.cause if isinstance(error.cause, BaseException) else error


def _first_line(error: BaseException) -> str:
    return str(error).strip().splitlines()[0]
