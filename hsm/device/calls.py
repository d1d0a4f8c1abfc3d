"""Calls to a device process that are under way: answered in their order, each in its time."""

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Final, NamedTuple

from hsm.device.wire import MAX_FRAME_OCTETS, DeviceStatus, read_failure
from hsm.errors import HsmUnavailable, ProtocolViolation
from pki.errors import ServiceError

NEVER: Final = float("inf")
PART_OCTETS: Final = MAX_FRAME_OCTETS // 4


class DeviceAnswer(NamedTuple):
    """How a call ended: its value, or its error."""

    value: Any
    error: ServiceError | None


Done = Callable[[DeviceAnswer], None]
Read = Callable[[bytes], Any]


class _Call:
    """A call under way. `done` is None once it was answered without waiting for the device."""

    __slots__ = ("allowance", "deadline", "done", "read")

    def __init__(self, allowance: float, deadline: float, read: Read, done: Done) -> None:
        self.allowance, self.deadline, self.read = allowance, deadline, read
        self.done: Done | None = done


class CallQueue:
    """The calls under way, oldest first. The device works at the oldest: its time began when it became that."""

    def __init__(self) -> None:
        self._calls: deque[_Call] = deque()
        self._head_since = 0.0
        self._next_deadline = NEVER

    def __bool__(self) -> bool:
        return bool(self._calls)

    def add(self, now: float, allowance: float, seconds: float, read: Read, done: Done) -> None:
        """Await one more answer: `allowance` is the device's, the caller is answered after `seconds` at most."""
        if not self._calls:
            self._head_since = now
        deadline = now + seconds
        self._next_deadline = min(self._next_deadline, deadline)
        self._calls.append(_Call(allowance, deadline, read, done))

    def take(self, answer: bytes, now: float) -> tuple[Done | None, DeviceAnswer]:
        """Match an answer to the oldest call; None for one that waits no more. ProtocolViolation."""
        if not self._calls or not answer:
            raise ProtocolViolation("an answer that nobody asked for")
        call = self._calls[0]
        if answer[0] == DeviceStatus.DONE:
            found = DeviceAnswer(call.read(answer), None)
        elif answer[0] == DeviceStatus.FAILED:
            found = DeviceAnswer(None, read_failure(answer))
        else:
            raise ProtocolViolation("an answer of unknown status")
        self._calls.popleft()
        self._head_since = now
        if not self._calls:
            self._next_deadline = NEVER
        return call.done, found

    @property
    def hangs_at(self) -> float:
        """When the device has had its time for the oldest call."""
        return self._head_since + self._calls[0].allowance if self._calls else NEVER

    @property
    def next_deadline(self) -> float:
        """When `expire` has something to do, at the earliest."""
        return self._next_deadline

    def expire(self, now: float) -> None:
        """Answer the calls whose time is over; what the device says of them later is not heard."""
        expired: list[Done] = []
        self._next_deadline = NEVER
        for call in self._calls:
            if call.done is None:
                continue
            if call.deadline <= now:
                expired.append(call.done)
                call.done = None
            else:
                self._next_deadline = min(self._next_deadline, call.deadline)
        for done in expired:
            done(DeviceAnswer(None, HsmUnavailable("the device did not answer in time")))

    def fail(self, reason: str) -> None:
        """Answer every call: nothing more is expected of the process that they were sent to."""
        calls, self._calls = self._calls, deque()
        self._next_deadline = NEVER
        for call in calls:
            if call.done is not None:
                call.done(DeviceAnswer(None, HsmUnavailable(reason)))


class Gathering:
    """The parts of one large signing call: done when all are, or with the first error."""

    def __init__(self, parts: int, done: Done) -> None:
        self._values: list[list[bytes]] = [[] for _ in range(parts)]
        self._missing, self._done = parts, done
        self._failed = False

    def take(self, part: int, answer: DeviceAnswer) -> None:
        """Keep the values of one part."""
        self._missing -= 1
        if self._failed:
            return
        if answer.error is not None:
            self._failed = True
            self._done(answer)
            return
        self._values[part] = answer.value
        if not self._missing:
            self._done(DeviceAnswer([value for values in self._values for value in values], None))


def parts_of(inputs: Sequence[bytes], most: int) -> Iterator[Sequence[bytes]]:
    """Cut inputs into parts of at most `most` items that fit a frame; no inputs are one part of none."""
    if len(inputs) <= most and sum(map(len, inputs)) <= PART_OCTETS:
        yield inputs
        return
    start, octets = 0, 0
    for index, item in enumerate(inputs):
        if index > start and (index - start == most or octets + len(item) > PART_OCTETS):
            yield inputs[start:index]
            start, octets = index, 0
        octets += len(item)
    yield inputs[start:]
