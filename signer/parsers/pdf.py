"""Signature fields of PDF files (ISO 32000-2 §12.8), read through pyHanko: nothing of it leaves this file.

pyHanko reads objects and finds fields; byte ranges, values and later revisions are checked here. Whatever it raises
on hostile files becomes a defect or an InvalidInput.
"""

import binascii
import gc
import logging
import re
import secrets
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any, Final

from pyhanko.pdf_utils.crypt import AuthStatus
from pyhanko.pdf_utils.generic import DictionaryObject, EncryptedObjAccess
from pyhanko.sign.fields import enumerate_sig_fields

from pki import ber
from pki.errors import ErrorCode, InvalidInput, ServiceError
from signer.bounded_pdf import BoundedReader, Meter, open_pdf
from signer.parsers.model import MAX_SIGNATURES, Note, Octets
from signer.parsers.pdf_changes import Changes
from signer.parsers.pdf_increments import Increments
from signer.parsers.pdf_objects import ChangeFound
from signer.parsers.pdf_permissions import SILENT, Permissions, read_permissions
from signer.parsers.pdf_roles import Addition
from signer.parsers.pdf_store import SecurityStore, read_store
from signer.validation.reasons import Reason

_BYTE_RANGE: Final = re.compile(rb"/ByteRange\s*\[\s*0\s+(\d{1,9})\s+(\d{1,9})\s+\d{1,9}\s*\]")
_OTHERS_NAME: Final = re.compile(r"[A-Z]-[0-9a-f]{16}")  # as signatures and time-stamps without a name are called
_HEX_DIGITS: Final = b"0123456789abcdefABCDEF"
_ALWAYS_ALLOWED: Final = frozenset({Addition.VALIDATION_DATA, Addition.TIMESTAMP})  # ISO 32000-2 §12.8.2.2, errata
_WHITE_SPACE: Final = b"\0\t\n\f\r "
_END: Final = b"%%EOF"
_END_OCTETS: Final = 2048  # pyHanko reads the last 1024, and the line in which they begin
_LARGE: Final = 4 * 1024 * 1024
_LONG: Final = 64  # a shorter value costs nothing to read
_DATE: Final = re.compile(r"D:(\d{14})(?:Z|([+-])(\d\d)'?(\d\d)?'?)?")

_Ranges = tuple[tuple[int, int], tuple[int, int]]

logging.getLogger("pyhanko").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfField:
    """One filled signature field whose byte range is in order: what it covers, and its CMS or token.

    `permissions` are what it, and the signatures before it, let follow.
    """

    name: str
    sub_filter: str
    cms: bytes
    octets: Octets
    ranges: _Ranges
    end: int
    claimed_at: datetime | None
    permissions: Permissions = SILENT
    notes: tuple[Note, ...] = ()
    defects: tuple[Note, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _File:
    """A PDF opened for its fields; where long signature values lie the reader sees secret stand-ins.

    A stand-in that comes back as a field's /Contents proves that the value of that very field lies there.
    """

    data: bytes
    meter: Meter
    reader: BoundedReader
    stand_ins: dict[tuple[int, int], bytes]

    def contents(self, signature: DictionaryObject, first: int, second: int) -> bytes:
        """Return the signature value that lies in the gap; InvalidInput unless it is this signature's own."""
        gap = self.data[first:second]
        if gap[:1] != b"<" or gap[-1:] != b">":
            raise _refuse("the gap of the byte range is not one hex string")
        try:
            contents = binascii.unhexlify(gap[1:-1])
        except binascii.Error as error:
            raise _refuse("the gap of the byte range is not one hex string") from error
        digits = self.stand_ins.get((first, second))
        expected = contents if digits is None else binascii.unhexlify(digits)
        stored = signature.raw_get("/Contents", decrypt=EncryptedObjAccess.RAW)
        if getattr(stored, "original_bytes", None) != expected:
            raise _refuse("the gap of the byte range is not this signature's value")
        return contents


@dataclass(frozen=True, slots=True, kw_only=True)
class PdfContents:
    """What a PDF holds for a verifier; `unreadable` are fields that cannot be judged, by name and reason."""

    fields: tuple[PdfField, ...]
    unreadable: tuple[tuple[str, Note], ...]
    store: SecurityStore


def read_pdf(data: bytes) -> PdfContents:
    """Read every filled signature field, in the order of what they cover; InvalidInput when it is no PDF."""
    file, fields = _open(data)
    names = Counter(name for name, _field in fields)
    good: list[PdfField] = []
    unreadable: list[tuple[str, Note]] = []
    for name, field in fields:
        if names[name] > 1 or _OTHERS_NAME.fullmatch(name):
            # Proofs of existence go by name: two fields of one name would share them, or a field and a time-stamp.
            unreadable.append((name, Note(reason=Reason.FORMAT_MALFORMED, detail="the name of another signature")))
            continue
        try:
            good.append(_read_field(file, name, field, {other.ranges for other in good}))
        except ServiceError as error:
            refused = error.code is ErrorCode.INPUT_MALFORMED
            reason = Reason.BYTE_RANGE_REFUSED if refused else Reason.FORMAT_MALFORMED
            unreadable.append((name, Note(reason=reason, detail=error.detail)))
        except Exception as error:  # noqa: BLE001 - documented boundary: pyHanko raises anything on hostile files
            unreadable.append((name, Note(reason=Reason.FORMAT_MALFORMED, detail=type(error).__name__)))
    good.sort(key=lambda found: found.end)
    return PdfContents(
        fields=tuple(_with_changes(file, good)),
        unreadable=tuple(unreadable),
        store=read_store(file.reader),
    )


def _open(data: bytes) -> tuple[_File, list[tuple[str, Any]]]:
    if _END not in data[-_END_OCTETS:]:  # pyHanko would look for it back through the stand-ins, which send it forward
        raise _refuse("the file has no end (%%EOF): it may be cut short")
    stand_ins = {gap: secrets.token_hex(16).encode() for gap in _long_values(data)}
    meter = Meter(len(data))
    try:
        reader = open_pdf(data, meter=meter, stand_ins=stand_ins)
        if reader.encrypted:
            stand_ins = {}  # a MAC (ISO/TS 32004) has a byte range, too, and is read whole
            reader = open_pdf(data, meter=meter, stand_ins=stand_ins)
        _decrypt(reader)
        fields = []
        for name, _value, reference in islice(enumerate_sig_fields(reader, filled_status=True), MAX_SIGNATURES + 1):
            fields.append((str(name), reference.get_object()))
    except ServiceError:
        raise
    except Exception as error:
        raise _refuse(f"PDF: {type(error).__name__}") from error
    if len(fields) > MAX_SIGNATURES:
        raise _refuse(f"more than {MAX_SIGNATURES} signatures")
    return _File(data=data, meter=meter, reader=reader, stand_ins=stand_ins), fields


def _decrypt(reader: BoundedReader) -> BoundedReader:
    """Open an encrypted file that needs no password; InvalidInput where it needs one."""
    if reader.encrypted and reader.decrypt("").status is AuthStatus.FAILED:
        raise _refuse("the file is encrypted with a password")
    return reader


def _long_values(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield where long hex strings lie in the gaps of byte ranges."""
    for match in islice(_BYTE_RANGE.finditer(data), MAX_SIGNATURES):
        first, second = int(match[1]), int(match[2])
        if not first + _LONG < second <= len(data):
            continue
        gap = data[first:second]
        if gap[:1] + gap[-1:] == b"<>" and not gap[1:-1].translate(None, _HEX_DIGITS):
            yield first, second


def _read_field(file: _File, name: str, field: DictionaryObject, taken: set[_Ranges]) -> PdfField:
    signature = field["/V"]
    ranges = _byte_range(signature, len(file.data))
    if ranges in taken:
        raise _refuse("the signature value of another field")
    (_, first), (second, length) = ranges
    view = memoryview(file.data)
    return PdfField(
        name=name,
        sub_filter=str(signature.get("/SubFilter", "")),
        cms=_without_padding(file.contents(signature, first, second)),
        octets=(view[:first], view[second : second + length]),
        ranges=ranges,
        end=second + length,
        claimed_at=_pdf_date(signature["/M"] if "/M" in signature else None),  # noqa: SIM401 - its get resolves nothing
        permissions=read_permissions(field, signature),
    )


def _with_changes(file: _File, fields: list[PdfField]) -> list[PdfField]:
    """Judge what stands behind each signature that does not reach the end of the file."""
    size = len(file.data)
    if all(field.end == size for field in fields):
        return fields
    fields = _in_force(fields)
    end = len(file.data.rstrip(_WHITE_SPACE))
    if not file.data.endswith(b"%%EOF", 0, end):
        # A reader that repairs files would find objects there; nobody signed them.
        detail = "octets after the last %%EOF"
        return [f if f.end == size else _changed(f, Reason.DOCUMENT_CHANGED, detail) for f in fields]
    changes, increments = Changes(file.reader), Increments(file.reader)
    return [field if field.end >= end else _changes_since(file, field, changes, increments) for field in fields]


def _in_force(fields: list[PdfField]) -> list[PdfField]:
    """Add to what each signature lets follow what the ones before it forbid."""
    judged, earlier = [], SILENT
    for field in fields:
        earlier = field.permissions.after(earlier)
        judged.append(replace(field, permissions=earlier))
    return judged


def _refuse(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, detail)


def _byte_range(signature: DictionaryObject, size: int) -> _Ranges:
    """Read `[0 a b c]`, all inside the file, in order and with a gap (ISO 32000-2 §12.8.1)."""
    raw = signature["/ByteRange"]
    if not isinstance(raw, list) or len(raw) != 4 or not all(isinstance(number, int) for number in raw):
        raise _refuse("ByteRange is not four whole numbers")
    start, first, second, length = (int(number) for number in raw)
    if start != 0 or first <= 0 or length <= 0 or second < first + 2 or second + length > size:
        raise _refuse("ByteRange does not run from the start of the file around the signature value")
    return (start, first), (second, length)


def _without_padding(contents: bytes) -> bytes:
    """Cut the zeros that fill the reserved space; InvalidInput when anything else follows the CMS."""
    try:
        end = _definite_end(contents)
    except IndexError as error:
        raise _refuse("empty signature value") from error
    if end is None:
        value, end = ber.normalise_prefix(contents)
    else:
        value = contents[:end]
    if end > len(contents) or any(contents[end:]):
        raise _refuse("octets other than padding follow the signature value")
    return value


def _definite_end(data: bytes) -> int | None:
    """Return where the definite-length value at the start ends; None for an indefinite length."""
    first = data[1]
    if first == 0x80:
        return None
    if first < 0x80:
        return 2 + first
    count = first & 0x7F
    return 2 + count + int.from_bytes(data[2 : 2 + count], "big")


def _pdf_date(value: object) -> datetime | None:
    """Read the signature dictionary's /M, which the signature covers (ISO 32000-2 §7.9.4)."""
    match = _DATE.fullmatch(str(value)) if value is not None else None
    if match is None:
        return None
    try:
        offset = timedelta(hours=int(match[3] or 0), minutes=int(match[4] or 0))
        zone = timezone(-offset if match[2] == "-" else offset)
        return datetime.strptime(match[1], "%Y%m%d%H%M%S").replace(tzinfo=zone).astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _changes_since(file: _File, field: PdfField, changes: Changes, increments: Increments) -> PdfField:
    """Judge what was added after a signature: what its permissions allow, and else only signatures and their data."""
    revision = file.data[: field.end]
    if not revision.rstrip(_WHITE_SPACE).endswith(b"%%EOF"):
        return _changed(field, Reason.BYTE_RANGE_REFUSED, "a revision is not covered as a whole")
    if (file.reader.last_startxref or 0) < field.end:
        return _changed(field, Reason.DOCUMENT_CHANGED, "octets that belong to no revision")
    judged = _compared(file, field, revision, changes)
    if len(revision) > _LARGE:
        gc.collect()  # readers hold each other, and each one its revision: several of them were too much
    return replace(judged, notes=(*judged.notes, *_explained(increments, field.end, len(file.data))))


def _compared(file: _File, field: PdfField, revision: bytes, changes: Changes) -> PdfField:
    stand_ins = {gap: value for gap, value in file.stand_ins.items() if gap[1] <= field.end}
    try:
        added = changes.since(_decrypt(open_pdf(revision, meter=file.meter, stand_ins=stand_ins)), field.permissions)
    except ChangeFound as change:
        return _changed(field, Reason.DOCUMENT_CHANGED, str(change), change.about)
    except Exception as error:  # noqa: BLE001 - documented boundary: pyHanko raises anything on hostile files
        return _changed(field, Reason.DOCUMENT_CHANGED, type(error).__name__)
    if field.permissions.allows_no_changes and not added <= _ALWAYS_ALLOWED:
        return _changed(field, Reason.DOCUMENT_CHANGED, "the document was certified to stay as it is")
    detail = ", ".join(sorted(one.value for one in added)) or "nothing that is seen"
    return replace(field, notes=(Note(reason=Reason.DOCUMENT_EXTENDED, detail=detail),))


def _explained(increments: Increments, end: int, size: int) -> Iterator[Note]:
    """Say of every later revision what it wrote."""
    try:
        found = increments.since(end, size)
    except Exception:  # noqa: BLE001 - documented boundary: what cannot be explained was judged all the same
        return
    for one in found:
        about = f"revision {one.number}, octets {one.start} to {one.end}"
        yield Note(
            reason=Reason.DOCUMENT_REVISION, detail="; ".join(one.written) or "nothing that is seen", about=about
        )


def _changed(field: PdfField, reason: Reason, detail: str, about: str = "") -> PdfField:
    return replace(field, defects=(Note(reason=reason, detail=detail, about=about),))
