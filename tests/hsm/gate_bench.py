"""A gate before a journal whose commits end when a test says so, and calls whose answers it holds."""

import errno
import os
import socket
from hashlib import sha256
from pathlib import Path

from hsm.custodian.connection import Call, Connection
from hsm.custodian.gate import ReleaseGate
from hsm.custodian.journal import Journal
from hsm.custodian.protocol import MAX_ANSWER_OCTETS, decode_answer, encode_error, encode_result
from hsm.errors import HsmUnavailable, PurposeRefused
from hsm.framing import FrameReader
from pki.errors import ErrorCode
from pki.journal import DONE, START, KeyUse, check_continues, parse_line
from tests.hsm.journal_bench import NOW, HeldSync, Ticks, all_lines

AWAY = ErrorCode.HSM_UNAVAILABLE
REFUSED = ErrorCode.HSM_PURPOSE_REFUSED


class GateBench:
    """A gate before a journal whose commits end when a test says so."""

    def __init__(self, folder: Path) -> None:
        self.sync, self.ticks = HeldSync(), Ticks()
        self.journal = Journal(folder, self.ticks, sync=self.sync)
        self.gate = ReleaseGate(self.journal, lambda: NOW)
        self.sock = socket.socket(socket.AF_UNIX)
        self.connection = Connection(self.sock, "worker", 1, 998, 0.0)
        self.calls = 0

    def close(self) -> None:
        self.journal.close()
        self.sock.close()

    def call(self) -> Call:
        """Return a call that no other is like."""
        self.calls += 1
        call = Call(self.connection)
        call.label, call.act = "seal", "note"
        call.digest = sha256(str(self.calls).encode()).digest()
        return call

    def used(self) -> Call:
        """Return a call whose key the device is asked for."""
        call = self.call()
        self.gate.enter(call, DONE)
        return call

    def signed(self) -> Call:
        """Return a call that the device has answered."""
        call = self.used()
        self.give(call)
        return call

    def refused(self) -> Call:
        """Return a call that was refused."""
        call = self.call()
        self.gate.enter(call, REFUSED)
        self.gate.give(call, encode_error(PurposeRefused("no")), result=False)
        return call

    def give(self, call: Call) -> None:
        """Give the signature."""
        self.gate.give(call, signature_of(call), result=True)

    def come_to_nothing(self, call: Call) -> None:
        """Let the device fail at a call that it was asked for."""
        self.gate.enter(call, AWAY)
        self.gate.give(call, encode_error(HsmUnavailable("the device is away")), result=False)

    def end(self, error: int = 0) -> None:
        """Let the commit under way end."""
        if error:
            self.sync.error = OSError(error, os.strerror(error))
        self.gate.commit_ended()

    def uses(self) -> list[KeyUse]:
        """Return every durable entry."""
        lines = all_lines(self.journal)
        assert check_continues(lines, 0, START) == self.journal.head
        return [parse_line(line).use for line in lines]

    def outcomes(self) -> list[str]:
        return [use.outcome for use in self.uses()]


def signature_of(call: Call) -> bytes:
    return encode_result(b"signature of " + (call.digest or b""))


def said(call: Call) -> str:
    """Tell what left for a call: a signature, or an error by its code."""
    assert call.answer is not None
    (payload,) = FrameReader(MAX_ANSWER_OCTETS).feed(call.answer)
    try:
        assert decode_answer(payload) == b"signature of " + (call.digest or b"")
    except HsmUnavailable as error:
        assert error.code is AWAY
        return AWAY
    except PurposeRefused:
        return REFUSED
    return DONE


def broken_disk(*_: object) -> int:
    raise OSError(errno.EIO, "Input/output error")
