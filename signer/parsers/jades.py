"""JAdES: JSON Web Signatures with signing certificate, time and unsigned evidence (ETSI TS 119 182-1)."""

from dataclasses import dataclass
from typing import Any, Final

from pki import jose
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
    TimestampKind,
    UnreadableSignature,
)
from signer.validation.crypto import digest
from signer.validation.reasons import Reason

_MECHANISM: Final = "http://uri.etsi.org/19182/"


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
    covered = _covered(jws, content)
    if jws.raw_payload is not None and content is not None and content != jws.raw_payload:
        notes += (Note(reason=Reason.CONTENT_DIFFERS),)
    evidence = unsigned_evidence(jws, name, covered.stamped)
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
        signed_bytes=(jws.signing_input(covered.payload),),
        objects=covered.objects,
        content_type=header["cty"] if isinstance(header.get("cty"), str) else None,
        certificates=certificates + tuple(evidence.certificates),
        hint=headers.hint(jws, certificates),
        references=references,
        bound="x5c" in header,
        policy=headers.policy(header),
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


@dataclass(frozen=True, slots=True, kw_only=True)
class _Covered:
    """What is signed: its objects, its part of the signing input, and what time-stamps of the content cover.

    The part is empty where the objects are nowhere, and where the header holds their digests; `stamped` is None
    where they are nowhere.
    """

    objects: tuple[SignedObject, ...]
    payload: bytes = b""
    stamped: bytes | None = None


def _covered(jws: Jws, content: bytes | None) -> _Covered:
    absent = _Covered(objects=(SignedObject(what="payload", octets=None),))
    if jws.payload is not None:
        if "sigD" in jws.header:
            raise refuse("sigD beside a payload (TS 119 182-1 §5.2.8.1)")
        octets = None if jws.raw_payload is None else (jws.raw_payload,)
        payload = SignedObject(what="payload", octets=octets)
        return _Covered(objects=(payload,), payload=jws.payload, stamped=jws.payload)
    detached = jws.header.get("sigD")
    if detached is None:
        mechanism = f"{_MECHANISM}ObjectIdByURI"  # RFC 7515 appendix F: the content itself is the payload
    elif isinstance(detached, dict) and isinstance(detached.get("mId"), str):
        mechanism = detached["mId"]
    else:
        raise refuse("sigD is not an object with mId")
    if mechanism == f"{_MECHANISM}ObjectIdByURIHash":
        return _by_digest(jws, detached or {}, content)
    if mechanism != f"{_MECHANISM}ObjectIdByURI" or content is None:
        return absent
    payload_octets = content if jws.unencoded else jose.b64url(content).encode()
    return _Covered(
        objects=(SignedObject(what="payload", octets=(content,)),), payload=payload_octets, stamped=payload_octets
    )


def _by_digest(jws: Jws, detached: dict[str, Any], content: bytes | None) -> _Covered:
    """Read ObjectIdByURIHash (TS 119 182-1 §5.2.8.3.3): each object by its digest, of its octets or their base64url.

    Of several objects the one that `content` is, is there; a single one is meant to be it.
    """
    digest_oid, values = headers.DIGESTS.get(str(detached.get("hashM"))), detached.get("hashV")
    if digest_oid is None or not isinstance(values, list) or not 0 < len(values) <= headers.MAX_COMPONENTS:
        raise refuse("sigD names no digest")
    names = detached.get("pars")
    if not isinstance(names, list) or len(names) != len(values):
        raise refuse("sigD names other objects than it has digests of")
    spellings = () if content is None else (content, jose.b64url(content).encode())
    digests = {digest(digest_oid, (spelling,)): spelling for spelling in reversed(spellings)}
    objects = []
    for name, value in zip(names, values, strict=True):
        expected = headers.b64url(value)
        octets = digests.get(expected, content if len(values) == 1 else None)
        what = "payload" if len(values) == 1 else str(name)[:200]
        objects.append(
            SignedObject(
                what=what,
                octets=None if octets is None else (octets,),
                digest_oid=digest_oid,
                expected=expected,
            )
        )
    whole = content is not None and len(values) == 1
    return _Covered(objects=tuple(objects), stamped=spellings[0 if jws.unencoded else 1] if whole else None)
