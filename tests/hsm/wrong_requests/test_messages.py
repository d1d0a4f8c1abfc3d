"""What a key is not for: each wrong message is refused with its code and journalled, and nothing is signed."""

from collections.abc import Callable
from datetime import datetime, timedelta

import pytest

from hsm.provider import KeyPurpose
from pki import der, oids
from pki.errors import ErrorCode
from pki.keys import SignatureAlgorithm, algorithm_identifier, verify_signature
from tests.hsm import good_messages as good
from tests.hsm import messages as m
from tests.hsm.wrong_requests.judged import CA, OCSP, SEAL, TOKEN, TSA, Judged, now

pytestmark = pytest.mark.real

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
OTHER = m.name("Other CA")


def certificate(begin: datetime, end: datetime | None = None, **changes: object) -> bytes:
    validity = der.sequence(der.time(begin), der.time(end or begin + 90 * DAY))
    fields = {"extensions": good.EXTENSIONS, "validity": validity} | changes
    return m.tbs_certificate(good.OTHER_SPKI, **fields)  # type: ignore[arg-type]  # the builder's own names


def crl(begin: datetime, end: datetime | None = None, **changes: object) -> bytes:
    fields = {"this_update": der.time(begin), "next_update": der.time(end or begin + DAY)}
    return m.tbs_cert_list(**{"extensions": good.LIST_EXTENSIONS} | fields | changes)  # type: ignore[arg-type]  # as above


def token(at: datetime, **claims: object) -> bytes:
    issued = int(at.timestamp())
    return good.token(**{"iat": issued, "exp": issued + 60} | claims)


def with_extension(extension: bytes) -> tuple[bytes, ...]:
    return (*good.EXTENSIONS, extension)


CA_CERTIFICATE = (m.basic_constraints(ca=True), *good.EXTENSIONS[1:])
CA_USAGE = (good.EXTENSIONS[0], m.key_usage(0x06), *good.EXTENSIONS[2:])
OCSP_SIGNER = m.extension(oids.EXTENDED_KEY_USAGE, der.sequence(der.oid(oids.EKU_OCSP_SIGNING)))

WRONG_CERTIFICATES: dict[str, Callable[[datetime], bytes]] = {
    "a CA": lambda at: certificate(at, extensions=CA_CERTIFICATE),
    "key usage of a CA": lambda at: certificate(at, extensions=CA_USAGE),
    "a foreign issuer": lambda at: certificate(at, issuer=OTHER),
    "for the issuer itself": lambda at: certificate(at, subject=m.ISSUER),
    "no serial": lambda at: certificate(at, serial=b""),
    "serial of nought": lambda at: certificate(at, serial=der.integer(0)),
    "serial that can be guessed": lambda at: certificate(at, serial=der.integer(17)),
    "negative serial": lambda at: certificate(at, serial=der.tlv(der.INTEGER, b"\x80" * 16)),
    "serial of 21 octets": lambda at: certificate(at, serial=der.tlv(der.INTEGER, b"\x11" * 21)),
    "validity beyond the policy": lambda at: certificate(at, at + 366 * DAY),
    "no end": lambda at: certificate(
        at, validity=der.sequence(der.time(at), der.tlv(der.GENERALIZED_TIME, b"99991231235959Z"))
    ),
    "backdated": lambda at: certificate(at - HOUR),
    "backdated by years": lambda at: certificate(at - 3000 * DAY),
    "from tomorrow": lambda at: certificate(at + DAY),
    "ends before it begins": lambda at: certificate(at, at - HOUR),
    "extension not allowed": lambda at: certificate(
        at, extensions=with_extension(m.extension("1.3.6.1.4.1.32473.9", b"\x05\x00"))
    ),
    "extension twice": lambda at: certificate(at, extensions=with_extension(good.EXTENSIONS[0])),
    "extension missing": lambda at: certificate(at, extensions=good.EXTENSIONS[:2]),
    "no extensions": lambda at: certificate(at, extensions=()),
    "may answer for the CA": lambda at: certificate(at, extensions=(*good.EXTENSIONS[:-1], OCSP_SIGNER)),
    "other algorithm": lambda at: certificate(at, algorithm=algorithm_identifier(SignatureAlgorithm.RS256)),
    "version 1": lambda at: certificate(at, version=b""),
}
WRONG_LISTS: dict[str, Callable[[datetime], bytes]] = {
    "a foreign issuer": lambda at: crl(at, issuer=OTHER),
    "no number": lambda at: crl(at, extensions=()),
    "negative number": lambda at: crl(at, extensions=(m.extension(oids.CRL_NUMBER, der.integer(-1)),)),
    "beyond the policy": lambda at: crl(at, at + 3 * DAY),
    "backdated": lambda at: crl(at - HOUR),
    "from tomorrow": lambda at: crl(at + DAY),
    "no next update": lambda at: crl(at, next_update=b""),
    "empty list of entries": lambda at: crl(at, entries=der.sequence()),
    "other algorithm": lambda at: crl(at, algorithm=algorithm_identifier(SignatureAlgorithm.ES384)),
}
WRONG_TOKENS: dict[str, Callable[[datetime], bytes]] = {
    "another issuer": lambda at: token(at, iss="https://other.example"),
    "too long": lambda at: token(at, exp=int(at.timestamp()) + 601),
    "backdated": lambda at: token(at, iat=int(at.timestamp()) - 3600),
    "no end": lambda at: token(at, exp=None),
    "no algorithm": lambda at: m.jws({"alg": "none", "typ": "at+jwt"}),
    "another algorithm": lambda at: m.jws({"alg": "RS256", "typ": "at+jwt"}),
    "no type": lambda at: m.jws({"alg": "ES256"}),
}
CASES = [
    *(pytest.param(CA, "sign", make, id=f"certificate: {name}") for name, make in WRONG_CERTIFICATES.items()),
    *(pytest.param(CA, "sign", make, id=f"list: {name}") for name, make in WRONG_LISTS.items()),
    *(pytest.param(TOKEN, "sign", make, id=f"token: {name}") for name, make in WRONG_TOKENS.items()),
]


@pytest.mark.parametrize(("label", "act", "make"), CASES)
def test_a_wrong_message_is_refused(judged: Judged, label: str, act: str, make: Callable[[datetime], bytes]) -> None:
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act=act, key=label):
        judged.home.client.sign(label, make(now()))


@pytest.mark.parametrize("make", [lambda at: certificate(at, issuer=OTHER), lambda at: b"\x30\x00"])
def test_one_wrong_message_refuses_its_batch(judged: Judged, make: Callable[[datetime], bytes]) -> None:
    messages = [certificate(now()), make(now()), certificate(now())]
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="certificate", key=CA, count=3):
        judged.home.client.sign_many(CA, messages)


def test_a_batch_of_two_kinds_is_refused(judged: Judged) -> None:
    listed = crl(now(), extensions=(m.extension(oids.CRL_NUMBER, der.integer(2**100)),))
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="crl", key=CA, count=2):
        judged.home.client.sign_many(CA, [certificate(now()), listed])


# --- one kind in the place of another -------------------------------------------------------------


def kinds(judged: Judged, at: datetime) -> dict[str, bytes]:
    single = good.single(spki=judged.ca_spki, this=at, following=at + DAY)
    stamp = good.stamp(generated=at)
    return {
        CA: certificate(at),
        OCSP: good.response(single, produced=at),
        TSA: m.stamp_attributes(stamp),
        TOKEN: token(at),
        SEAL: m.NOTE,
        "stamp": stamp,
        "data": m.signed_attributes(oids.CMS_DATA),
    }


PAIRS = [(key, kind) for key in (CA, OCSP, TSA, TOKEN, SEAL) for kind in (CA, OCSP, TSA, TOKEN, SEAL) if key != kind]


@pytest.mark.parametrize(("label", "kind"), [*PAIRS, (CA, "stamp"), (TSA, "stamp"), (TSA, "data"), (OCSP, "data")])
def test_no_key_signs_what_another_is_for(judged: Judged, label: str, kind: str) -> None:
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="sign", key=label):
        judged.home.client.sign(label, kinds(judged, now())[kind])


@pytest.mark.parametrize("label", [CA, OCSP, TSA, TOKEN, SEAL])
@pytest.mark.parametrize("octets", [b"", b"\x00", m.SHA256_OF_NOTHING, b"\x19" * 48, b"\xff" * 100, b"MZ" + bytes(64)])
def test_octets_that_are_nothing_are_not_signed(judged: Judged, label: str, octets: bytes) -> None:
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="sign", key=label):
        judged.home.client.sign(label, octets)


@pytest.mark.parametrize("label", [CA, OCSP, TSA])
def test_these_keys_sign_no_bare_digest(judged: Judged, label: str) -> None:
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="digest", key=label):
        judged.home.client.sign_digests(label, [m.SHA256_OF_NOTHING])


@pytest.mark.parametrize("octets", [b"", bytes(31), bytes(33), bytes(48), m.NOTE])
def test_what_is_no_digest_is_not_signed_as_one(judged: Judged, octets: bytes) -> None:
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="digest", key=TOKEN):
        judged.home.client.sign_digests(TOKEN, [octets])


@pytest.mark.parametrize("label", [CA, TOKEN])
def test_a_batch_of_nothing_is_no_use_of_a_key(judged: Judged, label: str) -> None:
    before, uses = judged.head(), judged.home.client.uses().get(label)
    assert judged.home.client.sign_many(label, []) == ()
    assert judged.home.client.sign_digests(label, []) == ()
    assert judged.entries(before) == []
    assert judged.home.client.uses().get(label) == uses


# --- OCSP -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("hashed", ["sha1", "sha256"])
@pytest.mark.parametrize("wrong", ["name", "key"])
def test_a_responder_answers_for_its_issuer_alone(judged: Judged, hashed: str, wrong: str) -> None:
    at = now()
    own, other = judged.ca_spki, good.OTHER_SPKI
    right = good.single(hashed=hashed, spki=own, this=at, following=at + DAY)
    key = judged.home.client.signing_key(OCSP).public_key()
    message = good.response(right, produced=at)
    verify_signature(key, judged.home.client.sign(OCSP, message), message)
    foreign = (
        good.single(hashed=hashed, spki=own, issuer=OTHER, this=at, following=at + DAY)
        if wrong == "name"
        else good.single(hashed=hashed, spki=other, this=at, following=at + DAY)
    )
    for singles in ((foreign,), (right, foreign)):
        with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="sign", key=OCSP):
            judged.home.client.sign(OCSP, good.response(*singles, produced=at))


@pytest.mark.parametrize(
    ("produced", "this", "following"),
    [(-HOUR, -HOUR, DAY), (HOUR, timedelta(), DAY), (timedelta(), HOUR, DAY), (timedelta(), timedelta(), 2 * DAY)],
)
def test_times_of_a_response_beyond_the_policy_are_refused(
    judged: Judged, produced: timedelta, this: timedelta, following: timedelta
) -> None:
    at = now()
    single = good.single(spki=judged.ca_spki, this=at + this, following=at + following)
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="sign", key=OCSP):
        judged.home.client.sign(OCSP, good.response(single, produced=at + produced))


# --- time-stamps ----------------------------------------------------------------------------------


def test_attributes_of_a_time_stamp_are_not_signed_without_their_content(judged: Judged) -> None:
    attributes = m.stamp_attributes(good.stamp(generated=now()))
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="sign", key=TSA):
        judged.home.client.sign(TSA, attributes)
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="sign", key=TSA):
        judged.home.client.sign_many(TSA, [attributes])


ITS_OWN, ANOTHERS = True, False  # what the attributes digest


@pytest.mark.parametrize(
    ("content", "digested"),
    [
        pytest.param(
            lambda at: good.stamp(generated=at, serial=der.integer(6)), ANOTHERS, id="digest of other content"
        ),
        pytest.param(lambda at: good.stamp(generated=at + HOUR), ITS_OWN, id="genTime an hour ahead"),
        pytest.param(lambda at: good.stamp(generated=at - HOUR), ITS_OWN, id="genTime an hour ago"),
        pytest.param(lambda at: m.tst_info(policy="1.2.3", generated=der.generalized_time(at)), ITS_OWN, id="policy"),
        pytest.param(certificate, ITS_OWN, id="a certificate as content"),
        pytest.param(lambda at: b"", ITS_OWN, id="no content"),
    ],
)
def test_a_time_stamp_whose_content_is_wrong_is_refused(
    judged: Judged, content: Callable[[datetime], bytes], digested: bool
) -> None:
    at = now()
    given = content(at)
    attributes = m.stamp_attributes(given if digested else good.stamp(generated=at))
    with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="timestamp", key=TSA):
        judged.home.client.sign_content(TSA, attributes, given)


def test_a_certificate_is_no_attributes_whatever_content_comes_with_it(judged: Judged) -> None:
    for label in (TSA, CA):
        with judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act="timestamp", key=label):
            judged.home.client.sign_content(label, certificate(now()), good.stamp(generated=now()))


# --- the right ones -------------------------------------------------------------------------------


def test_the_right_messages_are_signed(judged: Judged) -> None:
    """Without this the refusals above would prove nothing."""
    at = now()
    for label, message in kinds(judged, at).items():
        if label in (CA, OCSP, TOKEN, SEAL):
            public_key = judged.home.client.signing_key(label).public_key()
            verify_signature(public_key, judged.home.client.sign(label, message), message)
    content = good.stamp(generated=now())
    attributes = m.stamp_attributes(content)
    public_key = judged.home.client.signing_key(TSA).public_key()
    verify_signature(public_key, judged.home.client.sign_content(TSA, attributes, content), attributes)
    assert KeyPurpose.SEAL in {info.purpose for info in judged.home.client.keys()}
