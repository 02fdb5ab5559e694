"""Baselines: networks of which it is known what a board should do with them.

- *untrained*: the track's network at its initial weights. Its gradients say nothing of the images.
- *masked gradients*: the standard network behind a staircase of each pixel, as steep as floats
  allow. It classifies almost as the standard network does and is no more robust, but all gradients
  are zero: attacks that follow them fail, and maps made of them are blank.

The standard network, the third, is part of the reference grid.
"""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from rich.console import Console

from pellucid.benchmark.data import datasets
from pellucid.benchmark.execution import runner
from pellucid.benchmark.progress import sayer
from pellucid.benchmark.results import entries, tracks
from pellucid.benchmark.results.tracks import Track
from pellucid.benchmark.submission import measure
from pellucid.benchmark.submission.limits import Resources
from pellucid.benchmark.units import plan, train
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import STANDARD
from pellucid.leaderboard.board import Board
from pellucid.leaderboard.card import Card, TrainingClaim
from pellucid.leaderboard.entry import Entry
from pellucid.models.errors import InputError

if TYPE_CHECKING:
    import keras

STEPS = 15
"""Of the staircase, between black and white."""
STEEPNESS = 1e5
"""Of a step: at a grey value of 8 bits, tanh is 1 or -1 to all digits, and its slope zero."""

UNTRAINED = Card(
    name="untrained",
    authors=["baseline"],
    licence="Apache-2.0",
    description="The track's network at its initial weights.",
    training=TrainingClaim(norm="none", loss="none", recipe="not trained"),
)
MASKED = Card(
    name="masked gradients",
    authors=["baseline"],
    licence="Apache-2.0",
    description=(
        f"The standard network behind a staircase of {STEPS} steps: no more robust, and without"
        " gradients."
    ),
    training=TrainingClaim(norm="none", loss="cross-entropy", recipe="as the standard network"),
)


def masked(standard: "keras.Model") -> "keras.Model":
    """A network behind a staircase that hides its gradients.

    Args:
        standard: From pixels `(n, h, w, c)` in [0, 1] to logits.
    """
    import keras

    shape = standard.input_shape[1:]
    steps = keras.layers.Dense(STEPS, activation="tanh", name="steps")
    height = keras.layers.Dense(1, name="height")
    one_by_one = [keras.layers.Reshape((*shape, 1)), steps, height, keras.layers.Reshape(shape)]
    model = keras.Sequential([keras.Input(shape), *one_by_one, standard])
    # Between two grey values of 8 bits, so that none lies on a step.
    at = (np.floor(255 * (np.arange(STEPS) + 0.5) / STEPS) + 0.5) / 255
    steps.set_weights([np.full((1, STEPS), STEEPNESS), -STEEPNESS * at])
    height.set_weights([np.full((STEPS, 1), 0.5 / STEPS), np.array([0.5])])
    return model


def measured(
    track_name: str, *, board: Path, resources: Resources, console: Console
) -> list[Entry]:
    """Makes a track's baselines, measures them as submissions are, and puts them on the board.

    Args:
        track_name: The track; its reference grid has been trained.
        board: The board's folder.
        resources: What may be used.
        console: Where progress goes.

    Returns:
        The entries.

    Raises:
        InputError: The grid has not been trained here; or as `measure.measure` and `Board.put`.
    """
    track = tracks.get(track_name)
    import keras

    made = []
    with tempfile.TemporaryDirectory(prefix="baselines-") as folder:
        for card, model in _models(track, resources, console):
            path = Path(folder) / f"{card.name.replace(' ', '-')}.keras"
            keras.saving.save_model(model, path)
            made.append(
                measure.measure(
                    path,
                    track,
                    card,
                    verified=True,
                    resources=resources,
                    console=console,
                    role="baseline",
                )
            )
    entries.put(Board(board, sayer(console)), made)
    sayer(console)(f"{len(made)} baselines of {track_name} in {board}")
    return [one.entry for one in made]


def _models(
    track: Track, resources: Resources, console: Console
) -> list[tuple[Card, "keras.Model"]]:
    import keras

    from pellucid import models

    config = track.config
    data = datasets.load(**runner.limited(config, resources.data_dir), notice=sayer(console))
    work, store = plan.build(config, data.info), Store(track.folder, sayer(console))
    unit = next(work.of(train.KIND, network=STANDARD, seed=0))
    if not store.done(unit):
        raise InputError(
            f"The reference grid of {track.name} has not been trained here: run_benchmark.py"
            f" reference --track {track.name}."
        )
    with models.KERAS_LOCK:
        build = models.get(config.model.name)
        shape, classes = data.info.shape, data.info.num_classes
        untrained = build(shape, classes, seed=0, width=config.model.width)
        standard = keras.saving.load_model(store.model_path(unit), compile=False)
        return [(UNTRAINED, untrained), (MASKED, masked(standard))]
