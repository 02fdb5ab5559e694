"""JSON from a hostile file, read strictly: UTF-8, bounded depth, no NaN, no duplicate keys, no number of absurd length.

Python's reader takes NaN and Infinity, keeps the last of two equal keys, and recurses as deep as a
text asks.
"""

import json
import math
import re
from typing import Any

from robust_interpretability.models.untrusted.refusal import Refused, shown

MAX_JSON_DEPTH = 64
"""Brackets within brackets. Four nested models, each layer with its initialisers, need about 40."""
MAX_NUMBER_CHARACTERS = 32

_TOKEN = re.compile(
    r'"(?:[^"\\]|\\.)*+"?|[\[{]|[\]}]', re.DOTALL
)  # an unclosed string is one token too


def _check_depth(member: str, text: str) -> None:
    depth = 0
    for token in _TOKEN.finditer(text):
        mark = text[token.start()]
        depth += (mark in "[{") - (mark in "]}")
        if depth > MAX_JSON_DEPTH:
            raise Refused(f"{member}: the JSON nests deeper than {MAX_JSON_DEPTH} levels.")


def read(member: str, content: bytes) -> dict[str, Any]:
    """Reads a member that must hold one JSON object.

    Args:
        member: Its name, for messages.
        content: Its bytes.

    Returns:
        The object.

    Raises:
        Refused: The member is not such JSON.
    """

    def pairs(items: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(items)
        if len(found) != len(items):
            seen = dict.fromkeys(found, 0)
            for key, _ in items:
                seen[key] += 1
            twice = next(key for key, times in seen.items() if times > 1)
            raise Refused(f"{member}: the key {shown(twice)} stands twice in one object.")
        return found

    def constant(name: str) -> None:
        raise Refused(f"{member}: {name} is not a number that JSON has.")

    def number(text: str, kind: type) -> int | float:
        if len(text) > MAX_NUMBER_CHARACTERS or not math.isfinite(value := kind(text)):
            raise Refused(f"{member}: the number {shown(text)[1:-1]} is too large or too long.")
        return value

    try:
        text = content.decode("utf-8")
        _check_depth(member, text)
        found = json.loads(
            text,
            object_pairs_hook=pairs,
            parse_constant=constant,
            parse_int=lambda t: number(t, int),
            parse_float=lambda t: number(t, float),
        )
    except UnicodeDecodeError:
        raise Refused(f"{member}: the text is not UTF-8.") from None
    except RecursionError:
        raise Refused(f"{member}: the JSON nests too deep.") from None
    except Refused:
        raise
    except ValueError as error:
        raise Refused(f"{member}: the text is not JSON ({error}).") from None
    if not isinstance(found, dict):
        raise Refused(f"{member}: the JSON is not an object.")
    return found


def check_metadata(content: bytes) -> None:
    """Checks `metadata.json`: written by Keras 3, and nothing else in it.

    Raises:
        Refused: It is not so.
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
