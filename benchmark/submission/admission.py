"""A submitted file, from its path to a stored model: checked, tried, built afresh."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from pellucid import models
from pellucid.benchmark.data.dataset import Dataset
from pellucid.benchmark.data.identity import same_images
from pellucid.benchmark.execution import folder
from pellucid.benchmark.units.store import Store
from pellucid.models.checks import as_floats
from pellucid.models.errors import InputError, printable

if TYPE_CHECKING:
    import keras

    from pellucid.models.untrusted import Admitted

PROBED = 64
"""Test images on which a submitted model is tried before it is admitted."""
RANGE_IMAGES = 500
"""Test images that are classified in several ranges of pixels, fewer where that takes long."""
RANGES = 3
"""Ranges of pixels that are compared."""
RANGE_SECONDS = 30.0
"""Seconds of this, by the pace in the cage; the `PROBED` images are classified in any case."""
SIGNIFICANT = 1e-3
"""McNemar's p from which a model is taken to expect the range in which it is more accurate."""
LEARNED = 3.0
"""Times chance that it must be right there: an untrained network expects no range."""


def prepare(path: Path, classifier: str) -> None:
    """Refuses what is not a `.keras` file, then starts the backend, which takes seconds.

    Args:
        path: The submitted file.
        classifier: Name of the classifier whose kernels suit the data; see `choose_kernels`.

    Raises:
        Refused: The path does not name a plain `.keras` file.
    """
    from pellucid.models import untrusted

    untrusted.check_path(path)
    models.choose_kernels(classifier)
    from pellucid.models import backend

    backend.configure()


def admit(
    path: Path, data: Dataset, say: Callable[[str], None], *, weaker: bool = False
) -> "Admitted":
    """Checks a submitted file in confinement and builds its model afresh.

    Args:
        path: The submitted file.
        data: The data set, on whose first test images the model is tried.
        say: Told, in a line, what is being done.
        weaker: Whether a system that confines less will do; see `confinement.Limits`.

    Raises:
        Refused: The file or the model breaks a rule.
    """
    from pellucid.models import untrusted

    say(f"checking {path.name}")
    x = data.x_test[:PROBED]
    admitted = untrusted.admit(
        path,
        input_shape=data.info.shape,
        num_classes=data.info.num_classes,
        images=as_floats(x),
        limits=untrusted.DEFAULT_LIMITS._replace(weaker=weaker),
    )
    locks = ", ".join(admitted.confinement)
    say(f"admitted: {admitted.parameters:,} parameters, checked behind {locks}")
    for note in admitted.notes:
        say(f"{path.name}: {note}")
    most = RANGE_SECONDS / (RANGES * max(admitted.probe["seconds_per_image"], 1e-9))
    check_range(path, admitted.model, data, round(min(RANGE_IMAGES, max(PROBED, most))))
    return admitted


@contextmanager
def failures_in_one_line(path: Path) -> Iterator[None]:
    """Says in one line that a model failed, whatever the backend or Keras raised.

    Raises:
        InputError: In place of any error that is not a user's mistake already.
    """
    try:
        yield
    except InputError:
        raise
    except Exception as error:
        first = next(iter(str(error).strip().splitlines()), "")
        raise InputError(
            f"{path.name} could not be measured ({type(error).__name__}: {printable(first, 200)})."
            " What was measured before is kept."
        ) from error


def check_range(
    path: Path, model: "keras.Model", data: Dataset, images: int = RANGE_IMAGES
) -> None:
    """Refuses a model that classifies pixels of another range than [0, 1] better.

    Args:
        path: The submitted file, for the message.
        model: The model.
        data: The data set, whose first test images are classified.
        images: How many of them.

    Raises:
        Refused: It is more accurate where pixels are in [0, 255] or in [-1, 1], beyond chance.
    """
    from scipy import stats

    from pellucid.models.functional import predict
    from pellucid.models.untrusted import Refused

    x, y = as_floats(data.x_test[:images]), data.y_test[:images]
    here = predict(model, x).argmax(axis=1) == y
    for pixels, scale, offset, also in (
        ("[0, 255]", 255.0, 0.0, "remove its Rescaling(1/255) layer, or "),
        ("[-1, 1]", 2.0, -1.0, ""),
    ):
        there = predict(model, scale * x + offset).argmax(axis=1) == y
        gained, lost = int((there & ~here).sum()), int((here & ~there).sum())
        learned = there.mean() > LEARNED / data.info.num_classes
        if gained <= lost or not learned:
            continue
        if stats.binomtest(gained, gained + lost).pvalue < SIGNIFICANT:
            first = f"keras.layers.Rescaling({scale:g}{f', {offset:g}' if offset else ''})"
            shares = f"{100 * here.mean():.0f} percent as it is, {100 * there.mean():.0f} percent"
            raise Refused(
                f"{path.name}: this model expects pixels in {pixels}, and here they are in [0, 1]."
                f" Of {len(x)} test images it classifies {shares} in {pixels} correctly. To mend"
                f" it, {also}put {first} before its first layer."
            )


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
