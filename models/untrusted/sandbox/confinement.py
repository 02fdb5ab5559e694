"""The outside of the confinement: runs a module of ours in a process that can only compute.

The process cannot reach a network, start a process or a program, open any file for writing, or
outlive its limits or this process. It writes results through descriptors that are open before it is
confined, so what it can put on disk is bounded too. Linux only: seccomp is what denies these
things, and without it nothing is run.

Where the kernel has Landlock, it can read the interpreter, its libraries, this package and its own
folder alone. Where the kernel has neither Landlock nor user namespaces, nothing keeps it from
reading this process through /proc but that this process makes itself undumpable meanwhile: it is
run there only if the caller allows weaker confinement.
"""

import ctypes
import importlib.util
import json
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pellucid
from pellucid.models.untrusted.refusal import Refused

_ROOT = str(Path(pellucid.__file__).absolute().parent.parent)
_CAGE = Path(__file__).resolve().parent / "cage.py"
_INHERITED = ("LD_LIBRARY_PATH", "SYSTEMROOT", "TF_ENABLE_ONEDNN_OPTS")
"""Variables that the confined process gets: a model is tried with the kernels that measure it."""


_SYSTEM = (
    "/lib",
    "/lib64",
    "/usr/lib",
    "/usr/lib64",
    "/usr/local/lib",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/dev/null",
    "/dev/urandom",
    "/proc/self",
    "/proc/cpuinfo",
    "/proc/filesystems",
    "/proc/meminfo",
    "/proc/stat",
    "/proc/sys",
    "/sys/devices/system",
    "/sys/fs/cgroup",
    "/sys/kernel/mm",
)
"""What libraries read besides themselves."""
STRONG = ("landlock", "user namespace")
"""Locks of which one must hold."""
WITHOUT: tuple[str, ...] = ()
"""Locks that are left off, as on a system that does not have them; for tests."""
MAX_THREADS = 256
"""Threads of a confined process; TensorFlow and JAX start a few dozen."""
_LOOK = 0.1
"""Seconds between two looks at them."""
_PR_SET_DUMPABLE = 4
_dumpable_lock = threading.Lock()
_confining: set[object] = set()
"""A token for each confined process that runs."""


class Limits(NamedTuple):
    """What a confined process may use; the defaults suffice for every model within `graph`'s caps.

    Attributes:
        memory_bytes: Address space. TensorFlow needs 2.2 GiB before the model.
        cpu_seconds: Processor time, of all threads together. Importing TensorFlow takes 5 to 10.
        wall_seconds: Time by the clock.
        file_bytes: Size of any one output; the weights of the largest model are 191 MiB.
        open_files: Descriptors open at once.
        weaker: Whether a system without Landlock and user namespaces will do.
    """

    memory_bytes: int = 8 << 30
    cpu_seconds: int = 900
    wall_seconds: float = 900.0
    file_bytes: int = 256 << 20
    open_files: int = 256
    weaker: bool = False


DEFAULT_LIMITS = Limits()


class Completed(NamedTuple):
    """How a confined process ended.

    Attributes:
        returncode: Its exit status; minus the signal that ended it.
        timed_out: Whether it was killed because its time by the clock was over.
        crowded: Whether it was killed because it had more than `MAX_THREADS` threads.
        confinement: The locks that held it.
        log: The end of what it printed, at most 4,000 bytes; hostile text.
    """

    returncode: int
    timed_out: bool
    crowded: bool
    confinement: list[str]
    log: str


def search_path() -> list[str]:
    """Where the confined process looks for modules: where this process does, in the same order.

    Entries that depend on the working folder are left out, so this package's parent is added where
    it was imported through one of these.
    """
    path = [entry for entry in sys.path if Path(entry).is_absolute()]
    return path if _ROOT in path else [_ROOT, *path]


def environment(folder: Path) -> dict[str, str]:
    """The environment of the confined process, in which every library runs small and on the CPU.

    The caller's variables, and the secrets in them, stay here.
    """
    inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    return inherited | {
        "PATH": "/usr/bin:/bin",
        "HOME": str(folder),
        "TMPDIR": str(folder),
        "KERAS_HOME": str(folder),
        "MPLCONFIGDIR": str(folder),
        "KERAS_BACKEND": os.environ.get("KERAS_BACKEND", "tensorflow"),
        "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTHONUTF8": "1",
        "PYTHONHASHSEED": "0",
        "CUDA_VISIBLE_DEVICES": "-1",
        "JAX_PLATFORMS": "cpu",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_NUM_INTRAOP_THREADS": "2",
        "TF_NUM_INTEROP_THREADS": "2",
        "OMP_NUM_THREADS": "2",
        "OPENBLAS_NUM_THREADS": "2",
        "MALLOC_ARENA_MAX": "2",
        "HDF5_USE_FILE_LOCKING": "FALSE",
    }


def _report(descriptor: int, deadline: float) -> list[str]:
    """The locks that hold, as told by a process that has not yet read anything hostile."""
    text = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while selector.select(max(0.0, deadline - time.monotonic())):
            part = os.read(descriptor, 4096)
            if not part or len(text) > 4096:
                break
            text += part
    try:
        return [str(name) for name in json.loads(text)]
    except ValueError:
        return []


def _has_libraries(folder: Path) -> bool:
    """Whether packages were installed there.

    `python -m` and PYTHONPATH search other folders too, such as the one that a user works in.
    """
    return any(folder.glob("*.dist-info"))


def _readable(folder: Path, module: str) -> list[str]:
    """What the confined process may read: the interpreter, libraries, our package, its folder."""
    package = Path(pellucid.__file__).parent
    found = importlib.util.find_spec(module.partition(".")[0])
    own = [package, *(path.resolve() for path in package.iterdir() if path.is_dir())]
    own += map(Path, (found.submodule_search_locations if found else None) or ())
    libraries = [entry for entry in map(Path, search_path()) if _has_libraries(entry)]
    interpreter = [Path(prefix) for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix}]
    more = [entry for entry in os.environ.get("LD_LIBRARY_PATH", "").split(":") if entry]
    return [*map(str, (*interpreter, *libraries, *own, folder)), *more, *_SYSTEM]


@contextmanager
def _undumpable() -> Iterator[None]:
    """Keeps other processes of this user from reading this one's memory and environment."""
    libc, token = ctypes.CDLL(None), object()
    with _dumpable_lock:
        _confining.add(token)
        libc.prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    try:
        yield
    finally:
        with _dumpable_lock:
            _confining.remove(token)
            if not _confining:
                libc.prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)


def _threads(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/task").iterdir()))
    except OSError:  # it has ended
        return 0


def _wait(process: subprocess.Popen[bytes], deadline: float) -> bool:
    """Waits for a process; one that starts too many threads is killed.

    Returns:
        Whether it was killed for its threads.

    Raises:
        subprocess.TimeoutExpired: It has not ended by the deadline.
    """
    while process.poll() is None:
        if _threads(process.pid) > MAX_THREADS:
            _end(process)
            return True
        left = deadline - time.monotonic()
        try:
            process.wait(max(0.0, min(_LOOK, left)))
        except subprocess.TimeoutExpired:
            if left <= _LOOK:
                raise
    return False


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kills the process and its group, and waits for it."""
    if process.returncode is None:
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            process.kill()
        process.wait()


def _check_locks(held: list[str], limits: Limits) -> None:
    """Refuses where the process was not run, because too few locks held."""
    if "seccomp" not in held:
        raise Refused(
            "Submitted models cannot be loaded here: this system cannot confine the process that"
            " reads them (no seccomp)."
        )
    if not limits.weaker and not set(STRONG) & set(held):
        raise Refused(
            "Submitted models are not loaded here: this system has neither Landlock (Linux 5.13)"
            f" nor user namespaces, only {', '.join(held)}. With --weaker-confinement they are, for"
            " files whose authors you trust."
        )


def confined(
    module: str,
    arguments: Sequence[object],
    *,
    folder: Path,
    outputs: Sequence[str] = (),
    limits: Limits = DEFAULT_LIMITS,
) -> Completed:
    """Runs `module.main(arguments, outputs)` confined.

    Args:
        module: An importable module with a function `main(arguments, outputs)`, where `outputs`
            maps names to open descriptors. It is imported inside the confinement.
        arguments: JSON values for it.
        folder: An existing empty folder: its working folder, in which the outputs and `log.txt`
            are made.
        outputs: Names of the files that it may write.
        limits: What it may use.

    Returns:
        How it ended. Everything in the folder is hostile.

    Raises:
        Refused: This machine cannot confine a process.
    """
    if sys.platform != "linux":
        raise Refused(
            "Submitted models are loaded on Linux only: other systems cannot confine the process"
            " that reads them."
        )
    deadline = time.monotonic() + limits.wall_seconds
    create = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    descriptors = {name: os.open(folder / name, create, 0o600) for name in [*outputs, "log.txt"]}
    log = descriptors.pop("log.txt")
    read, write = os.pipe()
    order = {
        "module": module,
        "path": search_path(),
        "readable": _readable(folder, module),
        "listed": [_ROOT],
        "arguments": arguments,
        "outputs": descriptors,
        "report": write,
        "parent": os.getpid(),
        "without": list(WITHOUT),
        "limits": limits._asdict(),
    }
    try:
        with _undumpable():
            process = subprocess.Popen(
                [sys.executable, "-P", "-s", "-B", str(_CAGE), json.dumps(order)],
                cwd=folder,
                env=environment(folder),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=[write, *descriptors.values()],
                start_new_session=True,
            )
            timed_out = crowded = False
            try:
                os.close(write)
                write = -1
                held = _report(read, deadline)
                crowded = _wait(process, deadline)
            except subprocess.TimeoutExpired:
                timed_out = True
            finally:
                _end(process)
    finally:
        for descriptor in (read, write, log, *descriptors.values()):
            if descriptor >= 0:
                os.close(descriptor)
    if not timed_out:
        _check_locks(held, limits)
    with (folder / "log.txt").open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - 4000))
        text = file.read().decode("utf-8", "replace")
    return Completed(process.returncode, timed_out, crowded, held, text)
