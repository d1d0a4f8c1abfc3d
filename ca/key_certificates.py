"""Which certificate a key of the service serves, found by its public half."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection, select

from ca.status.revocation import CertificateState
from ca.tables import certificates
from pki.certificates import Certificate

_IN_FORCE: Final = (CertificateState.GOOD.value, CertificateState.ON_HOLD.value)


@dataclass(frozen=True, slots=True, kw_only=True)
class ServedCertificate:
    """A certificate in force, and the public key (DER) that it is for."""

    serial: str
    subject: str
    not_after: datetime
    spki_der: bytes


def certificates_of_keys(connection: Connection, spki_ders: Iterable[bytes]) -> dict[bytes, ServedCertificate]:
    """Return the certificate in force of each public key that has one: the one that ends last."""
    c = certificates.c
    wanted = {sha256(spki_der).digest() for spki_der in spki_ders}
    query = select(c.der).where(c.spki_sha256.in_(wanted), c.state.in_(_IN_FORCE), c.der.is_not(None))
    found: dict[bytes, ServedCertificate] = {}
    for der in connection.execute(query.order_by(c.not_after)).scalars():
        certificate = Certificate.parse(der)
        found[certificate.spki_der] = ServedCertificate(
            serial=certificate.serial_hex,
            subject=certificate.subject,
            not_after=certificate.not_after,
            spki_der=certificate.spki_der,
        )
    return found
