"""The bytes that are signed do not change unnoticed: each profile under fixed inputs, by the digest of its TBS."""

from __future__ import annotations

from datetime import timedelta
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from ca.profiles import IssuerName
from ca.registration import parse_registration
from ca.subjects import Pseudonyms, service_subject, subject_of
from ca.tbs import CertificateContent, Issuer, build_twin, serial_from, validity
from hsm.provider import spki_of
from pki.identity_file import pilot_identities
from pki.keys import PublicKey
from tests.ca.world import FILE_PROFILES, SETTINGS, START, file_json

_PSEUDONYMS = Pseudonyms(yearly="0123456789abcdef0123", lasting="MH:IR-89abcdef89abcdef89ab")
_SERVICE_ISSUERS = {"ocsp": "persons", "tsa": "systems", "seal": "systems"}


def _key(number: int, curve: ec.EllipticCurve | None = None) -> PublicKey:
    return ec.derive_private_key(number, curve or ec.SECP256R1()).public_key()


def _tbs(name: str) -> bytes:
    profile = SETTINGS.profiles.get(name)
    public_key = _key(20261122)
    if name in FILE_PROFILES:
        registration = parse_registration(file_json(FILE_PROFILES[name]), pilot_identities())
        subject = subject_of(profile, registration, SETTINGS, file_id="f1", pseudonyms=_PSEUDONYMS)
    else:
        subject = service_subject(SETTINGS, f"A {name}")
    label = IssuerName(profile.issuer or _SERVICE_ISSUERS[name])
    authority = {"root": IssuerName.ROOT, "issuing-ca": IssuerName.SYSTEMS}.get(name)
    if authority is IssuerName.ROOT:
        public_key = _key(3, ec.SECP384R1())
        issuer = Issuer.self_signed(IssuerName.ROOT, subject.name, public_key)
    else:
        issuer = Issuer.self_signed(label, service_subject(SETTINGS, f"The {label} CA").name, _key(7))
    not_before, not_after = validity(profile, issuer, START + timedelta(days=1), SETTINGS)
    content = CertificateContent(
        profile=profile,
        subject=subject,
        issuer=issuer,
        public_key=public_key,
        spki_der=spki_of(public_key),
        serial=serial_from(bytes(range(20))),
        not_before=not_before,
        not_after=not_after,
        authority=authority,
    )
    return build_twin(content, SETTINGS).tbs


DIGESTS = {
    "root": "9d5bfb9367baa42e311cc06fb76bbc5a863f3e65e5854dadf879611a7ddd26b0",
    "issuing-ca": "fbafd3be5d0697b355efe2a97b3021e64615b2122ed9b82e5d0f325d2c8fc48c",
    "clin-sign": "101975dcaa3326020250c6f2b4cfa42042ad9a44ad1a1b8522a94c212dbf6bf2",
    "clin-auth": "8e870408261a83493eecf62f30042bafa907c6a41f77f7f0baf396db8f7f6ab2",
    "cit-sign": "23db4f2a3b64a311205bb4a952c61a638064ece1a4bb24485bd9587df9f4fa70",
    "cit-auth": "08c66c3c2b5210087bcc6160a5f230fb66d07105dd3840f8418ad5007c2f8097",
    "hix-tls": "2f52551da7872cadf2499b7c4cc49f445e6148c2a8bce74adcbb39152beeaad3",
    "hix-seal": "5b0b16048c7c9875fd0b8dbcc4366fdd0c9e892535d45c8a51030ba415ea69f6",
    "hix-enc": "738cfdb47bd977a741d20da8b41c81d05e147235b362a8c3fa06f3028d4523e1",
    "infosys": "dd89927a778de5774924ff170473237c158313828702f8e90ac9124263c549b8",
    "tls-server": "101a0c0a0898571972aa9655e330f53776e82b5d1875756731a1e9d430a2280e",
    "ocsp": "b981def9b22423e58b92582a599be5506fb675fc3763b7ebc4e2a17bb62b3bff",
    "tsa": "64c4878f54235d2b437d435f40ecf48c365ab3834ec5abe8c2f2d873a3a19bfc",
    "seal": "49fc9e7b75d9061575599df7e2d90ad2151fd7c5f74db2a8dcb04b9e2c5a410c",
}


@pytest.mark.parametrize("name", DIGESTS)
def test_the_pilots_certificates_are_the_same_octets(name: str) -> None:
    assert sha256(_tbs(name)).hexdigest() == DIGESTS[name]
