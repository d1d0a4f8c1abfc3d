"""The inventory for officers: who looks at persons leaves an event, and it says how much was seen, not whom."""

from hashlib import sha256
from typing import Final, Protocol

from ca import certificate_queries
from ca.context import event
from ca.inventory import queries
from ca.inventory.search import Page, Search, parse_serial
from ca.profiles import IssuerName
from ca.records import CertificateRecord
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import ErrorCode, NotFound
from storage.engine import Database

_OF_PERSONS: Final = frozenset({"holder", "licence", "profession"})


class Reader(Protocol):
    """Who looks."""

    @property
    def id(self) -> str:
        """The name in the audit trail."""


class InventoryDesk:
    """Use cases of looking at certificates. Threads may share it."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def search(self, wanted: Search, officer: Reader, *, after: str | None = None, limit: int = 100) -> Page:
        """Return one page of what is searched for, at most 1000; `after` goes on behind that serial number.

        A page that shows persons, or was asked for by a person's mark, leaves an `inventory.read` first.
        """
        place = None if after is None else parse_serial(after)
        with self._database.read() as connection:
            page = queries.search(connection, wanted, after=place, limit=limit)
        persons = any(entry.issuer == IssuerName.PERSONS for entry in page.entries)
        if persons or not _OF_PERSONS.isdisjoint(wanted.asked):
            serials = [entry.serial for entry in page.entries]
            self._note(officer, serials[0] if len(serials) == 1 else "certificates", ",".join(wanted.asked), serials)
        return page

    def show(self, serial: str, officer: Reader) -> CertificateRecord:
        """Return one certificate; NotFound. One of a person leaves an `inventory.read` first."""
        wanted = parse_serial(serial)
        with self._database.read() as connection:
            found = certificate_queries.find(connection, wanted)
        if found is None:
            raise NotFound(ErrorCode.NOT_FOUND, "no certificate with this serial number")
        if found.issuer is IssuerName.PERSONS:
            self._note(officer, wanted, "serial", [wanted])
        return found

    def _note(self, officer: Reader, subject: str, asked: str, serials: list[str]) -> None:
        digest = sha256("\n".join(serials).encode()).hexdigest()
        read = event(
            AuditAction.INVENTORY_READ,
            self._clock.now(),
            officer.id,
            subject,
            asked=asked,
            found=len(serials),
            serials_sha256=digest,
        )
        with self._database.begin() as unit:
            unit.audit.record(read)
