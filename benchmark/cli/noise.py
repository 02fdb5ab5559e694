"""Keeps what TensorFlow writes while it starts off the terminal; what is wrong still reaches it.

TensorFlow writes some lines before it has read `TF_CPP_MIN_LOG_LEVEL`, as that oneDNN is on. They
come from C++, below Python's `sys.stderr`, so the file descriptor is filtered. The filter is a
process of its own: what a crash writes last passes too.
"""

import os
import re
import signal
import sys

LEVEL = "TF_CPP_MIN_LOG_LEVEL"
"""TensorFlow's variable for the lowest level that it logs."""
QUIET = "3"
"""Its value by default: what goes wrong reaches Python as an exception."""
EVERYTHING = "0"
"""Its value with which nothing is kept off the terminal."""

_NOISE = re.compile(
    rb"WARNING: All log messages before absl::InitializeLog\(\) is called"
    rb"|I\d{4} \d\d:\d\d:[\d.]+ +\d+ \S+:\d+\] "
    rb"|To enable the following instructions: "
)
"""How a line begins that says nothing to a user: what absl logs as information."""


def _filter(source: int, target: int) -> None:
    """Copies the lines that are not noise until nobody can write any more."""
    with open(source, "rb") as lines, open(target, "wb", buffering=0) as shown:
        for line in lines:
            if not _NOISE.match(line):
                shown.write(line)


def keep_off_the_terminal() -> None:
    """Filters this process' stderr from here on; Python's own is not touched."""
    wanted = os.environ.get(LEVEL) == EVERYTHING
    if wanted or sys.stderr is None or not hasattr(os, "fork"):
        return
    terminal, (source, sink) = os.dup(2), os.pipe()
    if os.fork() == 0:
        try:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the command
            for unused in (0, 1, 2, sink):
                os.close(unused)
            _filter(source, terminal)
        finally:
            os._exit(0)
    os.close(source)
    os.dup2(sink, 2)
    os.close(sink)
    sys.stderr = os.fdopen(
        terminal, "w", buffering=1, encoding=sys.stderr.encoding, errors="backslashreplace"
    )
