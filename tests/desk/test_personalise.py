from pathlib import Path

import pytest

from cardreader.apdu import Instruction
from cardreader.cards.objects import KeyUsage
from pki.certificates import pem
from pki.csr import challenge_password, parse_csr
from pki.keys import SignatureAlgorithm, algorithm_for
from tests.desk.workplace import AUTH, SIGN, Workplace, authority, certify
from tests.support.emulated_card import key_of, new_state, open_emulated
from tests.support.pki import new_key


@pytest.fixture
def blank(place: Workplace) -> Workplace:
    place.state = new_state()
    return place


@pytest.mark.parametrize("algorithm", [SignatureAlgorithm.ES256, SignatureAlgorithm.RS256])
@pytest.mark.parametrize(("usage", "pin"), [(KeyUsage.SIGN, SIGN), (KeyUsage.AUTH, AUTH)])
def test_a_key_is_made_certified_and_written_back(
    blank: Workplace, algorithm: SignatureAlgorithm, usage: KeyUsage, pin: str
) -> None:
    csr, certificate = blank.folder / "key.csr", blank.folder / "key.pem"
    made = blank.agent(
        *("personalise", "keygen", "--usage", usage, "--algorithm", algorithm, "--csr", csr), pins=(pin,)
    )
    assert made.status == 0, made.messages
    assert made.messages.strip() == str(csr)
    request = parse_csr(csr.read_bytes())  # checks the proof of possession
    assert algorithm_for(request.public_key) is algorithm
    holder = certify(request.public_key)
    certificate.write_text(holder.pem)
    written = blank.agent("personalise", "write", "--usage", usage, certificate, pins=(pin,))
    assert written.status == 0, written.messages
    assert "نمونهٔ پزشک" in written.messages
    assert blank.certificate(usage).der == holder.certificate.der


def test_a_certificate_for_another_key_is_refused_before_the_pin_is_tried(place: Workplace) -> None:
    path = place.write("other.pem", authority().clinician.pem.encode())
    before = place.certificate().der
    ended = place.agent("personalise", "write", path, pins=(SIGN,))
    assert (ended.status, ended.code) == (1, "key-refused")
    assert place.certificate().der == before
    assert place.sent(Instruction.VERIFY) == 0


def test_a_place_that_is_filled_is_only_replaced_on_demand(place: Workplace) -> None:
    csr = place.folder / "key.csr"
    assert place.agent("personalise", "keygen", "--csr", csr, pins=(SIGN,)).code == "card-key-exists"
    assert not csr.exists()
    before = place.certificate().public_key
    assert place.agent("personalise", "keygen", "--csr", csr, "--replace", pins=(SIGN,)).status == 0
    assert parse_csr(csr.read_bytes()).public_key != before


def test_a_request_that_cannot_be_written_costs_no_key(place: Workplace) -> None:
    before = place.certificate().der
    ended = place.agent("personalise", "keygen", "--csr", place.folder / "absent" / "x", "--replace", pins=(SIGN,))
    assert (ended.status, ended.code) == (1, "file-unwritable")
    assert place.certificate().der == before


def test_the_card_s_request_carries_the_nonce_that_it_was_given(blank: Workplace) -> None:
    csr, nonce = blank.folder / "key.csr", "abc_-9" * 5
    words = ("personalise", "keygen", "--csr", csr, "--nonce")
    assert blank.agent(*words, "too short", pins=(SIGN,)).code == "usage"
    assert not csr.exists()
    assert blank.agent(*words, nonce, pins=(SIGN,)).status == 0
    assert challenge_password(parse_csr(csr.read_bytes()).der) == nonce


def test_a_wrong_pin_makes_no_key(blank: Workplace) -> None:
    ended = blank.agent("personalise", "keygen", "--csr", blank.folder / "key.csr", pins=("000000",))
    assert (ended.code, blank.tries_left()) == ("pin-incorrect", 2)
    card, _channel = open_emulated(blank.state)
    assert card.keys() == ()
    assert list(blank.folder.iterdir()) == []


def test_a_card_pulled_while_its_key_is_made_has_a_name(blank: Workplace) -> None:
    blank.pull_at = Instruction.GENERATE_KEY_PAIR
    ended = blank.agent("personalise", "keygen", "--csr", blank.folder / "key.csr", pins=(SIGN,))
    assert (ended.status, ended.code) == (2, "card-removed")


def test_a_card_without_a_key_takes_no_certificate(blank: Workplace) -> None:
    path = blank.write("x.pem", authority().clinician.pem.encode())
    assert blank.agent("personalise", "write", path, pins=(SIGN,)).code == "card-key-not-found"


def test_the_other_usage_s_key_is_not_taken(place: Workplace) -> None:
    card, _channel = open_emulated(place.state)
    path = place.write("auth.pem", certify(key_of(card, KeyUsage.AUTH).public_key).pem.encode())
    assert place.agent("personalise", "write", "--usage", "sign", path, pins=(SIGN,)).code == "key-refused"
    assert place.agent("personalise", "write", "--usage", "auth", path, pins=(AUTH,)).status == 0


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"", "input-empty"),
        (b"\x00random\xff", "certificate-malformed"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "certificate-malformed"),
        (pem(b"").encode(), "certificate-malformed"),
        (bytes(51 * 1024 * 1024), "input-too-large"),
    ],
    ids=["empty", "random", "cut", "hollow", "large"],
)
def test_a_file_that_is_no_certificate_reaches_no_card(place: Workplace, data: bytes, code: str) -> None:
    ended = place.agent("personalise", "write", place.write("x.pem", data), pins=(SIGN,))
    assert (ended.status, ended.code) == (1, code)
    assert place.opened == []


def test_an_absent_certificate_file_says_so(place: Workplace) -> None:
    assert place.agent("personalise", "write", Path("absent.pem"), pins=(SIGN,)).code == "file-unreadable"


def test_a_certificate_of_an_unusual_key_is_refused(place: Workplace) -> None:
    holder = authority().intermediate.issue(key=new_key(SignatureAlgorithm.EDDSA))
    ended = place.agent("personalise", "write", place.write("ed.pem", holder.pem.encode()), pins=(SIGN,))
    assert (ended.status, ended.code) == (1, "key-refused")
