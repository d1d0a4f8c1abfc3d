"""Rules of RFC 5280 that any certificate of ours must keep."""

import hashlib
from functools import lru_cache
from typing import Final

from ca.lint.findings import RulePack, Severity
from ca.lint.subject import UPPER_BOUNDS, LintedCertificate, NameAttribute
from pki import der, oids

PACK: Final[RulePack[LintedCertificate]] = RulePack("rfc5280")
rule = PACK.rule

_VERSION_3: Final = b"\x02\x01\x02"
MAX_EXPLICIT_TEXT: Final = 200
_ENCRYPTING: Final = frozenset({"keyEncipherment", "dataEncipherment", "keyAgreement", "encipherOnly", "decipherOnly"})
_ENCRYPTS: Final = {
    oids.EC_PUBLIC_KEY: frozenset({"keyAgreement"}),
    oids.RSA_ENCRYPTION: frozenset({"keyEncipherment"}),
}


@rule("RFC 5280 §4.1.2.1")
def _version_is_3(c: LintedCertificate) -> str | None:
    first = c.fields[0]
    return None if first.tag == 0xA0 and first.content == _VERSION_3 else "version is not 3"


@rule("RFC 5280 §4.1.2.2")
def _serial_is_positive_and_bounded(c: LintedCertificate) -> str | None:
    octets = c.fields[1].content
    return None if octets[0] < 0x80 and any(octets) and len(octets) <= 20 else "serial number out of range"


@rule("RFC 5280 §4.1.2.4")
def _issuer_is_named(c: LintedCertificate) -> str | None:
    return None if c.issuer else "empty issuer"


@rule("RFC 5280 §4.1.2.6")
def _subject_is_named(c: LintedCertificate) -> str | None:
    return None if c.subject else "empty subject"


@rule("RFC 5280 §4.1.2.5")
def _validity_runs_forward(c: LintedCertificate) -> str | None:
    return None if c.certificate.not_before < c.certificate.not_after else "notAfter is not after notBefore"


@rule("RFC 5280 §4.1.2.5")
def _times_have_their_type(c: LintedCertificate) -> str | None:
    early = any(t.tag == der.GENERALIZED_TIME and t.content < b"2050" for t in c.fields[4].sequence())
    return "GeneralizedTime before the year 2050" if early else None


def _bad_string(attribute: NameAttribute) -> bool:
    # X.520 leaves no choice for countryName and serialNumber.
    fixed = attribute.kind in (oids.COUNTRY, oids.SERIAL_NUMBER)
    return attribute.tag not in ((der.PRINTABLE_STRING,) if fixed else (der.UTF8_STRING, der.PRINTABLE_STRING))


@rule("RFC 5280 §4.1.2.4")
def _names_are_utf8_or_printable(c: LintedCertificate) -> str | None:
    bad = next((a for a in (*c.issuer, *c.subject) if _bad_string(a)), None)
    return None if bad is None else f"string type {bad.tag:#04x} in attribute {bad.kind}"


@rule("RFC 5280 appendix A.1")
def _attributes_keep_their_bounds(c: LintedCertificate) -> str | None:
    for attribute in c.subject:
        bound = UPPER_BOUNDS.get(attribute.kind)
        if bound is not None and not 1 <= len(attribute.text) <= bound:
            return f"attribute {attribute.kind} is empty or longer than {bound}"
    return None


@rule("RFC 5280 §4.1.2.8")
def _unique_identifiers_are_absent(c: LintedCertificate) -> str | None:
    return None if all(field.tag not in (0x81, 0x82) for field in c.fields) else "a unique identifier is present"


@rule("RFC 5280 §4.2.1.1")
def _authority_key_identifier_is_there(c: LintedCertificate) -> str | None:
    if c.is_critical(oids.AUTHORITY_KEY_IDENTIFIER) is not False:
        return "authorityKeyIdentifier is absent or critical"
    return None if c.certificate.authority_key_identifier else "authorityKeyIdentifier names no key"


@rule("RFC 5280 §4.2.1.2")
def _subject_key_identifier_is_the_keys_hash(c: LintedCertificate) -> str | None:
    if c.is_critical(oids.SUBJECT_KEY_IDENTIFIER) is not False:
        return "subjectKeyIdentifier is absent or critical"
    key_bits = der.parse(c.certificate.spki_der).sequence()[1].bits()
    expected = hashlib.sha1(key_bits, usedforsecurity=False).digest()
    return None if c.certificate.subject_key_identifier == expected else "not method 1 over this key"


@rule("RFC 5280 §4.2.1.3")
def _key_usage_is_critical(c: LintedCertificate) -> str | None:
    return None if c.is_critical(oids.KEY_USAGE) else "keyUsage is absent or not critical"


@rule("RFC 5280 §4.2.1.3")
def _key_usage_is_not_empty(c: LintedCertificate) -> str | None:
    return "keyUsage has no bit set" if c.shared.key_usage == frozenset() else None


@rule("RFC 8813 §3, RFC 3279 §2.3.1")
def _key_usage_fits_the_key(c: LintedCertificate) -> str | None:
    encrypting = _ENCRYPTING & (c.shared.key_usage or frozenset())
    if not encrypting:
        return None
    algorithm = der.parse(c.certificate.spki_der).sequence()[0].sequence()[0].oid()
    other = encrypting - _ENCRYPTS.get(algorithm, frozenset())
    return f"{min(other)} is nothing that such a key does" if other else None


@rule("RFC 5280 §4.2.1.3")
def _only_authorities_sign_certificates(c: LintedCertificate) -> str | None:
    signs = "keyCertSign" in (c.shared.key_usage or ())
    return None if signs == c.shared.is_ca else "keyCertSign and cA differ"


@rule("RFC 5280 §4.2.1.4")
def _policies_are_unique(c: LintedCertificate) -> str | None:
    policies = c.shared.policies
    return None if len(set(policies)) == len(policies) else "a policy appears twice"


@rule("RFC 5280 §4.2.1.4")
def _explicit_text_is_short_utf8(c: LintedCertificate) -> str | None:
    found = c.certificate.extensions.get(oids.CERTIFICATE_POLICIES)
    return None if found is None else _explicit_text_fault(found.value)


@lru_cache(maxsize=64)
def _explicit_text_fault(policies: bytes) -> str | None:
    for information in der.parse(policies).sequence():
        for qualifiers in information.sequence()[1:]:
            for qualifier in qualifiers.sequence():
                kind, value = qualifier.sequence()
                texts = value.children() if kind.oid() == oids.POLICY_USER_NOTICE else ()
                if any(t.tag != der.UTF8_STRING or len(t.text()) > MAX_EXPLICIT_TEXT for t in texts):
                    return "explicitText is not UTF8String of at most 200 characters, or a noticeRef is there"
    return None


@rule("RFC 5280 §4.2.1.9")
def _basic_constraints_are_critical(c: LintedCertificate) -> str | None:
    return None if c.is_critical(oids.BASIC_CONSTRAINTS) else "basicConstraints are absent or not critical"


@rule("RFC 5280 §4.2.1.9")
def _path_length_is_for_authorities(c: LintedCertificate) -> str | None:
    return "pathLenConstraint without cA" if c.shared.path_length is not None and not c.shared.is_ca else None


@rule("RFC 5280 §4.2.1.12")
def _any_extended_key_usage_is_absent(c: LintedCertificate) -> str | None:
    usages = c.shared.extended_key_usage
    if usages is None:
        return None
    return "no purpose, or anyExtendedKeyUsage" if not usages or oids.EKU_ANY in usages else None


@rule("RFC 5280 §4.2.1.12")
def _purposes_are_within_the_issuers(c: LintedCertificate) -> str | None:
    missing = c.content.issuer.limits.missing_purposes(c.shared.extended_key_usage or ())
    return f"the issuer's certificate does not allow the purpose {missing[0]}" if missing else None


@rule("RFC 5280 §6.1.5")
def _policies_are_within_the_issuers(c: LintedCertificate) -> str | None:
    if c.content.self_signed:
        return None
    missing = c.content.issuer.limits.missing_policies([p for p in c.shared.policies if p != oids.ANY_POLICY])
    return f"the issuer's certificate does not allow the policy {missing[0]}" if missing else None


@rule("RFC 5280 §4.2.1.10")
def _names_are_within_the_issuers(c: LintedCertificate) -> str | None:
    admitted = c.content.issuer.limits.names.admit(c.certificate)
    return None if admitted else "a name that the certificates above the issuer exclude"


@rule("RFC 5280 §4.2.1.13", Severity.ERROR)
def _distribution_points_are_http(c: LintedCertificate) -> str | None:
    critical = c.is_critical(oids.CRL_DISTRIBUTION_POINTS)
    if critical is None:
        return None
    urls = c.shared.crl_urls
    return None if not critical and urls and all(url.startswith("http://") for url in urls) else "no plain HTTP CDP"


@rule("RFC 5280 §4.2.2.1")
def _information_access_is_not_critical(c: LintedCertificate) -> str | None:
    return "authorityInfoAccess is critical" if c.is_critical(oids.AUTHORITY_INFO_ACCESS) else None


@rule("RFC 5280 §4.2.1.6")
def _alternative_names_are_not_empty(c: LintedCertificate) -> str | None:
    node = c.value(oids.SUBJECT_ALT_NAME)
    if node is None:
        return None
    names = node.sequence()
    return None if names and all(name.content for name in names) else "an empty alternative name"


@rule("RFC 3280 §4.2.1.4")
def _private_key_usage_period_runs_forward(c: LintedCertificate) -> str | None:
    node = c.value(oids.PRIVATE_KEY_USAGE_PERIOD)
    if node is None:
        return None
    bounds = [part.content for part in node.sequence() if part.tag in (0x80, 0x81)]
    return None if len(bounds) == 2 and bounds[0] < bounds[1] else "privateKeyUsagePeriod does not run forward"


@rule("RFC 6960 §4.2.2.2.1")
def _no_check_belongs_to_responders(c: LintedCertificate) -> str | None:
    present = c.is_critical(oids.OCSP_NO_CHECK)
    if present is None:
        return None
    responder = oids.EKU_OCSP_SIGNING in (c.shared.extended_key_usage or ())
    return None if responder and not present else "ocsp-nocheck is critical or the certificate is no responder's"
