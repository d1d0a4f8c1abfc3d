"""What the custodian does with a request: look up, read, judge, have signed. No sockets here.

Every request ends in one answer. What a key is used for, and what is refused, goes into the journal; a signature
leaves once its entry is durable (`hsm.custodian.gate`).
"""

import contextlib
import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from functools import partial
from hashlib import sha256
from typing import Final, TypeVar

from hsm.custodian.connection import Call, Connection, Work
from hsm.custodian.errands import Errands
from hsm.custodian.gate import ReleaseGate
from hsm.custodian.journal import Journal
from hsm.custodian.key_records import KeyRecords
from hsm.custodian.marks import Marks
from hsm.custodian.policy import Policy
from hsm.custodian.protocol import (
    MAX_FRAME_OCTETS,
    Octets,
    Operation,
    Request,
    decode_request,
    encode_error,
    encode_result,
    item_spans,
    pack_items,
    unpack_items,
)
from hsm.custodian.purposes import MessageRead, check_digest, check_message
from hsm.custodian.rates import Rates
from hsm.custodian.signing import HeldKey, SigningJob, SigningQueue
from hsm.custodian.steady_clock import SteadyClock
from hsm.device.contract import device_input
from hsm.device.link import DeviceLink
from hsm.errors import ConfigurationInvalid, HsmUnavailable, ProtocolViolation, PurposeRefused, RoleRefused
from hsm.sealed_memory import SealedMemory
from pki.errors import ErrorCode, InvalidInput, ServiceError
from pki.journal import DONE

MAX_BATCH_OCTETS: Final = 64 * 1024 * 1024
MAX_EDDSA_OCTETS: Final = 1024 * 1024  # such a message goes to the device as it is
HASH_STEP_OCTETS: Final = 1024 * 1024

_Items = TypeVar("_Items", bound=Sequence[object])

_log = logging.getLogger("hsm.custodian")


class CustodianService:
    """Answer requests with the keys of one device. Used by one thread only."""

    def __init__(
        self,
        *,
        link: DeviceLink,
        records: KeyRecords,
        policy: Policy,
        rates: Rates,
        marks: Marks,
        journal: Journal,
        clock: SteadyClock,
        monotonic: Callable[[], float],
    ) -> None:
        self._link, self._records, self._policy = link, records, policy
        self._rates, self._marks, self._journal, self._clock = rates, marks, journal, clock
        self._held: dict[str, HeldKey] = {}
        self._seen = records.version
        self._at: datetime | None = None
        self._looked = False  # at the records in this turn
        self._part = memoryview(bytearray(HASH_STEP_OCTETS))  # of what is being hashed, for all in turn
        self._gate = ReleaseGate(journal, self._now)
        self._queue = SigningQueue(link, partial(self._gate.enter, outcome=DONE), self._signed)
        self._errands = Errands(
            link,
            records,
            policy,
            journal,
            key=self._key,
            now=self._now,
            accept_clock=self._accept_clock,
            monotonic=monotonic,
        )
        self._handlers: dict[Operation, tuple[str, Callable[[Call, Request], Work | None]]] = {
            Operation.SIGN: ("sign", self._sign),
            Operation.SIGN_BATCH: ("sign", self._sign_batch),
            Operation.SIGN_DIGESTS: ("digest", self._sign_digests),
            Operation.SIGN_CONTENT: ("timestamp", self._sign_content),
        }

    # --- turns ---

    def begin_turn(self) -> None:
        """Forget what time it was and how the records were."""
        self._at, self._looked = None, False

    def hand_out(self) -> None:
        """Give the device what was judged in this turn."""
        self._queue.hand_out()

    def settled(self) -> Sequence[Call]:
        """Return the calls whose answers may leave now, once."""
        return self._gate.settled()

    def end_turn(self) -> None:
        """Have the journal made durable, on which answers wait."""
        self._gate.commit()

    @property
    def journal_descriptor(self) -> int | None:
        """What can be read when `take_commit` has something to do; None when it never has."""
        return self._journal.descriptor

    def take_commit(self) -> None:
        """See how the journal's way to the disk ended."""
        self._gate.commit_ended()

    def _now(self) -> datetime:
        if self._at is None:
            self._at = self._clock.now()
        return self._at

    def _accept_clock(self, read: datetime) -> datetime:
        self._at = self._clock.accept(read)
        self._marks.clock_was_accepted()
        return self._at

    # --- requests ---

    def admit(self, connection: Connection) -> None:
        """Refuse a user that may not use the socket it came through."""
        if connection.uid not in self._policy.role(connection.role).uids:
            call = Call(connection)
            call.act = "connect"
            error = RoleRefused(f"user {connection.uid} is not {connection.role} here")
            with contextlib.suppress(HsmUnavailable):  # a clock that cannot be trusted dates no entry
                self._gate.enter(call, error.code)
            raise error

    def begin(self, connection: Connection, payload: bytes) -> None:
        """Begin one request: it is answered, waits for the device, or has `work` left that `proceed` does."""
        call = Call(connection)
        connection.calls.append(call)
        try:
            request = decode_request(payload)
            call.label = request.label
            if request.sealed and connection.descriptors:
                call.descriptor = connection.descriptors.popleft()
            handler = self._handlers.get(request.operation)
            if handler is None:
                self._errands.begin(call, request, self._end_errand)
                return
            call.act = handler[0]
            work = handler[1](call, request)
            if work is not None:
                connection.work, connection.alone = work, True
        except Exception as error:  # noqa: BLE001 - the boundary that keeps one request from ending all keys' service
            if call.digest is None:
                call.digest = sha256(payload).digest()
            self._fail(call, error)

    def proceed(self, connection: Connection) -> None:
        """Do one more step of the work that the connection's last request has left."""
        work = connection.work
        if work is None:
            return
        try:
            next(work)
        except StopIteration:
            connection.work = None
        except Exception as error:  # noqa: BLE001 - as above
            connection.work = None
            self._fail(connection.calls[-1], error)

    def refuse(self, connection: Connection, error: ServiceError) -> None:
        """Answer octets that are no request, after which the connection ends."""
        call = Call(connection)
        call.act = "frame"
        connection.calls.append(call)
        self._fail(call, error)
        connection.closing = True

    def _fail(self, call: Call, error: Exception) -> None:
        """Answer with an error. Refusals are journalled; that the device is away, only of a use that was entered."""
        if not isinstance(error, ServiceError):
            _log.error("a request failed unexpectedly: %s", type(error).__name__)
            error = ServiceError(ErrorCode.INTERNAL)
        if isinstance(error, ConfigurationInvalid):  # a file of ours went bad: no fault of who asks
            error = HsmUnavailable(error.detail)
        call.close()
        if isinstance(error, ProtocolViolation):
            call.connection.closing = True
        if error.code is not ErrorCode.HSM_UNAVAILABLE or call.page is not None:
            with contextlib.suppress(HsmUnavailable):  # a clock that cannot be trusted dates no entry
                self._gate.enter(call, error.code)
        self._gate.give(call, encode_error(error), result=False)

    def _answer(self, call: Call, body: bytes, *, journalled: bool = True) -> None:
        """Give a result, which leaves once the entry of it is durable."""
        if journalled:
            try:
                self._gate.enter(call, DONE)
            except HsmUnavailable as error:
                self._fail(call, error)
                return
        self._gate.give(call, encode_result(body), result=True)

    def _end_errand(self, call: Call, body: bytes | None, error: Exception | None, *, journalled: bool) -> None:
        if error is not None:
            self._fail(call, error)
        elif body is not None:
            if journalled and call.digest is None:
                call.digest = sha256(body).digest()
            self._answer(call, body, journalled=journalled)

    # --- keys ---

    def _see_changed_records(self) -> None:
        """See what other custodians wrote; nothing is handed out any more that was judged under an older record."""
        self._looked = True
        self._records.refresh()
        if self._records.version != self._seen:
            self._seen = self._records.version
            for held in self._held.values():
                held.stale = True
            self._held.clear()

    def _key(self, label: str) -> HeldKey:
        """Return a key as its record was in this turn, whichever custodian wrote it."""
        if not self._looked:
            self._see_changed_records()
        held = self._held.get(label)
        if held is None:
            self._see_changed_records()  # it may have been written since
            record = self._records.get(label)
            held = self._held[label] = HeldKey(record, self._records.issuer_of(record), self._policy.limits(label))
        return held

    def _signing_key(self, call: Call) -> HeldKey:
        """Return the key that a request names; HsmUnavailable at once while the device is away."""
        if not self._link.available:
            raise HsmUnavailable(f"the device is away: {self._link.reason}")
        return self._key(call.label)

    # --- signing ---

    def _sign(self, call: Call, request: Request) -> Work | None:
        held = self._signing_key(call)
        if request.sealed:
            return self._sign_large(call, held)
        signed_input = self._judge_one(call, held, request.body, sha256(request.body).digest())
        self._submit(call, held, [signed_input])
        return None

    def _sign_content(self, call: Call, request: Request) -> Work | None:
        held = self._signing_key(call)
        items = unpack_items(self._body(call, request))
        if len(items) != 2:
            raise ProtocolViolation("attributes and content expected")
        attributes, content = items
        signed_input = self._judge_one(call, held, attributes, sha256(attributes).digest(), content)
        self._submit(call, held, [signed_input])
        return None

    def _judge_one(
        self, call: Call, held: HeldKey, message: bytes, digest: bytes, content: bytes | None = None
    ) -> bytes:
        """Read one message, ask the policy, and return what the device takes for it."""
        call.digest = digest
        read = self._read(call, held, message, content)
        self._permit(call, held, 1)
        self._marks.advance(held.label, read, held.limits, digest, self._now())
        return digest if held.hash_name == "sha256" else device_input(held.algorithm, message)

    def _sign_large(self, call: Call, held: HeldKey) -> Work:
        """Read, hash in steps and sign a message that came as a sealed memory file."""
        with SealedMemory(call.take_descriptor()) as message:
            if held.hash_name is None and len(message) > MAX_EDDSA_OCTETS:
                raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"an EdDSA key signs at most {MAX_EDDSA_OCTETS} octets")
            recorded = sha256()
            taken = recorded if held.hash_name in (None, "sha256") else hashlib.new(held.hash_name)
            for part in message.parts(self._part):
                for one in {recorded, taken}:
                    one.update(part)
                yield
            call.digest = recorded.digest()
            with message.mapped() as octets:
                read = self._read(call, held, octets)  # type: ignore[arg-type]  # a map is read as octets are
            signed_input = message[:] if held.hash_name is None else taken.digest()
        self._permit(call, held, 1)
        self._marks.advance(held.label, read, held.limits, call.digest, self._now())
        self._submit(call, held, [signed_input])

    def _sign_batch(self, call: Call, request: Request) -> Work:
        """Read the messages one after the other, of which none is held beyond its turn."""
        held = self._signing_key(call)
        inputs, digests, acts = [], [], set()
        reads: list[MessageRead] = []
        with self._batch(call, held, request) as body:
            spans = _some(item_spans(body))
            call.count = len(spans)
            for span in spans:
                message = body[span]
                digest = sha256(message).digest()
                call.digest = digest
                reads.append(self._read(call, held, message))
                acts.add(call.act)
                digests.append(digest)
                inputs.append(digest if held.hash_name == "sha256" else device_input(held.algorithm, message))
                del message
                yield
        if len(acts) > 1:
            raise PurposeRefused("a batch holds messages of one kind")
        call.digest = digests[0] if len(digests) == 1 else sha256(b"".join(digests)).digest()
        self._permit(call, held, len(inputs))
        for read, digest in zip(reads, digests, strict=True):
            self._marks.advance(held.label, read, held.limits, digest, self._now())
        self._submit(call, held, inputs, many=True)

    def _sign_digests(self, call: Call, request: Request) -> Work | None:
        held = self._signing_key(call)
        digests = _some(unpack_items(self._body(call, request)))
        for digest in digests:
            check_digest(held.rule, digest)
        if len(digests) == 1 and held.hash_name == "sha256":
            call.digest = digests[0]
        else:
            call.count = len(digests)
            call.digest = sha256(b"".join(digests)).digest()
        self._permit(call, held, len(digests))
        call.connection.alone = len(digests) > held.piece
        self._submit(call, held, digests, many=True)
        return None

    def _read(self, call: Call, held: HeldKey, message: bytes, content: bytes | None = None) -> MessageRead:
        read = check_message(held.rule, message, limits=held.limits, now=self._now(), content=content)
        call.act = read.kind.value
        return read

    def _permit(self, call: Call, held: HeldKey, count: int) -> None:
        """Ask the policy whether this role may do this with this key, and so often."""
        role = call.connection.role
        grant = held.grants.get((role, call.act))
        if grant is None:
            grant = held.grants[(role, call.act)] = self._policy.grant(role, held.label, call.act)
        self._rates.take(role, held.label, grant, count)

    def _submit(self, call: Call, held: HeldKey, inputs: Sequence[bytes], *, many: bool = False) -> None:
        self._queue.submit(SigningJob(call, held, inputs, many=many))

    def _signed(self, job: SigningJob) -> None:
        if job.error is not None:
            self._fail(job.call, job.error)
        else:
            body = pack_items(job.results) if job.many else job.results[0]
            self._gate.give(job.call, encode_result(body), result=True)

    @staticmethod
    def _body(call: Call, request: Request) -> bytes:
        """Return a body that is no larger than a frame, wherever it is."""
        if not request.sealed:
            return request.body
        with SealedMemory(call.take_descriptor(), MAX_FRAME_OCTETS) as memory:
            return memory[:]

    @staticmethod
    def _batch(call: Call, held: HeldKey, request: Request) -> AbstractContextManager[Octets]:
        """Open the body of a batch: what is hashed here may be larger than a frame, in a memory file."""
        if not request.sealed:
            return contextlib.nullcontext(request.body)
        return SealedMemory(call.take_descriptor(), MAX_BATCH_OCTETS if held.hash_name else MAX_FRAME_OCTETS)


def _some(items: _Items) -> _Items:
    """Refuse an empty batch: to sign nothing is no use of a key."""
    if not items:
        raise ProtocolViolation("an empty batch")
    return items
