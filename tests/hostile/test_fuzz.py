"""Random damage to honest files: it is refused or harmless, and never an exception of another kind.

HYPOTHESIS_EXAMPLES=20000 fuzzes for longer.
"""

import copy
import json
import os

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pellucid.models.untrusted import Refused
from pellucid.models.untrusted.format import archive, strict_json
from pellucid.models.untrusted.model import configuration, graph
from pellucid.models.untrusted.sandbox import child
from pellucid.models.untrusted.sandbox.confinement import Limits, confined
from tests.hostile.building import CLASSES, SHAPE, check_line, members, pack

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "150"))
HONEST_NAMES = ("plain", "functional", "trained", "nested", "attention", "assorted")
fuzz = settings(
    max_examples=EXAMPLES,
    deadline=None,
    print_blob=True,
    suppress_health_check=list(HealthCheck),
    database=None,
)

VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-5, 5),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        [
            "Lambda",
            "Dense",
            "Sequential",
            "Functional",
            "InputLayer",
            "__keras_tensor__",
            "same",
            "float16",
        ]
    ),
    st.just([]),
    st.just({}),
    st.lists(st.integers(-3, 100), max_size=4),
    st.builds(lambda n: [[n, n], [n, n]], st.integers(-1, 3)),
)


def check(function):
    """Calls it; only `Refused`, with a proper line, may come out. Returns whether it passed."""
    try:
        function()
    except Refused as refused:
        check_line(str(refused), "")
        return False
    return True


def examine(data: bytes) -> bool:
    return check(lambda: child.examine(data, SHAPE, CLASSES))


@st.composite
def damaged(draw, data: bytes) -> bytes:
    """Bytes flipped, cut out, repeated, moved or overwritten."""
    changed = bytearray(data)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(0, len(changed) - 1)))
        size = draw(st.integers(1, 64))
        kind = draw(st.sampled_from(["flip", "write", "cut", "end", "repeat", "move", "word"]))
        if kind == "flip" and changed:
            changed[at] ^= 1 << draw(st.integers(0, 7))
        elif kind == "write":
            changed[at : at + size] = draw(st.binary(min_size=size, max_size=size))
        elif kind == "cut":
            del changed[at : at + size]
        elif kind == "end":
            del changed[at:]
        elif kind == "repeat":
            changed[at:at] = changed[at : at + size] * draw(st.integers(1, 3))
        elif kind == "move":
            changed[at : at + size] = changed[
                (to := draw(st.integers(0, len(changed)))) : to + size
            ]
        elif len(changed) > 8:
            number = draw(
                st.sampled_from([0, 1, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 40, (1 << 64) - 1])
            )
            changed[at : at + 8] = number.to_bytes(8, "little")
    return bytes(changed)


@fuzz
@given(st.data(), st.sampled_from(HONEST_NAMES))
def test_damaged_archives(data, name):
    examine(data.draw(damaged(pack(members(name)))))


def places(value, path=()):
    """The paths of everything inside a JSON value."""
    items = (
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    for key, inner in items:
        yield (*path, key)
        yield from places(inner, (*path, key))


@st.composite
def changed_config(draw, name: str) -> bytes:
    """A configuration with values replaced, removed, renamed, or taken from elsewhere in it."""
    config = json.loads(members(name)["config.json"])
    for _ in range(draw(st.integers(1, 3))):
        spots = list(places(config))
        *path, key = draw(st.sampled_from(spots))
        target = config
        for step in path:
            target = target[step]
        kind = draw(st.sampled_from(["value", "remove", "other", "key", "wrap", "repeat"]))
        if kind == "remove":
            del target[key]
        elif kind == "other":
            other = config
            for step in draw(st.sampled_from(spots)):
                other = other[step] if isinstance(other, (dict, list)) else other
            target[key] = copy.deepcopy(other)
        elif kind == "key" and isinstance(target, dict):
            target[draw(st.text(max_size=8))] = target.pop(key)
        elif kind == "wrap":
            target[key] = [target[key]]
        elif kind == "repeat" and isinstance(target, list):
            target.insert(key, copy.deepcopy(target[key]))
        else:
            target[key] = draw(VALUES)
    return json.dumps(config).encode()


@fuzz
@given(st.data(), st.sampled_from(HONEST_NAMES))
def test_changed_configurations(data, name):
    examine(pack(dict(members(name)) | {"config.json": data.draw(changed_config(name))}))


@fuzz
@given(st.data(), st.sampled_from(HONEST_NAMES))
def test_damaged_json(data, name):
    content = data.draw(damaged(members(name)["config.json"]))
    check(lambda: graph.flatten(configuration.read(content), SHAPE, CLASSES))
    check(lambda: strict_json.check_metadata(data.draw(damaged(members(name)["metadata.json"]))))


def test_damaged_weights_files(tmp_path):
    """In the confinement: where HDF5 itself dies of a file, it is refused; the next is read."""
    seed = int.from_bytes(os.urandom(4), "little") if EXAMPLES > 150 else 0
    limits = Limits(cpu_seconds=60, wall_seconds=60)
    died = 0
    for name in ("trained", "nested"):
        first = 0
        while first < EXAMPLES:
            folder = tmp_path / f"{name}-{first}"
            folder.mkdir()
            (folder / f"{name}.json").write_bytes(members(name)["config.json"])
            (folder / f"{name}.h5").write_bytes(members(name)["model.weights.h5"])
            order = [name, list(SHAPE), CLASSES, seed, first, EXAMPLES]
            done = confined(
                "tests.hostile.damage", order, folder=folder, outputs=["progress"], limits=limits
            )
            progress = (folder / "progress").read_text()
            assert "x" not in progress, f"seed {seed}: {done.log}"
            assert progress, done.log
            if done.returncode == 0:
                assert len(progress) == 2 * (EXAMPLES - first)
                break
            assert progress.endswith("?"), done.log
            died += 1
            first += len(progress) // 2 + 1
    assert died < EXAMPLES / 2
    print(f"HDF5 died {died} times of {2 * EXAMPLES}")


def test_the_archive_reader_takes_only_complete_honest_archives():
    for name in HONEST_NAMES:
        data = pack(members(name))
        assert archive.members(data) == members(name)
        for cut in range(1, 40):
            assert not examine(data[:-cut])
            assert not examine(data[cut:])
