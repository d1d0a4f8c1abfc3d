"""What a custodian refuses, by role, rate and reading: each with its code, each in the journal."""

import os
import time
from collections.abc import Callable, Iterator
from hashlib import sha256
from types import MappingProxyType

import pytest

from hsm.client import CustodianClient
from hsm.custodian.limits import KeyLimits
from hsm.custodian.policy import Grant, KeyNames, LimitedKeys, Policy, RolePolicy
from hsm.errors import HsmUnavailable, ProtocolViolation, PurposeRefused, RateExceeded, RoleRefused
from hsm.provider import KeyPurpose, spki_of
from hsm.sealed_memory import MAX_OCTETS
from hsm.soft import UnsafeSoftKey
from pki import der, oids
from pki.errors import ErrorCode, ServiceError
from pki.journal import DONE
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.support.softhsm import CustodianHome

pytestmark = pytest.mark.real

ES256 = SignatureAlgorithm.ES256
BURST = 5
LEAF = spki_of(UnsafeSoftKey.generate(ES256).public_key())


def _grant(keys: str, *acts: str, burst: int | None = None) -> Grant:
    rate = {} if burst is None else {"per_second": 1, "burst": burst}
    return Grant(keys=KeyNames((keys,)), acts=frozenset(acts), **rate)


@pytest.fixture(scope="module")
def home(custodian_factory: Callable[[], CustodianHome]) -> CustodianHome:
    """Return a running custodian whose server may do little, and whose issuing key is bound and limited."""
    made = custodian_factory()
    us = frozenset({os.getuid()})
    roles = {
        "operator": made.operator_policy(),
        "server": RolePolicy(
            uids=us,
            grants=(_grant("ca", "certificate"), _grant("slow", "note", burst=BURST), _grant("token", "digest")),
        ),
        "worker": RolePolicy(uids=us, journal=True, grants=(_grant("ca", "crl"),)),
        "stranger": RolePolicy(uids=frozenset({os.getuid() + 12345})),
    }
    day = KeyLimits(certificate_seconds=86_400 * 800)
    made.rule(Policy(roles=MappingProxyType(roles), limited=(LimitedKeys(keys=KeyNames(("ca",)), limits=day),)))
    made.process.start()
    made.client.generate("ca", ES256, KeyPurpose.CERTIFICATE_AUTHORITY)
    made.client.set_issuer("ca", m.ISSUER)
    made.client.generate("ocsp", ES256, KeyPurpose.OCSP)
    made.client.set_issuer("ocsp", m.ISSUER)
    made.client.generate("tsa", ES256, KeyPurpose.TIMESTAMP)
    made.client.generate("token", ES256, KeyPurpose.TOKEN)
    made.client.generate("slow", ES256, KeyPurpose.SEAL)
    return made


@pytest.fixture
def server(home: CustodianHome) -> Iterator[CustodianClient]:
    client = CustodianClient(home.socket_path("server"))
    yield client
    client.close()


@pytest.fixture
def worker(home: CustodianHome) -> Iterator[CustodianClient]:
    client = CustodianClient(home.socket_path("worker"))
    yield client
    client.close()


def _is_told(home: CustodianHome, role: str, key: str, act: str | None, outcome: str) -> bool:
    """Tell whether the journal holds such an entry; refusals alike are told together, up to a second later."""
    until = time.monotonic() + 3
    while time.monotonic() < until:
        for use in home.journal():
            if (use.role, use.outcome) == (role, outcome) and use.key in (key, "") and act in (None, use.act):
                return True
        time.sleep(0.1)
    return False


def _listed(scope: bytes, number: int, entries: bytes = b"") -> bytes:
    point = m.extension(oids.ISSUING_DISTRIBUTION_POINT, der.sequence(der.tlv(0x82, scope)), critical=True)
    return m.tbs_cert_list(entries=entries, extensions=(m.extension(oids.CRL_NUMBER, der.integer(number)), point))


def test_each_role_does_what_it_may_and_nothing_else(
    home: CustodianHome, server: CustodianClient, worker: CustodianClient
) -> None:
    server.sign("ca", m.tbs_certificate(LEAF))
    assert _is_told(home, "server", "ca", "certificate", DONE)
    listed = _listed(b"roles", 7)
    with pytest.raises(RoleRefused):
        server.sign("ca", listed)
    assert _is_told(home, "server", "ca", "crl", ErrorCode.NOT_ALLOWED)
    worker.sign("ca", listed)
    with pytest.raises(RoleRefused):
        worker.sign("ca", m.tbs_certificate(LEAF))
    for role, client in (("server", server), ("worker", worker)):
        with pytest.raises(RoleRefused):
            client.generate("more", ES256, KeyPurpose.SEAL)
        assert _is_told(home, role, "more", "generate", ErrorCode.NOT_ALLOWED)
    with pytest.raises(RoleRefused):
        server.journal(0, 0, 10)
    assert worker.journal(0, 0, 10).lines


def test_a_user_who_has_no_such_role_is_refused_and_journalled(home: CustodianHome) -> None:
    client = CustodianClient(home.socket_path("stranger"))
    with pytest.raises(RoleRefused):
        client.keys()
    client.close()
    assert _is_told(home, "stranger", "", "connect", ErrorCode.NOT_ALLOWED)


def test_too_many_signatures_are_refused_until_time_has_passed(home: CustodianHome, server: CustodianClient) -> None:
    server.sign_many("slow", [m.NOTE] * BURST)
    with pytest.raises(RateExceeded) as refused:
        server.sign_many("slow", [m.NOTE] * BURST)
    assert refused.value.retryable
    assert _is_told(home, "server", "slow", "note", ErrorCode.HSM_RATE_EXCEEDED)


WRONG = {
    "a CA certificate": ("ca", m.tbs_certificate(LEAF, extensions=(m.basic_constraints(ca=True), m.key_usage(0x06)))),
    "a foreign issuer": ("ca", m.tbs_certificate(LEAF, issuer=m.name("Other CA"))),
    "no serial": ("ca", m.tbs_certificate(LEAF, serial=der.integer(0))),
    "validity beyond the policy": (
        "ca",
        m.tbs_certificate(LEAF, validity=der.sequence(der.time(m.START), der.time(m.END.replace(year=2031)))),
    ),
    "a CRL number that is none": ("ca", m.tbs_cert_list(extensions=(m.extension(oids.CRL_NUMBER, der.null()),))),
    "OCSP for another issuer": ("ocsp", m.response_data(m.single_response(bytes(20)))),
    "a time-stamp as a certificate": ("tsa", m.tbs_certificate(LEAF)),
    "a bare digest": ("ca", m.SHA256_OF_NOTHING),
    "nothing": ("ca", b""),
    "octets": ("token", os.urandom(200)),
}


@pytest.mark.parametrize("name", WRONG)
def test_what_a_key_is_not_for_is_refused_and_journalled(home: CustodianHome, name: str) -> None:
    label, message = WRONG[name]
    with pytest.raises(PurposeRefused):
        home.client.sign(label, message)
    assert _is_told(home, "operator", label, None, ErrorCode.HSM_PURPOSE_REFUSED)


def test_a_crl_number_does_not_run_backwards(home: CustodianHome) -> None:
    home.client.sign("ca", _listed(b"back", 50))
    home.client.sign("ca", _listed(b"back", 50))  # the same again: its answer was lost
    for number in (49, 1):
        with pytest.raises(PurposeRefused):
            home.client.sign("ca", _listed(b"back", number))
    assert _is_told(home, "operator", "ca", None, ErrorCode.HSM_PURPOSE_REFUSED)
    home.client.sign("ca", _listed(b"back", 51))


@pytest.mark.parametrize("label", ["ca", "ocsp", "tsa"])
def test_a_bare_digest_is_for_tokens_and_seals(home: CustodianHome, label: str) -> None:
    with pytest.raises(PurposeRefused):
        home.client.sign_digests(label, [m.SHA256_OF_NOTHING])
    assert _is_told(home, "operator", label, None, ErrorCode.HSM_PURPOSE_REFUSED)


def test_digests_are_signed_in_their_order_and_counted(home: CustodianHome, server: CustodianClient) -> None:
    messages = [f"{number}".encode() for number in range(150)]
    digests = [sha256(message).digest() for message in messages]
    public_key = server.signing_key("token").public_key()
    for message, signature in zip(messages, server.sign_digests("token", digests), strict=True):
        verify_signature(public_key, signature, message)
    assert any((use.act, use.count, use.outcome) == ("digest", 150, DONE) for use in home.journal())
    assert server.sign_digests("token", []) == ()
    with pytest.raises(PurposeRefused):
        server.sign_digests("token", [*digests, b"short"])


def test_a_large_list_travels_sealed_and_is_read_and_signed(home: CustodianHome) -> None:
    entry = der.sequence(m.SERIAL, der.time(m.START))
    listed = _listed(b"large", 1, der.sequence(entry * 200_000))
    assert len(listed) > 6_000_000
    verify_signature(home.client.signing_key("ca").public_key(), home.client.sign("ca", listed), listed)
    with pytest.raises(PurposeRefused):
        home.client.sign("ca", listed + b"\x00")


def test_a_large_batch_travels_sealed(home: CustodianHome) -> None:
    note = b"x" * 40_000 + b"\n"
    assert len(home.client.sign_many("slow", [note] * 100)) == 100


def test_a_body_beyond_every_limit_is_refused(home: CustodianHome) -> None:
    with pytest.raises(ProtocolViolation):
        home.client.sign("ca", bytes(MAX_OCTETS + 1))
    with pytest.raises(PurposeRefused):
        home.client.sign("ca", bytes(100_000_000))
    assert home.client.health().ok


def test_a_key_of_the_device_is_adopted_once_and_signs(home: CustodianHome) -> None:
    home.client.generate("made", ES256, KeyPurpose.SEAL)
    (made,) = [info for info in home.client.keys() if info.label == "made"]
    with pytest.raises(ServiceError) as taken:
        home.client.adopt("again", bytes.fromhex(made.id), ES256, KeyPurpose.SEAL)
    assert taken.value.code is ErrorCode.CONFLICT
    with pytest.raises(HsmUnavailable):
        home.client.adopt("none", b"no such key", ES256, KeyPurpose.SEAL)
    assert home.client.health().ok


def test_a_key_proves_itself_and_tells_its_attributes(home: CustodianHome) -> None:
    proof = home.client.prove("ca")
    assert proof.public_key == spki_of(home.client.signing_key("ca").public_key())
    assert 0 < proof.seconds < 5
    said = home.client.attributes("ca")
    assert (said["sensitive"], said["extractable"], said["never_extractable"]) == (True, False, True)


def test_uses_are_counted_and_a_taken_journal_may_be_released(home: CustodianHome, worker: CustodianClient) -> None:
    before = home.client.uses().get("slow")
    home.client.sign_many("slow", [m.NOTE] * 7)
    assert home.client.uses()["slow"].count == (before.count if before else 0) + 7
    part = worker.journal(0, 0, 2000)
    worker.release_journal(0, part.sequence)
    with pytest.raises(ServiceError):
        worker.release_journal(0, part.sequence + 1000)
