"""The process as custodians and operators meet it: over its sockets."""

import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsm.child_process import ExitCode, child_environment, module_command
from hsm.errors import ConfigurationInvalid, HsmUnavailable, RoleRefused, ShareForeign, ShareRepeated, ShareWrong
from hsm.keeper.client import KeeperOperator, KeeperPin
from hsm.keeper.config import KeeperSettings, keeper_settings_json, keeper_socket, load_keeper_settings
from hsm.keeper.protocol import LENGTH, KeeperOperation, KeeperRole, KeeperStatus
from hsm.keeper.server import PLACES
from hsm.pin import Pin
from hsm.sharing.shares import Share
from pki.jose import compact_json
from tests.hsm.test_kept_pin import PIN, divided
from tests.support.capabilities import looks_into_processes

START_SECONDS = 20.0
POWERLESS = ("setpriv", "--bounding-set=-all", "--inh-caps=-all") if os.getuid() == 0 else ()


@dataclass
class RunningKeeper:
    """A keeper process, its share set's shares, and both ends of it."""

    folder: Path
    settings: KeeperSettings
    shares: tuple[Share, ...]
    process: "subprocess.Popen[bytes] | None" = None
    prefix: tuple[str, ...] = ()

    @property
    def config(self) -> Path:
        return self.folder / "keeper.json"

    @property
    def log(self) -> Path:
        return self.folder / "keeper.log"

    @property
    def pins(self) -> KeeperPin:
        return KeeperPin(keeper_socket(self.settings.sockets, KeeperRole.CUSTODIAN))

    @property
    def operator(self) -> KeeperOperator:
        return KeeperOperator(keeper_socket(self.settings.sockets, KeeperRole.OPERATOR))

    @property
    def pid(self) -> int:
        assert self.process is not None
        return self.process.pid

    def start(self) -> None:
        self.config.write_bytes(keeper_settings_json(self.settings))
        ready = self.log.read_bytes().count(b"ready") if self.log.exists() else 0
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.prefix, *module_command("hsm.keeper", str(self.config), str(os.getpid()))],
                env=child_environment(),
                stderr=log,
            )
        until = time.monotonic() + START_SECONDS
        while self.log.read_bytes().count(b"ready") == ready:
            assert self.process.poll() is None, self.log.read_text()
            assert time.monotonic() < until
            time.sleep(0.01)

    def stop(self) -> int:
        if self.process is None:
            return 0
        self.process.send_signal(signal.SIGTERM)
        process, self.process = self.process, None
        return process.wait(START_SECONDS)

    def raw(self, role: KeeperRole = KeeperRole.OPERATOR) -> socket.socket:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(START_SECONDS)
        sock.connect(str(keeper_socket(self.settings.sockets, role)))
        return sock

    def read(self) -> str:
        with self.pins.read() as pin:
            return pin.reveal()

    def unlock(self, pin: str = PIN) -> None:
        with Pin(pin.encode()) as held:
            self.operator.unlock(held)


def made(folder: Path) -> RunningKeeper:
    share_set, shares = divided()
    (folder / "shares.json").write_bytes(share_set.to_json())
    return RunningKeeper(
        folder,
        KeeperSettings(
            sockets=folder / "run",
            custodian_uids=frozenset({os.getuid()}),
            operator_uids=frozenset({os.getuid()}),
            share_set=folder / "shares.json",
        ),
        shares,
    )


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningKeeper]:
    keeper = made(tmp_path_factory.mktemp("keeper"))
    keeper.start()
    yield keeper
    keeper.stop()


@pytest.fixture
def keeper(running: RunningKeeper) -> RunningKeeper:
    running.operator.forget()
    return running


def test_the_custodian_waits_until_an_operator_gives_the_pin(keeper: RunningKeeper) -> None:
    assert keeper.operator.state().locked
    with pytest.raises(HsmUnavailable, match="waits for its PIN"):
        keeper.read()
    keeper.unlock()
    assert not keeper.operator.state().locked
    assert keeper.read() == PIN


def test_each_unlocking_has_an_identity_of_its_own(keeper: RunningKeeper) -> None:
    seen = []
    for _ in range(2):
        keeper.unlock()
        for _ in range(2):
            with keeper.pins.read() as pin:
                seen.append(pin.identity)
    assert seen[0] == seen[1] != seen[2] == seen[3]
    assert PIN not in "".join(seen)


def test_shares_unlock_it_and_a_wrong_one_is_named(keeper: RunningKeeper) -> None:
    wrong = keeper.shares[1].octets()
    wrong[20] ^= 1
    assert keeper.operator.add_share(keeper.shares[0]).missing == 1
    with pytest.raises(ShareWrong, match=r"share 2 .* Custodian B"):
        keeper.operator.add_share(Share(wrong))
    with pytest.raises(ShareRepeated):
        keeper.operator.add_share(keeper.shares[0])
    with pytest.raises(ShareForeign):
        keeper.operator.add_share(divided()[1][0])
    assert keeper.operator.state().missing == 1
    assert not keeper.operator.add_share(keeper.shares[2]).locked
    assert keeper.read() == PIN


def test_each_role_has_its_own_door(keeper: RunningKeeper) -> None:
    keeper.unlock()
    for role, operation in (
        (KeeperRole.OPERATOR, KeeperOperation.READ),
        *((KeeperRole.CUSTODIAN, other) for other in KeeperOperation if other is not KeeperOperation.READ),
    ):
        with keeper.raw(role) as sock:
            sock.sendall(LENGTH.pack(1) + bytes((operation,)))
            assert sock.recv(1024)[LENGTH.size] == KeeperStatus.ROLE_REFUSED
    assert keeper.read() == PIN


def test_a_user_who_is_not_named_gets_nothing(tmp_path: Path) -> None:
    keeper = made(tmp_path)
    keeper.settings = replace(
        keeper.settings, custodian_uids=frozenset({os.getuid() + 1}), operator_uids=frozenset({os.getuid() + 1})
    )
    keeper.start()
    try:
        with pytest.raises(ConfigurationInvalid, match="this user"):
            keeper.read()
        with pytest.raises(RoleRefused):
            keeper.unlock()
    finally:
        keeper.stop()


def test_a_keeper_that_is_started_again_waits_for_its_pin(tmp_path: Path) -> None:
    keeper = made(tmp_path)
    keeper.start()
    try:
        keeper.unlock()
        assert keeper.process is not None
        keeper.process.kill()
        keeper.process.wait()
        with pytest.raises(HsmUnavailable, match="cannot be reached"):
            keeper.read()
        keeper.start()
        with pytest.raises(HsmUnavailable, match="waits for its PIN"):
            keeper.read()
    finally:
        assert keeper.stop() == ExitCode.CLEAN
    assert not [path for path in (tmp_path / "run").rglob("*") if path.is_socket()]


# --- hostile peers ---


@given(st.binary(max_size=600))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
def test_no_request_disturbs_it(running: RunningKeeper, request: bytes) -> None:
    with running.raw() as sock:
        sock.sendall(request)
        sock.shutdown(socket.SHUT_WR)
        answer = sock.recv(2048)
    assert len(answer) <= 1026
    running.operator.state()


def test_silent_and_stalled_peers_hold_up_nobody(keeper: RunningKeeper) -> None:
    keeper.unlock()
    silent = [keeper.raw(role) for role in KeeperRole for _ in range(3 * PLACES)]
    try:
        for sock in silent[::2]:
            sock.settimeout(0)
            try:
                sock.send(b"\x00")
            except OSError:
                continue  # it had to make room already
        assert keeper.read() == PIN
        assert not keeper.operator.state().locked
        for sock in silent:
            sock.settimeout(START_SECONDS)
            try:
                assert sock.recv(1) == b""
            except ConnectionResetError:
                continue
    finally:
        for sock in silent:
            sock.close()


def test_a_peer_that_does_not_take_its_answer_holds_up_nobody(keeper: RunningKeeper) -> None:
    keeper.unlock()
    with keeper.raw(KeeperRole.CUSTODIAN) as sock:
        sock.sendall(LENGTH.pack(1) + bytes((KeeperOperation.READ,)))
        assert keeper.read() == PIN


# --- what shows, and what does not ---


@looks_into_processes
def test_its_memory_is_locked_and_leaves_no_core(keeper: RunningKeeper) -> None:
    process = Path("/proc") / str(keeper.pid)
    status = dict(line.split(":", 1) for line in (process / "status").read_text().splitlines())
    assert int(status["VmLck"].split()[0]) >= 4
    (core,) = [line for line in (process / "limits").read_text().splitlines() if line.startswith("Max core file size")]
    assert core.split()[4:6] == ["0", "0"]
    flags = [line for line in (process / "smaps").read_text().splitlines() if line.startswith("VmFlags")]
    assert any({"lo", "dd"} <= set(line.split()) for line in flags)


def test_no_other_process_of_its_user_can_read_its_memory(tmp_path: Path) -> None:
    keeper = made(tmp_path)
    keeper.prefix = POWERLESS
    keeper.start()
    try:
        with subprocess.Popen([*POWERLESS, "sleep", "60"]) as ordinary:
            try:
                end = time.monotonic() + 20
                while not readable(ordinary.pid):  # it begins with root's rights
                    assert time.monotonic() < end, "nobody can be read here"
                assert not readable(keeper.pid)
            finally:
                ordinary.kill()
    finally:
        keeper.stop()


def readable(pid: int) -> bool:
    """Whether a process of this user, without root's rights, may look into another one (ptrace(2))."""
    return not subprocess.run(
        [*POWERLESS, "cat", f"/proc/{pid}/maps"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
    ).returncode


@looks_into_processes
def test_neither_pin_nor_share_is_in_its_log_command_line_or_environment(keeper: RunningKeeper) -> None:
    keeper.unlock("9182736455463728")
    keeper.operator.add_share(keeper.shares[0])
    wrong = keeper.shares[1].octets()
    wrong[20] ^= 1
    with pytest.raises(ShareWrong):
        keeper.operator.add_share(Share(wrong))
    process = Path("/proc") / str(keeper.pid)
    seen = keeper.log.read_bytes() + (process / "cmdline").read_bytes() + (process / "environ").read_bytes()
    assert b"share 2" in seen
    assert b"9182736455463728" not in seen
    for share in keeper.shares:
        assert share.value().hex().encode() not in seen
        assert not any(group.encode() in seen for group in share.text().split("-"))


# --- settings ---


def test_settings_read_back(tmp_path: Path) -> None:
    written = made(tmp_path).settings
    for each in (written, replace(written, share_set=None)):
        (tmp_path / "keeper.json").write_bytes(keeper_settings_json(each))
        assert load_keeper_settings(tmp_path / "keeper.json") == each


@pytest.mark.parametrize(
    "change",
    [
        {"sockets": 1},
        {"custodian_uids": []},
        {"operator_uids": [True]},
        {"operator_uids": [-1]},
        {"operator_uids": [1, 1]},
        {"share_set": None},
        {"pin": "1234"},
    ],
)
def test_settings_that_cannot_be_are_refused(tmp_path: Path, change: dict[str, object]) -> None:
    settings: dict[str, object] = {"sockets": "run", "custodian_uids": [1], "operator_uids": [1]}
    path = tmp_path / "keeper.json"
    path.write_bytes(compact_json(settings))
    assert load_keeper_settings(path).sockets == tmp_path / "run"
    path.write_bytes(compact_json(settings | change))
    with pytest.raises(ConfigurationInvalid):
        load_keeper_settings(path)


@pytest.mark.parametrize("content", [None, b"", b"[]", b"{", b'{"sockets":"run"}', b" " * 70_000])
def test_a_file_that_holds_no_settings_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "keeper.json").write_bytes(content)
    with pytest.raises(ConfigurationInvalid):
        load_keeper_settings(tmp_path / "keeper.json")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [([], ExitCode.USAGE), (["a", "b"], ExitCode.USAGE), (["none.json"], ExitCode.CONFIGURATION)],
)
def test_it_says_by_its_exit_code_why_it_does_not_serve(tmp_path: Path, arguments: list[str], code: ExitCode) -> None:
    ended = subprocess.run(
        module_command("hsm.keeper", *arguments),
        env=child_environment(),
        cwd=tmp_path,
        capture_output=True,
        check=False,
        timeout=START_SECONDS,
    )
    assert ended.returncode == code


def test_a_share_set_that_cannot_be_read_is_said_at_the_start(tmp_path: Path) -> None:
    keeper = made(tmp_path)
    (tmp_path / "shares.json").write_bytes(b"{}")
    with pytest.raises(AssertionError, match=r"shares\.json"):
        keeper.start()
