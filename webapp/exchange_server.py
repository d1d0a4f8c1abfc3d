"""The program behind mutual TLS (`python -m webapp.exchange_server HOST:PORT`, HOME in MOHR_HOME): gunicorn.

Its worker is forked from a process that has loaded the application's modules, so that one that ends is replaced within
a moment.
"""

import os
import sys
from pathlib import Path
from ssl import CERT_OPTIONAL
from typing import TYPE_CHECKING, Final

from gunicorn.app.base import BaseApplication

from webapp.deployment import Deployment
from webapp.exchange import create_application

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

THREADS: Final = 32  # more than orders may wait (`webapp.api.issuing`), so that others are answered meanwhile


class ExchangeServer(BaseApplication):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn with the listener's certificate, asking for those of its clients."""

    def __init__(self, deployment: Deployment, bind: str) -> None:
        self._options = {
            "bind": bind,
            "worker_class": "gthread",
            "threads": THREADS,
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
        return create_application()


def main() -> None:
    """Serve the exchange and officers until told to stop."""
    ExchangeServer(Deployment(Path(os.environ["MOHR_HOME"])), sys.argv[1]).run()


if __name__ == "__main__":
    main()
