"""The corpus, continued: weights files that name other files, hold too much or the wrong things."""

from collections.abc import Callable

import h5py
import numpy as np

from tests.hostile.building import members, replaced, with_weights
from tests.hostile.corpus import CASES, Case, Trap

KERNEL = "layers/dense/vars/0"


def add(name: str, message: str, edit: Callable[[h5py.File], object]) -> None:
    CASES.append(Case(name, lambda _: with_weights(edit), rf"^model\.weights\.h5: .*{message}"))


def raw(name: str, message: str, change: Callable[[bytes], bytes]) -> None:
    build = lambda _: replaced("model.weights.h5", change(members("plain")["model.weights.h5"]))  # noqa: E731
    CASES.append(Case(name, build, rf"^model\.weights\.h5: .*{message}"))


def instead(make: Callable[[h5py.File], object]) -> Callable[[h5py.File], None]:
    """Puts something else in the place of the dense layer's kernel."""

    def edit(file: h5py.File) -> None:
        del file[KERNEL]
        make(file)

    return edit


def _virtual(file: h5py.File) -> None:
    layout = h5py.VirtualLayout((36, 10), "<f4")
    layout[:] = h5py.VirtualSource("/etc/passwd", "x", (36, 10))
    file.create_virtual_dataset(KERNEL, layout)


def _typed(file: h5py.File) -> None:
    file["layers/type"] = np.dtype("<f4")


def _deep(file: h5py.File) -> None:
    file.create_group("/".join("d" * 200))


def _groups(file: h5py.File) -> None:
    for i in range(21_000):
        file.create_group(f"layers/g{i}")


def _attributes(file: h5py.File) -> None:
    for i in range(2000):
        file["layers"].attrs[f"a{i}"] = i


def _value(value: float) -> Callable[[h5py.File], None]:
    def edit(file: h5py.File) -> None:
        file[KERNEL][3, 4] = value

    return edit


add(
    "external_link",
    r"'layers/dense/vars/0' is an external link",
    instead(lambda f: f.__setitem__(KERNEL, h5py.ExternalLink("/etc/passwd", "/x"))),
)
add(
    "external_group",
    r"'layers/dense' is an external link",
    lambda f: (
        f.move("layers/dense", "layers/other"),
        f.__setitem__("layers/dense", h5py.ExternalLink("other.h5", "/")),
    ),
)
add(
    "soft_link",
    r"'layers/dense/vars/0' is a soft link",
    instead(lambda f: f.__setitem__(KERNEL, h5py.SoftLink("/layers/conv2d/vars/0"))),
)
add(
    "dangling_link",
    r"is a soft link",
    lambda f: f.__setitem__("layers/x", h5py.SoftLink("/nowhere")),
)
add(
    "external_storage",
    r"stores its values in an external file",
    instead(
        lambda f: f.create_dataset(KERNEL, (36, 10), "<f4", external=[("/etc/passwd", 0, 1440)])
    ),
)
add("virtual_dataset", r"is a virtual dataset", instead(_virtual))
add(
    "vlen_text",
    r"of (variable-length|text) type",
    instead(lambda f: f.create_dataset(KERNEL, (36, 10), h5py.string_dtype())),
)
add(
    "vlen_numbers",
    r"of variable-length type",
    instead(lambda f: f.create_dataset(KERNEL, (36, 10), h5py.vlen_dtype(np.float32))),
)
add("fixed_text", r"of text type", instead(lambda f: f.create_dataset(KERNEL, (36, 10), "S4")))
add(
    "compound",
    r"of compound type",
    instead(lambda f: f.create_dataset(KERNEL, (36, 10), [("a", "<f4")])),
)
add(
    "object_reference",
    r"of reference type",
    instead(lambda f: f.create_dataset(KERNEL, (36, 10), h5py.ref_dtype)),
)
add(
    "region_reference",
    r"of reference type",
    instead(lambda f: f.create_dataset(KERNEL, (36, 10), h5py.regionref_dtype)),
)
add(
    "enumeration",
    r"of enumeration type",
    instead(lambda f: f.create_dataset(KERNEL, (36, 10), h5py.enum_dtype({"A": 1}))),
)
add("opaque", r"of opaque type", instead(lambda f: f.create_dataset(KERNEL, (36, 10), "V4")))
add(
    "array_type",
    r"of array type",
    instead(lambda f: f.create_dataset(KERNEL, (36,), np.dtype(("<f4", (10,))))),
)
add(
    "big_endian",
    r"must be float32",
    instead(lambda f: f.create_dataset(KERNEL, data=np.zeros((36, 10), ">f4"))),
)
add(
    "float16_weights",
    r"is not float32",
    instead(lambda f: f.create_dataset(KERNEL, data=np.zeros((36, 10), "<f2"))),
)
add(
    "float64_weights",
    r"is not float32",
    instead(lambda f: f.create_dataset(KERNEL, data=np.zeros((36, 10), "<f8"))),
)
add(
    "integers",
    r"is not float32",
    instead(lambda f: f.create_dataset(KERNEL, data=np.zeros((36, 10), "<i4"))),
)
add(
    "declared_without_values",
    r"does not hold its",
    instead(lambda f: f.create_dataset(KERNEL, (1 << 40,), "<f4")),
)
add(
    "huge_in_optimizer",
    r"does not hold its",
    lambda f: f.create_dataset("optimizer/vars/0", (1 << 40, 1 << 10), "<f4"),
)
add(
    "gzip_bomb",
    r"is compressed or filtered",
    instead(
        lambda f: f.create_dataset(
            KERNEL, data=np.zeros(1 << 22, "<f4"), chunks=(1 << 20,), compression=9
        )
    ),
)
add(
    "shuffled",
    r"is compressed or filtered",
    instead(lambda f: f.create_dataset(KERNEL, data=np.zeros((36, 10), "<f4"), shuffle=True)),
)
add(
    "scale_offset",
    r"is compressed or filtered",
    instead(lambda f: f.create_dataset(KERNEL, data=np.zeros((36, 10), "<f4"), scaleoffset=2)),
)
add(
    "chunked",
    r"is chunked or compact",
    instead(
        lambda f: f.create_dataset(KERNEL, (36, 10), "<f4", chunks=(1, 1), maxshape=(None, None))
    ),
)
add(
    "empty_dataset",
    r"has no shape|does not hold its 0 bytes",
    instead(lambda f: f.create_dataset(KERNEL, data=h5py.Empty("<f4"))),
)
add("deep_groups", r"groups are nested more than 16 levels deep", _deep)
add(
    "cycle",
    r"is linked twice, so its links may form a cycle",
    lambda f: f.__setitem__("layers/dense/again", f["layers"]),
)
add("self_cycle", r"is linked twice", lambda f: f.__setitem__("root", f["/"]))
add("shared_dataset", r"is linked twice", lambda f: f.__setitem__("layers/dense/vars/2", f[KERNEL]))
add("many_groups", r"holds more than 20000 groups and datasets", _groups)
add("many_attributes", r"has more than 8 attributes", _attributes)
add("named_type", r"is neither a group nor a dataset", _typed)
add("long_link", r"a link with a name that is not accepted", lambda f: f.create_group("n" * 10_000))
add(
    "wrong_shape",
    r"has shape \(10, 36\); layer 'dense\w*' of class Dense needs \(36, 10\)",
    instead(lambda f: f.create_dataset(KERNEL, data=np.zeros((10, 36), "<f4"))),
)
add("scalar", r"has shape \(\)", instead(lambda f: f.create_dataset(KERNEL, data=np.float32(1))))
add(
    "missing_weight",
    r"layer 'dense\w*' of class Dense has no weight 'layers/dense/vars/0'",
    instead(lambda f: None),
)
add(
    "extra_weight",
    r"'layers/dense/vars/2' is a weight that no layer",
    lambda f: f.create_dataset("layers/dense/vars/2", data=np.zeros(3, "<f4")),
)
add(
    "nan_weight",
    r"'layers/dense/vars/0' of layer 'dense\w*' of class Dense holds NaN",
    _value(np.nan),
)
add(
    "infinite_weight",
    r"'layers/dense/vars/0' of layer 'dense\w*' of class Dense holds infinite values",
    _value(-np.inf),
)
raw("not_hdf5", r"not an HDF5 file", lambda data: b"\x00" * 200)
raw(
    "user_block",
    r"not an HDF5 file, or has a block of other data before it",
    lambda data: bytes(512) + data,
)
raw("trailing", r"says that it ends at byte \d+, but the member has", lambda data: data + b"more")
raw("truncated", r"says that it ends at byte \d+, but the member has", lambda data: data[:-100])
raw("superblock_version", r"has version 9", lambda data: data[:8] + b"\x09" + data[9:])
raw("base_address", r"a base address", lambda data: data[:24] + b"\x01" + data[25:])
raw("driver_block", r"a driver block", lambda data: data[:48] + bytes(8) + data[56:])
raw("damaged_root", r"the HDF5 file is damaged", lambda data: data[:96] + bytes(400) + data[496:])
raw("damaged_middle", r"", lambda data: data[:200] + b"\xff" * 3000 + data[3200:])
assert isinstance(CASES[0], Case)
assert Trap
