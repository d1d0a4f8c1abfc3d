"""The unsigned part of a JAdES signature: `etsiU` with time-stamps and validation data (TS 119 182-1 §5.3)."""

from dataclasses import dataclass, field, replace
from typing import Any, Final

from pki import jose
from pki.certificates import Certificate
from pki.errors import InvalidInput
from signer.parsers.jades_header import MAX_COMPONENTS, der_b64
from signer.parsers.jws import Jws, refuse
from signer.parsers.model import MAX_COUNTER_SIGNATURES, MAX_TIMESTAMPS, Octets, ParsedTimestamp, TimestampKind
from signer.parsers.tst import read_spelled, read_timestamp

_REFERENCES: Final = frozenset(("xRefs", "rRefs", "axRefs", "arRefs"))


@dataclass(slots=True)
class UnsignedEvidence:
    """What `etsiU` holds, gathered in its order."""

    timestamps: list[ParsedTimestamp] = field(default_factory=list)
    certificates: list[Certificate] = field(default_factory=list)
    crls: list[bytes] = field(default_factory=list)
    ocsp_responses: list[bytes] = field(default_factory=list)
    counter_signatures: list[bytes] = field(default_factory=list)

    @property
    def values(self) -> frozenset[bytes]:
        """The DER of everything that was read so far, in time-stamps too."""
        stamped = (stamp.token.signature.values for stamp in self.timestamps if stamp.token is not None)
        return frozenset((*(one.der for one in self.certificates), *self.crls, *self.ocsp_responses)).union(*stamped)


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
    components = [_as_object(member) for member in members]
    names = tuple(name for component in components for name in component)
    signed = _Signed(jws=jws, owner=owner, payload=payload, names=names, spellings=_spelled(members))
    for index, component in enumerate(components):
        _component(component, signed, index, found)
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class _Signed:
    """The signature that components of `etsiU` belong to, and the spellings of those, each written once."""

    jws: Jws
    owner: str
    payload: bytes | None
    names: tuple[str, ...]
    spellings: tuple[tuple[bytes, ...], ...]

    def archived(self, index: int) -> tuple[Octets, ...]:
        """Return what an archive time-stamp at `index` covers (§5.3.6.3), in the spellings that there are."""
        if self.payload is None:
            return ()
        before = (self.payload, b".", self.jws.protected, b".", self.jws.signature_b64, b".")
        return tuple((*before, *spelled[:index]) for spelled in self.spellings)

    def referring(self, index: int, *, signature: bool) -> tuple[Octets, ...]:
        """Return what a time-stamp over references at `index` covers (§A.1.5); with the `signature` or without."""
        names = _REFERENCES | {"sigTst"} if signature else _REFERENCES
        before = (self.jws.signature_b64, b".") if signature else ()
        return tuple(
            (*before, *(one for one, name in zip(spelled[:index], self.names, strict=False) if name in names))
            for spelled in self.spellings
        )


def _spelled(members: list[Any]) -> tuple[tuple[bytes, ...], ...]:
    """Write components as time-stamps cover them: base64url as it stands.

    Clear ones are written by whatever `canonAlg` names: sorted as RFC 8785 has it, or in their own order.
    """
    if isinstance(members[0], str):
        return (tuple(member.encode() for member in members),)
    return tuple(tuple(map(write, members)) for write in (jose.canonical_json, jose.compact_json))


def _as_object(member: Any) -> dict[str, Any]:
    value = jose.json_object(jose.unb64url(member)) if isinstance(member, str) else member
    if not isinstance(value, dict) or len(value) != 1:
        raise refuse("a component of etsiU is not an object with one member")
    return value


def _component(component: dict[str, Any], signed: _Signed, index: int, found: UnsignedEvidence) -> None:
    ((name, value),) = component.items()
    covered = frozenset((signed.owner, *(stamp.id for stamp in found.timestamps)))
    match name:
        case "sigTst":
            octets = (signed.jws.signature_b64,)
            _timestamps(value, TimestampKind.SIGNATURE, octets, frozenset((signed.owner,)), found)
        case "arcTst":
            held = found.values | embedded_values(signed.jws)
            for token in _tokens(value, found):
                stamp = read_spelled(token, TimestampKind.ARCHIVE, signed.archived(index), covered)
                found.timestamps.append(replace(stamp, values=held))
        case "sigRTst" | "rfsTst":
            whole = name == "sigRTst"
            for token in _tokens(value, found):
                spellings = signed.referring(index, signature=whole)
                covers = covered if whole else frozenset()
                found.timestamps.append(read_spelled(token, TimestampKind.REFERENCES, spellings, covers))
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
    found.timestamps.extend(read_timestamp(token, kind, imprinted, covers) for token in _tokens(value, found))


def _tokens(value: Any, found: UnsignedEvidence) -> list[bytes]:
    tokens = _array(_object(value).get("tstTokens", []))
    if len(found.timestamps) + len(tokens) > MAX_TIMESTAMPS:
        raise refuse(f"more than {MAX_TIMESTAMPS} time-stamps")
    return [der_b64(_object(token).get("val")) for token in tokens]


def embedded_values(jws: Jws) -> frozenset[bytes]:
    """Return the DER of the certificates in the protected header."""
    return frozenset(der_b64(value) for value in _array(jws.header.get("x5c", [])))


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
