"""The unsigned part of a JAdES signature: `etsiU` with time-stamps and validation data (TS 119 182-1 §5.3)."""

from dataclasses import dataclass, field
from typing import Any

from pki import jose
from pki.certificates import Certificate
from pki.errors import InvalidInput
from signer.parsers.jades_header import MAX_COMPONENTS, der_b64
from signer.parsers.jws import Jws, refuse
from signer.parsers.model import MAX_COUNTER_SIGNATURES, MAX_TIMESTAMPS, Octets, ParsedTimestamp, TimestampKind
from signer.parsers.tst import read_timestamp


@dataclass(slots=True)
class UnsignedEvidence:
    """What `etsiU` holds, gathered in its order."""

    timestamps: list[ParsedTimestamp] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)
    crls: list[bytes] = field(default_factory=list)
    ocsp_responses: list[bytes] = field(default_factory=list)
    counter_signatures: list[bytes] = field(default_factory=list)


def unsigned_evidence(jws: Jws, owner: str, payload: bytes | None) -> UnsignedEvidence:
    """Read `adoTst` and `etsiU` of the signature named `owner`; `payload` is what its time-stamps cover, if known.

    InvalidInput when `etsiU` is no array, or mixes clear objects with base64url strings (§5.3.1).
    """
    found = UnsignedEvidence()
    if "adoTst" in jws.header:
        stamped = None if payload is None else (payload,)
        _timestamps(jws.header["adoTst"], TimestampKind.CONTENT, stamped, frozenset(), found)
    if "etsiU" not in jws.unprotected:
        return found
    members = jws.unprotected["etsiU"]
    if not isinstance(members, list) or not 0 < len(members) <= MAX_COMPONENTS:
        raise refuse("etsiU is not an array of components")
    if len({isinstance(member, str) for member in members}) > 1:
        raise refuse("etsiU mixes clear objects and base64url strings")
    for index, member in enumerate(members):
        archived: Octets | None = None
        if isinstance(member, str) and payload is not None:
            before = "".join(members[:index]).encode()
            archived = (b".".join((payload, jws.protected, jws.signature_b64, before)),)
        _component(_as_object(member), jws, owner, archived, found)
    return found


def _as_object(member: Any) -> dict[str, Any]:
    value = jose.json_object(jose.unb64url(member)) if isinstance(member, str) else member
    if not isinstance(value, dict) or len(value) != 1:
        raise refuse("a component of etsiU is not an object with one member")
    return value


def _component(
    component: dict[str, Any], jws: Jws, owner: str, archived: Octets | None, found: UnsignedEvidence
) -> None:
    ((name, value),) = component.items()
    match name:
        case "sigTst":
            _timestamps(value, TimestampKind.SIGNATURE, (jws.signature_b64,), frozenset((owner,)), found)
        case "arcTst":
            covered = frozenset((owner, *(stamp.id for stamp in found.timestamps)))
            _timestamps(value, TimestampKind.ARCHIVE, archived, covered, found)
        case "xVals" | "axVals":
            found.certificates.extend(_certificate_values(value))
        case "rVals" | "arVals":
            _revocation_values(value, found)
        case "tstVD" | "anyValData":
            container = _object(value)
            found.certificates.extend(_certificate_values(container.get("xVals", [])))
            _revocation_values(container.get("rVals", {}), found)
        case "cSig":
            if len(found.counter_signatures) >= MAX_COUNTER_SIGNATURES:
                raise refuse(f"more than {MAX_COUNTER_SIGNATURES} counter-signatures")
            found.counter_signatures.append(
                value.encode() if isinstance(value, str) else jose.compact_json(_object(value))
            )


def _object(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise refuse("a component of etsiU has another type")
    return value


def _array(value: Any) -> list[Any]:
    if not isinstance(value, list) or len(value) > MAX_COMPONENTS:
        raise refuse("a component of etsiU is not an array")
    return value


def _timestamps(
    value: Any, kind: TimestampKind, imprinted: Octets | None, covers: frozenset[str], found: UnsignedEvidence
) -> None:
    container = _object(value)
    canonical = kind is TimestampKind.ARCHIVE and "canonAlg" in container
    stamped = None if canonical else imprinted  # a canonicalised input is not computed here
    tokens = _array(container.get("tstTokens", []))
    if len(found.timestamps) + len(tokens) > MAX_TIMESTAMPS:
        raise refuse(f"more than {MAX_TIMESTAMPS} time-stamps")
    for token in tokens:
        found.timestamps.append(read_timestamp(der_b64(_object(token).get("val")), kind, stamped, covers))


def _certificate_values(value: Any) -> list[Certificate]:
    found = []
    for entry in _array(value):
        certificate = _object(entry).get("x509Cert")
        if certificate is None:
            continue  # otherCert: another kind of certificate proves nothing here
        try:
            found.append(Certificate.parse(der_b64(_object(certificate).get("val"))))
        except InvalidInput:
            continue  # an unreadable extra certificate proves nothing and harms nothing
    return found


def _revocation_values(value: Any, found: UnsignedEvidence) -> None:
    container = _object(value)
    for name, into in (("crlVals", found.crls), ("ocspVals", found.ocsp_responses)):
        into.extend(der_b64(_object(entry).get("val")) for entry in _array(container.get(name, [])))
