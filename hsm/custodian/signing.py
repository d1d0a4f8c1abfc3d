"""Keys at work: what was judged goes to the device in fair turns, and what it signed goes into the journal.

A key is proved before its first signature of each opening of the device: the device must show the recorded
public key, and a signature over a probe must verify with it. A handle that was reused, or a key replaced in the
token, therefore never signs.

Work is handed to the device in pieces, one connection after the other, and only as much of it as the device
does in a few milliseconds: a single signature waits for a piece of each other peer, never for a whole batch.
"""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from hsm.custodian.connection import Call, Connection
from hsm.custodian.key_records import KeyRecord
from hsm.custodian.limits import KeyLimits
from hsm.custodian.policy import Grant
from hsm.custodian.purposes import SigningRule
from hsm.device.calls import DeviceAnswer
from hsm.device.contract import device_input
from hsm.device.link import DeviceLink
from hsm.errors import DeviceLost, HsmUnavailable, KeyMismatch
from pki.errors import ServiceError, VerificationFailed
from pki.keys import SignatureAlgorithm, hash_of, verify_signature, x509_signature
from pki.signatures import load_public_key

# What a signature costs the device, in about 60 µs of a software token; real devices keep the proportions.
_WEIGHTS: Final = {
    SignatureAlgorithm.ES256: 1,
    SignatureAlgorithm.EDDSA: 3,
    SignatureAlgorithm.ES384: 12,
    SignatureAlgorithm.RS256: 40,
    SignatureAlgorithm.PS256: 40,
}
PIECE_WEIGHT: Final = 48  # of one call to the device
MAX_UNDER_WAY: Final = 3  # calls: the device never waits for us, and what comes meanwhile gathers for the next

# Signed to prove a key and then forgotten; the NUL makes it no kind of message that anyone verifies.
PROBE: Final = b"\x00 mohr custodian probe"


class HeldKey:
    """A recorded key, its limits, and whether it was proved in this opening of the device."""

    __slots__ = (
        "algorithm",
        "digest_size",
        "grants",
        "hash_name",
        "label",
        "limits",
        "piece",
        "proved",
        "proving",
        "record",
        "reference",
        "rule",
        "stale",
    )

    def __init__(self, record: KeyRecord, issuer: KeyRecord | None, limits: KeyLimits) -> None:
        self.record, self.limits = record, limits
        self.label, self.algorithm = record.info.label, record.info.algorithm
        self.reference = bytes.fromhex(record.info.id)
        self.rule = SigningRule(
            purpose=record.info.purpose,
            algorithm=self.algorithm,
            spki_der=record.spki_der,
            issuer_der=record.issuer_der,
            issuer_spki_der=None if issuer is None else issuer.spki_der,
        )
        self.hash_name: str | None = None  # of what the device takes in place of a message
        if self.algorithm is not SignatureAlgorithm.EDDSA:
            self.hash_name = hash_of(self.algorithm).name
        self.stale = False  # another record took the place of this one
        self.piece = max(1, PIECE_WEIGHT // _WEIGHTS[self.algorithm])
        self.proved = 0  # the opening of the device in which it was
        self.proving: list[SigningJob] | None = None  # what waits for a proof under way
        self.grants: dict[tuple[str, str], Grant] = {}


class SigningJob:
    """What one request has signed, in its X.509 encoding; all or none. `many`: it asked for a batch."""

    __slots__ = ("call", "error", "given", "held", "inputs", "many", "results", "under_way")

    def __init__(self, call: Call, held: HeldKey, inputs: Sequence[bytes], *, many: bool) -> None:
        self.call, self.held, self.inputs, self.many = call, held, inputs, many
        self.given = self.under_way = 0
        self.results: list[bytes] = []
        self.error: ServiceError | None = None

    def fail(self, error: ServiceError) -> None:
        """Ask for no more of it; what is under way is for nobody."""
        if self.error is None:
            self.error = error
        self.given = len(self.inputs)


class SigningQueue:
    """Keep the device busy with everybody's work in turn."""

    def __init__(self, link: DeviceLink, enter: Callable[[Call], None], done: Callable[[SigningJob], None]) -> None:
        """`enter` writes the use down when the device is asked; HsmUnavailable from it keeps the device unasked.

        `done` is told of each job once it has its results, or its error.
        """
        self._link, self._enter, self._done = link, enter, done
        self._waiting: deque[Connection] = deque()
        self._under_way = 0

    def submit(self, job: SigningJob) -> None:
        """Have a job done; HsmUnavailable at once while the device is away."""
        if not self._link.available:
            raise self._away()
        self._enqueue(job)
        self.hand_out()

    def _away(self) -> HsmUnavailable:
        return HsmUnavailable(f"the device is away: {self._link.reason}")

    def _enqueue(self, job: SigningJob) -> None:
        connection = job.call.connection
        connection.jobs.append(job)
        if not connection.queued:
            connection.queued = True
            self._waiting.append(connection)

    def hand_out(self) -> None:
        """Hand out pieces while the device has room for more; single signatures with one key go together."""
        waiting = self._waiting
        together: list[SigningJob] = []
        while waiting and self._under_way < MAX_UNDER_WAY:
            connection = waiting.popleft()
            jobs = connection.jobs
            if jobs:
                if together and not _go_together(together, jobs[0]):
                    self._hand_out_singles(together)
                    together = []
                    waiting.appendleft(connection)  # the device may have enough to do now
                    continue
                job = jobs.popleft()
                if not self._is_ready(job):
                    pass
                elif len(job.inputs) == 1:
                    together.append(job)
                elif self._hand_out_piece(job):
                    jobs.appendleft(job)
            if jobs:
                waiting.append(connection)
            else:
                connection.queued = False
        if together:
            self._hand_out_singles(together)

    def _is_ready(self, job: SigningJob) -> bool:
        """Enter the use, or tell that the device may not be asked: the job ends then, or waits for its key's proof."""
        if job.error is not None:
            return False
        if job.held.stale:
            return self._give_up(job, HsmUnavailable("the key's record changed meanwhile"))
        if not self._link.available:
            return self._give_up(job, self._away())
        if job.held.proved != self._link.generation:
            self._await_proof(job)
            return False
        if not job.given:
            try:
                self._enter(job.call)
            except HsmUnavailable as error:
                return self._give_up(job, error)
        return True

    def _give_up(self, job: SigningJob, error: HsmUnavailable) -> bool:
        job.fail(error)
        if not job.under_way:
            self._done(job)
        return False

    def _hand_out_singles(self, jobs: list[SigningJob]) -> None:
        held = jobs[0].held
        self._under_way += 1
        inputs = [job.inputs[0] for job in jobs]
        self._link.sign(held.reference, held.algorithm, inputs, partial(self._singles_done, jobs))

    def _singles_done(self, jobs: list[SigningJob], answer: DeviceAnswer) -> None:
        self._under_way -= 1
        error = answer.error
        if error is None:
            try:
                signatures = encode_signatures(jobs[0].held.algorithm, answer.value, len(jobs))
            except DeviceLost as lost:
                error = lost
            else:
                for job, signature in zip(jobs, signatures, strict=True):
                    job.results.append(signature)
        for job in jobs:
            job.error = error
            self._done(job)

    def _hand_out_piece(self, job: SigningJob) -> bool:
        """Hand out the next piece of a job; tell whether there is more of it."""
        held, start = job.held, job.given
        inputs = job.inputs[start : start + held.piece]
        job.given = start + len(inputs)
        job.under_way += 1
        self._under_way += 1
        self._link.sign(held.reference, held.algorithm, inputs, partial(self._piece_done, job, len(inputs)))
        return job.given < len(job.inputs)

    def _piece_done(self, job: SigningJob, count: int, answer: DeviceAnswer) -> None:
        """Take what the device made of a piece; pieces of a job come back in their order."""
        self._under_way -= 1
        job.under_way -= 1
        if answer.error is not None:
            job.fail(answer.error)
        elif job.error is None:
            try:
                job.results += encode_signatures(job.held.algorithm, answer.value, count)
            except DeviceLost as error:
                job.fail(error)
        if not job.under_way and job.given == len(job.inputs):
            self._done(job)

    # --- proof ---

    def _await_proof(self, job: SigningJob) -> None:
        held = job.held
        if held.proving is not None:
            held.proving.append(job)
            return
        held.proving = [job]
        generation = self._link.generation

        def proved(error: ServiceError | None) -> None:
            jobs, held.proving = held.proving or [], None
            if error is None:
                held.proved = generation
            for waiting in jobs:
                if error is None:
                    self._enqueue(waiting)
                else:
                    waiting.fail(error)
                    self._done(waiting)
            self.hand_out()

        prove(self._link, held.reference, held.algorithm, held.record.spki_der, proved)


def _go_together(jobs: Sequence[SigningJob], other: SigningJob) -> bool:
    held = jobs[0].held
    return other.held is held and len(other.inputs) == 1 and len(jobs) < held.piece


def encode_signatures(algorithm: SignatureAlgorithm, raw: Sequence[bytes], count: int) -> list[bytes]:
    """Give the device's raw signatures their X.509 encoding; DeviceLost when they are not what was asked for."""
    if len(raw) != count:
        raise DeviceLost("the device returned another number of signatures")
    try:
        return [x509_signature(algorithm, signature) for signature in raw]
    except VerificationFailed as error:
        raise DeviceLost("the device returned a signature of bad size") from error


def prove(
    link: DeviceLink,
    reference: bytes,
    algorithm: SignatureAlgorithm,
    spki_der: bytes | None,
    proved: Callable[[ServiceError | None], None],
) -> None:
    """See that the device shows the public key `spki_der` (any, for None) and signs with it."""
    shown = b""

    def took_public_key(answer: DeviceAnswer) -> None:
        nonlocal shown
        if answer.error is not None:
            proved(answer.error)
            return
        shown = answer.value
        if spki_der is not None and shown != spki_der:
            proved(KeyMismatch("the device shows another public key than the recorded one"))
            return
        link.sign(reference, algorithm, [device_input(algorithm, PROBE)], took_signature)

    def took_signature(answer: DeviceAnswer) -> None:
        if answer.error is not None:
            proved(answer.error)
            return
        try:
            (signature,) = encode_signatures(algorithm, answer.value, 1)
            verify_signature(load_public_key(shown), signature, PROBE, algorithm)
        except VerificationFailed:
            proved(KeyMismatch("the device signs with another key than the one it shows"))
        except ServiceError as error:
            proved(error)
        else:
            proved(None)

    link.public_key(reference, algorithm, took_public_key)
