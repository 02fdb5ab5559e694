"""JSON from a hostile file, read strictly: UTF-8, bounded depth and numbers, distinct keys, no NaN.

Python's reader takes NaN and Infinity, drops the first of two equal keys, and recurses as deep as
the text is nested.
"""

import json
import math
import re
from collections import Counter

from pellucid.models.types import Json
from pellucid.models.untrusted.refusal import Refused, shown

MAX_JSON_DEPTH = 64
"""Brackets within brackets; four nested models, with their layers' initialisers, need about 40."""
MAX_NUMBER_CHARACTERS = 32
"""The longest number; a float64 written in full needs 24."""

# an unclosed string is one token too
_TOKEN = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL)


def _check_depth(member: str, text: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = text[token.start()]
        depth += (mark in "[{") - (mark in "]}")
        if depth > MAX_JSON_DEPTH:
            raise Refused(f"{member}: the JSON is nested more than {MAX_JSON_DEPTH} levels deep.")


def read(member: str, content: bytes) -> Json:
    """Reads a member that must hold one JSON object.

    Args:
        member: Its name, for messages.
        content: Its bytes.

    Returns:
        The object.

    Raises:
        Refused: The member is not such JSON.
    """

    def pairs(items: list[tuple[str, object]]) -> Json:
        merged = dict(items)
        if len(merged) != len(items):
            counts = Counter(key for key, _ in items)
            raise Refused(
                f"{member}: the key {shown(counts.most_common(1)[0][0])} occurs twice in one"
                " object."
            )
        return merged

    def constant(name: str) -> None:
        raise Refused(f"{member}: {name} is not valid JSON; numbers must be finite.")

    def number(text: str, kind: type) -> int | float:
        if len(text) > MAX_NUMBER_CHARACTERS or not math.isfinite(value := kind(text)):
            raise Refused(f"{member}: the number {shown(text)[1:-1]} is too large or too long.")
        return value

    try:
        text = content.decode("utf-8")
        _check_depth(member, text)
        value = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=constant,
            parse_int=lambda t: number(t, int),
            parse_float=lambda t: number(t, float),
        )
    except UnicodeDecodeError:
        raise Refused(f"{member}: the text is not UTF-8.") from None
    except RecursionError:
        raise Refused(f"{member}: the JSON is nested too deeply.") from None
    except Refused:
        raise
    except ValueError as error:
        raise Refused(f"{member}: the text is not valid JSON ({error}).") from None
    if not isinstance(value, dict):
        raise Refused(f"{member}: the JSON is not an object.")
    return value


def check_metadata(content: bytes) -> None:
    """Checks `metadata.json`: the version of Keras 3 that wrote it, and no key besides.

    Args:
        content: Its bytes.

    Raises:
        Refused: Another version wrote it, or it holds another key.
    """
    metadata = read("metadata.json", content)
    version = metadata.get("keras_version")
    if not isinstance(version, str) or not re.fullmatch(r"3\.\d{1,4}(\.[0-9a-z.]{1,16})?", version):
        raise Refused(
            f"metadata.json: keras_version is {shown(version)}; only models saved by Keras 3 are"
            " accepted."
        )
    extra = sorted(set(metadata) - {"keras_version", "date_saved"})
    if extra:
        raise Refused(f"metadata.json: the key {shown(extra[0])} is not one that Keras writes.")
