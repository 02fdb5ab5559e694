"""Every argument of every allowed layer, set to what no honest file has there.

Each is refused in a line, or leaves a model that is built; none of them costs much.
"""

import json
import time
import zipfile

import keras
import numpy as np
import pytest
from keras import layers

from pellucid.models.untrusted import Refused
from pellucid.models.untrusted.layers.allowed import LAYERS
from pellucid.models.untrusted.model.build import build
from pellucid.models.untrusted.sandbox import child
from tests.hostile.building import NAMES, check_line, pack
from tests.hostile.stacks import MERGED, OPTIONS

SHAPE, CLASSES = (6, 8, 3), 10
EVIL = {
    "module": "builtins",
    "class_name": "function",
    "config": "exec",
    "registered_name": "function",
}
DEEP: list = []
for _ in range(40):
    DEEP = [DEEP]
VALUES = {
    "zero": 0,
    "negative": -1,
    "large": 1 << 20,
    "beyond_64_bits": 1 << 70,
    "largest_float": 1e308,
    "fraction": 0.5,
    "text": "__import__('os').system('id')",
    "terminal": "\x1b]0;x\x07",
    "true": True,
    "null": None,
    "no_list": [],
    "deep": DEEP,
    "long": [1] * 10_000,
    "large_pair": [1 << 20, 1 << 20],
    "function": EVIL,
    "lambda": {"class_name": "__lambda__", "config": {"value": ["YQ==", None, None]}},
    "layer": {
        "module": "keras.layers",
        "class_name": "Lambda",
        "config": {"function": EVIL},
        "registered_name": None,
    },
}
OF_EVERY_LAYER = {"name", "trainable", "dtype", "data_format", "seed", "activity_regularizer"}
"""Tried on one layer alone, as are initialisers, regularisers and constraints."""
SECONDS = 5


def arguments(name: str) -> list[str]:
    common = OF_EVERY_LAYER if name != "Conv2D" else set()
    ends = ("_initializer", "_regularizer", "_constraint") if name != "Conv2D" else ()
    return [a for a in LAYERS[name] if a not in common and not a.endswith(ends)]


def with_layer(name: str) -> keras.Model:
    draw = np.random.default_rng(0)
    x = keras.Input(SHAPE)
    ranks = OPTIONS[name].ranks if name in OPTIONS else (4,)
    h = x if 4 in ranks else layers.Reshape((16, 9))(x)
    if name == "Dot":
        h = layers.Reshape((16, 9))(x)
    if name in MERGED:
        h = MERGED[name](h, h)
    else:
        layer = OPTIONS[name].make(draw, tuple(h.shape))
        h = layer(h, h) if name == "MultiHeadAttention" else layer(h)
    return keras.Model(x, layers.Dense(CLASSES)(layers.Flatten()(h)))


@pytest.mark.parametrize("name", sorted(name for name in LAYERS if arguments(name)))
def test_what_no_honest_file_has(name, tmp_path):
    with_layer(name).save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        parts = {member: archive.read(member) for member in NAMES}
    config = json.loads(parts["config.json"])
    edited = next(one for one in config["config"]["layers"] if one["class_name"] == name)["config"]
    child.examine(pack(parts), SHAPE, CLASSES)  # as it was
    cases = 0
    for argument in arguments(name):
        honest = edited.get(argument, NAMES)
        for value in VALUES.values():
            edited[argument] = value
            changed = pack(parts | {"config.json": json.dumps(config).encode()})
            cases += 1
            began = time.process_time()
            try:
                _, graph, arrays = child.examine(changed, SHAPE, CLASSES)
                build(graph, arrays)
            except Refused as refused:
                check_line(str(refused), "")
            except Exception as error:
                error.add_note(f"{name}.{argument} = {str(value)[:80]}")
                raise
            assert time.process_time() - began < SECONDS, (argument, value)
        if honest is NAMES:
            del edited[argument]
        else:
            edited[argument] = honest
    assert cases == len(VALUES) * len(arguments(name))


def test_there_are_many():
    assert sum(len(VALUES) * len(arguments(name)) for name in LAYERS) > 2000
