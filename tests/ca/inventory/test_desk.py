"""Whoever looks at persons leaves an event first, and no event holds a national code."""

from __future__ import annotations

from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import Row, select

from ca.inventory.desk import InventoryDesk
from ca.inventory.search import Search
from ca.inventory.statistics import StatisticsDesk
from ca.officers.identity import Act, Officer
from ca.officers.scopes import Scope
from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput, NotAllowed, NotFound
from pki.jose import json_object
from storage.engine import Database
from storage.ledger_tables import audit_events
from storage.unit_of_work import UnitOfWork
from tests.ca.world import CENTRE, CLINICIAN, FIRST, World
from tests.support.officers import EveryOfficer


def events_of(database: Database, action: AuditAction) -> list[Row[Any]]:
    """Return the events of a kind, oldest first."""
    columns = audit_events.c
    statement = select(columns.actor, columns.subject, columns.facts).where(columns.action == action.value)
    with database.read() as connection:
        return list(connection.execute(statement.order_by(columns.id)))


@pytest.fixture
def desk(world: World) -> InventoryDesk:
    return InventoryDesk(world.database, EveryOfficer(), world.clock)


def test_a_search_for_a_person_finds_all_of_theirs_and_leaves_one_event(world: World, desk: InventoryDesk) -> None:
    file = world.approved()
    serials = [world.issue(profile).serial_hex for profile in ("clin-sign", "clin-auth")]
    world.issue("cit-sign")
    assert file.registration.licence is not None
    page = desk.search(Search(licence=file.registration.licence), FIRST)
    assert [entry.serial for entry in page.entries] == serials[::-1]
    assert page.next is None
    (event,) = events_of(world.database, AuditAction.INVENTORY_READ)
    assert (event.actor, event.subject) == ("first", "certificates")
    digest = sha256("\n".join(serials[::-1]).encode()).hexdigest()
    assert json_object(event.facts.encode()) == {"asked": "licence", "found": 2, "serials_sha256": digest}


def test_each_page_of_persons_leaves_an_event(world: World, desk: InventoryDesk) -> None:
    serials = [world.issue("cit-sign").serial_hex for _ in range(2)]
    first = desk.search(Search(profile="cit-sign"), FIRST, limit=1)
    second = desk.search(Search(profile="cit-sign"), FIRST, after=first.next, limit=1)
    assert [page.entries[0].serial for page in (first, second)] == serials[::-1]
    assert {event.subject for event in events_of(world.database, AuditAction.INVENTORY_READ)} == set(serials)


def test_a_search_for_a_person_who_is_not_there_leaves_an_event_too(world: World, desk: InventoryDesk) -> None:
    assert desk.search(Search(holder=CLINICIAN["national_code"]), FIRST).entries == ()
    (event,) = events_of(world.database, AuditAction.INVENTORY_READ)
    assert CLINICIAN["national_code"] not in "".join(map(str, event))


def test_centres_and_systems_are_looked_at_without_an_event(world: World, desk: InventoryDesk) -> None:
    centre, system = world.issue("hix-tls"), world.issue("tls-server")
    assert [entry.serial for entry in desk.search(Search(siam_id="c-1001"), FIRST).entries] == [centre.serial_hex]
    assert desk.show(system.serial_hex, FIRST).der == system.der
    assert events_of(world.database, AuditAction.INVENTORY_READ) == []


def test_a_list_of_whole_records_leaves_an_event_a_page(world: World, desk: InventoryDesk) -> None:
    serials = [world.issue("cit-sign").serial_hex for _ in range(3)]
    first = desk.records(Search(profile="cit-sign"), FIRST, limit=2)
    rest = desk.records(Search(profile="cit-sign"), FIRST, before=first[-1].serial_hex)
    assert [record.serial_hex for record in (*first, *rest)] == serials[::-1]
    assert all(record.der is not None for record in first)
    assert len(events_of(world.database, AuditAction.INVENTORY_READ)) == 2


def test_showing_a_persons_certificate_leaves_an_event(world: World, desk: InventoryDesk) -> None:
    issued = world.issue("clin-sign")
    assert desk.show(issued.serial_hex.upper(), FIRST).der == issued.der
    (event,) = events_of(world.database, AuditAction.INVENTORY_READ)
    assert (event.subject, CLINICIAN["national_code"] in event.facts) == (issued.serial_hex, False)


@dataclass
class Limited(EveryOfficer):
    """A gate for officers of one profession and one province, and what it was asked."""

    scope: Scope
    asked: list[tuple[Act, str]] = field(default_factory=list)

    def allow(
        self,
        officer: Officer,
        act: Act,
        scope: Scope,
        unit: UnitOfWork,
        *,
        realm: str | None = None,
        subject: str = "",
        digest: str = "",
    ) -> None:
        self.asked.append((act, subject))
        if not self.scope.covers(scope):
            raise NotAllowed(ErrorCode.SCOPE_EXCEEDED, "")


def test_an_officer_sees_no_page_that_holds_one_beyond_their_reach(world: World) -> None:
    centre, clinician = world.issue("hix-tls"), world.issue("clin-sign")
    gate = Limited(Scope(professions=frozenset({"centre"}), provinces=frozenset({CENTRE["province"]})))
    limited = InventoryDesk(world.database, gate, world.clock)
    page = limited.search(Search(profile="hix-tls"), FIRST)
    assert [entry.serial for entry in page.entries] == [centre.serial_hex]
    assert limited.show(centre.serial_hex, FIRST).der == centre.der
    for look in (
        lambda: limited.search(Search(), FIRST),
        lambda: limited.search(Search(licence="12345"), FIRST),
        lambda: limited.show(clinician.serial_hex, FIRST),
    ):
        with pytest.raises(NotAllowed):
            look()
    assert events_of(world.database, AuditAction.INVENTORY_READ) == []
    assert set(gate.asked) == {
        (Act.INVENTORY_READ, subject) for subject in ("certificates", centre.serial_hex, clinician.serial_hex)
    }


def test_a_role_in_another_province_is_no_role_here(world: World) -> None:
    world.issue("hix-tls")
    gate = Limited(Scope(provinces=frozenset({"فارس"})))
    with pytest.raises(NotAllowed):
        InventoryDesk(world.database, gate, world.clock).search(Search(profile="hix-tls"), FIRST)


def test_a_person_s_province_goes_from_the_file_to_search_reach_and_counts(world: World) -> None:
    in_fars = world.issue("clin-sign", {**CLINICIAN, "province": "فارس"})
    world.issue("cit-sign")
    scope = Scope(professions=frozenset({"physician"}), provinces=frozenset({"فارس"}))
    limited = InventoryDesk(world.database, Limited(scope), world.clock)
    page = limited.search(Search(province="فارس"), FIRST)
    assert [(entry.serial, entry.province) for entry in page.entries] == [(in_fars.serial_hex, "فارس")]
    assert limited.show(in_fars.serial_hex, FIRST).der == in_fars.der
    with pytest.raises(NotAllowed):
        limited.search(Search(profile="cit-sign"), FIRST)
    counted = StatisticsDesk(world.database, world.clock)
    counted.sweep()
    assert counted.latest().counts["province"] == {"فارس": 1}


def test_what_is_not_there_is_not_found(desk: InventoryDesk) -> None:
    with pytest.raises(NotFound):
        desk.show("abcd", FIRST)
    with pytest.raises(InvalidInput):
        desk.search(Search(), FIRST, after="abcd")
