"""An officer's commands carried to a server over mutual TLS: the routes under `/api/v1`, asked as that officer.

What the server refuses is raised as the error that the same command raises beside the database.
"""

import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pki.errors import ErrorCode, InvalidInput, ServiceError, Unavailable
from pki.jose import compact_json, json_object
from webapp.centre_client import mutual_tls
from webapp.http_client import HttpAnswer, ask, host_of
from webapp.officers import Signatory

MAX_DETAIL: Final = 500
HTTP_REFUSED: Final = 400
HTTP_UNAVAILABLE: Final = 503


@dataclass(frozen=True, slots=True, kw_only=True)
class OfficerClient:
    """A server and the officer who asks it."""

    server: str
    tls: ssl.SSLContext = field(repr=False)

    @classmethod
    def of(cls, server: str, officer: Signatory, anchor: Path) -> "OfficerClient":
        """Take the officer's key and certificate, and the certificate that the server's must come from.

        InvalidInput for an address that is not https, and for files that do not serve; NotAllowed as `Signatory.load`.
        """
        host_of(server)
        if not server.startswith("https://"):
            raise InvalidInput(ErrorCode.INPUT_MALFORMED, "officers ask over https")
        officer.load()
        try:
            tls = ssl.create_default_context(cafile=anchor)
        except (OSError, ssl.SSLError) as error:
            raise InvalidInput(ErrorCode.FILE_UNREADABLE, anchor.name) from error
        return cls(server=server.rstrip("/"), tls=mutual_tls(tls, officer.certificate_file, officer.key_file, None))

    def get(self, path: str) -> dict[str, Any]:
        """Ask for a document; errors as `post`."""
        return self._read(ask(self.server + path, tls=self.tls))

    def post(
        self, path: str, body: Mapping[str, Any] | bytes, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a JSON body and return what is answered.

        The error that the server names; Unavailable where nobody answers in time or something else does;
        VerificationFailed where the server's certificate is not trusted.
        """
        data = body if isinstance(body, bytes) else compact_json(dict(body))
        return self._read(ask(self.server + path, json=data, headers=headers, tls=self.tls))

    def put(self, path: str, data: bytes, media_type: str) -> dict[str, Any]:
        """Bring octets of a type; errors as `post`."""
        headers = {"Content-Type": media_type}
        return self._read(ask(self.server + path, json=data, headers=headers, tls=self.tls, method="PUT"))

    def _read(self, answer: HttpAnswer) -> dict[str, Any]:
        try:
            members = json_object(answer.body)
        except InvalidInput as error:
            raise self._strange(answer) from error
        if answer.status < HTTP_REFUSED:
            return members
        raise self._refusal(answer, members)

    def _refusal(self, answer: HttpAnswer, members: Mapping[str, Any]) -> ServiceError:
        """Return the error of a problem document (RFC 9457)."""
        try:
            code = ErrorCode(str(members.get("code")))
        except ValueError:
            return self._strange(answer)
        detail, reason = _text(members, "detail"), _text(members, "reason")
        kind = Unavailable if answer.status == HTTP_UNAVAILABLE else ServiceError
        return kind(code, detail, reason=reason)

    def _strange(self, answer: HttpAnswer) -> Unavailable:
        return Unavailable(
            ErrorCode.UNAVAILABLE, f"{host_of(self.server)} answered {answer.status}, and not as a server"
        )


def _text(members: Mapping[str, Any], name: str) -> str:
    """Return a member that a terminal may show, else nothing."""
    value = members.get(name)
    return value if isinstance(value, str) and len(value) <= MAX_DETAIL and value.isprintable() else ""
