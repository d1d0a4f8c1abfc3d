"""Requests reach the application when their body is there: who is slow to send one holds no place of those who work.

A place to wait in is a thread of the server that sleeps. Small bodies (OCSP, time-stamps, forms) have places of their
own, so that uploads cannot keep them out. Where none is free, or memory is, the application hears it when it reads the
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """How many requests of a process at once: in work, sending a small body, sending a large one; octets of all bodies.

    `spare` threads more tell those who find no place. A body beyond `largest` is not read: the application refuses it
    by its length.
    """

    work: int
    spare: int
    small: int
    large: int
    octets: int = 512 * 1024 * 1024
    largest: int = 50 * 1024 * 1024

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
        """Read so many octets, or until the end."""
        while self.count < length and (piece := stream.read(min(_PIECE, length - self.count))):
            self._memory.take(len(piece))
            self.count += len(piece)
            self.octets.write(piece)
        self.octets.seek(0)

    def close(self) -> None:
        """Forget it."""
        self._memory.give_back(self.count)
        self.count = 0


class WholeBodies:
    """A WSGI application in front of another one."""

    def __init__(self, application: "WSGIApplication", room: Room, at_work: AtWork) -> None:
        self._application, self._room, self._at_work = application, room, at_work
        self._work = threading.BoundedSemaphore(room.work)
        self._small, self._large = Places(room.small), Places(room.large)
        self._memory = _Memory(room.octets)

    def __call__(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        """Read the body, wait for a place to work in, and hand the request on."""
        length = _announced(environ)
        if length == 0:
            return self._handed_on(environ, start_response)
        with closing(_Body(self._memory)) as body:
            environ["wsgi.input"] = self._input(body, environ["wsgi.input"], length)
            return self._handed_on(environ, start_response)

    def _handed_on(self, environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        self._at_work.begin(environ)
        try:
            with self._work:
                return self._application(environ, start_response)
        finally:
            self._at_work.end()

    def _input(self, body: _Body, stream: "InputStream", length: int | None) -> BytesIO:
        if length is not None and length > self._room.largest:
            return BytesIO()
        is_small = length is not None and length <= SMALL_OCTETS
        try:
            with (self._small if is_small else self._large).taken():
                body.receive(stream, self._room.largest + 1 if length is None else length)
        except Unavailable as error:
            body.close()
            return _Refused(error)
        if length is not None and body.count < length:
            return _Refused(InvalidInput(ErrorCode.INPUT_MALFORMED, "the body is shorter than announced"))
        return body.octets


def _announced(environ: "WSGIEnvironment") -> int | None:
    """Return the length of the body; None where only its end will tell."""
    length = environ.get("CONTENT_LENGTH") or ""
    if length.isascii() and length.isdigit():
        return int(length)
    return None if environ.get("HTTP_TRANSFER_ENCODING") else 0


def unhurried(application: "WSGIApplication", port: int, room: Room, pace: Pace) -> "WSGIApplication":
    """Keep the slow of this process's connections to `port` apart from an application, and end them."""
    at_work = AtWork()
    SlowPeers(port, pace, at_work).watch()
    return WholeBodies(application, room, at_work)


def allow_descriptors(count: int) -> None:
    """Let this process have so many files and connections open, as far as the system allows."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < count:
        resource.setrlimit(
            resource.RLIMIT_NOFILE, (count if hard == resource.RLIM_INFINITY else min(count, hard), hard)
        )
