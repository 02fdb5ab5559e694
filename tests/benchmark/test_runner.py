"""The folder of a run: who may use it, and what a kill at a bad moment leaves."""

import shutil
import sys
import threading
from pathlib import Path

import pytest

from pellucid.attacks import pgd
from pellucid.benchmark.cli.app import entry_point
from pellucid.benchmark.execution import folder
from pellucid.models.errors import InputError


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


def way(thread: int | None) -> list[str]:
    """Functions of the project that a thread is in, outermost first, as `file.function`.

    Left out are lambdas, comprehensions, and a backend's loops around a function.
    """
    found, frame = [], sys._current_frames()[thread]
    while frame is not None:
        path, name = Path(frame.f_code.co_filename), frame.f_code.co_name
        ours = "pellucid" in path.parts and path.parts[-2] != "backend"
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
            raise InputError("far enough")
        return projected(*args)

    monkeypatch.setattr(pgd, "into_ball_and_box", reached)
    config = tmp_path / "one.toml"
    config.write_text(
        'version = 1\nname = "one"\nscale = "quick"\n[data]\nname = "digits"\n'
        '[model]\nname = "digits_cnn"\n[training]\nepochs = 1\n[adversary]\nsteps = 2\n'
        '[[grid]]\nnorm = "l2"\nepsilons = [0.5]\nlosses = ["xent"]\n'
        '[evaluation]\nnorm = "l2"\nepsilon = 0.4\n'
    )
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
