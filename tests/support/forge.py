"""CMS and JWS built by hand, so that exactly one thing can be wrong with them."""

import base64
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from pki import der, oids
from pki.certificates import Certificate
from pki.jose import b64url, compact_json
from tests.support.pki import NOW

ECDSA_SHA256 = der.sequence(der.oid(oids.ECDSA_WITH_SHA256))


class Signs(Protocol):
    """Any key: real ones, and weak ones that Mohr's own keys refuse to be."""

    def sign(self, message: bytes) -> bytes:
        """Sign a message, X.509-encoded."""
        ...


class Held(Protocol):
    """A certificate with its key."""

    @property
    def certificate(self) -> Certificate: ...

    @property
    def key(self) -> Signs: ...


def attribute(kind: str, *values: bytes) -> bytes:
    """Encode an Attribute."""
    return der.sequence(der.oid(kind), der.tlv(der.SET, *values))


def signing_certificate_v2(certificate: Certificate) -> bytes:
    """Encode signing-certificate-v2 with SHA-256."""
    reference = der.sequence(der.sequence(der.sequence(der.octet_string(certificate.sha256))))
    return attribute(oids.ATTR_SIGNING_CERTIFICATE_V2, reference)


@dataclass(kw_only=True)
class CmsForge:
    """The parts of a CMS signature; change one, then `build`.

    `extra` and `unsigned` are whole attributes; `without` leaves standard ones out by type; `arrange` orders
    signed attributes after the signature over their DER order is made.
    """

    content: bytes
    holder: Held
    detached: bool = False
    content_type: str = oids.CMS_DATA
    claimed_type: str | None = None
    hash_oid: str = oids.SHA256
    digest_name: str = "sha256"
    algorithm: bytes = ECDSA_SHA256
    signing_time: datetime = NOW
    reference: Certificate | None = None
    without: tuple[str, ...] = ()
    extra: tuple[bytes, ...] = ()
    unsigned: tuple[bytes, ...] = ()
    certificates: Sequence[Certificate] | None = None
    serial: int | None = None
    arrange: Callable[[list[bytes]], list[bytes]] = sorted
    spoil: Callable[[bytes], bytes] = field(default=lambda value: value)
    signers: int = 1

    def attributes(self) -> list[bytes]:
        """Return the signed attributes in DER order."""
        digest = _digest(self.digest_name, self.content)
        standard = {
            oids.ATTR_CONTENT_TYPE: attribute(oids.ATTR_CONTENT_TYPE, der.oid(self.claimed_type or self.content_type)),
            oids.ATTR_MESSAGE_DIGEST: attribute(oids.ATTR_MESSAGE_DIGEST, der.octet_string(digest)),
            oids.ATTR_SIGNING_TIME: attribute(oids.ATTR_SIGNING_TIME, der.time(self.signing_time)),
            oids.ATTR_SIGNING_CERTIFICATE_V2: signing_certificate_v2(self.reference or self.holder.certificate),
        }
        return sorted([value for kind, value in standard.items() if kind not in self.without] + list(self.extra))

    def signer_info(self) -> bytes:
        """Return one SignerInfo."""
        attributes = self.attributes()
        value = self.spoil(self.holder.key.sign(der.tlv(der.SET, *attributes)))
        certificate = self.holder.certificate
        serial = certificate.serial if self.serial is None else self.serial
        return der.sequence(
            der.integer(1),
            der.sequence(certificate.issuer_der, der.integer(serial)),
            der.sequence(der.oid(self.hash_oid)),
            der.context(0, *self.arrange(attributes)),
            self.algorithm,
            der.octet_string(value),
            der.context(1, *self.unsigned) if self.unsigned else b"",
        )

    def signed_data(self) -> bytes:
        """Return the SignedData without its ContentInfo."""
        certificates = [self.holder.certificate] if self.certificates is None else self.certificates
        return der.sequence(
            der.integer(1 if self.content_type == oids.CMS_DATA else 3),
            der.tlv(der.SET, der.sequence(der.oid(self.hash_oid))),
            der.sequence(
                der.oid(self.content_type), b"" if self.detached else der.context(0, der.octet_string(self.content))
            ),
            der.context(0, *(c.der for c in certificates)) if certificates else b"",
            der.tlv(der.SET, *(self.signer_info() for _ in range(self.signers))),
        )

    def build(self) -> bytes:
        """Return the whole CMS."""
        return der.sequence(der.oid(oids.CMS_SIGNED_DATA), der.context(0, self.signed_data()))


def _digest(name: str, content: bytes) -> bytes:
    return hashlib.shake_256(content).digest(64) if name == "shake_256" else hashlib.new(name, content).digest()


def forge_token(
    imprint: bytes, tsa: Held, at: datetime, *, hash_oid: str = oids.SHA256, unsigned: tuple[bytes, ...] = ()
) -> bytes:
    """Forge an RFC 3161 token by any holder over a digest; `unsigned` are whole attributes."""
    info = der.sequence(
        der.integer(1),
        der.oid("1.3.6.1.4.1.32473.364.4.1"),
        der.sequence(der.sequence(der.oid(hash_oid)), der.octet_string(imprint)),
        der.integer(1),
        der.generalized_time(at),
    )
    forge = CmsForge(content=info, holder=tsa, content_type=oids.TST_INFO, signing_time=at, unsigned=unsigned)
    return forge.build()


@dataclass(kw_only=True)
class JwsForge:
    """The parts of a JWS; `header` changes protected members, a value of None removes one."""

    payload: bytes
    holder: Any
    header: dict[str, Any] = field(default_factory=dict)
    unprotected: dict[str, Any] | None = None
    raw_header: bytes | None = None
    unencoded: bool = False
    spoil: Callable[[bytes], bytes] = field(default=lambda value: value)

    def parts(self) -> tuple[str, str, str]:
        """Return protected header, payload and signature as they stand in a JWS."""
        certificate: Certificate = self.holder.certificate
        members: dict[str, Any] = {
            "alg": "ES256",
            "typ": "jose+json",
            "cty": "application/fhir+json",
            "x5t#S256": b64url(certificate.sha256),
            "x5c": [base64.b64encode(certificate.der).decode()],
            "sigT": NOW.strftime("%Y-%m-%dT%H:%M:%SZ"),
            "crit": ["sigT"],
        }
        members = {name: value for name, value in (members | self.header).items() if value is not None}
        protected = b64url(compact_json(members) if self.raw_header is None else self.raw_header)
        payload = self.payload.decode() if self.unencoded else b64url(self.payload)
        value = self.holder.key.sign(f"{protected}.{payload}".encode())
        return protected, payload, b64url(self.spoil(_raw_value(value)))

    def compact(self) -> bytes:
        """Return the compact serialisation."""
        return ".".join(self.parts()).encode()

    def flattened(self, **members: Any) -> bytes:
        """Return the flattened serialisation, with members changed or added."""
        protected, payload, signature = self.parts()
        document: dict[str, Any] = {"payload": payload, "protected": protected, "signature": signature}
        if self.unprotected is not None:
            document["header"] = self.unprotected
        return compact_json(document | members)


def _raw_value(value: bytes) -> bytes:
    r, s = (node.integer() for node in der.parse(value).sequence())
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def flip(data: bytes, at: int) -> bytes:
    """Flip one bit of the octet at `at` (counted from the end when negative)."""
    index = at % len(data)
    return data[:index] + bytes((data[index] ^ 1,)) + data[index + 1 :]
