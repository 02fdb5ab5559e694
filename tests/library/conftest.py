"""An installed wheel, and TensorBoard where it is not installed."""

import importlib.util
import sys
from types import ModuleType

import pytest

from tests.library.installation import Installed, install


def scalar(name: str, data: float, step: int, description: None = None) -> bool:
    """Writes a scalar to the event file of the writer in use, as TensorBoard's function does."""
    import tensorflow as tf

    return tf.summary.write(name, tf.cast(data, tf.float32), step=step)


@pytest.fixture(scope="session")
def installed(tmp_path_factory) -> Installed:
    """The wheel in an environment of its own."""
    return install(tmp_path_factory.mktemp("wheel"))


@pytest.fixture
def tensorboard(monkeypatch):
    """Of TensorBoard, TensorFlow imports the one function that writes scalars."""
    pytest.importorskip("tensorflow")
    if importlib.util.find_spec("tensorboard") is not None:
        return
    for name in ("tensorboard", "tensorboard.summary", "tensorboard.summary.v2"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setattr(sys.modules["tensorboard.summary.v2"], "scalar", scalar, raising=False)
