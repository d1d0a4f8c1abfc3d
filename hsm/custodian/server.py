"""The custodian's socket: one thread, many connections, none of which can hold up another.

Sockets never block. A connection that has work gets a slice of a few milliseconds in turn, so a batch of
slow RSA signatures does not delay a single one. A connection that stalls in the middle of a frame, or
does not take its answer, is closed; when all places are taken, the one that is idle the longest makes room.
"""

import logging
import selectors
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

from hsm.custodian.config import CustodianSettings
from hsm.custodian.listener import peer_uid
from hsm.custodian.protocol import FrameReader, decode_request, encode_error, encode_result
from hsm.custodian.service import CustodianService, Work
from hsm.errors import HsmUnavailable, PinIncorrect, ProtocolViolation, RoleRefused
from pki.errors import ErrorCode, NotAllowed, ServiceError

MAX_CONNECTIONS: Final = 64
MAX_BUFFERED_OCTETS: Final = 256 * 1024 * 1024
RECEIVE_OCTETS: Final = 256 * 1024
SLICE_SECONDS: Final = 0.005
STALL_SECONDS: Final = 10.0
SWEEP_SECONDS: Final = 1.0

_log = logging.getLogger("hsm.custodian")


class _Connection:
    """One peer and what is under way for it."""

    __slots__ = (
        "admin",
        "answer",
        "closing",
        "frame_began",
        "last_active",
        "reader",
        "requests",
        "served",
        "sock",
        "waits_for",
        "work",
    )

    def __init__(self, sock: socket.socket, *, admin: bool, now: float) -> None:
        self.sock, self.admin = sock, admin
        self.reader = FrameReader()
        self.requests: deque[bytes] = deque()
        self.work: Work | None = None
        self.answer = b""  # what the peer has not taken yet
        self.closing = False
        self.served = 0
        self.last_active = now
        self.frame_began: float | None = None
        self.waits_for = 0  # the events that the selector knows of

    def stalled(self, now: float) -> bool:
        """Tell whether the peer neither finishes its request nor takes its answer."""
        if self.frame_began is not None and now - self.frame_began > STALL_SECONDS:
            return True
        return bool(self.answer) and now - self.last_active > STALL_SECONDS

    @property
    def busy(self) -> bool:
        return self.work is not None or bool(self.requests)


class CustodianServer:
    """Serve one listener until told to stop."""

    def __init__(
        self,
        listener: socket.socket,
        service: CustodianService,
        settings: CustodianSettings,
        monotonic: Callable[[], float],
    ) -> None:
        self._listener, self._service, self._settings, self._now = listener, service, settings, monotonic
        self._selector = selectors.DefaultSelector()
        self._selector.register(listener, selectors.EVENT_READ)
        self._connections: dict[socket.socket, _Connection] = {}
        self._runnable: deque[_Connection] = deque()
        self._stopping = False
        self._next_sweep = monotonic() + SWEEP_SECONDS

    def stop_on(self, wakeup: socket.socket) -> None:
        """End `serve` as soon as `wakeup` can be read."""
        self._selector.register(wakeup, selectors.EVENT_READ)

    def serve(self) -> None:
        """Answer until stopped; PinIncorrect when the device refused the PIN on a reconnect."""
        while not self._stopping:
            for key, events in self._selector.select(0 if self._runnable else SWEEP_SECONDS):
                self._dispatch(key, events)
            for _ in range(len(self._runnable)):
                self._run(self._runnable.popleft())
            if self._now() >= self._next_sweep:
                self._sweep()

    def close(self) -> None:
        """Close every connection and the listener."""
        for connection in tuple(self._connections.values()):
            self._drop(connection)
        self._selector.close()
        self._listener.close()

    def _dispatch(self, key: selectors.SelectorKey, events: int) -> None:
        connection = key.data
        if connection is None:
            if key.fileobj is self._listener:
                self._accept()
            else:
                self._stopping = True
        elif events & selectors.EVENT_WRITE:
            self._flush(connection)
        else:
            self._receive(connection)

    # --- connections ---

    def _accept(self) -> None:
        try:
            sock, _ = self._listener.accept()
        except OSError as error:  # the peer is gone again, or we are out of descriptors
            _log.warning("no connection accepted: %s", error.strerror)
            return
        sock.settimeout(0)
        uid = peer_uid(sock)
        admin = uid in self._settings.admin_uids
        if not admin and uid not in self._settings.allowed_uids:
            _log.warning("user %d refused", uid)
            self._refuse(sock, RoleRefused(f"user {uid} may not use this custodian"))
        elif len(self._connections) >= MAX_CONNECTIONS and not self._make_room():
            self._refuse(sock, HsmUnavailable("every connection of the custodian is busy"))
        else:
            connection = _Connection(sock, admin=admin, now=self._now())
            self._connections[sock] = connection
            self._await(connection, selectors.EVENT_READ)

    def _refuse(self, sock: socket.socket, error: ServiceError) -> None:
        try:
            sock.send(encode_error(error))
        except OSError:
            _log.info("a refused peer did not wait for the reason")
        sock.close()

    def _make_room(self) -> bool:
        """Close the connection that is idle the longest, first among those that never asked anything."""
        idle = [connection for connection in self._connections.values() if not connection.busy]
        if not idle:
            return False
        self._drop(min(idle, key=lambda connection: (connection.served > 0, connection.last_active)))
        return True

    def _drop(self, connection: _Connection) -> None:
        if self._connections.pop(connection.sock, None) is None:
            return
        self._await(connection, 0)
        connection.sock.close()
        connection.requests.clear()
        connection.work = None

    def _sweep(self) -> None:
        now = self._now()
        self._next_sweep = now + SWEEP_SECONDS
        for connection in tuple(self._connections.values()):
            if connection.stalled(now):
                _log.info("a stalled connection was closed")
                self._drop(connection)

    # --- octets ---

    def _receive(self, connection: _Connection) -> None:
        try:
            data = connection.sock.recv(RECEIVE_OCTETS)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._drop(connection)
            return
        connection.last_active = self._now()
        try:
            connection.requests.extend(connection.reader.feed(data))
            self._check_memory(connection)
        except ServiceError as error:
            connection.requests.clear()
            connection.closing = True
            self._reply(connection, encode_error(error))
        if not connection.reader.size:
            connection.frame_began = None
        elif connection.frame_began is None:
            connection.frame_began = connection.last_active
        self._run(connection)

    def _check_memory(self, connection: _Connection) -> None:
        if connection.reader.size > RECEIVE_OCTETS:
            held = sum(other.reader.size for other in self._connections.values())
            if held > MAX_BUFFERED_OCTETS:
                raise HsmUnavailable("the custodian holds too many unfinished requests")

    def _reply(self, connection: _Connection, answer: bytes) -> None:
        connection.served += 1
        connection.answer = answer
        self._send(connection)

    def _send(self, connection: _Connection) -> None:
        try:
            sent = connection.sock.send(connection.answer)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._drop(connection)
            return
        if sent:
            connection.last_active = self._now()
            connection.answer = connection.answer[sent:]
        if connection.closing and not connection.answer:
            self._drop(connection)

    def _flush(self, connection: _Connection) -> None:
        self._send(connection)
        self._run(connection)

    # --- work ---

    def _run(self, connection: _Connection) -> None:
        """Give `connection` one slice, then listen to it again or queue it for its next turn."""
        until = self._now() + SLICE_SECONDS
        while connection.busy and not connection.answer:
            self._step(connection)
            if self._now() >= until:
                break
        if connection.sock not in self._connections:
            return
        if connection.answer:
            self._await(connection, selectors.EVENT_WRITE)
        elif connection.busy:
            self._await(connection, 0)
            self._runnable.append(connection)
        else:
            self._await(connection, selectors.EVENT_READ)

    def _await(self, connection: _Connection, events: int) -> None:
        """Choose what wakes us for `connection`; a peer with work under way is not read from."""
        if events == connection.waits_for:
            return
        if not events:
            self._selector.unregister(connection.sock)
        elif connection.waits_for:
            self._selector.modify(connection.sock, events, connection)
        else:
            self._selector.register(connection.sock, events, connection)
        connection.waits_for = events

    def _step(self, connection: _Connection) -> None:
        """Do one request, or one step of a long one. Wrong requests get a coded answer, whatever they are."""
        try:
            if connection.work is None:
                result = self._service.answer(decode_request(connection.requests.popleft()), admin=connection.admin)
                if not isinstance(result, bytes):
                    connection.work = result
                    return
            else:
                next(connection.work)
                return
        except StopIteration as done:
            connection.work = None
            result = done.value
        except PinIncorrect:
            raise
        except ServiceError as error:
            if isinstance(error, NotAllowed):
                _log.warning("refused: %s", error)
            connection.work = None
            connection.closing = isinstance(error, ProtocolViolation)
            self._reply(connection, encode_error(error))
            return
        except Exception as error:  # noqa: BLE001 - the boundary that keeps one request from ending all keys' service
            connection.work = None
            _log.error("a request failed unexpectedly: %s", type(error).__name__)
            self._reply(connection, encode_error(ServiceError(ErrorCode.INTERNAL)))
            return
        self._reply(connection, encode_result(result))
