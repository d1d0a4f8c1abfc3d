"""Bodies beside their frames: anything but one sealed memory file for one request that takes it is refused."""

import fcntl
import mmap
import os
import time
from pathlib import Path

import pytest

from hsm.custodian.protocol import Operation, encode_request, encode_sealed_request, pack_items
from hsm.errors import KeyNotFound, ProtocolViolation, PurposeRefused
from hsm.sealed_memory import SealedMemory
from pki.errors import ErrorCode
from pki.keys import verify_signature
from tests.hsm import messages as m
from tests.hsm.wrong_requests.conftest import Dial
from tests.hsm.wrong_requests.judged import CA, SEAL, Judged
from tests.hsm.wrong_requests.memory_files import WRONG, memory
from tests.support.capabilities import looks_into_processes
from tests.support.patience import PATIENCE

pytestmark = pytest.mark.real

SIGN = encode_sealed_request(Operation.SIGN, SEAL)
MOST_AT_REST = 40  # as soon as the connections of a siege before this were noticed to be gone


def descriptors_of(judged: Judged) -> int:
    return len(list(Path(f"/proc/{judged.home.process.pid}/fd").iterdir()))


def await_descriptors(judged: Judged, count: int) -> None:
    """See that no more than `count` descriptors are open as soon as the closed connections were noticed."""
    end = time.monotonic() + PATIENCE
    while (found := descriptors_of(judged)) > count:
        assert time.monotonic() < end, f"{found} descriptors are open, of {count} before"
        time.sleep(0.02)


def test_a_sealed_memory_file_is_signed(judged: Judged, dial: Dial) -> None:
    peer = dial(judged)
    with memory() as descriptor:
        peer.send(SIGN, [descriptor])
        verify_signature(judged.home.client.signing_key(SEAL).public_key(), peer.answer(), m.NOTE)


@pytest.mark.parametrize("operation", [Operation.SIGN, Operation.SIGN_BATCH, Operation.SIGN_DIGESTS])
@pytest.mark.parametrize("kind", WRONG)
def test_no_other_descriptor_is_read(judged: Judged, dial: Dial, kind: str, operation: Operation) -> None:
    act = "digest" if operation is Operation.SIGN_DIGESTS else "sign"
    peer = dial(judged)
    with WRONG[kind]() as descriptor, judged.refusing(ErrorCode.HSM_PROTOCOL, act=act, key=SEAL):
        peer.send(encode_sealed_request(operation, SEAL), [descriptor])
        peer.answer()
    assert peer.closed()


def test_a_request_whose_descriptor_never_came_is_refused(judged: Judged, dial: Dial) -> None:
    peer = dial(judged)
    with judged.refusing(ErrorCode.HSM_PROTOCOL, act="sign", key=SEAL):
        peer.send(SIGN)
        peer.answer()


def test_a_second_descriptor_for_one_request_is_refused(judged: Judged, dial: Dial) -> None:
    peer = dial(judged)
    with memory() as one, memory() as other, judged.refusing(ErrorCode.HSM_PROTOCOL, act="frame"):
        peer.send(SIGN, [one, other])
        peer.answer()
    assert peer.closed()


@looks_into_processes
@pytest.mark.parametrize("count", [5, 8, 9, 100])
def test_many_descriptors_are_refused_and_closed(judged: Judged, dial: Dial, count: int) -> None:
    peer = dial(judged)
    before = descriptors_of(judged)
    with memory() as descriptor, judged.refusing(ErrorCode.HSM_PROTOCOL, act="frame"):
        peer.send(SIGN, [descriptor] * count)
        peer.answer()
    await_descriptors(judged, before)


@pytest.mark.parametrize(
    "request_",
    [
        pytest.param(encode_request(Operation.KEYS), id="keys"),
        pytest.param(encode_request(Operation.SIGN, SEAL, m.NOTE), id="body in its frame"),
    ],
)
def test_a_descriptor_that_no_request_takes_is_refused(judged: Judged, dial: Dial, request_: bytes) -> None:
    peer = dial(judged)
    with memory() as descriptor, judged.refusing(ErrorCode.HSM_PROTOCOL, act="frame"):
        peer.send(request_, [descriptor])
        peer.answer()
    assert peer.closed()


@pytest.mark.parametrize("operation", [Operation.KEYS, Operation.GENERATE, Operation.SET_ISSUER, Operation.JOURNAL])
def test_an_operation_that_takes_no_memory_file_refuses_one(judged: Judged, dial: Dial, operation: Operation) -> None:
    peer = dial(judged)
    acts = {Operation.KEYS: "keys", Operation.GENERATE: "generate", Operation.SET_ISSUER: "bind"}
    act = acts.get(operation, "journal")
    with memory(m.ISSUER) as descriptor, judged.refusing(ErrorCode.HSM_PROTOCOL, act=act, key=SEAL):
        peer.send(encode_sealed_request(operation, SEAL), [descriptor])
        peer.answer()
    assert peer.closed()


def test_a_body_in_the_frame_and_beside_it_is_refused(judged: Judged, dial: Dial) -> None:
    peer = dial(judged)
    doubled = encode_sealed_request(Operation.SIGN, SEAL)[4:] + m.NOTE
    with memory() as descriptor, judged.refusing(ErrorCode.HSM_PROTOCOL, act="frame"):
        peer.send(len(doubled).to_bytes(4, "big") + doubled, [descriptor])
        peer.answer()


def test_what_a_refused_request_brought_is_never_signed_for_a_later_one(judged: Judged, dial: Dial) -> None:
    peer = dial(judged)
    first, second = b"the first\n", b"the second\n"
    with memory(first) as one, judged.refusing(ErrorCode.HSM_KEY_NOT_FOUND, act="sign", key="none"):
        peer.send(encode_sealed_request(Operation.SIGN, "none"), [one])
        peer.answer()
    with memory(second) as other:
        peer.send(SIGN, [other])
        verify_signature(judged.home.client.signing_key(SEAL).public_key(), peer.answer(), second)


def test_each_request_of_several_takes_its_own_memory_file(judged: Judged, dial: Dial) -> None:
    peer, public_key = dial(judged), judged.home.client.signing_key(SEAL).public_key()
    notes = [f"note {number}\n".encode() for number in range(12)]
    for note in notes:  # a sealed body, and one in its frame between two
        with memory(note) as descriptor:
            peer.send(SIGN, [descriptor])
        peer.send(encode_request(Operation.SIGN, SEAL, note))
    answers = peer.frames(2 * len(notes))
    for number, answer in enumerate(answers):
        verify_signature(public_key, answer[1:], notes[number // 2])


@pytest.mark.parametrize(
    ("content", "act"),
    [(m.SHA256_OF_NOTHING, "sign"), (m.NOTE, "sign"), (m.tbs_cert_list(issuer=m.name("Other CA")), "sign")],
)
def test_the_message_in_a_memory_file_is_read_like_any_other(
    judged: Judged, dial: Dial, content: bytes, act: str
) -> None:
    peer = dial(judged)
    with memory(content) as descriptor, judged.refusing(ErrorCode.HSM_PURPOSE_REFUSED, act=act, key=CA):
        peer.send(encode_sealed_request(Operation.SIGN, CA), [descriptor])
        peer.answer()


@looks_into_processes
def test_no_descriptor_stays_open(besieged: Judged, dial: Dial) -> None:
    await_descriptors(besieged, MOST_AT_REST)
    peer = dial(besieged)
    peer.send(encode_request(Operation.KEYS))
    peer.answer()
    before = descriptors_of(besieged)
    for number in range(100):
        with memory(m.NOTE if number % 2 else m.SHA256_OF_NOTHING) as descriptor:
            peer.send(encode_sealed_request(Operation.SIGN, (SEAL, "none", CA)[number % 3]), [descriptor])
            try:
                peer.answer()
            except (PurposeRefused, KeyNotFound):
                continue
    await_descriptors(besieged, before)
    for kind in WRONG:
        wrong = dial(besieged)
        with WRONG[kind]() as descriptor:
            wrong.send(SIGN, [descriptor])
            with pytest.raises(ProtocolViolation):
                wrong.answer()
        wrong.close()
    for _ in range(20):  # gone before anybody looked
        leaving = dial(besieged)
        with memory(octets=1 << 20) as descriptor:
            leaving.send(SIGN * 3, [descriptor] * 3)
        leaving.close()
    await_descriptors(besieged, before)


def test_what_was_sealed_can_neither_be_changed_nor_shortened_nor_unsealed() -> None:
    with memory(b"what was read\n") as descriptor, SealedMemory(os.dup(descriptor)) as seen:
        for attack in (
            lambda: os.ftruncate(descriptor, 3),
            lambda: os.ftruncate(descriptor, 1 << 20),
            lambda: os.pwrite(descriptor, b"X", 0),
            lambda: mmap.mmap(descriptor, 0),
            lambda: fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, 0),
            lambda: os.open(f"/proc/self/fd/{descriptor}", os.O_RDWR | os.O_TRUNC),
        ):
            with pytest.raises(OSError, match=r"not permitted|denied"):
                attack()
        assert seen[:] == b"what was read\n"


def test_a_memory_file_that_somebody_can_still_write_through_a_map_cannot_be_sealed() -> None:
    descriptor = os.memfd_create("body", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        os.write(descriptor, m.NOTE)
        with mmap.mmap(descriptor, 0) as written:
            with pytest.raises(OSError, match="busy"):
                fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, fcntl.F_SEAL_WRITE)
            written[0:1] = b"X"
            with pytest.raises(ProtocolViolation), SealedMemory(os.dup(descriptor)):
                pass
    finally:
        os.close(descriptor)


@pytest.mark.parametrize("items", [b"\x00", pack_items([m.NOTE])[:-1], pack_items([b""] * 4097)])
def test_a_malformed_batch_in_a_memory_file_is_refused(judged: Judged, dial: Dial, items: bytes) -> None:
    peer = dial(judged)
    with memory(items) as descriptor, judged.refusing(ErrorCode.HSM_PROTOCOL, act="sign", key=SEAL):
        peer.send(encode_sealed_request(Operation.SIGN_BATCH, SEAL), [descriptor])
        peer.answer()


@pytest.mark.parametrize(
    ("operation", "act", "octets"),
    [
        (Operation.SIGN_DIGESTS, "digest", 2 * 1024 * 1024 + 1),
        (Operation.SIGN_CONTENT, "timestamp", 2 * 1024 * 1024 + 1),
        (Operation.SIGN_BATCH, "sign", 64 * 1024 * 1024 + 1),
    ],
)
def test_what_is_read_in_one_piece_is_not_read_when_it_is_large(
    judged: Judged, dial: Dial, operation: Operation, act: str, octets: int
) -> None:
    peer = dial(judged)
    with memory(octets=octets) as descriptor, judged.refusing(ErrorCode.HSM_PROTOCOL, act=act, key=SEAL):
        peer.send(encode_sealed_request(operation, SEAL), [descriptor])
        peer.answer()
