"""The custodian's sockets: one thread, many connections, none of which can hold up another.

Sockets never block, nor do the device, which is another process, and the journal's disk. Each turn of the loop
takes what arrived, lets every connection that has requests begin some of them for a few milliseconds, gives the
device its work, sends what may leave, and has the journal made durable. A connection that stalls in the middle of a
frame, or does not take its answer, is closed; when all places are taken, the role that has the most makes room.
"""

import contextlib
import logging
import select
import socket
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from hsm.custodian.connection import Call, Connection
from hsm.custodian.places import makes_room
from hsm.custodian.protocol import encode_error
from hsm.custodian.service import CustodianService
from hsm.device.link import DeviceLink
from hsm.errors import HsmUnavailable, RoleRefused
from hsm.listener import peer_of
from pki.errors import ServiceError

MAX_CONNECTIONS: Final = 128
MAX_BUFFERED_OCTETS: Final = 64 * 1024 * 1024
RECEIVE_OCTETS: Final = 256 * 1024
ACCEPTS_A_TURN: Final = 16
SLICE_SECONDS: Final = 0.005
TURN_SECONDS: Final = 0.02  # for the slices of all connections together
LABOUR_SECONDS: Final = 0.005  # a turn for what takes many steps
SWEEP_SECONDS: Final = 1.0

_ANCILLARY_OCTETS: Final = socket.CMSG_SPACE(8 * 4)
_GONE: Final = select.EPOLLHUP | select.EPOLLERR

_log = logging.getLogger("hsm.custodian")


class CustodianServer:
    """Serve the roles' listeners until told to stop."""

    def __init__(
        self,
        listeners: Mapping[str, socket.socket],
        service: CustodianService,
        link: DeviceLink,
        monotonic: Callable[[], float],
    ) -> None:
        """Take one listener for each role; all are closed with the server."""
        self._service, self._link, self._now = service, link, monotonic
        self._poll = select.epoll()
        self._listeners = {listener.fileno(): (role, listener) for role, listener in listeners.items()}
        for descriptor in self._listeners:
            self._poll.register(descriptor, select.EPOLLIN)
        self._journal = service.journal_descriptor
        if self._journal is not None:
            self._poll.register(self._journal, select.EPOLLIN)
        self._connections: dict[int, Connection] = {}
        self._runnable: deque[Connection] = deque()
        self._laborious: deque[Connection] = deque()
        self._slice = SLICE_SECONDS
        self._buffer = memoryview(bytearray(RECEIVE_OCTETS))
        self._wakeup: int | None = None
        self._device: tuple[socket.socket, int] | None = None  # what the poll knows of the link's socket
        self._stopping = False
        self._next_sweep = monotonic() + SWEEP_SECONDS

    def stop_on(self, wakeup: socket.socket) -> None:
        """End `serve` as soon as `wakeup` can be read."""
        self._wakeup = wakeup.fileno()
        self._poll.register(self._wakeup, select.EPOLLIN)

    def serve(self) -> None:
        """Answer until stopped; PinIncorrect when the device refused the PIN."""
        while not self._stopping:
            self._turn(self._rest())

    def close(self) -> None:
        """Close every connection and the listeners."""
        for connection in tuple(self._connections.values()):
            self._drop(connection)
        self._poll.close()
        for _, listener in self._listeners.values():
            listener.close()

    # --- turns ---

    def _rest(self) -> float:
        """Do what is due, and return how long there is nothing to do."""
        due = self._link.tick()
        if self._link.fatal is not None:
            raise self._link.fatal
        now = self._now()
        if now >= self._next_sweep:
            self._sweep(now)
        self._watch_device()
        if self._runnable or self._laborious:
            return 0
        return max(0.0, min(due, self._next_sweep - now))

    def _turn(self, rest: float) -> None:
        self._service.begin_turn()
        happened = self._poll.poll(rest)
        self._slice = min(SLICE_SECONDS, TURN_SECONDS / (1 + len(happened) + len(self._runnable)))
        for descriptor, events in happened:
            connection = self._connections.get(descriptor)
            if connection is not None:
                self._attend(connection, events)
            elif self._device is not None and descriptor == self._device[0].fileno():
                self._attend_device(events)
            elif descriptor == self._journal:
                self._service.take_commit()
            elif descriptor in self._listeners:
                self._accept(*self._listeners[descriptor])
            elif descriptor == self._wakeup:
                self._stopping = True
        for _ in range(len(self._runnable)):
            connection = self._runnable.popleft()
            connection.running = False
            self._run(connection)
        if self._laborious:
            self._labour()
        self._service.hand_out()
        self._feed_device()
        self._release(self._service.settled())  # what waits for no disk
        self._service.end_turn()
        self._release(self._service.settled())

    def _attend(self, connection: Connection, events: int) -> None:
        if events & select.EPOLLOUT:
            self._send(connection)
        elif events & select.EPOLLIN:
            self._receive(connection)
        elif events & _GONE:
            self._drop(connection)

    def _release(self, settled: Iterable[Call]) -> None:
        """Send the answers that may leave, each connection's in one piece."""
        for connection in {call.connection: None for call in settled}:
            if connection.sock.fileno() >= 0:
                connection.out += connection.answers()
                if connection.out:
                    self._send(connection)

    # --- the device ---

    def _attend_device(self, events: int) -> None:
        if events & select.EPOLLOUT:
            self._link.on_writable()
        if events & ~select.EPOLLOUT:
            self._link.on_readable()

    def _feed_device(self) -> None:
        if self._link.wants_writing:
            self._link.on_writable()

    def _watch_device(self) -> None:
        """Have the poll know the link's socket, which is another one after each loss of the device."""
        wished = None
        if self._link.socket is not None:
            wished = (self._link.socket, select.EPOLLIN | (select.EPOLLOUT if self._link.wants_writing else 0))
        if wished == self._device:
            return
        if self._device is not None and (wished is None or wished[0] is not self._device[0]):
            with contextlib.suppress(OSError, ValueError):  # closed already, and so unknown to the poll
                self._poll.unregister(self._device[0])
            self._device = None
        if wished is not None:
            change = self._poll.register if self._device is None else self._poll.modify
            change(wished[0], wished[1])
        self._device = wished

    # --- connections ---

    def _accept(self, role: str, listener: socket.socket) -> None:
        for _ in range(ACCEPTS_A_TURN):
            try:
                sock, _ = listener.accept()
            except BlockingIOError:
                return
            except OSError as error:  # the peer is gone again, or we are out of descriptors
                _log.warning("no connection accepted: %s", error.strerror)
                return
            sock.settimeout(0)
            self._admit(Connection(sock, role, *peer_of(sock), self._now()))

    def _admit(self, connection: Connection) -> None:
        try:
            self._service.admit(connection)
            if len(self._connections) >= MAX_CONNECTIONS:
                self._make_room(connection)
        except ServiceError as error:
            if isinstance(error, RoleRefused):
                _log.warning("user %d refused as %s", connection.uid, connection.role)
            with contextlib.suppress(OSError):  # a refused peer need not wait for the reason
                connection.sock.send(encode_error(error))
            connection.close()
            return
        self._connections[connection.sock.fileno()] = connection
        self._listen(connection)

    def _make_room(self, newcomer: Connection) -> None:
        leaving = makes_room(self._connections.values(), newcomer)
        if leaving is None:
            raise HsmUnavailable("every connection of the custodian is busy")
        self._drop(leaving)

    def _drop(self, connection: Connection) -> None:
        if self._connections.pop(connection.sock.fileno(), None) is None:
            return
        if connection.waits_for:
            self._poll.unregister(connection.sock)
        connection.close()

    def _sweep(self, now: float) -> None:
        self._next_sweep = now + SWEEP_SECONDS
        for connection in tuple(self._connections.values()):
            if connection.stalled(now):
                _log.info("a stalled connection was closed")
                self._drop(connection)

    def _listen(self, connection: Connection) -> None:
        """Choose what wakes us for `connection`; a peer that has enough under way is not read from."""
        if connection.out:
            events = select.EPOLLOUT
        elif connection.frames or connection.closing:
            events = 0
        else:
            events = select.EPOLLIN
        if events != connection.waits_for:
            if not events:
                self._poll.unregister(connection.sock)
            elif connection.waits_for:
                self._poll.modify(connection.sock, events)
            else:
                self._poll.register(connection.sock, events)
            connection.waits_for = events

    # --- octets ---

    def _receive(self, connection: Connection) -> None:
        try:
            count, ancillary, flags, _ = connection.sock.recvmsg_into(
                [self._buffer], _ANCILLARY_OCTETS, socket.MSG_CMSG_CLOEXEC
            )
        except BlockingIOError:
            return
        except OSError:
            count, ancillary, flags = 0, [], 0
        try:
            if ancillary:
                connection.take_descriptors(ancillary, flags)
            if not count:
                self._drop(connection)
                return
            connection.feed(bytes(self._buffer[:count]), self._now())
            if connection.descriptors:
                connection.check_descriptors()
            if connection.reader.size > RECEIVE_OCTETS:
                self._check_memory(connection)
        except ServiceError as error:
            connection.forget()
            self._service.refuse(connection, error)
        self._run(connection)

    def _check_memory(self, connection: Connection) -> None:
        """Hold no more than we may of requests that are not here yet: who has taken the longest over one goes."""
        unfinished = [other for other in self._connections.values() if other.reader.size]
        if sum(other.reader.size for other in unfinished) > MAX_BUFFERED_OCTETS:
            oldest = min(unfinished, key=lambda other: other.frame_began or 0.0)
            if oldest is connection:
                raise HsmUnavailable("the custodian holds too many unfinished requests")
            self._drop(oldest)

    def _send(self, connection: Connection) -> None:
        try:
            sent = connection.sock.send(connection.out)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        if sent:
            connection.last_active = self._now()
            connection.out = connection.out[sent:]
        if connection.closing and not connection.out and not connection.calls:
            self._drop(connection)
        elif connection.frames or connection.out or connection.waits_for != select.EPOLLIN:
            self._resume(connection)

    # --- work ---

    def _run(self, connection: Connection) -> None:
        """Give `connection` one slice of its own."""
        if connection.may_begin:
            until = self._now() + self._slice
            while connection.may_begin:
                self._service.begin(connection, connection.frames.popleft())
                if not connection.frames or self._now() >= until:
                    break
        if connection.sock.fileno() >= 0:
            self._resume(connection)

    def _labour(self) -> None:
        """Go on with what takes many steps, one connection after the other and for a slice of all in all."""
        until = self._now() + LABOUR_SECONDS
        while self._laborious:
            connection = self._laborious.popleft()
            connection.running = False
            while connection.work is not None:
                self._service.proceed(connection)
                if self._now() >= until:
                    break
            if connection.sock.fileno() >= 0:
                self._resume(connection)
            if self._now() >= until:
                break

    def _resume(self, connection: Connection) -> None:
        """Listen to a connection again, and queue it if it has something to do."""
        self._listen(connection)
        if not connection.running and (connection.work is not None or connection.may_begin):
            connection.running = True
            (self._runnable if connection.work is None else self._laborious).append(connection)
