"""What a stored model is made of, and what a forward pass costs."""

import zipfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from pellucid.models.untrusted.model import configuration, graph


class Size(NamedTuple):
    """The size of a model.

    Attributes:
        layers: Its layers with weights, counted, in the order in which they first come.
        parameters: Number of weights, those of batch normalisation among them.
        multiply_adds: Multiplications with addition for one image.
    """

    layers: str
    parameters: int
    multiply_adds: int


def size(path: Path, input_shape: tuple[int, ...], num_classes: int) -> Size:
    """The size of a model in a `.keras` file of this program.

    Args:
        path: The file.
        input_shape: Shape of one image, `(h, w, c)`.
        num_classes: The number of its logits.

    Raises:
        Refused: The model has a layer that no submission may have.
    """
    with zipfile.ZipFile(path) as archive:
        config = archive.read("config.json")
    flat = graph.flatten(configuration.read(config), input_shape, num_classes)
    weighted = Counter(layer.class_name for layer in flat.layers if layer.variables)
    layers = ", ".join(f"{number} {name}" for name, number in weighted.items())
    return Size(layers or "no layer with weights", flat.parameters, flat.multiply_adds)
