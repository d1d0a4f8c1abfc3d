"""One pass over everything that outlived a database, in one transaction: it is wholly told, or nothing happened."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, select

from ca.certificate_queries import named
from ca.config import AuthoritySettings
from ca.profiles import IssuerName
from ca.recovery.attachments import read_attached
from ca.recovery.histories import PREFIX, in_order
from ca.recovery.lists import OutlivedList, apply_list, is_explained, leave_numbers_behind, read_list, rows_of
from ca.recovery.redoing import put_back_rights
from ca.recovery.rows import Finding, leave_positions_behind, rewrite
from ca.tbs import Issuer
from pki.audit import AuditAction
from pki.certificates import Certificate
from pki.errors import ErrorCode, InvalidInput, VerificationFailed
from pki.jose import json_object
from pki.notes import VerifierKey
from storage.key_uses import acknowledge_again, keep_again, keep_gap_again
from storage.ledger_replay import LedgerForked, LedgerReplay, ReplayedEvent, event_of
from storage.ledger_sources import LedgerBlock
from storage.ledger_tables import audit_events
from storage.ledger_verification import verify_rows

FORK: Final = "ledger-forked"
_ROUND: Final = 500
_HEX: Final = frozenset("0123456789abcdef")


@dataclass(kw_only=True)
class Told:
    """What the sources say that the database did not know."""

    events: list[ReplayedEvent] = field(default_factory=list)
    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    key_uses: dict[str, list[bytes]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    size_before: int = 0
    size: int = 0
    forked_at: int | None = None


def replay(connection: Connection, sources: Iterable[Iterable[LedgerBlock]], log: VerifierKey, now: datetime) -> Told:
    """Put ledger entries back, source after source; VerificationFailed where one is damaged.

    Of a source that the database's ledger does not continue, the entries stay out of it, and what they say counts.
    """
    ledger = LedgerReplay(connection, log)
    told = Told(size_before=ledger.size_before)
    for source in sources:
        forked = False
        for block in source:
            try:
                new = block.events if forked else ledger.take(block, now)
            except LedgerForked as fork:
                forked, new = True, block.events[fork.common - block.first :]
                told.findings.append(Finding(FORK, str(fork.common), fork.detail))
                told.forked_at = min(fork.common, told.forked_at or fork.common)
            events = [event_of(item) for item in new]
            if forked:
                there = _known(connection, [event.id for event in events])
                events = [event for event in events if event.id not in there]
            told.events += events
            if events:
                rows, uses = read_attached(block.rows)
                told.rows |= rows
                told.key_uses |= {} if forked else uses
    told.size = ledger.size
    return told


def _known(connection: Connection, ids: Sequence[str]) -> set[str]:
    found: set[str] = set()
    for start in range(0, len(ids), _ROUND):
        there = select(audit_events.c.id).where(audit_events.c.id.in_(ids[start : start + _ROUND]))
        found.update(connection.execute(there).scalars())
    return found


@dataclass(frozen=True, slots=True, kw_only=True)
class Places:
    """Who issues in this deployment, and until when what they issued can live."""

    issuers: tuple[Issuer, ...]
    ends: Mapping[str, datetime]

    @staticmethod
    def of(connection: Connection) -> "Places":
        """Read the authorities' certificates."""
        own = named(connection)
        parsed = {label: Certificate.parse(own[label].der) for label in IssuerName if label in own}
        return Places(
            issuers=tuple(Issuer.of(label, certificate) for label, certificate in parsed.items()),
            ends={label.value: certificate.not_after for label, certificate in parsed.items()},
        )


def tell_certificates(
    connection: Connection, told: Told, settings: AuthoritySettings, places: Places, now: datetime
) -> tuple[int, int]:
    """Rewrite the rows that the events are about; return how many are new, and how many changed."""
    leave_positions_behind(connection)
    histories: dict[str, list[ReplayedEvent]] = {}
    for event in told.events:
        if event.action.startswith(PREFIX) and event.subject and _HEX.issuperset(event.subject):
            histories.setdefault(event.subject, []).append(event)
    histories = {serial: in_order(events) for serial, events in histories.items()}
    for event in _since_then(connection):
        if event.subject in histories:
            histories[event.subject].append(event)
    done = rewrite(connection, histories, told.rows, settings, places.ends, now)
    told.findings += done.findings
    told.findings += put_back_rights(connection, told.events)
    return done.inserted, done.updated


def _since_then(connection: Connection) -> list[ReplayedEvent]:
    """Read what was done to certificates by this database since it was put back: it comes after what is told."""
    e = audit_events.c
    query = (
        select(e.id, e.at, e.action, e.actor, e.subject, e.facts)
        .where(e.seq.is_(None), e.action.startswith(PREFIX))
        .order_by(e.id)
    )
    return [
        ReplayedEvent(row.id, row.at, row.action, row.actor, row.subject, json_object(row.facts.encode()))
        for row in connection.execute(query)
    ]


def tell_key_uses(connection: Connection, told: Told) -> None:
    """Put back what the custodians' journals said, as far as it was kept beside the ledger."""
    if told.forked_at is not None:
        return
    for event in told.events:
        match event.action:
            case AuditAction.KEYS_USED.value:
                lines = told.key_uses.get(event.id, [])
                if not keep_again(connection, event.id, event.subject, event.facts, lines):
                    told.findings.append(Finding("key-uses-lost", event.subject, event.id))
            case AuditAction.KEY_JOURNAL_GAP.value:
                keep_gap_again(connection, event.id, event.subject, event.facts)
            case AuditAction.KEY_GAP_ACKNOWLEDGED.value:
                acknowledge_again(connection, event.subject, event.id)
            case _:
                pass


def tell_lists(
    connection: Connection,
    told: Told,
    lists: Mapping[str, bytes],
    settings: AuthoritySettings,
    places: Places,
    now: datetime,
) -> tuple[tuple[OutlivedList, ...], int]:
    """List again whatever the last lists name, leave their numbers behind; return them, and how many rows changed."""
    read = [_read_named(name, data, places, settings) for name, data in lists.items()]
    read.sort(key=lambda one: one.number)
    numbers: dict[tuple[str, int], int] = {}
    updated = 0
    for outlived in read:
        changed, findings = apply_list(connection, outlived, settings, places.ends, now)
        updated += changed - len(findings)  # what is known by the list alone is no row that changed
        told.findings += findings
        here = (outlived.issuer.value, outlived.shard)
        numbers[here] = max(numbers.get(here, 0), outlived.number)
    for event in told.events:
        if event.action == AuditAction.CRL_PUBLISHED.value:
            issuer, _, shard = event.subject.partition("/")
            here = (issuer, int(shard) if shard.isdigit() else 0)
            if issuer in places.ends:
                numbers[here] = max(numbers.get(here, 0), int(event.facts.get("number") or 0))
    leave_numbers_behind(connection, numbers, now)
    return tuple(read), updated


def _read_named(name: str, data: bytes, places: Places, settings: AuthoritySettings) -> OutlivedList:
    try:
        return read_list(data, places.issuers, settings)
    except (InvalidInput, VerificationFailed) as error:
        raise type(error)(error.code, f"{name}: {error.detail}") from error


def check_lists(connection: Connection, lists: Sequence[OutlivedList]) -> None:
    """Read the rows again: whatever the newest list of each place names is listed, or its end is on record."""
    newest = {(one.issuer, one.shard): one for one in lists if one.whole}
    for outlived in newest.values():
        rows = rows_of(connection, [entry.serial for entry in outlived.entries])
        for entry in outlived.entries:
            row = rows.get(entry.serial)
            if row is None or not is_explained(row, entry, outlived.this_update):
                detail = f"certificate {entry.serial} is on list {outlived.number} and not in the rows"
                raise VerificationFailed(ErrorCode.VERIFICATION_FAILED, detail)


def check_ledger(connection: Connection, told: Told, log: VerifierKey, external: str | None) -> None:
    """Compute the whole ledger again; VerificationFailed where anything of it does not hold.

    What does not hold of the key uses beside it is a finding.
    """
    report = verify_rows(connection, log, external)
    for finding in report.findings:
        if finding.code is ErrorCode.HSM_JOURNAL_GAP:
            told.findings.append(Finding("key-uses-gap", finding.event_id or "", finding.detail))
        else:
            raise VerificationFailed(finding.code, finding.detail)
