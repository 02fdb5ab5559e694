"""Honest models, and the tools to take their files apart and to put damaged ones together."""

import functools
import io
import json
import re
import struct
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import keras
import numpy as np
import psutil
from keras import layers, ops

SHAPE, CLASSES = (8, 8, 1), 10
NAMES = ("metadata.json", "config.json", "model.weights.h5")


def plain() -> keras.Model:
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Rescaling(2.0, -1.0),
            layers.Conv2D(4, 3, strides=2, activation="relu"),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(CLASSES),
        ]
    )


def functional() -> keras.Model:
    x = inputs = keras.Input(SHAPE)
    x = layers.Conv2D(4, 3, padding="same")(x)
    y = layers.ReLU()(layers.BatchNormalization()(x))
    y = layers.SeparableConv2D(4, 3, padding="same")(y)
    x = layers.Add()([x, y])
    gate = layers.Dense(4, activation="sigmoid")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    x = layers.Multiply()([x, gate])
    x = layers.Concatenate()([layers.MaxPooling2D()(x), layers.AveragePooling2D(2)(x)])
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling2D()(x)))


def trained() -> keras.Model:
    model = plain()
    model.compile(
        "adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True), metrics=["accuracy"]
    )
    model.fit(
        np.random.default_rng(0).random((16, *SHAPE)),
        np.arange(16) % CLASSES,
        shuffle=False,
        verbose=0,
    )
    return model


def nested() -> keras.Model:
    """A shared nested model, a nested model at the end, and an adapted normalisation."""
    normalization = layers.Normalization()
    normalization.adapt(np.random.default_rng(0).random((16, *SHAPE)))
    x = inner_in = keras.Input(SHAPE)
    x = layers.PReLU(shared_axes=[1, 2])(layers.DepthwiseConv2D(3, depth_multiplier=3)(x))
    tower = keras.Model(inner_in, layers.Flatten()(layers.Dropout(0.5)(x)))
    inputs = keras.Input(SHAPE)
    x = layers.Subtract()([tower(normalization(inputs)), tower(inputs)])
    head_in = keras.Input(x.shape[1:])
    head = keras.Model(head_in, layers.Dense(CLASSES)(layers.LayerNormalization()(head_in)))
    return keras.Model(inputs, head(x))


def attention() -> keras.Model:
    inputs = keras.Input(SHAPE)
    x = layers.Reshape((16, 8))(layers.Conv2D(8, 3, strides=2, padding="same")(inputs))
    attended = layers.MultiHeadAttention(2, 4, dropout=0.1)(x, x, use_causal_mask=True)
    x = layers.GroupNormalization(2)(layers.Add()([x, attended]))
    x = layers.Add()([x, layers.MultiHeadAttention(2, 3, value_dim=3)(query=x, value=x)])
    return keras.Model(inputs, layers.Dense(CLASSES)(layers.GlobalAveragePooling1D()(x)))


def assorted() -> keras.Model:
    """Every layer that the other models do not have."""
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Normalization(mean=[0.5], variance=[0.25]),
            layers.ZeroPadding2D(((1, 0), (0, 2))),
            layers.Conv2DTranspose(6, 3, strides=2, activation="gelu", kernel_regularizer="l2"),
            layers.SpatialDropout2D(0.1),
            layers.Cropping2D(((1, 1), (2, 0))),
            layers.UpSampling2D(2, interpolation="bilinear"),
            layers.Conv2D(
                6, 3, groups=3, dilation_rate=2, use_bias=False, kernel_constraint="max_norm"
            ),
            layers.LeakyReLU(0.1),
            layers.GaussianNoise(0.1),
            layers.Permute((2, 1, 3)),
            layers.GlobalMaxPooling2D(),
            layers.ELU(),
            layers.UnitNormalization(),
            layers.AlphaDropout(0.1),
            layers.GaussianDropout(0.1),
            layers.Dense(12, kernel_initializer="he_normal", activity_regularizer="l1"),
            layers.Softmax(),
            layers.Activation("tanh"),
            layers.Identity(),
            layers.Dense(CLASSES),
        ]
    )


def operations() -> keras.Model:
    """What functional models are written with besides layers, and layers that only train."""
    inputs = keras.Input(SHAPE)
    x = layers.RandomFlip()(inputs) * 2.0 - 1.0
    x = layers.SpectralNormalization(layers.Conv2D(6, 3, padding="same"))(x)
    x = ops.relu(x + ops.gelu(x)) / (1.0 + ops.exp(-x))
    x = ops.concatenate([x[..., :3], x[..., 3:]], axis=-1)
    x = ops.stack([ops.mean(x, axis=(1, 2)), ops.max(x, axis=(1, 2))], axis=1)
    x = ops.reshape(ops.clip(x, -5.0, 5.0), (-1, 12))
    return keras.Model(inputs, layers.Dense(CLASSES)(x))


def built_late() -> keras.Model:
    """A Sequential model that learns its input's shape from the data."""
    model = keras.Sequential([layers.Rescaling(2.0, -1.0), layers.Flatten(), layers.Dense(CLASSES)])
    model.build((None, *SHAPE))
    return model


HONEST: dict[str, Callable[[], keras.Model]] = {
    f.__name__: f
    for f in (plain, functional, trained, nested, attention, assorted, operations, built_late)
}


@functools.cache
def honest(name: str) -> keras.Model:
    """An honest model with every float weight moved, so that none is at its initial value."""
    model, draw = HONEST[name](), np.random.default_rng(1)
    model.set_weights(
        [
            w + draw.uniform(0.01, 0.1, w.shape).astype(w.dtype) if w.dtype == "float32" else w
            for w in model.get_weights()
        ]
    )
    for inner in model._flatten_layers():
        if isinstance(inner, layers.Normalization):
            inner.finalize_state()  # takes the moments, as loading does
    return model


def check_line(message: str, pattern: str) -> None:
    """A refusal's message is one short printable line of ASCII that matches the pattern."""
    assert re.search(pattern, message), message
    assert len(message) < 400
    assert message.isprintable()
    assert message.isascii()


@contextmanager
def nothing_left_running() -> Iterator[None]:
    """Fails where a process that was not there before is left behind."""
    before = set(psutil.Process().children(recursive=True))
    yield
    assert set(psutil.Process().children(recursive=True)) <= before, "something was left running"


def saved(model: keras.Model, path: Path) -> Path:
    model.save(path)
    return path


@functools.cache
def members(name: str) -> dict[str, bytes]:
    """The members of an honest model's file."""
    with tempfile.TemporaryDirectory() as folder:
        path = saved(honest(name), Path(folder) / "m.keras")
        with zipfile.ZipFile(path) as archive:
            return {member: archive.read(member) for member in NAMES}


def pack(
    parts: dict[str, bytes] | list[tuple[str, bytes]], method: int = zipfile.ZIP_STORED
) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, content in parts.items() if isinstance(parts, dict) else parts:
            archive.writestr(
                zipfile.ZipInfo(name) if method == zipfile.ZIP_STORED else name, content
            )
    return buffer.getvalue()


def with_config(edit: Callable[[dict], object], base: str = "plain") -> bytes:
    """An honest file whose configuration is edited in place, or replaced by what `edit` returns."""
    parts = dict(members(base))
    config = json.loads(parts["config.json"])
    replaced = edit(config)
    parts["config.json"] = json.dumps(replaced if isinstance(replaced, dict) else config).encode()
    return pack(parts)


def with_layer(index: int, edit: Callable[[dict], object], base: str = "plain") -> bytes:
    """An honest file with one serialised layer edited, or replaced by what `edit` returns."""

    def change(config: dict) -> None:
        serialized = config["config"]["layers"]
        replaced = edit(serialized[index])
        if isinstance(replaced, dict):
            serialized[index] = replaced

    return with_config(change, base)


def layer(class_name: str, module: str = "keras.layers", **config: object) -> dict:
    return {
        "module": module,
        "class_name": class_name,
        "config": {"name": class_name.lower(), "trainable": True, "dtype": "float32", **config},
        "registered_name": None,
    }


def with_weights(edit: Callable[[h5py.File], object], base: str = "plain") -> bytes:
    """An honest file whose weights file is edited by h5py."""
    parts = dict(members(base))
    buffer = io.BytesIO(parts["model.weights.h5"])
    with h5py.File(buffer, "r+") as file:
        edit(file)
    parts["model.weights.h5"] = buffer.getvalue()
    return pack(parts)


def replaced(member: str, content: bytes, base: str = "plain") -> bytes:
    return pack(dict(members(base)) | {member: content})


def patched(
    data: bytes, signature: bytes, number: int, offset: int, form: str, *values: int
) -> bytes:
    """ZIP bytes with numbers overwritten at an offset into the n-th header of a kind."""
    at = -1
    for _ in range(number + 1):
        at = data.index(signature, at + 1)
    changed = bytearray(data)
    struct.pack_into(form, changed, at + offset, *values)
    return bytes(changed)


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def both(data: bytes, number: int, local: int, central: int, form: str, *values: int) -> bytes:
    """The same numbers written into a member's local header and into the directory."""
    return patched(
        patched(data, LOCAL, number, local, form, *values), CENTRAL, number, central, form, *values
    )
