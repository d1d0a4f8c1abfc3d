"""The application over parts that answer at once; each test changes the part it is about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO
from typing import Any

import pytest
from flask.testing import FlaskClient

from tests.webapp.samples import SAMPLES
from webapp.app import create_app
from webapp.health import HealthReport, PartHealth, PartState
from webapp.services import Services

NOW = datetime(2026, 11, 22, 9, 5, tzinfo=UTC)
ORIGIN = "https://mohr.example"
FROM_OWN_PAGE = {"Origin": ORIGIN, "Sec-Fetch-Site": "same-origin"}


class FixedClock:
    def __init__(self, at: datetime = NOW) -> None:
        self.at = at

    def now(self) -> datetime:
        return self.at


def healthy() -> HealthReport:
    return HealthReport(at=NOW, parts=(PartHealth(name="database", state=PartState.OK, since=NOW),))


def sample_verifier(data: bytes, *, content: bytes | None, name: str) -> Mapping[str, Any]:
    """Answer with the sample that the file names; what the signer answers is tested with the signer."""
    del content
    return SAMPLES[data.decode()] | {"file": name}


@pytest.fixture(scope="session")
def services() -> Services:
    return Services(public_url=ORIGIN, clock=FixedClock(), health=healthy, verify=sample_verifier)


Client = Callable[..., FlaskClient]


@pytest.fixture(scope="session")
def client_of(services: Services) -> Client:
    def build(**changes: Any) -> FlaskClient:
        return create_app(replace(services, **changes)).test_client()

    return build


@pytest.fixture(scope="session")
def client(client_of: Client) -> FlaskClient:
    return client_of()


@pytest.fixture
def check(client: FlaskClient) -> Callable[..., Any]:
    """Send a file to the verify page, as its form does."""

    def send(data: bytes, name: str = "rx.json", path: str = "/verify") -> Any:
        return client.post(path, data={"file": (BytesIO(data), name)}, headers=FROM_OWN_PAGE)

    return send
