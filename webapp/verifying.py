"""The portal's verifier of strangers' files: a process that may be killed (`python -m webapp.verifying HOME`).

Composition root. Its standard input is the line to the server that asks. Nothing is fetched on behalf of an uploaded
file: a certificate in it could name any address of our network.
"""

import os
import socket
import sys
from datetime import UTC, datetime
from pathlib import Path

from signer.isolation.child import serve
from signer.isolation.wire import Channel
from signer.rendering import render
from signer.validation.context import VerificationContext
from signer.validation.policy import DEFAULT
from signer.validation.status_local import LocalStatus, load_trust


class Folder:
    """A deployment's public folder: trust is read again when a certificate there was replaced."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._stamp: tuple[int, ...] = ()
        self._context: VerificationContext | None = None

    def context(self) -> VerificationContext:
        """Return the context of the next file."""
        public = self._home / "public"
        stamp = tuple(path.stat().st_mtime_ns for path in (public / "root.pem", public / "ca"))
        if self._context is None or stamp != self._stamp:
            trust = load_trust(self._home)
            self._stamp = stamp
            self._context = VerificationContext(
                at=datetime.now(UTC),  # until an order says when
                anchors=trust.anchors,
                intermediates=trust.intermediates,
                status_sources=(LocalStatus(folder=public / "crl"),),
                policy=trust.reading(DEFAULT),
                clusters=trust.clusters,
            )
        return self._context


def main(arguments: list[str]) -> int:
    """Judge what comes, with the anchors and published lists of the deployment that is named."""
    (home,) = map(Path, arguments)
    folder = Folder(home)
    folder.context()
    serve(Channel(socket.socket(fileno=os.dup(0))), folder.context, render)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
