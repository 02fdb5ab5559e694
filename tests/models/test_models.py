"""Classifiers and VAE-GANs: the protocol's layers, seeds, and what a saved file needs."""

import json
import subprocess
import sys
import zipfile

import keras
import numpy as np
import pytest

from robust_interpretability import models
from robust_interpretability.models.checks import check_classifier
from robust_interpretability.models.errors import InputError, unknown
from robust_interpretability.models.functional import predict, program, state, structure

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


VAE_GANS = [
    ("digits_vae_gan", (8, 8, 1), 10),
    ("mnist_vae_gan", (28, 28, 1), 10),
    ("cifar_vae_gan", (32, 32, 3), 128),
]


@pytest.mark.parametrize(("name", "shape", "latent"), VAE_GANS)
def test_vae_gans(name, shape, latent):
    vae_gan = models.get(name)(shape, seed=0, latent=latent, width=0.25)
    x = np.random.default_rng(0).random((3, *shape), np.float32)
    assert predict(vae_gan.encoder, x).shape == (3, 2 * latent)
    image = predict(vae_gan.decoder, np.zeros((3, latent), np.float32))
    assert image.shape == x.shape
    assert image.min() >= 0
    assert image.max() <= 1
    assert predict(vae_gan.discriminator, x).shape == (3, 1)
    again = models.get(name)(shape, seed=0, latent=latent, width=0.25)
    for a, b in zip(
        vae_gan.discriminator.get_weights(), again.discriminator.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(a, b)


def test_full_width_vae_gans_have_the_protocols_channels():
    def channels(model, kind):
        stack = [getattr(layer, "layer", layer) for layer in model.layers]
        return [layer.filters for layer in stack if type(layer) is kind]

    mnist = models.get("mnist_vae_gan")((28, 28, 1), seed=0)
    assert channels(mnist.encoder, keras.layers.Conv2D) == [64, 128, 256]
    assert channels(mnist.decoder, keras.layers.Conv2DTranspose) == [256, 128, 32, 1]
    assert channels(mnist.discriminator, keras.layers.Conv2D) == [32, 128, 256, 256]
    cifar = models.get("cifar_vae_gan")((32, 32, 3), seed=0)
    assert channels(cifar.encoder, keras.layers.Conv2D) == [64, 128, 256]
    assert channels(cifar.decoder, keras.layers.Conv2DTranspose) == [256, 128, 64]
    assert channels(cifar.discriminator, keras.layers.Conv2D) == [64, 64, 128, 128, 256, 256, 512]
    assert cifar.latent == 128


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("mnist_vae_gan", (32, 32, 3), r"\(28, 28, c\)"),
        ("cifar_vae_gan", (28, 28, 1), r"\(8 i, 8 j, c\)"),
        ("digits_vae_gan", (9, 8, 1), r"\(4 i, 4 j, c\)"),
    ],
)
def test_vae_gan_that_does_not_fit_the_images(name, shape, expected):
    with pytest.raises(InputError, match=expected):
        models.get(name)(shape, seed=0)


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


def test_models_of_one_structure_share_a_program():
    first, second = (models.get("digits_cnn")((8, 8, 1), 10, seed=s) for s in (0, 1))
    other = models.get("digits_cnn")((8, 8, 1), 10, seed=0, width=0.5)
    unnamed = [
        keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, activation=a)])
        for a in ("relu", "relu", "tanh")
    ]
    assert structure(first) == structure(second) != structure(other)
    assert structure(unnamed[0]) == structure(unnamed[1]) != structure(unnamed[2])
    made = []

    def make(model):
        made.append(model)
        return lambda x: x

    programs = {id(program(m, ("test",), make)) for m in (first, second)}
    assert len(programs) == len(made) == 1


def test_subclassed_models_share_nothing():
    class Doubler(keras.Model):
        def call(self, x):
            return 2 * x

    assert structure(Doubler()) != structure(Doubler())


def test_state_is_tensors():
    """Variables as arguments would make TensorFlow compile once a model."""
    values = state(models.get("mlp")((2,), 2, seed=0))
    assert not any(
        isinstance(v, keras.Variable) or type(v).__name__.endswith("Variable")
        for v in values.trainable
    )


def build(*layers) -> keras.Model:
    return keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten(), *layers])


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (
            build(keras.layers.Dense(3, activation="softmax")),
            "It puts out probabilities: remove the last softmax",
        ),
        (build(keras.layers.Dense(4)), r"logits of shape \(n, 3\)\. It puts out \(2, 4\)"),
        (
            build(keras.layers.Dense(3, bias_initializer=keras.initializers.Constant(np.inf))),
            "NaN or infinity",
        ),
        (
            keras.Sequential(
                [keras.Input((3, 2, 1)), keras.layers.Flatten(), keras.layers.Dense(3)]
            ),
            "must take inputs",
        ),
    ],
)
def test_models_that_are_no_classifier(model, message):
    with pytest.raises(InputError, match=message):
        check_classifier(model, np.zeros((2, 2, 2, 1), np.float32), 3)


def test_unknown_names_get_the_close_match():
    with pytest.raises(
        InputError, match=r"Unknown model 'cifar_cn'\. Did you mean 'cifar_cnn'\? Known: "
    ):
        models.get("cifar_cn")
    assert "Known" not in str(unknown("thing", "x", map(str, range(30))))
