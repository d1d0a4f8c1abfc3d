"""The ZIP of an ASiC container, read strictly (ETSI EN 319 162-1 annex A), within limits.

What two readers could see differently is refused: some read the directory at the end, some the files from the
beginning, so both must tell the same, one file behind the other, and nothing else may be there.
"""

import struct
import unicodedata
import zipfile
import zlib
from io import BytesIO
from typing import Final

from pki.errors import ErrorCode, InvalidInput

MAX_ENTRIES: Final = 1000
MAX_UNPACKED_OCTETS: Final = 128 * 1024 * 1024
MAX_RATIO: Final = 1040  # deflate reaches 1,032
MAX_NAME_CHARS: Final = 512

_LOCAL: Final = struct.Struct("<4s5H3I2H")
_END: Final = struct.Struct("<4s4H2IH")
_METHODS: Final = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED: Final = 0x1
_SIZES_FOLLOW: Final = 0x8
_UTF8: Final = 0x800
_DESCRIPTORS: Final = (12, 16)  # octets behind a file whose sizes follow it, without and with a signature
_UNICODE_PATH: Final = 0x7075
_FREE_OCTETS: Final = 64 * 1024  # that any entry may unpack to


def _refuse(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, f"container: {detail}")


def read_container(data: bytes) -> dict[str, bytes]:
    """Return the files of a container by name, in their order; InvalidInput when it is malformed or too large."""
    try:
        with zipfile.ZipFile(BytesIO(data)) as container:
            entries = container.infolist()
            names = {entry.header_offset: _name(entry) for entry in entries}
            _check(entries, names)
            _check_places(data, entries)
            return {names[one.header_offset]: container.read(one) for one in entries if not one.is_dir()}
    except (zipfile.BadZipFile, zlib.error, NotImplementedError, struct.error, EOFError, ValueError) as error:
        raise _refuse(type(error).__name__) from error


def _name(entry: zipfile.ZipInfo) -> str:
    """Read a name as it was meant: there are writers of UTF-8 that do not say so."""
    if entry.filename != entry.orig_filename:
        raise _refuse("a file's name is not allowed")
    if entry.flag_bits & _UTF8 or entry.filename.isascii():
        return entry.filename
    try:
        return entry.filename.encode("cp437").decode()
    except UnicodeDecodeError:
        return entry.filename


def _check(entries: list[zipfile.ZipInfo], names: dict[int, str]) -> None:
    if not 0 < len(entries) <= MAX_ENTRIES:
        raise _refuse(f"has 1 to {MAX_ENTRIES} files")
    if len({unicodedata.normalize("NFC", name).casefold() for name in names.values()}) != len(entries):
        raise _refuse("two files of one name")
    if sum(entry.file_size for entry in entries) > MAX_UNPACKED_OCTETS:
        raise _refuse("unpacks to too much")
    for entry in entries:
        _check_name(names[entry.header_offset].removesuffix("/"))
        if entry.compress_type not in _METHODS or entry.flag_bits & _ENCRYPTED:
            raise _refuse("a file is encrypted or compressed in another way than deflate")
        if entry.file_size > max(_FREE_OCTETS, entry.compress_size * MAX_RATIO):
            raise _refuse("a file unpacks to too much")


def _check_name(name: str) -> None:
    parts = name.split("/")
    if len(name) > MAX_NAME_CHARS or not name.isprintable() or "\\" in name or ":" in parts[0]:
        raise _refuse("a file's name is not allowed")
    if any(part in ("", ".", "..") for part in parts):
        raise _refuse("a file's name leaves the container")


def _check_places(data: bytes, entries: list[zipfile.ZipInfo]) -> None:
    """See that files lie one behind the other from the first octet, the directory behind them, and nothing else."""
    ends = {0}
    for entry in sorted(entries, key=lambda one: one.header_offset):
        if entry.header_offset not in ends:
            raise _refuse("octets that belong to no file")
        end = _end_of(data, entry)
        ends = {end + more for more in _DESCRIPTORS} if entry.flag_bits & _SIZES_FOLLOW else {end}
    last = data.rfind(b"PK\x05\x06")
    _, disk, _, _, count, size, offset, comment = _END.unpack_from(data, last)
    if disk or count != len(entries) or offset not in ends or offset + size != last:
        raise _refuse("octets that belong to no file")
    if last + _END.size + comment != len(data):
        raise _refuse("octets behind the end")


def _end_of(data: bytes, entry: zipfile.ZipInfo) -> int:
    """Return where a file ends whose own header says what the directory says of it."""
    mark, _, flags, method, _, _, crc, packed, unpacked, name_octets, extra_octets = _LOCAL.unpack_from(
        data, entry.header_offset
    )
    begin = entry.header_offset + _LOCAL.size
    name = data[begin : begin + name_octets].decode("utf-8" if flags & _UTF8 else "cp437", "replace")
    extra = data[begin + name_octets : begin + name_octets + extra_octets]
    if (mark, method, name, flags) != (b"PK\x03\x04", entry.compress_type, entry.orig_filename, entry.flag_bits):
        raise _refuse("directory and files disagree")
    if not flags & _SIZES_FOLLOW and (crc, packed, unpacked) != (entry.CRC, entry.compress_size, entry.file_size):
        raise _refuse("directory and files disagree")
    if any(_has_other_name(part) for part in (extra, entry.extra)):
        raise _refuse("a file with a second name")
    return int(begin + name_octets + extra_octets + entry.compress_size)


def _has_other_name(extra: bytes) -> bool:
    at = 0
    while at + 4 <= len(extra):
        kind, octets = struct.unpack_from("<HH", extra, at)
        if kind == _UNICODE_PATH:
            return True
        at += 4 + octets
    return False
