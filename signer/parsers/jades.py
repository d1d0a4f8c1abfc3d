"""JAdES: JSON Web Signatures with signing certificate, time and unsigned evidence (ETSI TS 119 182-1)."""

import hashlib
from typing import Any, Final

from pki import jose, oids
from pki.errors import ServiceError
from signer.parsers import jades_header as headers
from signer.parsers.cms import signature_id
from signer.parsers.jades_unsigned import unsigned_evidence
from signer.parsers.jws import Jws, RawJws, read, refuse, split
from signer.parsers.model import (
    MAX_COUNTER_DEPTH,
    Format,
    LevelEvidence,
    Note,
    ParsedFile,
    ParsedSignature,
    SignedObject,
    SignerHint,
    TimestampKind,
    UnreadableSignature,
)
from signer.validation.reasons import Reason

_MECHANISM: Final = "http://uri.etsi.org/19182/"
_HASHLIB: Final = {oids.SHA256: "sha256", oids.SHA384: "sha384", oids.SHA512: "sha512"}


def parse_jws(data: bytes, content: bytes | None) -> ParsedFile:
    """Read a JWS file; `content` is what a detached signature covers. InvalidInput when it is no JWS."""
    notes: tuple[Note, ...] = ()
    if data[:1] != b"{" and data.endswith(b"\n"):
        data, notes = data.removesuffix(b"\n").removesuffix(b"\r"), (Note(reason=Reason.TRAILING_NEWLINE),)
    return ParsedFile(
        format=Format.JADES, signatures=tuple(_signature(raw, content) for raw in split(data)), notes=notes
    )


def _signature(raw: RawJws, content: bytes | None, depth: int = 0) -> ParsedSignature | UnreadableSignature:
    try:
        return _neutral(read(raw), content, depth)
    except ServiceError as error:
        note = Note(reason=Reason.HEADER_REFUSED, detail=error.detail)
        return UnreadableSignature(id=signature_id(raw.signature), format=Format.JADES, note=note)


def _neutral(jws: Jws, content: bytes | None, depth: int) -> ParsedSignature:
    header, name = jws.header, signature_id(jws.signature_b64)
    if "etsiU" in header:
        raise refuse("etsiU in the protected header")
    algorithm, curve = headers.algorithm(header["alg"], jws.signature)
    references = headers.references(header)
    certificates, notes = headers.certificates(header.get("x5c", jws.unprotected.get("x5c", [])))
    claimed_at, time_notes = headers.claimed_time(header)
    covered, payload = _payload(jws, content)
    if jws.raw_payload is not None and content is not None and content != jws.raw_payload:
        notes += (Note(reason=Reason.CONTENT_DIFFERS),)
    evidence = unsigned_evidence(jws, name, payload)
    counters: tuple[ParsedSignature | UnreadableSignature, ...] = ()
    if depth < MAX_COUNTER_DEPTH:
        counters = tuple(_counter_signature(jws, data, depth + 1) for data in evidence.counter_signatures)
    elif evidence.counter_signatures:
        notes += (Note(reason=Reason.COUNTERSIGNATURE_NOT_EVALUATED),)
    return ParsedSignature(
        id=name,
        format=Format.JADES,
        algorithm=algorithm,
        algorithm_name=header["alg"],
        digest_oid=None,
        curve=curve,
        signature=headers.x509_value(header["alg"], jws.signature),
        signed_bytes=(jws.signing_input(payload or b""),),
        objects=(covered,),
        content_type=header["cty"] if isinstance(header.get("cty"), str) else None,
        certificates=certificates + tuple(evidence.certificates),
        hint=SignerHint(certificate=certificates[0] if certificates else None),
        references=references,
        bound="x5c" in header,
        claimed_at=claimed_at,
        timestamps=tuple(evidence.timestamps),
        crls=tuple(evidence.crls),
        ocsp_responses=tuple(evidence.ocsp_responses),
        counter_signatures=counters,
        level=LevelEvidence(
            baseline=bool(references or "x5c" in header) and claimed_at is not None,
            certificate_values=bool(evidence.certificates) or len(certificates) > 1,
            revocation_values=bool(evidence.crls or evidence.ocsp_responses),
            archive_timestamp=any(stamp.kind is TimestampKind.ARCHIVE for stamp in evidence.timestamps),
        ),
        notes=notes + time_notes,
    )


def _counter_signature(jws: Jws, data: bytes, depth: int) -> ParsedSignature | UnreadableSignature:
    """Read one JWS whose detached payload is the signature value (TS 119 182-1 §5.3.2)."""
    try:
        (raw,) = split(data)
    except (ServiceError, ValueError) as error:
        detail = error.detail if isinstance(error, ServiceError) else "one counter-signature a component"
        note = Note(reason=Reason.FORMAT_MALFORMED, detail=detail)
        return UnreadableSignature(id=signature_id(data), format=Format.JADES, note=note)
    return _signature(raw, jws.signature, depth)


def _payload(jws: Jws, content: bytes | None) -> tuple[SignedObject, bytes | None]:
    """Return the object that is signed and its part of the signing input, None when it is nowhere."""
    absent = SignedObject(what="payload", octets=None)
    if jws.payload is not None:
        return SignedObject(what="payload", octets=_one(jws.raw_payload)), jws.payload
    detached = jws.header.get("sigD")
    if detached is None:
        mechanism = f"{_MECHANISM}ObjectIdByURI"  # RFC 7515 appendix F: the content itself is the payload
    elif isinstance(detached, dict) and isinstance(detached.get("mId"), str):
        mechanism = detached["mId"]
    else:
        raise refuse("sigD is not an object with mId")
    if mechanism == f"{_MECHANISM}ObjectIdByURIHash":
        return _by_digest(detached or {}, content), b""
    if mechanism != f"{_MECHANISM}ObjectIdByURI" or content is None:
        return absent, None
    payload = content if jws.unencoded else jose.b64url(content).encode()
    return SignedObject(what="payload", octets=(content,)), payload


def _one(data: bytes | None) -> tuple[bytes, ...] | None:
    return None if data is None else (data,)


def _by_digest(detached: dict[str, Any], content: bytes | None) -> SignedObject:
    """Read ObjectIdByURIHash (TS 119 182-1 §5.2.8.3.3); digests of the octets or of their base64url exist."""
    digest_oid, values = headers.DIGESTS.get(str(detached.get("hashM"))), detached.get("hashV")
    if digest_oid is None or not isinstance(values, list) or not values:
        raise refuse("sigD names no digest")
    if len(values) != 1 or content is None:
        return SignedObject(what="payload", octets=None)
    expected = headers.b64url(values[0])
    encoded = jose.b64url(content).encode()
    by_text = hashlib.new(_HASHLIB[digest_oid], encoded).digest() == expected
    return SignedObject(
        what="payload", octets=(encoded if by_text else content,), digest_oid=digest_oid, expected=expected
    )
