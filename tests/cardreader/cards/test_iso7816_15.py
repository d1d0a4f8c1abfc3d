"""The engine against the emulated card in this process, and against files that OpenSC wrote."""

from contextlib import suppress

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st

from cardreader.apdu import CommandApdu, Instruction, ResponseApdu, StatusWord
from cardreader.cards.iso7816_15 import ecdsa_signature
from cardreader.cards.objects import KeyUsage
from cardreader.cards.public_keys import to_file
from cardreader.cards.registry import open_card
from cardreader.emulated.card import EmulatedCard
from cardreader.emulated.state import CardState
from cardreader.errors import (
    CardFull,
    CardKeyExists,
    CardKeyNotFound,
    CardProtocolError,
    CardUnsupported,
    PinRequired,
)
from cardreader.pin import Pin
from pki.certificates import Certificate
from pki.csr import build_csr, parse_csr
from pki.errors import InvalidInput, ServiceError
from pki.keys import SignatureAlgorithm, verify_signature
from tests.support import opensc_files
from tests.support.apdu_script import ScriptedChannel
from tests.support.emulated_card import (
    AUTH_PIN,
    SIGN_PIN,
    CardInProcess,
    certificate_for,
    key_of,
    new_state,
    open_emulated,
    personalised_state,
)

PINS = {KeyUsage.AUTH: AUTH_PIN, KeyUsage.SIGN: SIGN_PIN}
BOTH = pytest.mark.parametrize("algorithm", [SignatureAlgorithm.ES256, SignatureAlgorithm.RS256])


def opensc_card(*, certificates: bool = True) -> CardState:
    """A card whose every directory was written by OpenSC, with certificates of our own in its files."""
    state = new_state()
    application = "3F005015"
    key = ec.generate_private_key(ec.SECP256R1()).public_key()
    content = {
        "3F002F00": opensc_files.EF_DIR,
        f"{application}5031": opensc_files.ODF,
        f"{application}5032": opensc_files.TOKEN_INFO,
        f"{application}4401": opensc_files.AODF,
        f"{application}4402": opensc_files.PRKDF,
        f"{application}4403": opensc_files.PUKDF,
        f"{application}4404": opensc_files.CDF if certificates else b"",
        f"{application}3400": certificate_for(key),
        f"{application}3401": certificate_for(key),
        f"{application}3300": to_file(key),
        f"{application}3301": to_file(key),
    }
    state.files = {name: data.ljust(2048, b"\0") for name, data in content.items()}
    return state


def test_a_blank_card_tells_who_it_is_and_has_two_empty_places() -> None:
    card, _channel = open_emulated()
    assert (card.label, card.serial) == ("Test card", "4d4f485200000001")
    assert (card.profile.name, card.profile.verified) == ("mohr-emulated", True)
    assert [(slot.usage, slot.pin_reference, slot.filled) for slot in card.slots()] == [
        ("auth", 1, False),
        ("sign", 2, False),
    ]
    assert card.keys() == ()
    assert [(pin.reference, pin.puk_reference, pin.is_puk) for pin in card.pins()] == [
        (1, 3, False),
        (2, 3, False),
        (3, None, True),
    ]


@BOTH
@pytest.mark.parametrize("usage", list(KeyUsage))
def test_a_key_made_on_the_card_signs_its_request_and_gets_its_certificate(
    algorithm: SignatureAlgorithm, usage: KeyUsage
) -> None:
    card, _channel = open_emulated()
    with Pin(PINS[usage]) as pin:
        public_key = card.generate_key(usage, algorithm, pin)
        key = key_of(card, usage)
        assert (key.algorithm, key.public_key, key.certificate) == (algorithm, public_key, None)
        request = parse_csr(build_csr(card.signing_key(key, pin), "نمونهٔ پزشک"))
        assert request.public_key == public_key
        certificate = certificate_for(public_key)
        card.write_certificate(key.key_id, certificate, pin)
        key = key_of(card, usage)
        assert key.certificate == certificate
        assert key.asks_always is (usage is KeyUsage.SIGN)
        verify_signature(public_key, card.signing_key(key, pin).sign(b"message"), b"message")


def test_everything_written_is_found_again_by_a_new_connection() -> None:
    state = personalised_state()
    card, _channel = open_emulated(state)
    assert [key.usage for key in card.keys()] == ["auth", "sign"]
    assert all(key.certificate is not None for key in card.keys())
    assert all(slot.filled for slot in card.slots())
    for key in card.keys():
        assert key.certificate is not None
        assert Certificate.parse(key.certificate).public_key == key.public_key


def test_a_filled_place_is_not_overwritten_unless_asked() -> None:
    card, _channel = open_emulated(personalised_state())
    before = key_of(card, KeyUsage.SIGN)
    with Pin(SIGN_PIN) as pin:
        with pytest.raises(CardKeyExists):
            card.generate_key(KeyUsage.SIGN, SignatureAlgorithm.ES256, pin)
        assert key_of(card, KeyUsage.SIGN) == before
        card.generate_key(KeyUsage.SIGN, SignatureAlgorithm.RS256, pin, replace=True)
    after = key_of(card, KeyUsage.SIGN)
    assert after.public_key != before.public_key
    assert after.algorithm is SignatureAlgorithm.RS256
    assert after.certificate is None, "the old certificate went with the old key"


def test_renewing_a_certificate_many_times_does_not_use_up_the_card() -> None:
    card, _channel = open_emulated(personalised_state())
    key = key_of(card, KeyUsage.SIGN)
    with Pin(SIGN_PIN) as pin:
        for round_number in range(12):
            certificate = certificate_for(key.public_key, padding=100 * round_number)
            card.write_certificate(key.key_id, certificate, pin)
            assert key_of(card, KeyUsage.SIGN).certificate == certificate


def test_a_certificate_larger_than_every_free_file_is_refused_and_the_old_one_stays() -> None:
    card, _channel = open_emulated(personalised_state())
    key = key_of(card, KeyUsage.SIGN)
    with Pin(SIGN_PIN) as pin, pytest.raises(CardFull):
        card.write_certificate(key.key_id, certificate_for(key.public_key, padding=4096), pin)
    assert key_of(card, KeyUsage.SIGN).certificate == key.certificate


def test_a_certificate_of_another_key_is_not_written() -> None:
    card, channel = open_emulated(personalised_state())
    other = certificate_for(ec.generate_private_key(ec.SECP256R1()).public_key())
    with Pin(SIGN_PIN) as pin:
        with pytest.raises(InvalidInput):
            card.write_certificate(key_of(card, KeyUsage.SIGN).key_id, other, pin)
        with pytest.raises(CardKeyNotFound):
            card.write_certificate(b"\x77", other, pin)
    assert channel.count(Instruction.UPDATE_BINARY) == 0


@pytest.mark.parametrize("last", range(1, 5))
def test_a_card_pulled_between_two_writes_loses_no_certificate(last: int) -> None:
    state = personalised_state()
    card, channel = open_emulated(state)
    before = key_of(card, KeyUsage.SIGN)
    writes = 0

    def pull_at_the_nth_write(command: CommandApdu) -> None:
        nonlocal writes
        writes += command.ins == Instruction.UPDATE_BINARY
        if writes == last:
            raise CardFull("stands for a card that stopped here")

    channel.before = pull_at_the_nth_write
    renewed = certificate_for(before.public_key)
    with Pin(SIGN_PIN) as pin, suppress(CardFull):
        card.write_certificate(before.key_id, renewed, pin)
    assert writes == last
    again, _channel = open_emulated(state)
    assert key_of(again, KeyUsage.SIGN).certificate in (before.certificate, renewed)
    assert key_of(again, KeyUsage.AUTH).certificate is not None


def test_a_card_written_by_opensc_is_read() -> None:
    card, _channel = open_emulated(opensc_card())
    assert card.label == "JavaCard isoApplet"
    assert [(key.label, key.key_id, key.pin_reference) for key in card.keys()] == [
        ("cert 2", b"\x02", 1),
        ("cert 1", b"\x01", 1),
    ]


def test_keys_that_do_not_sign_are_not_listed() -> None:
    state = opensc_card()
    decrypting = opensc_files.PRKDF.replace(bytes.fromhex("03020274"), bytes.fromhex("03020640"))
    assert decrypting != opensc_files.PRKDF
    state.files["3F0050154402"] = decrypting.ljust(2048, b"\0")
    card, _channel = open_emulated(state)
    assert [key.label for key in card.keys()] == ["cert 2"]


def test_a_key_without_a_certificate_is_known_by_its_public_key_file() -> None:
    card, _channel = open_emulated(opensc_card(certificates=False))
    assert [key.certificate for key in card.keys()] == [None, None]


def test_a_truncated_certificate_is_an_error_and_not_a_short_certificate() -> None:
    state = opensc_card()
    state.files["3F0050153400"] = state.files["3F0050153400"][:200]
    card, _channel = open_emulated(state)
    with pytest.raises(CardProtocolError):
        card.keys()


def test_a_certificate_that_ends_before_its_entry_says_is_an_error() -> None:
    state = personalised_state()
    for name in [name for name in state.files if name[-4:-2] in ("33", "34")]:
        state.files[name] = state.files[name][:64]
    card, _channel = open_emulated(state)
    with pytest.raises(CardProtocolError, match="shorter than its directory entry"):
        card.keys()


def test_a_certificate_file_with_something_else_is_a_card_error() -> None:
    state = opensc_card()
    state.files["3F0050153400"] = bytes.fromhex("30030201ff").ljust(2048, b"\0")
    card, _channel = open_emulated(state)
    with pytest.raises(CardProtocolError, match="cannot be read"):
        card.keys()


def test_a_card_without_ef_dir_is_found_by_the_standards_name() -> None:
    state = personalised_state()
    del state.files["3F002F00"]
    card, _channel = open_emulated(state)
    assert card.label == "Test card"
    assert len(card.keys()) == 2


def test_a_card_without_the_application_is_unsupported_and_the_channel_is_closed() -> None:
    script = ScriptedChannel(
        ("00 a4 08 00 02 2f00 00", "6a82"),
        ("00 a4 04 00 0c a000000063504b43532d3135 00", "6a82"),
    )
    with pytest.raises(CardUnsupported):
        open_card(script)
    assert script.closed == "left"


def test_a_card_in_no_row_of_the_registry_is_called_unverified() -> None:
    channel = CardInProcess(EmulatedCard(personalised_state(), lambda _state: None))
    channel.atr = bytes.fromhex("3b8e80018073c001c0584d4f48522d58585800")
    assert (open_card(channel).profile.name, open_card(channel).profile.verified) == ("iso7816-15", False)


def test_two_pins_with_one_reference_are_refused() -> None:
    state = opensc_card()
    state.files["3F0050154401"] = (opensc_files.AODF * 2).ljust(512, b"\0")
    with pytest.raises(CardProtocolError, match="two PINs"):
        open_emulated(state)


def test_a_key_guarded_by_an_undescribed_pin_is_refused() -> None:
    state = opensc_card()
    state.files["3F0050154401"] = bytes(512)
    card, _channel = open_emulated(state)
    with pytest.raises(CardProtocolError, match="does not describe"):
        card.keys()


def test_a_card_that_does_not_name_an_algorithm_is_not_asked_to_make_keys() -> None:
    state = opensc_card()
    state.files["3F0050154403"] = bytes(512)
    state.files["3F0050154404"] = bytes(512)
    card, _channel = open_emulated(state)
    with Pin(AUTH_PIN) as pin, pytest.raises(CardUnsupported):
        card.generate_key(KeyUsage.AUTH, SignatureAlgorithm.ES256, pin)


def test_algorithms_the_card_does_not_make_are_refused() -> None:
    card, channel = open_emulated()
    with Pin(AUTH_PIN) as pin, pytest.raises(CardUnsupported):
        card.generate_key(KeyUsage.AUTH, SignatureAlgorithm.EDDSA, pin)
    assert channel.count(Instruction.UPDATE_BINARY) == 0


@pytest.mark.parametrize(
    ("instruction", "sw", "error"),
    [
        (Instruction.MANAGE_SECURITY_ENVIRONMENT, StatusWord.FUNCTION_UNSUPPORTED, CardUnsupported),
        (Instruction.MANAGE_SECURITY_ENVIRONMENT, StatusWord.REFERENCE_NOT_FOUND, CardKeyNotFound),
        (Instruction.PERFORM_SECURITY_OPERATION, StatusWord.SECURITY_STATUS, PinRequired),
        (Instruction.PERFORM_SECURITY_OPERATION, StatusWord.CONDITIONS, CardProtocolError),
        (Instruction.PERFORM_SECURITY_OPERATION, 0x6F00, CardProtocolError),
    ],
)
def test_what_the_card_refuses_has_a_name(instruction: Instruction, sw: int, error: type[ServiceError]) -> None:
    card, channel = open_emulated(personalised_state())
    key = key_of(card, KeyUsage.SIGN)
    channel.after = lambda command, response: ResponseApdu(sw=sw) if command.ins == instruction else response
    with Pin(SIGN_PIN) as pin, pytest.raises(error):
        card.signing_key(key, pin).sign(b"message")


@given(st.integers(1, 2**256 - 1), st.integers(1, 2**256 - 1))
def test_an_ecdsa_answer_is_understood_raw_and_as_der(r: int, s: int) -> None:
    encoded = encode_dss_signature(r, s)
    assert ecdsa_signature(r.to_bytes(32, "big") + s.to_bytes(32, "big"), 64) == encoded
    assert ecdsa_signature(encoded, 64) == encoded


@given(st.binary(max_size=80))
def test_what_is_no_ecdsa_answer_is_a_card_error(value: bytes) -> None:
    try:
        ecdsa_signature(value, 64)
    except CardProtocolError:
        assert len(value) != 64


@pytest.mark.parametrize("size", [1, 17, 255])
def test_a_card_that_reads_in_small_pieces_is_read_whole(size: int) -> None:
    card, channel = open_emulated(personalised_state())
    channel.after = lambda command, response: (
        ResponseApdu(data=response.data[:size], sw=response.sw) if command.ins == Instruction.READ_BINARY else response
    )
    assert all(key.certificate is not None for key in card.keys())


def test_a_length_the_card_corrects_does_not_disturb_a_signature() -> None:
    card, channel = open_emulated(personalised_state())
    key = key_of(card, KeyUsage.AUTH)
    corrected: list[int] = []

    def correct(command: CommandApdu, response: ResponseApdu) -> ResponseApdu:
        if command.ins == Instruction.PERFORM_SECURITY_OPERATION and command.ne == 256:
            corrected.append(command.ne)
            return ResponseApdu(sw=0x6C50)
        return response

    channel.after = correct
    with Pin(AUTH_PIN) as pin:
        card.signing_key(key, pin).sign(b"message")
    assert corrected == [256]
