"""The folder of a run: who may use it, and what a kill at a bad moment leaves."""

import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pellucid.attacks import pgd
from pellucid.benchmark.cli.app import entry_point
from pellucid.benchmark.execution import folder
from pellucid.benchmark.units import train
from pellucid.models.errors import InputError, UnwritableError
from tests.commands import here


def test_killed_while_its_first_file_was_written(tmp_path):
    """Only the lock and a half-written file are there: it is still a run's folder."""
    (tmp_path / ".writing-abc.toml").write_text("version")
    (tmp_path / ".lock").touch()
    with folder.locked(tmp_path):
        pass


def test_killed_while_clearing_it_can_be_used_again(tmp_path, monkeypatch):
    """Wherever the removal stops, what is left is empty or still marked as a run."""
    for stop in range(len(folder.WRITTEN)):
        out = tmp_path / str(stop)
        for name in folder.WRITTEN[:5]:
            (out / name).mkdir(parents=True)
        for name in folder.WRITTEN[5:]:
            (out / name).write_text("x")
        with monkeypatch.context() as patch:
            patch.setattr(folder, "WRITTEN", folder.WRITTEN[:stop])
            folder.clear(out)
        with folder.locked(out):
            pass
    shutil.rmtree(tmp_path)


def test_refused_before_anything_was_written_it_leaves_no_folder(tmp_path):
    with pytest.raises(InputError, match="a reason"), folder.locked(tmp_path / "new"):
        raise InputError("a reason")
    assert not (tmp_path / "new").exists()


def test_somebody_elses_folder(tmp_path):
    (tmp_path / "file").touch()
    with (
        pytest.raises(InputError, match="is not empty and does not hold a run"),
        folder.locked(tmp_path),
    ):
        pass


ONE = """
version = 1
name = "one"
scale = "quick"
[data]
name = "digits"
[model]
name = "digits_cnn"
[training]
epochs = 1
[adversary]
steps = 2
[[grid]]
norm = "l2"
epsilons = [0.5]
losses = ["xent"]
[evaluation]
norm = "l2"
epsilon = 0.4
"""
"""A run of two networks: the standard one, and one trained against an adversary."""


def way(thread: int | None) -> list[str]:
    """Functions of the project that a thread is in, outermost first, as `file.function`.

    Left out are lambdas, comprehensions, a backend's loops around a function, and what tells that
    it is compiled.
    """
    found, frame = [], sys._current_frames()[thread]
    while frame is not None:
        path, name = Path(frame.f_code.co_filename), frame.f_code.co_name
        ours = "pellucid" in path.parts and path.parts[-2] != "backend"
        ours = ours and path.stem != "compiling"
        if ours and not name.startswith("<"):
            found.append(f"{path.stem}.{name}")
        frame = frame.f_back
    return found[::-1]


def test_from_the_command_to_the_formula(tmp_path, monkeypatch):
    """The way that `docs/design.md` names: eight calls through five files."""
    ways: list[list[str]] = []
    caller, projected = threading.get_ident(), pgd.into_ball_and_box

    def reached(*args: object) -> object:
        worker_way = way(threading.get_ident())
        if "train.work" in worker_way:
            ways.append(way(caller))
            ways.append(worker_way)
            raise UnwritableError("far enough")  # other errors would not end the run
        return projected(*args)

    monkeypatch.setattr(pgd, "into_ball_and_box", reached)
    config = tmp_path / "one.toml"
    config.write_text(ONE)
    assert entry_point(["run", "--config", str(config), "--out", str(tmp_path / "run")]) == 2

    caller_way, worker_way = ways[:2]
    start, end = caller_way.index("running.run"), worker_way.index("pgd.pgd")
    calls = [name for name in caller_way[start:] if name != "threads.wait"] + worker_way[: end + 1]
    assert calls == [
        "running.run",
        "runner.run",
        "runner.execute",
        "runner.perform",
        "train.work",
        "classifier.train",
        "classifier.epoch",
        "classifier.step",
        "pgd.pgd",
    ]


@contextmanager
def failing(which: Callable[[train.Spec], bool]) -> Iterator[None]:
    """Training fails for the networks of which `which` is true."""
    work = train.KIND.work

    def fails(spec: train.Spec, context: object) -> object:
        if which(spec):
            raise ZeroDivisionError("no such luck")
        return work(spec, context)

    object.__setattr__(train.KIND, "work", fails)
    try:
        yield
    finally:
        object.__setattr__(train.KIND, "work", work)


def test_a_unit_that_fails_leaves_the_others_and_the_same_command_tries_again(tmp_path):
    """The adversary's network cannot be trained; what does not need it is computed and stored."""
    (tmp_path / "one.toml").write_text(ONE)
    command = ["run", "--config", tmp_path / "one.toml", "--out", tmp_path / "run"]
    with failing(lambda spec: spec.attack is not None):
        done = here(*command)
    assert done.returncode == 1
    (file,) = (tmp_path / "run" / "failed").iterdir()
    assert "Traceback" in file.read_text()
    assert "in fails" in file.read_text()
    failure, summary = done.stderr.splitlines()
    assert failure.startswith("failed: train l2-0.5-xent")
    assert failure.endswith(f"(ZeroDivisionError: no such luck), see {file}")
    assert failure in done.stdout, "it is said when it happens, too"
    assert summary.startswith("1 of ")
    left_out = int(summary.split(" units failed, and ")[1].split()[0])
    assert left_out > 0
    assert not (tmp_path / "run" / "results").exists()

    again = here(*command)
    assert (again.returncode, again.stderr) == (0, "")
    (note,) = (line for line in again.stdout.splitlines() if line.startswith("note: not fitted: "))
    assert " This matters for ROAR and KAR: raise training.epochs" in note
    (counts,) = (line for line in again.stdout.splitlines() if "units of work" in line)
    units, before = (int(word.split()[0]) for word in counts.split(": ")[1].split(", ")[:2])
    assert before == units - 1 - left_out, "all that did not need it was stored"
    assert before > 0
    assert not (tmp_path / "run" / "failed").exists()


def test_the_other_runs_of_a_sweep_go_on(tmp_path):
    (tmp_path / "one.toml").write_text(ONE)
    command = ["run", "--config", tmp_path / "one.toml", "--out", tmp_path / "sweep"]
    changes = ("grid=[]", 'sweep={"training.epochs"=[1, 2]}')
    with failing(lambda spec: spec.training.epochs == 1):
        done = here(*command, *(word for change in changes for word in ("--set", change)))
    assert done.returncode == 1
    (file,) = tmp_path.glob("sweep/*/failed/*.txt")
    failure, summary = done.stderr.splitlines()
    assert failure.endswith(f", see {file}")
    assert summary.startswith("1 of ")
    finished = [path.parent.name for path in tmp_path.glob("sweep/*/results")]
    assert len(finished) == 1
    assert finished != [file.parents[1].name]
