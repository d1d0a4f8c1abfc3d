"""When a use is written down: as the device is asked, and not before its key was proved."""

import socket
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import pytest

from hsm.custodian.connection import Call, Connection
from hsm.custodian.key_records import KeyRecord
from hsm.custodian.limits import KeyLimits
from hsm.custodian.signing import PROBE, HeldKey, SigningJob, SigningQueue
from hsm.device.calls import DeviceAnswer, Done
from hsm.device.link import DeviceLink
from hsm.errors import DeviceLost, HsmUnavailable, KeyMismatch
from hsm.provider import KeyInfo, KeyPurpose, spki_of
from hsm.soft import UnsafeSoftKey
from pki.errors import ServiceError
from pki.keys import SignatureAlgorithm, verify_signature

EDDSA = SignatureAlgorithm.EDDSA  # what the device takes and gives for it is the message and the signature
NOW = datetime(2026, 11, 22, 9, tzinfo=UTC)
MESSAGE = b"message"


class SoftLink(DeviceLink):
    """A device in memory that answers when told, and does not when it is lost."""

    def __init__(self, key: UnsafeSoftKey, shown: UnsafeSoftKey | None = None) -> None:
        """Have `key`, and show another public key if there is one."""
        self.key, self.shown = key, shown or key
        self.available, self.generation, self.reason = True, 1, ""
        self.lost = False
        self.asked: list[bytes] = []
        self.owed: list[tuple[Done, DeviceAnswer]] = []

    def public_key(self, reference: bytes, algorithm: SignatureAlgorithm, done: Done) -> None:
        """Show the public key."""
        assert (reference, algorithm) == (b"\x01", EDDSA)
        self.owed.append((done, DeviceAnswer(spki_of(self.shown.public_key()), None)))

    def sign(self, reference: bytes, algorithm: SignatureAlgorithm, inputs: Sequence[bytes], done: Done) -> None:
        """Sign, unless the device is lost."""
        assert (reference, algorithm) == (b"\x01", EDDSA)
        self.asked += inputs
        answer = DeviceAnswer(None, DeviceLost("gone"))
        if not self.lost:
            answer = DeviceAnswer([self.key.sign(item) for item in inputs], None)
        self.owed.append((done, answer))

    def answer(self) -> None:
        """Give every answer that is owed, and those to what is asked meanwhile."""
        while self.owed:
            done, answer = self.owed.pop(0)
            done(answer)


class Bench:
    """A queue before one key, and what came of its jobs."""

    def __init__(self, link: SoftLink, connection: Connection, recorded: UnsafeSoftKey) -> None:
        self.link, self.connection = link, connection
        info = KeyInfo(label="seal", algorithm=EDDSA, purpose=KeyPurpose.SEAL, id="01", created=NOW)
        self.held = HeldKey(KeyRecord(info=info, spki_der=spki_of(recorded.public_key())), None, KeyLimits())
        self.queue = SigningQueue(link, self.enter, self.done)
        self.entered: list[Call] = []
        self.refusal: HsmUnavailable | None = None
        self.signed: list[bytes] = []
        self.errors: list[ServiceError] = []

    def enter(self, call: Call) -> None:
        if self.refusal is not None:
            raise self.refusal
        self.entered.append(call)

    def submit(self, count: int = 1) -> Call:
        """Have so many messages signed for one call."""
        call = Call(self.connection)
        self.queue.submit(SigningJob(call, self.held, [MESSAGE] * count, many=count > 1))
        return call

    def done(self, job: SigningJob) -> None:
        if job.error is not None:
            self.errors.append(job.error)
        else:
            self.signed += job.results

    def run(self) -> None:
        """Let the device answer, and hand out, until nothing is left to do."""
        while self.link.owed:
            self.link.answer()
            self.queue.hand_out()

    @property
    def used(self) -> int:
        """How many messages, other than probes, the device was asked to sign."""
        return self.link.asked.count(MESSAGE)


@pytest.fixture(scope="module")
def keys() -> tuple[UnsafeSoftKey, UnsafeSoftKey]:
    return UnsafeSoftKey.generate(EDDSA), UnsafeSoftKey.generate(EDDSA)


@pytest.fixture
def connection() -> Iterator[Connection]:
    with socket.socket(socket.AF_UNIX) as sock:
        yield Connection(sock, "worker", 1, 998, 0.0)


@pytest.fixture
def bench(keys: tuple[UnsafeSoftKey, UnsafeSoftKey], connection: Connection) -> Bench:
    return Bench(SoftLink(keys[0]), connection, keys[0])


@pytest.fixture
def proved(bench: Bench) -> Bench:
    """A queue whose key was proved."""
    bench.submit()
    bench.link.answer()
    bench.entered.clear()
    bench.link.asked.clear()
    bench.signed.clear()
    return bench


def test_a_use_is_entered_when_the_device_is_asked_and_not_before_the_key_is_proved(bench: Bench) -> None:
    call = bench.submit()
    assert (bench.entered, bench.used) == ([], 0)
    bench.link.answer()
    assert (bench.entered, bench.used, bench.errors) == ([call], 1, [])
    verify_signature(bench.link.key.public_key(), bench.signed[0], MESSAGE, EDDSA)


def test_a_use_whose_device_fails_is_entered_and_its_job_told(proved: Bench) -> None:
    proved.link.lost = True
    calls = [proved.submit() for _ in range(2)]
    assert proved.entered == calls  # the device may have signed
    proved.link.answer()
    assert (proved.entered, proved.signed) == (calls, [])
    assert all(isinstance(error, DeviceLost) for error in proved.errors)
    assert len(proved.errors) == 2


def test_a_long_job_is_entered_once(proved: Bench) -> None:
    count = proved.held.piece * 5 + 1
    call = proved.submit(count)
    proved.run()
    assert (proved.entered, proved.used, len(proved.signed)) == ([call], count, count)


def test_a_long_job_that_the_device_loses_in_the_middle_is_entered_and_told_once(proved: Bench) -> None:
    call = proved.submit(proved.held.piece * 5)
    proved.link.lost = True
    proved.run()
    assert (proved.entered, proved.signed, len(proved.errors)) == ([call], [], 1)


def test_a_device_that_was_opened_again_proves_its_key_again_and_no_use_is_entered_twice(proved: Bench) -> None:
    call = proved.submit(proved.held.piece * 5)
    proved.link.generation += 1
    proved.run()
    assert (proved.entered, proved.errors, len(proved.signed)) == ([call], [], proved.held.piece * 5)
    assert proved.link.asked.count(PROBE) == 1


def test_a_key_that_the_device_does_not_show_is_never_used(
    keys: tuple[UnsafeSoftKey, UnsafeSoftKey], connection: Connection
) -> None:
    own, other = keys
    for link in (SoftLink(other), SoftLink(other, shown=own)):  # another key, or another behind the one it shows
        bench = Bench(link, connection, own)
        for _ in range(2):
            bench.submit()
        link.answer()
        assert (bench.entered, bench.used, bench.signed) == ([], 0, [])
        assert len(bench.errors) == 2
        assert all(isinstance(error, KeyMismatch) for error in bench.errors)


def test_a_key_whose_proof_the_device_fails_at_is_not_used(bench: Bench) -> None:
    bench.link.lost = True
    bench.submit()
    bench.link.answer()
    assert (bench.entered, bench.used, len(bench.errors)) == ([], 0, 1)


def test_a_use_that_cannot_be_written_down_does_not_reach_the_device(proved: Bench) -> None:
    proved.refusal = HsmUnavailable("the clock ran back")
    proved.submit()
    proved.submit(3)
    assert (proved.link.owed, proved.used) == ([], 0)
    assert proved.errors == [proved.refusal] * 2


def test_a_job_that_waits_while_the_device_goes_away_is_told_and_not_entered(proved: Bench) -> None:
    under_way = [proved.submit() for _ in range(3)]
    waits = proved.submit()
    assert waits not in proved.entered
    proved.link.available = False
    proved.link.answer()
    proved.queue.hand_out()
    assert (proved.entered, len(proved.signed), len(proved.errors)) == (under_way, 3, 1)
    with pytest.raises(HsmUnavailable, match="away"):
        proved.submit()


def test_a_job_of_a_key_whose_record_changed_is_not_entered(proved: Bench) -> None:
    proved.held.stale = True
    proved.submit()
    assert (proved.entered, proved.used, len(proved.errors)) == ([], 0, 1)
