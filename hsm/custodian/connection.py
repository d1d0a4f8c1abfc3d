"""One peer of the custodian: what it sent, what it is owed, and its place in the queue of the device."""

import array
import os
import socket
from collections import deque
from collections.abc import Generator
from typing import TYPE_CHECKING, Final

from hsm.custodian.protocol import MAX_FRAME_OCTETS, takes_descriptor
from hsm.errors import ProtocolViolation
from hsm.framing import FrameReader

if TYPE_CHECKING:
    from hsm.custodian.gate import Page
    from hsm.custodian.signing import SigningJob

MAX_CALLS: Final = 64
MAX_DESCRIPTORS: Final = 4
STALL_SECONDS: Final = 10.0

# What is done in steps before a request is answered or handed to the device; each step is short.
Work = Generator[None, None, None]


class Call:
    """A request whose answer is owed. What is known of it so far is what the journal says if it is refused."""

    __slots__ = (
        "act",
        "answer",
        "connection",
        "count",
        "descriptor",
        "digest",
        "given",
        "is_result",
        "label",
        "page",
    )

    def __init__(self, connection: "Connection") -> None:
        self.connection = connection
        self.answer: bytes | None = None  # what may leave
        self.given: bytes | None = None  # an answer that waits for its page of the journal
        self.is_result = False
        self.page: Page | None = None  # where its last entry stands
        self.label = self.act = ""
        self.count = 1
        self.digest: bytes | None = None
        self.descriptor: int | None = None  # what came beside the request, until somebody reads it

    def take_descriptor(self) -> int:
        """Return what came beside the request, for the caller to close; ProtocolViolation when nothing did."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is None:
            raise ProtocolViolation("no descriptor came with the request")
        return descriptor

    def close(self) -> None:
        """Close what came beside the request and was not read: it is for no other request."""
        if self.descriptor is not None:
            os.close(self.take_descriptor())


class Connection:
    """One peer, by its role and user, and what is under way for it."""

    __slots__ = (
        "alone",
        "calls",
        "closing",
        "descriptors",
        "frame_began",
        "frames",
        "jobs",
        "last_active",
        "out",
        "pid",
        "queued",
        "reader",
        "role",
        "running",
        "served",
        "sock",
        "uid",
        "waits_for",
        "work",
    )

    def __init__(self, sock: socket.socket, role: str, pid: int, uid: int, now: float) -> None:
        self.sock, self.role, self.pid, self.uid = sock, role, pid, uid
        self.reader = FrameReader(MAX_FRAME_OCTETS)
        self.descriptors: deque[int] = deque()
        self.frames: deque[bytes] = deque()  # requests that nobody looked at yet
        self.work: Work | None = None
        self.calls: deque[Call] = deque()  # in the order of their answers
        self.alone = False  # a call under way that no other may run beside: it is large
        self.jobs: deque[SigningJob] = deque()
        self.queued = False  # in the queue of the device
        self.running = False  # in a queue of those with something to do
        self.out = b""  # what the peer has not taken yet
        self.closing = False
        self.served = 0
        self.last_active = now
        self.frame_began: float | None = None
        self.waits_for = 0

    @property
    def busy(self) -> bool:
        """True while anything of this peer is under way."""
        return bool(self.calls or self.frames)

    @property
    def may_begin(self) -> bool:
        """True when the next request may be looked at."""
        return (
            bool(self.frames)
            and self.work is None
            and not self.out
            and not self.alone
            and not self.closing
            and len(self.calls) < MAX_CALLS
        )

    def stalled(self, now: float) -> bool:
        """Tell whether the peer neither finishes its request nor takes its answer."""
        if self.frame_began is not None and now - self.frame_began > STALL_SECONDS:
            return True
        return bool(self.out) and now - self.last_active > STALL_SECONDS

    def feed(self, data: bytes, now: float) -> None:
        """Take what arrived; ProtocolViolation when it is no frame."""
        self.last_active = now
        found = self.reader.feed(data)
        self.frames.extend(found)
        if found or not self.reader.size:
            self.frame_began = None
        if self.reader.size and self.frame_began is None:
            self.frame_began = now

    def take_descriptors(self, ancillary: list[tuple[int, int, bytes]], flags: int) -> None:
        """Keep the descriptors that came with octets; ProtocolViolation when there are too many."""
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                found = array.array("i")
                found.frombytes(data[: len(data) - len(data) % found.itemsize])
                self.descriptors.extend(found)
        if flags & socket.MSG_CTRUNC or len(self.descriptors) > MAX_DESCRIPTORS:
            raise ProtocolViolation("too many descriptors")

    def check_descriptors(self) -> None:
        """See that every descriptor is one that a request here, or on its way, takes; ProtocolViolation."""
        taken = sum(map(takes_descriptor, self.frames)) + (self.reader.size > 0)
        if len(self.descriptors) > taken:
            raise ProtocolViolation("a descriptor that no request takes")

    def forget(self) -> None:
        """Drop the requests that nobody looked at yet, and what came beside them."""
        self.frames.clear()
        while self.descriptors:
            os.close(self.descriptors.popleft())

    def answers(self) -> bytes:
        """Return the answers whose turn has come, and owe them no more."""
        calls, ready = self.calls, []
        while calls and (answer := calls[0].answer) is not None:
            calls.popleft()
            ready.append(answer)
        self.served += len(ready)
        if not calls:
            self.alone = False
        return ready[0] if len(ready) == 1 else b"".join(ready)

    def close(self) -> None:
        """Close the socket and everything that came through it; what the device still does is for nobody."""
        self.sock.close()
        self.forget()
        for call in self.calls:
            call.close()
        self.jobs.clear()
        self.work = None
        self.closing = True
