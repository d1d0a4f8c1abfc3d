import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardreader.errors import PinFormatRefused, PinRequired
from cardreader.pin import Pin, PinFormat, reference_data
from pki.errors import ErrorCode

FORMAT = PinFormat(min_length=6, max_length=12, stored_length=16)


@pytest.mark.parametrize("digits", [b"", b"123", b"1" * 17, b"12a4", b"12 34", b"-1234", "۱۲۳۴".encode(), b"1234\n"])
def test_what_is_not_4_to_16_ascii_digits_is_no_pin(digits: bytes) -> None:
    with pytest.raises(PinFormatRefused) as caught:
        Pin(digits)
    assert caught.value.code is ErrorCode.PIN_FORMAT
    assert digits.decode().strip() not in str(caught.value) or not digits.strip()


@given(st.text("0123456789", min_size=6, max_size=12))
def test_a_pin_is_padded_to_the_stored_length(digits: str) -> None:
    padded = Pin(digits.encode()).padded(FORMAT)
    assert padded == digits.encode().ljust(16, b"\0")


def test_a_pin_without_padding_is_its_digits() -> None:
    assert Pin(b"123456").padded(PinFormat(min_length=4, max_length=8)) == b"123456"


@pytest.mark.parametrize("digits", [b"12345", b"1234567890123"])
def test_a_pin_outside_the_cards_limits_is_refused(digits: bytes) -> None:
    with pytest.raises(PinFormatRefused):
        Pin(digits).check(FORMAT)


def test_a_pin_never_shows_itself() -> None:
    pin = Pin(b"135790")
    assert "135790" not in f"{pin!r} {pin!s} {[pin]}"
    with pytest.raises(TypeError):
        pickle.dumps(pin)


def test_a_buffer_given_to_a_pin_is_wiped() -> None:
    typed = bytearray(b"135790")
    Pin(typed)
    assert typed == bytes(6)


def test_a_wiped_pin_is_gone_and_says_so() -> None:
    with Pin(b"135790") as pin:
        buffer = pin._digits
    assert b"1" not in buffer
    with pytest.raises(PinRequired):
        pin.check(FORMAT)


def test_a_refused_pin_leaves_no_digits_behind() -> None:
    with pytest.raises(PinFormatRefused) as caught:
        Pin(b"13579x")
    frame = caught.value.__traceback__
    assert frame is not None
    assert frame.tb_next is not None
    pin = frame.tb_next.tb_frame.f_locals["self"]
    assert not pin._digits


def test_the_data_field_of_a_pin_command_is_wiped_also_after_an_error() -> None:
    lent: list[bytearray] = []

    def fail() -> None:
        with reference_data((Pin(b"135790"), FORMAT), (Pin(b"246801"), FORMAT)) as data:
            assert data == b"135790".ljust(16, b"\0") + b"246801".ljust(16, b"\0")
            lent.append(data)
            raise RuntimeError("the card was pulled")

    with pytest.raises(RuntimeError):
        fail()
    assert lent == [bytearray(32)]


def test_fingerprints_tell_pins_apart_and_depend_on_the_key() -> None:
    one, same, other = Pin(b"135790"), Pin(b"135790"), Pin(b"135791")
    assert one.fingerprint(b"k") == same.fingerprint(b"k")
    assert one.fingerprint(b"k") != other.fingerprint(b"k")
    assert one.fingerprint(b"k") != one.fingerprint(b"j")
