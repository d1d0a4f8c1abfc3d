"""A desk of renewals with a certificate to renew or to replace."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import select

from ca.issuing.line import IssuingLine
from ca.issuing.orders import Issued
from ca.issuing.renewal import RenewalDesk, Wish
from ca.registration_terms import RegistrationTerms
from ca.registries.answers import Source
from ca.status.revocation import CertificateState, RevocationReason
from pki.certificates import Certificate
from pki.errors import ServiceError
from storage.ledger_tables import audit_events
from tests.ca.registration.conftest import Told
from tests.ca.world import CLERK, World, new_csr

GOOD, REVOKED, ON_HOLD = CertificateState.GOOD, CertificateState.REVOKED, CertificateState.ON_HOLD
WAITS = CertificateState.ISSUED  # for its holder, as every new one of a person does
COMPROMISE, SUPERSEDED = RevocationReason.KEY_COMPROMISE, RevocationReason.SUPERSEDED


@dataclass
class Office:
    """A desk of renewals, its registries, and a certificate."""

    world: World
    told: dict[Source, Told]
    terms: RegistrationTerms

    def desk(self, line: IssuingLine | None = None) -> RenewalDesk:
        return RenewalDesk(self.world.database, line or self.world.authority.line, self.terms, self.world.clock)

    def renew(self, old: Issued, **wish: Any) -> Issued:
        return self.desk().carry_out(Wish(**{"serial": old.serial_hex, "csr": new_csr()} | wish), CLERK)

    def state(self, issued: Issued) -> CertificateState:
        return self.world.authority.get(issued.serial_hex).state

    def file_of(self, issued: Issued) -> str:
        return self.world.authority.get(issued.serial_hex).file_id or ""

    def within_window(self, old: Issued) -> None:
        self.world.clock.time = Certificate.parse(old.der).not_after - timedelta(days=20)

    def events(self, action: str) -> dict[str, dict[str, Any]]:
        a = audit_events.c
        with self.world.database.read() as connection:
            rows = connection.execute(select(a.subject, a.facts).where(a.action == action)).all()
        return {row.subject: row.facts if isinstance(row.facts, dict) else json.loads(row.facts) for row in rows}


def refused(act: Callable[[], object]) -> tuple[str, str]:
    with pytest.raises(ServiceError) as error:
        act()
    return str(error.value.code), error.value.reason
