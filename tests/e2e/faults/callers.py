"""Officers who knock at a served deployment's mutual-TLS listener, each request over a new connection."""

from __future__ import annotations

import base64
import http.client
import json
import ssl
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

SECONDS = 20.0
CERTIFICATES = "/api/v1/certificates"


@dataclass(kw_only=True)
class Caller:
    """Somebody with a certificate and its key; threads may share it."""

    port: int
    anchor: Path
    certificate: Path
    key: Path
    _context: ssl.SSLContext = field(init=False)

    def __post_init__(self) -> None:
        self._context = ssl.create_default_context(cafile=str(self.anchor))
        self._context.load_cert_chain(self.certificate, self.key)

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, dict[str, Any]]:
        """Ask; return the status and the JSON answered. OSError or HTTPException where nobody answers."""
        connection = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=SECONDS, context=self._context)
        try:
            connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
            answered = connection.getresponse()
            read = answered.read()
        finally:
            connection.close()
        try:
            members: dict[str, Any] = json.loads(read)
        except ValueError:  # it was killed in the middle
            raise http.client.IncompleteRead(read) from None
        return answered.status, members

    def tell(self, path: str, members: dict[str, Any], **headers: str) -> tuple[int, dict[str, Any]]:
        """Send JSON; return the status and the answer's members."""
        return self.ask("POST", path, json.dumps(members).encode(), Content_Type="application/json", **headers)

    def order(self, file_id: str, csr: bytes, key: str) -> tuple[int, str]:
        """Order a certificate; return the status and its serial number, or the refusal's code."""
        wish = {"profile": "clin-auth", "file": file_id, "csr": base64.b64encode(csr).decode()}
        status, answer = self.tell(CERTIFICATES, wish, Idempotency_Key=key)
        return status, str(answer["serial"] if status in (200, 201) else answer["code"])
