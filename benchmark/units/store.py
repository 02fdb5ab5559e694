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
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np

from robust_interpretability.benchmark.units.plan import Unit
from robust_interpretability.models import KERAS_LOCK
from robust_interpretability.models.errors import InputError
from robust_interpretability.models.files import WRITING, write, writing

FORMAT = 1


class Result(NamedTuple):
    """What a unit gives.

    Attributes:
        values: JSON values; what goes into the tables.
        arrays: Arrays by name.
        models: Keras models by name, saved as `.keras`.
    """

    values: dict[str, Any]
    arrays: Mapping[str, np.ndarray] = MappingProxyType({})
    models: Mapping[str, Any] = MappingProxyType({})


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _body_digest(body: dict[str, Any]) -> str:
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
        folder = "models" if suffix.endswith(".keras") else f"units/{unit.kind}"
        return self.root / folder / f"{slug}-{unit.key}{suffix}"

    def put(
        self, unit: Unit, result: Result, *, environment: dict[str, Any], seconds: float
    ) -> None:
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
            "kind": unit.kind,
            "spec": unit.spec,
            "values": result.values,
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

    def _body(self, unit: Unit) -> dict[str, Any] | None:
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

    def body(self, unit: Unit) -> dict[str, Any]:
        """All that is stored of a unit: values, file checksums, environment and seconds.

        Raises:
            InputError: It is not there, or damaged.
        """
        body = self._body(unit)
        if body is None:
            raise InputError(
                f"No whole result of '{unit.kind} {unit.label}' in {self.root}. Run the benchmark"
                " there."
            )
        return body

    def values(self, unit: Unit) -> dict[str, Any]:
        """A unit's values. Raises `InputError` where they are missing or damaged."""
        return self.body(unit)["values"]

    def arrays(self, unit: Unit) -> dict[str, np.ndarray]:
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
