"""The application that gunicorn runs behind mutual TLS: the client certificate reaches it from the socket alone."""

from collections.abc import Iterable
from ssl import SSLSocket
from typing import TYPE_CHECKING

from hsm.daemon import collect_garbage_seldom
from webapp.services import OVER_TLS, PEER_CERTIFICATE
from webapp.wsgi import build_application

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment


def create_application() -> "WSGIApplication":
    """Build the application for the listener that asks for client certificates."""
    application = build_application()
    collect_garbage_seldom()

    def with_peer(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
        connection = environ.get("gunicorn.socket")
        der = connection.getpeercert(binary_form=True) if isinstance(connection, SSLSocket) else None
        environ[PEER_CERTIFICATE] = der
        environ[OVER_TLS] = isinstance(connection, SSLSocket)
        return application(environ, start_response)

    return with_peer
