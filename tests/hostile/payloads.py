"""What hostile code would try once it runs; `test_confinement.py` tries each function confined.

`main` runs the function that its first argument names and writes what became of it, so the tests
see that it was denied and not that it never ran.
"""

import ctypes
import errno
import fcntl
import json
import mmap
import os
import re
import resource
import signal
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path


def compute(*_):
    return sum(range(1000))


def sleep(*_):
    time.sleep(600)


def spin(*_):
    while True:
        pass


def spin_threads(*_):
    import hashlib

    block = bytes(1 << 24)
    threads = [
        threading.Thread(target=lambda: [hashlib.sha256(block) for _ in range(10_000)])
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def allocate(*_):
    held = []
    while True:
        held.append(bytearray(1 << 26))


def map_memory(*_):
    held = []
    while True:
        held.append(mmap.mmap(-1, 1 << 28))


def memory_file(*_):
    return os.memfd_create("hidden")


def print_much(*_):
    while True:
        os.write(1, bytes(1 << 20))


def open_many(*_):
    held = []
    while True:
        held.append(os.open("/dev/null", os.O_RDONLY))


def make_socket(*_):
    return socket.socket().fileno()


def make_unix_socket(*_):
    return socket.socket(socket.AF_UNIX).fileno()


def connect(port, *_):
    socket.create_connection(("127.0.0.1", port), timeout=5)


def write_outside(target, *_):
    Path(target).write_text("I was here")


def append_outside(target, *_):
    with Path(target).open("a") as file:
        file.write("I was here")


def write_inside(*_):
    Path("new.txt").write_text("I was here")


def make_folder(*_):
    Path("deep").mkdir()


def remove(target, *_):
    Path(target).unlink()


def rename(target, *_):
    Path(target).rename(f"{target}.moved")


def make_link(target, *_):
    Path("link").symlink_to(target)


def make_pipe(*_):
    os.mkfifo("pipe")


def change_mode(target, *_):
    Path(target).chmod(0o777)


def truncate(target, *_):
    os.truncate(target, 0)


def fork(*_):
    return os.fork()


def vfork_exec(*_):
    return subprocess.run(["/bin/true"], check=True).returncode


def shell(*_):
    if os.system("true") != 0:
        raise PermissionError(errno.EPERM, "no shell")


def execute(*_):
    os.execv("/bin/true", ["true"])


def new_session(*_):
    os.setsid()


def leave_group(*_):
    os.setpgid(0, 0)


def kill_parent(*_):
    os.kill(os.getppid(), signal.SIGTERM)


def outlive_parent(*_):
    _call("prctl", 1, 0, 0, 0, 0)


def raise_limits(*_):
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def new_namespace(*_):
    _call("unshare", 0x10000000)


def trace(*_):
    _call("ptrace", 16, os.getppid(), 0, 0)


def ring(*_):
    _call("syscall", 425, 8, 0)


def future_call(*_):
    _call("syscall", 463, 0, 0)


def x32_call(*_):
    _call("syscall", 0x40000000 + 41, 2, 1, 0)


def become_root(*_):
    _call("setuid", 0)


def signal_parent_by_a_file(*_):
    """A signal of the kernel's choosing moment, sent in another process' name."""
    read, _ = os.pipe()
    fcntl.fcntl(read, 10, signal.SIGKILL)  # F_SETSIG
    fcntl.fcntl(read, 8, os.getppid())  # F_SETOWN


def own_a_file(*_):
    read, _ = os.pipe()
    fcntl.fcntl(read, 8, os.getppid())


def own_a_file_anew(*_):
    read, _ = os.pipe()
    fcntl.fcntl(read, 15, struct.pack("ii", 1, os.getppid()))


def watch_a_folder(*_):
    fcntl.fcntl(os.open(".", os.O_RDONLY), 1026, 1)


def lease_a_file(*_):
    fcntl.fcntl(os.open(__file__, os.O_RDONLY), 1024, 0)


def type_into_a_terminal(*_):
    fcntl.ioctl(0, 0x5412, b"x")


def other_device_request(*_):
    fcntl.ioctl(os.open(__file__, os.O_RDONLY), 2, bytes(4))  # FIGETBSZ, harmless elsewhere


def choose_cores(*_):
    os.sched_setaffinity(0, {0})


def run_first(*_):
    os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))


def be_nice(*_):
    os.setpriority(os.PRIO_PROCESS, 0, 5)


def read_disk_first(*_):
    _call("syscall", 251, 1, 0, 2 << 13 | 4)


def read_parents_environment(*_):
    return len(Path(f"/proc/{os.getppid()}/environ").read_bytes())


def read_parents_memory(*_):
    return os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY)


def read_outside(target, *_):
    return Path(target).read_text()


def list_outside(target, *_):
    return [path.name for path in Path(target).parent.iterdir()]


def loop_in_a_library(*_):
    from pellucid.models.untrusted.sandbox.child import within

    with within(0.5):
        return len(re.match(r"(a*)*b", "a" * 40) or "")  # some thousand years, all of them in C


def start_threads(*_):
    for _ in range(600):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
    time.sleep(600)


def _call(name, *arguments):
    libc = ctypes.CDLL(None, use_errno=True)
    if getattr(libc, name)(*arguments) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


def main(arguments, outputs):
    name, *rest = arguments
    if name == "write_huge":
        while True:
            os.write(outputs["result.json"], bytes(1 << 20))
    if name == "say_and_sleep":
        os.write(outputs["result.json"], b"{}")
        sleep()
    if name == "linger":
        threading.Thread(target=time.sleep, args=(600,)).start()
        return
    try:
        result = {"done": globals()[name](*rest)}
    except (OSError, MemoryError, ValueError) as error:
        result = {"error": type(error).__name__, "errno": getattr(error, "errno", None)}
    os.write(outputs["result.json"], json.dumps(result).encode())
