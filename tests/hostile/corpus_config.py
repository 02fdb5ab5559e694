"""The corpus, continued: configurations that name code or files, or ask for too much."""

import copy
import json
from collections.abc import Callable

import keras
from keras import layers

from tests.hostile.building import CLASSES, SHAPE, layer, members, replaced, with_config, with_layer
from tests.hostile.corpus import CASES, Case, Trap, code

FUNCTION = {
    "module": "builtins",
    "class_name": "function",
    "config": "exec",
    "registered_name": "exec",
}
CUSTOM = {
    "module": "os",
    "class_name": "system",
    "config": {"name": "x", "command": "true"},
    "registered_name": None,
}


def add(name: str, message: str, build: Callable[[Trap], bytes]) -> None:
    CASES.append(Case(name, build, rf"^config\.json: .*{message}"))


def insert(make: Callable[[Trap], dict]) -> Callable[[Trap], bytes]:
    """A layer put before the last of an honest Sequential model."""
    return lambda trap: with_config(
        lambda config: config["config"]["layers"].insert(-1, make(trap))
    )


def argument(index: int, name: str, value: object) -> Callable[[Trap], bytes]:
    """An argument of one layer of an honest model, set."""
    return lambda trap: with_layer(
        index,
        lambda data: data["config"].__setitem__(name, value(trap) if callable(value) else value),
    )


def _lambda(trap: Trap) -> dict:
    function = eval(f"lambda x: {code(trap)}")
    return keras.saving.serialize_keras_object(layers.Lambda(function, name="lambda"))


def _in_functional(trap: Trap) -> bytes:
    def edit(config: dict) -> None:
        data = _lambda(trap)
        target = config["config"]["layers"][3]
        data |= {"name": target["name"], "inbound_nodes": target["inbound_nodes"]}
        data["config"]["name"] = target["name"]
        config["config"]["layers"][3] = data

    return with_config(edit, "functional")


def _nested_lambda(trap: Trap) -> dict:
    inner = json.loads(members("plain")["config.json"])
    inner["config"]["layers"].insert(-1, _lambda(trap))
    return inner


# --- code, functions, objects of other modules ---

NOT_ALLOWED = "which is not on the list of allowed layers"
add("lambda_bytecode", rf"layer 'lambda' is of class Lambda, {NOT_ALLOWED}", insert(_lambda))
add("lambda_in_functional", rf"of class Lambda, {NOT_ALLOWED}", _in_functional)
add("lambda_in_nested_model", rf"of class Lambda, {NOT_ALLOWED}", insert(_nested_lambda))
add(
    "lambda_naming_a_keras_function",
    rf"of class Lambda, {NOT_ALLOWED}",
    insert(
        lambda t: layer(
            "Lambda",
            function={
                "module": "keras.utils",
                "class_name": "function",
                "config": "get_file",
                "registered_name": None,
            },
            arguments={"fname": t.canary, "origin": f"http://127.0.0.1:{t.port}/"},
        )
    ),
)
for _class, _arguments in {
    "TimeDistributed": lambda t: {"layer": _lambda(t)},
    "Bidirectional": lambda t: {"layer": _lambda(t), "backward_layer": _lambda(t)},
    "TextVectorization": lambda t: {"vocabulary": t.canary},
    "StringLookup": lambda t: {"vocabulary": "/etc/passwd"},
    "IntegerLookup": lambda t: {"vocabulary": "/etc/passwd"},
    "TorchModuleWrapper": lambda t: {"module": "gASV"},
    "TFSMLayer": lambda t: {"filepath": f"http://127.0.0.1:{t.port}/", "call_endpoint": "serve"},
    "JaxLayer": lambda t: {"call_fn": FUNCTION},
    "FlaxLayer": lambda t: {"module": FUNCTION},
    "FeatureSpace": lambda t: {},
    "Embedding": lambda t: {"input_dim": 10, "output_dim": 10},
    "RNN": lambda t: {"cell": CUSTOM},
    "Wrapper": lambda t: {"layer": CUSTOM},
}.items():
    add(
        f"layer_{_class}",
        rf"of class {_class}, {NOT_ALLOWED}",
        insert(lambda t, c=_class, a=_arguments: layer(c, **a(t))),
    )
add(
    "os_system",
    rf"of class system, {NOT_ALLOWED}",
    insert(lambda t: layer("system", "os", command=f"touch {t.canary}")),
)
add(
    "function",
    rf"of class function, {NOT_ALLOWED}",
    insert(lambda t: FUNCTION | {"config": {"name": "exec"}}),
)
for _special in ("__lambda__", "__tensor__", "__numpy__", "__typespec__", "__bytes__", "__slice__"):
    add(
        f"special{_special}",
        rf"of class {_special}, {NOT_ALLOWED}",
        insert(
            lambda t, s=_special: {
                "class_name": s,
                "config": {"name": "x", "value": "gASV"},
                "spec_name": "x",
            }
        ),
    )
add(
    "operation",
    rf"of class GetItem, {NOT_ALLOWED}",
    insert(lambda t: layer("GetItem", "keras.src.ops.numpy")),
)
add(
    "known_name_of_another_module",
    r"of module 'os', not keras\.layers",
    insert(lambda t: layer("Dense", "os", units=3)),
)
add(
    "known_name_of_no_module",
    r"of module null, not keras\.layers",
    insert(lambda t: layer("Dense", None, units=3)),
)
add(
    "registered_name",
    r"is registered as 'evil>Dense'",
    insert(lambda t: layer("Dense", units=3) | {"registered_name": "evil>Dense"}),
)
add(
    "extra_key",
    r"has the key 'on_load'",
    insert(lambda t: layer("Dense", units=3) | {"on_load": FUNCTION}),
)
add(
    "subclassed_model",
    r"of class MyNet",
    lambda t: with_config(lambda c: c | {"class_name": "MyNet", "module": "nets"}),
)
add(
    "model_of_another_module",
    r"of module 'os', not keras:",
    lambda t: with_config(lambda c: c | {"module": "os"}),
)
add(
    "a_layer_alone",
    r"holds a single layer",
    lambda t: replaced("config.json", json.dumps(layer("Flatten")).encode()),
)
for _argument, _index, _message in (
    ("kernel_initializer", 2, "must be an initializer: one of Zeros"),
    ("bias_regularizer", 2, "must be a regularizer: one of L1"),
    ("kernel_constraint", 2, "must be a constraint: one of MaxNorm"),
    ("activation", 2, "must be the name of a built-in activation"),
    ("dtype", 2, "must be (float32|Keras' policy float32)"),
    ("name", 2, "has a name that is not text"),
    ("units", 5, "must be an integer from 1 to 65536"),
    ("scale", 1, "must be a number"),
):
    for _kind, _value in {
        "custom": lambda t: CUSTOM,
        "function": lambda t: FUNCTION,
        "lambda": lambda t: {"class_name": "__lambda__", "config": {"value": "gASV"}},
        "layer": _lambda,
    }.items():
        add(f"{_argument}_{_kind}", _message, argument(_index, _argument, _value))
add(
    "initializer_of_another_module",
    r"must be Keras' initializer Zeros, of module keras\.initializers",
    argument(
        2,
        "kernel_initializer",
        {"module": "os", "class_name": "Zeros", "config": {}, "registered_name": None},
    ),
)
add(
    "initializer_withcode",
    r"must be the initializer Zeros with no arguments",
    argument(
        2,
        "kernel_initializer",
        {
            "module": "keras.initializers",
            "class_name": "Zeros",
            "config": {"f": FUNCTION},
            "registered_name": None,
        },
    ),
)
add("half_precision", r"dtype .*must be float32 or mixed", argument(2, "dtype", "float16"))
add("float64", r"dtype is 'float64'; it must be float32", argument(0, "dtype", "float64"))
add("quantized", r"quantization_config", argument(5, "quantization_config", {"mode": "int8"}))
add(
    "unknown_argument",
    r"has the argument 'vocabulary', which is not on its list",
    argument(5, "vocabulary", "/etc/passwd"),
)
add("activation_name", r"activation is 'get_file'", argument(5, "activation", "get_file"))
add("path_as_name", r"of class Dense: units is '/etc/passwd'", argument(5, "units", "/etc/passwd"))
add("boolean_as_number", r"units is true", argument(5, "units", True))
add("float_as_number", r"units is 3\.0", argument(5, "units", 3.0))
add("sparse_input", r"sparse, ragged or optional", argument(0, "sparse", True))

# --- too much ---


def _nest(depth: int) -> Callable[[Trap], bytes]:
    def build(_: Trap) -> bytes:
        model = json.loads(members("plain")["config.json"])
        for i in range(depth):
            outer = json.loads(members("plain")["config.json"])
            model["config"]["name"] = f"inner_{i}"
            outer["config"]["layers"] = [outer["config"]["layers"][0], model]
            model = outer
        return replaced("config.json", json.dumps(model).encode())

    return build


def _repeat(data: dict, times: int, at: int = 1) -> Callable[[Trap], bytes]:
    def edit(config: dict) -> None:
        for i in range(times):
            one = copy.deepcopy(data)
            one["config"]["name"] = f"more_{i}"
            config["config"]["layers"].insert(at, one)

    return lambda _: with_config(edit)


add(
    "huge_units",
    r"units is 1000000000; it must be an integer from 1 to 65536",
    argument(5, "units", 10**9),
)
add("huge_kernel", r"kernel_size is", argument(2, "kernel_size", [5000, 5000]))
add("negative_stride", r"strides is", argument(2, "strides", [-1, -1]))
add(
    "upsampling_chain",
    r"(holds \d+ activations|would have shape)",
    _repeat(layer("UpSampling2D", size=[64, 64]), 8),
)
add(
    "huge_padding",
    r"holds \d+ activations",
    _repeat(layer("ZeroPadding2D", padding=[[1024, 1024], [1024, 1024]]), 3),
)


def _stack(*stack: dict) -> Callable[[Trap], bytes]:
    """A Sequential model of the honest one's input and these layers."""
    return lambda _: with_config(
        lambda c: c["config"].update(layers=[c["config"]["layers"][0], *stack])
    )


add(
    "many_activations",
    r"to \d+ activations; at most",
    _stack(
        layer("UpSampling2D", size=[64, 64]), *(layer("ReLU", name=f"r{i}") for i in range(200))
    ),
)
add(
    "many_parameters",
    r"to \d+ parameters; at most 50000000",
    _repeat(layer("Dense", units=60_000), 2),
)
add(
    "much_arithmetic",
    r"to \d+ multiply-adds; at most",
    _stack(
        layer("UpSampling2D", size=[16, 16]),
        *(
            layer("Conv2D", filters=180, kernel_size=[7, 7], padding="same", name=f"c{i}")
            for i in range(3)
        ),
    ),
)
add(
    "long_chain",
    r"more than 800 calls of layers follow one another",
    _repeat(layer("ReLU"), 900),
)
add("many_layers", r"layers; at most 1000 are accepted", _repeat(layer("ReLU"), 1200))
add("deep_models", r"models are nested more than 4 levels deep", _nest(5))
add(
    "long_name",
    r"has a name that is not text of 1 to 128 characters",
    argument(5, "name", "n" * 10_000),
)
add("empty_name", r"has a name that is not text of 1 to 128 characters", argument(5, "name", ""))
add("long_class", r"of class x{60}\.\.\., which is not", insert(lambda t: layer("x" * 10_000)))
add(
    "control_characters",
    r"\\x1b\[2J\\r\\n",
    insert(lambda t: layer("Evil", name="\x1b[2J\r\nAll is well")),
)
add("bidi_marks", r"\\u202e\\u2066", insert(lambda t: layer("Evil", name="\u202e\u2066rorre on")))
add("surrogates", r"\\ud800", insert(lambda t: layer("Evil", name="\ud800")))

# --- shapes and graphs ---


def _graph(edit: Callable[[dict], object]) -> Callable[[Trap], bytes]:
    return lambda _: with_config(lambda config: edit(config["config"]), "functional")


def _tensor(config: dict, index: int) -> dict:
    """The first tensor that a layer of the functional model takes."""
    args = config["layers"][index]["inbound_nodes"][0]["args"]
    return (args[0][0] if isinstance(args[0], list) else args[0])["config"]


add(
    "wrong_input",
    r"takes inputs of shape \(9, 9, 1\), not \(8, 8, 1\)",
    argument(0, "batch_shape", [None, 9, 9, 1]),
)
add("flat_input", r"takes inputs of shape \(64,\), not", argument(0, "batch_shape", [None, 64]))
add("fixed_batch", r"fixes the batch size at 32", argument(0, "batch_shape", [32, *SHAPE]))
add(
    "wrong_classes",
    r"outputs shape \(7,\) for one image, not \(10,\) logits",
    argument(5, "units", 7),
)
add(
    "images_out",
    r"outputs shape \(36,\)",
    lambda t: with_config(lambda c: c["config"].update(layers=c["config"]["layers"][:-1])),
)
add(
    "two_outputs",
    r"has several outputs; exactly one",
    _graph(lambda c: c.update(output_layers=[c["output_layers"]] * 2)),
)
add(
    "named_outputs",
    r"has several outputs; exactly one",
    _graph(lambda c: c.update(output_layers={"a": c["output_layers"]})),
)
add(
    "two_inputs",
    r"has several inputs; exactly one",
    _graph(lambda c: c.update(input_layers=[c["input_layers"]] * 2)),
)
add(
    "circle",
    r"is part of a cycle",
    _graph(lambda c: _tensor(c, 1).update(keras_history=["add", 0, 0])),
)
add(
    "dangling",
    r"that no layer produces",
    _graph(lambda c: _tensor(c, 2).update(keras_history=["nowhere", 0, 0])),
)
add(
    "dead_end",
    r"does not lead to the model's output",
    _graph(lambda c: c.update(output_layers=[c["layers"][-2]["name"], 0, 0])),
)
add(
    "second_result",
    r"is not the output of a layer",
    _graph(lambda c: _tensor(c, 2).update(keras_history=["conv2d", 0, 1])),
)
add(
    "negative_call",
    r"is not the output of a layer",
    _graph(lambda c: _tensor(c, 2).update(keras_history=["conv2d", -1, 0])),
)
add(
    "boolean_call",
    r"is not the output of a layer",
    _graph(lambda c: _tensor(c, 2).update(keras_history=["conv2d", False, 0])),
)
add(
    "constant_argument",
    r"is not the output of a layer",
    _graph(
        lambda c: c["layers"][2]["inbound_nodes"][0].update(
            args=[{"class_name": "__tensor__", "config": {}}]
        )
    ),
)
add(
    "training_at_inference",
    r"is called with 'training' = true",
    _graph(lambda c: c["layers"][2]["inbound_nodes"][0].update(kwargs={"training": True})),
)
add(
    "function_argument",
    r"is called with 'mask' = an object of class 'function'",
    _graph(lambda c: c["layers"][2]["inbound_nodes"][0].update(kwargs={"mask": FUNCTION})),
)
add(
    "many_calls",
    r"must be called 1 to 64 times",
    _graph(lambda c: c["layers"][2].update(inbound_nodes=c["layers"][2]["inbound_nodes"] * 100)),
)
add(
    "same_names",
    r"has two layers named 'conv2d",
    lambda t: with_layer(
        3,
        lambda d: d["config"].update(
            name=json.loads(members("plain")["config.json"])["config"]["layers"][2]["config"][
                "name"
            ]
        ),
    ),
)
add(
    "softmax_over_the_batch",
    r"axis 0 is the batch axis",
    insert(lambda t: layer("Softmax", axis=0)),
)
add(
    "softmax_over_the_batch_from_behind",
    r"axis -2 is the batch axis",
    insert(lambda t: layer("Softmax", axis=-2)),
)
add(
    "layer_norm_over_the_batch",
    r"axis 0 is the batch axis",
    insert(lambda t: layer("LayerNormalization", axis=[0, 1])),
)
add("batch_norm_over_the_batch", r"axis 0 is the batch axis", argument(3, "axis", 0))
add(
    "unit_norm_over_the_batch",
    r"axis 0 is the batch axis",
    insert(lambda t: layer("UnitNormalization", axis=[0])),
)
add(
    "reshape_over_the_batch",
    r"does not fit target_shape",
    insert(lambda t: layer("Reshape", target_shape=[7])),
)
add("permute_the_batch", r"dims", insert(lambda t: layer("Permute", dims=[0])))
add(
    "attention_of_one",
    r"it takes two or three inputs \(query, value, optionally key\), not 1",
    insert(lambda t: layer("MultiHeadAttention", num_heads=1, key_dim=1)),
)
add("renorm", r"renorm is true; it must be false", argument(3, "renorm", True))
add(
    "noise_shape",
    r"noise_shape is",
    insert(lambda t: layer("Dropout", rate=0.5, noise_shape=[10**9, 1])),
)
add(
    "channels_first",
    r"data_format is 'channels_first'",
    argument(2, "data_format", "channels_first"),
)
add(
    "no_layers",
    r"has no layers",
    lambda t: with_config(lambda c: c["config"].update(layers=c["config"]["layers"][:1])),
)
assert CLASSES == 10
