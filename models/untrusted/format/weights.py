"""`model.weights.h5`, walked object by object; HDF5 never follows a link, fills an array or runs a filter for it.

Keras writes contiguous little-endian arrays without filters, under groups and hard links, and
nothing else. So that is all that is accepted: the library is asked for links, types and places
alone, each before anything is opened further, and the numbers are then cut out of the member's
bytes at the place the array says. A dataset that declares more than the file holds therefore cannot
be read, whatever it declares.
"""

import itertools
import math
import struct
from collections.abc import Iterator

import h5py
import numpy as np
from h5py import h5d, h5f, h5g, h5o, h5s, h5t

from robust_interpretability.models.untrusted.layers.graph import Graph
from robust_interpretability.models.untrusted.layers.shapes import Shape
from robust_interpretability.models.untrusted.refusal import Refused, shown

MEMBER = "model.weights.h5"
MAX_OBJECTS = 20_000
"""Groups and datasets. A model of 1000 layers, trained with Adam, has about 12,000."""
MAX_GROUP_DEPTH = 16
MAX_ATTRIBUTES = 8
"""On one object; Keras writes one, the layer's name."""
MAX_RANK = 8

_NUMBER = itertools.count()
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_UNDEFINED = b"\xff" * 8
_IGNORED = ("optimizer/",)
_IGNORED_ENDS = ("seed_generator/vars/0", "seed_generator/seed_generator_state")


class _Array:
    """A dataset that passed: its shape, type and the place of its bytes."""

    __slots__ = ("dtype", "offset", "shape")

    def __init__(self, shape: Shape, dtype: str, offset: int) -> None:
        self.shape, self.dtype, self.offset = shape, dtype, offset


def _refuse(what: str) -> Refused:
    return Refused(f"{MEMBER}: {what}")


def _check_superblock(data: bytes) -> None:
    """The file must begin with its superblock, and end where the superblock says."""
    if len(data) < 96 or data[:8] != _SIGNATURE:
        raise _refuse("the member is not an HDF5 file, or has a block of other data before it.")
    version = data[8]
    if version == 0:
        sizes, at, driver = data[13:15], 24, data[48:56]
    elif version in (2, 3):
        sizes, at, driver = data[9:11], 12, _UNDEFINED
    else:
        raise _refuse(f"the HDF5 superblock has version {version}; only 0, 2 and 3 are accepted.")
    base, _, end = struct.unpack_from("<3Q", data, at)
    if sizes != b"\x08\x08" or base != 0 or driver != _UNDEFINED:
        raise _refuse(
            "the HDF5 superblock has odd sizes, a base address or a driver block, which Keras does"
            " not write."
        )
    if end != len(data):
        raise _refuse(
            f"the HDF5 file says that it ends at byte {end}, but the member has {len(data)} bytes."
        )


def _name(raw: bytes, path: str) -> str:
    name = raw.decode("latin-1")
    if not 0 < len(name) <= 256 or "/" in name or name in (".", ".."):
        raise _refuse(
            f"group {shown(path)} holds a link with a name that is not accepted: {shown(name)}."
        )
    return name


def _array(dataset: h5d.DatasetID, path: str, end: int) -> _Array:
    """Checks a dataset's type, shape, layout and place, without reading it."""
    kind = dataset.get_type()
    names = {
        h5t.COMPOUND: "compound",
        h5t.VLEN: "variable-length",
        h5t.REFERENCE: "reference",
        h5t.STRING: "text",
        h5t.OPAQUE: "opaque",
        h5t.ENUM: "enumeration",
        h5t.ARRAY: "array",
    }
    if kind.get_class() in names:
        raise _refuse(
            f"dataset {shown(path)} is of {names[kind.get_class()]} type; only plain numbers are"
            " accepted."
        )
    known = {
        "<f4": h5t.IEEE_F32LE,
        "<i8": h5t.STD_I64LE,
        "<i4": h5t.STD_I32LE,
        "<u4": h5t.STD_U32LE,
        "<f8": h5t.IEEE_F64LE,
        "<f2": h5t.IEEE_F16LE,
    }
    dtype = next((name for name, standard in known.items() if kind.equal(standard)), None)
    if dtype is None:
        raise _refuse(
            f"dataset {shown(path)} holds numbers of a type that is not accepted; weights must be"
            " float32."
        )
    plist = dataset.get_create_plist()
    if plist.get_external_count():
        raise _refuse(f"dataset {shown(path)} keeps its values in an external file.")
    layout = plist.get_layout()
    if layout == h5d.VIRTUAL:
        raise _refuse(f"dataset {shown(path)} is a virtual dataset, made of other datasets.")
    if layout != h5d.CONTIGUOUS or plist.get_nfilters():
        what = "compressed or filtered" if plist.get_nfilters() else "chunked or compact"
        raise _refuse(
            f"dataset {shown(path)} is {what}; only contiguous arrays are accepted, as Keras writes"
            " them."
        )
    space = dataset.get_space()
    if space.get_simple_extent_type() == h5s.NULL or space.get_simple_extent_ndims() > MAX_RANK:
        raise _refuse(f"dataset {shown(path)} has no shape, or more than {MAX_RANK} axes.")
    shape = tuple(int(n) for n in space.get_simple_extent_dims())
    size = math.prod(shape) * int(dtype[2])
    offset = dataset.get_offset()
    if (
        size == 0
        or dataset.get_storage_size() != size
        or offset is None
        or offset < 0
        or offset + size > end
    ):
        raise _refuse(
            f"dataset {shown(path)} declares shape {shape}, but the file does not hold its {size}"
            " bytes."
        )
    return _Array(shape, dtype, offset)


def _links(group: h5g.GroupID, path: str, budget: list[int]) -> Iterator[tuple[bytes, str]]:
    """The names in a group whose links are hard."""
    number = group.get_num_objs()
    budget[0] -= number
    if budget[0] < 0:
        raise _refuse(f"the file holds more than {MAX_OBJECTS} groups and datasets.")
    names: list[bytes] = []
    group.links.iterate(names.append)
    for raw in names:
        kind = group.links.get_info(raw).type
        name = _name(raw, path)
        if kind != h5py.h5l.TYPE_HARD:
            words = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "an external link"}
            raise _refuse(
                f"{shown(path + name)} is {words.get(kind, 'a link of an unknown kind')}."
            )
        yield raw, name


def _walk(file: h5f.FileID, end: int) -> dict[str, _Array]:
    """Every dataset of the file by path.

    Each object may be reached once, so no link can lead back.
    """
    found: dict[str, _Array] = {}
    seen: set[int] = set()
    budget = [MAX_OBJECTS]
    root = h5g.open(file, b"/")
    stack: list[tuple[h5g.GroupID, str, int]] = [(root, "", 0)]
    seen.add(h5o.get_info(root).addr)
    while stack:
        group, path, depth = stack.pop()
        if depth > MAX_GROUP_DEPTH:
            raise _refuse(f"groups nest deeper than {MAX_GROUP_DEPTH} levels at {shown(path)}.")
        if h5py.h5a.get_num_attrs(group) > MAX_ATTRIBUTES:
            raise _refuse(f"group {shown(path)} has more than {MAX_ATTRIBUTES} attributes.")
        for raw, name in _links(group, path, budget):
            info = h5o.get_info(group, raw)
            if info.addr in seen or info.rc != 1:
                raise _refuse(
                    f"{shown(path + name)} is linked twice, so the file may run in a circle."
                )
            seen.add(info.addr)
            if info.type == h5o.TYPE_GROUP:
                stack.append((h5g.open(group, raw), f"{path}{name}/", depth + 1))
            elif info.type == h5o.TYPE_DATASET:
                dataset = h5d.open(group, raw)
                if h5py.h5a.get_num_attrs(dataset) > MAX_ATTRIBUTES:
                    raise _refuse(
                        f"dataset {shown(path + name)} has more than {MAX_ATTRIBUTES} attributes."
                    )
                found[path + name] = _array(dataset, path + name, end)
            else:
                raise _refuse(f"{shown(path + name)} is neither a group nor a dataset.")
    return found


def _open(data: bytes) -> h5f.FileID:
    """Opens the file in memory: no file is written, and none beside it is looked for."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_file_image(data)
    name = (
        f"weights-{next(_NUMBER)}".encode()
    )  # HDF5 takes an open file of the same name for the same file
    return h5f.open(name, h5f.ACC_RDONLY, fapl=access)


def _match(found: dict[str, _Array], graph: Graph) -> dict[str, tuple[_Array, str]]:
    """The datasets of the graph's weights, after comparing them with what the graph needs."""
    needed = {
        f"{part.group}/{v.path}": (v, part.label) for part in graph.parts for v in part.variables
    }
    for path, (variable, label) in needed.items():
        array = found.get(path)
        if array is None:
            raise _refuse(f"{label} has no weight {shown(path)} in the file.")
        if array.shape != variable.shape:
            raise _refuse(f"{shown(path)} has shape {array.shape}; {label} needs {variable.shape}.")
        if variable.counter:
            if array.dtype not in ("<i8", "<i4"):
                raise _refuse(f"{shown(path)} is not an integer, which {label} needs.")
        elif array.dtype != "<f4":
            raise _refuse(f"{shown(path)} is not float32; weights must be float32.")
    for path in found:
        if (
            path not in needed
            and not path.startswith(_IGNORED)
            and not path.endswith(_IGNORED_ENDS)
        ):
            raise _refuse(f"{shown(path)} is a weight that no layer of the configuration has.")
    return {
        path: (found[path], label)
        for path, (variable, label) in needed.items()
        if not variable.counter
    }


def read(data: bytes, graph: Graph) -> list[np.ndarray]:
    """Reads the weights of a graph.

    Args:
        data: The bytes of `model.weights.h5`.
        graph: The graph that the configuration gave.

    Returns:
        One float32 array for each of `graph.arrays()`, finite, of its shape.

    Raises:
        Refused: The file holds something else than these weights and the optimizer's, or is
            damaged.
    """
    _check_superblock(data)
    try:
        file = _open(data)
        try:
            found = _walk(file, len(data))
        finally:
            file.close()
    except Refused:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, SystemError):
        raise _refuse("the HDF5 file is damaged.") from None
    arrays = []
    for path, (array, label) in _match(found, graph).items():
        values = np.frombuffer(data, "<f4", math.prod(array.shape), array.offset).reshape(
            array.shape
        )
        if not np.isfinite(values).all():
            what = "NaN" if np.isnan(values).any() else "infinite values"
            raise _refuse(f"{shown(path)} of {label} holds {what}.")
        arrays.append(values)
    return arrays
