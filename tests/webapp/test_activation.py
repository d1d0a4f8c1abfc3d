"""The holder's page and the officers' routes of activation, over a desk that answers as it is told."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any

import pytest
from flask.testing import FlaskClient

from ca.activation.records import Activated, Activation
from ca.officers.identity import Officer
from pki.errors import Conflict, ErrorCode, InvalidInput, NotAllowed, ServiceError, Unavailable
from tests.webapp.conftest import FROM_OWN_PAGE, NOW, Client
from webapp.deployment import Deployment
from webapp.deployment_settings import MAX_ACTIVATION_DAYS

NAME, LETTER, SMS = "G0T0-0S00-002R", "K7QM-2X9C", "41TD-0WQ8"
MADE = Activation(
    id="G0T00S00002R",
    file_id="f1",
    made_by="clerk-parsa",
    made_at=NOW,
    expires_at=NOW,
    tries=1,
    sendings=0,
    sent_at=None,
    done_at=None,
)


@dataclass
class Desk:
    """Answers or refuses; keeps what it was asked."""

    refusal: ServiceError | None = None
    asked: list[tuple[str, ...]] = field(default_factory=list)

    def activate(self, *words: str) -> Activated:
        self.asked.append(words)
        if self.refusal is not None:
            raise self.refusal
        return Activated(activation_id=MADE.id, file_id="f1", certificates=(), repeated=False)

    def make(self, file_id: str, officer: Officer) -> Activation:
        self.asked.append((file_id, officer.id))
        if self.refusal is not None:
            raise self.refusal
        return MADE

    def status(self, _file_id: str) -> tuple[Activation | None, tuple[str, ...]]:
        return MADE, ("ab",)


class Gate:
    """Takes every connection for one officer's."""

    def of_peer(self, _certificate: bytes | None) -> Officer:
        return Officer(id="clerk-parsa")


def typed(client: FlaskClient, path: str = "/activate", **headers: str) -> Any:
    form = {"activation": NAME, "letter": LETTER, "sms": SMS}
    return client.post(path, data=form, headers=FROM_OWN_PAGE | headers)


@pytest.mark.parametrize(("path", "word"), [("/activate", "گواهی‌های شما فعال است"), ("/en/activate", "are active")])
def test_right_codes_are_answered_by_a_page(client_of: Client, path: str, word: str) -> None:
    desk = Desk()
    answer = typed(client_of(activation=desk), path)
    assert (answer.status_code, word in answer.text) == (200, True)
    assert desk.asked == [(NAME, LETTER, SMS, "page")]


@pytest.mark.parametrize(
    ("refusal", "status"),
    [
        (NotAllowed(ErrorCode.ACTIVATION_REFUSED), 403),
        (Conflict(ErrorCode.ACTIVATION_LOCKED), 409),
        (Conflict(ErrorCode.ACTIVATION_EXPIRED), 409),
        (Conflict(ErrorCode.LINT_HOLD), 409),
        (InvalidInput(ErrorCode.INPUT_MALFORMED), 400),
        (Unavailable(ErrorCode.DATABASE_UNAVAILABLE), 503),
    ],
)
def test_a_refusal_is_a_page_without_a_code(
    client_of: Client, refusal: ServiceError, status: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    answer = typed(client_of(activation=Desk(refusal=refusal)))
    assert (answer.status_code, answer.headers["Cache-Control"]) == (status, "no-store")
    for code in (LETTER, SMS):
        assert code not in answer.text + caplog.text + str(answer.headers)


def test_the_name_is_shown_again_where_it_is_one_and_nothing_else_is(client_of: Client) -> None:
    client = client_of(activation=Desk(refusal=NotAllowed(ErrorCode.ACTIVATION_REFUSED)))
    page = client.post("/activate", data={"activation": LETTER, "letter": SMS}, headers=FROM_OWN_PAGE).text
    assert LETTER not in page
    assert SMS not in page
    assert 'value=""' in page


def test_the_form_comes_from_our_own_pages_alone(client_of: Client) -> None:
    desk = Desk()
    for headers in ({"Sec-Fetch-Site": "cross-site"}, {"Origin": "https://elsewhere.example"}):
        assert typed(client_of(activation=desk), **headers).status_code == 403
    assert desk.asked == []


def test_a_huge_form_is_not_read(client_of: Client) -> None:
    desk = Desk()
    form = {"activation": NAME, "letter": "A" * 10_000}
    assert client_of(activation=desk).post("/activate", data=form, headers=FROM_OWN_PAGE).status_code == 413
    assert desk.asked == []


def test_a_deployment_without_activation_says_so(client: FlaskClient) -> None:
    assert typed(client).status_code == 503
    assert client.get("/activate").status_code == 200


def test_an_officer_has_new_codes_made_and_sees_none(client_of: Client) -> None:
    desk = Desk()
    client = client_of(activation=desk, gate=Gate())
    answer = client.post("/api/v1/registrations/f1/activation", json={})
    assert answer.status_code == 201, answer.text
    said = answer.get_json()
    assert (said["activation"], said["state"], said["tries_left"], said["waiting"]) == (
        "G0T0-0S00-002R",
        "unsent",
        4,
        ["ab"],
    )
    assert desk.asked == [("f1", "clerk-parsa")]


def test_an_officer_who_may_not_is_told(client_of: Client) -> None:
    client = client_of(activation=Desk(refusal=NotAllowed(ErrorCode.NOT_ALLOWED)), gate=Gate())
    answer = client.post("/api/v1/registrations/f1/activation", json={})
    assert (answer.status_code, answer.get_json()["code"]) == (403, "not-allowed")


def test_nobody_activates_over_the_api(client_of: Client) -> None:
    client = client_of(activation=Desk(), gate=Gate())
    assert client.post(f"/api/v1/activations/{MADE.id}", json={"letter": LETTER, "sms": SMS}).status_code == 404


@pytest.mark.parametrize("days", ["0", "true", '"30"', str(MAX_ACTIVATION_DAYS + 1), "1.5"])
def test_what_is_no_time_for_codes_is_refused(tmp_path: Any, days: str) -> None:
    from dataclasses import replace

    from tests.support.deployment import SETTINGS

    deployment = Deployment(tmp_path)
    deployment.write_settings(replace(SETTINGS, activation_days=7))
    assert deployment.settings().activation_days == 7
    text = deployment.settings_file.read_text().replace("activation_days = 7", f"activation_days = {days}")
    deployment.settings_file.write_text(text)
    with pytest.raises(InvalidInput):
        deployment.settings()
