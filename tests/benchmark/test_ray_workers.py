"""Real Ray on this machine: the same bytes as without it, whatever is killed."""

import dataclasses
import os
import socket
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from io import StringIO
from pathlib import Path

import psutil
import pytest
from rich.console import Console

from pellucid.benchmark.config.sections import Model
from pellucid.benchmark.execution import runner
from pellucid.benchmark.execution.failures import Failures
from pellucid.benchmark.execution.pool import Ended
from pellucid.benchmark.units import configuration, plan, train
from pellucid.benchmark.units.plan import Plan
from pellucid.benchmark.units.store import Store
from pellucid.models import backend
from pellucid.models.errors import InputError
from tests.benchmark.made import unit
from tests.commands import COMMAND, TINY, call
from tests.conftest import ROOT

os.environ |= {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0"}
pytest.importorskip("ray", reason="Ray has no wheel for this platform")

SMALLER = [
    "grid=[{norm='l2', epsilons=[0.3]}]",
    "manifold.losses=['xent']",
    "retraining.attributions=['gradient']",
    "retraining.fractions=[0.3]",
    "pictures=0",
]


def command(out: Path, *more: str) -> list[str]:
    assignments = [part for assignment in SMALLER for part in ("--set", assignment)]
    return [
        *COMMAND,
        "run",
        "--config",
        str(TINY),
        *assignments,
        "--out",
        str(out),
        "--executor",
        "ray",
        *more,
    ]


def tables(out: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (out / "results").iterdir()}


@pytest.fixture(scope="module")
def serial(tmp_path_factory) -> dict[str, bytes]:
    """The tables of the same run in this process, one unit at a time."""
    out = tmp_path_factory.mktemp("serial") / "tiny"
    resolved = configuration.resolve(None, TINY, SMALLER)
    runner.run(
        resolved, out, data_dir=None, fresh=False, workers=1, console=Console(file=StringIO())
    )
    return tables(out)


@contextmanager
def cluster(nodes: int = 2):
    """A head without workers, and nodes of one core each; all on 127.0.0.1."""
    from ray.cluster_utils import Cluster

    made = Cluster()
    try:
        made.add_node(num_cpus=0, include_dashboard=False, node_ip_address="127.0.0.1")
        for _ in range(nodes):
            made.add_node(num_cpus=1, node_ip_address="127.0.0.1")
        yield made
    finally:
        made.shutdown()


class Run:
    """A run in another process, its lines as they come."""

    def __init__(self, *arguments):
        self.process = subprocess.Popen(
            command(*arguments),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.lines = []

    def until(self, text: str) -> str:
        for line in self.process.stdout:
            self.lines.append(line)
            if text in line:
                return line
        raise AssertionError(f"no '{text}' in {''.join(self.lines)}")

    def end(self) -> str:
        self.lines += self.process.stdout
        self.process.wait(120)
        return "".join(self.lines)


def working(under: int, at_least: int = 1) -> list[psutil.Process]:
    """Ray's processes below one that have a unit in hand; waits until there are so many."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        found = []
        for process in psutil.Process(under).children(recursive=True):
            with suppress(psutil.NoSuchProcess):
                if process.name().startswith("ray::") and "perform" in " ".join(process.cmdline()):
                    found.append(process)
        if len(found) >= at_least:
            return found
        time.sleep(0.01)
    raise AssertionError("no worker has a unit in hand")


def test_a_killed_worker(serial, tmp_path):
    """kill -9 of a worker with a unit in hand.

    Ray is started by the command and listens on 127.0.0.1 alone.
    """
    run = Run(tmp_path / "run", "--workers", "2")
    run.until("training the manifold model")
    found = working(run.process.pid)
    family = psutil.Process(run.process.pid).children(recursive=True)
    listening = [
        c.laddr.ip
        for p in family
        for c in p.net_connections("tcp")
        if c.status == psutil.CONN_LISTEN
    ]
    assert listening
    assert {ip.removeprefix("::ffff:") for ip in listening} == {"127.0.0.1"}
    found[0].kill()
    said = run.end()
    assert run.process.returncode == 0, said
    assert f"process {found[0].pid}; '" in said
    assert "is done again" in said
    assert "done in" in said
    assert tables(tmp_path / "run") == serial
    _, alive = psutil.wait_procs(family, timeout=20)
    assert not alive


def test_a_killed_node(serial, tmp_path):
    with cluster() as made:
        run = Run(tmp_path / "run", "--address", made.address)
        run.until("training base models")
        working(os.getpid(), at_least=2)  # one on each node
        made.remove_node(made.list_all_nodes()[-1], allow_graceful=False)
        said = run.end()
    assert run.process.returncode == 0, said
    assert "lost: " in said
    assert "is done again" in said
    assert tables(tmp_path / "run") == serial


def test_a_killed_head(serial, tmp_path):
    """One error, exit code 2, what is done is kept; the same command goes on with another head."""
    with cluster(1) as made:
        run = Run(tmp_path / "run", "--address", made.address)
        run.until("retraining")
        worker = working(os.getpid())[0]
        worker.suspend()  # else it might be done before the run sees that the head is gone
        start = time.monotonic()
        made.remove_node(made.head_node, allow_graceful=False)
        said = run.end()
        assert time.monotonic() - start < 45
        worker.kill()
    assert run.process.returncode == 2, said
    errors = [line for line in said.splitlines() if line.startswith("error: ")]  # Ray logs after it
    assert len(errors) == 1, said
    assert errors[0].startswith("error: The head of the Ray cluster at 127.0.0.1:")
    with cluster() as made:
        run = Run(tmp_path / "run", "--address", made.address)
        said = run.end()
    assert run.process.returncode == 0, said
    assert ", 0 done before" not in said
    assert tables(tmp_path / "run") == serial


class Silent:
    def __getattr__(self, name):
        return lambda *_: None


def pool_of(folder: Path, digits, **options):
    from pellucid.benchmark import environment
    from pellucid.benchmark.execution.ray import RayPool

    (folder / "config.toml").touch()
    return RayPool(
        plan.build(configuration.resolve(None, TINY, SMALLER), digits.info),
        folder,
        {"name": "digits"},
        here=environment.collect(),
        cores=1,
        workers=None,
        **options,
    )


def test_workers_that_share_a_gpu(tmp_path, digits, monkeypatch):
    """What two workers see for whom Ray has one GPU, which here is a number only."""
    from ray.cluster_utils import Cluster

    monkeypatch.setenv("CUDA_MPS_PIPE_DIRECTORY", "/tmp/nvidia-mps")
    lines: list[str] = []
    made = Cluster()
    try:
        made.add_node(num_cpus=0, include_dashboard=False, node_ip_address="127.0.0.1")
        made.add_node(num_cpus=2, num_gpus=1, node_ip_address="127.0.0.1")
        options = {"address": made.address, "notice": lines.append}
        with pool_of(tmp_path, digits, share=2, **options) as pool:
            assert pool.workers == len(pool.members) == 2
            assert lines[0].endswith("2 worker(s), 2 per GPU")
            while not all(member.ready for member in pool.members):
                pool.wait(1.0)
            seen = pool.ray.get(
                [m.actor.__ray_call__.remote(lambda _: dict(os.environ)) for m in pool.members]
            )
            assert pool.ray.available_resources().get("GPU", 0) == 0
    finally:
        made.shutdown()
    assert len({found["CUDA_VISIBLE_DEVICES"] for found in seen}) == 1
    for found in seen:
        assert found["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.450"
        assert found["TF_FORCE_GPU_ALLOW_GROWTH"] == "true"
        assert found["CUDA_MPS_ACTIVE_THREAD_PERCENTAGE"] == "100"
        assert found["CUDA_MPS_PIPE_DIRECTORY"] == "/tmp/nvidia-mps"


def test_there_must_be_a_gpu_to_share(tmp_path, digits):
    with cluster(1) as made, pytest.raises(InputError, match="--share 2 needs GPUs, and Ray finds"):
        pool_of(tmp_path, digits, address=made.address, share=2, notice=pytest.fail)


def test_what_a_unit_raises_is_told_here_and_the_others_are_computed(tmp_path, digits):
    """Without Ray's wrapping in the line, and with the worker's traceback in the file."""
    from pellucid.benchmark import environment
    from pellucid.benchmark.execution.ray import RayPool

    tiny = plan.build(configuration.resolve(None, TINY, SMALLER), digits.info)
    good = next(tiny.of(train.KIND))
    model = Model.model_construct(name="digits_cnm", width=1.0)
    bad = dataclasses.replace(good, spec=dataclasses.replace(good.spec, model=model))
    work = dataclasses.replace(tiny, units=(bad, good))
    (tmp_path / "config.toml").touch()
    pool = RayPool(
        work,
        tmp_path,
        {"name": "digits"},
        here=environment.collect(),
        address=None,
        workers=1,
        cores=1,
        notice=lambda _: None,
    )
    failures = Failures(tmp_path, {}, lambda _: None)
    assert runner.execute(work, set(), pool, Silent(), failed=failures.add) == 0
    (line,) = failures.lines
    assert "(InputError: Unknown model 'digits_cnm'. Did you mean 'digits_cnn'" in line
    (file,) = (tmp_path / "failed").iterdir()
    assert str(file) in line
    assert "in perform" in file.read_text(), "the worker's traceback"
    assert Store(tmp_path).done(good)


def test_a_folder_that_a_worker_cannot_see(tmp_path, monkeypatch):
    """Found after it has set how many operations run at a time: as many as it has cores."""
    from pellucid.benchmark.execution.ray import Worker

    told = []
    monkeypatch.setattr(backend, "configure", told.append)
    with pytest.raises(
        InputError, match="must be on a file system that all machines of the cluster share"
    ):
        Worker(
            (Plan(None, None, (), ()), tmp_path / "elsewhere", {"name": "digits"}, 3, 1)
        ).prepare()
    assert told == [3]


def test_a_worker_that_reads_other_images(tmp_path, monkeypatch, digits):
    """Its machine's copy of the data set has the same name and sizes, but not the same images."""
    from pellucid.benchmark.data.identity import same_images
    from pellucid.benchmark.execution.ray import Worker

    monkeypatch.setattr(backend, "configure", lambda _: None)
    (tmp_path / "config.toml").touch()
    other = dataclasses.replace(digits, x_test=digits.x_test[::-1])
    same_images(tmp_path, other)
    with pytest.raises(InputError, match="holds results made from other images"):
        Worker((Plan(None, None, (), ()), tmp_path, {"name": "digits"}, 1, 1)).prepare()


def test_an_address_that_is_none():
    from pellucid.benchmark.execution.ray import _connect

    with pytest.raises(InputError, match="No Ray cluster answers at 'nonsense'"):
        _connect("nonsense", None, "tensorflow")


def test_a_cluster_that_asks_for_a_token(serial, tmp_path):
    """`ray start` as typed, with a stored token, which a named head is shown only on request."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    ray = Path(sys.executable).with_name("ray")
    # Ray writes its mode into the environment of a process that has started a cluster, as this one
    # may have.
    around = {name: value for name, value in os.environ.items() if not name.startswith("RAY_AUTH_")}
    inside = around | {"HOME": str(tmp_path), "RAY_TMPDIR": "/tmp"}
    subprocess.run(
        [ray, "get-auth-token", "--generate"], env=inside, check=True, capture_output=True
    )
    start = [
        ray,
        "start",
        "--head",
        "--block",
        "--node-ip-address=127.0.0.1",
        f"--port={address.split(':')[1]}",
    ]
    more = ["--num-cpus=2", "--include-dashboard=false"]
    with subprocess.Popen([*start, *more], env=inside, stdout=subprocess.PIPE, text=True) as head:
        try:
            assert any("Ray runtime started" in line for line in head.stdout)
            arguments = command(tmp_path / "run", "--address", address)
            refused = subprocess.run(
                arguments, cwd=ROOT, env=inside, capture_output=True, text=True, check=False
            )
            assert refused.returncode == 2
            assert f"'{address}' (it asks for a token; " in refused.stderr
            shown = inside | {"RAY_AUTH_MODE": "token"}
            subprocess.run(arguments, cwd=ROOT, env=shown, capture_output=True, check=True)
        finally:
            for process in (*psutil.Process(head.pid).children(recursive=True), head):
                with suppress(psutil.NoSuchProcess):
                    process.kill()
    assert tables(tmp_path / "run") == serial


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--executor", "ray", "--address", "127.0.0.1:9"],
            "No Ray cluster answers at '127.0.0.1:9'",
        ),
        (["--address", "127.0.0.1:6379"], "--address, --cores and --share need --executor ray."),
        (["--share", "2"], "--address, --cores and --share need --executor ray."),
        (["--executor", "slurm"], "'slurm' is not one of 'threads', 'ray'"),
        (
            ["--executor", "ray", "--cores", "0"],
            "'--cores': Input should be greater than or equal to 1",
        ),
    ],
)
def test_mistakes(tmp_path, options, message):
    done = call("run", "--config", TINY, "--out", tmp_path / "run", *options)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_workers_must_have_the_same_libraries():
    from pellucid.benchmark.execution.ray import _same

    here = {
        "backend": "jax",
        "commit": "a",
        "protocol_version": 1,
        "packages": {"keras": "3.15", "jax": "0.10"},
    }
    _same(here, dict(here), "node")
    with pytest.raises(InputError, match=r"on node differs in backend: tensorflow, here it is jax"):
        _same(here, here | {"backend": "tensorflow"}, "node")
    with pytest.raises(InputError, match=r"differs in packages: jax None, here 0\.10"):
        _same(here, here | {"packages": {"keras": "3.15"}}, "node")


class Dying:
    """A pool whose workers are lost with every unit."""

    workers = at_once = 1
    holds = None

    def __enter__(self):
        self.units = []
        return self

    def __exit__(self, *_):
        pass

    @property
    def busy(self):
        return bool(self.units)

    def free(self):
        return [] if self.units else ["worker"]

    def start(self, worker, units):
        self.units = units

    def wait(self, timeout):
        units, self.units = self.units, []
        return [Ended(unit, None, None, "the worker") for unit in units]


def test_a_unit_that_kills_its_workers_does_not_run_for_ever():
    seen = []

    class Observer:
        def started(self, unit):
            seen.append("started")

        def lost(self, unit, worker):
            seen.append(worker)

        def waiting(self):
            pass

    work = Plan(None, None, (), (unit("a"),))
    with pytest.raises(
        InputError, match="'train a' lost its worker 3 times, the last time the worker"
    ):
        runner.execute(work, set(), Dying(), Observer())
    assert seen == ["started", "the worker"] * 3
