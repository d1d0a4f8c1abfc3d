"""Rules of ETSI EN 319 412-1, -2, -3 and EN 319 422 for the profiles they apply to."""

import re
from typing import Final

from ca.lint.findings import RulePack, Severity
from ca.lint.subject import NATURAL_PERSONS, LintedCertificate
from ca.profiles import HolderKind, ProfileName
from pki import oids

PACK: Final[RulePack[LintedCertificate]] = RulePack("en319412")
rule = PACK.rule

_PERSON_SERIAL: Final = re.compile(r"(?:PAS|IDC|PNO|TIN)[A-Z]{2}-.+|[A-Za-z]{2}:[A-Z]{2}-.+")
_LEGAL_IDENTIFIER: Final = re.compile(r"(?:VAT|NTR|PSD|LEI)[A-Z]{2}-.+|[A-Za-z]{2}:[A-Z]{2}-.+")
_LEGAL_ATTRIBUTES: Final = (oids.COUNTRY, oids.ORGANIZATION, oids.ORGANIZATION_IDENTIFIER, oids.COMMON_NAME)
_KEY_USAGE_SETTINGS: Final = tuple(
    frozenset({usage}) for usage in ("nonRepudiation", "digitalSignature", "keyEncipherment", "keyAgreement")
)


def _natural(c: LintedCertificate) -> bool:
    return c.content.profile.holder in NATURAL_PERSONS


def _legal(c: LintedCertificate) -> bool:
    return c.content.profile.holder is HolderKind.CENTRE


@rule("EN 319 412-2 NAT-4.2.4-1")
def _person_has_country_and_names(c: LintedCertificate) -> str | None:
    if not _natural(c):
        return None
    named = c.count(oids.SURNAME) or c.count(oids.GIVEN_NAME) or c.count(oids.PSEUDONYM)
    complete = c.count(oids.COUNTRY) and c.count(oids.COMMON_NAME) and named
    return None if complete else "country, common name, or name and pseudonym missing"


@rule("EN 319 412-2 NAT-4.2.4-3")
def _person_has_one_country_and_common_name(c: LintedCertificate) -> str | None:
    if not _natural(c):
        return None
    return "attribute repeated" if c.count(oids.COUNTRY) > 1 or c.count(oids.COMMON_NAME) > 1 else None


@rule("EN 319 412-2 NAT-4.2.4-4")
def _pseudonym_stands_alone(c: LintedCertificate) -> str | None:
    if not _natural(c) or not c.count(oids.PSEUDONYM):
        return None
    return "pseudonym beside a name" if c.count(oids.SURNAME) or c.count(oids.GIVEN_NAME) else None


@rule("EN 319 412-1 NAT-5.1.3")
def _person_serial_has_its_form(c: LintedCertificate) -> str | None:
    if not _natural(c):
        return None
    serial = c.subject_text(oids.SERIAL_NUMBER)
    return None if serial is None or _PERSON_SERIAL.fullmatch(serial) else "serialNumber has no semantics identifier"


@rule("EN 319 412-3 LEG-4.2.1-2")
def _centre_has_its_attributes_once(c: LintedCertificate) -> str | None:
    if not _legal(c):
        return None
    bad = next((kind for kind in _LEGAL_ATTRIBUTES if c.count(kind) != 1), None)
    return None if bad is None else f"attribute {bad} must be there once"


@rule("EN 319 412-1 LEG-5.1.4")
def _organization_identifier_has_its_form(c: LintedCertificate) -> str | None:
    identifier = c.subject_text(oids.ORGANIZATION_IDENTIFIER)
    return None if identifier is None or _LEGAL_IDENTIFIER.fullmatch(identifier) else "no registration scheme"


@rule("EN 319 412-3 LEG-4.2.1-6")
def _organization_identifier_is_not_the_name(c: LintedCertificate) -> str | None:
    identifier = c.subject_text(oids.ORGANIZATION_IDENTIFIER)
    same = identifier is not None and identifier == c.subject_text(oids.ORGANIZATION)
    return "organizationIdentifier repeats the name" if same else None


@rule("EN 319 412-2 NAT-4.3.2-1, EN 319 412-3 LEG-4.3.1")
def _key_usages_are_not_mixed(c: LintedCertificate) -> str | None:
    if not _natural(c) and not _legal(c):
        return None
    return None if c.shared.key_usage in _KEY_USAGE_SETTINGS else "key usage is not of type A, C or E"


@rule("EN 319 412-2 GEN-4.3.3-1", Severity.WARNING)
def _policies_are_not_critical(c: LintedCertificate) -> str | None:
    return "certificatePolicies is critical" if c.is_critical(oids.CERTIFICATE_POLICIES) else None


@rule("EN 319 412-2 GEN-4.4.1-3")
def _information_access_names_the_issuer(c: LintedCertificate) -> str | None:
    if not c.content.profile.status_pointers:
        return None
    urls = c.shared.issuer_urls
    return None if any(url.startswith(("http://", "https://")) for url in urls) else "no caIssuers over HTTP"


@rule("EN 319 422 §6, RFC 3161 §2.3")
def _time_stamping_is_critical_and_sole(c: LintedCertificate) -> str | None:
    usages = c.shared.extended_key_usage or ()
    wanted = c.content.profile.name == ProfileName.TSA
    if wanted != (oids.EKU_TIME_STAMPING in usages) and c.is_end_entity:
        return "timeStamping belongs to the TSA profile"
    if wanted and (len(usages) != 1 or not c.is_critical(oids.EXTENDED_KEY_USAGE)):
        return "extKeyUsage is not critical with timeStamping alone"
    return None


@rule("RFC 6960 §4.2.2.2")
def _responder_signs_responses_alone(c: LintedCertificate) -> str | None:
    if not c.is_end_entity or oids.EKU_OCSP_SIGNING not in (c.shared.extended_key_usage or ()):
        return None
    return None if c.shared.extended_key_usage == (oids.EKU_OCSP_SIGNING,) else "OCSPSigning beside other purposes"
