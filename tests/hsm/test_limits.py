"""Wrong requests that are of the right kind: each beyond one limit of its key, and one within all of them."""

from dataclasses import replace
from datetime import datetime, timedelta
from hashlib import sha1, sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.custodian.limits import KeyLimits
from hsm.custodian.purposes import MessageKind, MessageRead, SigningRule, check_digest, check_message
from hsm.errors import PurposeRefused
from hsm.provider import KeyPurpose
from pki import der, oids
from pki.keys import SignatureAlgorithm
from tests.hsm import good_messages as good
from tests.hsm import messages as m
from tests.hsm.good_messages import LIMITS, NOW, rule

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)


def judge(
    message: bytes,
    limits: KeyLimits = LIMITS,
    purpose: KeyPurpose = KeyPurpose.CERTIFICATE_AUTHORITY,
    content: bytes | None = None,
) -> MessageRead:
    return check_message(rule(purpose), message, limits=limits, now=NOW, content=content)


def refused(
    message: bytes,
    why: str,
    limits: KeyLimits = LIMITS,
    purpose: KeyPurpose = KeyPurpose.CERTIFICATE_AUTHORITY,
    content: bytes | None = None,
) -> None:
    with pytest.raises(PurposeRefused, match=why):
        judge(message, limits, purpose, content)


def test_limits_need_the_time() -> None:
    with pytest.raises(ValueError, match="time"):
        check_message(rule(), good.certificate(), limits=LIMITS)


# --- certificates ---------------------------------------------------------------------------------


def valid(begin: datetime, end: datetime) -> bytes:
    return good.certificate(validity=der.sequence(der.time(begin), der.time(end)))


def test_a_certificate_within_its_limits_is_signed() -> None:
    assert judge(good.certificate()).kind is MessageKind.CERTIFICATE


@pytest.mark.parametrize(
    ("begin", "end", "why"),
    [
        (NOW, NOW + 366 * DAY, "notAfter"),
        (NOW - timedelta(hours=1), NOW + DAY, "notBefore lies further back"),
        (NOW - 3000 * DAY, NOW - 2900 * DAY, "notBefore lies further back"),
        (NOW + timedelta(hours=1), NOW + DAY, "notBefore lies further ahead"),
        (NOW, NOW, "forward"),
        (NOW + SECOND, NOW, "forward"),
    ],
)
def test_a_validity_beyond_the_policy_is_refused(begin: datetime, end: datetime, why: str) -> None:
    refused(valid(begin, end), why)


def test_a_certificate_that_outlasts_its_ca_is_refused() -> None:
    limits = replace(LIMITS, not_after=NOW + 100 * DAY)
    judge(valid(NOW, NOW + 100 * DAY), limits)
    refused(valid(NOW, NOW + 100 * DAY + SECOND), "beyond the end of this key", limits)


def test_an_end_in_ten_thousand_years_is_refused() -> None:
    never = der.tlv(der.GENERALIZED_TIME, b"99991231235959Z")  # RFC 5280 §4.1.2.5: no well-defined end
    refused(good.certificate(validity=der.sequence(der.time(NOW), never)), "notAfter")


@pytest.mark.parametrize(
    "moment",
    [b"20261122090000Z", b"20491231235959Z", b"20501301000000Z", b"2050010100000Z", b"20500101000000.5Z", b"20500101"],
)
def test_a_generalized_time_of_no_use_is_refused(moment: bytes) -> None:
    refused(good.certificate(validity=der.sequence(der.time(NOW), der.tlv(der.GENERALIZED_TIME, moment))), "not a time")


@pytest.mark.parametrize(
    "moment", [b"261132090000Z", b"260230000000Z", b"261122096000Z", b"261122240000Z", b"2611220900Z"]
)
def test_a_time_that_no_calendar_has_is_refused(moment: bytes) -> None:
    refused(good.certificate(validity=der.sequence(der.tlv(der.UTC_TIME, moment), der.time(NOW + DAY))), "not a time")


def test_an_unknown_extension_is_refused() -> None:
    extensions = (*good.EXTENSIONS, m.extension("1.3.6.1.4.1.32473.99", der.null()))
    refused(good.certificate(extensions=extensions), "do not carry")
    judge(good.certificate(extensions=extensions), replace(LIMITS, allowed_extensions=None))


@pytest.mark.parametrize("index", range(len(good.EXTENSIONS)))
def test_a_required_extension_must_be_there(index: int) -> None:
    extensions = good.EXTENSIONS[:index] + good.EXTENSIONS[index + 1 :]
    refused(good.certificate(extensions=extensions), "is missing", good.ALL_REQUIRED)


@pytest.mark.parametrize("purposes", [(oids.EKU_OCSP_SIGNING,), (oids.EKU_CLIENT_AUTH, oids.EKU_ANY), ()])
def test_an_extended_key_usage_beyond_the_policy_is_refused(purposes: tuple[str, ...]) -> None:
    usage = m.extension(oids.EXTENDED_KEY_USAGE, der.sequence(*(der.oid(name) for name in purposes)))
    refused(good.certificate(extensions=(*good.EXTENSIONS[:-1], usage)), "extended key usage")


def test_an_extended_key_usage_of_another_form_is_refused() -> None:
    usage = m.extension(oids.EXTENDED_KEY_USAGE, der.sequence(der.utf8("clientAuth")))
    refused(good.certificate(extensions=(*good.EXTENSIONS[:-1], usage)), "not a well-formed message")


def test_unique_identifiers_are_refused() -> None:
    body = der.parse(good.certificate()).sequence()
    message = der.sequence(*(node.raw for node in body[:7]), der.tlv(0x81, b"\0id"), body[7].raw)
    refused(message, "version 3")


def test_a_serial_number_of_another_form_is_refused() -> None:
    padded = der.tlv(der.INTEGER, b"\0" + b"\x31" * 16)
    refused(good.certificate(serial=padded), "minimal")


def test_an_extension_with_more_than_a_value_is_refused() -> None:
    doubled = der.sequence(
        der.oid(oids.BASIC_CONSTRAINTS), der.octet_string(der.sequence()), der.octet_string(der.sequence())
    )
    refused(good.certificate(extensions=(doubled, *good.EXTENSIONS[1:])), "well-formed|not an extension")


@pytest.mark.parametrize(
    "value",
    [
        der.sequence(der.integer(0)),
        der.sequence(der.boolean(True), der.integer(0), der.integer(0)),
        der.sequence(der.null()),
    ],
)
def test_basic_constraints_of_no_known_form_are_refused(value: bytes) -> None:
    odd = m.extension(oids.BASIC_CONSTRAINTS, value, critical=True)
    refused(good.certificate(extensions=(odd, *good.EXTENSIONS[1:])), "well-formed|basic constraints")


# --- what a root signs ----------------------------------------------------------------------------

ROOT_LIMITS = KeyLimits(ca_path_length=0)


def ca_certificate(*path_length: bytes, subject: bytes = m.name("Issuing CA"), spki: bytes = good.OTHER_SPKI) -> bytes:
    constraints = der.sequence(der.boolean(True), *path_length)
    extensions = (m.extension(oids.BASIC_CONSTRAINTS, constraints, critical=True), m.key_usage(0x06))
    return m.tbs_certificate(spki, subject=subject, extensions=extensions)


def test_a_root_certifies_cas_of_the_path_length_it_may() -> None:
    judge(ca_certificate(der.integer(0)), ROOT_LIMITS, KeyPurpose.ROOT)
    refused(ca_certificate(der.integer(1)), "path length", ROOT_LIMITS, KeyPurpose.ROOT)
    refused(ca_certificate(der.integer(-1)), "path length", ROOT_LIMITS, KeyPurpose.ROOT)
    refused(ca_certificate(), "path length", ROOT_LIMITS, KeyPurpose.ROOT)
    judge(ca_certificate(), KeyLimits(), KeyPurpose.ROOT)


def test_a_root_certifies_itself_without_a_path_length() -> None:
    judge(ca_certificate(subject=m.ISSUER, spki=good.OWN_SPKI), ROOT_LIMITS, KeyPurpose.ROOT)


def test_a_root_certifies_no_other_key_under_its_own_name() -> None:
    refused(ca_certificate(subject=m.ISSUER), "another key", ROOT_LIMITS, KeyPurpose.ROOT)


def test_a_root_certifies_no_key_usage_of_a_ca_without_the_flag() -> None:
    refused(
        m.tbs_certificate(good.OTHER_SPKI, extensions=(m.key_usage(0x06),)), "key usage", ROOT_LIMITS, KeyPurpose.ROOT
    )


# --- lists ----------------------------------------------------------------------------------------


def test_a_list_within_its_limits_is_signed() -> None:
    read = judge(good.revocation_list())
    assert (read.crl_number, read.instant) == (7, NOW)


@pytest.mark.parametrize(
    ("begin", "end", "why"),
    [
        (NOW, NOW + 3 * DAY, "nextUpdate"),
        (NOW - timedelta(hours=1), NOW + DAY, "thisUpdate lies further back"),
        (NOW + timedelta(hours=1), NOW + DAY, "thisUpdate lies further ahead"),
    ],
)
def test_times_of_a_list_beyond_the_policy_are_refused(begin: datetime, end: datetime, why: str) -> None:
    refused(good.revocation_list(this_update=der.time(begin), next_update=der.time(end)), why)


def test_a_list_that_outlasts_its_ca_is_refused() -> None:
    refused(good.revocation_list(), "beyond the end", replace(LIMITS, not_after=NOW + timedelta(hours=1)))


@pytest.mark.parametrize("number", [der.integer(-1), der.integer(2**160), der.null(), der.sequence()])
def test_a_number_that_is_none_is_refused(number: bytes) -> None:
    refused(good.revocation_list(extensions=(m.extension(oids.CRL_NUMBER, number),)), "CRL number|well-formed")


def test_an_extension_that_no_list_carries_is_refused() -> None:
    extensions = (*good.LIST_EXTENSIONS, m.extension("1.3.6.1.4.1.32473.99", der.null()))
    refused(good.revocation_list(extensions=extensions), "no list carries")


def test_the_scope_of_a_list_is_its_distribution_point_and_whether_it_is_a_delta() -> None:
    number, delta = good.LIST_EXTENSIONS[0], m.extension(oids.DELTA_CRL_INDICATOR, der.integer(3), critical=True)
    scopes = {
        judge(good.revocation_list(extensions=extensions)).crl_scope
        for extensions in (
            (number,),
            (number, delta),
            (number, m.point(b"http://a.example/1")),
            (number, m.point(b"http://a.example/2")),
            (number, m.point(b"http://a.example/1"), delta),
        )
    }
    assert len(scopes) == 5
    again = m.extension(oids.DELTA_CRL_INDICATOR, der.integer(4), critical=True)
    assert judge(good.revocation_list(extensions=(again, number))).crl_scope in scopes


# --- OCSP -----------------------------------------------------------------------------------------


def ocsp_refused(message: bytes, why: str, limits: KeyLimits = LIMITS) -> None:
    refused(message, why, limits, KeyPurpose.OCSP)


def test_a_response_within_its_limits_is_signed() -> None:
    assert judge(good.response(), purpose=KeyPurpose.OCSP).kind is MessageKind.OCSP_RESPONSE


@pytest.mark.parametrize(
    ("produced", "this", "following", "why"),
    [
        (NOW - timedelta(hours=1), NOW - timedelta(hours=1), NOW + DAY, "producedAt lies further back"),
        (NOW + timedelta(hours=1), NOW, NOW + DAY, "producedAt lies further ahead"),
        (NOW, NOW - timedelta(hours=1), NOW + DAY, "thisUpdate lies further back"),
        (NOW, NOW + SECOND, NOW + DAY, "after producedAt"),
        (NOW, NOW, NOW + 2 * DAY, "nextUpdate"),
        (NOW, NOW, NOW, "nextUpdate"),
        (NOW, NOW, None, "without nextUpdate"),
    ],
)
def test_times_of_a_response_beyond_the_policy_are_refused(
    produced: datetime, this: datetime, following: datetime | None, why: str
) -> None:
    ocsp_refused(good.response(good.single(this=this, following=following), produced=produced), why)


def test_a_response_that_outlasts_its_responder_is_refused() -> None:
    ocsp_refused(good.response(), "beyond the end", replace(LIMITS, not_after=NOW + timedelta(hours=1)))


@pytest.mark.parametrize("hashed", ["sha1", "sha256"])
def test_a_response_is_for_the_issuers_name_and_key(hashed: str) -> None:
    judge(good.response(good.single(hashed=hashed)), purpose=KeyPurpose.OCSP)
    ocsp_refused(good.response(good.single(hashed=hashed, issuer=m.name("Other CA"))), "another issuer")
    ocsp_refused(good.response(good.single(hashed=hashed, spki=good.OTHER_SPKI)), "another issuer's key")


def test_one_foreign_certificate_among_many_is_refused() -> None:
    ocsp_refused(good.response(good.single(), good.single(issuer=m.name("Other CA")), good.single()), "another issuer")


def test_without_the_issuers_key_the_name_alone_is_compared() -> None:
    unknowing = replace(rule(KeyPurpose.OCSP), issuer_spki_der=None)
    message = good.response(good.single(spki=good.OTHER_SPKI))
    check_message(unknowing, message, limits=LIMITS, now=NOW)


# --- tokens ---------------------------------------------------------------------------------------

EPOCH = int(NOW.timestamp())


def test_a_token_within_its_limits_is_signed() -> None:
    assert judge(good.token(), purpose=KeyPurpose.TOKEN).kind is MessageKind.ACCESS_TOKEN


@pytest.mark.parametrize(
    ("claims", "why"),
    [
        ({"iss": "https://other.example"}, "another issuer"),
        ({"iss": None}, "another issuer"),
        ({"exp": EPOCH + 601}, "exp"),
        ({"exp": EPOCH}, "never is valid"),
        ({"iat": EPOCH - 7200, "exp": EPOCH - 7000}, "iat lies further back"),
        ({"iat": EPOCH + 7200, "exp": EPOCH + 7300}, "iat lies further ahead"),
        ({"exp": None}, "whole seconds"),
        ({"iat": float(EPOCH)}, "whole seconds"),
        ({"iat": True}, "whole seconds"),
        ({"exp": 10**30}, "not a time"),
    ],
)
def test_claims_beyond_the_policy_are_refused(claims: dict[str, object], why: str) -> None:
    refused(good.token(**claims), why, purpose=KeyPurpose.TOKEN)


# --- bare digests ---------------------------------------------------------------------------------


@pytest.mark.parametrize("purpose", KeyPurpose)
def test_a_bare_digest_is_signed_by_token_and_seal_keys_alone(purpose: KeyPurpose) -> None:
    if purpose in (KeyPurpose.TOKEN, KeyPurpose.SEAL):
        check_digest(rule(purpose), bytes(32))
    else:
        with pytest.raises(PurposeRefused, match="no bare digest"):
            check_digest(rule(purpose), bytes(32))


@pytest.mark.parametrize(
    ("algorithm", "octets"),
    [
        (SignatureAlgorithm.ES256, 32),
        (SignatureAlgorithm.ES384, 48),
        (SignatureAlgorithm.RS256, 32),
        (SignatureAlgorithm.PS256, 32),
        (SignatureAlgorithm.EDDSA, None),
    ],
)
def test_a_digest_has_the_size_of_its_algorithm(algorithm: SignatureAlgorithm, octets: int | None) -> None:
    sealing = replace(rule(KeyPurpose.SEAL), algorithm=algorithm)
    for size in (0, 3, 20, 31, 32, 33, 47, 48, 64):
        if size == octets:
            check_digest(sealing, bytes(size))
        else:
            with pytest.raises(PurposeRefused):
                check_digest(sealing, bytes(size))


# --- properties -----------------------------------------------------------------------------------


@given(back=st.integers(-3000, 3000), length=st.integers(-10, 400 * 86_400))
def test_exactly_the_validities_within_the_policy_are_signed(back: int, length: int) -> None:
    begin = NOW - timedelta(seconds=back)
    end = begin + timedelta(seconds=length)
    allowed = -60 <= back <= 900 and 0 < length <= 365 * 86_400
    try:
        judge(valid(begin, end))
    except PurposeRefused:
        assert not allowed
    else:
        assert allowed


def test_hashes_of_the_issuer_are_what_responders_send() -> None:
    bits = der.parse(good.OWN_SPKI).sequence()[1].bits()
    identifier = der.parse(good.single()).sequence()[0].sequence()
    assert identifier[1].octets() == sha1(m.ISSUER, usedforsecurity=False).digest()
    assert identifier[2].octets() == sha1(bits, usedforsecurity=False).digest()
    identifier = der.parse(good.single(hashed="sha256")).sequence()[0].sequence()
    assert identifier[2].octets() == sha256(bits).digest()


def test_a_rule_is_a_value() -> None:
    assert rule() == SigningRule(
        purpose=KeyPurpose.CERTIFICATE_AUTHORITY,
        algorithm=SignatureAlgorithm.ES256,
        spki_der=good.OWN_SPKI,
        issuer_der=m.ISSUER,
        issuer_spki_der=good.OWN_SPKI,
    )
