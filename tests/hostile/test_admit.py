"""Honest models are admitted and compute the same; hostile ones are refused by the same call."""

import functools
import hashlib
import os
import pickle
import shutil
import time

import keras
import numpy as np
import pytest
from keras import layers

from pellucid.models import untrusted
from pellucid.models.untrusted import Limits, Refused
from pellucid.models.untrusted.model.build import fingerprint
from pellucid.models.untrusted.sandbox import child, trial
from pellucid.models.untrusted.sandbox.confinement import confined
from tests.hostile import building, corpus_config, corpus_operations, corpus_weights
from tests.hostile.building import (
    CLASSES,
    HONEST,
    SHAPE,
    check_line,
    honest,
    layer,
    nothing_left_running,
    saved,
)
from tests.hostile.corpus import CASES

assert corpus_config.CASES is corpus_operations.CASES is corpus_weights.CASES is CASES

IMAGES = np.random.default_rng(0).random((32, *SHAPE), np.float32)
BY_NAME = {case.name: case for case in CASES}


def admit(path, **options):
    with nothing_left_running():
        return untrusted.admit(
            path, **{"input_shape": SHAPE, "num_classes": CLASSES, "images": IMAGES} | options
        )


def refused(path, pattern, **options):
    with nothing_left_running(), pytest.raises(Refused) as error:
        admit(path, **options)
    check_line(str(error.value), pattern)


def _with_last(*last: keras.Layer) -> keras.Model:
    model = building.plain()
    for one in last:
        model.add(one)
    return model


def _huge() -> keras.Model:
    model = building.plain()
    model.set_weights([np.full_like(w, 3e38) for w in model.get_weights()])
    return model


def _negative_variance() -> keras.Model:
    model = building.plain()
    model.layers[2].moving_variance.assign([-1.0] * 4)
    return model


TRIED = {name: functools.partial(honest, name) for name in HONEST} | {
    "probabilities": lambda: _with_last(layers.Softmax(), layers.Dropout(0.5)),
    "softmax": lambda: _with_last(layers.Softmax()),
    "softmax_inside": lambda: _with_last(layers.Dense(CLASSES, activation="softmax")),
    "huge": _huge,
    "negative_variance": _negative_variance,
    "sigmoid": lambda: _with_last(layers.Activation("sigmoid")),
}


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """The folder of one confined process that examined all of `TRIED`, and how it ended."""
    folder = tmp_path_factory.mktemp("tried")
    for name, make in TRIED.items():
        (folder / name).mkdir()
        saved(make(), folder / name / child.SUBMITTED)
        np.save(folder / name / child.IMAGES, IMAGES)
    with nothing_left_running():
        done = confined(
            "tests.hostile.tried",
            [list(TRIED), SHAPE, CLASSES],
            folder=folder,
            outputs=[f"{name}/{output}" for name in TRIED for output in child.OUTPUTS],
        )
    assert done.returncode == 0, done.log
    return folder, done


@pytest.fixture
def admit_tried(tried, monkeypatch):
    """Admits a model of `TRIED`: the shared process stands for a fresh one."""
    root, done = tried

    def of(name):
        def shared(module, arguments, *, folder, outputs, limits):
            assert module == child.__name__
            assert (arguments, list(outputs)) == ([list(SHAPE), CLASSES], list(child.OUTPUTS))
            for sent in (child.SUBMITTED, child.IMAGES):
                assert (folder / sent).read_bytes() == (root / name / sent).read_bytes()
            for output in outputs:
                shutil.copy(root / name / output, folder)
            return done

        monkeypatch.setattr(untrusted, "confined", shared)
        return admit(root / name / child.SUBMITTED)

    return of


@pytest.mark.parametrize("name", HONEST)
def test_an_honest_model_passes_and_computes_the_same(name, admit_tried):
    model, admitted = honest(name), admit_tried(name)
    ours, theirs = (np.asarray(m(IMAGES, training=False)) for m in (admitted.model, model))
    if name == "operations":  # a quotient is a product with the inverse
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)
    else:
        np.testing.assert_array_equal(ours, theirs)
    floats = [w for w in model.weights if w.dtype == "float32" and "vector_u" not in w.path]
    assert admitted.parameters == sum(int(np.prod(w.shape)) for w in floats)
    assert admitted.probe["pass_difference"] == 0
    assert admitted.probe["max_abs_logit"] == pytest.approx(np.abs(theirs).max(), rel=1e-3)
    assert admitted.probe["images"] == len(IMAGES)
    assert "seccomp" in admitted.confinement
    assert all(type(inner).__module__.startswith("keras.") for inner in admitted.model.layers)


def test_the_same_weights_have_the_same_hash(tmp_path):
    first = honest("functional")
    second, third = keras.models.clone_model(first), keras.models.clone_model(first)
    second.set_weights(first.get_weights())
    second.compile("sgd", "mse")
    changed = first.get_weights()
    changed[0][0, 0, 0, 0] += 1e-3
    third.set_weights(changed)
    files = [
        saved(m, tmp_path / f"{i}.keras").read_bytes() for i, m in enumerate((first, second, third))
    ]
    hashes = [fingerprint(*child.examine(data, SHAPE, CLASSES)[1:]) for data in files]
    assert files[0] != files[1]
    assert hashes[0] == hashes[1] != hashes[2]
    admitted = admit(tmp_path / "1.keras")
    assert admitted.sha256 == hashes[0]
    assert admitted.file_sha256 == hashlib.sha256(files[1]).hexdigest()


@pytest.mark.parametrize(
    "name",
    ["lambda_bytecode", "bomb", "external_link", "nan_weight", "pickle_plain", "many_layers"],
)
def test_what_needs_no_keras_is_refused_at_once(name, tmp_path, trap):
    path = tmp_path / "m.keras"
    path.write_bytes(BY_NAME[name].build(trap))
    began = time.monotonic()
    refused(path, BY_NAME[name].message)
    assert time.monotonic() - began < 3


def test_training_state_that_names_code_is_neither_run_nor_passed_on(tmp_path, trap):
    evil = {
        "class_name": "__lambda__",
        "config": {"value": "gASV"},
        "module": "os",
        "registered_name": "evil>x",
    }
    path = tmp_path / "m.keras"
    path.write_bytes(
        building.with_config(
            lambda c: c.update(compile_config={"loss": evil, "optimizer": evil}), "trained"
        )
    )
    admitted = admit(path)
    assert not admitted.model.compiled
    assert getattr(admitted.model, "optimizer", None) is None


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("probabilities", r"It outputs probabilities"),
        ("huge", r"It outputs NaN or infinity"),
        ("negative_variance", r"It outputs NaN or infinity"),
    ],
)
def test_a_model_that_is_not_a_classifier_is_refused_when_tried(name, message, admit_tried):
    with pytest.raises(Refused) as error:
        admit_tried(name)
    check_line(str(error.value), message)


@pytest.mark.parametrize("name", ["softmax", "softmax_inside"])
def test_a_softmax_at_the_end_is_left_out(name, admit_tried, tried):
    admitted = admit_tried(name)
    model = keras.models.load_model(tried[0] / name / child.SUBMITTED)
    outputs = np.asarray(model(IMAGES, training=False))
    logits = np.asarray(admitted.model(IMAGES))
    softmax = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(softmax, outputs, rtol=1e-4)
    (note,) = admitted.notes
    assert note.startswith("its last softmax is left out: logits are measured. ")
    assert note.endswith("nothing is to be done")


def test_sigmoid_outputs_pass_and_are_told(admit_tried):
    assert admit_tried("sigmoid").probe["outputs_in_unit_interval"] is True


def _slow(tmp_path):
    """Within every cap, but some hundred thousand million operations for all images."""
    inner = [
        layer("Conv2D", filters=64, kernel_size=[7, 7], padding="same", name=f"c{i}")
        for i in range(2)
    ]
    stack = [
        layer("UpSampling2D", size=[16, 16]),
        *inner,
        layer("GlobalAveragePooling2D"),
        layer("Dense", units=10),
    ]
    config = {
        "module": "keras",
        "class_name": "Sequential",
        "config": {"name": "s", "layers": stack},
    }
    model = keras.Sequential([keras.Input(SHAPE)])
    for one in config["config"]["layers"]:
        model.add(keras.saving.deserialize_keras_object(one | {"registered_name": None}))
    return saved(model, tmp_path / "m.keras")


def test_a_slow_model_meets_its_limits(tmp_path):
    path = _slow(tmp_path)
    refused(
        path,
        r"not loaded and tried within 3 seconds of processor time",
        limits=Limits(cpu_seconds=3),
    )
    refused(path, r"not loaded and tried within 2\.5 seconds", limits=Limits(wall_seconds=2.5))
    refused(path, r"memory", limits=Limits(memory_bytes=1 << 30))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("m.h5", b"\x89HDF", r"legacy HDF5 model"),
        ("m.pkl", pickle.dumps({}), r"is not a \.keras file"),
        ("m.keras.zip", b"PK", r"is not a \.keras file"),
        ("\x1b[2Jevil\u202e.txt", b"", r"\\x1b\[2Jevil\\u202e"),
        ("m.keras", b"", r"The file is not a ZIP archive"),
    ],
)
def test_other_files_are_refused_up_front(name, content, message, tmp_path):
    path = tmp_path / name
    path.write_bytes(content)
    refused(path, message)


def test_other_places_are_refused_up_front(tmp_path):
    (tmp_path / "saved_model").mkdir()
    refused(tmp_path / "saved_model", r"is a folder \(a SavedModel\?\)")
    refused(tmp_path / "none.keras", r"does not exist")
    os.mkfifo(tmp_path / "pipe.keras")
    refused(tmp_path / "pipe.keras", r"is not a regular file")
    refused("/dev/zero", r"is not a regular file")
    for address in (
        "https://example.org/m.keras",
        "hf://user/model",
        "gs://b/m.keras",
        "kaggle://x",
        "hf:user/model",
    ):
        refused(address, r"is an address; download the \.keras file")
    refused("m\0.keras", r"is not a file name")


def test_a_file_larger_than_accepted_is_not_copied(tmp_path):
    path = tmp_path / "m.keras"
    with path.open("wb") as file:
        file.truncate(untrusted.archive.MAX_FILE_BYTES + 1)
    refused(path, r"The file is \d+ bytes; at most")


@pytest.mark.parametrize(
    "last",
    [
        lambda: layers.Softmax(axis=0),
        lambda: layers.UnitNormalization(axis=0),
    ],
)
def test_a_model_whose_logits_depend_on_the_batch_is_told(last):
    with pytest.raises(Refused, match="depend on the rest of the batch"):
        trial.measure(_with_last(last(), layers.Rescaling(10.0, -1.0)), IMAGES, CLASSES)


def test_a_normalisation_in_training_mode_depends_on_the_batch():
    class Mixed(keras.layers.Layer):
        def call(self, x):
            return x - keras.ops.mean(x, axis=0)

    with pytest.raises(Refused, match="depend on the rest of the batch"):
        trial.measure(_with_last(Mixed()), IMAGES, CLASSES)
