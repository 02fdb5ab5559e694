"""What one step of each attack of AutoAttack costs, in forward passes of the network.

A step, like a forward pass, is timed in a loop inside one program, so that a call's own costs
cancel; the two take turns, since the speed of a shared machine drifts."""

import itertools
import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from pellucid import models
from pellucid.attacks import losses
from pellucid.attacks.autoattack import queue, randomness
from pellucid.attacks.autoattack.apgd import Apgd
from pellucid.attacks.autoattack.fab import Fab
from pellucid.attacks.autoattack.square import HALVINGS, Square
from pellucid.attacks.autoattack.stepping import IterativeAttack
from pellucid.models import backend
from pellucid.models.batching import to_device
from pellucid.models.functional import (
    State,
    logits_of,
    pixels,
    predict,
    program,
    state,
)
from tests.performance.cases import data_of, shape_of

IMAGES, LOOP, TURNS = 500, 10, 5
"""Images in a batch, steps in a loop, and turns of which the median is taken."""
CANDIDATES = 2000
"""Images among which those of the widest margins are taken, so that none is broken."""
TINY = {"l2": 1e-3, "linf": 1e-4}
"""Radii at which nothing succeeds."""
QUERIES = 5000
"""Of Square, whose windows shrink with their number."""

Loop = Callable[[int], Any]
"""Does so many steps."""


def attacks(norm: str) -> dict[str, IterativeAttack]:
    """The four attacks of `standard` by the names of the figures."""
    return {
        "Square": Square(norm, QUERIES),
        "APGD-CE": Apgd(norm),
        "APGD-T": Apgd(norm, "dlr-targeted"),
        "FAB-T": Fab(norm),
    }


def _forwards(model: keras.Model) -> Callable:
    """The program of forward passes; each begins with other images, or it would be done once."""

    def run(trainable: list, other: list, x: Any, count: Any) -> Any:
        logits = logits_of(model, State(trainable, other))

        def step(_: Any, carried: tuple) -> tuple:
            x, total = carried
            return x * 0.999, total + logits(x)

        x = pixels(x)
        return backend.fori_loop(count, step, (x, logits(x)))[1]

    return run


def _gradients(model: keras.Model) -> Callable:
    """The program of gradients at images."""

    def run(trainable: list, other: list, x: Any, y: Any, count: Any) -> Any:
        logits = logits_of(model, State(trainable, other))

        def step(_: Any, x: Any) -> Any:
            value = backend.value_and_gradient(lambda z: ops.sum(losses.xent(logits(z), y)), x)
            return x * 0.999 + value[1]

        return backend.fori_loop(count, step, pixels(x))

    return run


def _seconds(loop: Loop, count: int) -> float:
    start = time.perf_counter()
    for value in keras.tree.flatten(loop(count)):
        np.asarray(ops.convert_to_numpy(value))
    return time.perf_counter() - start


def _each(loop: Loop) -> float:
    """Seconds of a step."""
    return (_seconds(loop, LOOP) - _seconds(loop, 0)) / LOOP


def compared(loop: Loop, forward: Loop) -> tuple[float, float]:
    """A step in forward passes, and a forward pass in seconds: medians over turns."""
    for other in (loop, forward):
        _seconds(other, 1)  # compiles
    turns = [(_each(loop), _each(forward)) for _ in range(TURNS)]
    return (
        statistics.median(step / unit for step, unit in turns),
        statistics.median(unit for _, unit in turns),
    )


def stages() -> dict[int, int]:
    """For each side of Square's windows a query in the middle of its time, and its queries."""
    edges = [0, *(edge for edge in HALVINGS if edge < QUERIES), QUERIES]
    return {(a + b) // 2: b - a for a, b in itertools.pairwise(edges)}


def measure(network: str, shape: str) -> dict[str, tuple[float, str]]:
    """Steps in forward passes, for both norms; the gradient, which bounds APGD's and FAB's."""
    model = models.get(network)(shape_of(shape), 10, seed=0)
    x = np.array(data_of(shape, CANDIDATES).x_test[:CANDIDATES])
    logits = np.sort(predict(model, x), axis=-1)
    x = x[np.argsort(logits[:, -2] - logits[:, -1], kind="stable")[:IMAGES]]
    y = predict(model, x).argmax(-1).astype(np.int32)
    values = state(model)
    weights = values.trainable, values.other
    on_device, labels, keys = to_device(x), to_device(y), randomness.keys_of(0, np.arange(IMAGES))
    forwards = program(model, ("forwards",), _forwards)
    gradients = program(model, ("gradients",), _gradients)

    def count(n: int) -> Any:
        return backend.to_device(np.array(n, np.int32))

    def forward(n: int) -> Any:
        return forwards(*weights, on_device, count(n))

    ratio, unit = compared(lambda n: gradients(*weights, on_device, labels, count(n)), forward)
    found = {
        "forward pass": (1000 * unit, "ms"),
        "gradient, forward passes": (ratio, ""),
    }
    for norm, radius in TINY.items():
        for name, attack in attacks(norm).items():
            begin = program(model, ("begin", attack), partial(queue._begin, attack), rows_from=2)
            advance = program(
                model, ("advance", attack), partial(queue._advance, attack), rows_from=2
            )
            radii, runs = np.full(IMAGES, radius, np.float32), np.zeros(IMAGES, np.int32)
            rows = begin(*weights, *map(to_device, (x, y, keys, radii, runs)))
            rows = advance(*weights, rows, count(3))
            broken = int(np.asarray(ops.convert_to_numpy(rows["success"])).sum())
            if broken:
                raise RuntimeError(
                    f"{name} in {norm} must break nothing at radius {radius}. It broke {broken}."
                )

            def loop(n: int, begun: dict, advance: Callable = advance) -> Any:
                return advance(*weights, begun, count(n))

            parts = stages() if isinstance(attack, Square) else {3: 1}
            costs = [
                compared(partial(loop, begun=rows | {"i": ops.full_like(rows["i"], at)}), forward)[
                    0
                ]
                for at in parts
            ]
            mean = np.average(costs, weights=list(parts.values()))
            found[f"{name} {norm}, forward passes"] = (float(mean), "")
    return found
