"""CMS and CAdES files: every signer with its time-stamps and embedded validation data (EN 319 122-1)."""

import binascii
import re
from dataclasses import replace
from typing import Final

from pki import oids
from pki.errors import ServiceError
from signer.parsers.archive import ARCHIVE_TIMESTAMPS, read_archive_timestamps
from signer.parsers.cms import signature_id, signature_of
from signer.parsers.cms_values import validation_values
from signer.parsers.model import (
    MAX_COUNTER_DEPTH,
    MAX_COUNTER_SIGNATURES,
    MAX_TIMESTAMPS,
    UNREADABLE,
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
from signer.parsers.signed_data import (
    MAX_ATTRIBUTES,
    SignedData,
    SignerInfo,
    all_values,
    read_signed_data,
    read_signer,
    refuse,
)
from signer.parsers.tst import parse_token, read_timestamp
from signer.validation.reasons import Reason

_CONTENT_TIMESTAMP: Final = "1.2.840.113549.1.9.16.2.20"
_CADES_C_TIMESTAMP: Final = "1.2.840.113549.1.9.16.2.25"  # EN 319 122-1 §A.1.5.2
_REFERENCES_TIMESTAMP: Final = "1.2.840.113549.1.9.16.2.26"  # §A.1.5.1
_REFERENCES: Final = ("1.2.840.113549.1.9.16.2.21", "1.2.840.113549.1.9.16.2.22")  # certificates, then revocation

_PEM: Final = re.compile(
    rb"\s*-----BEGIN (PKCS7|CMS|PKCS #7 SIGNED DATA|SIGNED MESSAGE)-----\s([A-Za-z0-9+/=\s]++)-----END \1-----\s*"
)


def unwrap_pem(data: bytes) -> bytes:
    """Decode the one PEM block that `data` is (RFC 7468 §8, §9), or its body alone; ServiceError otherwise."""
    body = data
    if data.lstrip()[:1] == b"-":
        match = _PEM.fullmatch(data)
        if match is None:
            raise refuse("not one PEM block")
        body = match[2]
    try:
        return binascii.a2b_base64(b"".join(body.split()), strict_mode=True)
    except binascii.Error as error:
        raise refuse("PEM body is not base64") from error


def parse_cms(data: bytes, content: bytes | None) -> ParsedFile:
    """Read a CMS file; `content` is what a detached signature covers. ServiceError when it is not SignedData."""
    notes: tuple[Note, ...] = ()
    if data.lstrip()[:1] in (b"-", b"M"):  # what base64 of a SEQUENCE begins with
        data, notes = unwrap_pem(data), (Note(reason=Reason.PEM_WRAPPED),)
    signed_data = read_signed_data(data)
    if signed_data.content_type == oids.TST_INFO:
        return parse_token(data, content)
    # Some write an empty content where none is meant; what was signed is told by the digest.
    covered = signed_data.content or content
    if covered is None:
        covered = signed_data.content
    signatures = signatures_of(signed_data, None if covered is None else (covered,))
    if covered is not None and content is not None and content != covered:
        notes += (Note(reason=Reason.CONTENT_DIFFERS),)
    cades = any(isinstance(s, ParsedSignature) and s.format is Format.CADES for s in signatures)
    return ParsedFile(
        format=Format.CADES if cades else Format.CMS,
        signatures=signatures,
        certificates=signed_data.certificates,
        crls=signed_data.crls,
        ocsp_responses=signed_data.ocsp_responses,
        notes=notes,
    )


def signatures_of(
    data: SignedData,
    content: Octets | None,
    *,
    what: str = "content",
    ranges: tuple[tuple[int, int], ...] = (),
    form: Format = Format.CMS,
) -> tuple[ParsedSignature | UnreadableSignature, ...]:
    """Read every signer over `content` (None: nowhere); one whose attributes cannot be read is kept as unreadable."""
    found: list[ParsedSignature | UnreadableSignature] = []
    for signer in data.signers:
        try:
            found.append(_complete(data, signer, content, what, ranges, form))
        except UNREADABLE as error:
            detail = error.detail if isinstance(error, ServiceError) else "a part of an attribute is missing"
            note = Note(reason=Reason.FORMAT_MALFORMED, detail=detail)
            found.append(UnreadableSignature(id=signature_id(signer.signature), format=form, note=note))
    return tuple(found)


def _complete(
    data: SignedData,
    signer: SignerInfo,
    content: Octets | None,
    what: str,
    ranges: tuple[tuple[int, int], ...],
    form: Format,
    depth: int = 0,
) -> ParsedSignature:
    bare = signature_of(data, signer, content=content, what=what, ranges=ranges, form=form, counter=depth > 0)
    values = validation_values(signer)
    timestamps = _timestamps(data, signer, content, bare.id)
    notes = bare.notes
    counters: tuple[ParsedSignature | UnreadableSignature, ...] = ()
    if depth < MAX_COUNTER_DEPTH:
        counters = _counter_signatures(data, signer, form, depth + 1)
    elif oids.ATTR_COUNTERSIGNATURE in signer.unsigned:
        notes += (Note(reason=Reason.COUNTERSIGNATURE_NOT_EVALUATED),)
    return replace(
        bare,
        certificates=bare.certificates + values.certificates,
        crls=bare.crls + values.crls,
        ocsp_responses=bare.ocsp_responses + values.ocsp_responses,
        timestamps=timestamps,
        counter_signatures=counters,
        notes=notes,
        level=LevelEvidence(
            baseline=bare.level.baseline,
            certificate_values=bool(values.certificates) or len(data.certificates) > 1,
            revocation_values=bool(values.crls or values.ocsp_responses or data.crls or data.ocsp_responses),
            archive_timestamp=any(stamp.kind is TimestampKind.ARCHIVE for stamp in timestamps),
        ),
    )


def _counter_signatures(
    data: SignedData, signer: SignerInfo, form: Format, depth: int
) -> tuple[ParsedSignature | UnreadableSignature, ...]:
    """Read those who signed the signature's value (RFC 5652 §11.4); one that cannot be read is kept as unreadable."""
    values = all_values(signer.unsigned, oids.ATTR_COUNTERSIGNATURE)
    if len(values) > MAX_COUNTER_SIGNATURES:
        raise refuse(f"more than {MAX_COUNTER_SIGNATURES} counter-signatures")
    found: list[ParsedSignature | UnreadableSignature] = []
    for value in values:
        try:
            found.append(_complete(data, read_signer(value), (signer.signature,), "signature", (), form, depth))
        except UNREADABLE as error:
            detail = error.detail if isinstance(error, ServiceError) else "a part of a counter-signature is missing"
            note = Note(reason=Reason.FORMAT_MALFORMED, detail=detail)
            found.append(UnreadableSignature(id=signature_id(value.raw), format=form, note=note))
    return tuple(found)


def _timestamps(
    data: SignedData, signer: SignerInfo, content: Octets | None, owner: str
) -> tuple[ParsedTimestamp, ...]:
    """Read the time-stamps of a signer; InvalidInput for more than `MAX_TIMESTAMPS`."""
    signed = all_values(signer.unsigned, oids.ATTR_SIGNATURE_TIMESTAMP)
    contents = all_values(signer.signed, _CONTENT_TIMESTAMP)
    whole, bare = (all_values(signer.unsigned, kind) for kind in (_CADES_C_TIMESTAMP, _REFERENCES_TIMESTAMP))
    archived = [(kind, value) for kind in ARCHIVE_TIMESTAMPS for value in all_values(signer.unsigned, kind)]
    if len(signed) + len(contents) + len(whole) + len(bare) + len(archived) > MAX_TIMESTAMPS:
        raise refuse(f"more than {MAX_TIMESTAMPS} time-stamps")
    covers = frozenset((owner,))
    found = [read_timestamp(value.raw, TimestampKind.SIGNATURE, (signer.signature,), covers) for value in signed]
    found += [read_timestamp(value.raw, TimestampKind.CONTENT, content) for value in contents]
    covered = frozenset((owner, *(stamp.id for stamp in found if stamp.covers)))
    referring = _attributes(signer, _REFERENCES)
    for value in whole:
        octets = (signer.signature, *_attributes(signer, (oids.ATTR_SIGNATURE_TIMESTAMP,)), *referring)
        found.append(read_timestamp(value.raw, TimestampKind.REFERENCES, octets, covered))
    found += [read_timestamp(value.raw, TimestampKind.REFERENCES, referring) for value in bare]
    found += read_archive_timestamps(archived, found, data, signer, content, owner)
    return tuple(found)


def _attributes(signer: SignerInfo, kinds: tuple[str, ...]) -> Octets:
    """Return types and values of the unsigned attributes of these types, one type after the other."""
    nodes = () if signer.unsigned_attributes is None else signer.unsigned_attributes.children(MAX_ATTRIBUTES)
    return tuple(node.content for kind in kinds for node in nodes if node.children(2)[0].oid() == kind)
