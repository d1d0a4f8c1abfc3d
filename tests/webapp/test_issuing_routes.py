"""Orders over HTTP, over a line that does what a test says: what is read, answered and bounded."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask.testing import FlaskClient

from ca.issuing.orders import Channel, Issued, IssueOrder
from ca.lint.findings import Finding
from ca.officers.identity import Officer
from pki.errors import ErrorCode, NotAllowed, ServiceError, Unavailable
from tests.support.officers import EveryOfficer
from webapp.api import issuing
from webapp.app import create_app
from webapp.overload import Places
from webapp.services import Services

PATH = "/api/v1/certificates"
KEY = {"Idempotency-Key": "k1"}
ORDER = {"profile": "clin-sign", "file": "f" * 20, "csr": base64.b64encode(b"a wish").decode()}


class Gate(EveryOfficer):
    def of_peer(self, certificate_der: bytes | None) -> Any:
        return Officer(id="akbari")


class Line:
    """Keeps what it is given; refuses the profile `bad`."""

    def __init__(self) -> None:
        self.orders: list[IssueOrder] = []
        self.repeated = False

    def issue(self, order: IssueOrder) -> Issued:
        (outcome,) = self.issue_many([order])
        if isinstance(outcome, ServiceError):
            raise outcome
        return outcome

    def issue_many(self, orders: Iterable[IssueOrder]) -> Iterator[Issued | ServiceError]:
        for order in orders:
            self.orders.append(order)
            if order.profile == "bad":
                yield NotAllowed(ErrorCode.NOT_APPROVED, "no", reason="file.not-approved")
            else:
                yield Issued(der=b"0", serial_hex="ab" * 20, issuer="persons", repeated=self.repeated)


@pytest.fixture
def line() -> Line:
    return Line()


def judge(der: bytes, profile: str) -> tuple[Finding, ...]:
    del der, profile
    return ()


@pytest.fixture
def client(services: Services, line: Line) -> FlaskClient:
    parts: Any = {"gate": Gate(), "issuing": line, "lint_first": judge}
    return create_app(replace(services, **parts)).test_client()


def test_an_order_reaches_the_line_in_the_officer_s_name(client: FlaskClient, line: Line) -> None:
    answer = client.post(PATH, json=ORDER, headers=KEY)
    assert (answer.status_code, answer.headers["Location"]) == (201, f"{PATH}/{'ab' * 20}")
    said: Any = answer.json
    assert set(said) == {"serial", "issuer", "state", "pem", "repeated"}
    (order,) = line.orders
    assert order.officer is not None
    assert (order.actor, order.officer.id, order.channel) == ("akbari", "akbari", Channel.API)
    assert (order.csr, order.idempotency_key, order.lint_first, order.unapproved) == (b"a wish", "k1", None, False)


def test_a_repeated_order_is_no_new_certificate(client: FlaskClient, line: Line) -> None:
    line.repeated = True
    assert client.post(PATH, json=ORDER, headers=KEY).status_code == 200


def test_a_request_in_armour_is_handed_on_as_it_is(client: FlaskClient, line: Line) -> None:
    client.post(PATH, json=ORDER | {"csr": "-----BEGIN X-----\n"}, headers=KEY)
    assert line.orders[0].csr == b"-----BEGIN X-----"


def test_the_linter_is_heard_before_when_that_is_asked(client: FlaskClient, line: Line) -> None:
    client.post(PATH, json=ORDER | {"lint": "before"}, headers=KEY)
    assert line.orders[0].lint_first is judge


@pytest.mark.parametrize(
    ("members", "headers", "reason"),
    [
        ({}, {}, "request.no-idempotency-key"),
        ({"csr": "!!!"}, KEY, "request.not-base64"),
        ({"csr": 7}, KEY, "request.member-type"),
        ({"csr": "A" * 46_000}, KEY, "request.member-length"),
        ({"lint": "never"}, KEY, "request.member-value"),
        ({"unapproved": True}, KEY, "request.unknown-member"),
        ({}, {"Idempotency-Key": "x" * 129}, "request.idempotency-key"),
        ({}, {"Idempotency-Key": "k1,k2"}, "request.idempotency-key"),  # as servers join two headers of one name
    ],
)
def test_an_order_of_a_wrong_form_reaches_no_line(
    client: FlaskClient, line: Line, members: dict[str, Any], headers: dict[str, str], reason: str
) -> None:
    answer = client.post(PATH, json=ORDER | members, headers=headers)
    said: Any = answer.json
    assert (answer.status_code, said["code"], said.get("reason", "")) == (400, "input-malformed", reason)
    assert line.orders == []


def test_a_batch_is_answered_order_by_order(client: FlaskClient, line: Line) -> None:
    orders = [ORDER | {"key": "1"}, ORDER | {"key": "2", "csr": "!!!"}, ORDER | {"key": "3", "profile": "bad"}]
    answer = client.post(f"{PATH}/batch", json={"orders": [*orders, ORDER | {"key": "4"}]})
    said: Any = answer.json
    assert [one["status"] for one in said["outcomes"]] == [201, 400, 403, 201]
    assert [one.get("problem", {}).get("reason") for one in said["outcomes"]] == [
        None,
        "request.not-base64",
        "file.not-approved",
        None,
    ]
    assert [order.idempotency_key for order in line.orders] == ["1", "3", "4"]


@pytest.mark.parametrize("orders", [[], [ORDER | {"key": "k"}] * 257, [ORDER]])
def test_a_batch_of_a_wrong_form_is_refused_whole(client: FlaskClient, line: Line, orders: list[Any]) -> None:
    assert client.post(f"{PATH}/batch", json={"orders": orders}).status_code == 400
    assert line.orders == []


def test_beyond_the_bound_an_order_is_refused_at_once(
    services: Services, line: Line, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuing, "WAITING", 0)
    parts: Any = {"gate": Gate(), "issuing": line}
    answer = create_app(replace(services, **parts)).test_client().post(PATH, json=ORDER, headers=KEY)
    assert (answer.status_code, answer.json and answer.json["code"]) == (503, "overloaded")
    assert int(answer.headers["Retry-After"]) > 0
    assert line.orders == []


def test_a_place_is_free_again_whatever_happened_in_it() -> None:
    places = Places(1)
    for _ in range(2):
        with pytest.raises(Unavailable), places.taken(), places.taken():
            raise AssertionError
