"""A SoftHSM2 token and kills: whatever moment one comes at, the token opens again."""

import fcntl
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsm import softhsm_guard
from hsm.child_process import child_environment
from hsm.device.link import DeviceLink
from hsm.errors import DeviceLost
from hsm.private_files import write_private
from hsm.softhsm import SoftHsmToken, create_softhsm_token, find_module
from hsm.softhsm_guard import SoftHsmGuard, is_whole
from pki.keys import SignatureAlgorithm
from tests.support.device_links import Owner, order_for
from tests.support.programs import REPOSITORY

ES256 = SignatureAlgorithm.ES256


def number(value: int) -> bytes:
    return value.to_bytes(8, "big")


def attribute(which: int, value: int | bytes) -> bytes:
    kind, written = (2, number(value)) if isinstance(value, int) else (3, number(len(value)) + value)
    return number(0x80005348 + which) + number(kind) + written


def written(generation: int = 9, flags: int = 0x42D, user_pin: bytes = bytes(72)) -> bytes:
    attributes: list[int | bytes] = [b"mohr".ljust(32), b"17f8682b12aa0c15", flags, bytes(72), user_pin]
    return number(generation) + b"".join(attribute(which, value) for which, value in enumerate(attributes, 1))


WHOLE = written()

# --- whole or torn ---


def test_what_softhsm_writes_is_whole() -> None:
    assert is_whole(WHOLE)
    assert is_whole(WHOLE[: -len(attribute(5, bytes(72)))].replace(number(0x42D), number(0x425)))  # no user PIN yet


@given(st.integers(0, len(WHOLE) - 1))
def test_what_is_cut_short_anywhere_is_torn(length: int) -> None:
    assert not is_whole(WHOLE[:length])
    assert not is_whole(WHOLE[:length] + bytes(len(WHOLE) - length + 8))


@given(st.binary(max_size=400))
def test_chance_octets_are_torn(content: bytes) -> None:
    assert not is_whole(content)
    assert not is_whole(WHOLE + content) or not content


# --- put back, kept ---


@pytest.fixture
def guard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SoftHsmGuard:
    monkeypatch.setattr(softhsm_guard, "_SETTLE_SECONDS", 0.001)
    (tmp_path / "tokens" / "7f3a").mkdir(parents=True)
    configuration = tmp_path / "softhsm2.conf"
    configuration.write_text(f"# mine\ndirectories.tokendir = {tmp_path / 'tokens'} # here\nlog.level = ERROR\n")
    guard = SoftHsmGuard(configuration)
    token_file(guard).write_bytes(WHOLE)
    return guard


def token_file(guard: SoftHsmGuard) -> Path:
    return guard.folder() / "7f3a" / "token.object"


def copy(guard: SoftHsmGuard) -> Path:
    return guard.folder() / "7f3a.copy"


def test_the_copy_is_made_before_the_block_and_is_its_owners_alone(guard: SoftHsmGuard) -> None:
    with guard.opening():
        assert copy(guard).read_bytes() == WHOLE
    assert copy(guard).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("torn", [b"", WHOLE[:-1], WHOLE + b"\0", bytes(len(WHOLE))])
def test_a_torn_file_is_put_back_in_place(guard: SoftHsmGuard, torn: bytes) -> None:
    with guard.opening():
        pass
    inode = token_file(guard).stat().st_ino
    token_file(guard).write_bytes(torn)
    with guard.opening():
        assert token_file(guard).read_bytes() == WHOLE
    assert token_file(guard).stat().st_ino == inode


def test_a_whole_file_is_never_replaced(guard: SoftHsmGuard) -> None:
    with guard.opening():
        pass
    for newer in (written(generation=10), written(user_pin=b"another PIN".ljust(72))):
        token_file(guard).write_bytes(newer)
        with guard.opening():
            pass
        assert token_file(guard).read_bytes() == newer


def test_the_copy_follows_what_lasts_and_not_the_generation(guard: SoftHsmGuard) -> None:
    for content, kept in (
        (written(generation=10), WHOLE),
        (written(user_pin=b"another PIN".ljust(72)), written(user_pin=b"another PIN".ljust(72))),
    ):
        copy(guard).write_bytes(WHOLE)
        token_file(guard).write_bytes(content)
        with guard.opening():
            assert copy(guard).read_bytes() == kept


def test_a_torn_copy_is_put_back_nowhere_and_made_anew(guard: SoftHsmGuard) -> None:
    copy(guard).write_bytes(WHOLE[:100])
    with guard.opening():
        assert copy(guard).read_bytes() == WHOLE
    copy(guard).write_bytes(WHOLE[:100])
    token_file(guard).write_bytes(b"")
    with pytest.raises(DeviceLost, match="7f3a is torn and there is no copy"):
        guard.check()
    assert token_file(guard).read_bytes() == b""


def test_a_torn_token_without_a_copy_says_so_and_is_in_no_neighbours_way(guard: SoftHsmGuard) -> None:
    token_file(guard).write_bytes(b"")
    with guard.opening():
        pass
    with pytest.raises(DeviceLost, match="restore it from a backup"), guard.opening():
        raise DeviceLost("the token is not there")
    with pytest.raises(ZeroDivisionError), guard.opening():
        _ = 1 / 0


def test_a_tool_that_is_writing_is_waited_for(guard: SoftHsmGuard, monkeypatch: pytest.MonkeyPatch) -> None:
    with guard.opening():
        pass
    token_file(guard).write_bytes(b"")
    newer = written(user_pin=b"another PIN".ljust(72))
    monkeypatch.setattr(time, "sleep", lambda _: token_file(guard).write_bytes(newer))
    with guard.opening():
        assert token_file(guard).read_bytes() == newer


def test_nothing_is_put_back_while_another_logs_in(guard: SoftHsmGuard) -> None:
    descriptor = os.open(guard.folder(), os.O_RDONLY)
    try:
        with guard.opening(), pytest.raises(BlockingIOError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(descriptor)


def test_a_copy_that_cannot_be_made_stops_no_login(guard: SoftHsmGuard, caplog: pytest.LogCaptureFixture) -> None:
    (guard.folder() / ".7f3a.copy.new").mkdir()
    with guard.opening():
        pass
    assert "would lose this token" in caplog.text


def test_tokens_that_are_away_are_a_lost_device(guard: SoftHsmGuard) -> None:
    guard.folder().rename(guard.folder().with_name("away"))
    with pytest.raises(DeviceLost), guard.opening():
        pass


# --- a real token ---


@pytest.fixture
def made(tmp_path: Path) -> SoftHsmToken:
    return create_softhsm_token(tmp_path / "token", "mohr-kill")


def object_of(token: SoftHsmToken) -> Path:
    (path,) = (token.configuration.parent / "tokens").glob("*/token.object")
    return path


@pytest.fixture
def opened(made: SoftHsmToken, tmp_path: Path) -> Iterator[Callable[[], Owner]]:
    owners: list[Owner] = []

    def open_again() -> Owner:
        for owner in owners:
            owner.link.close()
        owners.append(Owner(DeviceLink(order_for(made, tmp_path), time.monotonic)))
        owners[-1].link.open()
        return owners[-1]

    yield open_again
    for owner in owners:
        owner.link.close()


def generate(owner: Owner) -> bytes:
    owner.run_until(lambda: owner.link.available)
    made = owner.value(partial(owner.link.generate, "seal", ES256, 3072))
    assert isinstance(made, tuple)
    return bytes(made[0])


def can_sign(owner: Owner, reference: bytes) -> bool:
    owner.run_until(lambda: owner.link.available)
    return owner.ask(partial(owner.link.sign, reference, ES256, [bytes(32)])).error is None


@pytest.mark.real
@pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed")
class TestRealToken:
    def test_a_new_token_has_its_copy(self, made: SoftHsmToken) -> None:
        assert is_whole(object_of(made).read_bytes())
        assert object_of(made).parent.with_suffix(".copy").read_bytes() == object_of(made).read_bytes()

    def test_a_token_that_a_kill_emptied_opens_with_all_its_keys(
        self, made: SoftHsmToken, opened: Callable[[], Owner]
    ) -> None:
        owner = opened()
        keys = [generate(owner) for _ in range(3)]
        owner.link.close()
        object_of(made).write_bytes(b"")
        again = opened()
        assert all(can_sign(again, key) for key in keys)

    def test_a_token_without_a_copy_is_waited_for_with_a_clear_reason(
        self, made: SoftHsmToken, opened: Callable[[], Owner]
    ) -> None:
        whole = object_of(made).read_bytes()
        object_of(made).write_bytes(b"")
        object_of(made).parent.with_suffix(".copy").unlink()
        owner = opened()
        owner.run_until(lambda: "restore it from a backup" in owner.link.reason)
        assert not owner.link.available
        assert owner.link.fatal is None
        object_of(made).write_bytes(whole)  # restored
        owner.run_until(lambda: owner.link.available)


class Logins:
    """The process that starts children which log in."""

    def __init__(self, token: SoftHsmToken, folder: Path) -> None:
        write_private(folder / "pin", token.pin.reveal().encode())
        command = [sys.executable, "-m", "tests.hsm.killed_logins", str(folder), str(token.module_path), token.label]
        self.process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=child_environment(**token.environment),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def start(self, manner: str) -> int | None:
        """Start a child and return its id once it has logged in; None when it could not."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{manner}\n")
        self.process.stdin.flush()
        answer = self._line()
        return int(answer) if answer else None

    def gone(self) -> None:
        """Wait until the child is gone."""
        assert self._line() == ""

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip()

    def kills(self, manner: str, times: int) -> bool:
        """Kill a child at a chance moment, so many times; tell whether each could log in."""
        for _ in range(times):
            child = self.start(manner)
            if child is None:
                return False
            time.sleep(random.uniform(0, 0.01))  # noqa: S311 - no secret
            os.kill(child, signal.SIGKILL)
            self.gone()
        return True


@pytest.fixture
def logins(made: SoftHsmToken, tmp_path: Path) -> Iterator[Logins]:
    (tmp_path / "logins").mkdir()
    logins = Logins(made, tmp_path / "logins")
    yield logins
    logins.process.communicate()


@pytest.mark.real
@pytest.mark.skipif(find_module() is None, reason="SoftHSM2 is not installed")
class TestKills:
    def test_one_that_dies_while_the_file_is_written_loses_nothing(
        self, made: SoftHsmToken, logins: Logins, opened: Callable[[], Owner]
    ) -> None:
        owner = opened()
        key = generate(owner)
        for _ in range(3):
            assert logins.start("doomed")
            logins.gone()
            assert len(object_of(made).read_bytes()) <= 8  # what the guard is for
        assert can_sign(opened(), key)

    def test_one_that_is_killed_while_it_logs_in_without_pause_loses_nothing(
        self, logins: Logins, opened: Callable[[], Owner]
    ) -> None:
        key = generate(opened())
        assert logins.kills("guarded", 60)
        assert can_sign(opened(), key)

    @pytest.mark.stress
    def test_many_kills_lose_nothing(self, logins: Logins, opened: Callable[[], Owner]) -> None:
        key = generate(opened())
        assert logins.kills("guarded", 600)
        assert can_sign(opened(), key)

    @pytest.mark.stress
    def test_without_the_guard_kills_lose_the_token(self, logins: Logins) -> None:
        assert not logins.kills("bare", 600)
