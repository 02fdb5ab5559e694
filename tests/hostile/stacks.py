"""Random stacks of all allowed layers, as Keras builds and saves them."""

from collections.abc import Callable
from typing import NamedTuple

import keras
import numpy as np
from keras import layers, ops
from keras.src.applications.convnext import LayerScale, StochasticDepth

SHAPES = ((8, 8, 1), (9, 12, 3), (16, 16, 3))
CLASSES = 10
LARGEST = 20_000
"""Numbers in one image's activation at most."""

Draw = np.random.Generator
Shape = tuple[int, ...]
ACTIVATIONS = (None, "relu", "gelu", "silu", "tanh", "elu", "softplus", "leaky_relu", "hard_swish")


class Option(NamedTuple):
    """A kind of layer: the ranks of the tensors that it takes, and how one is drawn."""

    ranks: tuple[int, ...]
    make: Callable[[Draw, Shape], keras.Layer]


ANY, IMAGES, SEQUENCES = (2, 3, 4), (4,), (3,)


def _window(draw: Draw, largest: int = 3) -> int | tuple[int, int]:
    sizes = draw.integers(1, largest + 1, 2)
    return int(sizes[0]) if draw.random() < 0.5 else (int(sizes[0]), int(sizes[1]))


def _convolution(draw: Draw) -> dict[str, object]:
    strides, dilation = (_window(draw, 2), 1) if draw.random() < 0.7 else (1, _window(draw, 2))
    return {
        "kernel_size": _window(draw),
        "strides": strides,
        "dilation_rate": dilation,
        "padding": _of(draw, "same", "valid"),
        "activation": _of(draw, *ACTIVATIONS),
        "use_bias": bool(draw.random() < 0.7),
    }


def _pooling(draw: Draw) -> dict[str, object]:
    return {"pool_size": _window(draw), "padding": _of(draw, "same", "valid")}


def _edges(draw: Draw) -> tuple[tuple[int, int], tuple[int, int]]:
    a, b, c, d = (int(n) for n in draw.integers(0, 3, 4))
    return (a, b), (c, d)


def _of(draw: Draw, *choices: object) -> object:
    return choices[int(draw.integers(len(choices)))]


def _separable(draw: Draw) -> dict[str, object]:
    """One stride for both axes, and no dilation with it, which TensorFlow does not have."""
    return _convolution(draw) | {"strides": int(draw.integers(1, 3)), "dilation_rate": 1}


def _groups(draw: Draw, channels: int) -> int:
    return int(_of(draw, *(g for g in (1, 2, 3, channels) if channels % g == 0)))


def _target(draw: Draw, shape: Shape) -> tuple[int, ...]:
    sizes = [int(n) for n in shape[1:]]
    return _of(draw, (-1,), (-1, sizes[-1]), (int(np.prod(sizes)), 1), tuple(sizes[::-1]))  # type: ignore[return-value]


OPTIONS: dict[str, Option] = {
    "Rescaling": Option(
        ANY, lambda d, s: layers.Rescaling(float(d.uniform(0.5, 2)), float(d.uniform(-1, 1)))
    ),
    "Normalization": Option(
        ANY,
        lambda d, s: layers.Normalization(
            mean=d.uniform(0, 1, s[-1]).tolist(), variance=d.uniform(0.5, 1, s[-1]).tolist()
        ),
    ),
    "Dense": Option(
        ANY, lambda d, s: layers.Dense(int(d.integers(1, 9)), activation=_of(d, *ACTIVATIONS))
    ),
    "Conv2D": Option(
        IMAGES,
        lambda d, s: (
            layers.Conv2D(6, groups=_groups(d, s[-1]), **_convolution(d))
            if s[-1] in (1, 2, 3, 6)
            else layers.Conv2D(6, **_convolution(d))
        ),
    ),
    "DepthwiseConv2D": Option(
        IMAGES,
        lambda d, s: layers.DepthwiseConv2D(
            depth_multiplier=int(d.integers(1, 3)), **_separable(d)
        ),
    ),
    "SeparableConv2D": Option(
        IMAGES, lambda d, s: layers.SeparableConv2D(int(d.integers(1, 7)), **_separable(d))
    ),
    "Conv2DTranspose": Option(
        IMAGES,
        lambda d, s: layers.Conv2DTranspose(
            int(d.integers(1, 7)), **_convolution(d) | {"dilation_rate": 1}
        ),
    ),
    "MaxPooling2D": Option(IMAGES, lambda d, s: layers.MaxPooling2D(**_pooling(d))),
    "AveragePooling2D": Option(IMAGES, lambda d, s: layers.AveragePooling2D(**_pooling(d))),
    "GlobalMaxPooling2D": Option(
        IMAGES, lambda d, s: layers.GlobalMaxPooling2D(keepdims=bool(d.random() < 0.8))
    ),
    "GlobalAveragePooling2D": Option(
        IMAGES, lambda d, s: layers.GlobalAveragePooling2D(keepdims=bool(d.random() < 0.8))
    ),
    "GlobalMaxPooling1D": Option(SEQUENCES, lambda d, s: layers.GlobalMaxPooling1D()),
    "GlobalAveragePooling1D": Option(SEQUENCES, lambda d, s: layers.GlobalAveragePooling1D()),
    "Flatten": Option(ANY, lambda d, s: layers.Flatten()),
    "Reshape": Option(ANY, lambda d, s: layers.Reshape(_target(d, s))),
    "Permute": Option(
        ANY, lambda d, s: layers.Permute(tuple(int(n) + 1 for n in d.permutation(len(s) - 1)))
    ),
    "Activation": Option(ANY, lambda d, s: layers.Activation(_of(d, *ACTIVATIONS[1:]))),
    "ReLU": Option(
        ANY, lambda d, s: layers.ReLU(_of(d, None, 6.0), negative_slope=_of(d, 0.0, 0.1))
    ),
    "LeakyReLU": Option(ANY, lambda d, s: layers.LeakyReLU(float(d.uniform(0, 1)))),
    "PReLU": Option(
        ANY, lambda d, s: layers.PReLU(shared_axes=_of(d, None, list(range(1, len(s) - 1)) or None))
    ),
    "ELU": Option(ANY, lambda d, s: layers.ELU(float(d.uniform(0.1, 2)))),
    "Softmax": Option(ANY, lambda d, s: layers.Softmax()),
    "BatchNormalization": Option(
        ANY, lambda d, s: layers.BatchNormalization(scale=bool(d.random() < 0.8))
    ),
    "LayerNormalization": Option(
        ANY, lambda d, s: layers.LayerNormalization(axis=_of(d, -1, list(range(1, len(s)))))
    ),
    "GroupNormalization": Option(IMAGES, lambda d, s: layers.GroupNormalization(_groups(d, s[-1]))),
    "UnitNormalization": Option(ANY, lambda d, s: layers.UnitNormalization()),
    "Dropout": Option(ANY, lambda d, s: layers.Dropout(0.3, seed=_of(d, None, 1))),
    "AlphaDropout": Option(ANY, lambda d, s: layers.AlphaDropout(0.1)),
    "SpatialDropout2D": Option(IMAGES, lambda d, s: layers.SpatialDropout2D(0.1)),
    "GaussianDropout": Option(ANY, lambda d, s: layers.GaussianDropout(0.1)),
    "GaussianNoise": Option(ANY, lambda d, s: layers.GaussianNoise(0.1)),
    "ZeroPadding2D": Option(IMAGES, lambda d, s: layers.ZeroPadding2D(_edges(d))),
    "Cropping2D": Option(IMAGES, lambda d, s: layers.Cropping2D(_edges(d))),
    "UpSampling2D": Option(
        IMAGES,
        lambda d, s: layers.UpSampling2D(
            _window(d, 2), interpolation=_of(d, "nearest", "bilinear")
        ),
    ),
    "MultiHeadAttention": Option(SEQUENCES, lambda d, s: layers.MultiHeadAttention(2, 3)),
    "Identity": Option(ANY, lambda d, s: layers.Identity()),
    "Resizing": Option(
        IMAGES,
        lambda d, s: layers.Resizing(
            int(d.integers(4, 13)),
            int(d.integers(4, 13)),
            interpolation=_of(d, "bilinear", "nearest", "bicubic"),
        ),
    ),
    "CenterCrop": Option(
        IMAGES, lambda d, s: layers.CenterCrop(max(1, s[1] - 1), max(1, s[2] - 2))
    ),
    "LayerScale": Option(IMAGES, lambda d, s: LayerScale(1e-2, s[-1])),
    "StochasticDepth": Option(IMAGES, lambda d, s: StochasticDepth(0.1)),
    "SpectralNormalization": Option(
        IMAGES, lambda d, s: layers.SpectralNormalization(layers.Conv2D(4, 3, padding="same"))
    ),
    "RandomFlip": Option(IMAGES, lambda d, s: layers.RandomFlip()),
}
"""Layers of one tensor; merging layers are `MERGED`."""

MERGED: dict[str, Callable[[object, object], object]] = {
    name: (lambda a, b, name=name: getattr(layers, name)()([a, b]))
    for name in ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
} | {"Dot": lambda a, b: layers.Dot(axes=-1)([a, b])}
FUNCTIONS: tuple[Callable, ...] = (
    lambda x: x * 2.0 - 0.5,
    lambda x: 1.0 / (1.0 + ops.exp(-x)),
    ops.relu,
    lambda x: ops.clip(x, -1.0, 1.0),
    lambda x: ops.sqrt(ops.abs(x) + 0.1),
    lambda x: x - ops.mean(x, axis=-1, keepdims=True),
    lambda x: x[..., ::2],
    lambda x: x**2,
)


def _applied(draw: Draw, x: object) -> object:
    """One more layer, merge of two layers, function or nested model."""
    shape = tuple(x.shape)
    fitting = [o for o in OPTIONS.values() if len(shape) in o.ranks]
    kind = draw.random()
    if kind < 0.75:
        layer = _of(draw, *fitting).make(draw, shape)
        return layer(x, x) if isinstance(layer, layers.MultiHeadAttention) else layer(x)
    if kind < 0.85:
        return _of(draw, *FUNCTIONS)(x)
    if kind < 0.95:
        return _of(draw, *MERGED.values())(x, _of(draw, *fitting).make(draw, shape)(x))
    inner = keras.Input(shape[1:])
    return keras.Model(inner, _of(draw, *fitting).make(draw, shape)(inner))(x)


def stack(seed: int) -> keras.Model:
    """A random functional model of 2 to 12 layers, all weights moved from where they began.

    What Keras itself refuses to build is left out of it.
    """
    draw = np.random.default_rng(seed)
    keras.utils.set_random_seed(seed)
    x = inputs = keras.Input(_of(draw, *SHAPES))
    for _ in range(int(draw.integers(2, 13))):
        try:
            following = _applied(draw, x)
        except (ValueError, TypeError, AttributeError):  # windows, axes or ranks that do not fit
            continue
        size = tuple(following.shape)[1:]
        if size and None not in size and 0 < np.prod(size) <= LARGEST:
            x = following
    out = layers.Dense(CLASSES)(layers.Flatten()(x))
    model = keras.Model(inputs, out)
    moved = [
        w + draw.uniform(0.01, 0.1, w.shape).astype(w.dtype) if w.dtype == "float32" else w
        for w in model.get_weights()
    ]
    model.set_weights(moved)
    return model
