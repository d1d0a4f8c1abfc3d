"""The whole way on real parts: pcscd, the virtual reader, the emulated card."""

import threading
import time
from contextlib import suppress

import pytest
from smartcard import scard

from cardreader.apdu import CommandApdu, Instruction
from cardreader.cards.base import SmartCard
from cardreader.cards.objects import KeyUsage
from cardreader.emulated.layout import PKCS15_AID
from cardreader.emulated.layout import SIGN_PIN as SIGN_REFERENCE
from cardreader.errors import (
    CardAbsent,
    CardRemoved,
    PinIncorrect,
    ReaderBusy,
    ReaderNotFound,
    ReaderServiceDown,
)
from cardreader.pcsc import PcscReaders
from cardreader.pcsc.channel import PcscChannel
from cardreader.pin import Pin, PinStatus
from pki.csr import build_csr, parse_csr
from pki.keys import SignatureAlgorithm, verify_signature
from tests.cardreader.conftest import RealReader, wait_for_card
from tests.support.emulated_card import SIGN_PIN, certificate_for, key_of

pytestmark = pytest.mark.real


@pytest.mark.parametrize("algorithm", [SignatureAlgorithm.ES256, SignatureAlgorithm.RS256])
def test_a_card_is_personalised_and_signs(blank_reader: RealReader, algorithm: SignatureAlgorithm) -> None:
    with blank_reader.readers.connect(blank_reader.name) as card, Pin(SIGN_PIN) as pin:
        assert card.profile.verified
        public_key = card.generate_key(KeyUsage.SIGN, algorithm, pin)
        key = key_of(card, KeyUsage.SIGN)
        assert parse_csr(build_csr(card.signing_key(key, pin), "نمونهٔ پزشک")).public_key == public_key
        certificate = certificate_for(public_key, padding=800)
        card.write_certificate(key.key_id, certificate, pin)
    with blank_reader.readers.connect(blank_reader.name) as card, Pin(SIGN_PIN) as pin:
        key = key_of(card, KeyUsage.SIGN)
        assert key.certificate == certificate
        signer = card.signing_key(key, pin)
        for message in (b"one", b"two"):
            verify_signature(public_key, signer.sign(message), message)


def test_readers_and_cards_are_listed(real_reader: RealReader) -> None:
    states = real_reader.readers.list()
    assert [state.card_present for state in states] == [True, False]
    assert states[0].atr.endswith(b"XMOHR-EMU\xcd")
    assert not states[1].atr
    with pytest.raises(CardAbsent):
        real_reader.readers.connect(states[1].name)
    with pytest.raises(ReaderNotFound):
        real_reader.readers.connect("no such reader")


def test_a_wrong_pin_is_counted_by_the_card(real_reader: RealReader) -> None:
    with real_reader.readers.connect(real_reader.name) as card:
        with pytest.raises(PinIncorrect) as caught:
            card.verify_pin(SIGN_REFERENCE, Pin(b"000000"))
        assert caught.value.tries_left == 2
        assert card.pin_status(SIGN_REFERENCE) == PinStatus(tries_left=2, blocked=False)
        card.verify_pin(SIGN_REFERENCE, Pin(SIGN_PIN))
        assert card.pin_status(SIGN_REFERENCE) == PinStatus(tries_left=3, blocked=False)


def test_a_pulled_card_is_removed_and_a_new_connection_finds_it_again(real_reader: RealReader) -> None:
    card = real_reader.readers.connect(real_reader.name)
    signer = card.signing_key(key_of(card, KeyUsage.SIGN), lambda _status: Pin(SIGN_PIN))
    signer.sign(b"m")
    known = real_reader.readers.list()
    real_reader.stack.remove()
    with pytest.raises(CardRemoved):
        signer.sign(b"m")
    changed = real_reader.readers.wait(known, 5)
    assert not any(state.card_present for state in changed)
    real_reader.stack.insert()
    wait_for_card(real_reader.readers)
    with pytest.raises(CardRemoved):
        signer.sign(b"m")
    card.close()
    with real_reader.readers.connect(real_reader.name) as again, Pin(SIGN_PIN) as pin:
        again.signing_key(key_of(again, KeyUsage.SIGN), pin).sign(b"m")


def test_a_card_pulled_while_the_pin_is_typed_is_removed(real_reader: RealReader) -> None:
    card = real_reader.readers.connect(real_reader.name)

    def pull_then_type(_status: PinStatus) -> Pin:
        real_reader.stack.remove()
        return Pin(SIGN_PIN)

    with pytest.raises(CardRemoved):
        card.signing_key(key_of(card, KeyUsage.SIGN), pull_then_type).sign(b"m")
    card.close()


def test_an_answer_of_no_octets_is_a_card_that_left(real_reader: RealReader, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some drivers call it success, in the moment in which theirs leaves."""
    channel = PcscChannel(real_reader.name)
    monkeypatch.setattr(scard, "SCardTransmit", lambda *_: (scard.SCARD_S_SUCCESS, []))
    try:
        with channel.transaction(), pytest.raises(CardRemoved):
            channel.transmit(CommandApdu(cla=0, ins=Instruction.SELECT, p1=4, p2=0, data=PKCS15_AID))
    finally:
        channel.close(reset=False)


def test_insertion_and_removal_wake_the_one_who_waits(real_reader: RealReader) -> None:
    known = real_reader.readers.list()
    assert real_reader.readers.wait(known, 0.05) is known, "nothing changed"
    puller = threading.Timer(0.1, real_reader.stack.remove)
    puller.start()
    started = time.monotonic()
    without = real_reader.readers.wait(known, 60)
    assert time.monotonic() - started < 30
    puller.join()
    assert not any(state.card_present for state in without)


def test_a_service_that_dies_is_down_and_found_again_when_it_is_back(real_reader: RealReader) -> None:
    readers, stack = real_reader.readers, real_reader.stack
    card = readers.connect(real_reader.name)
    key = key_of(card, KeyUsage.SIGN)
    known = readers.list()
    stack.stop_service()
    with Pin(SIGN_PIN) as pin, pytest.raises(ReaderServiceDown):
        card.signing_key(key, pin).sign(b"m")
    card.close()
    with pytest.raises(ReaderServiceDown):
        readers.list()
    with pytest.raises(ReaderServiceDown):
        readers.wait(known, 1)
    stack.start_service()
    assert not any(state.card_present for state in readers.list())
    stack.insert()
    name = wait_for_card(readers).name
    with readers.connect(name) as again, Pin(SIGN_PIN) as pin:
        again.signing_key(key_of(again, KeyUsage.SIGN), pin).sign(b"m")


def test_a_service_that_dies_wakes_the_one_who_waits(real_reader: RealReader) -> None:
    known = real_reader.readers.list()
    killer = threading.Timer(0.1, real_reader.stack.stop_service)
    killer.start()
    with pytest.raises(ReaderServiceDown):
        real_reader.readers.wait(known, 60)
    killer.join()


def test_another_program_may_reset_the_card_between_two_signatures(real_reader: RealReader) -> None:
    card = real_reader.readers.connect(real_reader.name)
    key = key_of(card, KeyUsage.SIGN)
    with Pin(SIGN_PIN) as pin:
        signer = card.signing_key(key, pin)
        signer.sign(b"m")
        other = PcscChannel(real_reader.name)
        other.close(reset=True)
        verify_signature(key.public_key, signer.sign(b"m"), b"m")
    card.close()


def _connected_in_the_end(readers: PcscReaders, name: str) -> SmartCard:
    """Connect; who has no patience may find a busy machine's card busy."""
    for _ in range(100):
        with suppress(ReaderBusy):
            return readers.connect(name)
    return readers.connect(name)


def test_a_card_held_by_another_program_is_busy_after_the_deadline(real_reader: RealReader) -> None:
    impatient = PcscReaders(deadline=0.2)
    card = _connected_in_the_end(impatient, real_reader.name)
    other = PcscChannel(real_reader.name)
    with other.transaction():
        started = time.monotonic()
        with pytest.raises(ReaderBusy):
            card.pin_status(SIGN_REFERENCE)
        assert time.monotonic() - started < 30
        with pytest.raises(CardRemoved):
            card.pin_status(SIGN_REFERENCE)  # the connection went with the call that still waits
    card.close()
    other.close(reset=False)
    with real_reader.readers.connect(real_reader.name) as again:
        assert again.pin_status(SIGN_REFERENCE).tries_left == 3
    impatient.close()


def test_a_card_in_exclusive_use_is_busy(real_reader: RealReader) -> None:
    result, context = scard.SCardEstablishContext(scard.SCARD_SCOPE_USER)
    assert result == 0
    end = time.monotonic() + 30  # pcscd may still be letting go of another test's connection
    while True:
        result, handle, _protocol = scard.SCardConnect(
            context, real_reader.name, scard.SCARD_SHARE_EXCLUSIVE, scard.SCARD_PROTOCOL_T1
        )
        if result != scard.SCARD_E_SHARING_VIOLATION or time.monotonic() > end:
            break
        time.sleep(0.05)
    assert result == 0
    with pytest.raises(ReaderBusy):
        real_reader.readers.connect(real_reader.name)
    assert real_reader.readers.list()[0].in_exclusive_use
    scard.SCardDisconnect(handle, scard.SCARD_LEAVE_CARD)
    scard.SCardReleaseContext(context)


def test_a_command_does_not_wait_for_a_delayed_acknowledgement(real_reader: RealReader) -> None:
    """Without quick acknowledgement in the bridge each command takes 44 ms."""
    channel = PcscChannel(real_reader.name)
    command = CommandApdu(ins=Instruction.SELECT, p1=0x04, data=PKCS15_AID, ne=256)
    times = []
    with channel.transaction():
        for _ in range(51):
            started = time.perf_counter()
            assert channel.transmit(command).ok
            times.append(time.perf_counter() - started)
    channel.close(reset=False)
    assert sorted(times)[25] < 0.035


def test_no_pin_reaches_the_services_log(real_reader: RealReader) -> None:
    with real_reader.readers.connect(real_reader.name) as card, Pin(SIGN_PIN) as pin:
        card.verify_pin(SIGN_REFERENCE, pin)
    written = b"".join(path.read_bytes() for path in real_reader.stack.folder.glob("*.log"))
    assert SIGN_PIN not in written
    assert SIGN_PIN.hex().encode() not in written.replace(b" ", b"").lower()
