"""What lists, OCSP answers and certificates say, read by `cryptography` and no reader of ours."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID

from tests.ca.status.histories_model import Contradiction, Life, ListName, SaidList, Telling

_CODES = {flag: flag.value for flag in x509.ReasonFlags}


def read_entry(entry: x509.RevokedCertificate) -> Telling:
    reason, invalidity = "unspecified", None
    for extension in entry.extensions:
        if isinstance(extension.value, x509.CRLReason):
            reason = _CODES[extension.value.reason]
        elif isinstance(extension.value, x509.InvalidityDate):
            invalidity = extension.value.invalidity_date_utc
    return Telling(entry.revocation_date_utc, reason, invalidity)


def read_list(data: bytes, issuer: x509.Certificate, url: str) -> SaidList:
    """Read a list that has to be of an issuer and of a place, and signed."""
    crl = x509.load_der_x509_crl(data)
    key = issuer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    if crl.issuer != issuer.subject or not crl.is_signature_valid(key):
        raise Contradiction(f"{url}: not the issuer's own list")
    point = crl.extensions.get_extension_for_class(x509.IssuingDistributionPoint)
    if not point.critical or point.value.full_name != [x509.UniformResourceIdentifier(url)]:
        raise Contradiction(f"{url}: another distribution point")
    deltas = [e for e in crl.extensions if isinstance(e.value, x509.DeltaCRLIndicator)]
    if not all(delta.critical for delta in deltas):
        raise Contradiction(f"{url}: a delta that passes for a list")
    entries = {entry.serial_number: read_entry(entry) for entry in crl}
    if len(entries) != len(crl):
        raise Contradiction(f"{url}: a certificate appears twice")
    assert crl.next_update_utc is not None
    return SaidList(
        number=crl.extensions.get_extension_for_class(x509.CRLNumber).value.crl_number,
        this_update=crl.last_update_utc,
        next_update=crl.next_update_utc,
        entries=entries,
        base=next((e.value.crl_number for e in deltas if isinstance(e.value, x509.DeltaCRLIndicator)), None),
    )


def read_certificate(data: bytes, issuers: dict[str, x509.Certificate]) -> Life:
    """Read who was issued what until when, and which list speaks of it."""
    certificate = x509.load_der_x509_certificate(data)
    issuer = next(name for name, one in issuers.items() if one.subject == certificate.issuer)
    points = certificate.extensions.get_extension_for_class(x509.CRLDistributionPoints).value
    (url,) = [str(name.value) for point in points for name in point.full_name or ()]
    shard = int(url.rpartition("/")[2].removesuffix(".crl"))
    form = PublicFormat.SubjectPublicKeyInfo
    return Life(
        serial=certificate.serial_number,
        on=ListName(issuer=issuer, shard=shard),
        key=certificate.public_key().public_bytes(Encoding.DER, form),
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """An OCSP answer about one certificate; `telling` None says good, `known` False says unknown."""

    known: bool
    telling: Telling | None
    this_update: datetime
    next_update: datetime


def ask_about(serial: int, issuer: x509.Certificate, nonce: bytes | None = None) -> bytes:
    """Write the usual request."""
    form = PublicFormat.UncompressedPoint
    key = issuer.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    names = (_sha1(issuer.subject.public_bytes()), _sha1(key.public_bytes(Encoding.X962, form)))
    builder = ocsp.OCSPRequestBuilder().add_certificate_by_hash(*names, serial, hashes.SHA1())  # noqa: S303 - as asked
    if nonce is not None:
        builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
    return builder.build().public_bytes(Encoding.DER)


def _sha1(data: bytes) -> bytes:
    digest = hashes.Hash(hashes.SHA1())  # noqa: S303 - what OCSP clients send
    digest.update(data)
    return digest.finalize()


@lru_cache(maxsize=4096)
def _delegate(response: bytes, issuer: x509.Certificate) -> x509.Certificate:
    """Return who signed an answer, once the signature and the delegation hold."""
    answer = ocsp.load_der_ocsp_response(response)
    (delegate,) = answer.certificates
    delegate.verify_directly_issued_by(issuer)
    purposes = delegate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    key = delegate.public_key()
    assert isinstance(key, ec.EllipticCurvePublicKey)
    assert answer.signature_hash_algorithm is not None
    assert ExtendedKeyUsageOID.OCSP_SIGNING in purposes
    key.verify(answer.signature, answer.tbs_response_bytes, ec.ECDSA(answer.signature_hash_algorithm))
    return delegate


def read_answer(
    response: bytes, serial: int, issuer: x509.Certificate, now: datetime, nonce: bytes | None = None
) -> Told | None:
    """Read an answer to a request, which has to hold now; None says try later."""
    answer = ocsp.load_der_ocsp_response(response)
    if answer.response_status is ocsp.OCSPResponseStatus.TRY_LATER:
        return None
    if answer.response_status is not ocsp.OCSPResponseStatus.SUCCESSFUL:
        raise Contradiction(f"{serial:x}: answered {answer.response_status.name}")
    delegate = _delegate(response, issuer)
    if answer.serial_number != serial or answer.next_update_utc is None:
        raise Contradiction(f"{serial:x}: an answer about something else, or for ever")
    if not answer.this_update_utc <= now < answer.next_update_utc or answer.produced_at_utc > now:
        raise Contradiction(f"{serial:x}: told {answer.this_update_utc} to {answer.next_update_utc}, asked {now}")
    if not delegate.not_valid_before_utc <= now <= delegate.not_valid_after_utc:
        raise Contradiction(f"{serial:x}: the delegate's certificate does not hold")
    nonces = [e.value.nonce for e in answer.extensions if isinstance(e.value, x509.OCSPNonce)]
    if nonces != ([] if nonce is None else [nonce]):
        raise Contradiction(f"{serial:x}: another nonce")
    telling = None
    if answer.certificate_status is ocsp.OCSPCertStatus.REVOKED:
        assert answer.revocation_time_utc is not None
        reason = answer.revocation_reason
        telling = Telling(answer.revocation_time_utc, "unspecified" if reason is None else _CODES[reason])
    return Told(
        known=answer.certificate_status is not ocsp.OCSPCertStatus.UNKNOWN,
        telling=telling,
        this_update=answer.this_update_utc,
        next_update=answer.next_update_utc,
    )
