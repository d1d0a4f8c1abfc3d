"""Each rule of the gate has a twin that breaks it, and a good certificate of each profile breaks none."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ca.errors import LintFailed
from ca.extensions import healthcare_role
from ca.hierarchy import Hierarchy
from ca.issuer_limits import IssuerLimits
from ca.lint.findings import Severity
from ca.lint.gate import RULES, check_twin
from ca.tbs import build_twin
from pki import der, oids
from pki.keys import SignatureAlgorithm, algorithm_identifier
from pki.names import GeneralName, NameConstraints
from tests.ca.conftest import Ceremony
from tests.ca.mutants import Mutant, attribute, content_of, name
from tests.ca.world import SETTINGS, START

C, CN, ORG, SN, SERIAL = (
    oids.COUNTRY,
    oids.COMMON_NAME,
    oids.ORGANIZATION,
    oids.SURNAME,
    oids.SERIAL_NUMBER,
)
IR = attribute(C, "IR", der.PRINTABLE_STRING)
NO_POINTERS = (oids.CRL_DISTRIBUTION_POINTS, oids.AUTHORITY_INFO_ACCESS)


def ext(kind: str, value: bytes | None, *, critical: bool = False) -> Callable[[Mutant], None]:
    return lambda m: m.extension(kind, value, critical=critical)


def crit(kind: str, *, critical: bool) -> Callable[[Mutant], None]:
    return lambda m: m.criticality(kind, critical=critical)


def subject(*attributes: bytes) -> Callable[[Mutant], None]:
    return lambda m: m.subject(*attributes)


def bits(value: int, unused: int) -> bytes:
    return der.tlv(der.BIT_STRING, bytes((unused, value)))


def policies(*names: str, text: bytes | None = None) -> bytes:
    notice = der.sequence(der.oid(oids.POLICY_USER_NOTICE), der.sequence(text)) if text else b""
    qualifiers = (der.sequence(notice),) if text else ()
    return der.sequence(*(der.sequence(der.oid(policy), *qualifiers) for policy in names))


def purposes(*names: str) -> bytes:
    return der.sequence(*(der.oid(purpose) for purpose in names))


def uri(text: str) -> bytes:
    return der.context(6, text.encode(), constructed=False)


def cdp(text: str) -> bytes:
    return der.sequence(der.sequence(der.context(0, der.context(0, uri(text)))))


def unique_identifier(m: Mutant) -> None:
    m.fields.insert(7, der.context(1, b"\0x", constructed=False))


def multi_valued(m: Mutant) -> None:
    both = [attribute(CN, "a"), attribute(SN, "b")]
    m.fields[5] = der.sequence(der.set_of([IR]), der.set_of(both))


def longer(m: Mutant) -> None:
    m.times(der.time(START), der.time(START + timedelta(days=4000)))


def outliving(m: Mutant) -> None:
    m.meant(issuer=replace(m.content.issuer, not_after=START))


def other_key(m: Mutant) -> None:
    m.meant(spki_der=m.content.spki_der[:-1] + bytes((m.content.spki_der[-1] ^ 1,)))


KU, EKU, BC, CP, AKI, SKI = (
    oids.KEY_USAGE,
    oids.EXTENDED_KEY_USAGE,
    oids.BASIC_CONSTRAINTS,
    oids.CERTIFICATE_POLICIES,
    oids.AUTHORITY_KEY_IDENTIFIER,
    oids.SUBJECT_KEY_IDENTIFIER,
)
PKUP, SAN, AIA = oids.PRIVATE_KEY_USAGE_PERIOD, oids.SUBJECT_ALT_NAME, oids.AUTHORITY_INFO_ACCESS
CRLDP = oids.CRL_DISTRIBUTION_POINTS
BACKWARDS = der.sequence(
    der.context(0, b"20270101000000Z", constructed=False), der.context(1, b"20260101000000Z", constructed=False)
)

NO_EXAMPLES = NameConstraints(excluded=(GeneralName(tag=0x82, value=b"example"),))


def above(**limits: Any) -> Callable[[Mutant], None]:
    """Have the certificates above the issuer allow less."""
    return lambda m: m.meant(issuer=replace(m.content.issuer, limits=IssuerLimits(**limits)))


BROKEN: dict[str, tuple[str, Callable[[Mutant], None]]] = {
    "rfc5280.version_is_3": ("clin-sign", lambda m: m.fields.__setitem__(0, der.context(0, der.integer(1)))),
    "rfc5280.serial_is_positive_and_bounded": ("clin-sign", lambda m: m.serial(-5)),
    "rfc5280.issuer_is_named": ("clin-sign", lambda m: m.issuer()),
    "rfc5280.subject_is_named": ("clin-sign", subject()),
    "rfc5280.validity_runs_forward": ("clin-sign", lambda m: m.times(der.time(START), der.time(START))),
    "rfc5280.times_have_their_type": (
        "clin-sign",
        lambda m: m.times(der.generalized_time(START), der.time(START + timedelta(days=1))),
    ),
    "rfc5280.names_are_utf8_or_printable": ("clin-sign", subject(IR, attribute(CN, "x", 0x14))),
    "rfc5280.attributes_keep_their_bounds": ("clin-sign", subject(IR, attribute(CN, "x" * 65))),
    "rfc5280.unique_identifiers_are_absent": ("clin-sign", unique_identifier),
    "rfc5280.authority_key_identifier_is_there": ("clin-sign", ext(AKI, None)),
    "rfc5280.subject_key_identifier_is_the_keys_hash": ("clin-sign", ext(SKI, der.octet_string(b"x" * 20))),
    "rfc5280.key_usage_is_critical": ("clin-sign", crit(KU, critical=False)),
    "rfc5280.key_usage_is_not_empty": ("clin-sign", ext(KU, der.tlv(der.BIT_STRING, b"\0"), critical=True)),
    "rfc5280.key_usage_fits_the_key": ("hix-enc", ext(KU, bits(0x20, 5), critical=True)),
    "rfc5280.only_authorities_sign_certificates": ("clin-sign", ext(KU, bits(0x44, 2), critical=True)),
    "rfc5280.policies_are_unique": ("clin-sign", ext(CP, policies("1.2.3.4", "1.2.3.4"))),
    "rfc5280.explicit_text_is_short_utf8": (
        "clin-sign",
        ext(CP, policies("1.2.3.4", text=der.tlv(0x1E, "x".encode("utf-16-be")))),
    ),
    "rfc5280.basic_constraints_are_critical": ("clin-sign", crit(BC, critical=False)),
    "rfc5280.path_length_is_for_authorities": ("clin-sign", ext(BC, der.sequence(der.integer(0)), critical=True)),
    "rfc5280.any_extended_key_usage_is_absent": ("clin-auth", ext(EKU, purposes(oids.EKU_ANY))),
    "rfc5280.distribution_points_are_http": ("clin-sign", ext(CRLDP, cdp("ldap://pki.example.org/x"))),
    "rfc5280.information_access_is_not_critical": ("clin-sign", crit(AIA, critical=True)),
    "rfc5280.alternative_names_are_not_empty": ("hix-tls", ext(SAN, der.sequence())),
    "rfc5280.private_key_usage_period_runs_forward": ("tsa", ext(PKUP, BACKWARDS)),
    "rfc5280.no_check_belongs_to_responders": ("clin-sign", ext(oids.OCSP_NO_CHECK, der.null())),
    "rfc5280.purposes_are_within_the_issuers": ("clin-auth", above(purposes=frozenset({oids.EKU_OCSP_SIGNING}))),
    "rfc5280.policies_are_within_the_issuers": ("clin-sign", above(policies=frozenset({"1.2.3"}))),
    "rfc5280.names_are_within_the_issuers": ("tls-server", above(names=NO_EXAMPLES)),
    "house.issuer_is_older": ("clin-sign", lambda m: m.times(der.time(START - timedelta(days=1)), der.time(START))),
    "en319412.person_has_country_and_names": ("clin-sign", subject(IR, attribute(CN, "x"))),
    "en319412.person_has_one_country_and_common_name": (
        "clin-sign",
        subject(IR, IR, attribute(CN, "x"), attribute(SN, "y")),
    ),
    "en319412.pseudonym_stands_alone": (
        "cit-auth",
        subject(IR, attribute(oids.PSEUDONYM, "p"), attribute(SN, "y"), attribute(CN, "x")),
    ),
    "en319412.person_serial_has_its_form": (
        "clin-sign",
        subject(IR, attribute(SN, "y"), attribute(CN, "x"), attribute(SERIAL, "12345", der.PRINTABLE_STRING)),
    ),
    "en319412.centre_has_its_attributes_once": ("hix-tls", subject(IR, attribute(ORG, "x"), attribute(CN, "x"))),
    "en319412.organization_identifier_has_its_form": (
        "hix-tls",
        subject(IR, attribute(ORG, "x"), attribute(CN, "x"), attribute(oids.ORGANIZATION_IDENTIFIER, "112345")),
    ),
    "en319412.organization_identifier_is_not_the_name": (
        "hix-tls",
        subject(IR, attribute(ORG, "same"), attribute(oids.ORGANIZATION_IDENTIFIER, "same")),
    ),
    "en319412.key_usages_are_not_mixed": ("clin-sign", ext(KU, bits(0xC0, 6), critical=True)),
    "en319412.policies_are_not_critical": ("clin-sign", crit(CP, critical=True)),
    "en319412.information_access_names_the_issuer": ("clin-sign", ext(AIA, None)),
    "en319412.time_stamping_is_critical_and_sole": ("tsa", crit(EKU, critical=False)),
    "en319412.responder_signs_responses_alone": (
        "ocsp",
        ext(EKU, purposes(oids.EKU_OCSP_SIGNING, oids.EKU_CLIENT_AUTH)),
    ),
    "house.serial_is_the_reserved_one": ("clin-sign", lambda m: m.serial(m.content.serial + 1)),
    "house.algorithm_is_the_issuers": (
        "clin-sign",
        lambda m: m.algorithm(algorithm_identifier(SignatureAlgorithm.ES384)),
    ),
    "house.issuer_is_the_authoritys_name": ("clin-sign", lambda m: m.issuer(IR, attribute(CN, "Another CA"))),
    "house.authority_key_identifier_is_the_authoritys": (
        "clin-sign",
        ext(AKI, der.sequence(der.context(0, b"x" * 20, constructed=False))),
    ),
    "house.subject_is_the_approved_one": ("clin-sign", subject(IR, attribute(SN, "y"), attribute(CN, "x"))),
    "house.names_are_utf8": ("tls-server", subject(IR, attribute(ORG, "x", der.PRINTABLE_STRING))),
    "house.relative_names_have_one_attribute": ("clin-sign", multi_valued),
    "house.subject_is_not_the_issuer": ("clin-sign", lambda m: m.fields.__setitem__(5, m.fields[3])),
    "house.title_is_the_profiles": ("clin-sign", subject(IR, attribute(oids.TITLE, "x"), attribute(CN, "x"))),
    "house.unit_is_the_profiles": ("hix-seal", subject(IR, attribute(oids.ORGANIZATIONAL_UNIT, "x"))),
    "house.validity_is_what_was_asked": ("clin-sign", lambda m: m.meant(not_after=START)),
    "house.validity_keeps_the_profiles_limit": ("clin-sign", longer),
    "house.issuer_outlives_it": ("clin-sign", outliving),
    "house.key_is_the_requested_one": ("clin-sign", other_key),
    "house.key_usage_is_the_profiles": ("clin-sign", ext(KU, bits(0x80, 7), critical=True)),
    "house.extended_key_usage_is_the_profiles": ("clin-auth", ext(EKU, purposes(oids.EKU_SERVER_AUTH))),
    "house.constraints_are_the_profiles": (
        "issuing-ca",
        ext(BC, der.sequence(b"\x01\x01\xff", der.integer(3)), critical=True),
    ),
    "house.policies_are_one_and_its_type": ("clin-sign", ext(CP, policies("1.3.6.1.4.1.32473.364.1.0"))),
    "house.policy_says_internal_use": ("clin-sign", ext(CP, policies("1.2.3.4", text=der.utf8("for everything")))),
    "house.status_pointers_are_the_issuers": ("clin-sign", ext(CRLDP, cdp("http://elsewhere.example.org/1.crl"))),
    "house.no_check_is_the_profiles": ("ocsp", ext(oids.OCSP_NO_CHECK, None)),
    "house.admission_is_the_registered_one": ("clin-sign", ext(oids.ADMISSION, None)),
    "house.alternative_names_are_the_approved_ones": ("hix-tls", ext(SAN, None)),
    "house.private_key_usage_period_is_the_profiles": ("tsa", ext(PKUP, None)),
    "house.directory_attributes_are_the_registered_ones": (
        "clin-sign",
        ext(oids.SUBJECT_DIRECTORY_ATTRIBUTES, healthcare_role("1.3.6.1.4.1.32473.364.3.2", "dentist")),
    ),
    "house.statements_are_the_profiles": (
        "clin-sign",
        ext(oids.QC_STATEMENTS, der.sequence(der.sequence(der.oid(oids.QCS_COMPLIANCE)))),
    ),
    "house.extensions_are_known": ("clin-sign", ext("1.3.6.1.4.1.32473.999", der.null())),
    "house.few_extensions_are_critical": ("clin-sign", crit(SKI, critical=True)),
}


@pytest.fixture(scope="module")
def hierarchy(ceremony: Ceremony) -> Hierarchy:
    return ceremony.hierarchy


def test_the_table_of_broken_twins_has_every_rule_and_no_other() -> None:
    assert BROKEN.keys() == {rule.code for rule in RULES}


@pytest.mark.parametrize("code", BROKEN)
def test_a_twin_that_breaks_the_rule_is_found(code: str, hierarchy: Hierarchy) -> None:
    profile, edit = BROKEN[code]
    mutant = Mutant(profile, hierarchy)
    assert mutant.findings() == ()
    edit(mutant)
    assert code in mutant.codes()


@pytest.mark.parametrize("profile", list(SETTINGS.profiles.profiles))
def test_a_good_certificate_breaks_no_rule(profile: str, hierarchy: Hierarchy) -> None:
    content = content_of(profile, hierarchy)
    assert check_twin(build_twin(content, SETTINGS).der, content, SETTINGS) == ()


def test_other_names_than_the_approved_ones_are_found(hierarchy: Hierarchy) -> None:
    mutant = Mutant("tls-server", hierarchy)
    mutant.extension(SAN, der.sequence(*(der.context(2, b"evil.example", constructed=False),) * 2))
    assert "house.alternative_names_are_the_approved_ones" in mutant.codes()
    extra = Mutant("clin-sign", hierarchy)
    extra.extension(SAN, der.sequence(uri("http://evil.example")))
    assert "house.alternative_names_are_the_approved_ones" in extra.codes()


def test_another_profession_with_the_right_number_is_found(hierarchy: Hierarchy) -> None:
    mutant = Mutant("clin-sign", hierarchy)
    mutant.extension(oids.ADMISSION, mutant.value(oids.ADMISSION).replace("پزشک".encode(), "پزشم".encode()))
    assert "house.admission_is_the_registered_one" in mutant.codes()


def test_a_software_key_that_lives_as_long_as_a_card_is_found(hierarchy: Hierarchy) -> None:
    content = content_of("hix-tls", hierarchy)
    twin = build_twin(content, SETTINGS)
    with pytest.raises(LintFailed, match="validity_keeps_the_profiles_limit"):
        check_twin(twin.der, replace(content, hardware=False), SETTINGS)


def test_a_certificate_from_the_pilot_switch_must_say_so(hierarchy: Hierarchy) -> None:
    content = content_of("clin-sign", hierarchy)
    twin = build_twin(content, SETTINGS)
    with pytest.raises(LintFailed, match="policies_are_one_and_its_type"):
        check_twin(twin.der, replace(content, unapproved=True), SETTINGS)
    marked = build_twin(replace(content, unapproved=True), SETTINGS)
    assert check_twin(marked.der, replace(content, unapproved=True), SETTINGS) == ()


def test_an_error_stops_and_a_warning_is_told(hierarchy: Hierarchy) -> None:
    mutant = Mutant("clin-sign", hierarchy)
    mutant.criticality(CP, critical=True)
    found = {finding.code: finding.severity for finding in mutant.findings()}
    assert found["en319412.policies_are_not_critical"] is Severity.WARNING
    assert found["house.few_extensions_are_critical"] is Severity.ERROR


def test_findings_name_no_holder(hierarchy: Hierarchy) -> None:
    for profile, edit in BROKEN.values():
        mutant = Mutant(profile, hierarchy)
        edit(mutant)
        assert not any("0000012343" in str(finding) or "رضایی" in str(finding) for finding in mutant.findings())


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.code)
def test_every_rule_names_its_clause(rule: object) -> None:
    clause = getattr(rule, "clause", "")
    assert clause.startswith(("RFC ", "EN 319 ", "house:"))


def test_a_name_helper_writes_what_the_reader_reads() -> None:
    assert der.parse(name(IR)).sequence()[0].set_of()[0].raw == IR
