"""The list of allowed layers: for each of its arguments, a rule and the default where it is absent.

What is not here is refused. An argument that takes no part in inference (initialisers of weights
that the file brings, regularisers, constraints, seeds, momentum) is checked and then left out. So
the cleaned model says what is computed and nothing else, and two files that compute the same agree.

The layers are the usual ones of image classifiers, with the last axis as channels. Left out on
purpose: everything that runs code from the file or reads files (Lambda, TFSMLayer, StringLookup,
...), recurrent and embedding layers, most wrappers, and layers whose batch axis can be reached
through an argument.
"""

from typing import NamedTuple

from pellucid.models.untrusted.layers.objects import (
    constraint,
    float32,
    initializer,
    regularizer,
    seed,
)
from pellucid.models.untrusted.layers.operations import PREFIX
from pellucid.models.untrusted.layers.rules import (
    Rule,
    activation,
    choice,
    edges,
    flag,
    integer,
    listed,
    number,
    numbers,
    optional,
    pair,
    small_text,
)


class Argument(NamedTuple):
    """One argument of a layer.

    Attributes:
        rule: Takes the value, returns it clean.
        default: The value where the configuration has none; `REQUIRED` if it must have one.
        used: Whether inference depends on it.
    """

    rule: Rule[object]
    default: object = None
    used: bool = True


REQUIRED = object()

_LAST = choice("channels_last")
_AXIS = integer(-4, 4)
_PADDING = choice("valid", "same")
_RATE = number(0, 1)
_WINDOW = pair(integer(1, 1024))


def _unused(rule: Rule[object], default: object = None) -> Argument:
    return Argument(rule, default, used=False)


_COMMON = {
    "name": _unused(small_text, REQUIRED),
    "trainable": _unused(flag, True),
    "dtype": _unused(float32, "float32"),
}
_FORMAT = {"data_format": _unused(_LAST, "channels_last")}
_ZEROS: dict[str, object] = {
    "module": "keras.initializers",
    "class_name": "Zeros",
    "config": {},
    "registered_name": None,
}


def _weights(*names: str) -> dict[str, Argument]:
    """The initializer, regularizer and constraint of each weight."""
    arguments = {}
    for name in names:
        arguments[f"{name}_initializer"] = _unused(initializer, _ZEROS)
        arguments[f"{name}_regularizer"] = _unused(regularizer)
        arguments[f"{name}_constraint"] = _unused(constraint)
    return arguments


_ACTIVITY = {"activity_regularizer": _unused(regularizer)}
_DENSE = {
    "activation": Argument(activation, "linear"),
    "use_bias": Argument(flag, True),
} | _ACTIVITY
_SLIDING = {
    "kernel_size": Argument(_WINDOW, REQUIRED),
    "strides": Argument(_WINDOW, [1, 1]),
    "padding": Argument(_PADDING, "valid"),
    "dilation_rate": Argument(_WINDOW, [1, 1]),
}
_FILTERS = {"filters": Argument(integer(1), REQUIRED)}
_DEPTH = {"depth_multiplier": Argument(integer(1), 1)}
_POOLING = {
    "pool_size": Argument(_WINDOW, REQUIRED),
    "strides": Argument(optional(_WINDOW)),
    "padding": Argument(_PADDING, "valid"),
}
_GLOBAL = {"keepdims": Argument(flag, False)} | _FORMAT
_CENTRED = {
    "epsilon": Argument(number(0, 1), 1e-3),
    "center": Argument(flag, True),
    "scale": Argument(flag, True),
} | _weights("beta", "gamma")
_SIZE = {
    "height": Argument(integer(1, 1024), REQUIRED),
    "width": Argument(integer(1, 1024), REQUIRED),
}
_NOISE = {"seed": _unused(seed)}
_DROPOUT = {"rate": Argument(_RATE, REQUIRED)} | _NOISE

_ARGUMENTS: dict[str, dict[str, Argument]] = {
    "Rescaling": {"scale": Argument(numbers, REQUIRED), "offset": Argument(numbers, 0.0)},
    "Normalization": {
        "axis": Argument(listed(_AXIS), [-1]),
        "mean": Argument(optional(numbers)),
        "variance": Argument(optional(numbers)),
        "invert": Argument(flag, False),
    },
    "Dense": (
        {"units": Argument(integer(1), REQUIRED), "quantization_config": _unused(choice(None))}
        | _DENSE
        | _weights("kernel", "bias")
    ),
    "Conv2D": (
        _FILTERS
        | _SLIDING
        | {"groups": Argument(integer(1), 1)}
        | _DENSE
        | _FORMAT
        | _weights("kernel", "bias")
    ),
    "DepthwiseConv2D": _DEPTH | _SLIDING | _DENSE | _FORMAT | _weights("depthwise", "bias"),
    "SeparableConv2D": (
        _FILTERS | _DEPTH | _SLIDING | _DENSE | _FORMAT | _weights("depthwise", "pointwise", "bias")
    ),
    "Conv2DTranspose": (
        _FILTERS
        | _SLIDING
        | {"output_padding": _unused(choice(None))}
        | _DENSE
        | _FORMAT
        | _weights("kernel", "bias")
    ),
    "MaxPooling2D": _POOLING | _FORMAT,
    "AveragePooling2D": _POOLING | _FORMAT,
    "GlobalMaxPooling2D": _GLOBAL,
    "GlobalAveragePooling2D": _GLOBAL,
    "GlobalMaxPooling1D": _GLOBAL,
    "GlobalAveragePooling1D": _GLOBAL,
    "Flatten": _FORMAT,
    "Reshape": {"target_shape": Argument(listed(integer(-1, 1 << 24)), REQUIRED)},
    "Permute": {"dims": Argument(listed(integer(1, 8)), REQUIRED)},
    "Activation": {"activation": Argument(activation, REQUIRED)},
    "ReLU": {
        "max_value": Argument(optional(number(0))),
        "negative_slope": Argument(number(0), 0.0),
        "threshold": Argument(number(0), 0.0),
    },
    "LeakyReLU": {"negative_slope": Argument(number(0), 0.3)},
    "PReLU": {"shared_axes": Argument(optional(listed(integer(1, 4))))} | _weights("alpha"),
    "ELU": {"alpha": Argument(number(), 1.0)},
    "Softmax": {"axis": Argument(_AXIS, -1)},
    "BatchNormalization": (
        {
            "axis": Argument(_AXIS, -1),
            "momentum": _unused(number(0, 1), 0.99),
            "synchronized": _unused(flag, False),
            "renorm": _unused(choice(False), False),
            "renorm_clipping": _unused(choice(None)),
            "renorm_momentum": _unused(number(0, 1), 0.99),
            "moving_mean_initializer": _unused(initializer, _ZEROS),
            "moving_variance_initializer": _unused(initializer, _ZEROS),
        }
        | _CENTRED
    ),
    "LayerNormalization": (
        {
            "axis": Argument(listed(_AXIS), [-1]),
            "rms_scaling": _unused(choice(False), False),
        }
        | _CENTRED
    ),
    "GroupNormalization": (
        {"groups": Argument(integer(-1), 32), "axis": Argument(_AXIS, -1)} | _CENTRED
    ),
    "UnitNormalization": {"axis": Argument(listed(_AXIS), [-1])},
    "Dropout": _DROPOUT | {"noise_shape": _unused(optional(listed(choice(None, 1))))},
    "AlphaDropout": _DROPOUT | {"noise_shape": _unused(optional(listed(choice(None, 1))))},
    "SpatialDropout2D": _DROPOUT | _FORMAT,
    "GaussianDropout": _DROPOUT,
    "GaussianNoise": {"stddev": Argument(_RATE, REQUIRED)} | _NOISE,
    "Add": {},
    "Subtract": {},
    "Multiply": {},
    "Average": {},
    "Maximum": {},
    "Minimum": {},
    "Concatenate": {"axis": Argument(_AXIS, -1)},
    "Dot": {"axes": Argument(pair(_AXIS), REQUIRED), "normalize": Argument(flag, False)},
    "ZeroPadding2D": {"padding": Argument(edges, [[1, 1], [1, 1]])} | _FORMAT,
    "Cropping2D": {"cropping": Argument(edges, [[0, 0], [0, 0]])} | _FORMAT,
    "UpSampling2D": (
        {
            "size": Argument(pair(integer(1, 64)), [2, 2]),
            "interpolation": Argument(choice("nearest", "bilinear"), "nearest"),
        }
        | _FORMAT
    ),
    "MultiHeadAttention": (
        {
            "num_heads": Argument(integer(1, 1024), REQUIRED),
            "key_dim": Argument(integer(1), REQUIRED),
            "value_dim": Argument(optional(integer(1))),
            "dropout": _unused(_RATE, 0.0),
            "use_bias": Argument(flag, True),
            "output_shape": Argument(optional(listed(integer(1), 1))),
            "attention_axes": _unused(choice(None, [1])),
            "use_gate": _unused(choice(False, None), False),
            "sliding_window": _unused(choice(None)),
        }
        | _NOISE
        | _ACTIVITY
        | _weights("kernel", "bias")
    ),
    "Identity": {},
    "Resizing": (
        _SIZE
        | {
            "interpolation": Argument(choice("bilinear", "nearest", "bicubic"), "bilinear"),
            "crop_to_aspect_ratio": _unused(choice(False), False),
            "pad_to_aspect_ratio": _unused(choice(False), False),
            "fill_mode": _unused(choice("constant"), "constant"),
            "fill_value": _unused(number(), 0.0),
            "antialias": _unused(choice(False), False),
        }
        | _FORMAT
    ),
    "CenterCrop": _SIZE | _FORMAT,
    "LayerScale": {
        "init_values": _unused(number()),
        "projection_dim": Argument(integer(1), REQUIRED),
    },
}

_BOUND = Argument(optional(number()))
_AXES = {"axis": Argument(listed(_AXIS), REQUIRED)}
_REDUCTION = _AXES | {"keepdims": Argument(flag, False), "initial": _unused(choice(None))}
_PART = listed(optional(integer(-(1 << 24), 1 << 24)), 3)

_FUNCTIONS: dict[str, dict[str, Argument]] = {
    "absolute": {},
    "clip": {"x_min": _BOUND, "x_max": _BOUND},
    "erf": {},
    "exp": {},
    "expand_dims": {"axis": Argument(_AXIS, REQUIRED)},
    "gelu": {},
    "get_item": {"key": Argument(listed(_PART, 9), REQUIRED)},
    "log": {},
    "matmul": {},
    "max": _REDUCTION,
    "mean": _REDUCTION,
    "min": _REDUCTION,
    "power": {"exponent": Argument(number(), REQUIRED)},
    "reciprocal": {},
    "rsqrt": {},
    "sqrt": {},
    "squeeze": _AXES,
    "stack": {"axis": Argument(_AXIS, REQUIRED)},
    "sum": _REDUCTION,
}
"""The functions of `keras.ops` that a graph may hold."""

LAYERS = {name: _COMMON | arguments for name, arguments in _ARGUMENTS.items()}
"""Every allowed layer except inputs, by class name of `keras.layers`."""
FUNCTIONS = {
    f"{PREFIX}{name}": {"name": _COMMON["name"]} | arguments
    for name, arguments in _FUNCTIONS.items()
}
"""Every allowed function of `keras.ops`, by its name in a graph. No file names them so."""

MODELS = {
    "Sequential": ("keras", "keras.models"),
    "Functional": ("keras.src.models.functional", "keras.models", "keras"),
}
"""The two kinds of model, and the modules under which Keras 3 saves them."""

MERGING = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate", "Dot")
"""Layers that take a list of tensors."""

WRAPPED = {"SpectralNormalization": ("Dense", "Conv2D", "Conv2DTranspose")}
"""Wrappers that at inference are the layer in them, and what they may wrap."""

AUGMENTATIONS = frozenset(
    {
        "AugMix",
        "CutMix",
        "MixUp",
        "RandAugment",
        "RandomBrightness",
        "RandomColorDegeneration",
        "RandomColorJitter",
        "RandomContrast",
        "RandomElasticTransform",
        "RandomErasing",
        "RandomFlip",
        "RandomGaussianBlur",
        "RandomGrayscale",
        "RandomHue",
        "RandomInvert",
        "RandomPerspective",
        "RandomPosterization",
        "RandomRotation",
        "RandomSaturation",
        "RandomSharpness",
        "RandomShear",
        "RandomTranslation",
        "RandomZoom",
        "StochasticDepth",
    }
)
"""Layers that change images in training alone: in a graph they are `Identity`."""

MODULES = {
    "LayerScale": "keras.src.applications.convnext",
    "StochasticDepth": "keras.src.applications.convnext",
}
"""Where Keras has layers that are not in `keras.layers`."""

_INSTEAD = {
    "write the function with keras.ops, or use stock layers such as Rescaling": ("Lambda",),
    "build the model from stock layers": (
        "TFSMLayer",
        "JaxLayer",
        "FlaxLayer",
        "TorchModuleWrapper",
        "Layer",
        "Wrapper",
        "Pipeline",
    ),
    "crop the training data outside the model; for inference use CenterCrop": ("RandomCrop",),
    "apply it to the data, before the model": (
        "AutoContrast",
        "ContrastLimitedAdaptiveHistogramEqualization",
        "Equalization",
        "Solarization",
        "MaxNumBoundingBoxes",
        "MelSpectrogram",
        "STFTSpectrogram",
    ),
    "only image classifiers are measured, on pixels": (
        "TextVectorization",
        "CategoryEncoding",
        "Discretization",
        "HashedCrossing",
        "Hashing",
        "IntegerLookup",
        "StringLookup",
        "Masking",
    ),
    "use Dense, or add learned positions as a Dense layer's bias": (
        "Embedding",
        "ReversibleEmbedding",
    ),
    "use Conv2D, or MultiHeadAttention": (
        "LSTM",
        "GRU",
        "SimpleRNN",
        "RNN",
        "Bidirectional",
        "StackedRNNCells",
        "LSTMCell",
        "GRUCell",
        "SimpleRNNCell",
        "ConvLSTM1D",
        "ConvLSTM2D",
        "ConvLSTM3D",
    ),
    "use MultiHeadAttention": ("Attention", "AdditiveAttention", "GroupedQueryAttention"),
    "apply Dense directly: it works on the last axis": ("TimeDistributed",),
    "use Reshape to (length, 1, channels) and the layer's 2D form, with a window of width 1": (
        "Conv1D",
        "Conv1DTranspose",
        "DepthwiseConv1D",
        "SeparableConv1D",
        "AveragePooling1D",
        "MaxPooling1D",
        "Cropping1D",
        "ZeroPadding1D",
        "UpSampling1D",
        "SpatialDropout1D",
    ),
    "use the layer's 2D form": (
        "Conv3D",
        "Conv3DTranspose",
        "AveragePooling3D",
        "MaxPooling3D",
        "GlobalAveragePooling3D",
        "GlobalMaxPooling3D",
        "Cropping3D",
        "ZeroPadding3D",
        "UpSampling3D",
        "SpatialDropout3D",
    ),
    "use AveragePooling2D, or GlobalAveragePooling2D": (
        "AdaptiveAveragePooling1D",
        "AdaptiveAveragePooling2D",
        "AdaptiveAveragePooling3D",
    ),
    "use MaxPooling2D, or GlobalMaxPooling2D": (
        "AdaptiveMaxPooling1D",
        "AdaptiveMaxPooling2D",
        "AdaptiveMaxPooling3D",
    ),
    "use LayerNormalization": ("RMSNormalization",),
    "leave it out: it is for training alone": ("ActivityRegularization",),
    "use Reshape and Concatenate": ("RepeatVector",),
    "use Dense, Permute and Reshape": ("EinsumDense",),
}
HINTS = {name: hint for hint, names in _INSTEAD.items() for name in names}
"""What to do instead of each layer of Keras that is refused."""
