"""What cannot be handled is refused in one line that says what to do."""

import re

import keras
import numpy as np
import pytest
from keras import layers

import pellucid
from tests.library import networks

X, Y = networks.images(), networks.labels()


class Unconvertible:
    """As a PyTorch tensor that needs a gradient or lies on a GPU."""

    def __array__(self, dtype=None, copy=None):
        raise RuntimeError("call tensor.detach().numpy() instead")


class Broken(keras.Model):
    def call(self, x):
        raise ValueError("first line\nsecond line")


class Several(keras.Model):
    def call(self, x):
        return {"logits": x}


def model_of(*stack: keras.layers.Layer, shape: tuple = networks.SHAPE) -> keras.Model:
    return keras.Sequential([keras.Input(shape), *stack])


def two_inputs() -> keras.Model:
    first, second = keras.Input(networks.SHAPE), keras.Input(networks.SHAPE)
    return keras.Model([first, second], layers.Dense(3)(layers.Flatten()(first + second)))


def refusal(call, *arguments, **options) -> str:
    with pytest.raises(pellucid.InputError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("model", "options", "message"),
    [
        (networks.softmax, {}, "pass logits=False, or remove its softmax"),
        (networks.sequential, {"logits": False}, "leave out logits=False"),
        (networks.sequential, {"scale": 0}, "`scale` must be a number above 0"),
        (lambda: "resnet", {}, "`model` must be a Keras model. Received builtins.str"),
        (Broken, {}, r"could not be called on 12 images .*\(ValueError: first line\)"),
        (Several, {}, "one tensor of logits. It returns dict"),
        (two_inputs, {}, "must have one input"),
        (lambda: model_of(layers.Flatten(), layers.Dense(1)), {}, "two for two classes"),
        (lambda: model_of(layers.Dense(3)), {}, r"logits of shape \(n, classes\). It outputs"),
        (
            lambda: model_of(layers.Flatten(), layers.Dense(3), layers.Rescaling(np.inf)),
            {},
            "finite numbers",
        ),
        (
            lambda: model_of(layers.Flatten(), layers.Dense(3), shape=(1, 6, 4)),
            {},
            r"takes images of shape \(1, 6, 4\). Received \(6, 4, 1\).$",
        ),
    ],
)
def test_models(model, options, message):
    assert re.search(message, refusal(pellucid.input_gradient, model(), X, Y, **options))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (X * 255, "divide by 255, and if the model takes 0 to 255, pass scale=255"),
        (X * 2 - 1, r"Rescaling\(2, -1\)"),
        (X * 1000, "must lie in"),
        (np.where(X > 0.5, np.nan, X), "must lie in"),
        ((X * 255).astype(int), r"pass `x.astype\('uint8'\)`"),
        (X[..., 0], r"Add the axis of channels: x\[..., None\]"),
        (np.moveaxis(X, -1, 1), r"Move the channels to the end: np.moveaxis\(x, 1, -1\)"),
        (X[:0], "at least one example"),
        (X[0, 0, 0], "at least one example"),
        (Unconvertible(), r"\.detach\(\)\.cpu\(\)\.numpy\(\)"),
        (iter(X), "collect its batches with `np.concatenate`"),
        ([X[0], X[1][:3]], "NumPy array"),
    ],
)
def test_images(x, message):
    line = refusal(pellucid.input_gradient, networks.sequential(), x, Y)
    assert re.search(message, line)


def test_a_tensorflow_data_set():
    if keras.backend.backend() != "tensorflow":
        return
    import tensorflow as tf

    batches = tf.data.Dataset.from_tensor_slices(X).batch(4)
    line = refusal(pellucid.attribute, "gradient", networks.sequential(), batches)
    assert "BatchDataset: collect its batches" in line


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (Y[:-1], r"12 integers, one per image. Received shape \(11,\)"),
        (Y + 1, r"must lie in \[0, 2\]"),
        (Y.astype(float), r"pass `y.astype\(int\)`"),
        (np.eye(3)[Y] * 0.9, r"pass `y.argmax\(axis=1\)`"),
        (np.eye(4)[Y], r"one per image. Received shape \(12, 4\)"),
        (["cat"] * 12, "must be integers"),
    ],
)
def test_labels(y, message):
    line = refusal(pellucid.input_gradient, networks.sequential(), X, y)
    assert re.search(message, line)


def test_attributions_and_evaluations_need_images_with_channels():
    model = model_of(layers.Flatten(), layers.Dense(3), shape=(6, 4))
    flat = X[..., 0]
    assert "(n, h, w, c)" in refusal(pellucid.attribute, "gradient", model, flat)
    assert "(n, h, w, c)" in refusal(pellucid.evaluate, model, flat, Y, norm="l2", epsilon=1)
    assert "(n, h, w, c)" in refusal(pellucid.interpretability, model, flat, Y)
    assert pellucid.attack("fgsm", model, flat, Y, norm="l2", epsilon=1).shape == flat.shape


def test_attacks_and_their_options():
    def line(*names, **options):
        return refusal(pellucid.attack, *names, networks.sequential(), X, Y, **options)

    ball = {"norm": "l2", "epsilon": 0.1}
    assert "Did you mean 'pgd'?" in line("pdg", **ball)
    assert "needs `norm` and `epsilon`" in line("pgd", norm="l2")
    assert "Did you mean 'steps'?" in line("pgd", **ball, step=3)
    assert "Unknown fgsm option 'steps'" in line("fgsm", **ball, steps=3)
    assert "Did you mean 'linf'?" in line("pgd", norm="inf", epsilon=0.1)
    chosen = pellucid.Attack("fgsm", "l2", 0.1)
    assert "pass it alone" in line(chosen, epsilon=0.1)
    model = networks.sequential()
    assert "need `attack`" in refusal(pellucid.fit, model, X, Y, epochs=1, epsilon=0.1)
    np.testing.assert_array_equal(
        pellucid.attack(chosen, model, X, Y), pellucid.attack("fgsm", model, X, Y, **ball)
    )


def test_losses_and_names():
    model = networks.sequential()
    assert "Unknown attack loss" in refusal(pellucid.input_gradient, model, X, Y, loss="nll")
    mean = refusal(pellucid.input_gradient, model, X, Y, loss=lambda logits, y: logits)
    assert "one value per image" in mean
    assert "Did you mean 'gradient'?" in refusal(pellucid.attribute, "gradients", model, X)
    names = ["gradients"]
    assert "Did you mean" in refusal(pellucid.interpretability, model, X, Y, attributions=names)
    for norm, version, epsilon in (("l1", "plus", 1), ("l2", "best", 1), ("l2", "plus", -1)):
        options = {"norm": norm, "version": version, "epsilon": epsilon}
        refusal(pellucid.evaluate, model, X, Y, **options)


def test_weights_that_are_not_float32_are_not_trained():
    flatten = layers.Flatten(dtype="float16")
    model = model_of(flatten, layers.Dense(3, dtype="float16"))
    assert "dtype policy float32 or mixed_bfloat16" in refusal(pellucid.fit, model, X, Y, epochs=1)


def biased(make, factor: float, bias: float) -> keras.Model:
    model = make()
    model.layers[-1].set_weights([networks.WEIGHTS * factor, np.array([bias, 0, 0], np.float32)])
    return model


def test_a_scale_that_costs_accuracy_is_told():
    """With the wrong scale the bias decides everything, or nothing any more."""
    of_bytes = biased(networks.sequential, 1 / 255, 1.0)
    y = np.asarray(of_bytes(255 * X)).argmax(-1)
    with pytest.warns(UserWarning, match="If it takes those, pass scale=255"):
        pellucid.attack("fgsm", of_bytes, X, y, norm="l2", epsilon=0.1)
    of_unit = biased(networks.sequential, 0.01, 1.0)
    with pytest.warns(UserWarning, match="If it takes those, leave out scale=255"):
        pellucid.input_gradient(of_unit, X, np.zeros(12, int), scale=255)
