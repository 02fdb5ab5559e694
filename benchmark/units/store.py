"""Results of units under their keys: written whole or not at all, checked when read.

A unit's result is one JSON file, `units/<kind>/<name>-<key>.json`, and the files it names (arrays,
models) with their checksums. Those are written first, the JSON last, each under another name and
then renamed: the JSON's presence is the result's. It carries its own checksum.
"""

import hashlib
import io
import json
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

import numpy as np

from pellucid.benchmark.units.unit import Result, Unit, to_json
from pellucid.models import KERAS_LOCK
from pellucid.models.errors import InputError
from pellucid.models.files import WRITING, write, writing
from pellucid.models.types import Array, Json
from pellucid.models.validation import revive

FORMAT = 1

S = TypeVar("S")
V = TypeVar("V")


@dataclass(frozen=True)
class Stored(Generic[V]):
    """All that is stored of a unit.

    Attributes:
        values: The result's values.
        files: SHA-256 of each file of arrays or models, by its path in the run's folder.
        environment: Where the result was computed.
        seconds: How long it took.
    """

    values: V
    files: dict[str, str]
    environment: Json
    seconds: float


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _body_digest(body: Json) -> str:
    return _digest(json.dumps(body, sort_keys=True).encode())


class Store:
    """The results in one run's folder.

    Args:
        root: The run's folder.
        notice: Told, in a line, of every result that is damaged.
    """

    def __init__(self, root: Path, notice: Callable[[str], None] = lambda _: None) -> None:
        self.root = root
        self.notice = notice

    def _path(self, unit: Unit, suffix: str) -> Path:
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", unit.label)
        folder = "models" if suffix.endswith(".keras") else f"units/{unit.kind.name}"
        return self.root / folder / f"{slug}-{unit.key}{suffix}"

    def put(self, unit: Unit, result: Result, *, environment: Json, seconds: float) -> None:
        """Stores a unit's result.

        Args:
            unit: The unit.
            result: Its result.
            environment: Where it was made; kept with it, not part of the result.
            seconds: How long it took; likewise.

        Raises:
            InputError: The folder cannot be written, or the disk is full.
        """
        contents: dict[Path, bytes] = {}
        if result.arrays:
            buffer = io.BytesIO()
            np.savez_compressed(buffer, allow_pickle=False, **result.arrays)
            contents[self._path(unit, ".npz")] = buffer.getvalue()
        for name, model in result.models.items():
            path = self.model_path(unit, name)
            with (
                writing(path),
                KERAS_LOCK,
                tempfile.TemporaryDirectory(dir=self.root, prefix=WRITING) as scratch,
            ):
                file = Path(scratch, "model.keras")
                model.save(file)
                contents[path] = file.read_bytes()
        for path, content in contents.items():
            write(path, content)
        body = {
            "format": FORMAT,
            "kind": unit.kind.name,
            "spec": unit.spec_json,
            "values": to_json(result.values),
            "files": {
                str(path.relative_to(self.root)): _digest(content)
                for path, content in contents.items()
            },
            "environment": environment,
            "seconds": round(seconds, 3),
        }
        write(
            self._path(unit, ".json"),
            json.dumps(body | {"sha256": _body_digest(body)}, sort_keys=True, indent=1),
        )

    def _body(self, unit: Unit) -> Json | None:
        path = self._path(unit, ".json")
        try:
            raw = path.read_bytes()
        except FileNotFoundError:
            return None
        try:
            body = json.loads(raw)
            if body.pop("sha256") != _body_digest(body):
                raise ValueError("checksum")
        except (ValueError, KeyError, TypeError, AttributeError):
            self.notice(
                f"damaged result: {path.relative_to(self.root)} is cut short or altered; it is done"
                " again"
            )
            return None
        return body if body["format"] == FORMAT else None

    def done(self, unit: Unit) -> bool:
        """Whether a unit's result is there and whole; every file it names is checked."""
        body = self._body(unit)
        if body is None:
            return False
        for name, digest in body["files"].items():
            path = self.root / name
            if not path.exists() or _digest(path.read_bytes()) != digest:
                self.notice(
                    f"damaged result: {name} is missing, cut short or altered; it is done again"
                )
                return False
        return True

    def stored(self, unit: Unit[S, V]) -> Stored[V]:
        """All that is stored of a unit.

        Raises:
            InputError: It is not there, or damaged.
        """
        body = self._body(unit)
        if body is None:
            raise InputError(
                f"There is no complete result of '{unit.kind.name} {unit.label}' in {self.root}."
                " Run the benchmark there."
            )
        values = revive(unit.kind.values, body["values"])
        return Stored(values, body["files"], body["environment"], body["seconds"])

    def values(self, unit: Unit[S, V]) -> V:
        """A unit's values. Raises `InputError` where they are missing or damaged."""
        return self.stored(unit).values

    def arrays(self, unit: Unit) -> dict[str, Array]:
        """A unit's arrays by name."""
        with np.load(self._path(unit, ".npz"), allow_pickle=False) as file:
            return {name: file[name] for name in file.files}

    def model_path(self, unit: Unit, name: str = "model") -> Path:
        """Where a unit's model is."""
        return self._path(unit, f"{'' if name == 'model' else '-' + name}.keras")

    def sweep(self) -> None:
        """Removes what a killed run was writing."""
        for left in self.root.rglob(f"{WRITING}*"):
            if left.is_dir():
                shutil.rmtree(left)
            else:
                left.unlink(missing_ok=True)
