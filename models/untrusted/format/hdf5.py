"""`model.weights.h5`, walked object by object; HDF5 never follows a link or fills an array for it.

Keras writes contiguous little-endian arrays without filters, under groups and hard links, and
nothing else, so nothing else is accepted. The library is asked for links, types and places alone,
each before anything is opened further, and the numbers are then cut out of the member's bytes at
the place the array says. A dataset that declares more than the file holds therefore cannot be read,
whatever it declares.
"""

import itertools
import math
import struct
from collections.abc import Iterator
from typing import NamedTuple

import h5py
import numpy as np
from h5py import h5d, h5f, h5g, h5o, h5s, h5t

from pellucid.models.types import Array
from pellucid.models.untrusted.refusal import Refused, shown

MEMBER = "model.weights.h5"
MAX_OBJECTS = 20_000
"""Groups and datasets; a model of 1000 layers, trained with Adam, has about 12,000."""
MAX_GROUP_DEPTH = 16
"""Groups within groups."""
MAX_ATTRIBUTES = 8
"""On one object; Keras writes one, the layer's name."""
MAX_RANK = 8
"""Axes of an array."""

_NUMBER = itertools.count()
_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_UNDEFINED = b"\xff" * 8
_REFUSED_TYPES = {
    h5t.COMPOUND: "compound",
    h5t.VLEN: "variable-length",
    h5t.REFERENCE: "reference",
    h5t.STRING: "text",
    h5t.OPAQUE: "opaque",
    h5t.ENUM: "enumeration",
    h5t.ARRAY: "array",
}
_NUMBERS = {
    "<f4": h5t.IEEE_F32LE,
    "<i8": h5t.STD_I64LE,
    "<i4": h5t.STD_I32LE,
    "<u4": h5t.STD_U32LE,
    "<f8": h5t.IEEE_F64LE,
    "<f2": h5t.IEEE_F16LE,
}


class Dataset(NamedTuple):
    """An HDF5 dataset that was checked but not read.

    Attributes:
        shape: Its shape.
        dtype: Its type, as NumPy writes it.
        offset: The place of its first byte in the file.
    """

    shape: tuple[int, ...]
    dtype: str
    offset: int


def refuse(what: str) -> Refused:
    """The refusal of something in the weights file."""
    return Refused(f"{MEMBER}: {what}")


def _check_superblock(data: bytes) -> None:
    """Refuses a file that does not begin with its superblock or end where that says."""
    if len(data) < 96 or data[:8] != _SIGNATURE:
        raise refuse("the member is not an HDF5 file, or has a block of other data before it.")
    version = data[8]
    if version == 0:
        sizes, at, driver = data[13:15], 24, data[48:56]
    elif version in (2, 3):
        sizes, at, driver = data[9:11], 12, _UNDEFINED
    else:
        raise refuse(f"the HDF5 superblock has version {version}; only 0, 2 and 3 are accepted.")
    base, _, end = struct.unpack_from("<3Q", data, at)
    if sizes != b"\x08\x08" or base != 0 or driver != _UNDEFINED:
        raise refuse(
            "the HDF5 superblock has unusual sizes, a base address or a driver block, which Keras"
            " does not write."
        )
    if end != len(data):
        raise refuse(
            f"the HDF5 file says that it ends at byte {end}, but the member has {len(data)} bytes."
        )


def _name(raw: bytes, path: str) -> str:
    name = raw.decode("latin-1")
    if not 0 < len(name) <= 256 or "/" in name or name in (".", ".."):
        raise refuse(
            f"group {shown(path)} holds a link with a name that is not accepted: {shown(name)}."
        )
    return name


def _check_dataset(dataset: h5d.DatasetID, path: str, end: int) -> Dataset:
    """Checks a dataset's type, shape, layout and place; its values stay unread."""
    kind = dataset.get_type()
    if kind.get_class() in _REFUSED_TYPES:
        raise refuse(
            f"dataset {shown(path)} is of {_REFUSED_TYPES[kind.get_class()]} type; only plain"
            " numbers are accepted."
        )
    dtype = next((name for name, standard in _NUMBERS.items() if kind.equal(standard)), None)
    if dtype is None:
        raise refuse(
            f"dataset {shown(path)} holds numbers of a type that is not accepted; weights must be"
            " float32."
        )
    plist = dataset.get_create_plist()
    if plist.get_external_count():
        raise refuse(f"dataset {shown(path)} stores its values in an external file.")
    layout = plist.get_layout()
    if layout == h5d.VIRTUAL:
        raise refuse(f"dataset {shown(path)} is a virtual dataset, which refers to other datasets.")
    if layout != h5d.CONTIGUOUS or plist.get_nfilters():
        what = "compressed or filtered" if plist.get_nfilters() else "chunked or compact"
        raise refuse(
            f"dataset {shown(path)} is {what}; only contiguous arrays are accepted, as Keras writes"
            " them."
        )
    space = dataset.get_space()
    if space.get_simple_extent_type() == h5s.NULL or space.get_simple_extent_ndims() > MAX_RANK:
        raise refuse(f"dataset {shown(path)} has no shape, or more than {MAX_RANK} axes.")
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
        raise refuse(
            f"dataset {shown(path)} declares shape {shape}, but the file does not hold its {size}"
            " bytes."
        )
    return Dataset(shape, dtype, offset)


def _links(group: h5g.GroupID, path: str, budget: list[int]) -> Iterator[tuple[bytes, str]]:
    """The names in a group whose links are hard."""
    number = group.get_num_objs()
    budget[0] -= number
    if budget[0] < 0:
        raise refuse(f"the file holds more than {MAX_OBJECTS} groups and datasets.")
    names: list[bytes] = []
    group.links.iterate(names.append)
    for raw in names:
        kind = group.links.get_info(raw).type
        name = _name(raw, path)
        if kind != h5py.h5l.TYPE_HARD:
            words = {h5py.h5l.TYPE_SOFT: "a soft link", h5py.h5l.TYPE_EXTERNAL: "an external link"}
            raise refuse(f"{shown(path + name)} is {words.get(kind, 'a link of an unknown kind')}.")
        yield raw, name


def _walk(file: h5f.FileID, end: int) -> dict[str, Dataset]:
    """Every dataset of the file by path.

    Each object may be reached once, so no link can lead back.
    """
    datasets: dict[str, Dataset] = {}
    seen: set[int] = set()
    budget = [MAX_OBJECTS]
    root = h5g.open(file, b"/")
    stack: list[tuple[h5g.GroupID, str, int]] = [(root, "", 0)]
    seen.add(h5o.get_info(root).addr)
    while stack:
        group, path, depth = stack.pop()
        if depth > MAX_GROUP_DEPTH:
            raise refuse(
                f"groups are nested more than {MAX_GROUP_DEPTH} levels deep at {shown(path)}."
            )
        if h5py.h5a.get_num_attrs(group) > MAX_ATTRIBUTES:
            raise refuse(f"group {shown(path)} has more than {MAX_ATTRIBUTES} attributes.")
        for raw, name in _links(group, path, budget):
            info = h5o.get_info(group, raw)
            if info.addr in seen or info.rc != 1:
                raise refuse(
                    f"{shown(path + name)} is linked twice, so its links may form a cycle."
                )
            seen.add(info.addr)
            if info.type == h5o.TYPE_GROUP:
                stack.append((h5g.open(group, raw), f"{path}{name}/", depth + 1))
            elif info.type == h5o.TYPE_DATASET:
                dataset = h5d.open(group, raw)
                if h5py.h5a.get_num_attrs(dataset) > MAX_ATTRIBUTES:
                    raise refuse(
                        f"dataset {shown(path + name)} has more than {MAX_ATTRIBUTES} attributes."
                    )
                datasets[path + name] = _check_dataset(dataset, path + name, end)
            else:
                raise refuse(f"{shown(path + name)} is neither a group nor a dataset.")
    return datasets


def _open(data: bytes) -> h5f.FileID:
    """Opens the file in memory: no file is written, and none beside it is looked for."""
    access = h5py.h5p.create(h5py.h5p.FILE_ACCESS)
    access.set_fapl_core(backing_store=False)
    access.set_fclose_degree(h5f.CLOSE_STRONG)
    access.set_file_image(data)
    # HDF5 takes an open file of the same name for the same file
    name = f"weights-{next(_NUMBER)}".encode()
    return h5f.open(name, h5f.ACC_RDONLY, fapl=access)


def datasets(data: bytes) -> dict[str, Dataset]:
    """Every dataset of a weights file, by path.

    Args:
        data: The bytes of `model.weights.h5`.

    Returns:
        The datasets; their values are still unread.

    Raises:
        Refused: The file holds anything but groups, hard links and contiguous arrays of numbers,
            too many of them, or is damaged.
    """
    _check_superblock(data)
    try:
        file = _open(data)
        try:
            return _walk(file, len(data))
        finally:
            file.close()
    except Refused:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError, OverflowError, SystemError):
        raise refuse("the HDF5 file is damaged.") from None


def values(data: bytes, dataset: Dataset) -> Array:
    """The numbers of a dataset.

    Args:
        data: The bytes of `model.weights.h5`.
        dataset: One of its `datasets`.

    Returns:
        An array of the dataset's shape and type; a view of `data`.
    """
    count = math.prod(dataset.shape)
    return np.frombuffer(data, dataset.dtype, count, dataset.offset).reshape(dataset.shape)
