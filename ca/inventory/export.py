"""Handing out certificates by the thousand: JSON or CSV a line, streamed, and one event that says what went out.

Rows are read in slices, each a short transaction of its own: a slow receiver holds up no writer. Newest come first,
so what is issued meanwhile is not in it, and nothing is in it twice.
"""

from collections.abc import Generator, Iterator
from hashlib import sha256
from typing import Final

from ca.context import event
from ca.inventory import queries
from ca.inventory.desk import SUBJECT
from ca.inventory.search import COLUMNS, InventoryEntry, Search, entry_members
from ca.line_formats import LineFormat, csv_line
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import Scope
from pki.audit import AuditAction
from pki.clock import Clock
from pki.jose import compact_json
from storage.engine import Database

SLICE: Final = 500


def _lines(entries: tuple[InventoryEntry, ...], form: LineFormat) -> bytes:
    members = [entry_members(entry) for entry in entries]
    if form is LineFormat.NDJSON:
        return b"".join(compact_json(each) + b"\n" for each in members)
    return b"".join(csv_line(each[name] for name in COLUMNS) for each in members)


class ExportDesk:
    """The use case of handing out certificates. Threads may share it."""

    def __init__(self, database: Database, gate: OfficerGate, clock: Clock) -> None:
        self._database, self._gate, self._clock = database, gate, clock

    def export(self, wanted: Search, officer: Officer, form: LineFormat) -> Generator[bytes, None, None]:
        """Yield what is searched for, in pieces of whole lines; NotAllowed as the gate's, before the first.

        `inventory.read` is recorded before the first piece, `inventory.exported` after the last one, or when the
        receiver went away: how many certificates, the SHA-256 of all octets, and whether that was all.
        """
        asked = {"asked": ",".join(wanted.asked), "format": form.value}
        self._begin(wanted, officer, asked)
        digest, certificates, complete = sha256(), 0, False
        try:
            for entries, data in self._pieces(wanted, form):
                digest.update(data)
                certificates += entries
                yield data
            complete = True
        finally:
            self._end(
                officer,
                **asked,
                certificates=certificates,
                sha256=digest.hexdigest(),
                complete=complete,
            )

    def _pieces(self, wanted: Search, form: LineFormat) -> Iterator[tuple[int, bytes]]:
        if form is LineFormat.CSV:
            yield 0, csv_line(COLUMNS)
        after, more = None, True
        while more:
            with self._database.read() as connection:
                page = queries.search(connection, wanted, after=after, limit=SLICE)
            if page.entries:
                yield len(page.entries), _lines(page.entries, form)
            after, more = page.next, page.next is not None

    def _begin(self, wanted: Search, officer: Officer, asked: dict[str, str]) -> None:
        scope = Scope(
            professions=None if wanted.profession is None else frozenset({wanted.profession}),
            provinces=None if wanted.province is None else frozenset({wanted.province}),
        )
        with self._database.begin() as unit:
            self._gate.allow(officer, Act.INVENTORY_EXPORT, scope, unit, subject=SUBJECT)
            unit.audit.record(event(AuditAction.INVENTORY_READ, self._clock.now(), officer.id, SUBJECT, **asked))

    def _end(self, officer: Officer, **facts: str | int | bool) -> None:
        with self._database.begin() as unit:
            unit.audit.record(event(AuditAction.INVENTORY_EXPORTED, self._clock.now(), officer.id, SUBJECT, **facts))
