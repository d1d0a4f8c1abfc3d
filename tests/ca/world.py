"""A deployment in small for the authority's tests: a ceremony's hierarchy, synthetic holders, officers, requests."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509 import ocsp

from ca.activation.desk import ActivationDesk
from ca.config import AuthoritySettings, RawAuthoritySettings, validate_settings
from ca.hierarchy import Hierarchy
from ca.issuing.orders import Issued
from ca.issuing.recovery import Recovery
from ca.lint.findings import Finding
from ca.linting.desk import LintDesk
from ca.notices import Notice
from ca.officers.identity import Officer
from ca.registration import RegistrationFile
from ca.service import CertificateAuthority
from ca.status.answer_store import AnswerStore
from ca.status.revocation import CertificateState
from hsm.soft import UnsafeSoftKey, UnsafeSoftKeys
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from storage.engine import Database
from tests.support.officers import EveryOfficer

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


@dataclass
class Postbox:
    """A channel to holders that keeps what it took over."""

    notices: dict[str, Notice] = field(default_factory=dict)

    def send(self, notice: Notice) -> None:
        self.notices.setdefault(notice.id, notice)

    def codes_of(self, activation_id: str) -> tuple[str, str]:
        """Return the latest codes that came for an activation: the letter's and the SMS's."""
        name = f"activation-{activation_id.lower()}-"
        found = {n.facts["channel"]: n.facts["code"] for id_, n in self.notices.items() if id_.startswith(name)}
        return str(found["letter"]), str(found["sms"])


class ContentJudge:
    """An independent linter that finds nothing."""

    name = "pkilint"
    version = "1.0"

    def judge(self, certificate_der: bytes, linters: Sequence[str]) -> tuple[Finding, ...]:
        del certificate_der, linters
        return ()


@dataclass(kw_only=True, repr=False)
class World:
    """One deployment: its authority, and what a test needs to play with it."""

    authority: CertificateAuthority
    database: Database
    keys: UnsafeSoftKeys
    hierarchy: Hierarchy
    clock: FakeClock
    settings: AuthoritySettings = field(default=SETTINGS)
    postbox: Postbox = field(default_factory=Postbox)
    answers: AnswerStore | None = None

    @property
    def recovery(self) -> Recovery:
        return Recovery(self.database, self.clock)

    def submitted(self, members: dict[str, Any] = CLINICIAN) -> RegistrationFile:
        return self.authority.submit_file(file_json(members), CLERK)

    def approved(self, members: dict[str, Any] = CLINICIAN) -> RegistrationFile:
        file = self.submitted(members)
        self.authority.approve(file.id, FIRST)
        return self.authority.approve(file.id, SECOND)

    @cached_property
    def activation(self) -> ActivationDesk:
        judge = LintDesk(self.database, ContentJudge(), self.settings.profiles, self.clock, EveryOfficer())
        return ActivationDesk(
            self.database,
            self.authority,
            EveryOfficer(),
            self.postbox,
            self.clock,
            judge=judge.verdict_of,
            cost=2,
        )

    def issue_waiting(self, profile: str = "clin-sign", members: dict[str, Any] | None = None) -> Issued:
        """Issue, and leave to its holder what a holder activates."""
        file = self.approved(FILE_PROFILES[profile] if members is None else members)
        return self.authority.issue(profile, file.id, new_csr(), "clerk")

    def issue(self, profile: str = "clin-sign", members: dict[str, Any] | None = None) -> Issued:
        """Issue a certificate that is good: its holder activates it, where that is the profile's rule."""
        return self.activated(self.issue_waiting(profile, members))

    def activated(self, issued: Issued) -> Issued:
        """Have the holder activate what waits in the certificate's file."""
        if issued.state is CertificateState.ISSUED:
            file_id = self.authority.get(issued.serial_hex).file_id
            made = self.activation.send(self.activation.make(str(file_id), CLERK).id)
            self.activation.activate(made.id, *self.postbox.codes_of(made.id), "test")
        return issued

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
