"""What is asked of a custodian beside the signing of one message: digests, large bodies, proofs, uses, journals."""

import os
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from hashlib import sha256

import pytest

from hsm.custodian.policy import Policy, RolePolicy
from hsm.errors import KeyNotFound, ProtocolViolation, PurposeRefused, RoleRefused
from hsm.provider import KeyPurpose, spki_of
from hsm.sealed_memory import MAX_OCTETS
from pki import der
from pki.errors import Conflict, ErrorCode, InvalidInput
from pki.journal import CLOCK, DONE
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.support.softhsm import ROLE, CustodianHome

pytestmark = pytest.mark.real

ES256 = SignatureAlgorithm.ES256


@pytest.fixture(scope="module")
def home(custodian_factory: Callable[[], CustodianHome]) -> CustodianHome:
    made = custodian_factory()
    made.process.start()
    made.client.generate("ca", ES256, KeyPurpose.CERTIFICATE_AUTHORITY)
    made.client.generate("token", ES256, KeyPurpose.TOKEN)
    made.client.generate("seal", ES256, KeyPurpose.SEAL)
    return made


def test_digests_are_signed_in_their_order_and_counted(home: CustodianHome) -> None:
    messages = [f"{number}".encode() for number in range(150)]
    digests = [sha256(message).digest() for message in messages]
    public_key = home.client.signing_key("token").public_key()
    for message, signature in zip(messages, home.client.sign_digests("token", digests), strict=True):
        verify_signature(public_key, signature, message)
    assert any((use.act, use.count, use.outcome) == ("digest", 150, DONE) for use in home.journal())


def test_a_list_of_six_megabytes_is_read_and_signed(home: CustodianHome) -> None:
    entry = der.sequence(m.SERIAL, der.time(m.START))
    listed = m.tbs_cert_list(entries=der.sequence(entry * 200_000))
    assert len(listed) > 6_000_000
    verify_signature(home.client.signing_key("ca").public_key(), home.client.sign("ca", listed), listed)
    with pytest.raises(PurposeRefused):
        home.client.sign("ca", listed + b"\x00")


def test_a_batch_of_four_megabytes_is_signed(home: CustodianHome) -> None:
    notes = [bytes([65 + number % 26]) * 40_000 + b"\n" for number in range(100)]
    public_key = home.client.signing_key("seal").public_key()
    for note, signature in zip(notes, home.client.sign_many("seal", notes), strict=True):
        verify_signature(public_key, signature, note)


def test_a_body_beyond_every_limit_is_refused_and_the_next_is_served(home: CustodianHome) -> None:
    with pytest.raises(ProtocolViolation):
        home.client.sign("ca", bytes(MAX_OCTETS + 1))
    with pytest.raises(PurposeRefused):
        home.client.sign("ca", bytes(100_000_000))
    home.client.sign("seal", m.NOTE)


def test_a_key_of_the_device_is_recorded_once(home: CustodianHome) -> None:
    (seal,) = [info for info in home.client.keys() if info.label == "seal"]
    with pytest.raises(Conflict):
        home.client.adopt("again", bytes.fromhex(seal.id), ES256, KeyPurpose.SEAL)
    with pytest.raises(KeyNotFound, match="not in the token"):
        home.client.adopt("none", b"no such key", ES256, KeyPurpose.SEAL)
    home.client.sign("seal", m.NOTE)


def test_a_key_proves_itself_and_tells_its_attributes(home: CustodianHome) -> None:
    proof = home.client.prove("ca")
    assert proof.public_key == spki_of(home.client.signing_key("ca").public_key())
    assert 0 < proof.seconds < 5
    said = home.client.attributes("ca")
    assert (said["sensitive"], said["extractable"], said["never_extractable"]) == (True, False, True)


def test_uses_are_counted_and_only_what_was_written_is_released(home: CustodianHome) -> None:
    before = home.client.uses()["seal"].count if "seal" in home.client.uses() else 0
    home.client.sign_many("seal", [m.NOTE] * 7)
    assert home.client.uses()["seal"].count == before + 7
    part = home.client.journal(0, 0, 2000)
    home.client.release_journal(0, part.sequence)
    with pytest.raises(InvalidInput):
        home.client.release_journal(0, part.sequence + 1000)


def test_an_operator_s_word_moves_the_clock_and_is_in_the_journal(home: CustodianHome) -> None:
    before = len(home.journal())
    with pytest.raises(InvalidInput):
        home.client.accept_clock(datetime.now(UTC) - timedelta(hours=1))
    assert home.client.accept_clock(datetime.now(UTC)) == ()
    refused, done = home.journal()[before:]
    assert [(use.act, use.key, use.outcome) for use in (refused, done)] == [
        (CLOCK, "", ErrorCode.INPUT_MALFORMED),
        (CLOCK, "", DONE),
    ]
    home.client.sign("seal", m.NOTE)


def test_a_clock_is_not_accepted_for_a_role_that_administers_nothing(
    custodian_factory: Callable[[], CustodianHome],
) -> None:
    own = custodian_factory()
    role = RolePolicy(uids=frozenset({os.getuid()}), administer=False, journal=True)
    own.rule(Policy(roles={ROLE: role}))
    own.process.start()
    with pytest.raises(RoleRefused):
        own.client.accept_clock(datetime.now(UTC))
    assert [(use.act, use.outcome) for use in own.journal()] == [(CLOCK, ErrorCode.NOT_ALLOWED)]
