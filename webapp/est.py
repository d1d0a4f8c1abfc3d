"""EST's addresses (RFC 7030 §3.2.2): `/.well-known/est/[PROFILE/]{cacerts,csrattrs,simpleenroll,simplereenroll}`.

They answer on the mutual-TLS listener alone: a certificate or a password that came another way proves nothing. Who
may have which certificate is `ca.est`'s to say; here are media types, base64 and how far bodies are read.
"""

from collections.abc import Callable, Mapping
from typing import Final

from flask import Flask, Response, request

from ca.est.enrolment import EnrolmentDesk, FileSecret, Waiting
from ca.est.errors import EnrolmentUnproven
from pki.csr import MAX_CSR_OCTETS
from pki.errors import ErrorCode, InvalidInput, NotAllowed
from pki.pkcs7 import certs_only, decode_body, encode_body
from webapp.callers import came_over_tls, peer_certificate
from webapp.services import Services, installed

PREFIX: Final = "/.well-known/est"
MAX_BODY_OCTETS: Final = 2 * MAX_CSR_OCTETS
REQUEST: Final = "application/pkcs10"
CERTIFICATES: Final = "application/pkcs7-mime; smime-type=certs-only"
ATTRIBUTES: Final = "application/csrattrs"

_View = Callable[..., Response]


def install(app: Flask, services: Services) -> None:
    """Serve the four operations, each with and without the name of a profile."""

    def desk() -> EnrolmentDesk:
        if not came_over_tls():
            raise NotAllowed(ErrorCode.NOT_ALLOWED, "enrolment is on the mutual-TLS listener", reason="est.not-tls")
        return installed(services.est)

    def cacerts(profile: str | None = None) -> Response:
        return _base64(certs_only(desk().authorities(profile)), CERTIFICATES)

    def csrattrs(profile: str | None = None) -> Response:
        found = desk()
        if profile is None:  # RFC 7030 §4.5.2: nothing to say of a request in general
            return _without_body(204)
        return _base64(found.attributes(profile), ATTRIBUTES)

    def simpleenroll(profile: str | None = None) -> Response:
        found = desk()
        return _enrolled(found.enrol(profile, _read_request(), peer_certificate(), _file_secret()))

    def simplereenroll(profile: str | None = None) -> Response:
        found = desk()
        return _enrolled(found.renew(profile, _read_request(), peer_certificate()))

    _add(app, "cacerts", "GET", cacerts)
    _add(app, "csrattrs", "GET", csrattrs)
    _add(app, "simpleenroll", "POST", simpleenroll)
    _add(app, "simplereenroll", "POST", simplereenroll)


def _add(app: Flask, operation: str, method: str, view: _View) -> None:
    for rule, name in ((f"{PREFIX}/{operation}", "est"), (f"{PREFIX}/<profile>/{operation}", "est_profile")):
        app.add_url_rule(rule, f"{name}_{operation}", view, methods=[method])


def _read_request() -> bytes:
    """Return the request's octets; the header that names their encoding is neither asked nor believed (RFC 8951)."""
    if request.mimetype != REQUEST:
        raise InvalidInput(ErrorCode.MEDIA_TYPE_REFUSED, REQUEST)
    length = request.content_length
    if length is None:
        raise InvalidInput(ErrorCode.LENGTH_REQUIRED)
    if length > MAX_BODY_OCTETS:
        raise InvalidInput(ErrorCode.INPUT_TOO_LARGE, f"at most {MAX_BODY_OCTETS} octets", reason="request.too-large")
    body = request.get_data(cache=False)
    if len(body) != length:
        raise InvalidInput(ErrorCode.INPUT_MALFORMED, "the body is shorter than announced")
    return decode_body(body, MAX_CSR_OCTETS)


def _file_secret() -> FileSecret | None:
    """Return what HTTP Basic carries; EnrolmentUnproven for credentials of another kind or form."""
    if "Authorization" not in request.headers:
        return None
    found = request.authorization
    if found is None or found.type != "basic" or not found.username or found.password is None:
        raise EnrolmentUnproven("est.no-proof", "HTTP Basic with a file's id and its secret")
    return FileSecret(file_id=found.username, secret=found.password)


def _enrolled(outcome: bytes | Waiting) -> Response:
    if isinstance(outcome, Waiting):
        return _without_body(202, {"Retry-After": str(outcome.retry_after)})
    return _base64(certs_only([outcome]), CERTIFICATES)


def _without_body(status: int, headers: Mapping[str, str] | None = None) -> Response:
    answer = Response(status=status, headers=headers)
    del answer.headers["Content-Type"]
    return answer


def _base64(data: bytes, media_type: str) -> Response:
    return Response(encode_body(data), content_type=media_type, headers={"Content-Transfer-Encoding": "base64"})
