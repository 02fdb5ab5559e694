"""Random stacks of allowed layers: rebuilt with the same logits, or refused in a line.

STACKS=1000 tries more. Models are called with `training=False`, as everywhere in the suite: after
a `CenterCrop`, Keras takes the default to be training, batch statistics and all.
"""

import os

import keras
import numpy as np
import pytest

from pellucid.models.untrusted import Refused
from pellucid.models.untrusted.layers.allowed import LAYERS, MERGING
from pellucid.models.untrusted.model.build import build
from pellucid.models.untrusted.sandbox import child, trial
from tests.hostile.building import check_line
from tests.hostile.stacks import CLASSES, MERGED, OPTIONS, stack

STACKS = int(os.environ.get("STACKS", "40"))
AT_ONCE = 10
TOLERANCE = 1e-3
"""Of the largest logit: a compiler may add in another order."""


def test_every_allowed_layer_is_drawn():
    assert set(MERGED) == set(MERGING)
    assert set(LAYERS) <= set(OPTIONS) | set(MERGED)


def outcome(seed: int, folder) -> str:
    """What becomes of a stack: `rebuilt`, or why it is refused."""
    made = stack(seed)
    made.save(folder / f"{seed}.keras")
    images = np.random.default_rng(seed).random((4, *made.input_shape[1:]), np.float32)
    data = (folder / f"{seed}.keras").read_bytes()
    try:
        _, graph, arrays = child.examine(data, made.input_shape[1:], CLASSES)
        back = build(graph, arrays)
        trial.measure(back, images, CLASSES)
    except Refused as refused:
        check_line(str(refused), "")
        return str(refused)
    expected = np.asarray(made(images, training=False))
    if graph.softmax:
        return "rebuilt without its softmax"
    scale = max(1.0, float(np.abs(expected).max()))
    np.testing.assert_allclose(
        back(images, training=False), expected, rtol=0, atol=TOLERANCE * scale
    )
    return "rebuilt"


@pytest.mark.parametrize("first", range(0, STACKS, AT_ONCE))
def test_stacks(first, tmp_path):
    outcomes = {}
    for seed in range(first, min(first + AT_ONCE, STACKS)):
        try:
            outcomes[seed] = outcome(seed, tmp_path)
        except Exception as error:
            error.add_note(f"seed {seed}")
            raise
        keras.utils.clear_session()
    rebuilt = [found.startswith("rebuilt") for found in outcomes.values()]
    assert sum(rebuilt) >= len(outcomes) / 2, outcomes
