"""A submitted file, from its path to a stored model: checked, tried, built afresh."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from robust_interpretability import models
from robust_interpretability.benchmark.data.dataset import Dataset
from robust_interpretability.benchmark.data.identity import same_images
from robust_interpretability.benchmark.execution import folder
from robust_interpretability.benchmark.units.store import Store
from robust_interpretability.models.checks import as_floats

if TYPE_CHECKING:
    from robust_interpretability.models.untrusted import Admitted

PROBED = 64
"""Test images on which a submitted model is tried before it is admitted."""


def prepare(path: Path, classifier: str) -> None:
    """Refuses what is not a `.keras` file, then starts the backend, which takes seconds.

    Args:
        path: The submitted file.
        classifier: Name of the classifier whose kernels suit the data; see `choose_kernels`.

    Raises:
        Refused: The path does not name a plain `.keras` file.
    """
    from robust_interpretability.models import untrusted

    untrusted.check_path(path)
    models.choose_kernels(classifier)
    from robust_interpretability.models import backend

    backend.configure()


def admit(path: Path, data: Dataset, say: Callable[[str], None]) -> "Admitted":
    """Checks a submitted file in confinement and builds its model afresh.

    Args:
        path: The submitted file.
        data: The data set, on whose first test images the model is tried.
        say: Told, in a line, what is being done.

    Raises:
        Refused: The file or the model breaks a rule.
    """
    from robust_interpretability.models import untrusted

    say(f"checking {path.name}")
    x = data.x_test[:PROBED]
    admitted = untrusted.admit(
        path,
        input_shape=data.info.shape,
        num_classes=data.info.num_classes,
        images=as_floats(x),
    )
    locks = ", ".join(admitted.confinement)
    say(f"admitted: {admitted.parameters:,} parameters, checked behind {locks}")
    return admitted


@contextmanager
def store_in(
    out: Path, data: Dataset, say: Callable[[str], None], *, wait: bool = False
) -> Iterator[Store]:
    """Holds a folder of results that were made from this data.

    Args:
        out: The folder; made if need be.
        data: The data set.
        say: Told of damaged results and of other processes.
        wait: Whether to wait for another process that holds the folder.

    Raises:
        InputError: Another process holds it, it cannot be written, or its results were made from
            other images.
    """
    with folder.locked(out, wait=say if wait else None):
        same_images(out, data, say)
        store = Store(out, say)
        store.sweep()
        yield store
