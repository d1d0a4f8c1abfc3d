"""PAdES: the signatures and document time-stamps of a PDF as neutral values (ETSI EN 319 142-1)."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Final

from pki import oids
from pki.errors import ErrorCode, InvalidInput, ServiceError
from signer.parsers.cades import signatures_of
from signer.parsers.model import (
    Format,
    LevelEvidence,
    Note,
    ParsedFile,
    ParsedSignature,
    ParsedTimestamp,
    SignedObject,
    TimestampKind,
    UnreadableSignature,
)
from signer.parsers.pdf import PdfField, read_pdf
from signer.parsers.pdf_store import SecurityStore
from signer.parsers.signed_data import SignedData, read_signed_data
from signer.parsers.tst import read_timestamp
from signer.validation.reasons import Reason

_OF_DIGEST: Final = "/adbe.pkcs7.sha1"  # the CMS holds the SHA-1 of the byte range (ISO 32000-1 §12.8.3.3.1)
_CMS_FILTERS: Final = ("/ETSI.CAdES.detached", "/adbe.pkcs7.detached", _OF_DIGEST)
_TIMESTAMP_FILTER: Final = "/ETSI.RFC3161"


def parse_pdf(data: bytes) -> ParsedFile:
    """Read every signature and document time-stamp of a PDF; InvalidInput when it cannot be read as one."""
    contents = read_pdf(data)
    signatures, timestamps = _assemble(contents.fields, contents.store)
    unreadable = (UnreadableSignature(id=n, format=Format.PADES, note=note) for n, note in contents.unreadable)
    return ParsedFile(
        format=Format.PADES,
        signatures=(*signatures, *unreadable),
        timestamps=timestamps,
        certificates=contents.store.certificates,
        crls=contents.store.crls,
        ocsp_responses=contents.store.ocsp_responses,
    )


def _assemble(
    fields: tuple[PdfField, ...], store: SecurityStore
) -> tuple[list[ParsedSignature | UnreadableSignature], tuple[ParsedTimestamp, ...]]:
    signatures: list[ParsedSignature | UnreadableSignature] = []
    timestamps: list[ParsedTimestamp] = []
    covered: set[str] = set()
    complete: set[str] = set()  # the signatures that hold revocation data of their own
    sealed: set[str] = set()
    values: set[bytes] = set()
    evidence = frozenset((*store.crls, *store.ocsp_responses))
    for field in fields:
        if field.sub_filter == _TIMESTAMP_FILTER:
            stamp = read_timestamp(field.cms, TimestampKind.DOCUMENT, field.octets, frozenset(covered))
            stamped = store.written_by(field.end).union(values)
            timestamps.append(replace(stamp, id=field.name, values=stamped, defects=stamp.defects + field.defects))
            # Over signatures alone it proves their time: an archive time-stamp covers their validation data, too.
            sealed |= complete if evidence.isdisjoint(stamped) else covered
            covered.add(field.name)
            if stamp.token is not None:
                values |= stamp.token.signature.values
            continue
        for signature in _field_signatures(field):
            signatures.append(signature)
            covered.add(signature.id)
            if isinstance(signature, ParsedSignature):
                covered.update(stamp.id for stamp in signature.timestamps)
                values |= signature.values
                if signature.level.revocation_values:
                    complete.add(signature.id)
    return [_levelled(s, sealed, has_evidence=bool(evidence)) for s in signatures], tuple(timestamps)


def _field_signatures(field: PdfField) -> Iterator[ParsedSignature | UnreadableSignature]:
    if field.sub_filter not in _CMS_FILTERS:
        note = Note(reason=Reason.FORMAT_NOT_SUPPORTED, detail=field.sub_filter[:64])
        yield UnreadableSignature(id=field.name, format=Format.PADES, note=note, foreign=True)
        return
    try:
        data = read_signed_data(field.cms)
        if (data.content is None) is (field.sub_filter == _OF_DIGEST) or len(data.signers) != 1:
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "not detached, or not one signer (EN 319 142-1 §4.1)")
    except ServiceError as error:
        note = Note(reason=Reason.FORMAT_MALFORMED, detail=error.detail)
        yield UnreadableSignature(id=field.name, format=Format.PADES, note=note)
        return
    for signature in _signatures_over(field, data):
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


def _signatures_over(field: PdfField, data: SignedData) -> Iterator[ParsedSignature | UnreadableSignature]:
    if data.content is None:
        yield from signatures_of(data, field.octets, what="byte-range", ranges=field.ranges, form=Format.PADES)
        return
    covered = SignedObject(
        what="byte-range", octets=field.octets, digest_oid=oids.SHA1, expected=data.content, ranges=field.ranges
    )
    for one in signatures_of(data, (data.content,), what="digest", form=Format.PADES):
        yield replace(one, objects=(covered, *one.objects)) if isinstance(one, ParsedSignature) else one


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
