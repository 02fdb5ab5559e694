"""The commit that a result records is that of this code, never of a repository around it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pellucid.benchmark import environment
from tests.conftest import ROOT

UNKNOWN = {"commit": None, "uncommitted_changes": None}


def git(folder: Path, *arguments: str) -> str:
    who = ["-c", "user.name=Somebody", "-c", "user.email=somebody@example.org"]
    done = subprocess.run(
        ["git", *who, *arguments], cwd=folder, check=True, capture_output=True, text=True
    )
    return done.stdout.strip()


def repository(folder: Path, project: str) -> str:
    """A repository with a `pyproject.toml` of a project; returns its commit."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "pyproject.toml").write_text(f'[project]\nname = "{project}"\n')
    git(folder, "init", "--quiet")
    git(folder, "add", "pyproject.toml")
    git(folder, "commit", "--quiet", "--message", "first")
    return git(folder, "rev-parse", "HEAD")


def test_a_checkout_reports_its_commit_and_changes(tmp_path):
    commit = repository(tmp_path, environment.PROJECT)
    assert environment.source(tmp_path) == {"commit": commit, "uncommitted_changes": False}
    (tmp_path / "untracked.txt").write_text("not a change")
    assert environment.source(tmp_path)["uncommitted_changes"] is False
    with (tmp_path / "pyproject.toml").open("a") as file:
        file.write('version = "2"\n')
    assert environment.source(tmp_path) == {"commit": commit, "uncommitted_changes": True}


@pytest.mark.parametrize("project", ["somebody-elses-project", environment.PROJECT])
def test_an_installed_copy_reports_no_commit(tmp_path, project):
    """In the virtual environment of another project, or of our checkout."""
    repository(tmp_path, project)
    installed = tmp_path / ".venv" / "lib" / "site-packages" / "pellucid"
    installed.mkdir(parents=True)
    assert environment.source(installed) == UNKNOWN


def test_another_project_at_the_same_place_reports_no_commit(tmp_path):
    repository(tmp_path, "somebody-elses-project")
    assert environment.source(tmp_path) == UNKNOWN
    (tmp_path / "pyproject.toml").write_text("[tool.black]\n")
    assert environment.source(tmp_path) == UNKNOWN


def test_an_unpacked_archive_reports_no_commit(tmp_path):
    """Our files without a repository, or inside somebody else's."""
    repository(tmp_path, "somebody-elses-project")
    unpacked = tmp_path / "vendor" / "benchmark"
    unpacked.mkdir(parents=True)
    shutil.copy(ROOT / "pyproject.toml", unpacked)
    assert environment.source(unpacked) == UNKNOWN


def test_the_root_is_that_of_this_checkout():
    assert environment.ROOT == ROOT
    assert environment.is_checkout(ROOT) == (ROOT / ".git").exists()
