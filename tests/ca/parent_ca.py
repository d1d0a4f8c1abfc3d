"""A CA of somebody else, made with `cryptography`, and what it does wrong when it is asked to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from tests.ca.world import START

NAME = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Parent Root")])
CA_USAGE = {
    "digital_signature": False,
    "content_commitment": False,
    "key_encipherment": False,
    "data_encipherment": False,
    "key_agreement": False,
    "key_cert_sign": True,
    "crl_sign": True,
    "encipher_only": False,
    "decipher_only": False,
}


@dataclass
class Parent:
    """A CA of somebody else, and what it does wrong when it is asked to."""

    name: x509.Name = NAME
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))
    path_length: int | None = None
    now: datetime = START

    def certificate(
        self,
        subject: x509.Name,
        public_key: Any,
        *,
        ca: bool = True,
        critical: bool = True,
        path_length: int | None = 0,
        usage: dict[str, bool] | None = None,
        days: tuple[int, int] = (-1, 365),
        identifier: x509.SubjectKeyIdentifier | None = None,
        others: Sequence[tuple[x509.ExtensionType, bool]] = (),
    ) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(self.now + timedelta(days=days[0]))
            .not_valid_after(self.now + timedelta(days=days[1]))
            .add_extension(x509.BasicConstraints(ca=ca, path_length=path_length if ca else None), critical=critical)
            .add_extension(x509.KeyUsage(**{**CA_USAGE, **(usage or {})}), critical=True)
            .add_extension(identifier or x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
        )
        for extension, is_critical in others:
            builder = builder.add_extension(extension, critical=is_critical)
        return builder.sign(self.key, hashes.SHA384())

    def own(self, **changes: Any) -> x509.Certificate:
        return self.certificate(self.name, self.key.public_key(), **{"path_length": self.path_length, **changes})

    def below(self, name: str, **changes: Any) -> tuple[Parent, x509.Certificate]:
        """Certify another CA, and return it."""
        below = Parent(name=x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), now=self.now)
        return below, self.certificate(below.name, below.key.public_key(), **{"path_length": 1, **changes})


def pem(*found: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(Encoding.PEM) for one in found)
