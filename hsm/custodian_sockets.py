"""The sockets of a deployment's custodians as a client uses them: spread, fail over, leave the silent alone.

Each call has a deadline and ends by it with an answer or HsmUnavailable, whatever became of the custodians. A
custodian that was restarted is found again. One that lets a deadline pass is left alone for a second and then
asked by one call at a time; when all are so, a call that is not the one to find out fails at once.
"""

import array
import os
import socket
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from hsm.custodian.protocol import MAX_ANSWER_OCTETS, decode_answer
from hsm.errors import HsmUnavailable, ProtocolViolation
from hsm.framing import FrameReader
from hsm.socket_address import socket_address

MAX_CONNECTIONS: Final = 16
FINDING_OUT_SECONDS: Final = 0.2
SUSPECT_SECONDS: Final = 1.0
FULL_SECONDS: Final = 0.005
_RECEIVE_OCTETS: Final = 64 * 1024
_NEVER_SENT: Final = (ConnectionRefusedError, FileNotFoundError, PermissionError)


class _Connection:
    """One connection with one request under way at most."""

    def __init__(self, path: Path, deadline: float) -> None:
        self._reader = FrameReader(MAX_ANSWER_OCTETS)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with socket_address(path) as address:
                self._connect(address, deadline)
        except OSError:
            self._socket.close()
            raise

    def _connect(self, address: str, deadline: float) -> None:
        while True:
            self._socket.settimeout(_remaining(deadline))
            try:
                self._socket.connect(address)
            except BlockingIOError:  # so many wait to be let in that one more may not even wait (unix(7))
                time.sleep(FULL_SECONDS)
            else:
                return

    def exchange(self, request: bytes, descriptor: int | None, deadline: float) -> bytes:
        """Send a frame and return the payload of the answer; OSError when the custodian does not answer."""
        try:
            self._send(request, descriptor, deadline)
        except BrokenPipeError:
            # A custodian that refuses us says why before it closes: what it said can still be read.
            self._socket.settimeout(_remaining(deadline))
        while True:
            data = self._socket.recv(_RECEIVE_OCTETS)
            if not data:
                raise ConnectionResetError("the custodian closed the connection")
            try:
                frames = self._reader.feed(data)
            except ProtocolViolation as error:
                raise HsmUnavailable("the custodian breaks the protocol") from error
            if len(frames) == 1 and not self._reader.size:
                return frames[0]
            if frames:
                raise HsmUnavailable("the custodian gave more than one answer")
            self._socket.settimeout(_remaining(deadline))

    def _send(self, request: bytes, descriptor: int | None, deadline: float) -> None:
        self._socket.settimeout(_remaining(deadline))
        if descriptor is not None:
            rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
            request = request[self._socket.sendmsg([request], rights) :]
        if request:
            self._socket.sendall(request)

    def close(self) -> None:
        self._socket.close()


def _remaining(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("deadline passed")
    return left


def _share(deadline: float, *, suspect: bool) -> float:
    """Return until when one of several custodians is waited for: half of the time, and less for a suspect."""
    now = time.monotonic()
    half = (deadline - now) / 2
    return now + (min(half, FINDING_OUT_SECONDS) if suspect else half)


class _Place:
    """One custodian's socket: its idle connections, and until when it is left alone."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.in_use = 0
        self.suspect_until = 0.0
        self.idle: list[_Connection] = []
        self.finding_out = threading.Lock()  # held by the one call that asks a suspect

    def close(self) -> None:
        idle, self.idle = self.idle, []
        for connection in idle:
            connection.close()


class CustodianSockets:
    """Exchange requests with whichever custodian answers. Safe to share between threads, and over a fork."""

    def __init__(self, paths: Sequence[Path]) -> None:
        """Take the sockets of one role; nothing is sent before the first call."""
        self._places = [_Place(path) for path in paths]
        self._start()

    def _start(self) -> None:
        """Begin with no connection: at first, and in a forked child, whose inherited ones are its parent's."""
        for place in self._places:
            place.close()
        self._places = [_Place(place.path) for place in self._places]
        self._turn = 0
        self._free = threading.BoundedSemaphore(MAX_CONNECTIONS * len(self._places))
        self._owner = os.getpid()

    @property
    def count(self) -> int:
        """How many custodians there may be."""
        return len(self._places)

    def ask(
        self,
        request: bytes,
        timeout: float,
        *,
        descriptor: int | None = None,
        once: bool = False,
        only: int | None = None,
    ) -> bytes:
        """Exchange one request, of the custodian `only` or of any; return the answer's body or raise its error.

        What was not answered is asked again of another custodian, and a connection that went stale while it was
        idle is replaced, unless `once`: then nothing is sent twice.
        """
        deadline = time.monotonic() + timeout
        if self._owner != os.getpid():
            self._start()
        with self._leave(deadline):
            failure: HsmUnavailable | None = None
            left = self._order() if only is None else [self._places[only]]
            while left:
                with self._chosen(left, once=once) as place:
                    if place is None:
                        break
                    left.remove(place)
                    until = deadline if once or not left else _share(deadline, suspect=place.suspect_until > 0)
                    try:
                        return self._ask_at(place, request, descriptor, until, once=once)
                    except HsmUnavailable as error:
                        if failure is None or not isinstance(error.__cause__, _NEVER_SENT):
                            failure = error  # one that does not run hides nothing that another one said
                        if once and not isinstance(error.__cause__, _NEVER_SENT):
                            break
            raise failure or HsmUnavailable("no custodian answers; another call finds out when one does")

    def close(self) -> None:
        """Close the idle connections; the sockets can be used again."""
        for place in self._places:
            place.close()

    # --- choosing ---

    def _order(self) -> list[_Place]:
        """Return the places, the one with the fewest calls first and a different one each time among equals."""
        self._turn += 1
        start = self._turn % len(self._places)
        return sorted(self._places[start:] + self._places[:start], key=lambda place: place.in_use)

    @contextmanager
    def _chosen(self, places: Sequence[_Place], *, once: bool) -> Iterator[_Place | None]:
        """Yield the place to ask now; None when all are suspect and others are finding out.

        A suspect whose time is over comes first, for one call at a time, unless that call must not be sent twice.
        """
        now = time.monotonic()
        healthy = next((place for place in places if not place.suspect_until), None)
        due = [place for place in places if 0.0 < place.suspect_until <= now]
        if healthy is not None and (once or not due):
            yield healthy
            return
        for place in due or places:
            if place.finding_out.acquire(blocking=False):
                try:
                    yield place
                finally:
                    place.finding_out.release()
                return
        yield healthy

    # --- asking ---

    def _ask_at(self, place: _Place, request: bytes, descriptor: int | None, until: float, *, once: bool) -> bytes:
        place.in_use += 1
        try:
            payload = self._exchange(place, request, descriptor, until, once=once)
        except TimeoutError as error:
            place.suspect_until = time.monotonic() + SUSPECT_SECONDS
            raise HsmUnavailable("the custodian did not answer in time") from error
        except OSError as error:
            place.suspect_until = 0.0  # to be refused costs nothing: it is asked again
            raise HsmUnavailable(f"the custodian cannot be reached: {error.strerror or 'closed'}") from error
        finally:
            place.in_use -= 1
        place.suspect_until = 0.0
        return decode_answer(payload)

    def _exchange(self, place: _Place, request: bytes, descriptor: int | None, until: float, *, once: bool) -> bytes:
        stale = None if once else _pop(place.idle)
        if stale is not None:
            try:
                return self._exchange_on(place, stale, request, descriptor, until)
            except TimeoutError:
                raise
            except OSError:
                place.close()  # the custodian was restarted: none of the idle connections lives
        return self._exchange_on(place, _Connection(place.path, until), request, descriptor, until)

    @staticmethod
    def _exchange_on(
        place: _Place, connection: _Connection, request: bytes, descriptor: int | None, until: float
    ) -> bytes:
        try:
            answer = connection.exchange(request, descriptor, until)
        except BaseException:
            connection.close()  # an answer may still be on its way; nobody else may read it
            raise
        place.idle.append(connection)
        return answer

    @contextmanager
    def _leave(self, deadline: float) -> Iterator[None]:
        """Wait for one of the connections we may have; HsmUnavailable when none is free by the deadline."""
        if not self._free.acquire(timeout=max(deadline - time.monotonic(), 0)):
            raise HsmUnavailable("every connection to the custodian is busy")
        try:
            yield
        finally:
            self._free.release()


def _pop(idle: list[_Connection]) -> _Connection | None:
    try:
        return idle.pop()
    except IndexError:
        return None
