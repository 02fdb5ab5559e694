"""The folder of a run: who may use it, and what a kill at a bad moment leaves."""

import shutil

import pytest

from robust_interpretability.benchmark.execution import folder
from robust_interpretability.models.errors import InputError


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
