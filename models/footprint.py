"""How much memory a model's activations take, and so how many images a batch may have."""

import math
from collections.abc import Iterator

import keras
from keras import layers

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


def _numbers(shape: tuple[int | None, ...]) -> int:
    """Numbers of a tensor for one image."""
    return math.prod(size or 1 for size in shape[1:])


def _within(operation: keras.Operation, inputs: list, outputs: list) -> int:
    """Numbers that an operation holds for one image between its inputs and its outputs.

    Those that can be many times its outputs: the scores of an attention, of every place to every
    other, and what lies between the two convolutions of a separable one.
    """
    if isinstance(operation, layers.MultiHeadAttention):
        query, key = (
            math.prod(size or 1 for size in t.shape[1:-1]) for t in (inputs[0], inputs[-1])
        )
        return 2 * int(operation.get_config()["num_heads"]) * query * key
    if isinstance(operation, (layers.SeparableConv1D, layers.SeparableConv2D)):
        config = operation.get_config()
        last = config["data_format"] == "channels_last"
        filters, channels = outputs[0].shape[-1 if last else 1], inputs[0].shape[-1 if last else 1]
        places = _numbers(outputs[0].shape) // filters
        return places * channels * int(config["depth_multiplier"])
    return 0


def activations(model: keras.Model) -> int | None:
    """Numbers that all layers of a model hold for one image.

    Args:
        model: The model.

    Returns:
        The number; None for a model that is not a graph of layers, as a subclass of `Model`.
    """
    try:
        return sum(
            sum(_numbers(tensor.shape) for tensor in node.output_tensors)
            + _within(operation, node.input_tensors, node.output_tensors)
            for graph in _graphs(model)
            for operation in graph.operations
            for node in operation._inbound_nodes
        )
    except AttributeError:
        return None


def largest_batch(model: keras.Model) -> int | None:
    """The most images whose activations fit in `BUDGET`, at least 1; None where not known."""
    numbers = activations(model)
    return None if numbers is None else max(1, BUDGET // (COPIES * BYTES * max(1, numbers)))
