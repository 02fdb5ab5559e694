"""What is known of a device so far: a JSON file, complete after every step."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from pellucid.models.errors import InputError
from pellucid.models.files import read_most, write
from pellucid.models.types import Json

FORMAT = 1
DONE, WRONG, FAILED, LEFT_OUT = "done", "wrong", "failed", "not run: out of time"
"""What became of a step. `WRONG`: its figures are there, and one is outside its tolerance."""
MOST_BYTES = 2**24


class Outcome(NamedTuple):
    """What a step found.

    Attributes:
        rows: Figures; a name says the unit, as `"images/s"`. All values are JSON's.
        notes: Sentences for the report.
        fine: Whether all that was checked is as it should be.
    """

    rows: list[Json]
    notes: tuple[str, ...] = ()
    fine: bool = True


@dataclass
class Record:
    """The steps made so far.

    Attributes:
        path: The JSON file.
        about: Versions, device, commit and scale: with another one nothing is reused.
        steps: By a step's name: `status`, `seconds`, `rows`, `notes`, and `error` of one that
            failed.
    """

    path: Path
    about: Json
    steps: dict[str, Json] = field(default_factory=dict)

    @classmethod
    def opened(cls, path: Path, about: Json, say: Callable[[str], None]) -> "Record":
        """What a file holds, if it is about the same; otherwise an empty record, and says why."""
        about = json.loads(json.dumps(about))
        if not path.exists():
            return cls(path, about)
        try:
            found = json.loads(read_most(path, MOST_BYTES))
            if found["format"] != FORMAT:
                raise ValueError("another format")
            steps, earlier = dict(found["steps"]), dict(found["about"])
            if not all(isinstance(step["status"], str) for step in steps.values()):
                raise ValueError("a step without its status")
        except (OSError, ValueError, KeyError, TypeError) as error:
            say(f"{path} cannot be read ({type(error).__name__}: {error}); starting afresh")
            return cls(path, about)
        if changed := sorted(
            key for key in about.keys() | earlier.keys() if about.get(key) != earlier.get(key)
        ):
            say(f"{path} was made with other {', '.join(changed)}; starting afresh")
            return cls(path, about)
        return cls(path, about, steps)

    def done(self, name: str) -> bool:
        """Whether a step is finished, and its result was right."""
        return name in self.steps and self.steps[name]["status"] == DONE

    def rows(self, name: str) -> list[Json]:
        """The figures of a finished step.

        Raises:
            InputError: It is not finished.
        """
        if not self.done(name):
            raise InputError(f"the step '{name}' has no figures")
        return self.steps[name]["rows"]

    def put(self, name: str, status: str, seconds: float, **more: object) -> None:
        """Notes what became of a step, and writes the file."""
        self.steps[name] = {"status": status, "seconds": round(seconds, 3), **more}
        content = {"format": FORMAT, "about": self.about, "steps": self.steps}
        write(self.path, json.dumps(content, indent=1) + "\n")
