"""The weights of a graph, from the datasets of the weights file, which must hold no others."""

import re
from typing import NamedTuple

import numpy as np

from pellucid.models.types import Array
from pellucid.models.untrusted.format import hdf5
from pellucid.models.untrusted.format.hdf5 import Dataset, refuse
from pellucid.models.untrusted.layers.effect import Variable
from pellucid.models.untrusted.model.graph import Graph
from pellucid.models.untrusted.refusal import shown

_OPTIMIZER = re.compile(r"(?:^|/)optimizer/")
"""In the path of what an optimizer keeps: the model's, or that of a compiled model inside it."""
_IGNORED_ENDS = ("seed_generator/vars/0", "seed_generator/seed_generator_state")


class _Needed(NamedTuple):
    """A weight that the graph needs: its path in the file, itself, and its layer in messages."""

    path: str
    variable: Variable
    label: str


def _check(needed: _Needed, dataset: Dataset | None) -> None:
    """Refuses a dataset that is not the weight it stands for."""
    path, variable, label = needed
    if dataset is None:
        raise refuse(f"{label} has no weight {shown(path)} in the file.")
    shape = variable.saved_shape or variable.shape
    if dataset.shape != shape:
        raise refuse(f"{shown(path)} has shape {dataset.shape}; {label} needs {shape}.")
    if variable.counter:
        if dataset.dtype not in ("<i8", "<i4"):
            raise refuse(f"{shown(path)} is not an integer, which {label} needs.")
    elif dataset.dtype != "<f4":
        raise refuse(f"{shown(path)} is not float32; weights must be float32.")


def read(data: bytes, graph: Graph) -> list[Array]:
    """Reads the weights of a graph.

    Args:
        data: The bytes of `model.weights.h5`.
        graph: The graph of the configuration.

    Returns:
        One float32 array for each of `graph.arrays()`, finite, of its shape.

    Raises:
        Refused: The file holds anything but these weights and an optimizer's, or is damaged.
    """
    datasets = hdf5.datasets(data)
    needed = [
        _Needed(f"{layer.group}/{variable.path}", variable, layer.label)
        for layer in graph.layers
        for variable in layer.variables
    ]
    for one in needed:
        _check(one, datasets.get(one.path))
    paths = {one.path for one in needed}
    paths.update(path for layer in graph.layers for path in layer.unused)
    for path in datasets:
        ignored = _OPTIMIZER.search(path) or path.endswith(_IGNORED_ENDS)
        if path not in paths and not ignored:
            raise refuse(f"{shown(path)} is a weight that no layer of the configuration has.")
    arrays = []
    for path, variable, label in needed:
        if variable.counter:
            continue
        values = hdf5.values(data, datasets[path])
        if not np.isfinite(values).all():
            what = "NaN" if np.isnan(values).any() else "infinite values"
            raise refuse(f"{shown(path)} of {label} holds {what}.")
        arrays.append(values.reshape(variable.shape))
    return arrays
