"""Peers that are slow, greedy or hostile: none of them ends the service or holds up another."""

import os
import select
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from hsm.client import CustodianClient
from hsm.custodian import server
from hsm.custodian.connection import STALL_SECONDS, Call, Connection
from hsm.custodian.protocol import (
    MAX_ANSWER_OCTETS,
    MAX_FRAME_OCTETS,
    Operation,
    decode_answer,
    encode_request,
    pack_items,
    unpack_items,
)
from hsm.custodian.server import MAX_CONNECTIONS
from hsm.custodian.service import CustodianService
from hsm.device.link import DeviceLink
from hsm.errors import ConfigurationInvalid, HsmUnavailable, PurposeRefused
from hsm.framing import FrameReader
from hsm.framing import frame as limited_frame
from hsm.listener import open_listener, peer_uid
from hsm.provider import KeyPurpose
from pki.errors import ErrorCode, ServiceError
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.support.patience import PATIENCE
from tests.support.softhsm import CustodianHome

SEAL = (SignatureAlgorithm.ES256, KeyPurpose.SEAL)

Dial = Callable[[], socket.socket]


def frame(payload: bytes) -> bytes:
    return limited_frame(payload, MAX_FRAME_OCTETS)


@pytest.fixture
def dial(custodian: CustodianHome) -> Iterator[Dial]:
    peers: list[socket.socket] = []

    def connect() -> socket.socket:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        peer.settimeout(PATIENCE)
        peers.append(peer)
        while True:
            try:
                peer.connect(str(custodian.socket_path()))
            except BlockingIOError:  # too many wait to be let in
                time.sleep(0.01)
            else:
                return peer

    yield connect
    for peer in peers:
        peer.close()


def _answers(peer: socket.socket, count: int = 1) -> list[bytes]:
    reader = FrameReader(MAX_ANSWER_OCTETS)
    found: list[bytes] = []
    while len(found) < count:
        data = peer.recv(1 << 20)
        if not data:
            break
        found += reader.feed(data)
    return found


def _still_serves(custodian: CustodianHome) -> None:
    key = custodian.client.signing_key(custodian.key(*SEAL))
    verify_signature(key.public_key(), key.sign(m.NOTE), m.NOTE)


@pytest.mark.real
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        pytest.param(frame(b""), ErrorCode.HSM_PROTOCOL, id="empty frame"),
        pytest.param(frame(b"\x01\x04"), ErrorCode.HSM_PROTOCOL, id="truncated header"),
        pytest.param(frame(b"\x02\x04\x00"), ErrorCode.HSM_PROTOCOL, id="unknown version"),
        pytest.param(frame(b"\x01\xff\x00"), ErrorCode.HSM_PROTOCOL, id="unknown operation"),
        pytest.param(frame(b"\x01\x04\xff"), ErrorCode.HSM_PROTOCOL, id="label longer than its frame"),
        pytest.param(frame(b"\x01\x04\x02\xff\xfe"), ErrorCode.HSM_PROTOCOL, id="label not ASCII"),
        pytest.param(
            (MAX_FRAME_OCTETS + 1).to_bytes(4, "big") + b"x", ErrorCode.HSM_PROTOCOL, id="frame beyond the limit"
        ),
        pytest.param(b"GET / HTTP/1.1\r\n\r\n", ErrorCode.HSM_PROTOCOL, id="HTTP"),
        pytest.param(encode_request(Operation.SIGN, ""), ErrorCode.HSM_KEY_NOT_FOUND, id="no label"),
        pytest.param(encode_request(Operation.GENERATE, "a", b"{"), ErrorCode.JSON_MALFORMED, id="wish not JSON"),
        pytest.param(encode_request(Operation.GENERATE, "a", b"{}"), ErrorCode.INPUT_MALFORMED, id="empty wish"),
        pytest.param(
            encode_request(Operation.GENERATE, "a", b'{"algorithm":["ES256"],"purpose":{}}'),
            ErrorCode.INPUT_MALFORMED,
            id="wish of wrong types",
        ),
    ],
)
def test_a_wrong_request_gets_a_code_and_the_next_peer_is_served(
    custodian: CustodianHome, dial: Dial, sent: bytes, code: ErrorCode
) -> None:
    peer = dial()
    peer.sendall(sent)
    with pytest.raises(ServiceError) as refused:
        decode_answer(_answers(peer)[0])
    assert refused.value.code is code
    if code is ErrorCode.HSM_PROTOCOL:
        assert peer.recv(1) == b""  # a stream that lost its frames is closed
    _still_serves(custodian)


@pytest.mark.real
@pytest.mark.parametrize("body", [b"\x00", b"\x00\x00\x00\x05abc", pack_items([b""] * 5000)], ids=["a", "b", "c"])
def test_a_batch_that_is_malformed_is_refused(custodian: CustodianHome, dial: Dial, body: bytes) -> None:
    peer = dial()
    peer.sendall(encode_request(Operation.SIGN_BATCH, custodian.key(*SEAL), body))
    with pytest.raises(ServiceError) as refused:
        decode_answer(_answers(peer)[0])
    assert refused.value.code is ErrorCode.HSM_PROTOCOL


@pytest.mark.real
def test_requests_that_arrive_together_are_answered_in_their_order(custodian: CustodianHome, dial: Dial) -> None:
    label = custodian.key(*SEAL)
    public_key = custodian.client.signing_key(label).public_key()
    notes = [f"note {number}\n".encode() for number in range(200)]
    peer = dial()
    peer.sendall(b"".join(encode_request(Operation.SIGN, label, note) for note in notes))
    for note, answer in zip(notes, _answers(peer, len(notes)), strict=True):
        verify_signature(public_key, decode_answer(answer), note)


@pytest.mark.real
def test_a_refusal_between_two_signatures_keeps_the_connection(custodian: CustodianHome, dial: Dial) -> None:
    label = custodian.key(*SEAL)
    peer = dial()
    peer.sendall(b"".join(encode_request(Operation.SIGN, label, message) for message in (m.NOTE, b"digest", m.NOTE)))
    first, second, third = _answers(peer, 3)
    assert decode_answer(first)
    with pytest.raises(PurposeRefused):
        decode_answer(second)
    assert decode_answer(third)


@pytest.mark.real
def test_a_request_that_arrives_octet_by_octet_is_answered_and_holds_up_nobody(
    custodian: CustodianHome, dial: Dial
) -> None:
    peer = dial()
    for octet in encode_request(Operation.SIGN, custodian.key(*SEAL), m.NOTE):
        peer.send(bytes((octet,)))
    _still_serves(custodian)
    assert decode_answer(_answers(peer)[0])


@pytest.mark.real
def test_a_thousand_hostile_connections_hold_up_nobody(custodian: CustodianHome, dial: Dial) -> None:
    _still_serves(custodian)
    for number in range(1000):
        peer = dial()
        hostile = (b"", b"\x00\x00", b"\x03\xff\xff\xff" + bytes(1000), os.urandom(64))[number % 4]
        try:
            peer.send(hostile)
        except OSError:
            continue  # closed already, to make room
    for _ in range(20):
        _still_serves(custodian)  # within a client's deadline


@pytest.mark.real
def test_a_new_peer_takes_the_place_of_the_one_that_never_asked(custodian: CustodianHome, dial: Dial) -> None:
    custodian.client.close()
    asked = dial()
    asked.sendall(encode_request(Operation.KEYS))
    _answers(asked)
    silent = [dial() for _ in range(MAX_CONNECTIONS)]
    assert silent[0].recv(1) == b""  # the first of the silent had to go
    asked.sendall(encode_request(Operation.KEYS))
    assert decode_answer(_answers(asked)[0])


@pytest.mark.real
def test_a_long_batch_does_not_hold_up_a_single_signature(custodian: CustodianHome, dial: Dial) -> None:
    rsa_label = custodian.key(SignatureAlgorithm.RS256, KeyPurpose.SEAL)
    _still_serves(custodian)

    def overtakes() -> bool:
        peer = dial()
        peer.sendall(encode_request(Operation.SIGN_BATCH, rsa_label, pack_items([m.NOTE] * 150)))
        _still_serves(custodian)
        first = not select.select([peer], [], [], 0)[0]
        assert len(unpack_items(decode_answer(_answers(peer)[0]))) == 150
        return first

    assert any(overtakes() for _ in range(5)), "a single signature comes after the batch, and not by chance"


@pytest.mark.real
def test_a_peer_that_does_not_take_its_answers_holds_up_nobody(custodian: CustodianHome, dial: Dial) -> None:
    label = custodian.key(*SEAL)
    peer = dial()
    peer.settimeout(0)
    request = encode_request(Operation.SIGN, label, m.NOTE) * 100
    deadline = time.monotonic() + 0.5
    while time.monotonic() < deadline:
        try:
            peer.send(request)
        except BlockingIOError:
            break
    _still_serves(custodian)


@pytest.mark.real
def test_a_peer_that_leaves_in_the_middle_of_its_work_holds_up_nobody(custodian: CustodianHome, dial: Dial) -> None:
    for _ in range(5):
        peer = dial()
        peer.sendall(encode_request(Operation.SIGN_BATCH, custodian.key(*SEAL), pack_items([m.NOTE] * 500)))
        peer.close()
    _still_serves(custodian)


class StoppedTime:
    """A clock that runs when told."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class SilentService(CustodianService):
    """A service that is never asked anything."""

    def __init__(self) -> None:
        """Have no device and no journal."""

    def begin_turn(self) -> None:
        """Have nothing to begin."""

    def hand_out(self) -> None:
        """Have nothing to give."""

    def settled(self) -> tuple[Call, ...]:
        """Have nothing to give out."""
        return ()

    def end_turn(self) -> None:
        """Have nothing to end."""

    journal_descriptor = None

    def admit(self, connection: Connection) -> None:
        """Let everybody in."""


class NoDevice(DeviceLink):
    """A link that is never asked anything."""

    def __init__(self) -> None:
        """Have no process."""

    fatal = None
    socket = None
    wants_writing = False

    def tick(self) -> float:
        """Have nothing to do."""
        return 1.0


@pytest.fixture
def idle_server(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[Path, StoppedTime]]:
    """Run a server of our own in a thread, whose time stands still."""
    monkeypatch.setattr(server, "SWEEP_SECONDS", 0.01)
    folder = Path(tempfile.mkdtemp(prefix="mohr-"))
    clock, (wakeup, waker) = StoppedTime(), socket.socketpair()
    service = SilentService()
    running = server.CustodianServer({"server": open_listener(folder / "s")}, service, NoDevice(), clock)
    running.stop_on(wakeup)
    thread = threading.Thread(target=running.serve)
    thread.start()
    yield folder / "s", clock
    waker.send(b"x")
    thread.join(PATIENCE)
    running.close()
    wakeup.close()
    waker.close()
    shutil.rmtree(folder)


def test_a_peer_that_stalls_in_the_middle_of_a_frame_is_closed_and_one_that_is_idle_is_not(
    idle_server: tuple[Path, StoppedTime],
) -> None:
    path, clock = idle_server
    with socket.socket(socket.AF_UNIX) as stalled, socket.socket(socket.AF_UNIX) as idle:
        for peer in (stalled, idle):
            peer.settimeout(PATIENCE)
            peer.connect(str(path))
        stalled.send(b"\x00\x00\x00\x09half")
        stalled.settimeout(0.1)
        with pytest.raises(TimeoutError):
            stalled.recv(1)
        clock.seconds += STALL_SECONDS + 1
        stalled.settimeout(PATIENCE)
        assert stalled.recv(1) == b""
        idle.settimeout(0.1)
        with pytest.raises(TimeoutError):
            idle.recv(1)


def test_a_folder_that_others_may_enter_is_not_listened_in(tmp_path: Path) -> None:
    (tmp_path / "run").mkdir(mode=0o755)
    with pytest.raises(ConfigurationInvalid):
        open_listener(tmp_path / "run" / "s")


def test_a_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    (tmp_path / "s").write_text("precious")
    with pytest.raises(ConfigurationInvalid):
        open_listener(tmp_path / "s")
    assert (tmp_path / "s").read_text() == "precious"


def test_a_living_socket_is_not_taken_over_and_a_dead_one_is(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    with open_listener(tmp_path / "s"), pytest.raises(ConfigurationInvalid):
        open_listener(tmp_path / "s")
    open_listener(tmp_path / "s").close()


def test_a_socket_may_lie_deeper_than_the_kernel_can_name(tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30) / "run"
    client = CustodianClient(folder / "s", timeout=timedelta(milliseconds=100))
    with pytest.raises(HsmUnavailable, match="reached"):
        client.keys()
    with open_listener(folder / "s"):
        assert (folder / "s").is_socket()
        with pytest.raises(HsmUnavailable, match="in time"):
            client.keys()
        with pytest.raises(ConfigurationInvalid, match="another custodian"):
            open_listener(folder / "s")


def test_the_kernel_says_who_the_peer_is() -> None:
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        assert peer_uid(ours) == os.getuid()
