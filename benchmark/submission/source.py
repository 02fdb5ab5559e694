"""A submission's folder as a few small files: read from disk, or out of a commit's objects.

A commit from outside is never checked out. Its tree is listed and its files are read as objects of
git, after names, modes and sizes have been checked, so no link is followed, no filter or hook runs,
and nothing is written where a path of the commit says.
"""

import os
import re
import stat
import subprocess
from pathlib import Path
from typing import NamedTuple

from pellucid.benchmark.submission.request import CARD, NAME, SUBMISSION
from pellucid.leaderboard.card import MAX_CARD_BYTES
from pellucid.models.errors import InputError, printable
from pellucid.models.untrusted.format.archive import MAX_FILE_BYTES

FOLDER = "submissions"
"""Where submissions lie in the repository."""
MOST_FILES = 3
REGULAR = "100644"
"""Git's mode of a plain file that cannot be executed."""
_SMALL = {SUBMISSION: MAX_CARD_BYTES, CARD: MAX_CARD_BYTES}
_SHOWN = 120
_OUTPUT_BYTES = 1 << 20
"""Of a list of paths or of a folder's tree: enough to say what is wrong."""


class Source(NamedTuple):
    """A submission's folder.

    Attributes:
        name: The folder's name.
        files: Contents by name.
        commit: The commit that it was read from; empty if from disk.
        changes: Whether the repository has a folder of that name already.
    """

    name: str
    files: dict[str, bytes]
    commit: str = ""
    changes: bool = False


def _shown(name: str) -> str:
    return f"'{printable(name, _SHOWN)}'"


def _check_names(names: list[str], where: str) -> None:
    """Refuses a folder that holds something else than the three files.

    Raises:
        InputError: A name is not allowed, or one of the two TOML files is missing.
    """
    for name in names:
        if not re.fullmatch(NAME, name):
            raise InputError(
                f"{where} holds {_shown(name)}: names have letters, digits, '.', '_' and '-' alone,"
                " and begin with a letter or digit."
            )
        if name not in _SMALL and not name.endswith(".keras"):
            raise InputError(
                f"{where} holds {name}; a submission has {SUBMISSION}, {CARD} and at most one"
                " .keras file."
            )
    if len(names) > MOST_FILES:
        raise InputError(f"{where} holds {len(names)} files; at most {MOST_FILES} are accepted.")
    for name in _SMALL:
        if name not in names:
            raise InputError(f"{where} has no {name}. docs/submitting.md says what belongs in it.")


def _check_size(name: str, size: int, where: str) -> None:
    most = _SMALL.get(name, MAX_FILE_BYTES)
    if size > most:
        raise InputError(f"{where}/{name} has {size:,} bytes; at most {most:,} are accepted.")


def from_disk(folder: Path) -> Source:
    """Reads a submission from a folder on this machine.

    Raises:
        InputError: There is no such folder, it holds something else than regular files of the
            allowed names and sizes, or it cannot be read.
    """
    where = printable(str(folder), _SHOWN)
    try:
        with os.scandir(folder) as listed:
            found = {entry.name: entry for entry in listed}
        _check_names(sorted(found), where)
        files = {}
        for name, entry in found.items():
            if not stat.S_ISREG(entry.stat(follow_symlinks=False).st_mode):
                raise InputError(f"{where}/{name} is not a regular file: no links, no folders.")
            # not through a link that took the file's place, and not waiting for a pipe
            flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
            with os.fdopen(os.open(entry.path, flags), "rb") as file:
                _check_size(name, os.fstat(file.fileno()).st_size, where)
                files[name] = file.read(_SMALL.get(name, MAX_FILE_BYTES))
    except OSError as error:
        raise InputError(f"{where} cannot be read ({error.strerror}).") from error
    return Source(folder.resolve().name, files)


def _git(*arguments: str, most: int | None = None) -> bytes | None:
    """What git prints; None where it fails.

    Args:
        arguments: The command, without `git`.
        most: Bytes of the output at most, by default a mebibyte; git is ended where there are
            more.

    Raises:
        InputError: There is no git, or it prints more.
    """
    command = ["git", "--no-replace-objects", "--literal-pathspecs", *arguments]
    quiet, most = subprocess.DEVNULL, _OUTPUT_BYTES if most is None else most
    try:
        with subprocess.Popen(
            command, stdin=quiet, stdout=subprocess.PIPE, stderr=quiet
        ) as process:
            assert process.stdout is not None
            output = process.stdout.read(most + 1)
            if len(output) > most:
                process.kill()
                raise InputError(
                    f"The commit is too large: git {arguments[0]} prints over {most:,} bytes."
                )
    except FileNotFoundError as error:
        raise InputError("git is needed to read a commit; install it.") from error
    return output if process.returncode == 0 else None


def _commit(reference: str) -> str:
    """The hash of a commit.

    Raises:
        InputError: There is no such commit in this repository, or no repository.
    """
    found = _git("rev-parse", "--verify", "--quiet", "--end-of-options", f"{reference}^{{commit}}")
    if not found:
        raise InputError(
            f"There is no commit {_shown(reference)} in the repository of this folder. Fetch it"
            " first, as with `git fetch origin pull/NUMBER/head`."
        )
    return found.decode().strip()


def _changed(commit: str) -> list[str]:
    """The paths that a commit changes relative to where it left HEAD.

    Raises:
        InputError: It shares no history with HEAD; it changes more than can be listed.
    """
    base = _git("merge-base", "HEAD", commit)
    if not base:
        raise InputError(
            f"The commit {commit[:12]} shares no history with HEAD: branch off the repository's"
            " main branch (and fetch its whole history, not a shallow one)."
        )
    paths = _git(
        "diff-tree", "-r", "-z", "--no-renames", "--name-only", base.decode().strip(), commit
    )
    if paths is None:
        raise InputError(f"git cannot compare the commit {commit[:12]} with HEAD.")
    return [path.decode(errors="replace") for path in paths.split(b"\0") if path]


def _one_folder(commit: str, folder: str | None) -> str:
    """The one folder of `submissions/` that a commit changes.

    Raises:
        InputError: It changes something else too, or nothing, or its name is not allowed.
    """
    changed = _changed(commit)
    if not changed:
        raise InputError(f"The commit {commit[:12]} changes nothing relative to HEAD.")
    if folder is None:
        inside = [path for path in changed if path.startswith(f"{FOLDER}/")]
        if not inside or inside[0].count("/") < 2:
            raise InputError(
                f"The commit {commit[:12]} adds no folder {FOLDER}/NAME: it changes"
                f" {_shown((inside or changed)[0])}."
            )
        folder = "/".join(inside[0].split("/")[:2])
    if not re.fullmatch(rf"{FOLDER}/{NAME}", folder):
        raise InputError(
            f"{_shown(folder)} does not name a submission: with --commit, it is {FOLDER}/NAME,"
            " where NAME has letters, digits, '.', '_' and '-' alone."
        )
    outside = [path for path in changed if not path.startswith(f"{folder}/")]
    if outside:
        more = f" and {len(outside) - 1} more paths" if len(outside) > 1 else ""
        raise InputError(
            f"The commit {commit[:12]} changes {_shown(outside[0])}{more} outside {folder}. A"
            " submission changes its one folder alone; propose other changes separately."
        )
    return folder


class _Blob(NamedTuple):
    """A line of a tree: mode, kind, object, size."""

    mode: str
    kind: str
    object: str
    size: int


def _tree(commit: str, folder: str) -> dict[str, _Blob] | None:
    """What a folder of a commit holds, by name; None where there is no such folder."""
    listed = _git("ls-tree", "-z", "-l", f"{commit}:{folder}")
    if listed is None:
        return None
    found = {}
    for line in listed.split(b"\0"):
        if line:
            about, _, name = line.partition(b"\t")
            mode, kind, content, size = about.decode().split()
            blob = _Blob(mode, kind, content, int(size) if size.isdigit() else 0)
            found[name.decode(errors="replace")] = blob
    return found


def from_commit(reference: str, folder: str | None = None) -> Source:
    """Reads a submission out of a commit of this folder's repository, which stays as it is.

    Args:
        reference: The commit, in any way git names one.
        folder: `submissions/NAME`; by default the one folder that the commit changes.

    Raises:
        InputError: There is no such commit or folder; the commit changes something outside that
            folder relative to where it left HEAD; the folder holds something else than regular
            files of the allowed names and sizes.
    """
    commit = _commit(reference)
    folder = _one_folder(commit, folder.rstrip("/") if folder else None)
    tree = _tree(commit, folder)
    if tree is None:
        raise InputError(f"The commit {commit[:12]} has no folder {folder}.")
    for name, blob in tree.items():
        if blob.mode != REGULAR or blob.kind != "blob":
            raise InputError(
                f"{folder}/{printable(name, _SHOWN)} is not a regular file (git's mode {blob.mode},"
                f" not {REGULAR}): no links, no folders, no submodules, no programs."
            )
    _check_names(sorted(tree), folder)
    files = {}
    for name, blob in tree.items():
        _check_size(name, blob.size, folder)
        content = _git("cat-file", "blob", blob.object, most=blob.size)
        if content is None or len(content) != blob.size:
            raise InputError(f"{folder}/{name} cannot be read out of the commit {commit[:12]}.")
        files[name] = content
    known = _tree("HEAD", folder) is not None
    return Source(folder.rpartition("/")[2], files, commit, known)
