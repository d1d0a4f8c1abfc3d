"""Twins with something wrong in them, made by editing the DER of a good one."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec

from ca.config import AuthoritySettings
from ca.hierarchy import Hierarchy
from ca.lint.findings import Finding
from ca.lint.gate import lint
from ca.lint.subject import LintedCertificate
from ca.profiles import IssuerName
from ca.registration import parse_registration
from ca.subjects import Pseudonyms, Subject, service_subject, subject_of
from ca.tbs import CertificateContent, Issuer, build_twin, serial_from, validity
from hsm.provider import spki_of
from pki import der
from pki.certificates import Certificate, read_extensions
from pki.identity_file import pilot_identities
from pki.keys import PublicKey
from tests.ca.world import FILE_PROFILES, SETTINGS, START, file_json

_PSEUDONYMS = Pseudonyms(yearly="0123456789abcdef0123", lasting="MH:IR-89abcdef89abcdef89ab")
_SERVICE_ISSUERS = {"ocsp": "persons", "tsa": "systems", "seal": "systems"}


def content_of(
    profile: str,
    hierarchy: Hierarchy,
    settings: AuthoritySettings = SETTINGS,
    *,
    key: PublicKey | None = None,
    hardware: bool = True,
    members: dict[str, Any] | None = None,
) -> CertificateContent:
    """Make the content of a good certificate of a profile."""
    found = settings.profiles.get(profile)
    public_key = key or ec.generate_private_key(ec.SECP256R1()).public_key()
    authority: IssuerName | None = None
    subject: Subject
    if profile in FILE_PROFILES:
        registration = parse_registration(file_json(members or FILE_PROFILES[profile]), pilot_identities())
        subject = subject_of(found, registration, settings, file_id="f1", pseudonyms=_PSEUDONYMS)
    else:
        subject = service_subject(settings, f"A {profile}")
    label = IssuerName(found.issuer or _SERVICE_ISSUERS[profile])
    issuer = Issuer.of(label, Certificate.parse(hierarchy.certificate(label)))
    if profile == "root":
        public_key = key or ec.generate_private_key(ec.SECP384R1()).public_key()
        issuer, authority = Issuer.self_signed(IssuerName.ROOT, subject.name, public_key), IssuerName.ROOT
    elif profile == "issuing-ca":
        authority = IssuerName.PERSONS
    not_before, not_after = validity(found, issuer, START, settings, hardware=hardware)
    return CertificateContent(
        profile=found,
        subject=subject,
        issuer=issuer,
        public_key=public_key,
        spki_der=spki_of(public_key),
        serial=serial_from(bytes(range(20))),
        not_before=not_before,
        not_after=not_after,
        hardware=hardware,
        authority=authority,
    )


class Mutant:
    """A twin whose fields and meant content can be changed before it is linted."""

    def __init__(self, profile: str, hierarchy: Hierarchy) -> None:
        self.content = content_of(profile, hierarchy)
        tbs = build_twin(self.content, SETTINGS).tbs
        self.fields = [node.raw for node in der.parse(tbs).sequence()]

    def findings(self) -> tuple[Finding, ...]:
        tbs = der.sequence(*self.fields)
        algorithm = der.parse(tbs).sequence()[2].raw
        twin = der.sequence(tbs, algorithm, der.bit_string(b"signature"))
        return lint(LintedCertificate(twin, self.content, SETTINGS))

    def codes(self) -> set[str]:
        return {finding.code for finding in self.findings()}

    # --- edits ---

    def meant(self, **changes: Any) -> None:
        self.content = replace(self.content, **changes)

    def meant_profile(self, **changes: Any) -> None:
        self.meant(profile=replace(self.content.profile, **changes))

    def serial(self, value: int) -> None:
        self.fields[1] = der.integer(value)

    def algorithm(self, value: bytes) -> None:
        self.fields[2] = value

    def issuer(self, *attributes: bytes) -> None:
        self.fields[3] = name(*attributes)

    def times(self, not_before: bytes, not_after: bytes) -> None:
        self.fields[4] = der.sequence(not_before, not_after)

    def subject(self, *attributes: bytes) -> None:
        self.fields[5] = name(*attributes)

    def extension(self, kind: str, value: bytes | None, *, critical: bool = False) -> None:
        """Replace, add or (None) remove an extension."""
        node = der.parse(self.fields[-1]).inner()
        found = {n: (e.critical, e.value) for n, e in read_extensions(node).items() if n != kind}
        if value is not None:
            found[kind] = (critical, value)
        encoded = (
            der.sequence(der.oid(n), b"\x01\x01\xff" if flag else b"", der.octet_string(v))
            for n, (flag, v) in found.items()
        )
        self.fields[-1] = der.context(3, der.sequence(*encoded))

    def value(self, kind: str) -> bytes:
        return read_extensions(der.parse(self.fields[-1]).inner())[kind].value

    def criticality(self, kind: str, *, critical: bool) -> None:
        self.extension(kind, self.value(kind), critical=critical)


def name(*attributes: bytes) -> bytes:
    return der.sequence(*(der.set_of([attribute]) for attribute in attributes))


def attribute(kind: str, text: str, tag: int = der.UTF8_STRING) -> bytes:
    return der.sequence(der.oid(kind), der.tlv(tag, text.encode()))


def utc_time(moment: datetime) -> bytes:
    return der.time(moment)
