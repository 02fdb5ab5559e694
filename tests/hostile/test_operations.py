"""Functional models as users write them, with arithmetic and `keras.ops`: read, rebuilt, equal."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from pellucid.models.untrusted.model.build import build, fingerprint
from pellucid.models.untrusted.refusal import Refused
from pellucid.models.untrusted.sandbox.child import examine

SHAPE = (8, 8, 3)
RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, *SHAPE), np.float32)


def model(body) -> keras.Model:
    """A classifier whose body is a function from a tensor to a tensor of any shape."""
    keras.utils.set_random_seed(0)
    x = keras.Input(SHAPE)
    out = body(x)
    if len(out.shape) > 2:
        out = layers.Flatten()(out)
    return keras.Model(x, layers.Dense(10)(out))


def saved(made: keras.Model, tmp_path) -> bytes:
    made.save(tmp_path / "model.keras")
    return (tmp_path / "model.keras").read_bytes()


def rebuilt(data: bytes) -> keras.Model:
    _, graph, arrays = examine(data, SHAPE, 10)
    return build(graph, arrays)


def heads(x):
    """Self-attention written out."""
    tokens = ops.reshape(x, (-1, 64, 3))
    query, key, value = (layers.Dense(4)(tokens) for _ in range(3))
    scores = ops.matmul(query, ops.transpose(key, (0, 2, 1))) / 2.0
    return ops.matmul(ops.softmax(scores), value)


def residual(x):
    h = layers.Conv2D(3, 3, padding="same")(x)
    return ops.relu(h + x) * 2


def squeeze_and_excite(x):
    h = layers.Conv2D(4, 3)(x)
    gate = layers.Dense(4, activation="sigmoid")(ops.mean(h, axis=(1, 2), keepdims=True))
    return h * gate


pooled = layers.GlobalAveragePooling2D()

BODIES = {
    "x + 1": lambda x: x + 1,
    "1 + x": lambda x: 1.0 + x,
    "x - 0.5": lambda x: x - 0.5,
    "0.5 - x": lambda x: 0.5 - x,
    "x * 2": lambda x: x * 2,
    "x / 127.5 - 1": lambda x: x / 127.5 - 1,
    "2 / (1 + x)": lambda x: 2 / (1 + x),
    "(x + 1) / (x + 2)": lambda x: (x + 1) / (x + 2),
    "-x": lambda x: -x,
    "x ** 2": lambda x: x**2,
    "square and root": lambda x: ops.sqrt(1e-3 + ops.square(x)),
    "per channel": lambda x: (x - np.array([0.4, 0.5, 0.6], "float32")) / np.array([0.2, 0.3, 0.4]),
    "tf preprocess_input": keras.applications.mobilenet_v2.preprocess_input,
    "torch preprocess_input": keras.applications.densenet.preprocess_input,
    "caffe preprocess_input": keras.applications.resnet.preprocess_input,
    "residual": residual,
    "squeeze and excite": squeeze_and_excite,
    "attention": heads,
    "exponentials": lambda x: ops.log(1 + ops.exp(x)) * ops.erf(x) * ops.abs(x - 0.5),
    "bounds": lambda x: ops.clip(x, 0.2, 0.8) + ops.maximum(x, 0.3) - ops.minimum(0.6, x),
    "larger of two": lambda x: ops.maximum(x, 1 - x) - ops.minimum(x, 1 - x),
    "activations": lambda x: sum(
        function(3 * x - 1)
        for function in (
            ops.sigmoid,
            ops.silu,
            ops.tanh,
            ops.selu,
            ops.softplus,
            ops.relu6,
            ops.elu,
            ops.leaky_relu,
            ops.hard_sigmoid,
            ops.hard_silu,
            ops.gelu,
            lambda h: ops.gelu(h, approximate=False),
            lambda h: ops.leaky_relu(h, 0.05),
        )
    ),
    "reductions": lambda x: ops.concatenate(
        [ops.mean(x, 1), ops.sum(x, axis=2), ops.max(x, axis=-2), ops.min(x, 1)], axis=-1
    ),
    "reversed channels": lambda x: x[..., ::-1],
    "parts": lambda x: x[:, 1:-1, ::2, 1:],
    "one column": lambda x: x[:, :, 3],
    "from the end": lambda x: x[..., -1],
    "axes": lambda x: ops.squeeze(ops.expand_dims(x[..., :1], 1), (1, -1)),
    "stacked": lambda x: ops.stack([x[..., 0], x[..., 2]], axis=1),
    "pooled": lambda x: ops.max_pool(x, 2) + ops.average_pool(x, 2, strides=2, padding="same"),
    "padded": lambda x: ops.pad(x, ((0, 0), (1, 2), (0, 1), (0, 0))),
    "permuted": lambda x: ops.transpose(x, (0, 3, 1, 2)),
    "by keyword": lambda x: ops.add(x1=x, x2=ops.relu(x=x)),
    "cast": lambda x: ops.cast(x, "float32"),
}


@pytest.mark.parametrize("name", BODIES)
def test_written_with_operations(name, tmp_path):
    made = model(BODIES[name])
    back = rebuilt(saved(made, tmp_path))
    expected = np.asarray(made(IMAGES, training=False))
    assert np.ptp(expected) > 0
    np.testing.assert_allclose(back(IMAGES), expected, rtol=1e-4, atol=1e-5)
    assert all(layer.dtype == "float32" for layer in back.layers)


def test_functions_of_one_name_in_two_models_within(tmp_path):
    """As when two people built the parts, each with Keras' first names."""

    def part(name: str, factor: float, shift: float) -> keras.Model:
        keras.backend.clear_session()  # names begin anew
        x = keras.Input(SHAPE)
        return keras.Model(x, x * factor - shift, name=name)

    first, second = part("first", 2.0, 1.0), part("second", -3.0, 0.5)
    assert [o.name for o in first.operations[1:]] == [o.name for o in second.operations[1:]]
    made = model(lambda x: second(first(x)))
    back = rebuilt(saved(made, tmp_path))
    np.testing.assert_allclose(back(IMAGES), made(IMAGES), rtol=1e-4, atol=1e-5)


def same(one, other, tmp_path) -> bool:
    """Whether two bodies have one fingerprint."""
    prints = []
    for body in (one, other):
        _, graph, arrays = examine(saved(model(body), tmp_path), SHAPE, 10)
        prints.append(fingerprint(graph, arrays))
    return prints[0] == prints[1]


def test_what_computes_the_same_has_one_fingerprint(tmp_path):
    assert same(lambda x: x + x, lambda x: layers.Add()([x, x]), tmp_path)
    assert same(lambda x: x * 2 - 1, lambda x: layers.Rescaling(2.0)(x) - 1, tmp_path)
    assert same(ops.relu, layers.ReLU(), tmp_path)
    assert same(ops.sigmoid, layers.Activation("sigmoid"), tmp_path)
    assert not same(lambda x: x - 1, lambda x: 1 - x, tmp_path)
    assert not same(lambda x: x[:, 1:], lambda x: x[:, :-1], tmp_path)
    assert not same(ops.gelu, lambda x: ops.gelu(x, approximate=False), tmp_path)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (lambda x: x[::2, ...], "must take the whole batch axis"),
        (lambda x: x - ops.mean(x, axis=0, keepdims=True), "axis 0 is the batch axis"),
        (lambda x: x - ops.mean(x), "axis is null"),
        (lambda x: ops.reshape(x, (4, 8, 8, 3)), "must keep the batch axis"),
        (lambda x: pooled(ops.transpose(x, (1, 0, 2, 3))), "must keep the batch axis first"),
        (ops.stop_gradient, "hides its gradient cannot be compared: leave it out"),
        (lambda x: ops.einsum("bhwc,bhwd->bcd", x, x), "use Dense, Dot or MultiHeadAttention"),
        (lambda x: x + RNG.random(SHAPE, np.float32), "not a number, or one number per channel"),
        (lambda x: x / 0, "divides by zero"),
    ],
)
def test_refused_with_what_to_do(body, message, tmp_path):
    with pytest.raises(Refused, match=message) as refused:
        rebuilt(saved(model(body), tmp_path))
    assert "\n" not in str(refused.value)
    assert "keras.ops" in str(refused.value) or "ops." in str(refused.value)
