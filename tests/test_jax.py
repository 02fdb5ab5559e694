"""JAX as the backend: the same tests of attacks, metrics and training, without TensorFlow."""

import os
import subprocess
import sys

from pellucid.benchmark.data import datasets
from tests.commands import COMMAND
from tests.conftest import ROOT, needs_tfds

FILES = (
    "tests/attacks",
    "tests/metrics/test_alignment.py",
    "tests/metrics/test_attributions.py",
    "tests/metrics/test_infidelity.py",
    "tests/metrics/test_integrated_gradients.py",
    "tests/metrics/test_manifold.py",
    "tests/metrics/test_max_sensitivity.py",
    "tests/metrics/test_off_manifold.py",
    "tests/metrics/test_relative_stability.py",
    "tests/metrics/test_smoothgrad.py",
    "tests/benchmark/test_training.py",
    "tests/benchmark/test_together.py",
    "tests/benchmark/test_units.py",
    "tests/benchmark/test_agreement.py",
    "tests/benchmark/test_progress.py",
    "tests/benchmark/test_ways.py",
    "tests/models/test_adam.py",
    "tests/models/test_backend.py",
    "tests/models/test_batching.py",
    "tests/models/test_functional.py",
    "tests/models/test_pooling.py",
)
CHOSEN = (
    "same_networks",
    "networks_own",
    "traced_once",
    "several_at_once",
    "computes_in_bfloat16",
    "filled_up",
    "memory",
    "draws",
    "padding",
    "adam",
    "byte_by_byte",
    "same_seed",
    "radius_zero",
    "do_not_compile",
    "gradient",
    "closed_form",
    "ball",
    "confident",
    "xent",
    "cw",
    "linear",
    "plane",
    "noise",
    "other_variables",
    "steps_are_those_of_keras",
    "scan",
    "many_arguments",
    "stacked_keys",
    "of_the_network",
    "share_with_themselves",
    "whatever_their_names",
    "but_for_its_pooling",
    "without_one",
    "infinite_values",
    "tf32",
    "a_rate_is_measured",
    "proposal",
    "only_a_window",
)
ENVIRONMENT = os.environ | {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu"}


def call(*command: str, **environment: str) -> subprocess.CompletedProcess:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=ENVIRONMENT | environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return done


def test_the_same_tests():
    done = call(
        sys.executable,
        "-m",
        "pytest",
        "-n",
        "0",
        "-p",
        "no:cacheprovider",
        "-k",
        " or ".join(CHOSEN),
        *FILES,
    )
    assert " passed" in done.stdout


WITHOUT_TENSORFLOW = """
import sys
from importlib.machinery import PathFinder

class Finder:
    def find_spec(name, path=None, target=None):
        hidden = name.partition(".")[0] in ("tensorflow", "tensorflow_datasets")
        return None if hidden else PathFinder.find_spec(name, path, target)

sys.meta_path[sys.meta_path.index(PathFinder)] = Finder
"""

SMALL = """
version = 1
name = "small"
scale = "quick"
[data]
name = "mnist"
train_limit = 200
test_limit = 50
[model]
name = "digits_cnn"
[training]
epochs = 1
[evaluation]
norm = "l2"
epsilon = 0.4
steps = 2
[retraining]
attributions = ["gradient"]
fractions = [0.3]
modes = ["roar"]
repeats = 2
epochs = 1
controls = []
fills = ["mean"]
"""


@needs_tfds
def test_no_tensorflow_is_needed_once_the_data_is_decoded(tmp_path):
    """A run where neither TensorFlow nor TFDS can be imported."""
    datasets.load("mnist")
    (tmp_path / "sitecustomize.py").write_text(WITHOUT_TENSORFLOW)
    (tmp_path / "small.toml").write_text(SMALL)
    hidden = {"PYTHONPATH": str(tmp_path), "TFDS_DATA_DIR": str(tmp_path / "nothing")}
    run = [
        *COMMAND,
        "run",
        "--config",
        str(tmp_path / "small.toml"),
        "--out",
        str(tmp_path / "run"),
    ]
    done = call(*run, **hidden)
    assert "done in" in done.stdout
    assert len(list((tmp_path / "run" / "units" / "retrain").glob("*.json"))) == 6
    missing = subprocess.run(
        [*run, "--set", "data.name=svhn_cropped"],
        cwd=ROOT,
        env=ENVIRONMENT | hidden,
        capture_output=True,
        text=True,
        check=False,
    )
    assert missing.returncode == 2
    assert "'svhn_cropped' is not decoded in " in missing.stderr


CACHED = """
import jax.monitoring
seen = []
jax.monitoring.register_event_listener(lambda event, **_: seen.append(event))
from pellucid.models import backend
backend.configure()
from pellucid import models
import numpy as np
from pellucid.benchmark.training.classifier import train
x, y = np.zeros((100, 8, 8, 1), np.uint8), np.zeros(100, np.int32)
train(models.get("digits_cnn")((8, 8, 1), 10, seed=0), x, y, seed=0, epochs=2)
print(seen.count("/jax/compilation_cache/cache_hits"))
"""


def test_compiled_programs_are_stored_for_the_next_process(tmp_path):
    """The training program; whether smaller ones take long enough to be stored depends on load."""
    hits, stored = zip(
        *(
            (
                int(call(sys.executable, "-c", CACHED, XDG_CACHE_HOME=str(tmp_path)).stdout),
                sorted(path.name for path in tmp_path.glob("*/xla/jit_run-*-cache")),
            )
            for _ in range(2)
        ),
        strict=True,
    )
    assert hits[0] == 0
    assert hits[1] >= 1
    assert len(stored[0]) == 1
    assert stored[1] == stored[0]
