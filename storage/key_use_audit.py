"""Auditing the key uses in a database: each chain again from its lines, and all that is said of them beside.

Found: every edited, removed, inserted or swapped line, a chain whose end is cut off, a segment or a gap that its
audit event does not tell of so or that none tells of, totals that do not add up, a gap that nobody looked into. That
the audit events are as they were is the ledger's to prove: whoever changes a line and its event as well shows there.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Final, NamedTuple, Protocol

from sqlalchemy import Column, Connection, func, select
from sqlalchemy.sql.elements import ColumnElement

from pki.audit import AuditAction
from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.jose import json_object
from pki.journal import JournalEntry, line_hash, next_entry, parse_line
from storage.key_use_events import JournalPlace, KeyTotal, SegmentTally, add_use, gap_facts
from storage.key_use_tables import key_journal_gaps, key_use_segments, key_use_totals, key_uses
from storage.ledger_audit import MAX_FINDINGS
from storage.ledger_entries import instant_text
from storage.ledger_rows import instant_of, octets_of, raw, text_of, whole
from storage.ledger_tables import audit_events

_CHUNK: Final = 4096
_uses, _segments, _gaps, _totals = key_uses.c, key_use_segments.c, key_journal_gaps.c, key_use_totals.c


class Report(Protocol):
    """Takes a finding."""

    def __call__(self, detail: str, /, *, event_id: str | None = None) -> None:
        """Add a finding of the code that was agreed on."""
        ...


class LedgerReporter(Protocol):
    """Takes a finding with its code."""

    def __call__(self, code: ErrorCode, detail: str, /, *, event_id: str | None = None) -> None:
        """Add a finding."""
        ...


class _Told(NamedTuple):
    """The audit event beside a row, as far as it can be read."""

    event_id: str | None
    action: str | None
    subject: str | None
    facts: Mapping[str, Any]

    def tells(self, action: AuditAction, subject: str | None, facts: Mapping[str, Any]) -> bool:
        return (self.action, self.subject) == (action, subject) and facts.items() <= self.facts.items()


class _Segment(NamedTuple):
    first: int
    last: int
    head: bytes | None
    told: _Told


class _Gap(NamedTuple):
    custodian: str | None
    expected: JournalPlace
    found: JournalPlace
    told: _Told
    acknowledgement: str | None


def audit_key_uses(connection: Connection, report: LedgerReporter) -> None:
    """Audit the snapshot that `connection` reads; each finding is a `hsm-journal-gap`."""
    _KeyUseAudit(connection, partial(report, ErrorCode.HSM_JOURNAL_GAP)).run()


class _KeyUseAudit:
    def __init__(self, connection: Connection, report: Report) -> None:
        self._connection, self._report = connection, report
        self._totals: dict[str, KeyTotal] = {}
        self._rows = self._segments = 0

    def run(self) -> None:
        gaps = {(gap.custodian, gap.found.chain): gap for gap in self._read_gaps()}
        ends: dict[tuple[str | None, int], JournalPlace] = {}
        for custodian, chain in self._chains(gaps):
            gap = gaps.get((custodian, chain))
            if gap is not None:
                self._check_gap(gap, ends.get((custodian, chain - 1), JournalPlace() if chain == 2 else None))
            elif chain != 1:
                self._report(f"{custodian}: no gap tells why chain {chain} begins")
            begin = JournalPlace(chain) if gap is None else gap.found
            ends[custodian, chain] = self._check_chain(custodian, begin, known=gap is not None or chain == 1)
        self._count(_uses.sequence, self._rows, "lines")
        self._count(_segments.first, self._segments, "segments")
        self._check_totals()
        self._find_strays(AuditAction.KEYS_USED, _segments.event_id)
        self._find_strays(AuditAction.KEY_JOURNAL_GAP, _gaps.event_id)
        self._find_strays(AuditAction.KEY_GAP_ACKNOWLEDGED, _gaps.acknowledgement)

    def _chains(self, gaps: Mapping[tuple[str | None, int], _Gap]) -> list[tuple[str, int]]:
        """List the chains that anything is said of; what is no name or number is counted as left over at the end."""
        found: set[tuple[str | None, int | None]] = set(gaps)
        for table in (_uses, _segments):
            query = select(raw(table.custodian, self._connection), whole(table.chain, self._connection)).distinct()
            found |= {(text_of(custodian), chain) for custodian, chain in self._connection.execute(query)}
        return sorted((name, chain) for name, chain in found if name is not None and chain is not None)

    # --- one chain ---

    def _check_chain(self, custodian: str, begin: JournalPlace, *, known: bool) -> JournalPlace:
        """Follow the lines of one chain beside its segments; return where it ends."""
        segments = self._read_segments(custodian, begin.chain)
        segment, tally, place, untold = next(segments, None), SegmentTally(), begin, False
        for sequence, line, stored in self._read_lines(custodian, begin.chain):
            entry = self._check_line(custodian, place if known else None, sequence, line, stored)
            known, place = True, JournalPlace(begin.chain, sequence, line_hash(line))
            while segment is not None and segment.last < sequence:
                self._report(f"{custodian}: entries {segment.first} to {segment.last} are gone")
                segment, tally = next(segments, None), SegmentTally()
            if segment is None or sequence < segment.first:
                if not untold:
                    self._report(f"{custodian}: no audit event tells of entry {sequence}")
                untold = True
                continue
            untold = False
            if entry is not None:
                tally.add(entry)
            if sequence == segment.last:
                self._check_segment(custodian, segment, tally, place)
                segment, tally = next(segments, None), SegmentTally()
        while segment is not None:
            self._report(f"{custodian}: entries {segment.first} to {segment.last} are gone")
            segment = next(segments, None)
        return place

    def _check_line(
        self, custodian: str, place: JournalPlace | None, sequence: int, line: bytes, stored: bytes | None
    ) -> JournalEntry | None:
        entry: JournalEntry | None
        try:
            entry = parse_line(line) if place is None else next_entry(line, place.sequence, place.hash)
        except (InvalidInput, VerificationFailed) as error:
            self._report(f"{custodian}: {error.detail}")
            entry = _readable(line)
        if entry is not None:
            add_use(self._totals, entry.use)
            if (sequence, stored) != (entry.sequence, line_hash(line)):
                self._report(f"{custodian}: entry {entry.sequence} is not what is kept beside it")
        return entry

    def _check_segment(self, custodian: str, segment: _Segment, tally: SegmentTally, end: JournalPlace) -> None:
        same = (segment.first, segment.head) == (tally.first, end.hash)
        if not same or not segment.told.tells(AuditAction.KEYS_USED, custodian, tally.facts(end)):
            detail = f"{custodian}: the audit event tells otherwise of entries {segment.first} to {segment.last}"
            self._report(detail, event_id=segment.told.event_id)

    def _read_lines(self, custodian: str, chain: int) -> Iterator[tuple[int, bytes, bytes | None]]:
        columns = (_uses.sequence, _uses.line, _uses.line_hash)
        query = select(whole(columns[0], self._connection), *(raw(column, self._connection) for column in columns[1:]))
        where = (_uses.custodian == custodian, _uses.chain == chain)
        for sequence, line, stored in self._in_order(query.where(*where), _uses.sequence):
            self._rows += 1
            yield sequence, octets_of(line) or b"", octets_of(stored)

    def _read_segments(self, custodian: str, chain: int) -> Iterator[_Segment]:
        query = (
            select(
                whole(_segments.first, self._connection),
                whole(_segments.last, self._connection),
                raw(_segments.head, self._connection),
                *self._told_columns(_segments.event_id),
            )
            .select_from(key_use_segments.outerjoin(audit_events, audit_events.c.id == _segments.event_id))
            .where(_segments.custodian == custodian, _segments.chain == chain)
        )
        for first, last, head, *told in self._in_order(query, _segments.first):
            if last is None or last < first:
                self._report(f"{custodian}: the segment from entry {first} has no end")
                continue
            self._segments += 1
            yield _Segment(first, last, octets_of(head), _told(told))

    def _in_order(self, query: Any, column: Column[int]) -> Iterator[Sequence[Any]]:
        """Read rows by a number, their first column, in constant memory; up to one that holds something else."""
        last: int | None = None
        while True:
            following = query if last is None else query.where(column > last)
            rows = self._connection.execute(following.order_by(column).limit(_CHUNK)).all()
            for row in rows:
                if row[0] is None:
                    return
                yield row
            if len(rows) < _CHUNK:
                return
            last = rows[-1][0]

    # --- what is said beside the lines ---

    def _told_columns(self, event_id: Column[str]) -> tuple[ColumnElement[Any], ...]:
        columns = (event_id, audit_events.c.action, audit_events.c.subject, audit_events.c.facts)
        return tuple(raw(column, self._connection) for column in columns)

    def _read_gaps(self) -> Iterator[_Gap]:
        numbers = (_gaps.chain, _gaps.expected_sequence, _gaps.found_sequence)
        octets = (_gaps.custodian, _gaps.expected_hash, _gaps.found_hash, _gaps.acknowledgement)
        query = select(
            *(whole(column, self._connection) for column in numbers),
            *(raw(column, self._connection) for column in octets),
            *self._told_columns(_gaps.event_id),
        ).select_from(key_journal_gaps.outerjoin(audit_events, audit_events.c.id == _gaps.event_id))
        for (
            chain,
            expected,
            found,
            custodian,
            expected_hash,
            found_hash,
            acknowledgement,
            *told,
        ) in self._connection.execute(query):
            if chain is None or expected is None or found is None or text_of(custodian) is None:
                self._report("a gap is not written as one", event_id=text_of(told[0]))
                continue
            yield _Gap(
                custodian=text_of(custodian),
                expected=JournalPlace(chain - 1, expected, octets_of(expected_hash) or b""),
                found=JournalPlace(chain, found, octets_of(found_hash) or b""),
                told=_told(told),
                acknowledgement=None if acknowledgement is None else text_of(acknowledgement) or "",
            )

    def _check_gap(self, gap: _Gap, end: JournalPlace | None) -> None:
        event_id, expected = gap.told.event_id, gap.expected
        if end != expected:
            self._report(f"{gap.custodian}: the gap does not follow the end of its chain", event_id=event_id)
        if not gap.told.tells(AuditAction.KEY_JOURNAL_GAP, gap.custodian, gap_facts(expected, gap.found)):
            self._report(f"{gap.custodian}: the audit event tells otherwise of the gap", event_id=event_id)
        if gap.acknowledgement is None:
            place = f"entry {gap.expected.sequence} is followed by one of another chain, after {gap.found.sequence}"
            self._report(f"{gap.custodian}: {place}; nobody has looked into this gap", event_id=event_id)
            return
        query = select(*self._told_columns(audit_events.c.id)).where(audit_events.c.id == gap.acknowledgement)
        row = self._connection.execute(query).first()
        if row is None or not _told(row).tells(AuditAction.KEY_GAP_ACKNOWLEDGED, event_id, {}):
            self._report(f"{gap.custodian}: no audit event tells who acknowledged the gap", event_id=event_id)

    def _check_totals(self) -> None:
        columns = raw(_totals.key, self._connection), whole(_totals.uses, self._connection)
        rows = self._connection.execute(select(*columns, raw(_totals.last_use, self._connection)))
        kept = {(text_of(key), uses, instant_of(last_use)) for key, uses, last_use in rows}
        expected = {(key, total.count, instant_text(total.last_use)) for key, total in self._totals.items()}
        for key in sorted({str(total[0]) for total in kept ^ expected}):
            self._report(f"the total of {key} is not that of its uses")

    def _count(self, column: Column[int], seen: int, name: str) -> None:
        kept = self._connection.execute(select(func.count()).select_from(column.table)).scalar_one()
        if kept != seen:
            self._report(f"{kept - seen} {name} of key uses belong to no chain")

    def _find_strays(self, action: AuditAction, reference: Column[str]) -> None:
        """Name the events of a kind that no row refers to."""
        query = (
            select(raw(audit_events.c.id, self._connection))
            .select_from(audit_events.outerjoin(reference.table, reference == audit_events.c.id))
            .where(audit_events.c.action == action.value, reference.is_(None))
            .limit(MAX_FINDINGS)
        )
        for event_id in self._connection.execute(query).scalars():
            self._report(f"what the event {action} tells of is gone", event_id=text_of(event_id))


def _told(columns: Sequence[Any]) -> _Told:
    event_id, action, subject, facts = (text_of(value) for value in columns)
    try:
        members = json_object((facts or "").encode())
    except InvalidInput:
        members = {}
    return _Told(event_id, action, subject, members)


def _readable(line: bytes) -> JournalEntry | None:
    try:
        return parse_line(line)
    except InvalidInput:
        return None
