"""The exchange's addresses over real TLS on this machine, with the client certificate of each connection."""

import http.server
import ipaddress
import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from ca.tokens.oauth_answers import OAuthResponse
from pki.certificates import pem
from tests.support.exchange import Exchange


class _Handler(http.server.BaseHTTPRequestHandler):
    """The few addresses of an issuer, and one protected one."""

    exchange: Exchange
    replies: dict[str, tuple[int, bytes]]

    def do_GET(self) -> None:
        oauth = self.exchange.service.oauth
        if self.path in self.replies:
            self._send(*self.replies[self.path])
        elif self.path == "/.well-known/oauth-authorization-server":
            self._send(200, json.dumps(oauth.metadata()).encode())
        elif self.path == "/oauth2/jwks":
            self._send(200, oauth.jwks())
        elif self.path == "/echo":
            decision = oauth.check_access(self.headers.get("Authorization", "").removeprefix("Bearer "), self._peer())
            self._send(200 if decision.accepted else 401, json.dumps(decision.document(self._now())).encode())
        else:
            self._send(404, b"{}")

    def do_POST(self) -> None:
        form = parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode(), keep_blank_values=True)
        answer: OAuthResponse = self.exchange.service.oauth.token_endpoint(form, self._peer())
        self._send(answer.status, json.dumps(dict(answer.json or {})).encode())

    def _now(self) -> Any:
        return self.exchange.clock.now()

    def _peer(self) -> bytes | None:
        assert isinstance(self.connection, ssl.SSLSocket)
        return self.connection.getpeercert(binary_form=True)

    def _send(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        if status in (301, 302):
            self.send_header("Location", "/echo")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Stay silent."""


class _Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, *_args: Any) -> None:
        """A client that breaks off is part of the tests."""


def server_certificate(exchange: Exchange, folder: Path) -> tuple[Path, Path]:
    """Make a self-signed certificate for this machine; return certificate and key files."""
    key, now = ec.generate_private_key(ec.SECP256R1()), exchange.clock.now()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "exchange under test")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    signed = builder.not_valid_after(now + timedelta(days=1)).add_extension(address, critical=False)
    certificate = signed.sign(key, hashes.SHA256())
    cert_file, key_file = folder / "server.pem", folder / "server.key"
    cert_file.write_bytes(certificate.public_bytes(Encoding.PEM))
    key_file.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return cert_file, key_file


@contextmanager
def served(exchange: Exchange, replies: dict[str, tuple[int, bytes]]) -> Iterator[tuple[str, Path]]:
    """Serve an exchange; give its URL and the file with its trust anchor. `replies` stand in for single addresses."""
    cert_file, key_file = server_certificate(exchange, exchange.folder)
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert_file, key_file)
    context.verify_mode = ssl.CERT_OPTIONAL
    for authority in ("root", "institutions"):
        der = exchange.authority.named_certificate(authority)
        assert der is not None
        context.load_verify_locations(cadata=pem(der))
    handler = type("Handler", (_Handler,), {"exchange": exchange, "replies": replies})
    server = _Server(("127.0.0.1", 0), handler)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"https://127.0.0.1:{server.server_port}", cert_file
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
