"""Rules of the house: the certificate is exactly what the profile, the issuer and the approved file say."""

from typing import Final

from cryptography import x509

from ca.extensions import qualified_statements
from ca.lint.findings import RulePack
from ca.lint.subject import LintedCertificate
from ca.profiles import IssuerName
from ca.tbs import SERIAL_OCTETS, policy_oids
from pki import der, oids
from pki.keys import algorithm_identifier

PACK: Final[RulePack[LintedCertificate]] = RulePack("house")
rule = PACK.rule

_MAY_BE_CRITICAL: Final = frozenset({oids.KEY_USAGE, oids.BASIC_CONSTRAINTS, oids.EXTENDED_KEY_USAGE})


@rule("house: serial")
def _serial_is_the_reserved_one(c: LintedCertificate) -> str | None:
    if c.certificate.serial != c.content.serial:
        return "not the serial number that was reserved"
    return None if len(c.fields[1].content) == SERIAL_OCTETS else "serial number is not 20 octets"


@rule("house: algorithm")
def _algorithm_is_the_issuers(c: LintedCertificate) -> str | None:
    expected = algorithm_identifier(c.content.issuer.algorithm)
    return None if c.fields[2].raw == expected else "not the issuer's signature algorithm"


@rule("house: issuer")
def _issuer_is_the_authoritys_name(c: LintedCertificate) -> str | None:
    return None if c.certificate.issuer_der == c.content.issuer.name_der else "issuer differs from the CA's subject"


@rule("house: issuer")
def _authority_key_identifier_is_the_authoritys(c: LintedCertificate) -> str | None:
    same = c.certificate.authority_key_identifier == c.content.issuer.key_identifier
    return None if same else "authorityKeyIdentifier is not the issuer's key"


@rule("house: subject")
def _subject_is_the_approved_one(c: LintedCertificate) -> str | None:
    return None if c.certificate.subject_der == c.content.subject.name.public_bytes() else "subject differs"


@rule("house: subject")
def _names_are_utf8(c: LintedCertificate) -> str | None:
    bad = any(a.tag != der.UTF8_STRING for a in c.subject if a.kind not in (oids.COUNTRY, oids.SERIAL_NUMBER))
    return "a name is not UTF8String" if bad else None


@rule("house: subject")
def _relative_names_have_one_attribute(c: LintedCertificate) -> str | None:
    return "a multi-valued RDN" if any(a.siblings > 1 for a in c.subject) else None


@rule("house: subject")
def _subject_is_not_the_issuer(c: LintedCertificate) -> str | None:
    return None if c.certificate.self_issued == c.content.self_signed else "subject and issuer are the same name"


@rule("house: subject")
def _title_is_the_profiles(c: LintedCertificate) -> str | None:
    wanted = c.content.profile.title
    return None if c.count(oids.TITLE) == wanted else "title differs from the profile"


@rule("house: subject")
def _unit_is_the_profiles(c: LintedCertificate) -> str | None:
    allowed = c.content.profile.organizational_unit
    return None if c.count(oids.ORGANIZATIONAL_UNIT) <= allowed else "organizationalUnitName differs from the profile"


@rule("house: validity")
def _validity_is_what_was_asked(c: LintedCertificate) -> str | None:
    asked = (c.content.not_before, c.content.not_after)
    return None if (c.certificate.not_before, c.certificate.not_after) == asked else "other times than asked"


@rule("house: validity")
def _validity_keeps_the_profiles_limit(c: LintedCertificate) -> str | None:
    length = c.certificate.not_after - c.certificate.not_before
    limit = c.content.profile.lifetime(hardware=c.content.hardware)
    return None if length <= limit else "lives longer than its profile allows"


@rule("house: validity")
def _issuer_outlives_it(c: LintedCertificate) -> str | None:
    end = c.content.issuer.not_after
    return None if end is None or c.certificate.not_after <= end else "outlives its issuer"


@rule("house: validity")
def _issuer_is_older(c: LintedCertificate) -> str | None:
    start = c.content.issuer.not_before
    return None if start is None or c.certificate.not_before >= start else "begins before its issuer"


@rule("house: key")
def _key_is_the_requested_one(c: LintedCertificate) -> str | None:
    return None if c.certificate.spki_der == c.content.spki_der else "another public key than the request's"


@rule("house: key usage")
def _key_usage_is_the_profiles(c: LintedCertificate) -> str | None:
    meant = c.content.profile.usage_of(c.content.public_key)
    return None if c.shared.key_usage == meant else "keyUsage differs from the profile"


@rule("house: extended key usage")
def _extended_key_usage_is_the_profiles(c: LintedCertificate) -> str | None:
    authority, profile = c.content.authority, c.content.profile
    expected = profile.extended_key_usage if authority is None else c.settings.profiles.authority_usages(authority)
    if (c.shared.extended_key_usage or ()) != expected:
        return "extKeyUsage differs from the profile"
    critical = bool(c.is_critical(oids.EXTENDED_KEY_USAGE))
    return None if critical == profile.extended_key_usage_critical else "criticality of extKeyUsage differs"


@rule("house: basic constraints")
def _constraints_are_the_profiles(c: LintedCertificate) -> str | None:
    profile, shared = c.content.profile, c.shared
    same = (shared.is_ca, shared.path_length) == (profile.is_ca, profile.path_length)
    return None if same else "basicConstraints differ from the profile"


@rule("house: policies")
def _policies_are_one_and_its_type(c: LintedCertificate) -> str | None:
    content = c.content
    root = content.profile.is_ca and content.self_signed
    expected = () if root else policy_oids(content.profile, c.settings, unapproved=content.unapproved)
    return None if c.shared.policies == expected else "not one certificate policy and exactly one type"


@rule("house: policies, by-law of art. 32 art. 11")
def _policy_says_internal_use(c: LintedCertificate) -> str | None:
    found = c.certificate.extensions.get(oids.CERTIFICATE_POLICIES)
    notice = c.settings.policy_notice.encode()
    return "the notice on internal use is missing" if found is not None and notice not in found.value else None


@rule("house: status")
def _status_pointers_are_the_issuers(c: LintedCertificate) -> str | None:
    content, settings, shared = c.content, c.settings, c.shared
    issuer = content.issuer.label
    expected: tuple[tuple[str, ...], ...] = ((), (), ())
    if content.profile.status_pointers:
        crl = settings.crl_url(issuer, settings.shard_of(issuer, content.serial))
        responders = () if issuer is IssuerName.ROOT else (settings.ocsp_url,)
        expected = ((crl,), (settings.issuer_url(issuer),), responders)
    found = (shared.crl_urls, shared.issuer_urls, shared.ocsp_urls)
    return None if found == expected else "CDP or AIA differ from the issuer's"


@rule("house: status")
def _no_check_is_the_profiles(c: LintedCertificate) -> str | None:
    present = oids.OCSP_NO_CHECK in c.certificate.extensions
    return None if present == c.content.profile.ocsp_no_check else "ocsp-nocheck differs from the profile"


@rule("house: admission, Common PKI part 1 table 29")
def _admission_is_the_registered_one(c: LintedCertificate) -> str | None:
    if not c.content.profile.admission:
        return "Admission in a profile without" if oids.ADMISSION in c.certificate.extensions else None
    found, meant = c.certificate.admission, c.content.subject
    if found is None or meant.admission is None or c.is_critical(oids.ADMISSION):
        return "Admission is absent or critical"
    whole = len(found.profession_items) == 1 and len(found.profession_oids) == 1
    numbered = found.registration_number == meant.registration_number
    same = c.certificate.extensions[oids.ADMISSION].value == meant.admission.public_bytes()
    return None if whole and numbered and same else "Admission is not the registered profession and number"


@rule("house: alternative names")
def _alternative_names_are_the_approved_ones(c: LintedCertificate) -> str | None:
    approved = c.content.subject.alternative_names
    if bool(approved) != c.content.profile.alternative_name:
        return "the profile and the subject disagree about alternative names"
    found = c.certificate.extensions.get(oids.SUBJECT_ALT_NAME)
    if found is None:
        return "alternative names are missing" if approved else None
    same = bool(approved) and found.value == x509.SubjectAlternativeName(approved).public_bytes()
    return None if same and not found.critical else "other alternative names"


@rule("house: private key usage period")
def _private_key_usage_period_is_the_profiles(c: LintedCertificate) -> str | None:
    present = oids.PRIVATE_KEY_USAGE_PERIOD in c.certificate.extensions
    wanted = c.content.profile.private_key_usage is not None
    return None if present == wanted else "privateKeyUsagePeriod differs from the profile"


@rule("house: healthcare role, ISO 17090-2 §7.3")
def _directory_attributes_are_the_registered_ones(c: LintedCertificate) -> str | None:
    found, meant = c.certificate.extensions.get(oids.SUBJECT_DIRECTORY_ATTRIBUTES), c.content.subject
    if c.content.profile.hc_role != (meant.directory_attributes is not None):
        return "the profile and the subject disagree about a healthcare role"
    same = (None if found is None else found.value) == meant.directory_attributes
    return None if same and not (found and found.critical) else "other directory attributes, or critical"


@rule("house: qualified certificate statements, ETSI EN 319 412-5 §4.1")
def _statements_are_the_profiles(c: LintedCertificate) -> str | None:
    found, profile = c.certificate.extensions.get(oids.QC_STATEMENTS), c.content.profile
    if not profile.qc_statements:
        return None if found is None else "QCStatements in a profile without"
    meant = qualified_statements(profile.qc_statements, profile.holder, c.settings.country)
    return None if found and found.value == meant and not found.critical else "QCStatements are not the profile's"


@rule("house: extensions")
def _extensions_are_known(c: LintedCertificate) -> str | None:
    unknown = c.certificate.extensions.keys() - c.content.profile.extensions
    return None if not unknown else f"extension {min(unknown)} is not ours"


@rule("house: extensions")
def _few_extensions_are_critical(c: LintedCertificate) -> str | None:
    for name, extension in c.certificate.extensions.items():
        if extension.critical and name not in _MAY_BE_CRITICAL:
            return f"extension {name} is critical"
    return None
