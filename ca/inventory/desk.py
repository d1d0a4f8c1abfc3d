"""The inventory for officers: who looks at persons leaves an event, and it says how much was seen, not whom.

What an officer may look at is decided by what was found: every certificate of a page must lie within the professions
and provinces of the officer's roles, and its file in a realm that they reach.
"""

from collections.abc import Iterable
from hashlib import sha256
from typing import Final

from sqlalchemy import Connection

from ca import certificate_queries
from ca.context import event
from ca.inventory import queries
from ca.inventory.search import Page, Search, parse_serial
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.repository import realm_above
from ca.officers.scopes import EVERYTHING, NOTHING, Scope
from ca.profiles import IssuerName
from ca.records import CertificateRecord
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import ErrorCode, NotFound
from storage.engine import Database
from storage.unit_of_work import UnitOfWork

_OF_PERSONS: Final = frozenset({"holder", "licence", "profession"})
_KINDS: Final = {IssuerName.PERSONS: "citizen", IssuerName.INSTITUTIONS: "centre", IssuerName.SYSTEMS: "system"}
SUBJECT: Final = "certificates"
"""What a signed statement about a search names."""


def scope_of(found: Iterable[tuple[str, str | None, str | None]]) -> Scope:
    """Return the scope of certificates, each by issuer, profession and province.

    A holder without a profession counts by its kind; one without a province is in all of them. The deployment's own
    certificates are in none.
    """
    of_holders = [one for one in found if one[0] in _KINDS]
    if not of_holders:
        return NOTHING
    professions = frozenset(profession or _KINDS[IssuerName(issuer)] for issuer, profession, _ in of_holders)
    provinces = frozenset(province for _, _, province in of_holders if province is not None)
    everywhere = any(province is None for _, _, province in of_holders)
    return Scope(professions=professions, provinces=None if everywhere else provinces)


def _realm_of(connection: Connection, found: Iterable[tuple[str, str | None]], officer: Officer) -> str | None:
    """Return the lowest realm that reaches certificates, each by issuer and file; the officer's own for none."""
    files = {file_id for issuer, file_id in found if issuer in _KINDS}
    if not files:
        return officer.realm
    realms = queries.realms_of(connection, [file_id for file_id in files if file_id is not None])
    return realm_above(connection, realms | ({None} if None in files else set()))


class InventoryDesk:
    """Use cases of looking at certificates. Threads may share it. NotAllowed everywhere as the gate's."""

    def __init__(self, database: Database, gate: OfficerGate, clock: Clock) -> None:
        self._database, self._gate, self._clock = database, gate, clock

    def search(self, wanted: Search, officer: Officer, *, after: str | None = None, limit: int = 100) -> Page:
        """Return one page of what is searched for, at most 1000; `after` goes on behind that serial number.

        A page that shows persons, or was asked for by a person's mark, leaves an `inventory.read` first.
        """
        place = None if after is None else parse_serial(after)
        with self._database.read() as connection:
            page = queries.search(connection, wanted, after=place, limit=limit)
            realm = _realm_of(connection, ((entry.issuer, entry.file_id) for entry in page.entries), officer)
        scope = scope_of((entry.issuer, entry.profession, entry.province) for entry in page.entries)
        self._let(officer, wanted, scope, realm, [(entry.serial, entry.issuer) for entry in page.entries])
        return page

    def records(
        self, wanted: Search, officer: Officer, *, before: str | None = None, limit: int = 100
    ) -> tuple[CertificateRecord, ...]:
        """Return one page of whole records, for those who may see all there is; `before` goes on behind a serial."""
        with self._database.read() as connection:
            page = certificate_queries.page(connection, wanted, before=before, limit=limit)
        self._let(officer, wanted, EVERYTHING, None, [(record.serial_hex, record.issuer) for record in page])
        return page

    def _let(
        self, officer: Officer, wanted: Search, scope: Scope, realm: str | None, found: list[tuple[str, str]]
    ) -> None:
        """Ask the gate, and note what is about persons."""
        persons = any(issuer == IssuerName.PERSONS for _, issuer in found)
        serials = [serial for serial, _ in found]
        with self._database.begin() as unit:
            self._gate.allow(officer, Act.INVENTORY_READ, scope, unit, realm=realm, subject=SUBJECT)
            if persons or not _OF_PERSONS.isdisjoint(wanted.asked):
                subject = serials[0] if len(serials) == 1 else SUBJECT
                self._note(unit, officer, subject, ",".join(wanted.asked), serials)

    def show(self, serial: str, officer: Officer) -> CertificateRecord:
        """Return one certificate; NotFound. One of a person leaves an `inventory.read` first."""
        wanted = parse_serial(serial)
        with self._database.read() as connection:
            found = certificate_queries.find(connection, wanted)
            marks = queries.marks_of(connection, wanted)
            shown = () if found is None else ((found.issuer, found.file_id),)
            realm = _realm_of(connection, shown, officer)
        with self._database.begin() as unit:
            scope = NOTHING if found is None else scope_of([(found.issuer, marks.profession, marks.province)])
            self._gate.allow(officer, Act.INVENTORY_READ, scope, unit, realm=realm, subject=wanted)
            if found is not None and found.issuer is IssuerName.PERSONS:
                self._note(unit, officer, wanted, "serial", [wanted])
        if found is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no certificate with this serial number")
        return found

    def successor(self, serial: str) -> str | None:
        """Return the serial number of what renews or replaces a certificate and has not ended, or None."""
        wanted = parse_serial(serial)
        with self._database.read() as connection:
            return queries.successors_of(connection, [wanted]).get(wanted)

    def _note(self, unit: UnitOfWork, officer: Officer, subject: str, asked: str, serials: list[str]) -> None:
        digest = sha256("\n".join(serials).encode()).hexdigest()
        now = self._clock.now()
        facts: dict[str, str | int] = {"asked": asked, "found": len(serials), "serials_sha256": digest}
        unit.audit.record(event(AuditAction.INVENTORY_READ, now, officer.id, subject, **facts))
