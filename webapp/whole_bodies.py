"""Requests reach the application when their body is there: who is slow to send one holds no place of those who work.

A place to wait in is a thread of the server that sleeps. Small bodies (OCSP, time-stamps, forms) have places of their
own, so that uploads cannot keep them out. Where none is free, a request shows that its body comes, and waits a moment
for a place that somebody slow loses. Where none gets free, or memory is, the application hears it when it reads the
body, and answers in its own way: Unavailable (`overloaded`), with Retry-After.
"""

import resource
import threading
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING, Final, NoReturn

from pki.errors import ErrorCode, InvalidInput, ServiceError, Unavailable
from webapp.overload import Places
from webapp.slow_peers import AtWork, Pace, SlowPeers

if TYPE_CHECKING:
    from wsgiref.types import InputStream, StartResponse, WSGIApplication, WSGIEnvironment

SMALL_OCTETS: Final = 64 * 1024
_PIECE: Final = 64 * 1024
_FIRST: Final = 8 * 1024  # what comes with a head, before the other side hears of us (RFC 6928)


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many requests of a process at once: in work, sending a small body, sending a large one; octets of all bodies.

    `spare` threads more tell those who find no place; in half of them, and where nobody works, one may wait `patience`
    seconds for somebody slow to lose a place. A body beyond `largest` is not read: the application refuses it by its
    length.
    """

    work: int
    spare: int
    small: int
    large: int
    octets: int = 256 * 1024 * 1024
    largest: int = 50 * 1024 * 1024
    patience: float = 3.0

    @property
    def threads(self) -> int:
        """How many threads a server needs so that all may wait and the others are answered."""
        return self.small + self.large + self.work + self.spare


class _Refused(BytesIO):
    """A body that is not there, to whoever reads it."""

    def __init__(self, error: ServiceError) -> None:
        super().__init__()
        self._error = error

    def _refuse(self, *_arguments: object) -> NoReturn:
        raise self._error

    read = readline = readlines = readinto = read1 = __next__ = _refuse


class _Memory:
    """How many octets of all bodies there may still be."""

    def __init__(self, limit: int) -> None:
        self._free, self._lock = limit, threading.Lock()

    def take(self, count: int) -> None:
        """Take so many for a body; Unavailable (`overloaded`) where there are fewer."""
        with self._lock:
            if count > self._free:
                raise Unavailable(ErrorCode.OVERLOADED, "too many octets wait already")
            self._free -= count

    def give_back(self, count: int) -> None:
        """Give back what was taken."""
        with self._lock:
            self._free += count


class _Body:
    """A body as it comes in; what it holds of the memory is given back by `close`."""

    def __init__(self, memory: _Memory) -> None:
        self.octets, self.count = BytesIO(), 0
        self._memory = memory

    def receive(self, stream: "InputStream", length: int) -> None:
        """Read until there are so many octets, or until the end."""
        while self.count < length and (piece := stream.read(min(_PIECE, length - self.count))):
            self._memory.take(len(piece))
            self.count += len(piece)
            self.octets.write(piece)

    def close(self) -> None:
        """Forget it."""
        self.octets = BytesIO()  # an error that tells of it is no reason to keep it
        self._memory.give_back(self.count)
        self.count = 0


class WholeBodies:
    """A WSGI application in front of another one."""

    def __init__(self, application: "WSGIApplication", room: Room, at_work: AtWork, peers: SlowPeers) -> None:
        self._application, self._room, self._at_work, self._peers = application, room, at_work, peers
        self._work = threading.BoundedSemaphore(room.work)
        self._small, self._large = Places(room.small), Places(room.large)
        self._waiting, self._most_waiting = 0, room.work + room.spare // 2
        self._lock = threading.Lock()
        self._memory = _Memory(room.octets)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Read the body, wait for a place to work in, and hand the request on."""
        length = _announced(environ)
        if length == 0:
            return self._handed_on(environ, start_response)
        with closing(_Body(self._memory)) as body:
            environ["wsgi.input"] = self._input(body, environ, length)
            return self._handed_on(environ, start_response)

    def _handed_on(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        self._at_work.begin(environ)
        try:
            with self._work:
                return self._application(environ, start_response)
        finally:
            self._at_work.end()

    def _input(self, body: _Body, environ: "WSGIEnvironment", length: int | None) -> BytesIO:
        if length is not None and length > self._room.largest:
            return BytesIO()
        places = self._small if length is not None and length <= SMALL_OCTETS else self._large
        stream, most = environ["wsgi.input"], self._room.largest + 1 if length is None else length
        try:
            if places.take() or self._waited(places, body, environ, most):
                try:
                    body.receive(stream, most)
                finally:
                    places.give_back()
        except Unavailable as error:
            body.close()
            return _Refused(error.with_traceback(None))
        if length is not None and body.count < length:
            return _Refused(InvalidInput(ErrorCode.INPUT_MALFORMED, "the body is shorter than announced"))
        return BytesIO(body.octets.getvalue())  # no copy, and it gives all of it away without one

    def _waited(self, places: Places, body: _Body, environ: "WSGIEnvironment", most: int) -> bool:
        """Take a place that somebody slow loses or who is done leaves; False for a body that needs none any more.

        Unavailable (`overloaded`) where there is none soon, or enough wait already.
        """
        with self._lock:
            if self._waiting + self._at_work.count() >= self._most_waiting:
                raise Unavailable(ErrorCode.OVERLOADED, "too many bodies are on the way")
            self._waiting += 1
        try:
            with self._peers.hurried():
                body.receive(environ["wsgi.input"], min(most, _FIRST))
                if body.count == most or body.count < _FIRST:  # it is whole, or broken off
                    return False
                with self._at_work.counted(environ):  # from here on it waits for us
                    if places.take_within(self._room.patience):
                        return True
            raise Unavailable(ErrorCode.OVERLOADED, "too many bodies are on the way")
        finally:
            with self._lock:
                self._waiting -= 1


def _announced(environ: "WSGIEnvironment") -> int | None:
    """Return the length of the body; None where only its end will tell."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isascii() and length.isdigit():
        return int(length)
    return None if environ.get("HTTP_TRANSFER_ENCODING") else 0


def unhurried(application: "WSGIApplication", port: int, room: Room, pace: Pace) -> "WSGIApplication":
    """Keep the slow of this process's connections to `port` apart from an application, and end them."""
    at_work = AtWork()
    peers = SlowPeers(port, pace, at_work)
    peers.watch()
    return WholeBodies(application, room, at_work, peers)


def allow_descriptors(count: int) -> None:
    """Let this process have so many files and connections open, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard)
        )
