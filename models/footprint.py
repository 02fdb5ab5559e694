"""How much memory a model's activations take, and so how many images a batch may have."""

import math
from collections.abc import Iterator

import keras

BUDGET = 2 << 30
"""Bytes that the activations of one batch may take, forward and backward.

The protocol's networks stay below it at the batch sizes that are asked for.
"""
COPIES = 3
"""Of a layer's output: the output, its gradient, and what a kernel needs besides."""
BYTES = 4
"""Of a float32."""


def _graphs(model: keras.Model) -> Iterator[keras.Model]:
    """The graphs of a model and of the models within it, each as often as it is called."""
    graph = model._functional if isinstance(model, keras.Sequential) else model
    yield graph
    for layer in graph.layers:
        if isinstance(layer, keras.Model):
            for _ in layer._inbound_nodes:
                yield from _graphs(layer)


def activations(model: keras.Model) -> int | None:
    """Numbers that all layers of a model output for one image.

    Args:
        model: The model.

    Returns:
        The number; None for a model that is not a graph of layers, as a subclass of `Model`.
    """
    try:
        outputs = [
            tensor
            for graph in _graphs(model)
            for operation in graph.operations
            for node in operation._inbound_nodes
            for tensor in node.output_tensors
        ]
        return sum(math.prod(size or 1 for size in tensor.shape[1:]) for tensor in outputs)
    except AttributeError:
        return None


def largest_batch(model: keras.Model) -> int | None:
    """The most images whose activations fit in `BUDGET`, at least 1; None where not known."""
    numbers = activations(model)
    return None if numbers is None else max(1, BUDGET // (COPIES * BYTES * max(1, numbers)))
