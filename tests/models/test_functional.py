"""One program serves equal networks, and no others; the table of programs is bounded."""

import functools
import gc
import threading
import weakref

import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers, ops

from pellucid import models
from pellucid.attacks import Attack, run
from pellucid.metrics import attributions
from pellucid.models import functional
from pellucid.models.functional import predict, program, state, structure

SHAPE = (6, 6, 2)


def sequential(*stack, shape=SHAPE):
    return keras.Sequential(
        [keras.Input(shape), *stack, layers.Flatten(name="flatten"), layers.Dense(3, name="logits")]
    )


def convolutional(**options):
    """The layer is named after the last option: the names of a pair collide with its values."""
    name = "_".join(filter(str.isalnum, str(list(options.values())[-1])))
    return sequential(layers.Conv2D(2, 3, **options, name=name))


def through(operation, shape=SHAPE):
    """A functional network with an operation between its layers."""
    x = keras.Input(shape, name="input")
    h = operation(layers.Conv2D(2, 3, padding="same", name="h")(x))
    return keras.Model(x, layers.Dense(3, name="logits")(layers.Flatten(name="flatten")(h)))


def merged(merge):
    x = keras.Input(SHAPE, name="input")
    a, b = (layers.Conv2D(2, 3, name=name)(x) for name in ("add", "subtract"))
    h = layers.Flatten(name="flatten")(merge(name="merged")([a, b]))
    return keras.Model(x, layers.Dense(3, name="logits")(h))


def twice(shared: bool):
    """Two dense layers, or one applied twice, of the same names."""
    x = keras.Input(SHAPE, name="input")
    h = layers.Flatten(name="flatten")(x)
    first = layers.Dense(72, activation="tanh", name="a")
    second = first if shared else layers.Dense(72, activation="tanh", name="b")
    return keras.Model(x, layers.Dense(3, name="logits")(second(first(h))))


def nested(shared: bool):
    """Two inner networks around one layer, or around two layers of one name."""
    first = layers.Dense(4, name="inner")
    second = first if shared else layers.Dense(4, name="inner")
    x = keras.Input(SHAPE, name="input")
    parts = [
        keras.Sequential([keras.Input(SHAPE), layers.Flatten(name="flatten"), inner], name=name)
        for inner, name in ((first, "one"), (second, "two"))
    ]
    h = layers.Multiply(name="product")([part(x) for part in parts])
    return keras.Model(x, layers.Dense(3, name="logits")(h))


def ordered(names):
    made = {
        "pool": layers.MaxPooling2D(2, name="pool"),
        "tanh": layers.Rescaling(-1.0, name="tanh"),
    }
    return sequential(*(made[name] for name in names))


def crossed(cross: bool):
    """A subtraction in one order or the other."""
    x = keras.Input(SHAPE, name="input")
    h = layers.Flatten(name="flatten")(x)
    d = layers.Dense(72, activation="tanh", name="a")(h)
    difference = layers.Subtract(name="c")([d, h] if cross else [h, d])
    return keras.Model(x, layers.Dense(3, name="logits")(difference))


def relu(x):
    """A user's function that bears the name of one of Keras'."""
    return ops.maximum(x, 0.3 * x)


def custom(factor):
    """A user's layer, defined anew under one name; its configuration does not tell its `call`."""

    class Scale(layers.Layer):
        def call(self, x):
            return x * factor

    return through(Scale(name="scale"))


def normalised(mean):
    """Keras adapts this layer's mean and variance outside its configuration, as constants."""
    layer = layers.Normalization(name="normalization")
    network = sequential(layer)
    data = np.random.default_rng(0).normal(mean, 2.0, (64, *SHAPE)).astype(np.float32)
    layer.adapt(data)
    return network


def attentive(causal: bool):
    """An argument of a layer's call, not of the layer."""
    x = keras.Input(SHAPE, name="input")
    h = layers.Reshape((36, 2), name="reshape")(x)
    h = layers.Attention(name="attention")([h, h], use_causal_mask=causal)
    return keras.Model(x, layers.Dense(3, name="logits")(layers.Flatten(name="flatten")(h)))


def batch_normalised(**options):
    network = sequential(layers.BatchNormalization(**options, name="batch"))
    weights = [
        np.random.default_rng(i).uniform(0.01, 0.5, w.shape)
        for i, w in enumerate(network.get_weights())
    ]
    network.set_weights(weights)
    return network


BIG = np.arange(2000, dtype=np.float32) / 1000
"""NumPy writes such an array with dots in its middle."""


def big_constant(changed: float):
    values = BIG.copy()
    values[1000] = changed
    return sequential(
        layers.Flatten(name="flat"),
        layers.Dense(2000, name="wide"),
        layers.Rescaling(values, name="scale"),
    )


def policy(dtype):
    return sequential(layers.Conv2D(2, 3, dtype=dtype, name=dtype))


def autocast(on):
    """A layer in bfloat16 casts its input, or not: Keras' configuration does not tell."""
    return through(layers.UnitNormalization(dtype="bfloat16", autocast=on, name="n"))


PAIRS = {
    "activation": (
        functools.partial(convolutional, activation="relu"),
        functools.partial(convolutional, activation="tanh"),
    ),
    "activation layer": tuple(
        functools.partial(lambda a: sequential(layers.Activation(a, name=a)), a)
        for a in ("sigmoid", "tanh")
    ),
    "activation by a user": (
        lambda: sequential(layers.Conv2D(2, 3, activation="relu", name="c")),
        lambda: sequential(layers.Conv2D(2, 3, activation=relu, name="c")),
    ),
    "padding": tuple(
        functools.partial(
            lambda p: sequential(
                layers.Conv2D(2, 3, padding=p, name=p), layers.GlobalAveragePooling2D(name="mean")
            ),
            p,
        )
        for p in ("same", "valid")
    ),
    "strides": tuple(
        functools.partial(convolutional, padding="same", strides=s) for s in ((1, 2), (2, 1))
    ),
    "dilation": tuple(
        functools.partial(convolutional, padding="same", dilation_rate=d) for d in (1, 2)
    ),
    "bias": tuple(functools.partial(convolutional, use_bias=b) for b in (True, False)),
    "pooling size": tuple(
        functools.partial(
            lambda s: sequential(layers.AveragePooling2D(s, strides=(2, 2), padding="same")), s
        )
        for s in (2, 3)
    ),
    "kind of pooling": (
        lambda: sequential(layers.AveragePooling2D(2, name="MaxPooling2D")),
        lambda: sequential(layers.MaxPooling2D(2, name="AveragePooling2D")),
    ),
    "epsilon": tuple(functools.partial(batch_normalised, epsilon=e) for e in (1e-3, 1e-1)),
    "axis": tuple(
        functools.partial(lambda a: sequential(layers.UnitNormalization(axis=a, name="n")), a)
        for a in (1, 2)
    ),
    "order of layers": tuple(
        functools.partial(ordered, o) for o in (("pool", "tanh"), ("tanh", "pool"))
    ),
    "merge": tuple(functools.partial(merged, m) for m in (layers.Add, layers.Subtract)),
    "order of a merge": tuple(functools.partial(crossed, c) for c in (False, True)),
    "shared layer": tuple(functools.partial(twice, s) for s in (True, False)),
    "layer shared by inner networks": tuple(functools.partial(nested, s) for s in (True, False)),
    "dtype": tuple(functools.partial(policy, d) for d in ("float32", "bfloat16")),
    "mixed precision": tuple(functools.partial(policy, d) for d in ("mixed_bfloat16", "float32")),
    "autocast": tuple(functools.partial(autocast, a) for a in (True, False)),
    "input shape": tuple(
        functools.partial(
            lambda s: sequential(layers.GlobalAveragePooling2D(name="mean"), shape=s), s
        )
        for s in ((6, 6, 2), (4, 4, 2))
    ),
    "number": tuple(functools.partial(through, f) for f in (lambda h: h * 2, lambda h: h * 3)),
    "array": tuple(
        functools.partial(through, functools.partial(lambda c, h: h * c, np.float32([1, c])))
        for c in (2, 3)
    ),
    "tensor": tuple(
        functools.partial(through, functools.partial(lambda c, h: h + ops.full((2,), float(c)), c))
        for c in (2, 3)
    ),
    "operation": tuple(functools.partial(through, o) for o in (ops.relu, ops.tanh)),
    "operation's argument": tuple(
        functools.partial(through, functools.partial(lambda c, h: ops.clip(h, 0.0, c), c))
        for c in (0.1, 1.0)
    ),
    "slice": tuple(
        functools.partial(through, s) for s in (lambda h: h[:, 1:4], lambda h: h[:, 2:5])
    ),
    "Lambda layer": tuple(
        functools.partial(
            through, functools.partial(lambda c, h: layers.Lambda(lambda x: x * c)(h), c)
        )
        for c in (2.0, 3.0)
    ),
    "custom layer": tuple(functools.partial(custom, f) for f in (2.0, 3.0)),
    "adapted normalization": tuple(functools.partial(normalised, m) for m in (0.0, 5.0)),
    "argument of a call": tuple(functools.partial(attentive, c) for c in (True, False)),
    "one number of many": tuple(functools.partial(big_constant, c) for c in (1.0, 50.0)),
}
"""Networks that differ in one thing, where possible under names that equal what differs."""

APART = ("activation by a user", "Lambda layer", "custom layer")
"""Pairs whose second network's configuration does not tell what it computes."""

EVERY_PROGRAM = (
    "activation",
    "merge",
    "shared layer",
    "number",
    "custom layer",
    "adapted normalization",
)


def pair(name):
    """Both networks, with the same weights where their shapes are equal, and images for each."""
    first, second = (make() for make in PAIRS[name])
    if [w.shape for w in first.get_weights()] == [w.shape for w in second.get_weights()]:
        second.set_weights(first.get_weights())
    rng = np.random.default_rng(0)
    return [(m, rng.random((5, *m.input_shape[1:]), np.float32)) for m in (first, second)]


@pytest.fixture
def _empty(monkeypatch):
    monkeypatch.setattr(functional, "_programs", type(functional._programs)())


@pytest.mark.usefixtures("_empty")
@pytest.mark.parametrize("name", PAIRS)
def test_predictions_are_keras_own(name):
    both = pair(name)
    expected = [ops.convert_to_numpy(m(x, training=False)).astype(np.float32) for m, x in both]
    if both[0][1].shape == both[1][1].shape:
        other = ops.convert_to_numpy(both[1][0](both[0][1], training=False))
        assert not np.allclose(expected[0], other, atol=1e-3, rtol=0), "the pair is one network"
    for (model, x), logits in zip(both, expected, strict=True):
        exact = all(layer.compute_dtype == "float32" for layer in model.layers)
        tolerance = 1e-5 if exact else 1e-2
        np.testing.assert_allclose(predict(model, x), logits, atol=tolerance, rtol=1e-4)


@pytest.mark.usefixtures("_empty")
@pytest.mark.parametrize("name", EVERY_PROGRAM)
def test_attacks_and_attributions_are_those_of_the_network(name):
    """After another network of colliding names, and where no other was before: the same bits."""
    both = pair(name)
    attack = Attack("pgd", "linf", 0.1, steps=3, step_size=0.05)

    def results(model, x):
        y = np.arange(len(x)) % 3
        return run(attack, model, x, y, seed=0), attributions.run("gradient", model, x)

    after = [results(m, x) for m, x in both][1]
    functional._programs.clear()
    alone = results(*both[1])
    for a, b in zip(after, alone, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("name", [n for n in PAIRS if n not in APART])
def test_equal_networks_share_a_program(name):
    for make in PAIRS[name]:
        assert structure(make()) == structure(make())


@pytest.mark.parametrize("name", APART)
def test_networks_with_a_users_code_share_with_themselves_alone(name):
    make = PAIRS[name][1]
    model = make()
    assert structure(model) == structure(model) != structure(make())


LAYERS = {
    "relu": lambda name: layers.Activation("relu", name=name),
    "tanh": lambda name: layers.Activation("tanh", name=name),
    "same": lambda name: layers.Conv2D(2, 3, padding="same", name=name),
    "linear": lambda name: layers.Conv2D(2, 3, padding="same", use_bias=False, name=name),
    "float32": lambda name: layers.Activation("relu", dtype="mixed_bfloat16", name=name),
    "Rescaling": lambda name: layers.Rescaling(2.0, name=name),
    "ReLU": lambda name: layers.ReLU(name=name),
    "inner": lambda name: keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Activation("relu", name="tanh")], name=name
    ),
    "other": lambda name: keras.Sequential(
        [keras.Input((4, 4, 2)), layers.Activation("tanh", name="tanh")], name=name
    ),
}
NETWORKS = st.tuples(
    st.booleans(),
    st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=4),
    st.permutations(sorted(LAYERS)),
)
"""Whether it is functional, its layers, and their names: those of other layers."""


def built(graph: bool, kinds, names) -> keras.Model:
    stack = [LAYERS[kind](name) for kind, name in zip(kinds, names, strict=False)]
    x = keras.Input((4, 4, 2))
    if not graph:
        return keras.Sequential([x, *stack])
    return keras.Model(x, functools.reduce(lambda h, layer: layer(h), stack, x))


@settings(max_examples=100, deadline=None)
@given(NETWORKS, st.data())
def test_structures_are_equal_where_the_layers_are_whatever_their_names(one, data):
    kinds = (
        st.just(one[1])
        | st.permutations(one[1])
        | st.lists(st.sampled_from(sorted(LAYERS)), min_size=1, max_size=4)
    )
    other = data.draw(st.tuples(st.booleans(), kinds, st.permutations(sorted(LAYERS))))
    equal = structure(built(*one)) == structure(built(*other))
    assert equal == (one[:2] == (other[0], list(other[1])))


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


@pytest.mark.usefixtures("_empty")
def test_a_model_changed_after_its_program_was_made_does_not_serve_others():
    """The table holds the first model of a structure; a user may change that one."""
    first, second = (sequential(layers.Activation("relu", name="a")) for _ in range(2))
    x = np.random.default_rng(0).normal(size=(5, *SHAPE)).astype(np.float32)
    predict(first, x)
    first.layers[0].activation = keras.activations.tanh
    first.trainable = False
    for n in (1, 2, 5):  # another number of images is another trace of the program
        expected = ops.convert_to_numpy(second(x[:n], training=False))
        np.testing.assert_allclose(predict(second, x[:n]), expected, atol=1e-5)
    np.testing.assert_allclose(predict(first, x), first(x, training=False), atol=1e-5)


@pytest.mark.usefixtures("_empty")
def test_the_table_is_bounded():
    """500 different networks: no more programs are kept than the bound says, nor networks."""
    alive = weakref.WeakSet()
    for units in range(1, 501):
        model = keras.Sequential([keras.Input((1,)), layers.Dense(units)])
        alive.add(model)
        program(model, ("test",), lambda m: lambda x: m.units)
        assert len(functional._programs) <= functional.PROGRAMS
    assert len(functional._programs) == functional.PROGRAMS
    del model
    gc.collect()
    assert len(alive) <= functional.PROGRAMS


@pytest.mark.usefixtures("_empty")
def test_the_program_used_longest_ago_is_dropped(monkeypatch):
    monkeypatch.setattr(functional, "PROGRAMS", 2)
    a, b, c = (keras.Sequential([keras.Input((2,)), layers.Dense(n)]) for n in (1, 2, 3))
    made = []

    def make(model):
        made.append(model)
        return lambda x: x

    for model in (a, b, a, c, a, b):
        program(model, ("test",), make)
    assert made == [a, b, c, b]


@pytest.mark.usefixtures("_empty")
def test_results_are_right_after_a_program_was_dropped(monkeypatch):
    """Also of models that come to lie where one lay that is gone: an id names several in turn."""
    monkeypatch.setattr(functional, "PROGRAMS", 2)
    x = np.random.default_rng(0).random((3, *SHAPE), np.float32)
    kept = custom(7.0)
    for factor in (1.0, 2.0, 3.0, 4.0, 5.0):
        for model in (custom(factor), kept):
            np.testing.assert_allclose(predict(model, x), model(x, training=False), atol=1e-5)
        del model
        gc.collect()


@pytest.mark.usefixtures("_empty")
def test_threads_share_the_table(monkeypatch):
    monkeypatch.setattr(functional, "PROGRAMS", 3)
    names = ("activation", "number")
    cases = [case for name in names for case in pair(name)]
    expected = [ops.convert_to_numpy(model(x, training=False)) for model, x in cases]
    wrong = []

    def work(first):
        for i in range(2 * len(cases)):
            model, x = cases[(first + i) % len(cases)]
            try:
                logits = predict(model, x)
                np.testing.assert_allclose(logits, expected[(first + i) % len(cases)], atol=1e-5)
            except Exception as error:
                wrong.append(error)

    threads = [threading.Thread(target=work, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(functional._programs) <= 3


def test_state_is_tensors():
    """Variables as arguments would make TensorFlow compile once per model."""
    values = state(models.get("mlp")((2,), 2, seed=0))
    assert not any(
        isinstance(v, keras.Variable) or type(v).__name__.endswith("Variable")
        for v in values.trainable
    )
