"""The corpus: hostile files by name, each with the line that must refuse it, without Keras.

No binary is stored; all are built.
"""

import os
import pickle
import zipfile
from collections.abc import Callable
from typing import NamedTuple

from tests.hostile.building import (
    CENTRAL,
    END,
    LOCAL,
    both,
    members,
    pack,
    patched,
    replaced,
)


class Trap(NamedTuple):
    """Where a payload would leave a trace: a file it would make, a port it would connect to."""

    canary: str
    port: int


class Case(NamedTuple):
    name: str
    build: Callable[[Trap], bytes]
    message: str


CASES: list[Case] = []


def case(message: str, name: str | None = None) -> Callable:
    """Registers a builder under its function's name."""

    def register(build: Callable[[Trap], bytes]) -> Callable[[Trap], bytes]:
        CASES.append(Case(name or build.__name__, build, message))
        return build

    return register


def several(message: str, prefix: str, builders: dict[str, Callable[[Trap], bytes]]) -> None:
    for name, build in builders.items():
        CASES.append(Case(f"{prefix}_{name}", build, message))


def code(trap: Trap) -> str:
    return (
        f"(open({trap.canary!r}, 'w'), __import__('socket').create_connection(('127.0.0.1',"
        f" {trap.port}), 1), x)[-1]"
    )


# --- the archive ---


class _Bomb:
    def __init__(self, canary: str) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.canary}",)


several(
    r"The file is not a ZIP archive\.",
    "no_archive",
    {
        "empty": lambda _: b"",
        "text": lambda _: b"hello " * 50,
        "script": lambda t: b"#!/bin/sh\ntouch " + t.canary.encode(),
    },
)
several(r"The file is a pickle", "pickle", {"plain": lambda t: pickle.dumps(_Bomb(t.canary))})
several(
    r"The file is an HDF5 file; legacy",
    "legacy",
    {"h5": lambda _: members("plain")["model.weights.h5"]},
)
several(
    r"^Member .* is not one of metadata\.json, config\.json, model\.weights\.h5\.$",
    "member",
    {
        name: lambda _, path=path: pack(members("plain") | {path: b"content"})
        for name, path in {
            "extra": "readme.txt",
            "assets": "assets/layers/string_lookup/vocabulary.txt",
            "traversal": "../config.json",
            "absolute": "/etc/cron.d/job",
            "backslash": "..\\config.json",
            "folder": "config.json/",
            "long": "a" * 10_000,
            "bidi": "config\u202enosj.json",
            "npz": "model.weights.npz",
        }.items()
    },
)
CASES += [
    Case(
        f"missing_{name}",
        lambda _, name=name: pack({k: v for k, v in members("plain").items() if k != name}),
        rf"^{name}: the archive does not hold this member",
    )
    for name in ("metadata.json", "config.json", "model.weights.h5")
]


@case(r"^config\.json: the archive holds two members of this name")
def duplicate(_: Trap) -> bytes:
    return pack([*members("plain").items(), ("config.json", b"{}")])


@case(r"holds 100 members")
def many_members(_: Trap) -> bytes:
    return pack([(f"{i}.txt", b"") for i in range(100)])


@case(r"^config\.json: the member is a link, a folder or a device")
def symlink(_: Trap) -> bytes:
    return patched(pack(members("plain")), CENTRAL, 1, 38, "<L", 0o120777 << 16)


@case(r"^config\.json: the member is encrypted")
def encrypted(_: Trap) -> bytes:
    return both(pack(members("plain")), 1, 6, 8, "<H", 1)


@case(r"^config\.json: the member is written as a stream")
def streamed(_: Trap) -> bytes:
    return both(pack(members("plain")), 1, 6, 8, "<H", 8)


@case(r"compressed by method 12")
def bzip2(_: Trap) -> bytes:
    return pack(members("plain"), zipfile.ZIP_BZIP2)


several(
    r"does not end with its directory",
    "end",
    {
        "trailing": lambda _: pack(members("plain")) + b"more",
        "second_archive": lambda _: pack(members("plain")) + pack({"a": b""})[:-1],
        "cut": lambda _: pack(members("plain"))[:-100],
        "cut_early": lambda _: pack(members("plain"))[:300],
        "comment": lambda _: patched(pack(members("plain")), END, 0, 20, "<H", 4) + b"note",
    },
)
several(
    r"The file is not a ZIP archive|The archive's directory is not where its end record says",
    "before",
    {
        "script": lambda t: f"#!/bin/sh\ntouch {t.canary}\n".encode() + pack(members("plain")),
        "archive": lambda _: pack({"config.json": b"{}"}) + pack(members("plain")),
    },
)


@case(r"The archive holds data between its last member and its directory")
def gap(_: Trap) -> bytes:
    data = pack(members("plain"))
    start = data.index(CENTRAL)
    moved = data[:start] + b"hidden" + data[start:]
    return patched(moved, END, 0, 16, "<L", start + 6)


@case(r"members overlap or hide data")
def overlapping(_: Trap) -> bytes:
    return patched(pack(members("plain")), CENTRAL, 1, 42, "<L", 0)


@case(r"ZIP64")
def zip64(_: Trap) -> bytes:
    return patched(pack(members("plain")), END, 0, 16, "<L", 0xFFFFFFFF)


@case(r"one volume of several")
def spanned(_: Trap) -> bytes:
    return patched(pack(members("plain")), END, 0, 4, "<H", 1)


@case(r"names another member than the directory does")
def two_names(_: Trap) -> bytes:
    data = bytearray(pack(members("plain")))
    at = data.index(b"config.json")
    data[at : at + 11] = b"conf1g.json"
    return bytes(data)


@case(r"local header and the directory disagree")
def two_sizes(_: Trap) -> bytes:
    return patched(pack(members("plain")), LOCAL, 1, 22, "<L", 5)


@case(r"does not match its checksum")
def flipped_bit(_: Trap) -> bytes:
    data = bytearray(pack(members("plain")))
    data[
        data.index(b"glorot_uniform") if b"glorot_uniform" in data else data.index(b"GlorotUniform")
    ] ^= 1
    return bytes(data)


@case(r"^model\.weights\.h5: the member unpacks to more than 100 times")
def bomb(_: Trap) -> bytes:
    return pack(members("plain") | {"model.weights.h5": bytes(64 << 20)}, zipfile.ZIP_DEFLATED)


@case(r"^model\.weights\.h5: the member does not unpack to the 1000 bytes that its header states")
def lying_bomb(_: Trap) -> bytes:
    data = pack(members("plain") | {"model.weights.h5": bytes(64 << 20)}, zipfile.ZIP_DEFLATED)
    return both(data, 2, 22, 24, "<L", 1000)


@case(r"is 700000000 bytes; at most")
def declared_large(_: Trap) -> bytes:
    return both(pack(members("plain")), 2, 18, 20, "<LL", 700_000_000, 700_000_000)


@case(r"^config\.json: the member is \d+ bytes; at most")
def large_config(_: Trap) -> bytes:
    return replaced("config.json", b" " * (5 << 20))


# --- JSON ---


def _text(old: bytes, new: bytes) -> Callable[[Trap], bytes]:
    return lambda _: replaced("config.json", members("plain")["config.json"].replace(old, new, 1))


_KEY = b'{"module": "keras"'
for _name, _build, _message in (
    (
        "deep_lists",
        lambda _: replaced("config.json", b"[" * 100_000),
        r"is nested more than 64 levels deep",
    ),
    (
        "deep_objects",
        lambda _: replaced("config.json", b'{"a":' * 100_000 + b"1" + b"}" * 100_000),
        r"is nested more than 64 levels deep",
    ),
    (
        "escaped_quotes",
        lambda _: replaced("config.json", b'"\\"' * 500_000),
        r"the text is not valid JSON",
    ),
    ("nan", _text(b'"scale": 2.0', b'"scale": NaN'), r"NaN is not valid JSON"),
    ("infinity", _text(b'"scale": 2.0', b'"scale": -Infinity'), r"-Infinity is not valid JSON"),
    ("overflow", _text(b'"scale": 2.0', b'"scale": 1e999'), r"the number 1e999 is too large"),
    (
        "huge_integer",
        _text(b'"scale": 2.0', b'"scale": ' + b"9" * 100_000),
        r"the number 9+\.\.\. is too large or too long",
    ),
    (
        "duplicate_key",
        _text(_KEY, b'{"module": "os", "module": "keras"'),
        r"the key 'module' occurs twice in one object",
    ),
    ("latin", lambda _: replaced("config.json", b'{"a": "\xff"}'), r"not UTF-8"),
    ("utf16", lambda _: replaced("config.json", '{"a": 1}'.encode("utf-16")), r"not UTF-8"),
    ("list", lambda _: replaced("config.json", b"[]"), r"the JSON is not an object"),
    ("nothing", lambda _: replaced("config.json", b""), r"the text is not valid JSON"),
    ("python", lambda t: replaced("config.json", code(t).encode()), r"the text is not valid JSON"),
):
    CASES.append(Case(f"json_{_name}", _build, rf"^config\.json: .*{_message}"))
CASES += [
    Case(
        "keras_2",
        lambda _: replaced("metadata.json", b'{"keras_version": "2.15.0"}'),
        r"only models saved by Keras 3",
    ),
    Case("no_version", lambda _: replaced("metadata.json", b"{}"), r"keras_version is null"),
    Case(
        "metadata_key",
        lambda _: replaced("metadata.json", b'{"keras_version": "3.15.1", "on_load": "os.system"}'),
        r"metadata\.json: the key 'on_load'",
    ),
]
