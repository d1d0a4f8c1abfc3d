import secrets
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm.errors import HsmUnavailable, PinMalformed, ShareForeign, ShareMalformed, ShareRepeated, ShareWrong
from hsm.keeper.kept_pin import COLLECTING_SECONDS, KeptPin
from hsm.keeper.locked_memory import LockedMemory
from hsm.keeper.protocol import MAX_MESSAGE_OCTETS, UNLOCK_ID_OCTETS, KeeperState, KeeperStatus, error_of, status_of
from hsm.pin import Pin
from hsm.sharing.pin_shares import pin_of, split_pin
from hsm.sharing.share_set import ShareSet
from hsm.sharing.shares import Share, combine_shares, split_secret
from pki.errors import ErrorCode, ServiceError

CREATED = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)
PEOPLE = ("Custodian A", "Custodian B", "Custodian C")
PIN = "271828"


def divided(pin: str = PIN) -> tuple[ShareSet, tuple[Share, ...]]:
    with Pin(pin.encode()) as held:
        return split_pin(
            held,
            threshold=2,
            custodians=PEOPLE,
            about="PIN of the tests",
            created=CREATED,
            random_octets=secrets.token_bytes,
        )


def kept(share_set: ShareSet | None = None, now: list[float] | None = None) -> KeptPin:
    clock = now or [0.0]
    return KeptPin(share_set, lambda: clock[0], secrets.token_bytes)


def read(keeper: KeptPin) -> str:
    target = memoryview(bytearray(MAX_MESSAGE_OCTETS))
    return bytes(target[UNLOCK_ID_OCTETS : keeper.copy_into(target)]).decode()


def given_share(share: Share) -> memoryview:
    return memoryview(share.octets())


@given(st.text(st.characters(min_codepoint=0x20, max_codepoint=0x7E), min_size=1, max_size=64))
def test_a_pin_that_was_divided_comes_back_whatever_its_length(pin: str) -> None:
    _, shares = divided(pin)
    with pin_of(combine_shares(shares[1:])) as back:
        assert back.reveal() == pin


@pytest.mark.parametrize("pin", ["", "1" * 65, "۱۲۳۴", "12\n34"])
def test_what_cannot_be_a_pin_is_not_divided(pin: str) -> None:
    with pytest.raises(PinMalformed):
        divided(pin)


def test_a_keeper_is_locked_until_it_has_the_pin_and_after_it_was_told_to_forget() -> None:
    keeper = kept()
    with pytest.raises(HsmUnavailable, match="waits for its PIN"):
        read(keeper)
    keeper.unlock(bytearray(PIN.encode()))
    assert not keeper.locked
    assert read(keeper) == PIN
    keeper.forget()
    with pytest.raises(HsmUnavailable):
        read(keeper)


def test_a_shorter_pin_leaves_nothing_of_the_longer_one_before_it() -> None:
    keeper = kept()
    keeper.unlock(bytearray(b"12345678"))
    keeper.unlock(bytearray(b"99"))
    assert read(keeper) == "99"
    assert bytes(keeper._memory).rstrip(b"\0") == b"99"


def test_what_cannot_be_a_pin_does_not_replace_one() -> None:
    keeper = kept()
    keeper.unlock(bytearray(PIN.encode()))
    for wrong in (b"", b"1" * 129, b"12\0", "۱۲".encode()):
        with pytest.raises(PinMalformed):
            keeper.unlock(bytearray(wrong))
    assert read(keeper) == PIN


def test_shares_unlock_one_after_the_other_and_a_wrong_one_is_named() -> None:
    share_set, shares = divided()
    _, others = divided()
    keeper = kept(share_set)
    assert keeper.state().missing == keeper.state().threshold == 2
    assert keeper.add_share(given_share(shares[2])) == 1
    wrong = shares[0].octets()
    wrong[-1] ^= 1
    with pytest.raises(ShareWrong, match=r"share 1 .* Custodian A"):
        keeper.add_share(memoryview(wrong))
    with pytest.raises(ShareForeign):
        keeper.add_share(given_share(others[0]))
    with pytest.raises(ShareRepeated):
        keeper.add_share(given_share(shares[2]))
    with pytest.raises(ShareMalformed):
        keeper.add_share(memoryview(b"x"))
    assert keeper.locked
    assert keeper.add_share(given_share(shares[0])) == 0
    assert read(keeper) == PIN
    assert keeper.state() == KeeperState(
        locked=False, ceremony=share_set.name, about="PIN of the tests", threshold=2, missing=2
    )


def test_shares_that_nobody_completes_are_forgotten() -> None:
    share_set, shares = divided()
    now = [1000.0]
    keeper = kept(share_set, now)
    keeper.add_share(given_share(shares[0]))
    now[0] += COLLECTING_SECONDS
    keeper.tick()
    assert keeper.state().missing == 1
    now[0] += 1
    keeper.tick()
    assert keeper.state().missing == 2


def test_a_keeper_without_a_share_set_takes_no_share() -> None:
    _, shares = divided()
    with pytest.raises(HsmUnavailable):
        kept().add_share(given_share(shares[0]))


def test_shares_of_something_else_than_a_pin_unlock_nothing() -> None:
    share_set, shares = split_secret(
        bytes(range(32)),
        threshold=1,
        custodians=PEOPLE,
        about="no PIN",
        created=CREATED,
        random_octets=secrets.token_bytes,
    )
    keeper = kept(share_set)
    with pytest.raises(PinMalformed):
        keeper.add_share(given_share(shares[0]))
    assert keeper.locked
    assert keeper.state().missing == 1


def test_locked_memory_is_zero_and_writable() -> None:
    view = LockedMemory(5000).view
    assert len(view) == 5000
    assert not any(view)
    view[4999] = 7


@pytest.mark.parametrize(
    "error", [HsmUnavailable("a"), ShareMalformed("b"), ShareWrong("c"), ShareForeign("d"), PinMalformed("e")]
)
def test_an_error_is_the_same_at_the_other_end(error: ServiceError) -> None:
    again = error_of(bytearray((status_of(error),)) + error.detail.encode())
    assert type(again) is type(error)
    assert again.detail == error.detail


@given(st.binary(max_size=40))
def test_any_refusal_is_an_error(answer: bytes) -> None:
    assert isinstance(error_of(bytearray(answer)), ServiceError)


def test_what_has_no_status_of_its_own_does_not_tell_its_detail() -> None:
    assert status_of(ServiceError(ErrorCode.INTERNAL)) is KeeperStatus.FAILED


@given(st.binary(max_size=60))
def test_a_state_that_cannot_be_read_is_an_unavailable_keeper(data: bytes) -> None:
    with pytest.raises(HsmUnavailable):
        KeeperState.from_json(data)
