"""The two kinds of numbers that functions of this project take: tensors and arrays."""

from typing import Any, TypeAlias

import numpy as np

Tensor: TypeAlias = Any
"""A tensor of the backend in use, traced or not; TensorFlow's and JAX's have no common type."""

Array: TypeAlias = np.ndarray
"""A NumPy array, on the host."""

Json: TypeAlias = dict[str, Any]
"""A JSON object."""

Value: TypeAlias = Any
"""A JSON value: an object, a list, text, a number, a truth value or None."""

Untyped: TypeAlias = Any
"""An object of a library that states no types."""
