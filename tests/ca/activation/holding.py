"""What a holder does with codes, as tests do it, and what is left of it."""

from __future__ import annotations

import pytest
from sqlalchemy import select

from ca.activation.records import Activation
from ca.issuing.orders import Issued
from ca.status.revocation import CertificateState
from pki.errors import Conflict, ErrorCode, NotAllowed
from storage.ledger_tables import audit_events
from tests.ca.world import CLERK, World

WRONG = "0000-0000"  # well typed, and drawn once in 2 ** 35


def sent(world: World, issued: Issued) -> Activation:
    """Have codes made and sent for what waits."""
    file_id = str(world.authority.get(issued.serial_hex).file_id)
    return world.activation.send(world.activation.make(file_id, CLERK).id)


def state_of(world: World, issued: Issued) -> CertificateState:
    return world.authority.get(issued.serial_hex).state


def actions(world: World, *subjects: str) -> list[str]:
    with world.database.read() as connection:
        rows = connection.execute(
            select(audit_events.c.action).where(audit_events.c.subject.in_(subjects)).order_by(audit_events.c.id)
        )
        return [action for action in rows.scalars() if "activat" in action]


def refused(world: World, name: str, first: str, second: str) -> ErrorCode:
    with pytest.raises((NotAllowed, Conflict)) as error:
        world.activation.activate(name, first, second, "test")
    return error.value.code
