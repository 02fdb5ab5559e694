"""The protocol's classifiers: layers, seeds, and what a saved file needs."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from pellucid import models
from pellucid.models.checks import check_classifier
from pellucid.models.errors import InputError
from pellucid.models.functional import predict

# name, image shape, classes, number of weights worked out from the protocol's table
PARAMETERS = [
    ("mlp", (2,), 2, 2 * 128 + 128 + 128 * 2 + 2),
    (
        "mnist_cnn",
        (28, 28, 1),
        10,
        26 * 32 + (800 + 1) * 64 + (14 * 14 * 64 + 1) * 1024 + 1025 * 10,
    ),
    (
        "cifar_cnn",
        (32, 32, 3),
        10,
        28 * 32 + 289 * 32 + 289 * 64 + 577 * 64 + (8 * 8 * 64 + 1) * 512 + 513 * 10,
    ),
    ("strided_cnn", (32, 32, 3), 10, 49 * 16 + 257 * 32 + (8 * 8 * 32 + 1) * 100 + 101 * 10),
    ("digits_cnn", (8, 8, 1), 10, 10 * 16 + 145 * 32 + (2 * 2 * 32 + 1) * 64 + 65 * 10),
]


@pytest.mark.parametrize(("name", "shape", "classes", "weights"), PARAMETERS)
def test_classifiers_are_the_protocols(name, shape, classes, weights):
    model = models.get(name)(shape, classes, seed=0)
    assert model.count_params() == weights
    assert isinstance(model.layers[0], keras.layers.Rescaling)
    x = np.random.default_rng(0).random((4, *shape), np.float32)
    check_classifier(model, x, classes)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(model.layers[0](x)), 2 * x - 1, atol=1e-6)


@pytest.mark.parametrize("name", [n for n, *_ in PARAMETERS])
def test_seed_fixes_the_initial_weights(name):
    shape, classes = next((s, c) for n, s, c, _ in PARAMETERS if n == name)
    a, b, c = (
        models.get(name)(shape, classes, seed=seed, width=0.25).get_weights() for seed in (1, 1, 2)
    )
    assert all(np.array_equal(u, v) for u, v in zip(a, b, strict=True))
    kernels = [w for w in range(len(a)) if a[w].ndim > 1]
    assert not any(np.array_equal(a[w], c[w]) for w in kernels)
    assert all(not a[w].any() for w in range(len(a)) if w not in kernels), "biases start at zero"


def test_width():
    full, half = (models.get("strided_cnn")((8, 8, 1), 10, seed=0, width=w) for w in (1, 0.5))
    assert [layer.filters for layer in half.layers if hasattr(layer, "filters")] == [8, 16]
    assert half.count_params() < full.count_params() / 2
    with pytest.raises(InputError, match=r"`width` must be a number above 0\. Received 0"):
        models.get("mlp")((2,), 2, seed=0, width=0)


def test_classifier_that_does_not_fit_the_images():
    with pytest.raises(InputError, match=r"needs images of shape \(h, w, c\)"):
        models.get("mnist_cnn")((2,), 2, seed=0)


def test_saved_file_names_no_module_of_ours_and_loads_without_us(tmp_path, digits_model, digits):
    path = tmp_path / "model.keras"
    digits_model.save(path)
    with zipfile.ZipFile(path) as archive:
        config = json.loads(archive.read("config.json"))
    modules = {c["module"] for c in config["config"]["layers"]}
    assert all(m.startswith("keras") for m in modules)
    np.save(tmp_path / "x.npy", digits.x_test[:10] / np.float32(255))
    code = (
        "import keras, numpy as np; m = keras.saving.load_model('model.keras'); "
        "np.save('z.npy', m.predict(np.load('x.npy'), verbose=0))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    np.testing.assert_allclose(
        np.load(tmp_path / "z.npy"), predict(digits_model, digits.x_test[:10]), rtol=1e-4, atol=1e-4
    )
