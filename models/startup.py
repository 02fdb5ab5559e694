"""Which backend Keras will take, found out before Keras is imported: that takes seconds."""

import importlib.util
import json
import os
from pathlib import Path
from typing import NamedTuple

from pellucid.models.errors import InputError, closest

BACKENDS = ("tensorflow", "jax")
VARIABLE = "KERAS_BACKEND"
INSTALL = {
    "tensorflow": "pip install -r requirements.txt",
    "jax": "pip install '.[jax]'",
}
"""What installs a backend, in this project's folder."""


class Choice(NamedTuple):
    """A backend's name, and what chose it."""

    name: str
    source: str


def chosen() -> Choice:
    """The backend that Keras takes: that of `KERAS_BACKEND`, its own file, or TensorFlow."""
    if name := os.environ.get(VARIABLE):
        return Choice(name, VARIABLE)
    home = os.environ.get("KERAS_HOME")
    file = Path(home) / "keras.json" if home else Path("~/.keras/keras.json").expanduser()
    try:
        name = json.loads(file.read_text(encoding="utf-8"))["backend"]
    except (OSError, ValueError, KeyError, TypeError):  # as Keras: without it, its default
        return Choice(BACKENDS[0], "the default")
    return Choice(str(name), str(file))


def check_backend() -> str:
    """The name of the backend that Keras will take.

    Raises:
        InputError: It is none of ours, or is not installed; in one line that says what to do.
    """
    name, source = chosen()
    if name not in BACKENDS:
        raise InputError(
            f"The backend '{name}' ({source}) cannot be used.{closest(name, BACKENDS)} Set"
            f" {VARIABLE} to {' or '.join(BACKENDS)}."
        )
    if importlib.util.find_spec(name) is None:
        there = [other for other in BACKENDS if importlib.util.find_spec(other)]
        instead = f", or set {VARIABLE}={there[0]}, which is installed" if there else ""
        raise InputError(
            f"The backend '{name}' ({source}) is not installed. Install it with `{INSTALL[name]}`"
            f" in this project's folder{instead}."
        )
    return name
