"""Models of few parameters that cost much: admitted or refused, within 6 GiB and 120 seconds.

Processor seconds, of the command and all its processes; memory, of the largest of them.
"""

import os
import subprocess
import sys
from collections.abc import Callable
from typing import NamedTuple

import keras
import pytest
from keras import layers

from tests.conftest import ROOT

MEMORY = 6 << 30
SECONDS = 120.0


class Ended(NamedTuple):
    """How a command ended, and what it took."""

    returncode: int
    out: str
    error: str
    seconds: float
    memory: int


def head(x: keras.KerasTensor) -> keras.KerasTensor:
    return layers.Dense(10)(layers.Flatten()(layers.GlobalAveragePooling2D()(x)))


def attention(x: keras.KerasTensor) -> keras.KerasTensor:
    """Scores of 1,024 places to 1,024 places."""
    h = layers.Reshape((1024, 1))(layers.UpSampling2D(4)(x))
    h = layers.MultiHeadAttention(num_heads=1, key_dim=1)(h, h)
    return head(layers.Reshape((32, 32, 1))(h))


def separable(x: keras.KerasTensor) -> keras.KerasTensor:
    """A thousand times more between its convolutions than it puts out."""
    h = layers.UpSampling2D(8)(x)
    return head(layers.SeparableConv2D(1, 1, depth_multiplier=1000, use_bias=False)(h))


def shared(x: keras.KerasTensor) -> keras.KerasTensor:
    """One convolution of 592 parameters, called sixty times on 32x32 pixels."""
    h = layers.Concatenate()([layers.UpSampling2D(4)(x)] * 8)
    again = layers.Conv2D(8, 3, padding="same", activation="relu")
    for _ in range(60):
        h = again(h)
    return head(h)


def convolutions(x: keras.KerasTensor) -> keras.KerasTensor:
    """Four hundred convolutions one after the other."""
    h = layers.Conv2D(4, 3, padding="same")(x)
    for _ in range(400):
        h = layers.Conv2D(4, 3, padding="same", activation="relu")(h)
    return head(h)


def wide(x: keras.KerasTensor) -> keras.KerasTensor:
    """Few weights, many activations: 128x128 pixels of 64 channels, four times."""
    h = layers.UpSampling2D(16)(x)
    for _ in range(4):
        h = layers.Conv2D(64, 1, activation="relu")(h)
    return head(h)


def chain(x: keras.KerasTensor) -> keras.KerasTensor:
    """Nearly as long as a path may be."""
    h = layers.Flatten()(x)
    for _ in range(780):
        h = layers.ReLU()(h)
    return layers.Dense(10)(h)


def checked(path: str) -> Ended:
    """`submit --check-only` of a file on digits: admission, the ranges, the estimate."""
    command = ["run_benchmark.py", "submit", path, "--track", "digits", "--check-only"]
    with subprocess.Popen(
        [sys.executable, *command, "--weaker-confinement"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        out, error = process.stdout.read(), process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    return Ended(
        process.returncode, out, error, used.ru_utime + used.ru_stime, used.ru_maxrss * 1024
    )


@pytest.mark.parametrize(
    "body", [attention, separable, shared, convolutions, wide, chain], ids=lambda f: f.__name__
)
def test_what_costs_much_costs_a_bounded_amount(
    body: Callable[[keras.KerasTensor], keras.KerasTensor], tmp_path
):
    x = keras.Input((8, 8, 1))
    model = keras.Model(x, body(x))
    assert model.count_params() < 60_000
    model.save(tmp_path / "costly.keras")
    done = checked(str(tmp_path / "costly.keras"))
    print(f"{body.__name__}: {done.seconds:.0f} s, {done.memory / 2**30:.2f} GiB, {done.error}")
    assert done.returncode in (0, 2), done.error
    assert "Traceback" not in done.error
    if done.returncode:
        assert done.error.count("\n") == 1, done.error
    else:
        assert "measuring takes roughly" in done.out
    assert done.memory < MEMORY
    assert done.seconds < SECONDS
