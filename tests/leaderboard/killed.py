"""Changes a board repeatedly, killed (kill -9) before each change of the file system in turn.

Run as `python -m tests.leaderboard.killed FOLDER`; prints the number of points.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

from pellucid.leaderboard.board import Board
from tests.leaderboard.made import grid, made

CHANGES = ("replace", "rename", "unlink", "mkdir", "rmdir", "fsync")


def put_until_killed(root: Path, at: int) -> None:
    left = at

    def counted(real):
        def call(*arguments, **options):
            nonlocal left
            left -= 1
            if left < 0:
                os.kill(os.getpid(), signal.SIGKILL)
            return real(*arguments, **options)

        return call

    for name in CHANGES:
        setattr(os, name, counted(getattr(os, name)))
    Board(root).put([made("new", 0.95, 0.2)])


def main(folder: Path) -> None:
    start = folder / "start"
    Board(start).put(
        [*grid(), made("new", 0.9, 0.1)]
    )  # the new entry takes the place of an old one
    points = 0
    while True:
        root = folder / f"killed-{points}"
        shutil.copytree(start, root)
        child = os.fork()
        if child == 0:
            put_until_killed(root, points)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if os.WIFEXITED(status):
            break
        points += 1
    root.rename(folder / "done")
    print(points)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
