"""What tests of the token endpoint expect of its answers and of the ledger."""

from typing import Any

from ca.tokens.oauth_answers import OAuthResponse
from tests.support.exchange import FIRST, PHARMACY, PHARMACY_SYSTEM, Centre, Exchange


def pharmacy_of(exchange: Exchange) -> Centre:
    return exchange.centre(PHARMACY, PHARMACY_SYSTEM)


def refused(answer: OAuthResponse, status: int, error: str) -> dict[str, Any]:
    assert (answer.status, answer.headers["Cache-Control"]) == (status, "no-store")
    assert answer.json is not None
    assert answer.json["error"] == error
    return dict(answer.json)


def last_event(exchange: Exchange) -> tuple[str, dict[str, Any]]:
    return exchange.events()[-1]


def unproven(exchange: Exchange, answer: OAuthResponse, reason: str) -> None:
    """The asker learns nothing but `invalid_client`; the ledger learns the reason."""
    assert refused(answer, 401, "invalid_client") == {"error": "invalid_client"}
    action, facts = last_event(exchange)
    assert (action, facts["reason"], facts["actor"]) == ("access-token.refused", reason, "unproven")


def terminate(exchange: Exchange, centre: Centre) -> None:
    exchange.service.terminate(centre.client_id, FIRST)
