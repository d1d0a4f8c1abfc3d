"""Renewal and replacement over HTTP: what is published when, and what may wait at once."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from ca.issuing.orders import Issued
from ca.issuing.renewal import Wish
from ca.officers.identity import Officer
from tests.support.officers import EveryOfficer
from webapp.api import renewals
from webapp.api.inventory import PATH
from webapp.app import create_app
from webapp.services import Services

OLD = "cd" * 20
BODY = {"csr": base64.b64encode(b"a wish").decode()}
REPLACEMENT = BODY | {"reason": "keyCompromise"}
KEY = {"Idempotency-Key": "k"}


class Gate(EveryOfficer):
    def of_peer(self, certificate_der: bytes | None) -> Any:
        return Officer(id="akbari")


@dataclass
class Desk:
    """Carries out every wish."""

    repeated: bool = False
    published: list[str] = field(default_factory=list)

    def carry_out(self, wish: Wish, officer: Officer) -> Issued:
        assert (wish.serial, officer.id) == (OLD, "akbari")
        return Issued(der=b"0", serial_hex="ab" * 20, issuer="persons", repeated=self.repeated)

    def publish(self, serial: str) -> int:
        self.published.append(serial)
        return 1


def status_of(services: Services, desk: Desk, what: str, body: dict[str, str]) -> int:
    parts: dict[str, Any] = {"gate": Gate(), "renewals": desk, "publish_status": desk.publish}
    client = create_app(replace(services, **parts)).test_client()
    return client.post(f"{PATH}/{OLD}/{what}", json=body, headers=KEY).status_code


def test_what_is_replaced_is_on_its_list_at_once(services: Services) -> None:
    desk = Desk()
    assert status_of(services, desk, "replacement", REPLACEMENT) == 201
    assert desk.published == [OLD]


@pytest.mark.parametrize(("what", "body", "repeated"), [("renewal", BODY, False), ("replacement", REPLACEMENT, True)])
def test_where_nothing_was_revoked_no_list_is_made(
    what: str, body: dict[str, str], repeated: bool, services: Services
) -> None:
    desk = Desk(repeated=repeated)
    assert status_of(services, desk, what, body) == (200 if repeated else 201)
    assert desk.published == []


def test_beyond_the_bound_a_renewal_is_refused_at_once(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewals, "RENEWING", 0)
    assert status_of(services, Desk(), "renewal", BODY) == 503
