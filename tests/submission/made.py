"""Small git repositories with a branch for each submission."""

import os
import subprocess
from pathlib import Path

CARD = """\
name = "My CNN"
authors = ["A. Newcomer"]
licence = "MIT"
description = "One convolution and a dense layer."

[training]
norm = "none"
loss = "cross-entropy"
"""
SUBMISSION = 'track = "digits"\nmodel = "net.keras"\n'
FILES = {"submission.toml": SUBMISSION, "card.toml": CARD, "net.keras": b"not a model"}

NAMED = {
    f"GIT_{who}_{what}": value
    for who in ("AUTHOR", "COMMITTER")
    for what, value in (("NAME", "A. Newcomer"), ("EMAIL", "a@example.org"))
}


class Repository:
    """A git repository whose branch `main` is checked out."""

    def __init__(self, root: Path, text: str = "the benchmark\n") -> None:
        self.root = root
        (root / "benchmark").mkdir(parents=True, exist_ok=True)
        self.git("init", "--quiet", "--initial-branch", "main")
        self.write({"benchmark/code.txt": text})
        self.commit("the first")

    def git(self, *arguments: str, stdin: bytes = b"") -> str:
        done = subprocess.run(
            ["git", *arguments],
            cwd=self.root,
            input=stdin,
            capture_output=True,
            env=os.environ | NAMED,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().strip()

    def write(self, files: dict[str, str | bytes]) -> None:
        for name, content in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)

    def commit(self, message: str) -> str:
        self.git("add", "--all", "--force")
        self.git("commit", "--quiet", "--message", message)
        return self.git("rev-parse", "HEAD")

    def branch(self, files: dict[str, str | bytes], links: dict[str, str] | None = None) -> str:
        """Commits files and links on a branch of their own; `main` is checked out again."""
        self.git("checkout", "--quiet", "--detach", "main")
        self.write(files)
        for name, target in (links or {}).items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).symlink_to(target)
        made = self.commit("a submission")
        self.git("checkout", "--quiet", "main")
        return made

    def tree(self, files: list[tuple[str, str, bytes]]) -> str:
        """A commit with a tree that a checkout could not have.

        Args:
            files: Mode, name and content of what `submissions/odd` holds.
        """
        lines = []
        for mode, name, content in files:
            if mode == "160000":
                lines.append(f"{mode} commit {'1' * 40}\t{name}")
                continue
            blob = self.git("hash-object", "-w", "--stdin", stdin=content)
            lines.append(f"{mode} blob {blob}\t{name}")
        inner = self.git("mktree", "--missing", "-z", stdin="\0".join(lines).encode() + b"\0")
        middle = self.git("mktree", stdin=f"040000 tree {inner}\todd\n".encode())
        main = self.git("ls-tree", "main").encode() + b"\n"
        top = self.git("mktree", stdin=main + f"040000 tree {middle}\tsubmissions\n".encode())
        return self.git("commit-tree", top, "-p", "main", "-m", "odd")


def submission(name: str, **changed: str | bytes | None) -> dict[str, str | bytes]:
    """The files of a submission by path; others by keyword, or None to leave one out.

    In a keyword, `_` stands for the dot of a name.
    """
    files = FILES | {key.replace("_", "."): value for key, value in changed.items()}
    return {f"submissions/{name}/{file}": c for file, c in files.items() if c is not None}
