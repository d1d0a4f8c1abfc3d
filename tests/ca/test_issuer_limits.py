"""What authorities above let one below issue."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from ca.issuer_limits import IssuerLimits
from pki import oids
from pki.certificates import Certificate
from pki.names import GeneralName
from tests.ca.world import START

KEY = ec.generate_private_key(ec.SECP256R1())
ONE, OTHER = "1.3.6.1.4.1.32473.1", "1.3.6.1.4.1.32473.2"


def certificate(*extensions: Any) -> Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "x")])
    builder = x509.CertificateBuilder(name, name, KEY.public_key(), 7, START, START + timedelta(days=1))
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return Certificate.parse(builder.sign(KEY, hashes.SHA256()).public_bytes(Encoding.DER))


def policies(*names: str) -> x509.CertificatePolicies:
    return x509.CertificatePolicies([x509.PolicyInformation(x509.ObjectIdentifier(name), None) for name in names])


def purposes(*names: str) -> x509.ExtendedKeyUsage:
    return x509.ExtendedKeyUsage([x509.ObjectIdentifier(name) for name in names])


# Of an anchor's own limits names alone bind.
ANCHOR = certificate(policies(OTHER), purposes(oids.EKU_TIME_STAMPING))


def strict(any_for: int) -> tuple[x509.ExtensionType, ...]:
    return x509.InhibitAnyPolicy(any_for), x509.PolicyConstraints(0, None)


ANY = policies(oids.ANY_POLICY)


def missing(*path: Certificate, wanted: tuple[str, ...] = (ONE,)) -> tuple[str, ...]:
    return IssuerLimits.of((*path, ANCHOR)).missing_policies(wanted)


def test_each_certificate_above_narrows_the_purposes() -> None:
    wide = purposes(oids.EKU_CLIENT_AUTH, oids.EKU_SERVER_AUTH)
    path = (certificate(wide), certificate(purposes(oids.EKU_CLIENT_AUTH)), ANCHOR)
    limits = IssuerLimits.of(path)
    assert limits.missing_purposes((oids.EKU_CLIENT_AUTH, oids.EKU_SERVER_AUTH)) == (oids.EKU_SERVER_AUTH,)
    assert (
        IssuerLimits.of((certificate(purposes(oids.EKU_ANY)), ANCHOR)).missing_purposes((oids.EKU_SERVER_AUTH,)) == ()
    )


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ((certificate(ANY),), ()),
        ((certificate(policies(ONE)),), ()),
        ((certificate(policies(OTHER)),), (ONE,)),
        ((certificate(ANY), certificate(policies(OTHER))), (ONE,)),
        ((certificate(policies(ONE, OTHER)), certificate(ANY)), ()),
        ((certificate(),), ()),  # nobody asserts one, and nobody asks for one
        ((certificate(), certificate(ANY, x509.PolicyConstraints(2, None))), (ONE,)),
        (
            (
                certificate(ANY),
                certificate(ANY, x509.InhibitAnyPolicy(0)),
            ),
            (),
        ),
        (
            (certificate(ANY), certificate(policies(ONE), *strict(0))),
            (ONE,),
        ),
        ((certificate(ANY), certificate(policies(ONE), *strict(1))), ()),
    ],
)
def test_policies_are_those_that_all_allow(path: tuple[Certificate, ...], found: tuple[str, ...]) -> None:
    assert missing(*path) == found


def test_names_that_the_anchor_excludes_are_excluded_too() -> None:
    anchor = certificate(x509.NameConstraints(None, [x509.DNSName("example.org")]))
    names = IssuerLimits.of((certificate(), anchor)).names
    assert not names.admits(GeneralName(tag=0x82, value=b"a.example.org"))
    assert names.admits(GeneralName(tag=0x82, value=b"a.example.com"))
