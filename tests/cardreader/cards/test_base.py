"""PIN care, sessions and signing, which the template gives every card."""

import logging

import pytest

from cardreader.apdu import CommandApdu, Instruction, ResponseApdu
from cardreader.cards.base import SmartCard
from cardreader.cards.objects import KeyUsage
from cardreader.emulated.layout import AUTH_KEY, SIGN_KEY
from cardreader.emulated.layout import AUTH_PIN as AUTH_REFERENCE
from cardreader.emulated.layout import PUK as PUK_REFERENCE
from cardreader.emulated.layout import SIGN_PIN as SIGN_REFERENCE
from cardreader.errors import (
    CardKeyNotFound,
    CardRemoved,
    CardSignatureMismatch,
    CardUnsupported,
    PinBlocked,
    PinFormatRefused,
    PinIncorrect,
    PinLastTry,
    PinRequired,
    ReaderServiceDown,
)
from cardreader.pin import Pin, PinStatus
from pki.errors import ErrorCode, ServiceError
from pki.keys import SignatureAlgorithm, verify_signature
from tests.support.emulated_card import (
    AUTH_PIN,
    PUK,
    SIGN_PIN,
    CardInProcess,
    key_of,
    new_state,
    open_emulated,
    personalised_state,
)

WRONG = (b"000000", b"111111", b"222222")


def _spend_tries(card: SmartCard, count: int, reference: int = SIGN_REFERENCE) -> None:
    for digits in WRONG[:count]:
        with pytest.raises((PinIncorrect, PinBlocked)):
            card.verify_pin(reference, Pin(digits), last_try_confirmed=True)


# --- PINs -----------------------------------------------------------------------------------------


def test_the_retry_counter_is_told_without_using_a_try() -> None:
    card, _channel = open_emulated()
    for _ in range(5):
        assert card.pin_status(SIGN_REFERENCE) == PinStatus(tries_left=3, blocked=False)


def test_a_wrong_pin_says_how_many_tries_are_left() -> None:
    card, _channel = open_emulated()
    with pytest.raises(PinIncorrect) as caught:
        card.verify_pin(SIGN_REFERENCE, Pin(WRONG[0]))
    assert caught.value.tries_left == 2
    assert caught.value.code is ErrorCode.PIN_INCORRECT
    assert card.pin_status(SIGN_REFERENCE).tries_left == 2
    assert card.pin_status(AUTH_REFERENCE).tries_left == 3, "the other PIN has its own counter"


def test_the_same_wrong_pin_is_not_sent_a_second_time() -> None:
    card, channel = open_emulated()
    _spend_tries(card, 1)
    for _ in range(3):
        with pytest.raises(PinIncorrect) as caught:
            card.verify_pin(SIGN_REFERENCE, Pin(WRONG[0]))
        assert caught.value.tries_left == 2
    assert channel.count(Instruction.VERIFY) == 1
    card.verify_pin(SIGN_REFERENCE, Pin(SIGN_PIN))


def test_the_last_try_needs_a_confirmation() -> None:
    card, channel = open_emulated()
    _spend_tries(card, 2)
    before = channel.count(Instruction.VERIFY)
    with pytest.raises(PinLastTry) as caught:
        card.verify_pin(SIGN_REFERENCE, Pin(SIGN_PIN))
    assert caught.value.code is ErrorCode.PIN_LAST_TRY
    assert channel.count(Instruction.VERIFY) == before
    card.verify_pin(SIGN_REFERENCE, Pin(SIGN_PIN), last_try_confirmed=True)
    assert card.pin_status(SIGN_REFERENCE).tries_left == 3


def test_a_blocked_pin_is_never_sent_again_by_any_way() -> None:
    card, channel = open_emulated(personalised_state())
    key = key_of(card, KeyUsage.SIGN)
    _spend_tries(card, 3)
    assert card.pin_status(SIGN_REFERENCE) == PinStatus(tries_left=0, blocked=True)
    sent = [channel.count(each) for each in (Instruction.VERIFY, Instruction.CHANGE_REFERENCE_DATA)]
    asked: list[PinStatus] = []

    def ask(status: PinStatus) -> Pin:
        asked.append(status)
        return Pin(SIGN_PIN)

    with Pin(SIGN_PIN) as pin:
        attempts = (
            lambda: card.verify_pin(SIGN_REFERENCE, pin, last_try_confirmed=True),
            lambda: card.change_pin(SIGN_REFERENCE, pin, pin, last_try_confirmed=True),
            lambda: card.signing_key(key, pin, last_try_confirmed=True).sign(b"m"),
            lambda: card.signing_key(key, ask, last_try_confirmed=True).sign(b"m"),
            lambda: card.write_certificate(key.key_id, key.certificate or b"", pin),
        )
        for attempt in attempts:
            with pytest.raises(PinBlocked):
                attempt()
    assert [channel.count(each) for each in (Instruction.VERIFY, Instruction.CHANGE_REFERENCE_DATA)] == sent
    assert not asked, "nobody is asked for a PIN that is blocked"


@pytest.mark.parametrize("digits", [b"12345", b"1234567890123"])
def test_a_pin_of_the_wrong_length_reaches_no_apdu(digits: bytes) -> None:
    card, channel = open_emulated(personalised_state())
    key = key_of(card, KeyUsage.SIGN)
    before = len(channel.commands)
    with Pin(digits) as wrong, Pin(SIGN_PIN) as right:
        attempts = (
            lambda: card.verify_pin(SIGN_REFERENCE, wrong),
            lambda: card.change_pin(SIGN_REFERENCE, wrong, right),
            lambda: card.change_pin(SIGN_REFERENCE, right, wrong),
            lambda: card.unblock_pin(SIGN_REFERENCE, Pin(PUK), wrong),
            lambda: card.unblock_pin(SIGN_REFERENCE, Pin(b"1234"), right),
            lambda: card.signing_key(key, wrong).sign(b"m"),
        )
        for attempt in attempts:
            with pytest.raises(PinFormatRefused):
                attempt()
    assert len(channel.commands) == before


def test_a_changed_pin_replaces_the_old_one() -> None:
    card, _channel = open_emulated()
    card.change_pin(SIGN_REFERENCE, Pin(SIGN_PIN), Pin(b"99887766"))
    card.verify_pin(SIGN_REFERENCE, Pin(b"99887766"))
    with pytest.raises(PinIncorrect):
        card.verify_pin(SIGN_REFERENCE, Pin(SIGN_PIN))


def test_a_wrong_old_pin_is_counted_when_changing() -> None:
    card, channel = open_emulated()
    for _ in range(2):
        with pytest.raises(PinIncorrect):
            card.change_pin(SIGN_REFERENCE, Pin(WRONG[0]), Pin(b"99887766"))
    assert channel.count(Instruction.CHANGE_REFERENCE_DATA) == 1, "the second time it is known to be wrong"
    assert card.pin_status(SIGN_REFERENCE).tries_left == 2


def test_the_puk_frees_a_blocked_pin() -> None:
    card, _channel = open_emulated()
    _spend_tries(card, 3)
    card.unblock_pin(SIGN_REFERENCE, Pin(PUK), Pin(WRONG[2]))
    card.verify_pin(SIGN_REFERENCE, Pin(WRONG[2]))


def test_a_wrong_puk_is_told_and_counted_and_blocks_in_the_end() -> None:
    card, channel = open_emulated()
    new = Pin(b"99887766")
    for left, digits in ((2, b"00000000"), (1, b"11111111")):
        with pytest.raises(PinIncorrect) as caught:
            card.unblock_pin(SIGN_REFERENCE, Pin(digits), new)
        assert caught.value.tries_left == left
    with pytest.raises(PinLastTry):
        card.unblock_pin(SIGN_REFERENCE, Pin(PUK), new)
    with pytest.raises(PinBlocked):
        card.unblock_pin(SIGN_REFERENCE, Pin(b"22222222"), new, last_try_confirmed=True)
    with pytest.raises(PinBlocked):
        card.unblock_pin(SIGN_REFERENCE, Pin(PUK), new, last_try_confirmed=True)
    assert channel.count(Instruction.RESET_RETRY_COUNTER) == 3
    assert card.pin_status(PUK_REFERENCE).blocked


def test_a_puk_has_no_puk_and_an_unknown_pin_is_unsupported() -> None:
    card, _channel = open_emulated()
    with pytest.raises(CardUnsupported):
        card.unblock_pin(PUK_REFERENCE, Pin(PUK), Pin(PUK))
    with pytest.raises(CardUnsupported):
        card.pin_status(0x55)


def test_a_puk_whose_counter_the_card_does_not_tell_is_still_tried() -> None:
    card, channel = open_emulated()
    channel.after = lambda command, response: (
        ResponseApdu(sw=0x6A88) if command.ins == Instruction.VERIFY and command.p2 == PUK_REFERENCE else response
    )
    card.unblock_pin(SIGN_REFERENCE, Pin(PUK), Pin(b"99887766"))
    card.verify_pin(SIGN_REFERENCE, Pin(b"99887766"))


def test_no_pin_appears_in_any_log_or_error(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    card, channel = open_emulated(personalised_state())
    errors: list[str] = []
    for digits in (*WRONG, SIGN_PIN):
        try:
            card.verify_pin(SIGN_REFERENCE, Pin(digits), last_try_confirmed=True)
        except ServiceError as error:
            errors.append(f"{error!r} {error} {error.detail}")
    assert len(errors) == 4
    told = "".join(errors) + caplog.text + repr(channel.commands) + repr(card.pins())
    for digits in (*WRONG, SIGN_PIN):
        assert digits.decode() not in told


def test_the_data_of_pin_commands_is_wiped_after_the_exchange() -> None:
    card, channel = open_emulated()
    card.verify_pin(SIGN_REFERENCE, Pin(SIGN_PIN))
    card.change_pin(SIGN_REFERENCE, Pin(SIGN_PIN), Pin(b"99887766"))
    secret = [command for command in channel.commands if command.carries_secret and command.data]
    assert len(secret) == 2
    assert all(not any(command.data) for command in secret)


# --- signing --------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", [SignatureAlgorithm.ES256, SignatureAlgorithm.RS256])
def test_signatures_verify_and_the_signature_pin_is_given_each_time(algorithm: SignatureAlgorithm) -> None:
    card, channel = open_emulated(personalised_state(algorithm))
    key = key_of(card, KeyUsage.SIGN)
    with Pin(SIGN_PIN) as pin:
        signer = card.signing_key(key, pin)
        for message in (b"", b"one", b"two" * 10_000):
            verify_signature(key.public_key, signer.sign(message), message)
    assert signer.algorithm is algorithm
    assert signer.public_key() == key.public_key
    assert channel.count(Instruction.VERIFY) == 3


def test_a_pin_is_asked_for_while_the_card_is_free_and_wiped_after_use() -> None:
    card, channel = open_emulated(personalised_state())
    key = key_of(card, KeyUsage.SIGN)
    given: list[Pin] = []

    def ask(status: PinStatus) -> Pin:
        assert not channel.in_transaction, "a person is asked while others are kept from the card"
        assert status == PinStatus(tries_left=3, blocked=False)
        given.append(Pin(SIGN_PIN))
        return given[-1]

    signer = card.signing_key(key, ask)
    for _ in range(2):
        verify_signature(key.public_key, signer.sign(b"m"), b"m")
    assert len(given) == 2
    for pin in given:
        with pytest.raises(PinRequired):
            pin.check(card.pins()[1].format)


def test_a_callers_own_pin_is_left_to_the_caller() -> None:
    card, _channel = open_emulated(personalised_state())
    pin = Pin(SIGN_PIN)
    card.signing_key(key_of(card, KeyUsage.SIGN), pin).sign(b"m")
    pin.check(card.pins()[1].format)


def test_a_signature_that_does_not_verify_never_leaves() -> None:
    state = personalised_state()
    state.keys[SIGN_KEY].pkcs8 = state.keys[AUTH_KEY].pkcs8
    card, _channel = open_emulated(state)
    with Pin(SIGN_PIN) as pin, pytest.raises(CardSignatureMismatch) as caught:
        card.signing_key(key_of(card, KeyUsage.SIGN), pin).sign(b"m")
    assert caught.value.code is ErrorCode.CARD_SIGNATURE_MISMATCH


def test_no_public_method_takes_a_digest() -> None:
    card, _channel = open_emulated(personalised_state())
    with Pin(SIGN_PIN) as pin:
        signer = card.signing_key(key_of(card, KeyUsage.SIGN), pin)
        public = {name for each in (card, signer) for name in dir(each) if not name.startswith("_")}
    assert "sign" in public
    assert not {name for name in public if "digest" in name or "hash" in name}


def test_a_key_of_another_card_is_not_found() -> None:
    one, _channel = open_emulated(personalised_state())
    two, channel = open_emulated(personalised_state(SignatureAlgorithm.RS256))
    with Pin(SIGN_PIN) as pin, pytest.raises(CardKeyNotFound):
        two.signing_key(key_of(one, KeyUsage.SIGN), pin)
    assert channel.count(Instruction.VERIFY) == 0


# --- a card that leaves ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    "instruction",
    [
        Instruction.SELECT,
        Instruction.VERIFY,
        Instruction.MANAGE_SECURITY_ENVIRONMENT,
        Instruction.PERFORM_SECURITY_OPERATION,
    ],
)
def test_a_card_pulled_while_signing_is_removed_and_nothing_is_sent_again(instruction: Instruction) -> None:
    card, channel = open_emulated(personalised_state())
    key = key_of(card, KeyUsage.SIGN)
    channel.pull_at(instruction)
    with Pin(SIGN_PIN) as pin:
        signer = card.signing_key(key, pin)
        with pytest.raises(CardRemoved) as caught:
            signer.sign(b"m")
        assert not caught.value.retryable
        sent = len(channel.commands)
        channel.before = lambda command: None  # the card is back, but this connection is not
        for _ in range(2):
            with pytest.raises(CardRemoved):
                signer.sign(b"m")
    assert len(channel.commands) == sent
    assert not channel.in_transaction


def test_a_service_that_ended_is_told_as_such_ever_after() -> None:
    card, channel = open_emulated(personalised_state())

    def die(command: CommandApdu) -> None:
        raise ReaderServiceDown

    before = len(channel.commands)
    channel.before = die
    for _ in range(2):
        with pytest.raises(ReaderServiceDown):
            card.pin_status(SIGN_REFERENCE)
    assert len(channel.commands) == before + 1


def test_a_reset_by_another_program_costs_nothing_but_the_pin() -> None:
    card, channel = open_emulated(personalised_state())
    key = key_of(card, KeyUsage.SIGN)
    with Pin(SIGN_PIN) as pin:
        signer = card.signing_key(key, pin)
        signer.sign(b"m")
        channel.reset_by_another()
        verify_signature(key.public_key, signer.sign(b"m"), b"m")


def test_another_card_after_a_reset_is_noticed() -> None:
    card, channel = open_emulated(personalised_state())
    other = CardInProcess(open_emulated(new_state(serial=b"\x99" * 8))[1].card)
    channel.card = other.card
    channel.reset_by_another()
    with Pin(SIGN_PIN) as pin, pytest.raises(CardRemoved, match="another card"):
        card.verify_pin(SIGN_REFERENCE, pin)
    assert channel.count(Instruction.VERIFY) == 0


def test_a_card_on_which_a_pin_was_used_is_reset_when_let_go() -> None:
    card, channel = open_emulated()
    with card:
        card.pin_status(SIGN_REFERENCE)
    assert channel.closed == "left"
    card, channel = open_emulated()
    with card:
        card.verify_pin(SIGN_REFERENCE, Pin(SIGN_PIN))
    assert channel.closed == "reset"


def test_a_card_without_a_retry_counter_is_still_usable() -> None:
    card, channel = open_emulated(personalised_state())

    def silent(command: CommandApdu, response: ResponseApdu) -> ResponseApdu:
        return ResponseApdu(sw=0x6300) if command.ins == Instruction.VERIFY and not command.data else response

    channel.after = silent
    assert card.pin_status(AUTH_REFERENCE) == PinStatus(tries_left=None, blocked=False)
    card.verify_pin(AUTH_REFERENCE, Pin(AUTH_PIN))
