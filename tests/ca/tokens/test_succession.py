"""A connection token follows its centre to a renewed or replaced certificate, when the centre first shows it."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from ca.issuing.renewal import RenewalDesk, Wish
from ca.registration_terms import RegistrationTerms
from ca.status.revocation import RevocationReason
from hsm.soft import UnsafeSoftKey
from pki.certificates import Certificate
from pki.csr import build_csr
from pki.keys import SignatureAlgorithm
from tests.ca.world import CLERK
from tests.support.exchange import Centre, Exchange


def successor(
    exchange: Exchange, centre: Centre, *, reason: RevocationReason | None = None, key: UnsafeSoftKey | None = None
) -> Centre:
    """Renew or replace a centre's certificate; return the centre as it goes on with the new one."""
    own = key or UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    desk = RenewalDesk(exchange.database, exchange.authority.line, RegistrationTerms(), exchange.clock)
    wish = Wish(serial=centre.certificate.serial_hex, csr=build_csr(own, "wish"), reason=reason)
    made = desk.carry_out(wish, CLERK)
    return replace(centre, key=own, certificate=Certificate.parse(made.der))


def near_the_end(exchange: Exchange, centre: Centre) -> None:
    exchange.clock.move(centre.certificate.not_after - exchange.clock.now() - timedelta(days=20))
    exchange.service.refresh(centre.client_id)


def status(centre: Centre) -> int:
    return centre.ask(peer=centre.certificate.der).status


@pytest.mark.parametrize("same_key", [False, True])
def test_the_old_certificate_works_until_the_new_one_is_shown(
    exchange: Exchange, clinic: Centre, same_key: bool
) -> None:
    near_the_end(exchange, clinic)
    renewed = successor(exchange, clinic, key=clinic.key if same_key else None)
    assert status(clinic) == 200
    assert status(renewed) == 200
    assert status(renewed) == 200
    assert status(clinic) != 200
    (moved,) = [facts for action, facts in exchange.events(clinic.client_id) if action == "token.followed"]
    assert (moved["predecessor"], moved["certificate"]) == (
        clinic.certificate.serial_hex,
        renewed.certificate.serial_hex,
    )


def test_a_replaced_certificate_gives_its_place_over_two_steps(exchange: Exchange, clinic: Centre) -> None:
    lost = successor(exchange, clinic, reason=RevocationReason.SUPERSEDED)
    second = successor(exchange, lost, reason=RevocationReason.KEY_COMPROMISE)
    assert status(clinic) != 200
    assert status(lost) != 200
    assert status(second) == 200


def test_without_the_connection_s_certificate_nothing_moves(exchange: Exchange, clinic: Centre) -> None:
    near_the_end(exchange, clinic)
    renewed = successor(exchange, clinic)
    assert renewed.ask().status != 200
    assert status(clinic) == 200


def test_a_certificate_that_comes_after_nothing_of_the_token_moves_nothing(exchange: Exchange, clinic: Centre) -> None:
    own = UnsafeSoftKey.generate(SignatureAlgorithm.ES256)
    other = exchange.authority.issue("hix-tls", clinic.client_id, build_csr(own, "wish"), "clerk")
    assert status(replace(clinic, key=own, certificate=Certificate.parse(other.der))) != 200
    assert status(clinic) == 200


def test_a_successor_that_is_on_hold_moves_nothing(exchange: Exchange, clinic: Centre) -> None:
    near_the_end(exchange, clinic)
    renewed = successor(exchange, clinic)
    exchange.authority.hold(renewed.certificate.serial_hex, CLERK)
    assert status(renewed) != 200
    assert status(clinic) == 200
