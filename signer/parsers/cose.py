"""COSE_Sign1 with CWT claims: the printed prescription code as a neutral signature (RFC 9052 §4.2, RFC 8392)."""

import hashlib
import math
from datetime import UTC, datetime
from typing import Final

from pki import cbor
from pki.errors import InvalidInput, ServiceError
from signer import prescription_code as code
from signer.parsers import cose_header
from signer.parsers.cms import signature_id
from signer.parsers.cose_header import Header, Headers, octets, refuse
from signer.parsers.detect import detect
from signer.parsers.jades import parse_jws
from signer.parsers.jades_header import algorithm, x509_value
from signer.parsers.model import (
    ContentClaims,
    Format,
    LevelEvidence,
    Note,
    ParsedFile,
    ParsedSignature,
    SignedObject,
    UnreadableSignature,
)
from signer.validation.reasons import Reason

_LAST_SECOND: Final = 253_402_300_799  # of the year 9999
_MAPS: Final = range(0xA0, 0xC0)  # what a CBOR map begins with
_SELF_DESCRIBED: Final = 55799  # RFC 8949 §3.4.6
_CWT_TYPES: Final = (None, 61, "application/cwt")  # RFC 8392 §9.3; a COSE_Sign1 need not say what it holds

_Parts = tuple[bytes, Header, bytes | None, bytes]


def parse_cose(data: bytes, content: bytes | None) -> ParsedFile:
    """Read a code as text, or the COSE_Sign1 itself; `content` is the document that it belongs to, or its payload.

    InvalidInput when it is no COSE_Sign1.
    """
    notes: tuple[Note, ...] = ()
    prescribes, printed = data.startswith(code.PREFIX), data.startswith(code.PREFIXES)
    if printed:
        if data.endswith(b"\n"):
            data, notes = data.removesuffix(b"\n").removesuffix(b"\r"), (Note(reason=Reason.TRAILING_NEWLINE),)
        data = code.from_text(data)
    elif len(data) > code.MAX_COSE:
        raise refuse("a COSE_Sign1 that is too large")
    item, deterministic = cbor.decode(data)
    parts, tagged = _unwrapped(item, bare=not prescribes)
    if not deterministic:
        notes += (Note(reason=Reason.CBOR_NOT_DETERMINISTIC),)
    signature = _signature(parts, content, prescribes=prescribes, is_cwt=printed or tagged)
    return ParsedFile(format=Format.COSE, signatures=(signature,), notes=notes)


def _unwrapped(item: cbor.Value, *, bare: bool) -> tuple[_Parts, bool]:
    """Take the four parts of a COSE_Sign1 out of its tag, and out of CWT's around it, and say whether that was there.

    `bare`: it may also stand without tags, which RFC 9052 §2 leaves to those who know what they read.
    """
    if isinstance(item, cbor.Tag) and item.number == _SELF_DESCRIBED and bare:
        item = item.value
    is_cwt = isinstance(item, cbor.Tag) and item.number == code.CWT
    if isinstance(item, cbor.Tag) and is_cwt:
        item = item.value
    if isinstance(item, cbor.Tag) and item.number == code.COSE_SIGN1:
        item = item.value
    elif is_cwt or not bare:
        raise refuse("not tagged as COSE_Sign1")
    if not isinstance(item, list) or len(item) != 4:
        raise refuse("a COSE_Sign1 has four parts")
    protected, unprotected, payload, value = item
    if not isinstance(unprotected, dict):
        raise refuse("a header is not a map")
    return (octets(protected), unprotected, None if payload is None else octets(payload), octets(value)), is_cwt


def _signature(
    parts: _Parts, content: bytes | None, *, prescribes: bool, is_cwt: bool
) -> ParsedSignature | UnreadableSignature:
    protected, unprotected, _, value = parts
    try:
        decoded, deterministic = cbor.decode(protected) if protected else ({}, True)
        headers = cose_header.read_headers(decoded, unprotected)
        notes = headers.notes
        if not deterministic:
            notes += (Note(reason=Reason.CBOR_NOT_DETERMINISTIC, detail="protected header"),)
        return _neutral(headers, parts, content, notes, prescribes=prescribes, is_cwt=is_cwt)
    except ServiceError as error:
        note = Note(reason=Reason.HEADER_REFUSED, detail=error.detail)
        return UnreadableSignature(id=signature_id(value), format=Format.COSE, note=note)


def _neutral(
    headers: Headers,
    parts: _Parts,
    content: bytes | None,
    notes: tuple[Note, ...],
    *,
    prescribes: bool,
    is_cwt: bool,
) -> ParsedSignature:
    protected, _, payload, value = parts
    identifier, curve = algorithm(headers.algorithm, value)
    chain, references = cose_header.certificates(headers), cose_header.references(headers)
    covered = content if payload is None else payload
    claims: ContentClaims | None = None
    defects: tuple[Note, ...] = ()
    try:
        claims = _claims(headers, b"" if covered is None else covered, prescribes=prescribes, is_cwt=is_cwt)
    except InvalidInput as error:
        defects = (Note(reason=Reason.FORMAT_MALFORMED, detail=error.detail),)
    if payload is not None and content is not None:
        notes += _about(content, payload, claims)
    signed_certificate = bool(references) or code.X5CHAIN in headers.protected
    return ParsedSignature(
        id=signature_id(value),
        format=Format.COSE,
        algorithm=identifier,
        algorithm_name=headers.algorithm,
        digest_oid=None,
        curve=curve,
        signature=x509_value(headers.algorithm, value),
        signed_bytes=(code.signature_input(protected, b"" if covered is None else covered),),
        objects=(SignedObject(what="payload", octets=None if covered is None else (covered,)),),
        certificates=chain,
        hint=cose_header.hint(headers, chain, referenced=bool(references)),
        references=references,
        # A code without certificates is held against those of the verifier: nobody else could put one in their place.
        bound=signed_certificate or not chain,
        claimed_at=None if claims is None else claims.issued_at,
        claims=claims,
        level=LevelEvidence(baseline=signed_certificate and claims is not None and claims.issued_at is not None),
        defects=defects,
        notes=notes,
    )


def _claims(headers: Headers, payload: bytes, *, prescribes: bool, is_cwt: bool) -> ContentClaims:
    """Read when the content is good, and which document it belongs to (RFC 8392 §3, RFC 9597).

    What is no CWT by its wrapping may hold anything: claims are then what looks like them and is not called otherwise.
    """
    said: Header = {}
    if payload and (is_cwt or (payload[0] in _MAPS and headers.protected.get(code.CONTENT_TYPE) in _CWT_TYPES)):
        body, _ = cbor.decode(payload)
        if not isinstance(body, dict):
            raise refuse("the payload is not a map of claims")
        said = body
    ahead = headers.protected.get(code.CWT_CLAIMS, {})
    if not isinstance(ahead, dict) or code.CWT_CLAIMS in headers.unprotected:
        raise refuse("CWT claims are no protected map")
    if any(name in said and said[name] != claim for name, claim in ahead.items()):
        raise refuse("a claim says two things (RFC 9597 §2)")
    said = {**ahead, **said}
    private = said.get(code.PRESCRIPTION)
    digest = private.get(code.DOCUMENT_SHA256) if isinstance(private, dict) else None
    return ContentClaims(
        identifier=None if said.get(code.CTI) is None else octets(said[code.CTI]),
        issued_at=_instant(said.get(code.IAT)),
        not_before=_instant(said.get(code.NBF)),
        expires_at=_instant(said.get(code.EXP)),
        document_sha256=None if digest is None else octets(digest),
        prescribes=prescribes or code.PRESCRIPTION in said,
    )


def _instant(value: cbor.Value) -> datetime | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refuse("a time is not a number")
    if not math.isfinite(value) or not 0 <= value <= _LAST_SECOND:
        raise refuse("a time outside the calendar")
    return datetime.fromtimestamp(value, UTC)


def _about(content: bytes, payload: bytes, claims: ContentClaims | None) -> tuple[Note, ...]:
    """Compare the document at hand with the one that the code names; a signed document is what it signs."""
    if claims is None or claims.document_sha256 is None:
        return () if content == payload else (Note(reason=Reason.CONTENT_DIFFERS),)
    documents = [content]
    if detect(content) is Format.JADES:
        try:
            signatures = parse_jws(content, None).signatures
        except ServiceError:
            signatures = ()
        signed = (item for s in signatures if isinstance(s, ParsedSignature) for item in s.objects)
        documents += [b"".join(item.octets) for item in signed if item.octets is not None]
    if any(hashlib.sha256(document).digest() == claims.document_sha256 for document in documents):
        return ()
    return (Note(reason=Reason.DOCUMENT_DIFFERS),)
