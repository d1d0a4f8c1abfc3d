import hashlib
import sys
import time
import timeit
from datetime import timedelta

import pytest
from cryptography import x509
from hypothesis import given
from hypothesis import strategies as st

from hsm.custodian import purposes
from hsm.custodian.purposes import MessageKind, SigningRule, check_message
from hsm.custodian.reading.texts import MAX_NOTE_OCTETS
from hsm.errors import PurposeRefused
from hsm.provider import KeyPurpose, spki_of
from hsm.soft import UnsafeSoftKey
from pki import cbor, der, oids
from pki.keys import SignatureAlgorithm, algorithm_identifier
from tests.hsm import messages as m

OWN_SPKI = spki_of(UnsafeSoftKey.generate(SignatureAlgorithm.ES256).public_key())
OTHER_SPKI = spki_of(UnsafeSoftKey.generate(SignatureAlgorithm.ES256).public_key())
ISSUER_SHA1 = hashlib.sha1(m.ISSUER, usedforsecurity=False).digest()

SAMPLES = {
    "leaf certificate": m.tbs_certificate(OTHER_SPKI),
    "CA certificate": m.tbs_certificate(OTHER_SPKI, extensions=(m.basic_constraints(ca=True), m.key_usage(0x06))),
    "self-issued CA certificate": m.tbs_certificate(
        OWN_SPKI, subject=m.ISSUER, extensions=(m.basic_constraints(ca=True),)
    ),
    "certificate list": m.tbs_cert_list(),
    "own request": m.request_info(OWN_SPKI),
    "request for another key": m.request_info(OTHER_SPKI),
    "OCSP response": m.response_data(m.single_response(ISSUER_SHA1)),
    "time-stamp attributes": m.signed_attributes(oids.TST_INFO),
    "data attributes": m.signed_attributes(oids.CMS_DATA),
    "attributes over signed data": m.signed_attributes(oids.CMS_SIGNED_DATA),
    "access token": m.jws({"alg": "ES256", "typ": "at+jwt"}),
    "sealed JWS": m.jws({"alg": "ES256", "typ": "jose+json"}, b"any payload"),
    "sealed COSE": m.cose(),
    "JWS without type": m.jws({"alg": "ES256"}),
    "identity token": m.jws({"alg": "ES256", "typ": "JWT"}),
    "note": m.NOTE,
    "bare SHA-256 digest": m.SHA256_OF_NOTHING,
    "DigestInfo": der.sequence(der.ALGORITHM_SHA256, der.octet_string(m.SHA256_OF_NOTHING)),
    "signed certificate": der.sequence(
        m.tbs_certificate(OTHER_SPKI), algorithm_identifier(SignatureAlgorithm.ES256), der.bit_string(bytes(70))
    ),
    "time-stamp content": der.sequence(der.integer(1), der.oid("1.3.6.1.4.1.32473.4.1")),
    "PDF": b"%PDF-1.7\nnothing",
    "nothing": b"",
}

EXPECTED = {
    KeyPurpose.ROOT: {
        "leaf certificate",
        "CA certificate",
        "self-issued CA certificate",
        "certificate list",
        "own request",
    },
    KeyPurpose.CERTIFICATE_AUTHORITY: {"leaf certificate", "certificate list", "own request"},
    KeyPurpose.OCSP: {"OCSP response", "own request"},
    KeyPurpose.TIMESTAMP: {"time-stamp attributes", "own request"},
    KeyPurpose.TOKEN: {"access token"},
    KeyPurpose.SEAL: {"note", "data attributes", "sealed JWS", "sealed COSE", "own request"},
}


def rule(
    purpose: KeyPurpose = KeyPurpose.CERTIFICATE_AUTHORITY,
    *,
    algorithm: SignatureAlgorithm = SignatureAlgorithm.ES256,
    issuer: bytes | None = m.ISSUER,
) -> SigningRule:
    return SigningRule(purpose=purpose, algorithm=algorithm, spki_der=OWN_SPKI, issuer_der=issuer)


@pytest.mark.parametrize("purpose", KeyPurpose)
@pytest.mark.parametrize("sample", SAMPLES)
def test_each_purpose_signs_its_own_kinds_and_nothing_else(purpose: KeyPurpose, sample: str) -> None:
    if sample in EXPECTED[purpose]:
        check_message(rule(purpose), SAMPLES[sample])
    else:
        with pytest.raises(PurposeRefused):
            check_message(rule(purpose), SAMPLES[sample])


BACKWARDS = der.sequence(der.time(m.END), der.time(m.START))
NO_TIME = der.sequence(der.time(m.START), der.tlv(der.UTC_TIME, b"261332000000Z"))
LOCAL_TIME = der.sequence(der.time(m.START), der.tlv(der.UTC_TIME, b"280101000000+0330"))
SHORT_YEAR = der.sequence(der.time(m.START), der.tlv(der.GENERALIZED_TIME, b"280101000000Z"))
TWICE = (*m.LEAF_EXTENSIONS, m.basic_constraints(ca=True))


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(m.tbs_certificate(OTHER_SPKI, issuer=m.name("Other CA")), id="foreign issuer"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, subject=m.ISSUER), id="issued to the issuer"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, serial=der.integer(1)), id="serial 1"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, serial=der.integer(-(2**100))), id="negative serial"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, serial=der.integer(2**160)), id="serial of 21 octets"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, serial=b""), id="no serial"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, validity=BACKWARDS), id="validity backwards"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, validity=NO_TIME), id="month 13"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, validity=LOCAL_TIME), id="local time"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, validity=SHORT_YEAR), id="GeneralizedTime with two-digit year"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, version=b""), id="version 1"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, version=der.context(0, der.integer(1))), id="version 2"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, extensions=()), id="no extensions"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, extensions=TWICE), id="CA flag in a second extension"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, extensions=(m.key_usage(0x04),)), id="keyCertSign"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, extensions=(m.key_usage(0x02),)), id="cRLSign"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, extensions=(der.sequence(),)), id="nameless extension"),
        pytest.param(
            m.tbs_certificate(OTHER_SPKI, algorithm=algorithm_identifier(SignatureAlgorithm.RS256)),
            id="another algorithm",
        ),
        pytest.param(m.tbs_certificate(OTHER_SPKI) + b"\x00", id="trailing octet"),
        pytest.param(m.tbs_certificate(OTHER_SPKI)[:-1], id="truncated"),
        pytest.param(m.tbs_cert_list(issuer=m.name("Other CA")), id="list of another issuer"),
        pytest.param(m.tbs_cert_list(version=b""), id="list of version 1"),
        pytest.param(m.tbs_cert_list(extensions=()), id="list without number"),
        pytest.param(m.tbs_cert_list(next_update=der.time(m.START)), id="list that never was current"),
        pytest.param(m.tbs_cert_list(next_update=b""), id="list without nextUpdate"),
    ],
)
def test_a_ca_key_refuses(message: bytes) -> None:
    with pytest.raises(PurposeRefused):
        check_message(rule(), message)


def test_a_key_that_is_not_bound_yet_signs_for_any_issuer() -> None:
    other = m.tbs_certificate(OTHER_SPKI, issuer=m.name("Other CA"))
    assert check_message(rule(issuer=None), other).kind is MessageKind.CERTIFICATE


def test_a_certificate_beyond_2049_is_read_with_its_generalized_time() -> None:
    far = der.sequence(der.time(m.START), der.time(m.START + timedelta(days=365 * 40)))
    assert check_message(rule(), m.tbs_certificate(OTHER_SPKI, validity=far)).kind is MessageKind.CERTIFICATE


def test_a_list_says_what_must_run_forward() -> None:
    read = check_message(rule(), m.tbs_cert_list())
    assert (read.kind, read.crl_number, read.instant) == (MessageKind.REVOCATION_LIST, 7, m.START)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(m.response_data(m.single_response(bytes(20))), id="certificates of another issuer"),
        pytest.param(m.response_data(), id="no response"),
        pytest.param(m.response_data(*[m.single_response(ISSUER_SHA1)] * 65), id="too many responses"),
        pytest.param(m.response_data(m.single_response(ISSUER_SHA1, status=der.null())), id="no status"),
        pytest.param(
            m.response_data(m.single_response(ISSUER_SHA1), produced_at=der.time(m.START)), id="UTCTime as producedAt"
        ),
    ],
)
def test_an_ocsp_key_refuses(message: bytes) -> None:
    with pytest.raises(PurposeRefused):
        check_message(rule(KeyPurpose.OCSP), message)


OTHER_TYPE = m.attribute(oids.ATTR_SIGNING_TIME, der.time(m.START))
UNSORTED = der.tlv(
    der.SET,
    m.attribute(oids.ATTR_MESSAGE_DIGEST, der.octet_string(m.SHA256_OF_NOTHING)),
    m.attribute(oids.ATTR_CONTENT_TYPE, der.oid(oids.TST_INFO)),
)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(
            m.signed_attributes(oids.TST_INFO, m.attribute(oids.ATTR_CONTENT_TYPE, der.oid(oids.CMS_DATA))),
            id="two content types",
        ),
        pytest.param(
            der.set_of(
                [m.attribute(oids.ATTR_CONTENT_TYPE, der.oid(oids.TST_INFO), der.oid(oids.CMS_DATA)), OTHER_TYPE]
            ),
            id="content type with two values",
        ),
        pytest.param(
            der.set_of([m.attribute(oids.ATTR_CONTENT_TYPE, der.oid(oids.TST_INFO)), OTHER_TYPE]), id="no digest"
        ),
        pytest.param(UNSORTED, id="not in DER order"),
        pytest.param(der.tlv(0xA0, m.signed_attributes(oids.TST_INFO)[2:]), id="with the tag of the SignerInfo"),
    ],
)
def test_a_time_stamp_key_refuses(message: bytes) -> None:
    with pytest.raises(PurposeRefused):
        check_message(rule(KeyPurpose.TIMESTAMP), message)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(m.jws({"alg": "none", "typ": "at+jwt"}), id="alg none"),
        pytest.param(m.jws({"alg": "ES384", "typ": "at+jwt"}), id="alg of another key"),
        pytest.param(m.jws({"alg": "ES256", "typ": "at+jwt", "b64": False}), id="unencoded payload"),
        pytest.param(m.jws({"alg": "ES256", "typ": "at+jwt"}, b"[]"), id="payload not an object"),
        pytest.param(m.jws({"alg": "ES256", "typ": "at+jwt"}, b"{"), id="payload not JSON"),
        pytest.param(m.jws({"alg": "ES256", "typ": "at+jwt"}) + b".", id="signed already"),
        pytest.param(m.jws({"alg": "ES256", "typ": "at+jwt"}) + b"\n", id="line feed"),
        pytest.param(m.jws({"alg": "ES256", "typ": "at+jwt"}).partition(b".")[0], id="header alone"),
        pytest.param(m.jws({"alg": "ES256", "typ": "at+jwt"}).partition(b".")[0] + b".", id="no payload"),
        pytest.param(m.jws({"alg": "ES256", "typ": "at+jwt"}, b'{"a":"' + b"x" * 70_000 + b'"}'), id="too large"),
        pytest.param(b"eyJ" + b"A" * 100_000, id="no dot"),
    ],
)
def test_a_token_key_refuses(message: bytes) -> None:
    with pytest.raises(PurposeRefused):
        check_message(rule(KeyPurpose.TOKEN), message)


@pytest.mark.parametrize(
    "message",
    [
        pytest.param(m.NOTE.rstrip(b"\n"), id="no line feed at the end"),
        pytest.param(b"\n", id="empty line alone"),
        pytest.param(b"origin\r\n5\n", id="carriage return"),
        pytest.param(b"origin\x00\n", id="NUL"),
        pytest.param(b"origin\xff\n", id="not UTF-8"),
        pytest.param(b"a" * MAX_NOTE_OCTETS + b"\n", id="too large"),
        pytest.param(m.cose(context="Signature"), id="COSE of several signers"),
        pytest.param(m.cose(context="MAC0"), id="a MAC"),
        pytest.param(m.cose(external=b"x"), id="COSE over other data too"),
        pytest.param(m.cose(header={1: -35}), id="COSE algorithm of another key"),
        pytest.param(m.cose(header={}), id="COSE without an algorithm"),
        pytest.param(m.cose(payload=b"\xa0" + b"\x00"), id="COSE claims with more behind"),
        pytest.param(m.cose(payload=b"\x80"), id="COSE claims no map"),
        pytest.param(m.cose(payload=cbor.encode({1: "x" * 70_000})), id="COSE too large"),
        pytest.param(m.cose() + b"\x00", id="COSE with more behind"),
        pytest.param(m.cose().replace(b"\x6a", b"\x78\x0a", 1), id="COSE spelt at length"),
        pytest.param(b"\x84", id="an array without its items"),
    ],
)
def test_a_seal_key_refuses(message: bytes) -> None:
    with pytest.raises(PurposeRefused):
        check_message(rule(KeyPurpose.SEAL), message)


x509_purposes = st.sampled_from(
    [KeyPurpose.ROOT, KeyPurpose.CERTIFICATE_AUTHORITY, KeyPurpose.OCSP, KeyPurpose.TIMESTAMP]
)
der_shaped = st.binary(max_size=200).map(lambda content: der.tlv(der.SEQUENCE, content))
set_shaped = st.binary(max_size=200).map(lambda content: der.tlv(der.SET, content))


@given(purpose=x509_purposes, message=st.binary(max_size=300) | der_shaped | set_shaped)
def test_random_octets_are_never_signed_by_ca_ocsp_and_time_stamp_keys(purpose: KeyPurpose, message: bytes) -> None:
    with pytest.raises(PurposeRefused):
        check_message(rule(purpose, issuer=None), message)


@given(message=st.text(max_size=200).map(lambda text: f"{text}\n".encode()))
def test_what_a_seal_key_signs_as_a_note_is_no_structure_of_another_key(message: bytes) -> None:
    try:
        kind = check_message(rule(KeyPurpose.SEAL), message).kind
    except PurposeRefused:
        return
    assert kind is MessageKind.NOTE
    for purpose in set(KeyPurpose) - {KeyPurpose.SEAL}:
        with pytest.raises(PurposeRefused):
            check_message(rule(purpose, issuer=None), message)


def _seen_as_ca(tbs: bytes) -> bool:
    """Ask an independent reader; what it cannot read is no CA to it."""
    whole = der.sequence(tbs, algorithm_identifier(SignatureAlgorithm.ES256), der.bit_string(bytes(70)))
    try:
        extensions = x509.load_der_x509_certificate(whole).extensions
    except ValueError:
        return False
    return any(isinstance(found.value, x509.BasicConstraints) and found.value.ca for found in extensions)


def test_no_change_of_one_octet_of_the_extensions_hides_a_ca() -> None:
    tbs = m.tbs_certificate(OTHER_SPKI, extensions=(m.basic_constraints(ca=True),))
    assert _seen_as_ca(tbs)
    accepted = 0
    for at in range(len(tbs) - 19, len(tbs)):
        for octet in range(256):
            changed = tbs[:at] + bytes((octet,)) + tbs[at + 1 :]
            try:
                check_message(rule(), changed)
            except PurposeRefused:
                continue
            accepted += 1
            assert not _seen_as_ca(changed)
    assert accepted > 0  # the CA flag set to FALSE, another extension's name


@pytest.mark.parametrize("sample", SAMPLES)
@given(at=st.integers(0, 10_000), octet=st.integers(0, 255), purpose=st.sampled_from(KeyPurpose))
def test_a_changed_octet_never_raises_anything_but_a_refusal(
    sample: str, at: int, octet: int, purpose: KeyPurpose
) -> None:
    changed = bytearray(SAMPLES[sample] or b"\x30")
    changed[at % len(changed)] = octet
    try:
        check_message(rule(purpose), bytes(changed))
    except PurposeRefused:
        return


MANY = der.null() * 1_000_000


@pytest.mark.parametrize("purpose", KeyPurpose)
@pytest.mark.parametrize(
    "message",
    [
        pytest.param(der.sequence(MANY), id="fields"),
        pytest.param(der.tlv(der.SET, MANY), id="attributes"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, subject=der.sequence(MANY)), id="subject"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, extensions=(der.sequence(MANY),)), id="extension"),
        pytest.param(m.tbs_certificate(OTHER_SPKI, extensions=(MANY,)), id="extensions"),
        pytest.param(m.tbs_cert_list(extensions=(MANY,)), id="extensions of a list"),
        pytest.param(m.tbs_cert_list(issuer=der.sequence(MANY)), id="issuer of a list"),
        pytest.param(m.tbs_cert_list(version=der.tlv(der.INTEGER, MANY)), id="version"),
        pytest.param(m.tbs_cert_list(entries=der.sequence(MANY)), id="entries that are none"),
        pytest.param(m.tbs_cert_list(entries=der.sequence(der.sequence(MANY))), id="one huge entry"),
        pytest.param(m.response_data(MANY), id="responses"),
        pytest.param(m.request_info(der.sequence(MANY)), id="request"),
        pytest.param(b"eyJ" + b"A" * 2_000_000 + b".AA", id="JOSE header"),
        pytest.param(b"a\n" * 1_000_000, id="note"),
    ],
)
def test_what_is_too_much_is_refused_before_it_is_read(purpose: KeyPurpose, message: bytes) -> None:
    begun = time.process_time()
    with pytest.raises(PurposeRefused):
        check_message(rule(purpose), message)
    assert time.process_time() - begun < 0.5  # a few milliseconds on an idle machine; reading it all takes a second


def test_a_list_of_a_hundred_megabytes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(purposes, "MAX_LIST_OCTETS", 5000)
    entry = der.sequence(m.SERIAL, der.time(m.START))
    check_message(rule(), m.tbs_cert_list(entries=der.sequence(entry * 100)))
    with pytest.raises(PurposeRefused, match="larger than"):
        check_message(rule(), m.tbs_cert_list(entries=der.sequence(entry * 200)))


def test_reading_a_certificate_costs_little() -> None:
    if sys.gettrace() is not None:
        pytest.skip("traced code tells no time")
    message, ruled = m.tbs_certificate(OTHER_SPKI), rule()
    times = timeit.repeat(lambda: check_message(ruled, message), timer=time.process_time, number=200, repeat=10)
    assert min(times) / 200 < 200e-6  # 15 µs on an idle machine; the margin is for a busy one
