"""Models as people build them, read and rebuilt: the same logits, or a refusal that helps."""

import contextlib
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

from pellucid.metrics import attributions
from pellucid.models.untrusted import admit
from pellucid.models.untrusted.layers.allowed import (
    AUGMENTATIONS,
    HINTS,
    LAYERS,
    WRAPPED,
)
from pellucid.models.untrusted.model.build import build
from pellucid.models.untrusted.refusal import Refused
from pellucid.models.untrusted.sandbox.child import examine
from tests.hostile import elsewhere

SHAPE = (32, 32, 3)
IMAGES = np.random.default_rng(0).random((3, *SHAPE), np.float32)

OF_TRAINING = {
    "RandomBrightness": {"factor": 0.2},
    "RandomColorDegeneration": {"factor": 0.2},
    "RandomContrast": {"factor": 0.2},
    "RandomHue": {"factor": 0.2},
    "RandomPosterization": {"factor": 4},
    "RandomRotation": {"factor": 0.1},
    "RandomSaturation": {"factor": 0.2},
    "RandomSharpness": {"factor": 0.2},
    "RandomTranslation": {"height_factor": 0.1, "width_factor": 0.1},
    "RandomZoom": {"height_factor": 0.1},
}
"""Arguments of layers that need some."""


def rebuilt(made: keras.Model, tmp_path) -> keras.Model:
    made.save(tmp_path / "model.keras")
    _, graph, arrays = examine((tmp_path / "model.keras").read_bytes(), made.input_shape[1:], 10)
    return build(graph, arrays)


def check_equal(made: keras.Model, back: keras.Model, tolerance: float = 1e-4) -> None:
    expected = np.asarray(made(IMAGES, training=False), np.float32)
    assert np.ptp(expected) > 0
    scale = np.abs(expected).max()
    np.testing.assert_allclose(back(IMAGES), expected, rtol=0, atol=tolerance * scale)


def classifier(*body: keras.Layer) -> keras.Model:
    keras.utils.set_random_seed(0)
    stem = [keras.Input(SHAPE), *body, layers.Conv2D(4, 3, strides=2, activation="relu")]
    return keras.Sequential([*stem, layers.GlobalAveragePooling2D(), layers.Dense(10)])


@pytest.mark.parametrize("name", sorted(AUGMENTATIONS - {"StochasticDepth"}))
def test_augmentation_is_left_out(name, tmp_path):
    made = classifier(getattr(layers, name)(**OF_TRAINING.get(name, {})))
    back = rebuilt(made, tmp_path)
    check_equal(made, back)
    assert isinstance(back.layers[1], layers.Identity)


def test_augmentation_as_a_model_of_its_own(tmp_path):
    augment = keras.Sequential(
        [layers.RandomFlip("horizontal"), layers.RandomTranslation(0.1, 0.1)]
    )
    made = classifier(augment, layers.Rescaling(2.0, -1.0))
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    made.fit(IMAGES, np.arange(3), verbose=0)
    check_equal(made, rebuilt(made, tmp_path))


@pytest.mark.parametrize(
    "layer",
    [
        layers.Resizing(48, 40),
        layers.Resizing(20, 20, interpolation="nearest"),
        layers.Resizing(24, 24, interpolation="bicubic"),
        layers.CenterCrop(28, 27),
    ],
)
def test_sizes(layer, tmp_path):
    made = classifier(layer)
    check_equal(made, rebuilt(made, tmp_path))
    x = keras.Input(SHAPE)
    made = keras.Model(x, layers.Dense(10)(layers.Flatten()(layer(x))))
    check_equal(made, rebuilt(made, tmp_path))


def test_training_true_is_what_keras_makes_of_it(tmp_path):
    """Keras writes it for augmentation unasked, and `predict` overrides it."""
    x = keras.Input(SHAPE)
    flipped = layers.RandomFlip()(x, training=True)
    made = keras.Model(x, layers.Dense(10)(layers.Flatten()(flipped)))
    check_equal(made, rebuilt(made, tmp_path))
    np.testing.assert_allclose(made.predict(IMAGES, verbose=0), made(IMAGES, training=False), 1e-5)
    dropped = layers.Dropout(0.5)(x, training=True)
    made = keras.Model(x, layers.Dense(10)(layers.Flatten()(dropped)))
    with pytest.raises(Refused, match="'training' = true"):
        rebuilt(made, tmp_path)


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv2D(5, 3, padding="same"),
        layers.Conv2DTranspose(5, 3, padding="same"),
        layers.Dense(5, activation="relu"),
    ],
)
def test_spectral_normalization(layer, tmp_path):
    """Trained a few steps, so that the kernel is not what it was and the vector is not random."""
    made = classifier(layers.SpectralNormalization(layer))
    made.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    made.fit(IMAGES, np.arange(3), epochs=3, verbose=0)
    back = rebuilt(made, tmp_path)
    check_equal(made, back)
    assert type(back.layers[1]) is type(layer)


def test_convnext(tmp_path):
    from keras.src.applications.convnext import LayerScale, StochasticDepth

    x = keras.Input(SHAPE)
    h = layers.LayerNormalization(epsilon=1e-6)(layers.Conv2D(8, 4, strides=4)(x))
    for _ in range(2):
        inner = layers.Conv2D(8, 7, padding="same", groups=8)(h)
        inner = layers.Dense(32)(layers.LayerNormalization(epsilon=1e-6)(inner))
        inner = layers.Dense(8)(layers.Activation("gelu")(inner))
        h = layers.Add()([h, StochasticDepth(0.1)(LayerScale(1e-6, 8)(inner))])
    made = keras.Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(h)))
    draw = np.random.default_rng(1)
    made.set_weights([draw.normal(0, 0.3, w.shape) for w in made.get_weights()])
    check_equal(made, rebuilt(made, tmp_path))


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_rebuilt_in_float32(policy, tmp_path):
    keras.config.set_dtype_policy(policy)
    try:
        made = classifier(layers.BatchNormalization(), layers.ReLU())
    finally:
        keras.config.set_dtype_policy("float32")
    back = rebuilt(made, tmp_path)
    check_equal(made, back, tolerance=0.03)
    assert {layer.compute_dtype for layer in back.layers} == {"float32"}


def test_names_of_layers_do_not_collide_with_those_of_functions(tmp_path):
    """Keras names functions by a count that goes on in a process."""
    x = h = keras.Input(SHAPE)
    for _ in range(4):
        h = layers.Maximum()([h, layers.Rescaling(1.1)(h)])
    for bound in range(8):
        h = keras.ops.maximum(h, bound / 100)
    made = keras.Model(x, layers.Dense(10)(layers.Flatten()(h)))
    keras.backend.clear_session()
    check_equal(made, rebuilt(made, tmp_path))


def nested() -> keras.Model:
    inner_input = keras.Input((16, 16, 4))
    body = keras.Model(inner_input, layers.Conv2D(4, 3, padding="same")(inner_input) + inner_input)
    x = keras.Input(SHAPE)
    h = layers.Conv2D(4, 3, strides=2, padding="same")(x)
    h = body(body(h))
    return keras.Model(x, layers.Dense(10)(layers.Flatten()(h)))


def test_a_functional_model_within_another(tmp_path):
    made = nested()
    check_equal(made, rebuilt(made, tmp_path))


@pytest.mark.parametrize("wrap", ["functional", "sequential"])
def test_a_trained_model_within_another(wrap, tmp_path):
    """Keras saves the optimizer's variables with the model that was compiled."""
    keras.utils.set_random_seed(0)
    inner = keras.Sequential([keras.Input(SHAPE), layers.Flatten(), layers.Dense(10)])
    inner.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    inner.fit(IMAGES, np.arange(3), verbose=0)
    x, scale = keras.Input(SHAPE), layers.Rescaling(2.0, offset=-1.0)
    made = (
        keras.Model(x, inner(scale(x)))
        if wrap == "functional"
        else keras.Sequential([x, scale, inner])
    )
    check_equal(made, rebuilt(made, tmp_path))


@pytest.mark.parametrize("name", ["MobileNetV2", "ResNet50", "EfficientNetB0", "DenseNet121"])
def test_applications(name, tmp_path):
    made = getattr(keras.applications, name)(
        weights=None, input_shape=SHAPE, classes=10, classifier_activation=None
    )
    check_equal(made, rebuilt(made, tmp_path))


def test_every_layer_of_keras_is_taken_or_has_a_replacement():
    found = {
        one.__name__
        for one in vars(layers).values()
        if isinstance(one, type) and issubclass(one, keras.Layer)
    }
    taken = LAYERS.keys() | WRAPPED.keys() | AUGMENTATIONS | {"InputLayer"}
    assert found - taken == set(HINTS)


@pytest.mark.parametrize("backend", ["tensorflow", "jax", "torch"])
def test_a_model_trained_and_saved_under_any_backend(backend, tmp_path):
    folder = Path(__file__).parent
    saved = folder / "saved_by_torch"  # PyTorch is no requirement of this project
    if backend != "torch":
        saved = tmp_path / "saved"
        environment = os.environ | {"KERAS_BACKEND": backend, "JAX_PLATFORMS": "cpu"}
        command = [sys.executable, str(folder / "elsewhere.py"), str(saved)]
        subprocess.run(command, env=environment, check=True, capture_output=True)
    x, expected = elsewhere.images(), np.load(saved.with_suffix(".npy"))
    admitted = admit(
        saved.with_suffix(".keras"),
        input_shape=elsewhere.SHAPE,
        num_classes=elsewhere.CLASSES,
        images=x,
    )
    scale = np.abs(expected).max()
    np.testing.assert_allclose(admitted.model(x, training=False), expected, atol=1e-4 * scale)


@pytest.mark.parametrize(
    ("layer", "message"),
    [
        (layers.RandomCrop(16, 16), "for inference use CenterCrop"),
        (layers.Resizing(16, 16, pad_to_aspect_ratio=True), "pad_to_aspect_ratio is true"),
        (
            layers.SpectralNormalization(layers.DepthwiseConv2D(3)),
            "Dense or Conv2D or Conv2DTranspose",
        ),
        (layers.TimeDistributed(layers.Dense(3)), "apply Dense directly"),
        (layers.Lambda(lambda x: x), "write the function with keras.ops"),
    ],
)
def test_refusals_name_what_to_use(layer, message, tmp_path):
    made = classifier()
    x = keras.Input(SHAPE)
    try:
        out = layer(x)
    except (AttributeError, ValueError):
        pytest.skip("this Keras does not build it")
    made = keras.Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(out)))
    with pytest.raises(Refused, match=message):
        rebuilt(made, tmp_path)


def test_a_layer_without_a_gradient_here_is_refused_in_one_line(tmp_path):
    """Whatever the backend does with a dilated transposed convolution: one line, or a model."""
    x = keras.Input(SHAPE)
    h = layers.Conv2DTranspose(4, 3, dilation_rate=2, padding="same")(x)
    made = keras.Model(x, layers.Dense(10)(layers.GlobalAveragePooling2D()(h)))
    made.save(tmp_path / "model.keras")
    arguments = {"input_shape": SHAPE, "num_classes": 10, "images": IMAGES}
    admitted = None
    with contextlib.suppress(Refused):
        admitted = admit(tmp_path / "model.keras", **arguments)
    if admitted is not None:
        assert np.isfinite(attributions.run("gradient", admitted.model, IMAGES)).all()


def test_a_gradient_that_is_not_finite_is_refused(tmp_path):
    x = keras.Input(SHAPE)
    flat = layers.Flatten()(keras.ops.sqrt(keras.ops.relu(x - 2.0)))
    made = keras.Model(x, layers.Dense(10)(flat))
    made.save(tmp_path / "model.keras")
    with pytest.raises(Refused, match="gradient of the model's logits is not finite"):
        admit(tmp_path / "model.keras", input_shape=SHAPE, num_classes=10, images=IMAGES)
