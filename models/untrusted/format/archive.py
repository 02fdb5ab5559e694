"""A `.keras` file is a ZIP archive of exactly three members, laid out as Keras lays it out.

The archive is read by these few lines and not by `zipfile`, which forgives much: data before,
between and after the members, two members of one name, sizes that the directory and the member
state differently. Here the members must follow each other from the first byte, the directory must
follow the last member, and the file must end with it. Sizes are counted while reading, and what
the headers say is checked against the count.
"""

import stat
import struct
import zlib

from pellucid.models.untrusted.refusal import Refused, shown

MEBIBYTE = 1 << 20
MAX_FILE_BYTES = 640 * MEBIBYTE
"""The file: 50 million float32 weights and Adam's two moments of each are 572 MiB."""
MEMBERS = {
    "metadata.json": 64 * 1024,
    "config.json": 4 * MEBIBYTE,
    "model.weights.h5": MAX_FILE_BYTES,
}
"""The members with their largest sizes; a configuration of 500 layers is about 0.5 MiB."""
MAX_EXPANSION = 100
"""How many times its stored bytes a member of more than a mebibyte may unpack to.

Keras stores without compression.
"""

_STORED, _DEFLATED = 0, 8
_ENCRYPTED = 0x1 | 0x40 | 0x2000
_STREAMED = 0x8
_UTF8 = 0x800
_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")
_OTHER_FORMATS = {
    b"\x89HDF": "an HDF5 file; legacy .h5 models are not accepted: save it again as .keras",
    b"\x80": "a pickle; only the .keras archive of Keras 3 is accepted",
    b"\x1f\x8b": "a gzip file; only the .keras archive of Keras 3 is accepted",
    b"BZh": "a bzip2 file; only the .keras archive of Keras 3 is accepted",
}


def _directory(data: bytes) -> list[tuple[bytes, tuple[int, ...]]]:
    """The central directory's entries with their names, after checking where the directory is."""
    if len(data) < _END.size or data[:4] != b"PK\x03\x04":
        kind = next(
            (text for magic, text in _OTHER_FORMATS.items() if data.startswith(magic)),
            "not a ZIP archive",
        )
        raise Refused(f"The file is {kind}.")
    mark, disk, first_disk, here, total, size, start, comment = _END.unpack_from(
        data, len(data) - _END.size
    )
    if mark != b"PK\x05\x06" or comment:
        raise Refused(
            "The archive does not end with its directory: it is cut off, or data follows it."
        )
    if disk or first_disk or here != total:
        raise Refused("The archive is one volume of several; only a single archive is accepted.")
    if total == 0xFFFF or start == 0xFFFFFFFF or size == 0xFFFFFFFF:
        raise Refused(
            "The archive is in ZIP64 format; only plain ZIP is accepted, as Keras writes it."
        )
    if total > 16:
        raise Refused(
            f"The archive holds {total} members; it must hold exactly {', '.join(MEMBERS)}."
        )
    if start + size + _END.size != len(data):
        raise Refused(
            "The archive's directory is not where its end record says: there is data before,"
            " between or after the members."
        )
    entries, at, end = [], start, start + size
    for _ in range(total):
        if at + _CENTRAL.size > end:
            raise Refused("The archive's directory is cut off.")
        entry = _CENTRAL.unpack_from(data, at)
        name, extra, note = entry[10:13]
        if entry[0] != b"PK\x01\x02" or at + _CENTRAL.size + name + extra + note > end:
            raise Refused("The archive's directory is damaged.")
        entries.append((data[at + _CENTRAL.size : at + _CENTRAL.size + name], entry))
        at += _CENTRAL.size + name + extra + note
    if at != end:
        raise Refused("The archive's directory holds more than its members.")
    return entries


def _check_entry(name: str, entry: tuple[int, ...]) -> None:
    flags, method, packed, size = entry[3], entry[4], entry[8], entry[9]
    mode = entry[15] >> 16
    if name not in MEMBERS:
        raise Refused(f"Member {shown(name)} is not one of {', '.join(MEMBERS)}.")
    if flags & _ENCRYPTED:
        raise Refused(f"{name}: the member is encrypted.")
    if flags & ~_UTF8:
        why = (
            "written as a stream, without its size" if flags & _STREAMED else f"flagged {flags:#x}"
        )
        raise Refused(f"{name}: the member is {why}; Keras does not write such members.")
    if stat.S_IFMT(mode) not in (0, stat.S_IFREG):
        raise Refused(f"{name}: the member is a link, a folder or a device, not a regular file.")
    if method not in (_STORED, _DEFLATED):
        raise Refused(
            f"{name}: the member is compressed by method {method}; only stored and deflated members"
            " are accepted."
        )
    if method == _STORED and packed != size:
        raise Refused(
            f"{name}: the member is not compressed, yet its two sizes differ: {packed} and {size}"
            " bytes."
        )
    if size > MEMBERS[name]:
        raise Refused(f"{name}: the member is {size} bytes; at most {MEMBERS[name]} are accepted.")
    if size > MEBIBYTE and size > MAX_EXPANSION * packed:
        raise Refused(
            f"{name}: the member unpacks to more than {MAX_EXPANSION} times its stored size."
        )


def _unpack(name: str, stored: memoryview, method: int, size: int) -> bytes:
    if method == _STORED:
        return bytes(stored)
    unpacker = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        content = unpacker.decompress(stored, size + 1)
    except zlib.error:
        raise Refused(f"{name}: the member's compressed data is damaged.") from None
    if len(content) != size or unpacker.unconsumed_tail or not unpacker.eof or unpacker.unused_data:
        raise Refused(
            f"{name}: the member does not unpack to the {size} bytes that its header states."
        )
    return content


def members(data: bytes) -> dict[str, bytes]:
    """Unpacks the members of a `.keras` archive.

    Args:
        data: The bytes of the file.

    Returns:
        The content of each of `MEMBERS`.

    Raises:
        Refused: The archive is not laid out as Keras lays it out, or a member is not one of
            `MEMBERS`.
    """
    if len(data) > MAX_FILE_BYTES:
        raise Refused(f"The file is {len(data)} bytes; at most {MAX_FILE_BYTES} are accepted.")
    entries = _directory(data)
    start = _END.unpack_from(data, len(data) - _END.size)[6]
    contents: dict[str, bytes] = {}
    at = 0
    for raw, entry in entries:
        name = raw.decode("latin-1")
        _check_entry(name, entry)
        if name in contents:
            raise Refused(f"{name}: the archive holds two members of this name.")
        if entry[16] != at or at + _LOCAL.size > start:
            raise Refused(
                f"{name}: the member does not begin where the one before it ends: members overlap"
                " or hide data."
            )
        local = _LOCAL.unpack_from(data, at)
        body = at + _LOCAL.size + local[9] + local[10]
        if local[0] != b"PK\x03\x04" or data[at + _LOCAL.size : at + _LOCAL.size + local[9]] != raw:
            raise Refused(
                f"{name}: the member's local header names another member than the directory does."
            )
        if (local[2], local[3], *local[6:9]) != (entry[3], entry[4], *entry[7:10]):
            raise Refused(f"{name}: the member's local header and the directory disagree.")
        at = body + entry[8]
        if at > start:
            raise Refused(f"{name}: the member reaches into the archive's directory.")
        content = _unpack(name, memoryview(data)[body:at], entry[4], entry[9])
        if zlib.crc32(content) != entry[7]:
            raise Refused(f"{name}: the member does not match its checksum.")
        contents[name] = content
    if at != start:
        raise Refused("The archive holds data between its last member and its directory.")
    missing = [name for name in MEMBERS if name not in contents]
    if missing:
        raise Refused(f"{missing[0]}: the archive does not hold this member.")
    return contents
