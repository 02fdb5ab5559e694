"""The inside of the confinement: a program that confines itself before it imports anything.

Nothing but the standard library is imported before the locks are on. In order: resource limits, a
network namespace, no capabilities, death with the parent, no new privileges, Landlock, seccomp.
What holds is reported to the parent through a pipe, which is closed before the payload begins, so a
payload cannot claim more.
"""

import contextlib
import ctypes
import errno
import importlib
import json
import os
import platform
import resource
import runpy
import signal
import stat
import struct
import sys
import tempfile
from pathlib import Path
from typing import NoReturn, TypedDict

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_NO_NEW_PRIVS = 1, 22, 24, 38
_CLONE_NEWUSER, _CLONE_NEWNET, _CLONE_NEWIPC = 0x10000000, 0x40000000, 0x08000000
_CLONE_THREAD = 0x00010000
_OPEN_WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_AUDIT_ARCH = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_LANDLOCK_CREATE, _LANDLOCK_ADD, _LANDLOCK_RESTRICT = 444, 445, 446
_READ_FILE, _READ_FOLDER = 2, 3
_CAPSET = {"x86_64": 126, "aarch64": 91}

# classic BPF: load a word, jump if equal, jump if greater or equal, jump if any bit is set, return
_LOAD, _JEQ, _JGE, _JSET, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER, _ARCH, _ARGUMENTS = 0, 4, 16
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000

_libc = ctypes.CDLL(None, use_errno=True)


def _set_limits(limits: dict[str, int]) -> None:
    for what, most in (
        (resource.RLIMIT_AS, limits["memory_bytes"]),
        (resource.RLIMIT_FSIZE, limits["file_bytes"]),
        (resource.RLIMIT_NOFILE, limits["open_files"]),
        (resource.RLIMIT_CORE, 0),
    ):
        hard = resource.getrlimit(what)[1]
        lower = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (lower, lower))
    seconds = limits["cpu_seconds"]
    hard = resource.getrlimit(resource.RLIMIT_CPU)[1]
    if hard == resource.RLIM_INFINITY or hard > seconds:
        resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds + 2))


def _die_with(parent: int) -> None:
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before the call above
        os._exit(1)


def _few_cores() -> None:
    """Uses at most two cores.

    Pools of threads, and the addresses they reserve, then do not grow with the machine.
    """
    with contextlib.suppress(OSError):
        cores = sorted(os.sched_getaffinity(0))
        first = os.getpid() % len(cores)
        os.sched_setaffinity(0, {cores[first], cores[(first + 1) % len(cores)]})


def _namespaces(without: list[str]) -> list[str]:
    """Enters a network namespace without interfaces, inside a user namespace where there are any.

    Seen from a user namespace, no process outside can be traced, or its memory read.
    """
    both = _CLONE_NEWNET | _CLONE_NEWIPC
    if "user namespace" not in without and _libc.unshare(_CLONE_NEWUSER | both) == 0:
        return ["user namespace", "network namespace"]
    if _libc.unshare(both) == 0:
        return ["network namespace"]
    return []


def _no_capabilities(machine: str) -> bool:
    for capability in range(64):
        _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0)
    header = struct.pack("<Ii", 0x20080522, 0)
    return _libc.syscall(_CAPSET[machine], header, bytes(24)) == 0


def _allow(ruleset: int, path: str, bits: int) -> None:
    """Allows some kinds of access to a file, or to all below a folder, if it is there."""
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not stat.S_ISDIR(os.fstat(handle).st_mode):
        bits &= 1 << _READ_FILE
    _libc.syscall(_LANDLOCK_ADD, ruleset, 1, struct.pack("<Qi", bits, handle), 0)
    os.close(handle)


def _landlock(readable: list[str], listed: list[str]) -> bool:
    """Denies every change to the file system, and reading but below some paths.

    Files that are open already stay writable.

    Args:
        readable: Files and folders that may be read.
        listed: Folders whose names may be listed, but whose files not be read.
    """
    version = _libc.syscall(_LANDLOCK_CREATE, None, ctypes.c_size_t(0), 1)
    if version < 1:
        return False
    # write to files; make and remove anything; link across folders; truncate; control devices
    bits = [1, *range(4, 13)]
    bits += [bit for bit, since in ((13, 2), (14, 3), (15, 5)) if version >= since]
    bits += [_READ_FILE, _READ_FOLDER]
    handled = sum(1 << bit for bit in bits)
    network = 0b11 if version >= 4 else 0  # bind and connect
    scope = 0b11 if version >= 6 else 0  # abstract sockets of and signals to processes outside
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _libc.syscall(
        _LANDLOCK_CREATE,
        struct.pack("<3Q", handled, network, scope)[:size],
        ctypes.c_size_t(size),
        0,
    )
    if ruleset < 0:
        return False
    for path in readable:
        _allow(ruleset, path, 1 << _READ_FILE | 1 << _READ_FOLDER)
    for path in listed:
        _allow(ruleset, path, 1 << _READ_FOLDER)
    done = _libc.syscall(_LANDLOCK_RESTRICT, ruleset, 0) == 0
    os.close(ruleset)
    return done


def filter_program(machine: str, pid: int) -> list[tuple[int, int, int, int]]:
    """The seccomp filter as BPF instructions.

    Args:
        machine: `"x86_64"` or `"aarch64"`.
        pid: The process that may send signals to itself.

    Returns:
        Instructions (code, jump if true, jump if false, operand).
    """
    # run by its path: the package around it would import more than the standard library
    calls = runpy.run_path(str(Path(__file__).with_name("syscalls.py")))
    column = 0 if machine == "x86_64" else 1
    denied, absent = _ERRNO | errno.EPERM, _ERRNO | errno.ENOSYS
    program = [
        (_LOAD, 0, 0, _ARCH),
        (_JEQ, 1, 0, _AUDIT_ARCH[machine]),
        (_RETURN, 0, 0, _KILL),
        (_LOAD, 0, 0, _NUMBER),
    ]
    # beyond the list, the x32 calls of x86_64 (bit 30) among them
    program += [(_JGE, 0, 1, calls["FIRST_UNKNOWN"]), (_RETURN, 0, 0, absent)]
    for table, answer in ((calls["NUMBERS"], denied), (calls["ABSENT"], absent)):
        for numbers in table.values():
            if numbers[column] is not None:
                program += [(_JEQ, 0, 1, numbers[column]), (_RETURN, 0, 0, answer)]

    def when(name: str, *tests: tuple[int, int, int, int]) -> None:
        """Adds one call's tests; they fall through to "denied" or jump over it to "allowed"."""
        number = calls["CONDITIONAL"][name][column]
        if number is not None:
            body = [*tests, (_RETURN, 0, 0, denied), (_RETURN, 0, 0, _ALLOW)]
            program.append((_JEQ, 0, len(body), number))
            program.extend(body)

    def low(index: int) -> tuple[int, int, int, int]:
        return (_LOAD, 0, 0, _ARGUMENTS + 8 * index)

    def high(index: int) -> tuple[int, int, int, int]:
        return (_LOAD, 0, 0, _ARGUMENTS + 8 * index + 4)

    when("clone", low(0), (_JSET, 1, 0, _CLONE_THREAD))  # threads, but no processes
    when("open", low(1), (_JSET, 0, 1, _OPEN_WRITES))
    when("openat", low(2), (_JSET, 0, 1, _OPEN_WRITES))
    when("kill", low(0), (_JEQ, 1, 0, pid))
    when("tgkill", low(0), (_JEQ, 1, 0, pid))
    when("prctl", low(0), (_JEQ, 0, 1, _PR_SET_PDEATHSIG))
    # limits may be read, not set
    when("prlimit64", low(2), (_JEQ, 0, 2, 0), high(2), (_JEQ, 1, 0, 0))
    # to jump over what is left of the tests, and over "denied" or not
    known, last = list(calls["IOCTLS"].values()), len(calls["FCNTLS"]) - 1
    when("ioctl", low(1), *((_JEQ, len(known) - i, 0, v) for i, v in enumerate(known)))
    refused = enumerate(calls["FCNTLS"].values())
    when("fcntl", low(1), *((_JEQ, last - i, 1 if i == last else 0, v) for i, v in refused))
    return [*program, (_RETURN, 0, 0, _ALLOW)]


def _seccomp(machine: str) -> bool:
    program = filter_program(machine, os.getpid())
    code = ctypes.create_string_buffer(b"".join(struct.pack("<HBBI", *line) for line in program))

    class Program(ctypes.Structure):
        _fields_ = [("length", ctypes.c_ushort), ("code", ctypes.c_void_p)]

    pointer = Program(len(program), ctypes.addressof(code))
    return _libc.prctl(_PR_SET_SECCOMP, 2, ctypes.byref(pointer), 0, 0) == 0


class Order(TypedDict):
    """What the parent asks for: the payload, its surroundings, its limits, locks to do without."""

    module: str
    path: list[str]
    readable: list[str]
    listed: list[str]
    arguments: list[object]
    outputs: dict[str, int]
    report: int
    parent: int
    without: list[str]
    limits: dict[str, int]


def _lock(order: Order) -> list[str]:
    """Puts every lock on; returns those that hold."""
    machine = platform.machine()
    _few_cores()
    _set_limits(order["limits"])
    held = ["rlimits"]
    if machine not in _AUDIT_ARCH:
        return held
    held += _namespaces(order["without"])
    if _no_capabilities(machine):
        held.append("no capabilities")
    _die_with(order["parent"])  # after the two steps above: a change of credentials would undo it
    if _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return held
    held.append("no new privileges")
    if "landlock" not in order["without"] and _landlock(order["readable"], order["listed"]):
        held.append("landlock")
    if _seccomp(machine):
        held.append("seccomp")
    return held


def main() -> NoReturn:
    """Confines the process, reports how, and runs the payload's `main(arguments, outputs)`."""
    order: Order = json.loads(sys.argv[1])
    held = _lock(order)
    with os.fdopen(order["report"], "w") as report:
        json.dump(held, report)
    strong = "landlock" in held or "user namespace" in held or order["limits"]["weaker"]
    if "seccomp" not in held or not strong:
        os._exit(3)
    # TensorFlow asks for its name when it is imported; none can be found by trying
    tempfile.tempdir = str(Path.cwd())
    sys.path[:] = order["path"]
    payload = importlib.import_module(order["module"])
    payload.main(order["arguments"], order["outputs"])
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
