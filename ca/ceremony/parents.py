"""Certificates that a parent CA issued for a key of ours: read, and judged before they are used."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from pki import oids
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput, ServiceError, VerificationFailed

MAX_CHAIN: Final = 6
_CA_USAGES: Final = frozenset({"keyCertSign", "cRLSign"})


def read_certificates(data: bytes) -> tuple[Certificate, ...]:
    """Read one DER certificate or PEM ones, in the order given; InvalidInput."""
    if not data.lstrip().startswith(b"-----BEGIN"):
        return (Certificate.parse(data),)
    try:
        found = x509.load_pem_x509_certificates(data)
    except ValueError as error:
        raise InvalidInput(ErrorCode.CERTIFICATE_MALFORMED, "not PEM certificates") from error
    return tuple(Certificate.parse(one.public_bytes(Encoding.DER)) for one in found)


def _refuse(what: str) -> VerificationFailed:
    return VerificationFailed(ErrorCode.VERIFICATION_FAILED, what)


def check_installable(
    certificate: Certificate,
    chain: Sequence[Certificate],
    spki_der: bytes,
    name_der: bytes,
    now: datetime,
    *,
    own: Certificate | None,
) -> None:
    """See that a certificate can stand for a key and name of ours, and that `chain` leads from it to an anchor.

    `own` is the certificate that it takes the place of: what was issued under it names its key by identifier.
    VerificationFailed says which of the conditions does not hold (RFC 5280 §4.2.1, §6.1).
    """
    if certificate.spki_der != spki_der:
        raise _refuse("the certificate is for another key")
    if certificate.subject_der != name_der:
        raise _refuse(f"the certificate is for another name, {certificate.subject}")
    if certificate.subject_key_identifier is None or (
        own is not None and certificate.subject_key_identifier != own.subject_key_identifier
    ):
        raise _refuse("subjectKeyIdentifier is not what certificates under this key name")
    _check_authority(certificate, now, "the certificate")
    if not 1 <= len(chain) <= MAX_CHAIN:
        raise _refuse(f"the chain has 1 to {MAX_CHAIN} certificates")
    below = certificate
    for depth, issuer in enumerate(chain):
        what = f"certificate {depth + 1} of the chain"
        _check_authority(issuer, now, what)
        if issuer.path_length is not None and issuer.path_length <= depth:
            raise _refuse(f"{what} allows no further authority below it")
        if below.issuer_der != issuer.subject_der:
            raise _refuse(f"{what} is not the issuer of the one before")
        _check_signed(below, issuer, what)
        below = issuer
    if not below.self_issued:
        raise _refuse("the chain does not end with an anchor")
    _check_signed(below, below, "the anchor")


def _check_authority(certificate: Certificate, now: datetime, what: str) -> None:
    if not certificate.not_before <= now <= certificate.not_after:
        raise _refuse(f"{what} is not valid now")
    constraints = certificate.extensions.get(oids.BASIC_CONSTRAINTS)
    if not certificate.is_ca or constraints is None or not constraints.critical:
        raise _refuse(f"{what} is not a CA's")
    if certificate.key_usage is None or not certificate.key_usage >= _CA_USAGES:
        raise _refuse(f"{what} may not sign certificates and lists")


def _check_signed(certificate: Certificate, issuer: Certificate, what: str) -> None:
    try:
        certificate.verify_signed_by(issuer)
    except ServiceError as error:
        raise _refuse(f"{what} did not sign the one before") from error
