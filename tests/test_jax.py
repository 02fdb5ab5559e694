"""The same tests of attacks, metrics and training on the other backend, in a process of its own."""

import os
import subprocess
import sys

from tests.conftest import ROOT

FILES = ("tests/attacks", "tests/metrics/test_attributions.py", "tests/metrics/test_manifold.py")
FIT = "tests/benchmark/test_training.py"
CHOSEN = "adam or byte_by_byte or same_seed or radius_zero or do_not_compile or gradient or closed_form or ball or " \
    "confident or xent or cw or linear or plane or noise or other_variables"  # fmt: skip


def test_jax():
    environment = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-m", "pytest", "-n", "0", "-p", "no:cacheprovider", "-k", CHOSEN, *FILES, FIT]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:]
    assert " passed" in done.stdout
