"""A deployment in small for the authority's tests: a ceremony's hierarchy, synthetic holders, officers, requests."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca.config import AuthoritySettings, RawAuthoritySettings, validate_settings
from ca.hierarchy import Hierarchy
from ca.issuing.orders import Issued
from ca.issuing.recovery import Recovery
from ca.officers.identity import Officer
from ca.registration import RegistrationFile
from ca.service import CertificateAuthority
from hsm.soft import UnsafeSoftKey, UnsafeSoftKeys
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from storage.engine import Database

START = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
CLERK, FIRST, SECOND, THIRD = (Officer(id=name) for name in ("clerk", "first", "second", "third"))
RAW_SETTINGS = RawAuthoritySettings(public_url="http://pki.example.org:8080", organization="مهر آزمایشی")
SETTINGS = validate_settings(RAW_SETTINGS)

CLINICIAN = {
    "kind": "clinician",
    "national_code": "0000012343",
    "given_name": "علی",
    "surname": "رضایی",
    "profession": "physician",
    "council_number": "12345",
}
CITIZEN = {"kind": "citizen", "national_code": "0000012351", "given_name": "زهرا", "surname": "احمدی"}
CENTRE = {
    "kind": "centre",
    "siam_id": "c-1001",
    "name": "بیمارستان آزمایشی",
    "centre_kind": "hospital",
    "legal_id": "11234567890",
    "province": "تهران",
    "city": "تهران",
}
SYSTEM = {
    "kind": "system",
    "organization": "شرکت نرم‌افزار آزمایشی",
    "common_name": "his-1",
    "hosts": ["exchange.example", "127.0.0.1"],
}
OFFICER = {"kind": "officer", "officer_id": "officer-nikan", "given_name": "نیکان", "surname": "آزمایشی"}

FILE_PROFILES: dict[str, dict[str, Any]] = {
    "clin-sign": CLINICIAN,
    "clin-auth": CLINICIAN,
    "cit-sign": CITIZEN,
    "cit-auth": CITIZEN,
    "hix-tls": CENTRE,
    "hix-seal": CENTRE,
    "hix-enc": CENTRE,
    "tls-server": SYSTEM,
    "infosys": SYSTEM,
    "infosys-server": SYSTEM,
    "officer-auth": OFFICER,
}


@dataclass
class FakeClock:
    """A clock that stands still until it is moved."""

    time: datetime = START

    def now(self) -> datetime:
        return self.time

    def move(self, **by: float) -> None:
        self.time += timedelta(**by)


def national_code(number: int) -> str:
    """Make a synthetic national code with a valid check digit."""
    digits = f"{100_123_456 + number:09d}"
    rest = sum(int(digit) * (10 - index) for index, digit in enumerate(digits)) % 11
    return digits + str(rest if rest < 2 else 11 - rest)


def file_json(members: dict[str, Any]) -> bytes:
    return json.dumps(members, ensure_ascii=False).encode()


def new_csr(algorithm: SignatureAlgorithm = SignatureAlgorithm.ES256) -> bytes:
    return build_csr(UnsafeSoftKey.generate(algorithm), "a wish")


@dataclass(kw_only=True, repr=False)
class World:
    """One deployment: its authority, and what a test needs to play with it."""

    authority: CertificateAuthority
    database: Database
    keys: UnsafeSoftKeys
    hierarchy: Hierarchy
    clock: FakeClock
    settings: AuthoritySettings = field(default=SETTINGS)

    @property
    def recovery(self) -> Recovery:
        return Recovery(self.database, self.clock)

    def submitted(self, members: dict[str, Any] = CLINICIAN) -> RegistrationFile:
        return self.authority.submit_file(file_json(members), CLERK)

    def approved(self, members: dict[str, Any] = CLINICIAN) -> RegistrationFile:
        file = self.submitted(members)
        self.authority.approve(file.id, FIRST)
        return self.authority.approve(file.id, SECOND)

    def issue(self, profile: str = "clin-sign", members: dict[str, Any] | None = None) -> Issued:
        file = self.approved(FILE_PROFILES[profile] if members is None else members)
        return self.authority.issue(profile, file.id, new_csr(), "clerk")

    def issuer(self, name: str = "persons") -> x509.Certificate:
        return x509.load_der_x509_certificate(self.hierarchy.certificate(name))

    def ask(self, issued: Issued, *, nonce: bytes | None = None) -> ocsp.OCSPResponse:
        request = self.request_for(issued, nonce=nonce)
        return ocsp.load_der_ocsp_response(self.authority.ocsp(request))

    def request_for(
        self, issued: Issued, *, algorithm: hashes.HashAlgorithm | None = None, nonce: bytes | None = None
    ) -> bytes:
        certificate = x509.load_der_x509_certificate(issued.der)
        builder = ocsp.OCSPRequestBuilder().add_certificate(
            certificate,
            self.issuer(issued.issuer),
            algorithm or hashes.SHA1(),  # noqa: S303 - what OCSP clients send
        )
        if nonce is not None:
            builder = builder.add_extension(x509.OCSPNonce(nonce), critical=False)
        return builder.build().public_bytes(Encoding.DER)
