"""The ZIP of an ASiC container, read strictly (ETSI EN 319 162-1 annex A), within limits.

What two readers could see differently is refused.
"""

import struct
import zipfile
import zlib
from io import BytesIO
from itertools import pairwise
from typing import Final

from pki.errors import ErrorCode, InvalidInput

MAX_ENTRIES: Final = 1000
MAX_UNPACKED_OCTETS: Final = 128 * 1024 * 1024
MAX_RATIO: Final = 200
MAX_NAME_CHARS: Final = 512

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 0x1
_FREE_OCTETS: Final = 64 * 1024  # that any entry may unpack to


def _refuse(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"container: {detail}")


def read_container(data: bytes) -> dict[str, bytes]:
    """Return the files of a container by name, in their order; InvalidInput when it is malformed or too large."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as container:
            entries = [entry for entry in container.infolist() if not entry.is_dir()]
            _check(data, entries)
            return {entry.filename: container.read(entry) for entry in entries}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, struct.error, EOFError, ValueError) as error:
        raise _refuse(type(error).__name__) from error


def _check(data: bytes, entries: list[zipfile.ZipInfo]) -> None:
    if not 0 < len(entries) <= MAX_ENTRIES:
        raise _refuse(f"has 1 to {MAX_ENTRIES} files")
    names = [entry.filename for entry in entries]
    if len({name.casefold() for name in names}) != len(names):
        raise _refuse("two files of one name")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_OCTETS:
        raise _refuse("unpacks to too much")
    for entry in entries:
        _check_name(entry.filename)
        if entry.compress_type not in _METHODS or entry.flag_bits & _ENCRYPTED:
            raise _refuse("a file is encrypted or compressed in another way than deflate")
        if entry.file_size > max(_FREE_OCTETS, entry.compress_size * MAX_RATIO):
            raise _refuse("a file unpacks to too much")
        _check_local(data, entry)
    places = sorted((entry.header_offset, entry.header_offset + entry.compress_size) for entry in entries)
    if any(end > begin for (_, end), (begin, _) in pairwise(places)):
        raise _refuse("two files share octets")


def _check_name(name: str) -> None:
    parts = name.split("/")
    if len(name) > MAX_NAME_CHARS or not name.isprintable() or "\\" in name or ":" in parts[0]:
        raise _refuse("a file's name is not allowed")
    if any(part in ("", ".", "..") for part in parts):
        raise _refuse("a file's name leaves the container")


def _check_local(data: bytes, entry: zipfile.ZipInfo) -> None:
    """Refuse an entry whose own header says another name than the directory does."""
    fields = _LOCAL.unpack_from(data, entry.header_offset)
    begin = entry.header_offset + _LOCAL.size
    name = data[begin : begin + fields[9]]
    spelled = "utf-8" if fields[2] & 0x800 else "cp437"
    if fields[0] != b"PK\x03\x04" or name.decode(spelled, "replace") != entry.orig_filename:
        raise _refuse("directory and files disagree")
