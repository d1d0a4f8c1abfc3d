"""The client against custodians that answer, lie, hang and vanish."""

import os
import shutil
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from hsm.client import CustodianClient
from hsm.custodian.protocol import MAX_ANSWER_OCTETS, encode_error, encode_result, pack_items
from hsm.custodian_sockets import MAX_CONNECTIONS
from hsm.errors import HsmUnavailable, KeyMismatch, KeyNotFound, ProtocolViolation
from hsm.framing import frame as limited_frame
from hsm.provider import BindsIssuers, KeyProvider, KeyPurpose, SignsMany, spki_of
from hsm.sealed_memory import MAX_OCTETS
from hsm.soft import UnsafeSoftKey
from pki.keys import SignatureAlgorithm, verify_signature
from tests.hsm import messages as m
from tests.support.softhsm import CustodianHome

SEAL = (SignatureAlgorithm.ES256, KeyPurpose.SEAL)
SHORT = timedelta(milliseconds=200)


def frame(payload: bytes) -> bytes:
    return limited_frame(payload, MAX_ANSWER_OCTETS)


Behaviour = Callable[[socket.socket], None]


class ScriptedCustodian:
    """Listen on a real socket and treat every connection as the test says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.behave: Behaviour = lambda _peer: None
        self.connections = 0
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listener.bind(str(path))
        self._listener.listen(64)
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except OSError:
                return  # closed
            self.connections += 1
            with peer:
                self.behave(peer)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join(5)
        self._listener.close()
        self.path.unlink()


@pytest.fixture
def folder() -> Iterator[Path]:
    path = Path(tempfile.mkdtemp(prefix="mohr-"))
    yield path
    shutil.rmtree(path)


def _answering(*answers: bytes) -> Behaviour:
    def behave(peer: socket.socket) -> None:
        for answer in answers:
            if not peer.recv(1 << 20):
                return
            peer.sendall(answer)

    return behave


@pytest.fixture
def scripted(folder: Path) -> Iterator[ScriptedCustodian]:
    custodian = ScriptedCustodian(folder / "s")
    yield custodian
    custodian.close()


@pytest.fixture
def client(folder: Path) -> Iterator[CustodianClient]:
    client = CustodianClient(folder / "s", timeout=SHORT)
    yield client
    client.close()


@pytest.mark.real
def test_the_client_is_a_provider_with_every_capability(custodian: CustodianHome) -> None:
    provider: KeyProvider = custodian.client
    assert isinstance(provider, SignsMany)
    assert isinstance(provider, BindsIssuers)


def test_without_a_custodian_every_call_says_unavailable_and_health_says_down(client: CustodianClient) -> None:
    for call in (client.keys, lambda: client.sign("a", m.NOTE), lambda: client.generate("a", *SEAL)):
        with pytest.raises(HsmUnavailable):
            call()
    assert not client.health().ok


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(frame(b""), id="empty"),
        pytest.param(frame(b"\xffcode\ndetail"), id="unknown status"),
        pytest.param(frame(b"\x01no-such-code\n"), id="unknown code"),
        pytest.param(encode_result(b"one") + encode_result(b"two"), id="two answers"),
        pytest.param((MAX_ANSWER_OCTETS + 1).to_bytes(4, "big"), id="beyond the limit"),
        pytest.param(b"\x00\x00\x00\x09half", id="half an answer"),
    ],
)
def test_an_answer_that_breaks_the_protocol_is_no_fault_of_the_caller(
    scripted: ScriptedCustodian, client: CustodianClient, answer: bytes
) -> None:
    scripted.behave = _answering(answer)
    with pytest.raises(HsmUnavailable):
        client.sign("a", m.NOTE)
    assert not client.health().ok


def test_a_custodian_that_does_not_run_hides_nothing_that_the_other_says(
    scripted: ScriptedCustodian, folder: Path
) -> None:
    scripted.behave = _answering(encode_error(KeyMismatch("another key")))
    with closing(CustodianClient([scripted.path, folder / "nobody"], timeout=SHORT)) as client:
        for _ in range(2):  # whichever is asked first
            with pytest.raises(KeyMismatch):
                client.prove("a")


@pytest.mark.parametrize("answer", [b"{}", b"[]", b'{"keys":[{}]}', b'{"keys":[{"label":1}]}', b"\xff"])
def test_a_list_of_keys_that_cannot_be_read_is_unavailable(
    scripted: ScriptedCustodian, client: CustodianClient, answer: bytes
) -> None:
    scripted.behave = _answering(encode_result(answer))
    with pytest.raises(HsmUnavailable):
        client.keys()
    assert not client.health().ok


@pytest.mark.parametrize("answer", [b"", b"no key", pack_items([b"signature"])])
def test_a_public_key_or_batch_that_cannot_be_read_is_unavailable(
    scripted: ScriptedCustodian, client: CustodianClient, answer: bytes
) -> None:
    scripted.behave = _answering(encode_result(answer), encode_result(answer))
    with pytest.raises(HsmUnavailable):
        client.signing_key("a")
    with pytest.raises(HsmUnavailable):
        client.sign_many("a", [m.NOTE, m.NOTE])


def test_a_custodian_that_never_answers_costs_the_deadline_and_no_more(
    scripted: ScriptedCustodian, client: CustodianClient
) -> None:
    scripted.behave = _wait_for_end
    started = time.monotonic()
    with pytest.raises(HsmUnavailable, match="in time"):
        client.sign("a", m.NOTE)
    assert 0.15 < time.monotonic() - started < 20


def _wait_for_end(peer: socket.socket) -> None:
    while peer.recv(1 << 20):
        continue


def test_a_custodian_that_answers_by_the_octet_costs_the_deadline_and_no_more(
    scripted: ScriptedCustodian, client: CustodianClient
) -> None:
    def dribble(peer: socket.socket) -> None:
        peer.recv(1 << 20)
        for octet in (100).to_bytes(4, "big") + bytes(100):
            try:
                peer.send(bytes((octet,)))
            except OSError:
                return
            time.sleep(0.05)

    scripted.behave = dribble
    started = time.monotonic()
    with pytest.raises(HsmUnavailable, match="in time"):
        client.sign("a", m.NOTE)
    assert time.monotonic() - started < 4


def test_a_connection_that_went_stale_is_replaced_within_the_same_call(
    scripted: ScriptedCustodian, client: CustodianClient
) -> None:
    scripted.behave = _answering(encode_result(b"signature"))
    for _ in range(3):
        assert client.sign("a", m.NOTE) == b"signature"
    assert scripted.connections == 3


def test_a_key_generation_is_never_sent_twice(scripted: ScriptedCustodian, client: CustodianClient) -> None:
    seen: list[bytes] = []

    def vanish(peer: socket.socket) -> None:
        seen.append(peer.recv(1 << 20))

    scripted.behave = vanish
    with pytest.raises(HsmUnavailable):
        client.generate("a", *SEAL)
    assert len(seen) == 1


def test_a_public_key_is_asked_for_once(scripted: ScriptedCustodian, client: CustodianClient) -> None:
    spki = spki_of(UnsafeSoftKey.generate(SignatureAlgorithm.ES256).public_key())
    scripted.behave = _answering(encode_result(spki))
    first = client.signing_key("a")
    assert spki_of(client.signing_key("a").public_key()) == spki_of(first.public_key()) == spki
    assert scripted.connections == 1


def test_more_callers_than_places_wait_and_then_are_told(scripted: ScriptedCustodian, client: CustodianClient) -> None:
    scripted.behave = _wait_for_end

    def ask() -> str:
        try:
            client.sign("a", m.NOTE)
        except HsmUnavailable as error:
            return error.detail
        return "signed"

    started = time.monotonic()
    with ThreadPoolExecutor(MAX_CONNECTIONS + 4) as pool:
        told = [answer.result() for answer in [pool.submit(ask) for _ in range(MAX_CONNECTIONS + 4)]]
    assert time.monotonic() - started < 20
    assert "signed" not in told


def test_what_is_too_large_or_too_long_is_refused_before_it_is_sent(client: CustodianClient) -> None:
    with pytest.raises(ProtocolViolation):
        client.sign("a", bytes(MAX_OCTETS + 1))
    with pytest.raises(ProtocolViolation):
        client.sign_many("a", [b""] * 5000)
    with pytest.raises(KeyNotFound):
        client.sign("a" * 65, m.NOTE)


@pytest.mark.real
def test_threads_share_one_client_and_each_gets_its_own_signature(custodian: CustodianHome) -> None:
    key = custodian.client.signing_key(custodian.key(*SEAL))

    def sign(thread: int) -> None:
        for number in range(30):
            note = f"thread {thread} note {number}\n".encode()
            verify_signature(key.public_key(), key.sign(note), note)

    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(sign, thread) for thread in range(8)]:
            done.result()


@pytest.mark.real
def test_a_forked_child_uses_connections_of_its_own(custodian: CustodianHome) -> None:
    key = custodian.client.signing_key(custodian.key(*SEAL))
    key.sign(m.NOTE)
    child = os.fork()
    if child == 0:
        ended = 1
        try:
            for number in range(20):
                note = f"child {number}\n".encode()
                verify_signature(key.public_key(), key.sign(note), note)
            ended = 0
        finally:
            os._exit(ended)
    for number in range(20):
        note = f"parent {number}\n".encode()
        verify_signature(key.public_key(), key.sign(note), note)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_a_caller_waits_where_too_many_wait_to_be_let_in(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "s"))
        listener.listen(0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for peer in waiting:
            peer.settimeout(0)
            peer.connect_ex(str(folder / "s"))
        client = CustodianClient(folder / "s", timeout=SHORT)
        started = time.monotonic()
        with pytest.raises(HsmUnavailable, match="in time"):
            client.sign("a", m.NOTE)
        assert time.monotonic() - started > SHORT.total_seconds() / 2
        for peer in waiting:
            peer.close()
