"""Tracks: what the leaderboard compares.

A track is a preset at a version of the protocol; nothing in it can be set.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from robust_interpretability.benchmark.config import configuration
from robust_interpretability.benchmark.config.configuration import PROTOCOL_VERSION, Config
from robust_interpretability.benchmark.config.sections import Grid
from robust_interpretability.benchmark.data.datasets import Dataset
from robust_interpretability.leaderboard.entry import DataSet
from robust_interpretability.leaderboard.entry import Track as TrackRecord
from robust_interpretability.models.errors import unknown

TRACKS = {
    "digits": "quick",
    "mnist-reduced": "reduced-mnist",
    "fashion-mnist-reduced": "reduced-fashion-mnist",
    "cifar10-reduced": "reduced-cifar10",
    "mnist": "paper-mnist",
    "fashion-mnist": "paper-fashion-mnist",
    "cifar10": "paper-cifar10",
}
"""Track to preset."""

ADDED = {
    name: ["retraining.epochs=5", "retraining.repeats=3"] for name in ("mnist", "fashion-mnist")
}
"""What a track adds to its preset: the paper has ROAR and KAR on CIFAR-10 alone, the board on all,
with as many epochs as the base models have."""


class Track(NamedTuple):
    """A track's name, its configuration, and the folder of its runs."""

    name: str
    config: Config
    folder: Path


def get(name: str) -> Track:
    """A track.

    Raises:
        InputError: The name is unknown; the closest match is named.
    """
    if name not in TRACKS:
        raise unknown("track", name, TRACKS)
    preset = TRACKS[name]
    config = configuration.resolve(preset, None, ADDED.get(name, []))
    # the paper measures some networks in one way and some in another; a table needs every score of
    # every network
    grid = [
        part.model_copy(update={"measures": Grid.model_fields["measures"].default})
        for part in config.grid
    ]
    return Track(name, config.model_copy(update={"grid": grid}), Path("runs") / preset)


def record(name: str, config: Config, data: Dataset) -> TrackRecord:
    """What an entry says of its track; the digest covers all that scores depend on.

    Args:
        name: The track's name; for a run that is no track, the configuration's.
        config: The configuration.
        data: The data set, loaded.
    """
    info = data.info
    content = DataSet(
        name=info.name.replace("/", "_"),
        version=info.version,
        train_images=info.train_size,
        test_images=info.test_size,
        sha256=data.sha256(),
    )
    fixed = config.model_dump(
        mode="json", exclude={"version", "name", "description", "pictures", "tilt"}
    )
    digest = hashlib.sha256(
        json.dumps([PROTOCOL_VERSION, fixed, content.model_dump()], sort_keys=True).encode()
    ).hexdigest()
    return TrackRecord(
        name=name,
        digest=digest,
        protocol_version=PROTOCOL_VERSION,
        scale=config.scale,
        data=content,
        retrained=_retrained(config),
        robustness=_robustness(config),
    )


def _retrained(config: Config) -> str:
    section = config.retraining
    if section is None:
        return "nothing"
    width = f", width {config.model.width:g}" if config.model.width != 1 else ""
    masks = ", on the masks alone" if section.content == "mask" else ""
    return f"{config.model.name}{width}, {section.epochs} epochs, {section.repeats} repeats{masks}"


def _robustness(config: Config) -> str:
    norms = {"l2": "L2", "linf": "Linf"}
    paper = config.evaluation
    steps = f", {paper.steps} steps" if paper.name == "pgd" else ""
    own = f"{paper.name.upper()} {norms[paper.norm]} {paper.epsilon:g}{steps}, loss {paper.loss}"
    attack = config.autoattack
    if attack is None:
        return f"not measured; {own} (pixel units)"
    images = f" on the first {attack.images:,} test images" if attack.images else ""
    return (
        f"AutoAttack {attack.version} {norms[attack.norm]} {attack.epsilon:g}{images}; {own} (pixel"
        " units)"
    )
