"""OCSP responses built by hand, so that exactly one thing can be wrong with them."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from pki import der, oids
from pki.certificates import Certificate
from tests.support.forge import ECDSA_SHA256, Held
from tests.support.pki import NOW, Holder, Issuer

BASIC = "1.3.6.1.5.5.7.48.1.1"
NONCE = "1.3.6.1.5.5.7.48.1.2"
CERT_HASH = "1.3.36.8.3.13"
GOOD = der.context(0, constructed=False)
UNKNOWN = der.context(2, constructed=False)
NULL = der.null()


def revoked(at: datetime = NOW - timedelta(days=1), reason: int | None = None) -> bytes:
    """Encode a CertStatus of revoked."""
    told = b"" if reason is None else der.context(0, der.integer(reason, der.ENUMERATED))
    return der.context(1, der.generalized_time(at), told)


def extension(kind: str, value: bytes, *, critical: bool = False) -> bytes:
    """Encode one Extension."""
    return der.sequence(der.oid(kind), der.boolean(True) if critical else b"", der.octet_string(value))


def cert_hash(certificate: bytes, *, name: str = "sha256", hash_oid: str = oids.SHA256) -> bytes:
    """Encode the certHash extension about these octets."""
    digest = hashlib.new(name, certificate).digest()
    return extension(CERT_HASH, der.sequence(der.sequence(der.oid(hash_oid)), der.octet_string(digest)))


@dataclass(kw_only=True)
class OcspForge:
    """The parts of a response about `subject`; change one, then `build`."""

    subject: Certificate
    issuer: Certificate
    signer: Held
    hash_oid: str = oids.SHA256
    hash_name: str = "sha256"
    parameters: bytes = NULL
    issuer_key: Certificate | None = None
    serial: int | None = None
    status: bytes = GOOD
    more_statuses: Sequence[bytes] = ()
    produced_at: datetime = NOW - timedelta(minutes=5)
    this_update: datetime = NOW - timedelta(minutes=5)
    next_update: datetime | None = NOW + timedelta(hours=8)
    by_name: bool = False
    named: Certificate | None = None
    single_extensions: Sequence[bytes] = ()
    extensions: Sequence[bytes] = ()
    certificates: Sequence[Certificate] | None = None
    spoil: Callable[[bytes], bytes] = field(default=lambda value: value)

    def cert_id(self) -> bytes:
        """Encode the CertID."""
        key = der.parse((self.issuer_key or self.issuer).spki_der).sequence()[1].bits()
        digests = (hashlib.new(self.hash_name, part).digest() for part in (self.subject.issuer_der, key))
        serial = self.subject.serial if self.serial is None else self.serial
        algorithm = der.sequence(der.oid(self.hash_oid), self.parameters)
        return der.sequence(algorithm, *map(der.octet_string, digests), der.integer(serial))

    def single(self, status: bytes) -> bytes:
        """Encode a SingleResponse."""
        return der.sequence(
            self.cert_id(),
            status,
            der.generalized_time(self.this_update),
            b"" if self.next_update is None else der.context(0, der.generalized_time(self.next_update)),
            der.context(1, der.sequence(*self.single_extensions)) if self.single_extensions else b"",
        )

    def responder_id(self) -> bytes:
        """Encode the ResponderID."""
        named = self.named or self.signer.certificate
        return der.context(1, named.subject_der) if self.by_name else der.context(2, der.octet_string(named.spki_sha1))

    def build(self) -> bytes:
        """Return the whole OCSPResponse."""
        data = der.sequence(
            self.responder_id(),
            der.generalized_time(self.produced_at),
            der.sequence(*map(self.single, (self.status, *self.more_statuses))),
            der.context(1, der.sequence(*self.extensions)) if self.extensions else b"",
        )
        shown = [self.signer.certificate] if self.certificates is None else self.certificates
        value = der.bit_string(self.spoil(self.signer.key.sign(data)))
        chain = der.context(0, der.sequence(*(one.der for one in shown))) if shown else b""
        basic = der.sequence(data, ECDSA_SHA256, value, chain)
        body = der.sequence(der.oid(BASIC), der.octet_string(basic))
        return der.sequence(der.integer(0, der.ENUMERATED), der.context(0, body))


def ocsp_answer(
    issuer: Issuer,
    holder: Holder,
    *,
    responder: Holder | None = None,
    revoked_at: datetime | None = None,
    this_update: datetime = NOW - timedelta(minutes=5),
    next_update: datetime | None = NOW + timedelta(hours=8),
) -> bytes:
    """Sign a response about `holder` by its issuer, or a responder: good, or revoked at `revoked_at`."""
    return OcspForge(
        subject=holder.certificate,
        issuer=issuer.certificate,
        signer=responder or issuer,
        status=GOOD if revoked_at is None else revoked(revoked_at),
        produced_at=this_update,
        this_update=this_update,
        next_update=next_update,
        certificates=() if responder is None else None,
    ).build()
