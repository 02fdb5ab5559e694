"""The bounds on a process that measures a submission, in processes of their own."""

import subprocess
import sys
import textwrap

import pytest

PROGRAM = """
    import time
    from pellucid.benchmark.submission import limits

    limits.BASE, limits.EACH, limits.SHARE = limits.resident(), {each} << 20, 0
    told = lambda line: print("told:", line)
    with limits.watched("mine.keras", workers=1, hours={hours}, told=told):
        {work}
    print("measured")
"""


def run(work: str, *, each: int = 300, hours: float = 1.0) -> subprocess.CompletedProcess:
    program = textwrap.dedent(PROGRAM).format(work=work, each=each, hours=hours)
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


@pytest.mark.parametrize(
    ("work", "options", "line"),
    [
        (
            "held = bytearray(1 << 30); time.sleep(30)",
            {},
            "GiB are allowed. Choose a smaller model.",
        ),
        (
            "time.sleep(30)",
            {"hours": 1 / 3600},
            "took longer than 0.000277778 hours. The same command resumes; --max-hours",
        ),
    ],
)
def test_what_takes_too_much_ends_with_one_line(work, options, line):
    done = run(work, **options)
    assert done.returncode == 2
    assert done.stderr.startswith("\nerror: Measuring mine.keras took ")
    assert line in done.stderr
    assert done.stderr.count("\n") == 2
    assert done.stdout == f"told: {done.stderr.removeprefix(chr(10) + 'error: ')}"


def test_what_stays_within_is_left_alone():
    done = run("held = bytearray(100 << 20); time.sleep(1)")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == "measured\n"
