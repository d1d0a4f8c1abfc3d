"""Signatures in PDF files (ISO 32000-2 §12.8, ETSI EN 319 142-1), read through pyHanko's reader.

pyHanko finds fields and compares revisions; the byte range, the CMS bytes and the digests are checked here.
Whatever it raises on hostile files becomes a defect or an InvalidInput: nothing of it leaves this file.
"""

import binascii
import logging
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import islice
from typing import Any, Final

from pyhanko.pdf_utils.generic import DictionaryObject, EncryptedObjAccess, IndirectObject, StreamObject
from pyhanko.pdf_utils.reader import PdfFileReader
from pyhanko.sign.fields import enumerate_sig_fields

from pki import der
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput, ServiceError
from signer.bounded_pdf import open_pdf
from signer.parsers.cades import signatures_of
from signer.parsers.model import (
    MAX_SIGNATURES,
    Format,
    LevelEvidence,
    Note,
    Octets,
    ParsedFile,
    ParsedSignature,
    ParsedTimestamp,
    TimestampKind,
    UnreadableSignature,
)
from signer.parsers.signed_data import read_signed_data
from signer.parsers.tst import read_timestamp
from signer.validation.reasons import Reason

MAX_EVIDENCE: Final = 256

_CMS_FILTERS: Final = ("/ETSI.CAdES.detached", "/adbe.pkcs7.detached")
_TIMESTAMP_FILTER: Final = "/ETSI.RFC3161"
_DATE: Final = re.compile(r"D:(\d{14})(?:Z|([+-])(\d\d)'?(\d\d)?'?)?")

logging.getLogger("pyhanko").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, kw_only=True)
class _Field:
    """One filled signature field whose byte range is in order."""

    name: str
    sub_filter: str
    cms: bytes
    octets: Octets
    ranges: tuple[tuple[int, int], ...]
    end: int
    claimed_at: datetime | None
    notes: tuple[Note, ...] = ()
    defects: tuple[Note, ...] = ()


def parse_pdf(data: bytes) -> ParsedFile:
    """Read every signature and document time-stamp of a PDF; InvalidInput when it cannot be read as one."""
    reader, fields = _open(data)
    good: list[_Field] = []
    unreadable: list[UnreadableSignature] = []
    for name, field in fields:
        try:
            good.append(_read_field(reader, data, name, field))
        except ServiceError as error:
            refused = error.code is ErrorCode.INPUT_MALFORMED
            reason = Reason.BYTE_RANGE_REFUSED if refused else Reason.FORMAT_MALFORMED
            note = Note(reason=reason, detail=error.detail)
            unreadable.append(UnreadableSignature(id=name, format=Format.PADES, note=note))
        except Exception as error:  # noqa: BLE001 - documented boundary: pyHanko raises anything on hostile files
            note = Note(reason=Reason.FORMAT_MALFORMED, detail=type(error).__name__)
            unreadable.append(UnreadableSignature(id=name, format=Format.PADES, note=note))
    good.sort(key=lambda found: found.end)
    certificates, crls, responses = _security_store(reader)
    signatures, timestamps = _assemble(good, has_evidence=bool(crls or responses))
    return ParsedFile(
        format=Format.PADES,
        signatures=(*signatures, *unreadable),
        timestamps=timestamps,
        certificates=certificates,
        crls=crls,
        ocsp_responses=responses,
    )


def _open(data: bytes) -> tuple[PdfFileReader, list[tuple[str, Any]]]:
    try:
        reader = open_pdf(data)
        if reader.encrypted:
            reader.decrypt("")
        fields = []
        for name, _value, reference in islice(enumerate_sig_fields(reader, filled_status=True), MAX_SIGNATURES + 1):
            fields.append((str(name), reference.get_object()))
    except Exception as error:
        raise _refuse(f"PDF: {type(error).__name__}") from error
    if len(fields) > MAX_SIGNATURES:
        raise _refuse(f"more than {MAX_SIGNATURES} signatures")
    return reader, fields


def _read_field(reader: PdfFileReader, data: bytes, name: str, field: DictionaryObject) -> _Field:
    signature = field["/V"]
    ranges = _byte_range(signature, len(data))
    (_, first), (second, length) = ranges
    gap = data[first:second]
    if gap[:1] != b"<" or gap[-1:] != b">":
        raise _refuse("the gap of the byte range is not one hex string")
    try:
        contents = binascii.unhexlify(gap[1:-1])
    except binascii.Error as error:
        raise _refuse("the gap of the byte range is not one hex string") from error
    stored = signature.raw_get("/Contents", decrypt=EncryptedObjAccess.RAW)
    if getattr(stored, "original_bytes", None) != contents:
        raise _refuse("the gap of the byte range is not this signature's value")
    view = memoryview(data)
    end = second + length
    found = _Field(
        name=name,
        sub_filter=str(signature.get("/SubFilter", "")),
        cms=_without_padding(contents),
        octets=(view[:first], view[second:end]),
        ranges=ranges,
        end=end,
        claimed_at=_pdf_date(signature.get("/M")),
    )
    if end == len(data):
        return found
    if not data.rstrip(b"\0\t\n\f\r ").endswith(b"%%EOF"):
        # A reader that repairs files would find objects there; nobody signed them.
        return replace(found, defects=(Note(reason=Reason.DOCUMENT_CHANGED, detail="octets after the last %%EOF"),))
    notes, defects = _changes_since(reader, field, name)
    return replace(found, notes=notes, defects=defects)


def _refuse(detail: str) -> InvalidInput:
    return InvalidInput(ErrorCode.INPUT_MALFORMED, detail)


def _byte_range(signature: DictionaryObject, size: int) -> tuple[tuple[int, int], tuple[int, int]]:
    """Read `[0 a b c]`, all inside the file, in order and with a gap (ISO 32000-2 §12.8.1)."""
    raw = signature["/ByteRange"]
    if isinstance(raw, IndirectObject) or not isinstance(raw, list) or len(raw) != 4:
        raise _refuse("ByteRange is not four numbers")
    numbers = [int(number) for number in raw]
    start, first, second, length = numbers
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
        contents, end = der.normalise_prefix(contents)[0], len(contents)
        return contents
    if end > len(contents) or any(contents[end:]):
        raise _refuse("octets other than padding follow the signature value")
    return contents[:end]


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


def _changes_since(
    reader: PdfFileReader, field: DictionaryObject, name: str
) -> tuple[tuple[Note, ...], tuple[Note, ...]]:
    """Judge what was added after a signature: only signatures and validation data may be (fails closed)."""
    from pyhanko.sign.diff_analysis import DEFAULT_DIFF_POLICY, DiffResult, ModificationLevel
    from pyhanko.sign.validation.pdf_embedded import EmbeddedPdfSignature
    from pyhanko.sign.validation.status import SignatureCoverageLevel

    try:
        embedded = EmbeddedPdfSignature(reader, field, name)
        embedded.compute_digest()
        coverage = embedded.evaluate_signature_coverage()
        if coverage < SignatureCoverageLevel.ENTIRE_REVISION:
            return (), (Note(reason=Reason.BYTE_RANGE_REFUSED, detail="a revision is not covered as a whole"),)
        difference = DEFAULT_DIFF_POLICY.review_file(
            reader, embedded.signed_revision, field_mdp_spec=embedded.fieldmdp, doc_mdp=embedded.docmdp_level
        )
        permitted = embedded.docmdp_level
    except Exception as error:  # noqa: BLE001 - documented boundary: pyHanko raises anything on hostile files
        return (), (Note(reason=Reason.DOCUMENT_CHANGED, detail=type(error).__name__),)
    if not isinstance(difference, DiffResult):
        return (), (Note(reason=Reason.DOCUMENT_CHANGED, detail=str(difference)[:200]),)
    level = difference.modification_level
    if level > ModificationLevel.FORM_FILLING or (permitted is not None and level.value > permitted.value):
        return (), (Note(reason=Reason.DOCUMENT_CHANGED, detail=level.name),)
    changed = difference.changed_form_fields - {name for name, _value, _ref in enumerate_sig_fields(reader)}
    if changed:
        return (), (Note(reason=Reason.DOCUMENT_CHANGED, detail=f"form field {min(changed)[:64]}"),)
    return (Note(reason=Reason.DOCUMENT_EXTENDED, detail=level.name),), ()


def _assemble(
    fields: list[_Field], *, has_evidence: bool
) -> tuple[list[ParsedSignature | UnreadableSignature], tuple[ParsedTimestamp, ...]]:
    signatures: list[ParsedSignature | UnreadableSignature] = []
    timestamps: list[ParsedTimestamp] = []
    covered: set[str] = set()
    for field in fields:
        if field.sub_filter == _TIMESTAMP_FILTER:
            stamp = read_timestamp(field.cms, TimestampKind.DOCUMENT, field.octets, frozenset(covered))
            timestamps.append(replace(stamp, id=field.name, defects=stamp.defects + field.defects))
            covered.add(field.name)
            continue
        for signature in _field_signatures(field):
            signatures.append(signature)
            covered.add(signature.id)
            if isinstance(signature, ParsedSignature):
                covered.update(stamp.id for stamp in signature.timestamps)
    sealed = {name for stamp in timestamps for name in stamp.covers}
    return [_levelled(s, sealed, has_evidence=has_evidence) for s in signatures], tuple(timestamps)


def _field_signatures(field: _Field) -> Iterator[ParsedSignature | UnreadableSignature]:
    if field.sub_filter not in _CMS_FILTERS:
        note = Note(reason=Reason.FORMAT_NOT_SUPPORTED, detail=field.sub_filter[:64])
        yield UnreadableSignature(id=field.name, format=Format.PADES, note=note, foreign=True)
        return
    try:
        data = read_signed_data(field.cms)
        if data.content is not None or len(data.signers) != 1:
            raise _refuse("a PDF signature is detached and has one signer (EN 319 142-1 §4.1)")
    except ServiceError as error:
        note = Note(reason=Reason.FORMAT_MALFORMED, detail=error.detail)
        yield UnreadableSignature(id=field.name, format=Format.PADES, note=note)
        return
    for signature in signatures_of(data, field.octets, what="byte-range", ranges=field.ranges, form=Format.PADES):
        if isinstance(signature, UnreadableSignature):
            yield replace(signature, id=field.name)
            continue
        baseline = field.sub_filter == "/ETSI.CAdES.detached" and signature.level.baseline
        yield replace(
            signature,
            id=field.name,
            timestamps=tuple(replace(s, covers=frozenset((field.name,))) for s in signature.timestamps),
            claimed_at=signature.claimed_at or field.claimed_at,
            level=replace(signature.level, baseline=baseline),
            notes=signature.notes + field.notes,
            defects=signature.defects + field.defects,
        )


def _levelled(
    signature: ParsedSignature | UnreadableSignature, sealed: set[str], *, has_evidence: bool
) -> ParsedSignature | UnreadableSignature:
    if isinstance(signature, UnreadableSignature):
        return signature
    level = LevelEvidence(
        baseline=signature.level.baseline,
        certificate_values=True,
        revocation_values=signature.level.revocation_values or has_evidence,
        archive_timestamp=signature.id in sealed,
    )
    return replace(signature, level=level)


def _security_store(reader: PdfFileReader) -> tuple[tuple[Certificate, ...], tuple[bytes, ...], tuple[bytes, ...]]:
    """Collect the document security store of the last revision (ISO 32000-2 §12.8.4.3); broken parts are left out."""
    try:
        store = reader.root["/DSS"]
        return (
            tuple(_readable(_streams(store, "/Certs"))),
            tuple(_streams(store, "/CRLs")),
            tuple(_streams(store, "/OCSPs")),
        )
    except Exception:  # noqa: BLE001 - documented boundary: an unreadable store is no evidence, and no defect
        return (), (), ()


def _readable(encoded: Iterator[bytes]) -> Iterator[Certificate]:
    for data in encoded:
        try:
            yield Certificate.parse(data)
        except ServiceError:
            continue  # an unreadable extra certificate proves nothing and harms nothing


def _streams(store: DictionaryObject, name: str) -> Iterator[bytes]:
    items = store.get(name, ())
    for index in range(min(len(items), MAX_EVIDENCE)):
        stream = items[index]  # pyHanko resolves references on access
        if isinstance(stream, StreamObject):
            yield stream.data
