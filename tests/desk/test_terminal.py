import os
from pathlib import Path
from typing import NoReturn

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardreader.errors import PinFormatRefused, PinRequired
from cardreader.pin import Pin, PinFormat, PinStatus
from desk.cli import keep_trace
from desk.terminal import ask_consent, ask_pin, pin_source, shown
from pki.errors import ErrorCode, NotAllowed
from tests.support.programs import handed_over

ANY = PinFormat(min_length=4, max_length=16)


def _digits(pin: Pin) -> bytes:
    return bytes(pin.padded(ANY))


def test_each_line_of_the_descriptor_is_one_secret() -> None:
    with handed_over("135790", "246801") as descriptor:
        with ask_pin("PIN", descriptor) as first, ask_pin("PIN", descriptor) as second:
            assert (_digits(first), _digits(second)) == (b"135790", b"246801")
        with pytest.raises(PinRequired):
            ask_pin("PIN", descriptor)


def test_a_pin_cannot_be_used_after_its_block() -> None:
    with handed_over("135790") as descriptor, ask_pin("PIN", descriptor) as pin:
        pass
    with pytest.raises(PinRequired):
        pin.check(ANY)
    assert "135790" not in repr(pin)


def test_a_last_line_without_an_end_counts() -> None:
    reader, writer = os.pipe()
    os.write(writer, b"135790")
    os.close(writer)
    with ask_pin("PIN", reader) as pin:
        assert _digits(pin) == b"135790"
    os.close(reader)


@pytest.mark.parametrize("line", ["123", "12345678901234567", "12a456", "۱۳۵۷۹۰", "x" * 10_000])
def test_a_line_that_is_no_pin_is_refused_without_repeating_it(line: str) -> None:
    with handed_over(line) as descriptor, pytest.raises(PinFormatRefused) as refused:
        ask_pin("PIN", descriptor)
    assert line not in str(refused.value)


def test_a_descriptor_that_is_not_open_says_so(tmp_path: Path) -> None:
    with handed_over() as closed:
        pass
    with pytest.raises(PinRequired):
        ask_pin("PIN", closed)


def test_the_prompt_before_a_signature_takes_a_new_line_each_time() -> None:
    with handed_over("135790", "135790") as descriptor:
        ask = pin_source(descriptor)
        for tries in (3, None):
            with ask(PinStatus(tries_left=tries, blocked=False)) as pin:
                assert _digits(pin) == b"135790"


def test_consent_given_by_the_caller_is_not_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    monkeypatch.setattr("click.confirm", lambda text, **_options: asked.append(text))
    ask_consent(agreed=True)
    assert asked == []


def test_nobody_to_ask_is_no_consent(monkeypatch: pytest.MonkeyPatch) -> None:
    with Path(os.devnull).open() as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        with pytest.raises(NotAllowed) as refused:
            ask_consent(agreed=False)
    assert refused.value.code is ErrorCode.CONSENT_REFUSED


@given(st.text())
def test_what_is_shown_cannot_leave_its_line_or_its_direction(text: str) -> None:
    line = shown(text)
    assert line[0] == "\u2068"
    assert line[-1] == "\u2069"
    assert not set(line[1:-1]) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\r\n\x1b\x00\x7f\u0085")


def test_the_trace_of_a_user_without_a_home_folder_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(uid: int) -> NoReturn:
        raise KeyError(uid)

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)
    with pytest.raises(FileNotFoundError):
        keep_trace("0badc0de", "a trace")
