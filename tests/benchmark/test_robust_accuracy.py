"""Robust accuracy: its counts, each flag on a model that raises it, and a killed evaluation."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

from pellucid.attacks.autoattack import ensemble
from pellucid.benchmark.robustness import accuracy as robust_accuracy
from pellucid.benchmark.robustness.accuracy import evaluate
from pellucid.benchmark.robustness.counts import EnsembleAccuracy
from pellucid.benchmark.robustness.flags import Flag, autoattack_flags
from pellucid.benchmark.units.autoattack import outcomes_in
from pellucid.benchmark.units.store import Store
from pellucid.leaderboard.flags import MEANINGS
from pellucid.metrics import statistics
from pellucid.models.errors import InputError
from pellucid.models.validation import revive
from tests.attacks.test_autoattack import SHORT, Shaken
from tests.commands import COMMAND, here
from tests.conftest import ROOT, linear_model

N = 120


@pytest.fixture
def short(monkeypatch):
    """The ensemble with fewer steps, otherwise unchanged."""
    monkeypatch.setattr(ensemble, "ensemble", lambda *_: SHORT)


@pytest.fixture(scope="module")
def images(digits):
    return digits.x_test[:N], digits.y_test[:N]


def test_values_and_arrays(short, images, digits_model):
    blocks = []
    found = evaluate(
        digits_model,
        *images,
        norm="linf",
        epsilon=0.1,
        examples=lambda *block: blocks.append(block),
    )
    counts, by = found.counts, found.arrays["broken_by"]
    assert (counts.examples, counts.version, counts.norm) == (N, "standard", "linf")
    assert counts.epsilon == 0.1
    assert counts.clean == (by != 0).sum()
    assert counts.robust == (by == -1).sum() == counts.attacks[-1].hits
    left = counts.clean
    for number, row in enumerate(counts.attacks, 1):
        left -= row.broken
        assert row.broken == (by == number).sum()
        assert row.hits == left
        assert (row.accuracy, row.low, row.high, N) == statistics.proportion(left, N)
    assert counts.gradients == pytest.approx(found.arrays["gradients"].mean())
    ((places, x_adv),) = blocks
    np.testing.assert_array_equal(places, np.flatnonzero(by > 0))
    change = np.abs(x_adv - images[0][places] / np.float32(255)).reshape(len(places), -1).max(1)
    np.testing.assert_allclose(change, found.arrays["norms"][places], atol=1e-7)
    assert not np.isnan(found.arrays["norms"][by > 0]).any()
    assert autoattack_flags(counts, 10) == []
    stored = json.loads(json.dumps(dataclasses.asdict(counts)))
    assert revive(EnsembleAccuracy, stored) == counts


def test_blocks_change_nothing(short, images, digits_model, monkeypatch):
    blocks: list[tuple] = []
    options = {"norm": "linf", "epsilon": 0.1, "examples": lambda *block: blocks.append(block)}
    at_once = evaluate(digits_model, *images, **options)
    monkeypatch.setattr(robust_accuracy, "BLOCK", 50)
    in_blocks = evaluate(digits_model, *images, **options)
    for one, several in zip(blocks[0], zip(*blocks[1:], strict=True), strict=True):
        np.testing.assert_allclose(one, np.concatenate(several), atol=1e-5)
    for name, values in at_once.arrays.items():
        np.testing.assert_allclose(values, in_blocks.arrays[name], atol=1e-5, err_msg=name)


class Rounded(keras.layers.Layer):
    """Five grey levels: no gradient passes."""

    def call(self, x):
        return keras.ops.round(x * 4) / 4


class Searching(keras.layers.Layer):
    """Moves its input by a loop before it is classified."""

    def call(self, x):
        return keras.ops.fori_loop(0, 3, lambda i, z: z - 0.01 * z, x)


def around(model, before=None, after=None) -> keras.Model:
    inputs = keras.Input((8, 8, 1))
    out = model(before(inputs) if before else inputs)
    return keras.Model(inputs, after(out) if after else out)


MASKED = {
    "divided by 10,000": (None, lambda: keras.layers.Rescaling(1e-4), {"vanishing_gradients"}),
    "times 10,000": (None, lambda: keras.layers.Rescaling(1e4), {"zero_gradients"}),
    "quantised": (
        Rounded,
        None,
        {"zero_gradients", "vanishing_gradients", "black_box_beats_gradient"},
    ),
    "random": (lambda: Shaken(0.1), None, {"non_deterministic"}),
    "softmax": (None, keras.layers.Softmax, {"probabilities"}),
    "a loop": (Searching, None, {"optimisation_loop"}),
}


@pytest.mark.parametrize("name", MASKED)
def test_masked_models_raise_their_flag(name, images, digits_model, monkeypatch):
    before, after, expected = MASKED[name]
    longer = SHORT | {"square": type(SHORT["square"])("linf", 400)}
    monkeypatch.setattr(ensemble, "ensemble", lambda *_: longer)
    model = around(digits_model, before and before(), after and after())
    counts = evaluate(model, *images, norm="linf", epsilon=0.1).counts
    raised = {flag.name for flag in autoattack_flags(counts, 10)}
    assert expected <= raised
    assert raised <= set(MEANINGS)
    if name in ("divided by 10,000", "times 10,000", "a loop"):
        assert raised == expected, "and no other"


def test_counts_of_what_gradients_do_not_see(short, images, digits_model):
    counts = evaluate(digits_model, *images, norm="linf", epsilon=0.1).counts
    for by, name in (
        ("noise", "noise_beats_gradient"),
        ("square", "black_box_beats_gradient"),
        ("more_steps", "more_steps_gain"),
    ):
        one, two = (
            dataclasses.replace(counts, unseen=dataclasses.replace(counts.unseen, **{by: images}))
            for images in (1, 2)
        )
        assert autoattack_flags(one, 10) == []
        (raised,) = autoattack_flags(two, 10)
        radius = {"norm": "linf", "epsilon": 0.1}
        images = {"images": 2, "examples": N, "share": 2 / N}
        assert raised == Flag(name, {"by": by} | radius | images)
        many = dataclasses.replace(two, examples=1000)
        assert autoattack_flags(many, 10) == [], "0.2 percent is not over 0.2 percent"


def test_what_is_stored_is_not_done_again(short, images, digits_model, tmp_path):
    spec = {"model": "m", "norm": "linf", "epsilon": 0.1}
    options = {"norm": "linf", "epsilon": 0.1}

    def times() -> dict[str, int]:
        folder = tmp_path / "units" / "attacked"
        return {path.name: path.stat().st_mtime_ns for path in folder.glob("*.json")}

    first = evaluate(
        digits_model, *images, **options, outcomes=outcomes_in(Store(tmp_path), spec, "m")
    )
    files = times()
    assert len(files) == 5, "four attacks and the controls"
    again = evaluate(
        digits_model, *images, **options, outcomes=outcomes_in(Store(tmp_path), spec, "m")
    )
    assert times() == files
    assert again.counts == first.counts
    other = outcomes_in(Store(tmp_path), spec | {"epsilon": 0.2}, "m")(0)
    assert other.get("apgd-ce") is None, "another radius is another evaluation"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"epsilon": -0.1},
            "The radius must be a number of at least 0, in pixel units. Received -0.1",
        ),
        ({"epsilon": float("nan")}, "The radius must be a number"),
        ({"norm": "l1"}, "Unknown norm 'l1'"),
        ({"version": "best"}, "Unknown AutoAttack version 'best'"),
        ({"x": np.full((4, 8, 8, 1), 2.0, np.float32)}, r"`x` must lie in \[0, 1\]"),
        ({"y": np.array([0, 1, 2, 10])}, r"`y` must lie in \[0, 9\]"),
    ],
)
def test_what_is_refused(change, message, digits, digits_model):
    arguments = {
        "x": digits.x_test[:4],
        "y": digits.y_test[:4],
        "norm": "linf",
        "epsilon": 0.1,
    } | change
    with pytest.raises(InputError, match=message):
        evaluate(digits_model, **arguments)


def test_a_model_that_does_not_output_logits(digits):
    two = keras.Sequential([keras.Input((8, 8, 1)), keras.layers.Conv2D(3, 3)])
    with pytest.raises(
        InputError,
        match=r"must output logits of shape \(n, classes\). It outputs \(None, 6, 6, 3\)",
    ):
        evaluate(two, digits.x_test[:4], digits.y_test[:4], norm="linf", epsilon=0.1)
    flat = linear_model(np.ones((2, 3)), np.zeros(3), (2,))
    with pytest.raises(InputError, match="Square Attack needs images"):
        evaluate(
            flat, np.full((4, 2), 0.5, np.float32), np.zeros(4, int), norm="linf", epsilon=1e-6
        )


@pytest.fixture(scope="module")
def file(digits_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("model") / "mine.keras"
    digits_model.save(path)
    return path


def command(file, out, *more) -> list[str]:
    options = [
        "--data",
        "digits",
        "--attack",
        "autoattack",
        "--norm",
        "linf",
        "--epsilon",
        "0.1",
        "--images",
        "40",
    ]
    return [*COMMAND, "evaluate", str(file), *options, "--out", str(out), *more]


def test_the_killed_command_resumes_with_the_same_outcomes(file, tmp_path):
    """A real kill -9 between two attacks: the files of a resumed and an uninterrupted run agree."""
    complete = subprocess.run(
        command(file, tmp_path / "complete"), cwd=ROOT, capture_output=True, text=True, check=True
    )
    for word in ("apgd-ce", "apgd-t", "fab-t", "square", "robust accuracy", "of 40 images"):
        assert word in complete.stdout
    out = tmp_path / "killed"
    with subprocess.Popen(command(file, out), cwd=ROOT, stdout=subprocess.PIPE) as process:
        deadline = time.monotonic() + 120
        while not list(out.glob("units/attacked/*apgd-t*.json")) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.send_signal(signal.SIGKILL)
    first = {p.name: p.stat().st_mtime_ns for p in out.glob("units/attacked/*.json")}
    assert first, "killed before the first attack was stored"
    assert not list(out.glob("evaluations/*.json")), "killed after the end"
    subprocess.run(command(file, out), cwd=ROOT, capture_output=True, text=True, check=True)
    assert all(
        (out / "units" / "attacked" / name).stat().st_mtime_ns == then
        for name, then in first.items()
    )
    results = [
        next((folder / "evaluations").glob("*.json")) for folder in (tmp_path / "complete", out)
    ]
    values = [json.loads(path.read_text()) for path in results]
    for name in ("clean", "robust", "flags", "unseen", "model", "data", "gradients"):
        assert values[0][name] == values[1][name], name
    for suffix in (".npz", "-examples-from-*.npz"):
        arrays = [np.load(next(path.parent.glob(path.stem + suffix))) for path in results]
        for name in arrays[0].files:
            np.testing.assert_array_equal(arrays[0][name], arrays[1][name], err_msg=name)
    assert set(values[0]["environment"]["packages"]) >= {"keras", "numpy"}


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ["--epsilon", "-1"],
            "The radius must be a number of at least 0, in pixel units. Received -1.0.",
        ),
        (["--norm", "l0"], "'l0' is neither l2 nor linf"),
        (["--images", "5000"], "'digits' has 597 test images. Received --images 5000."),
        (
            ["--version", "standart"],
            "Unknown AutoAttack version 'standart'. Did you mean 'standard'?",
        ),
        (
            ["--track", "digits"],
            "evaluate takes either --track (every score) or --data (robust accuracy).",
        ),
        (["--attack", "pgd"], "'pgd' is not one of 'autoattack'"),
    ],
)
def test_mistakes_of_the_command(file, tmp_path, more, message):
    done = here(*command(file, tmp_path, *more)[len(COMMAND) :])
    assert done.returncode == 2, done.stderr
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_by_default_no_more_images_are_attacked_than_there_are(file, tmp_path):
    """At a radius within which every image lies, so that the attacks succeed at once."""
    options = ("--data", "digits", "--epsilon", "255/255", "--out", tmp_path)
    done = here("evaluate", file, *options)
    assert done.returncode == 0, done.stderr
    assert "AutoAttack standard, linf 1, 597 images of digits" in done.stdout


def test_a_radius_is_needed(file):
    done = here("evaluate", file, "--data", "digits")
    assert done.returncode == 2
    assert "--data needs --epsilon" in done.stderr


SCRIPT = """
import sys
import keras, numpy as np
from pellucid.models import backend
backend.configure()
from pellucid.attacks.autoattack import ensemble
from tests.attacks.test_autoattack import RADII, short
with np.load(sys.argv[2]) as file:
    x, y = file["x"], file["y"]
model = keras.saving.load_model(sys.argv[1], compile=False)
found = [
    ensemble.evaluate(model, x, y, norm=n, epsilon=e, attacks=short(n)).broken_by
    for n, e in RADII.items()
]
np.save(sys.argv[3], np.stack(found))
"""


def test_both_backends_give_the_same_outcomes(file, digits, tmp_path):
    """For at least 99.5 percent of the images, in both norms."""
    np.savez(tmp_path / "images.npz", x=digits.x_test, y=digits.y_test)
    outcomes = {}
    for name in ("tensorflow", "jax"):
        out = tmp_path / f"{name}.npy"
        environment = os.environ | {"KERAS_BACKEND": name, "JAX_PLATFORMS": "cpu"}
        arguments = [
            sys.executable,
            "-c",
            SCRIPT,
            str(file),
            str(tmp_path / "images.npz"),
            str(out),
        ]
        done = subprocess.run(
            arguments, cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        outcomes[name] = np.load(out) == ensemble.SURVIVED
    assert 0.2 < outcomes["jax"].mean() < 0.9
    assert (outcomes["tensorflow"] == outcomes["jax"]).mean(axis=1).min() >= 0.995
