"""Puts a track's reference networks into the zoo, with what the board says of them."""

import hashlib
import shutil
from pathlib import Path

from pellucid.benchmark.config.versions import PROTOCOL_VERSION
from pellucid.benchmark.execution import runner
from pellucid.benchmark.library.zoo import index
from pellucid.benchmark.library.zoo.index import Index, Network
from pellucid.benchmark.results import entries, tracks
from pellucid.benchmark.units import plan, train
from pellucid.benchmark.units.store import Store
from pellucid.benchmark.units.unit import Network as GridNetwork
from pellucid.leaderboard.board import Board
from pellucid.leaderboard.entry import Entry
from pellucid.leaderboard.scores import interpretability
from pellucid.models.errors import InputError
from pellucid.models.files import write, writing

ACCURACIES = ("test_accuracy", "robust_accuracy")


def name_of(track: str, network: GridNetwork) -> str:
    """What a network of a track's grid is called: `digits/standard`, `digits/l2-0.6`."""
    loss = f"-{network.loss}" if network.loss not in (None, "", "xent") else ""
    short = f"{network.norm}-{network.epsilon:g}{loss}" if network.norm else network.label
    return f"{track}/{short}"


def publish(
    track_name: str, *, board: Path, data_dir: str | None, to: Path = index.FOLDER
) -> list[str]:
    """Copies the networks of a track's grid, of the first seed, and states their scores.

    Args:
        track_name: The track; its grid has been trained here, and is on the board.
        board: The board's folder.
        data_dir: The TFDS folder.
        to: The zoo's folder. Networks of the track that are in it already are replaced.

    Returns:
        The networks' names.

    Raises:
        InputError: A network has not been trained here, is not on the board, or its file is not
            the one that the board's entry states.
    """
    track = tracks.get(track_name)
    work, store = runner.plan(track.config, data_dir), Store(track.folder, lambda _: None)
    there = {e.id: e for e in Board(board).entries() if _current(e, track_name)}
    found: dict[str, Network] = {}
    sources: dict[str, Path] = {}
    for network in plan.networks(track.config):
        name, entry = name_of(track_name, network), there.get(entries.reference_id(network))
        unit = next(work.of(train.KIND, network=network, seed=0))
        if entry is None or not store.done(unit):
            raise InputError(
                f"{name} has not been trained here, or is not on the board: run_benchmark.py"
                f" reference --track {track_name}."
            )
        sources[name] = store.model_path(unit)
        digest = hashlib.sha256(sources[name].read_bytes()).hexdigest()
        if digest != entry.model.sha256[0]:
            raise InputError(f"The file of {name} is not the one that its entry states.")
        named = [*ACCURACIES, *interpretability([entry])]
        found[name] = Network(
            file=f"{name}.keras",
            sha256=digest,
            entry=f"{track_name}/{entry.id}-v{entry.track.protocol_version}",
            shape=list(work.info.shape),
            classes=work.info.num_classes,
            architecture=entry.model.architecture or track.config.model.name,
            parameters=entry.model.parameters,
            scores={n: entry.value(n) for n in named if n in entry.scores},
        )
    others = {
        name: network
        for name, network in index.read(to).networks.items()
        if not name.startswith(f"{track_name}/")
    }
    with writing(to):
        shutil.rmtree(to / track_name, ignore_errors=True)
        (to / track_name).mkdir(parents=True)
        for name, source in sources.items():
            shutil.copyfile(source, to / found[name].file)
    write(to / index.FILE, index.dumps(Index(networks=others | found)))
    return list(found)


def _current(entry: Entry, track: str) -> bool:
    same = entry.track.name == track and entry.track.protocol_version == PROTOCOL_VERSION
    return entry.role == "reference" and same
