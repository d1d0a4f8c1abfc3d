"""The keeper's sockets: one thread, one short request a connection, nobody can hold up another.

Who connects is known by the kernel's word alone. A connection has two seconds for its request and its answer; when
all places of a role are taken, its oldest connection makes room. Requests and answers lie in locked memory.
"""

import logging
import selectors
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from hsm.errors import ProtocolViolation, RoleRefused
from hsm.keeper.kept_pin import KeptPin
from hsm.keeper.locked_memory import LockedMemory, wipe
from hsm.keeper.protocol import (
    LENGTH,
    MAX_MESSAGE_OCTETS,
    KeeperOperation,
    KeeperRole,
    KeeperStatus,
    detail_octets,
    status_of,
)
from hsm.listener import open_listener, peer_uid
from pki.errors import ErrorCode, ServiceError

PLACES: Final = 8  # of each role
EXCHANGE_SECONDS: Final = 2.0
SWEEP_SECONDS: Final = 0.5

_SLOT_OCTETS: Final = LENGTH.size + MAX_MESSAGE_OCTETS
_OPERATIONS: Final = {
    KeeperRole.CUSTODIAN: {KeeperOperation.READ},
    KeeperRole.OPERATOR: set(KeeperOperation) - {KeeperOperation.READ},
}

_log = logging.getLogger("hsm.keeper")


@dataclass(frozen=True, slots=True, kw_only=True)
class Door:
    """Where one role comes in, and which users may."""

    role: KeeperRole
    path: Path
    uids: frozenset[int]


class _Place:
    """Room for one connection's request and answer."""

    def __init__(self, memory: memoryview) -> None:
        self.request, self.answer = memory[:_SLOT_OCTETS], memory[_SLOT_OCTETS:]

    def wipe(self) -> None:
        wipe(self.request)
        wipe(self.answer)


class _Peer:
    """One connection and what is under way for it."""

    def __init__(self, sock: socket.socket, role: KeeperRole, place: _Place, until: float) -> None:
        self.sock, self.role, self.place, self.until = sock, role, place, until
        self.received = self.sent = self.answered = 0

    def fill(self) -> None:
        """Read until the request is there; OSError when there is nothing to read now, or no more to come."""
        while self.received < self._wanted:
            count = self.sock.recv_into(self.place.request[self.received : self._wanted])
            if not count:
                raise ConnectionResetError
            self.received += count

    @property
    def _wanted(self) -> int:
        """How many octets the request has, as far as is known."""
        if self.received < LENGTH.size:
            return LENGTH.size
        (length,) = LENGTH.unpack_from(self.place.request)
        if not 1 <= length <= MAX_MESSAGE_OCTETS:
            raise ProtocolViolation("a request of an impossible length")
        return LENGTH.size + int(length)


class KeeperServer:
    """Serve the doors until told to stop."""

    def __init__(self, doors: Sequence[Door], kept: KeptPin, monotonic: Callable[[], float]) -> None:
        """Listen; ConfigurationInvalid when a socket cannot be opened or memory cannot be locked."""
        self._kept, self._now = kept, monotonic
        memory = LockedMemory(len(doors) * PLACES * 2 * _SLOT_OCTETS).view
        places = [_Place(memory[start : start + 2 * _SLOT_OCTETS]) for start in range(0, len(memory), 2 * _SLOT_OCTETS)]
        self._free = {door.role: [places.pop() for _ in range(PLACES)] for door in doors}
        self._peers: dict[socket.socket, _Peer] = {}
        self._selector = selectors.DefaultSelector()
        self._doors: list[tuple[socket.socket, Door]] = []
        self._stopping = False
        for door in doors:
            listener = open_listener(door.path)
            self._doors.append((listener, door))
            self._selector.register(listener, selectors.EVENT_READ, door)

    def stop_on(self, wakeup: socket.socket) -> None:
        """End `serve` as soon as `wakeup` can be read."""
        self._selector.register(wakeup, selectors.EVENT_READ)

    def serve(self) -> None:
        """Answer until stopped."""
        while not self._stopping:
            for key, _ in self._selector.select(SWEEP_SECONDS):
                if isinstance(key.data, Door):
                    self._accept(key.fileobj, key.data)  # type: ignore[arg-type]  # what was registered: a socket
                elif isinstance(key.data, _Peer):
                    if key.data.sock in self._peers:  # else it made room for another one in this round
                        self._proceed(key.data)
                else:
                    self._stopping = True
            self._sweep()

    def close(self) -> None:
        """Forget the PIN, close every connection and the sockets."""
        self._kept.forget()
        for peer in tuple(self._peers.values()):
            self._drop(peer)
        for listener, door in self._doors:
            listener.close()
            door.path.unlink(missing_ok=True)
        self._selector.close()

    def _accept(self, listener: socket.socket, door: Door) -> None:
        try:
            sock, _ = listener.accept()
        except OSError as error:  # the peer is gone again, or we are out of descriptors
            _log.warning("no connection accepted: %s", error.strerror)
            return
        sock.settimeout(0)
        uid = peer_uid(sock)
        if uid not in door.uids:
            _log.warning("user %d refused at the %s's door", uid, door.role.folder)
            self._refuse(sock)
            return
        free = self._free[door.role]
        if not free:
            self._drop(next(peer for peer in self._peers.values() if peer.role is door.role))  # the oldest of the role
        peer = _Peer(sock, door.role, free.pop(), self._now() + EXCHANGE_SECONDS)
        self._peers[sock] = peer
        self._selector.register(sock, selectors.EVENT_READ, peer)

    def _refuse(self, sock: socket.socket) -> None:
        refusal = bytes((status_of(RoleRefused()),)) + b"this user may not ask the keeper"
        try:
            sock.send(LENGTH.pack(len(refusal)) + refusal)
        except OSError:
            _log.info("a refused peer did not wait for the reason")
        sock.close()

    def _drop(self, peer: _Peer) -> None:
        del self._peers[peer.sock]
        self._selector.unregister(peer.sock)
        peer.sock.close()
        peer.place.wipe()
        self._free[peer.role].append(peer.place)

    def _sweep(self) -> None:
        self._kept.tick()
        now = self._now()
        for peer in tuple(self._peers.values()):
            if now > peer.until:
                self._drop(peer)

    def _proceed(self, peer: _Peer) -> None:
        try:
            if not peer.answered:
                self._receive(peer)
            if peer.answered:
                self._send(peer)
        except BlockingIOError:
            return
        except OSError:
            self._drop(peer)

    def _receive(self, peer: _Peer) -> None:
        """Read on; when the request is there, answer it. ConnectionResetError when the peer went away before."""
        try:
            peer.fill()
            size = self._answer(peer.role, peer.place.request[LENGTH.size : peer.received], peer.place.answer)
        except ServiceError as error:
            size = self._refusal(error, peer.place.answer)
        except OSError:
            raise
        except Exception as error:  # noqa: BLE001 - the boundary that keeps one request from losing the PIN for all
            _log.error("a request failed unexpectedly: %s", type(error).__name__)
            size = self._refusal(ServiceError(ErrorCode.INTERNAL), peer.place.answer)
        LENGTH.pack_into(peer.place.answer, 0, size)
        peer.answered = LENGTH.size + size
        self._selector.modify(peer.sock, selectors.EVENT_WRITE, peer)

    def _send(self, peer: _Peer) -> None:
        peer.sent += peer.sock.send(peer.place.answer[peer.sent : peer.answered])
        if peer.sent == peer.answered:
            self._drop(peer)

    def _refusal(self, error: ServiceError, answer: memoryview) -> int:
        detail = detail_octets(error)
        status = status_of(error)
        if status is not KeeperStatus.UNAVAILABLE:
            _log.warning("refused: %s", error)
        answer[LENGTH.size] = status
        answer[LENGTH.size + 1 : LENGTH.size + 1 + len(detail)] = detail
        return 1 + len(detail)

    def _answer(self, role: KeeperRole, request: memoryview, answer: memoryview) -> int:
        """Do what is asked, write status and result, and return how many octets they are."""
        try:
            operation = KeeperOperation(request[0])
        except ValueError as error:
            raise ProtocolViolation("unknown operation") from error
        if operation not in _OPERATIONS[role]:
            raise RoleRefused(f"not for the {role.folder}'s door")
        answer[LENGTH.size] = KeeperStatus.DONE
        body = answer[LENGTH.size + 1 :]
        if operation is KeeperOperation.READ:
            return 1 + self._kept.copy_into(body)
        self._operate(operation, request[1:])
        state = self._kept.state().to_json()
        body[: len(state)] = state
        return 1 + len(state)

    def _operate(self, operation: KeeperOperation, body: memoryview) -> None:
        if operation is KeeperOperation.UNLOCK:
            self._kept.unlock(body)
            _log.info("unlocked with the PIN")
        elif operation is KeeperOperation.ADD_SHARE:
            missing = self._kept.add_share(body)
            _log.info("a share was taken; %s", f"{missing} more needed" if missing else "unlocked")
        elif operation is KeeperOperation.FORGET:
            self._kept.forget()
            _log.info("the PIN was forgotten")
