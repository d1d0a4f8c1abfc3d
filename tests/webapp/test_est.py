"""EST's addresses: media types, base64, limits, the TLS listener alone; what the desk does is tried in tests/ca."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from ca.est.enrolment import FileSecret, Waiting
from ca.est.errors import EnrolmentUnproven
from pki.csr import MAX_CSR_OCTETS
from pki.pkcs7 import certs_only, encode_body
from tests.webapp.conftest import ORIGIN
from webapp.app import create_app
from webapp.est import MAX_BODY_OCTETS
from webapp.services import OVER_TLS, PEER_CERTIFICATE, Services

CSR, PEER = b"a request", b"a certificate"
EST = "/.well-known/est"


@dataclass
class Desk:
    """A desk that notes what it is asked."""

    outcome: Any = b"issued"
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    def authorities(self, profile: str | None) -> tuple[bytes, ...]:
        self.asked.append(("authorities", profile))
        return (b"\x30\x00",)

    def attributes(self, profile: str) -> bytes:
        return profile.encode()

    def enrol(self, profile: str | None, csr: bytes, peer: bytes | None, basic: FileSecret | None) -> Any:
        self.asked.append(("enrol", profile, csr, peer, basic))
        return self._answer()

    def renew(self, profile: str | None, csr: bytes, peer: bytes | None) -> Any:
        self.asked.append(("renew", profile, csr, peer))
        return self._answer()

    def _answer(self) -> Any:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return self.outcome


@pytest.fixture
def desk() -> Desk:
    return Desk()


Ask = Callable[..., Any]


@pytest.fixture
def ask(services: Services, desk: Desk) -> Ask:
    est: Any = desk
    client: FlaskClient = create_app(replace(services, est=est)).test_client()

    def send(method: str, path: str, *, tls: bool = True, peer: bytes | None = None, **options: Any) -> Any:
        environ = {OVER_TLS: tls, PEER_CERTIFICATE: peer}
        return client.open(EST + path, method=method, environ_overrides=environ, **options)

    return send


def body(**changes: Any) -> dict[str, Any]:
    return {"data": base64.b64encode(CSR), "content_type": "application/pkcs10", **changes}


def test_a_request_comes_to_the_desk_and_its_certificate_goes_out(ask: Ask, desk: Desk) -> None:
    answer = ask("POST", "/infosys/simpleenroll", peer=PEER, **body())
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/pkcs7-mime; smime-type=certs-only"
    assert answer.headers["Content-Transfer-Encoding"] == "base64"
    assert answer.data == encode_body(certs_only([b"issued"]))
    assert desk.asked == [("enrol", "infosys", CSR, PEER, None)]
    ask("POST", "/simpleenroll", auth=("file-1", "s:e"), **body(content_type="application/pkcs10; x=y"))
    ask("POST", "/simplereenroll", peer=PEER, **body(headers={"Content-Transfer-Encoding": "nonsense"}))
    ask("POST", "/infosys/simplereenroll", peer=PEER, **body(data=b"\r\n" + encode_body(CSR)))
    assert desk.asked[1:] == [
        ("enrol", None, CSR, None, FileSecret(file_id="file-1", secret="s:e")),
        ("renew", None, CSR, PEER),
        ("renew", "infosys", CSR, PEER),
    ]


def test_what_anybody_may_read(ask: Ask, desk: Desk) -> None:
    for path in ("/cacerts", "/infosys/cacerts"):
        answer = ask("GET", path)
        assert (answer.status_code, answer.mimetype) == (200, "application/pkcs7-mime")
        assert answer.data == encode_body(certs_only([b"\x30\x00"]))
    assert desk.asked == [("authorities", None), ("authorities", "infosys")]
    answer = ask("GET", "/infosys/csrattrs")
    assert (answer.mimetype, base64.b64decode(answer.data)) == ("application/csrattrs", b"infosys")
    nothing = ask("GET", "/csrattrs")
    assert (nothing.status_code, nothing.data, "Content-Type" in nothing.headers) == (204, b"", False)


def test_who_waits_is_told_when_to_come_again(ask: Ask, desk: Desk) -> None:
    desk.outcome = Waiting(retry_after=77)
    answer = ask("POST", "/infosys/simpleenroll", **body())
    assert (answer.status_code, answer.headers["Retry-After"], answer.data) == (202, "77", b"")
    assert "Content-Type" not in answer.headers


def test_who_proves_nothing_is_asked_for_a_password(ask: Ask, desk: Desk) -> None:
    desk.outcome = EnrolmentUnproven("est.no-proof")
    answer = ask("POST", "/infosys/simpleenroll", **body())
    assert (answer.status_code, answer.json["code"], answer.json["reason"]) == (
        401,
        "enrolment-unproven",
        "est.no-proof",
    )
    assert answer.mimetype == "application/problem+json"
    assert answer.headers["WWW-Authenticate"].startswith('Basic realm="est"')


@pytest.mark.parametrize("authorization", ["Bearer abc", "Basic", "Basic !!", "Basic OmE=", "Digest a=b", ""])
def test_credentials_of_another_form_are_refused(ask: Ask, desk: Desk, authorization: str) -> None:
    answer = ask("POST", "/simpleenroll", peer=PEER, **body(headers={"Authorization": authorization}))
    assert (answer.status_code, desk.asked) == (401, [])


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/cacerts"), ("GET", "/infosys/csrattrs"), ("POST", "/simpleenroll"), ("POST", "/simplereenroll")],
)
def test_nothing_is_answered_where_the_connection_has_no_tls(ask: Ask, desk: Desk, method: str, path: str) -> None:
    headers = {"X-Forwarded-Proto": "https", "X-SSL-Client-Cert": "a"}
    for options in ({}, {"base_url": "https://mohr.example"}):
        answer = ask(method, path, tls=False, peer=PEER, **body(headers=headers, **options))
        assert (answer.status_code, answer.json["reason"]) == (403, "est.not-tls")
    assert desk.asked == []


@pytest.mark.parametrize(
    ("changes", "status", "code"),
    [
        ({"content_type": "application/x-www-form-urlencoded"}, 415, "media-type-refused"),
        ({"content_type": "application/octet-stream"}, 415, "media-type-refused"),
        ({"content_type": None}, 415, "media-type-refused"),
        ({"data": b""}, 400, "input-empty"),
        ({"data": b"\r\n"}, 400, "input-empty"),
        ({"data": CSR}, 400, "input-malformed"),
        ({"data": b"-----BEGIN CERTIFICATE REQUEST-----"}, 400, "input-malformed"),
        ({"data": base64.b64encode(bytes(MAX_CSR_OCTETS + 1))}, 413, "input-too-large"),
        ({"data": b"A" * (MAX_BODY_OCTETS + 1)}, 413, "input-too-large"),
    ],
)
def test_a_body_that_is_no_base64_request_never_comes_to_the_desk(
    ask: Ask, desk: Desk, changes: dict[str, Any], status: int, code: str
) -> None:
    for path in ("/infosys/simpleenroll", "/simplereenroll"):
        answer = ask("POST", path, peer=PEER, **body(**changes))
        if code == "input-empty" and changes["data"] == b"":
            assert answer.status_code in (400, 411)
        else:
            assert (answer.status_code, answer.json["code"]) == (status, code)
        assert answer.mimetype == "application/problem+json"
    assert desk.asked == []


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/simpleenroll", 405),
        ("PUT", "/infosys/simplereenroll", 405),
        ("POST", "/cacerts", 405),
        ("DELETE", "/infosys/csrattrs", 405),
        ("POST", "/serverkeygen", 404),
        ("POST", "/fullcmc", 404),
        ("GET", "/a/b/cacerts", 404),
        ("GET", "", 404),
    ],
)
def test_mixed_up_methods_and_other_operations_are_problems(ask: Ask, method: str, path: str, status: int) -> None:
    answer = ask(method, path)
    assert (answer.status_code, answer.mimetype) == (status, "application/problem+json")
    assert (status == 405) == ("Allow" in answer.headers)


def test_the_cross_site_rule_lets_programs_through_and_other_sites_pages_not(ask: Ask) -> None:
    assert ask("POST", "/simpleenroll", peer=PEER, **body()).status_code == 200
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        answer = ask("POST", "/simpleenroll", peer=PEER, **body(headers=headers))
        assert answer.json["code"] == "cross-site-refused"
    assert ask("POST", "/simpleenroll", peer=PEER, **body(headers={"Origin": ORIGIN})).status_code == 200


def test_a_deployment_without_enrolment_says_so(client: FlaskClient) -> None:
    answer = client.get(f"{EST}/cacerts", environ_overrides={OVER_TLS: True})
    assert (answer.status_code, answer.mimetype) == (503, "application/problem+json")
