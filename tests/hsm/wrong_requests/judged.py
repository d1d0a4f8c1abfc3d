"""A real custodian under a strict policy, and the proof that a wrong request was refused and nothing signed."""

from __future__ import annotations

import errno
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from hsm.client import CustodianClient
from hsm.custodian.policy import ACTS, Grant, KeyNames, LimitedKeys, Policy, RolePolicy
from hsm.custodian.protocol import MAX_ANSWER_OCTETS, decode_answer
from hsm.custodian.refusal_flood import OTHER_ACTS, OTHER_KEYS
from hsm.framing import FrameReader
from hsm.provider import KeyPurpose, spki_of
from pki.errors import ErrorCode, ServiceError
from pki.journal import DONE, KeyUse, check_continues, parse_line
from pki.keys import SignatureAlgorithm
from tests.hsm import good_messages as good
from tests.hsm import messages as m
from tests.support.softhsm import CustodianHome

CA, OCSP, TSA, TOKEN, SEAL, COUNTED = "ca", "ocsp", "tsa", "token", "seal", "counted"
PURPOSES: Final = {
    CA: KeyPurpose.CERTIFICATE_AUTHORITY,
    OCSP: KeyPurpose.OCSP,
    TSA: KeyPurpose.TIMESTAMP,
    TOKEN: KeyPurpose.TOKEN,
    SEAL: KeyPurpose.SEAL,
    COUNTED: KeyPurpose.TOKEN,
}
# Wide enough for a message of this second that a busy machine brings later.
LIMITS: Final = replace(good.LIMITS, timestamp_tolerance_ms=60_000)
PER_SECOND: Final = 1
BURST: Final = 3
TOLD_SECONDS: Final = 60.0

# Every refusal that any test here met, for the search for secrets at the end of the session.
SAID: list[str] = []


def grants(**acts: str) -> tuple[Grant, ...]:
    return tuple(Grant(keys=KeyNames((label,)), acts=frozenset(named.split())) for label, named in acts.items())


def strict_policy(uids: frozenset[int]) -> Policy:
    """Roles as a deployment has them, for the same user: what each may not do is refused by role alone."""
    counted = Grant(keys=KeyNames((COUNTED,)), acts=frozenset({"token"}), per_second=PER_SECOND, burst=BURST)
    return Policy(
        roles={
            "server": RolePolicy(uids=uids, grants=(*grants(token="token digest", tsa="timestamp"), counted)),
            "worker": RolePolicy(uids=uids, grants=grants(ca="certificate crl", ocsp="ocsp")),
            "operator": RolePolicy(
                uids=uids, administer=True, journal=True, grants=(Grant(keys=KeyNames(("*",)), acts=ACTS),)
            ),
        },
        limited=(LimitedKeys(keys=KeyNames(("*",)), limits=LIMITS),),
    )


def now() -> datetime:
    """Return the current instant in whole seconds, as certificates have them."""
    return datetime.now(UTC).replace(microsecond=0)


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A running custodian with a key for each purpose. The CA and its responder are bound to `messages.ISSUER`."""

    home: CustodianHome
    ca_spki: bytes

    def client(self, role: str = "operator", index: int = 0) -> CustodianClient:
        return CustodianClient(self.home.socket_path(role, index))

    def entries(self, after: int, index: int = 0) -> list[KeyUse]:
        """Return what the custodian's journal tells after an entry; it must hold together."""
        client = self.client(index=index)
        try:
            part = client.journal(0, after, 2000)
        finally:
            client.close()
        if part.lines:
            first = parse_line(part.lines[0])
            check_continues(part.lines, first.sequence - 1, first.previous)
        return [parse_line(line).use for line in part.lines]

    def head(self, index: int = 0) -> int:
        client = self.client(index=index)
        try:
            return client.journal(0, 0, 1).sequence
        finally:
            client.close()

    @contextmanager
    def refusing(
        self, code: ErrorCode, *, act: str, key: str = "", role: str = "operator", count: int = 1, index: int = 0
    ) -> Iterator[list[ServiceError]]:
        """See that the block is refused with `code` and told in the journal, and that nothing was signed."""
        before, caught = self.head(index), list[ServiceError]()
        with pytest.raises(ServiceError) as raised:
            yield caught
        caught.append(raised.value)
        SAID.append(f"{raised.value!r} {raised.value.detail}")
        assert raised.value.code is code, raised.value.detail
        self.see_refusals(before, code, act=act, key=key, role=role, count=count, index=index)

    def see_refusals(
        self, before: int, code: ErrorCode, *, act: str, key: str, role: str, count: int = 1, index: int = 0
    ) -> None:
        """See that since an entry `count` refusals were told, and nothing else: not one use of any key."""
        end = time.monotonic() + TOLD_SECONDS
        while True:
            entries = self.entries(before, index)
            told = sum(use.count for use in entries)
            if told >= count or time.monotonic() > end:  # a flood is told when its second is over
                break
            time.sleep(0.05)
        assert all(use.outcome != DONE for use in entries), entries
        # Of too many kinds of refusal within a second the last are told together.
        expected = [(key, act), (OTHER_KEYS, OTHER_ACTS)]
        assert {(use.role, use.uid, use.outcome) for use in entries} == {(role, os.getuid(), code.value)}, entries
        assert all((use.key, use.act) in expected for use in entries), entries
        assert told == count


def make_judged(factory: Callable[[], CustodianHome]) -> Judged:
    """Start a custodian under the strict policy and make its keys."""
    home = factory()
    home.rule(strict_policy(frozenset({os.getuid()})))
    home.process.start()
    for label, purpose in PURPOSES.items():
        home.client.generate(label, SignatureAlgorithm.ES256, purpose)
    for label in (CA, OCSP):
        home.client.set_issuer(label, m.ISSUER)
    return Judged(home=home, ca_spki=spki_of(home.client.signing_key(CA).public_key()))


# --- peers that speak octets ----------------------------------------------------------------------


class Peer:
    """A connection to a custodian that sends what it likes."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(TOLD_SECONDS)
        end = time.monotonic() + TOLD_SECONDS
        while (failed := self.socket.connect_ex(str(path))) == errno.EAGAIN and time.monotonic() < end:
            time.sleep(0.01)  # so many wait to be let in that one more may not even wait (unix(7))
        assert not failed, os.strerror(failed)

    def send(self, octets: bytes, descriptors: Sequence[int] = ()) -> None:
        if descriptors:
            octets = octets[socket.send_fds(self.socket, [octets], list(descriptors)) :]
        if octets:
            self.socket.sendall(octets)

    def answer(self) -> bytes:
        """Return the body of the next answer, or raise the error it tells of."""
        return decode_answer(self.frames(1)[0])

    def frames(self, count: int) -> list[bytes]:
        """Return the next answers, fewer when the custodian closed before."""
        reader, found = FrameReader(MAX_ANSWER_OCTETS), list[bytes]()
        while len(found) < count:
            data = self.socket.recv(1 << 20)
            if not data:
                break
            found += reader.feed(data)
        return found

    def closed(self) -> bool:
        """Tell whether the custodian closed the connection, and said nothing more."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self) -> None:
        self.socket.close()
