"""Units of a run that failed: the traceback of each in a file, and a line that names it."""

import json
import re
import shutil
import traceback
from collections.abc import Callable
from pathlib import Path

from pellucid.benchmark.units.unit import Unit
from pellucid.models.errors import UnitsFailedError, printable
from pellucid.models.files import write
from pellucid.models.types import Json

FOLDER = "failed"
"""In a run's folder: the tracebacks of the last run's failures."""
LONGEST = 200
"""Characters of an error's message that a line shows."""


class Failures:
    """The units that failed while a plan was computed.

    Args:
        root: The run's folder. What an earlier run left of its failures is removed.
        here: What the run is computed with, for the files.
        say: Told, in a line, of each failure as it comes.
    """

    def __init__(self, root: Path, here: Json, say: Callable[[str], None]) -> None:
        self.folder, self.here, self.say = root / FOLDER, here, say
        self.lines: list[str] = []
        shutil.rmtree(self.folder, ignore_errors=True)

    def add(self, unit: Unit, error: BaseException) -> None:
        """Writes a failed unit's traceback to a file, and says so.

        Raises:
            InputError: The folder cannot be written.
        """
        slug = re.sub(r"[^A-Za-z0-9.]+", "-", unit.label)
        path = self.folder / f"{unit.kind.name}-{slug}-{unit.key}.txt"
        about = {"kind": unit.kind.name, "unit": unit.label, "spec": unit.spec_json}
        stated = json.dumps(about | {"environment": self.here}, indent=1, sort_keys=True)
        write(path, f"{''.join(traceback.format_exception(error))}\n{stated}\n")
        first = next(iter(str(error).strip().splitlines()), "")
        why = f"{type(error).__name__}: {printable(first, LONGEST)}" if first else repr(error)
        self.lines.append(f"failed: {unit.kind.name} {unit.label} ({why}), see {path}")
        self.say(self.lines[-1])

    def check(self, units: int, not_computed: int) -> None:
        """Ends a run in which a unit failed.

        Args:
            units: All units of the plan.
            not_computed: Those that need a failed one, itself not counted.

        Raises:
            UnitsFailedError: A unit failed.
        """
        if not self.lines:
            return
        needing = ""
        if not_computed:
            needing = f", and {not_computed:,} that need one of them were left out"
        raise UnitsFailedError(
            [
                *self.lines,
                f"{len(self.lines):,} of {units:,} units failed{needing}. The others are stored;"
                " tables and figures were not written. The same command tries again.",
            ]
        )
