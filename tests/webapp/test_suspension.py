"""The holder's emergency page and the officers' routes of suspension, over a desk that answers as it is told."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest
from flask.testing import FlaskClient

from ca.officers.identity import Officer
from ca.status.acts.records import Suspended, SuspensionCode
from pki.errors import ErrorCode, InvalidInput, NotAllowed, ServiceError, Unavailable
from tests.webapp.conftest import FROM_OWN_PAGE, NOW, Client
from webapp.pages.suspend import TRIES_A_MINUTE

CODE = "1234-5678-9012-3456"
MADE = SuspensionCode(name="12345678", file_id="f1", made_by="clerk-parsa", made_at=NOW, sendings=0, sent_at=None)


def record(serial: str, shard: int) -> Any:
    return SimpleNamespace(serial_hex=serial, issuer="persons", shard=shard)


@dataclass
class Desk:
    """Answers or refuses; keeps what it was asked."""

    refusal: ServiceError | None = None
    changed: tuple[Any, ...] = ()
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def suspend(self, *words: str) -> Suspended:
        self.asked.append(words)
        if self.refusal is not None:
            raise self.refusal
        return Suspended(file_id="f1", at=NOW, changed=self.changed, before=())

    def suspend_for(self, code: str, officer: Officer, way: str) -> Suspended:
        return self.suspend(code, officer.id, way)

    def make(self, file_id: str, officer: Officer) -> SuspensionCode:
        self.asked.append((file_id, officer.id))
        return MADE


class Gate:
    """Takes every connection for one officer's."""

    def of_peer(self, _certificate: bytes | None) -> Officer:
        return Officer(id="clerk-parsa")


def typed(client: FlaskClient, path: str = "/suspend", **headers: str) -> Any:
    return client.post(path, data={"code": CODE}, headers=FROM_OWN_PAGE | headers)


@pytest.mark.parametrize(("path", "word"), [("/suspend", "گواهی‌های شما معلق است"), ("/en/suspend", "are suspended")])
def test_a_right_code_is_answered_by_a_page_and_felt_in_every_list_once(
    client_of: Client, path: str, word: str
) -> None:
    published: list[str] = []
    desk = Desk(changed=(record("aa", 0), record("bb", 1), record("cc", 1)))
    answer = typed(client_of(suspension=desk, publish_status=published.append), path)
    assert (answer.status_code, word in answer.text, "bb" in answer.text) == (200, True, True)
    assert (desk.asked, len(published)) == ([(CODE, "page")], 2)


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (NotAllowed(ErrorCode.SUSPENSION_REFUSED), 403),
        (InvalidInput(ErrorCode.INPUT_MALFORMED), 400),
        (Unavailable(ErrorCode.DATABASE_UNAVAILABLE), 503),
    ],
)
def test_a_refusal_is_a_page_without_the_code(
    client_of: Client, refusal: ServiceError, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = typed(client_of(suspension=Desk(refusal=refusal)))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (status, "no-store")
    assert CODE not in answer.text + caplog.text + str(answer.headers)


def test_the_form_comes_from_our_own_pages_alone(client_of: Client) -> None:
    desk = Desk()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        assert typed(client_of(suspension=desk), **headers).status_code == 403
    assert desk.asked == []


def test_one_address_gets_so_many_tries_a_minute(client_of: Client) -> None:
    client, desk = None, Desk(refusal=NotAllowed(ErrorCode.SUSPENSION_REFUSED))
    client = client_of(suspension=desk)
    said = [typed(client).status_code for _ in range(TRIES_A_MINUTE + 1)]
    assert said == [403] * TRIES_A_MINUTE + [503]
    assert len(desk.asked) == TRIES_A_MINUTE


def test_a_deployment_without_suspension_says_so(client: FlaskClient) -> None:
    assert typed(client).status_code == 503
    assert client.get("/suspend").status_code == 200


def test_a_call_centre_takes_a_code_and_says_whether_lists_tell_it(client_of: Client) -> None:
    desk = Desk()
    client = client_of(suspension=desk, gate=Gate())
    answer = client.post("/api/v1/suspensions", json={"code": CODE})
    assert (answer.status_code, answer.get_json()["published"]) == (200, False)
    assert desk.asked == [(CODE, "clerk-parsa", "telephone")]
    answer = client_of(suspension=desk, gate=Gate()).post("/api/v1/suspensions", json={"code": CODE, "more": 1})
    assert answer.status_code == 400


def test_nobody_suspends_over_the_api_without_being_an_officer(client_of: Client) -> None:
    desk = Desk()
    assert client_of(suspension=desk).post("/api/v1/suspensions", json={"code": CODE}).status_code in {401, 503}
    assert desk.asked == []


def test_an_officer_has_a_code_made_and_sees_none(client_of: Client) -> None:
    desk = Desk()
    answer = client_of(suspension=desk, gate=Gate()).post("/api/v1/registrations/f1/suspension-code", json={})
    assert (answer.status_code, answer.get_json()["sent_at"]) == (201, None)
    assert "12345678" not in answer.text
    assert desk.asked == [("f1", "clerk-parsa")]
