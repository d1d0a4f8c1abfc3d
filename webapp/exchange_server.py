"""The program behind mutual TLS (`python -m webapp.exchange_server HOST:PORT`, HOME in MOHR_HOME): gunicorn.

Its worker is forked from a process that has loaded the application's modules, so that one that ends is replaced within
a moment.
"""

import os
import selectors
import sys
import time
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from pathlib import Path
from socket import socket
from ssl import CERT_OPTIONAL, SSLError
from typing import TYPE_CHECKING, Final

from gunicorn.app.base import BaseApplication
from gunicorn.http.errors import (
    ConfigurationProblem,
    InvalidResponseHeader,
    InvalidResponseHeaderName,
    LimitRequestHeaders,
    LimitRequestLine,
    ParseException,
)
from gunicorn.util import write_nonblock
from gunicorn.workers.gthread import TConn, ThreadWorker

from pki.errors import ErrorCode
from webapp.deployment import Deployment
from webapp.exchange import create_application
from webapp.problems import CONTENT_TYPE, Problem
from webapp.security import new_request_id
from webapp.slow_peers import Pace
from webapp.whole_bodies import Room, allow_descriptors, unhurried

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

AT_WORK: Final = 32  # more than orders may wait (`webapp.api.issuing`), so that others are answered meanwhile
ROOM: Final = Room(work=AT_WORK, spare=3 * AT_WORK, small=256, large=256)
PACE: Final = Pace(work=600.0)  # a batch of thousands
CONNECTIONS: Final = 2048
HELLO_SECONDS: Final = 10.0  # until the first octet of a connection
_OURS: Final = (ConfigurationProblem, InvalidResponseHeader, InvalidResponseHeaderName)


def _code_of(error: Exception) -> ErrorCode:
    if isinstance(error, LimitRequestLine | LimitRequestHeaders):
        return ErrorCode.INPUT_TOO_LARGE
    is_theirs = isinstance(error, ParseException | SSLError) and not isinstance(error, _OURS)
    return ErrorCode.INPUT_MALFORMED if is_theirs else ErrorCode.INTERNAL


def refusal_of(error: Exception, request_id: str) -> bytes:
    """Write the answer to a request that never came to the application: a problem document, and the end.

    None of its octets is repeated.
    """
    problem = Problem(code=_code_of(error), request_id=request_id)
    body = problem.body()
    head = (
        f"HTTP/1.1 {problem.status} {HTTPStatus(problem.status).phrase}\r\nConnection: close\r\n"
        f"Content-Type: {CONTENT_TYPE}\r\nContent-Length: {len(body)}\r\nCache-Control: no-store\r\n\r\n"
    )
    return head.encode() + body


class _Connection(TConn):  # type: ignore[misc]  # gunicorn has no types
    """A connection that is closed once."""

    _is_closed = False

    def close(self, graceful: bool = False) -> None:  # noqa: FBT001, FBT002 - as gunicorn calls it
        """Close it; gracefully, by waiting up to two seconds for what the other side still says."""
        if not self._is_closed:
            self._is_closed = True
            super().close(graceful)


class ExchangeWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's worker, whose one loop waits for nobody, and whose threads wait for nobody who said nothing yet.

    gunicorn's own takes a thread for five seconds with each new connection, and stops its loop for two with each one
    that ends badly.
    """

    def accept(self, listener: socket) -> None:
        """Take a connection, and wait for its first octet beside all others."""
        try:
            client, address = listener.accept()
        except OSError:  # it is gone again, or no descriptor is free
            return
        connection = _Connection(self.cfg, client, address, listener.getsockname())
        connection.timeout = time.monotonic() + HELLO_SECONDS
        self.nr_conns += 1
        self.pending_conns.append(connection)
        self.poller.register(client, selectors.EVENT_READ, partial(self.on_pending_socket_readable, connection))

    def handle_error(self, _req: object, client: socket, _addr: object, exc: Exception) -> None:
        """Tell in the API's own form that a request cannot be read; of theirs the log has the kind of error alone."""
        request_id, ours = new_request_id(), _code_of(exc) is ErrorCode.INTERNAL
        self.log.warning("request %s was not read: %s", request_id, type(exc).__name__, exc_info=exc if ours else None)
        with suppress(OSError):
            write_nonblock(client, refusal_of(exc, request_id))

    def handle(self, conn: _Connection) -> object:
        """Answer one request in a thread, and close there what is not kept."""
        kept: object = super().handle(conn)
        if not kept:
            with suppress(OSError):
                conn.close(graceful=True)
        return kept


class ExchangeServer(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with the listener's certificate, asking for those of its clients."""

    def __init__(self, deployment: Deployment, bind: str) -> None:
        self._port = int(bind.rpartition(":")[2])
        self._options = {
            "bind": bind,
            "worker_class": ExchangeWorker,
            "threads": ROOM.threads,
            "worker_connections": CONNECTIONS,
            "loglevel": "warning",
            "control_socket_disable": True,
            "certfile": str(deployment.tls_certificate),
            "keyfile": str(deployment.tls_key),
            "ca_certs": str(deployment.exchange_clients),
            "cert_reqs": CERT_OPTIONAL,
            "forwarded_allow_ips": "",  # no header changes path or scheme: there is no proxy in front
        }
        super().__init__()

    def load_config(self) -> None:
        """Set what differs from gunicorn's own."""
        for name, value in self._options.items():
            self.cfg.set(name, value)

    def load(self) -> "WSGIApplication":
        """Build the application, in a worker."""
        return unhurried(create_application(), self._port, ROOM, PACE)


def main() -> None:
    """Serve the exchange and officers until told to stop."""
    allow_descriptors(2 * CONNECTIONS)
    deployment = Deployment(Path(os.environ["MOHR_HOME"]))
    if not os.access(deployment.tls_key, os.R_OK):
        sys.exit(f"{deployment.tls_key} cannot be read: mohr ca renew-services makes another key where it was lost")
    ExchangeServer(deployment, sys.argv[1]).run()


if __name__ == "__main__":
    main()
