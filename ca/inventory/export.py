"""Handing out certificates by the thousand: JSON or CSV a line, streamed, and one event that says what went out.

Rows are read in slices, each a short transaction of its own: a slow receiver holds up no writer. Newest come first,
so what is issued meanwhile is not in it, and nothing is in it twice.
"""

import csv
import io
from collections.abc import Generator, Iterator
from enum import StrEnum, unique
from hashlib import sha256
from typing import Final

from ca.context import event
from ca.inventory import queries
from ca.inventory.desk import SUBJECT
from ca.inventory.search import COLUMNS, InventoryEntry, Search, entry_members
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import Scope
from pki.audit import AuditAction
from pki.clock import Clock
from pki.jose import compact_json
from storage.engine import Database

SLICE: Final = 500
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")


@unique
class ExportFormat(StrEnum):
    """How lines are written."""

    NDJSON = "ndjson"
    CSV = "csv"

    @property
    def media_type(self) -> str:
        """The Content-Type."""
        return "application/x-ndjson" if self is ExportFormat.NDJSON else "text/csv; charset=utf-8; header=present"


def _cell(value: object) -> str:
    """Write a cell that no spreadsheet takes for a formula: an apostrophe goes before what could begin one."""
    text = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    return f"'{text}" if text.lstrip(" ").startswith(_FORMULA) else text


def _csv_line(cells: list[str]) -> bytes:
    line = io.StringIO()
    csv.writer(line, quoting=csv.QUOTE_ALL).writerow(cells)  # RFC 4180: CRLF, quotes doubled
    return line.getvalue().encode()


def _lines(entries: tuple[InventoryEntry, ...], form: ExportFormat) -> bytes:
    members = [entry_members(entry) for entry in entries]
    if form is ExportFormat.NDJSON:
        return b"".join(compact_json(each) + b"\n" for each in members)
    return b"".join(_csv_line([_cell(each[name]) for name in COLUMNS]) for each in members)


class ExportDesk:
    """The use case of handing out certificates. Threads may share it."""

    def __init__(self, database: Database, gate: OfficerGate, clock: Clock) -> None:
        self._database, self._gate, self._clock = database, gate, clock

    def export(self, wanted: Search, officer: Officer, form: ExportFormat) -> Generator[bytes, None, None]:
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

    def _pieces(self, wanted: Search, form: ExportFormat) -> Iterator[tuple[int, bytes]]:
        if form is ExportFormat.CSV:
            yield 0, _csv_line(list(COLUMNS))
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
