"""Tracks: what the leaderboard compares.

A track is a preset at a version of the protocol, on data that are fixed; no option changes any of
it. Each is a file in `config/tracks`.
"""

import hashlib
import json
from pathlib import Path
from typing import NamedTuple

from pellucid.attacks import NORM_TITLES
from pellucid.benchmark.config.sections import Config
from pellucid.benchmark.config.toml import TRACKS, read
from pellucid.benchmark.config.versions import PROTOCOL_VERSION
from pellucid.benchmark.data.dataset import Dataset
from pellucid.benchmark.units import configuration
from pellucid.benchmark.units.accuracy import Evaluation
from pellucid.benchmark.units.autoattack import AutoAttack
from pellucid.benchmark.units.retrain import Retraining
from pellucid.leaderboard.entry import DataRecord, TrackRecord
from pellucid.models.errors import InputError, unknown


class Track(NamedTuple):
    """A track.

    Attributes:
        name: Its name.
        config: Its configuration.
        folder: The folder of its runs.
        data: The data set and the hash of its images.
        digest: Hash of the configuration and the data; entries with another digest are not
            comparable.
    """

    name: str
    config: Config
    folder: Path
    data: DataRecord
    digest: str


def names() -> list[str]:
    """Names of the tracks."""
    return sorted(path.stem for path in TRACKS.glob("*.toml"))


def get(name: str) -> Track:
    """A track.

    Raises:
        InputError: The name is unknown; the closest match is named.
    """
    if name not in names():
        raise unknown("track", name, names())
    stated = read(TRACKS / f"{name}.toml", "The track")
    return Track(
        name,
        configuration.resolve(stated["preset"], None, stated["changes"]),
        Path("runs") / stated["preset"],
        DataRecord(**stated["data"]),
        stated["digest"],
    )


def digest(config: Config, data: DataRecord) -> str:
    """Hash of everything that scores depend on: protocol version, configuration and data.

    Sections that the configuration does not have are left out, so a new kind of section leaves the
    digests of configurations without it as they are.
    """
    described = {"version", "name", "description", "pictures", "tilt"}
    sections = config.model_dump(mode="json", exclude=described)
    fixed = {name: section for name, section in sections.items() if section is not None}
    fixed.get("measures", {}).pop("controls", None)  # of no entry
    if not fixed["adversary"]["warmup_epochs"]:  # a field that older digests do not know
        del fixed["adversary"]["warmup_epochs"]
    content = json.dumps([PROTOCOL_VERSION, fixed, data.model_dump()], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


def record(name: str, config: Config, data: Dataset) -> TrackRecord:
    """What an entry states about its track.

    Args:
        name: The track's name; for a run outside the tracks, the configuration's.
        config: The configuration.
        data: The data set, loaded.

    Raises:
        InputError: The configuration is the track's, but the images are not.
    """
    info = data.info
    content = DataRecord(
        name=info.name.replace("/", "_"),
        version=info.version,
        train_images=info.train_size,
        test_images=info.test_size,
        sha256=data.sha256(),
    )
    if name in names():
        _check_images(get(name), config, content, info.folder or info.source)
    return TrackRecord(
        name=name,
        digest=digest(config, content),
        protocol_version=PROTOCOL_VERSION,
        scale=config.scale,
        data=content,
        retrained=_retrained(config),
        robustness=_robustness(config),
    )


def _check_images(track: Track, config: Config, data: DataRecord, origin: str) -> None:
    expected = track.data
    if data != expected and digest(config, expected) == track.digest:
        raise InputError(
            f"The images of {data.name}/{data.version} ({origin}) are not those of the track"
            f" '{track.name}': {expected.name}/{expected.version}, {expected.train_images:,}"
            f" training and {expected.test_images:,} test images, SHA-256"
            f" {expected.sha256[:12]}... (received {data.sha256[:12]}...). Prepare the data set"
            " again, or pass another --data-dir."
        )


def _retrained(config: Config) -> str:
    section = config.section(Retraining)
    if section is None:
        return "nothing"
    width = f", width {config.model.width:g}" if config.model.width != 1 else ""
    return f"{config.model.name}{width}, {section.epochs} epochs, {section.repeats} repeats"


def _robustness(config: Config) -> str:
    paper = config.required(Evaluation)
    steps = f", {paper.steps} steps" if paper.name == "pgd" else ""
    ball = f"{NORM_TITLES[paper.norm]} {paper.epsilon:g}"
    pgd = f"{paper.name.upper()} {ball}{steps}, loss {paper.loss}"
    attack = config.section(AutoAttack)
    if attack is None:
        return f"not measured; {pgd} (pixel units)"
    images = f" on the first {attack.images:,} test images" if attack.images else ""
    ball = f"{NORM_TITLES[attack.norm]} {attack.epsilon:g}"
    return f"AutoAttack {attack.version} {ball}{images}; {pgd} (pixel units)"
