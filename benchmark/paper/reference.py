"""The paper's numbers, from `reference.json`."""

import json
from pathlib import Path

from robust_interpretability.models.types import Json

REFERENCE: Json = json.loads((Path(__file__).parent / "reference.json").read_text(encoding="utf-8"))

READING = 0.01
"""The precision with which a number can be read off one of the paper's figures."""
