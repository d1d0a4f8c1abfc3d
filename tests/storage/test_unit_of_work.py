from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, select, text

from pki.audit import AuditAction, AuditEvent, AuditSink
from pki.errors import ErrorCode, InvalidInput
from storage.engine import Database
from storage.ledger_entries import MAX_FACTS_CHARACTERS, MAX_NAME_CHARACTERS, new_event_id
from storage.ledger_tables import audit_events
from storage.unit_of_work import AuditBuffer, UnitOfWork

NOW = datetime(2026, 11, 22, 9, 0, tzinfo=UTC)


def event_of(**changes: Any) -> AuditEvent:
    members: dict[str, Any] = {
        "action": AuditAction.CERTIFICATE_ISSUED,
        "at": NOW,
        "actor": "officer-1",
        "subject": "serial:1f",
        "facts": {"profile": "clin-sign", "days": 365, "pilot": True, "note": None},
    }
    return AuditEvent(**{**members, **changes})


def count_of(database: Database) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(audit_events)).scalar_one()


def test_an_event_is_stored_with_its_change_in_every_member(database: Database) -> None:
    with database.begin() as unit:
        sink: AuditSink = unit.audit
        sink.record(event_of(subject="«پروندهٔ ۱»"))
    with database.read() as connection:
        row = connection.execute(select(audit_events)).one()
    assert (row.at, row.action, row.actor, row.subject) == (NOW, "certificate.issued", "officer-1", "«پروندهٔ ۱»")
    assert row.facts == '{"days":365,"note":null,"pilot":true,"profile":"clin-sign"}'
    assert (len(row.salt), row.seq) == (16, None)


def record_and_fail(unit: UnitOfWork) -> None:
    unit.audit.record(event_of())
    raise KeyError


def test_no_event_survives_a_change_that_was_taken_back(database: Database) -> None:
    with pytest.raises(KeyError), database.begin() as unit:
        record_and_fail(unit)
    assert count_of(database) == 0


def test_no_change_survives_an_event_that_cannot_be_stored(database: Database) -> None:
    with database.begin() as unit:
        unit.connection.execute(text("CREATE TABLE changes (value INTEGER)"))

    def change() -> None:
        with database.begin() as unit:
            unit.connection.execute(text("INSERT INTO changes VALUES (1)"))
            unit.audit.record(event_of(actor="a\0b"))

    with pytest.raises(InvalidInput):
        change()
    with database.read() as connection:
        assert connection.execute(text("SELECT count(*) FROM changes")).scalar() == 0


def test_an_event_outlives_the_savepoint_it_was_recorded_in(database: Database) -> None:
    with database.begin() as unit, pytest.raises(KeyError), unit.connection.begin_nested():
        record_and_fail(unit)
    assert count_of(database) == 1


def test_events_keep_the_order_in_which_they_were_recorded(database: Database) -> None:
    with database.begin() as unit:
        entered = [unit.audit.enter(event_of(subject=str(number))) for number in range(300)]
    with database.read() as connection:
        rows = connection.execute(select(audit_events.c.id, audit_events.c.subject).order_by(audit_events.c.id)).all()
    assert [row.id for row in rows] == entered
    assert [row.subject for row in rows] == [str(number) for number in range(300)]
    assert len({row.id for row in rows}) == 300


def test_two_threads_that_write_at_once_lose_no_event(database: Database) -> None:
    def write(who: str) -> None:
        for number in range(20):
            with database.begin() as unit:
                unit.audit.record(event_of(actor=who, subject=str(number)))

    with ThreadPoolExecutor(2) as pool:
        for job in [pool.submit(write, who) for who in ("one", "two")]:
            job.result()
    assert count_of(database) == 40


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"at": NOW.replace(tzinfo=None)}, ErrorCode.INPUT_MALFORMED),
        ({"at": NOW.astimezone(timezone(timedelta(hours=3, minutes=30)))}, ErrorCode.INPUT_MALFORMED),
        ({"actor": "a\0b"}, ErrorCode.INPUT_MALFORMED),
        ({"subject": "\ud800"}, ErrorCode.INPUT_MALFORMED),
        ({"actor": "a" * (MAX_NAME_CHARACTERS + 1)}, ErrorCode.INPUT_TOO_LARGE),
        ({"subject": "s" * (MAX_NAME_CHARACTERS + 1)}, ErrorCode.INPUT_TOO_LARGE),
        ({"facts": {"big": "b" * MAX_FACTS_CHARACTERS}}, ErrorCode.INPUT_TOO_LARGE),
        ({"facts": {"ratio": 0.5}}, ErrorCode.INPUT_MALFORMED),
        ({"facts": {"list": ["a"]}}, ErrorCode.INPUT_MALFORMED),
        ({"facts": {"odd": "\udfff"}}, ErrorCode.INPUT_MALFORMED),
    ],
)
def test_an_event_that_cannot_be_proven_exactly_is_refused(changes: dict[str, Any], code: ErrorCode) -> None:
    buffer = AuditBuffer(bytes)
    with pytest.raises(InvalidInput) as caught:
        buffer.record(event_of(**changes))
    assert caught.value.code is code


@given(st.lists(st.tuples(st.integers(0, 10**14), st.integers(0, 2**26 - 1))))
def test_event_ids_are_version_7_uuids_that_sort_by_millisecond_then_count(keys: list[tuple[int, int]]) -> None:
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    stamps = [(epoch + timedelta(milliseconds=milliseconds), count) for milliseconds, count in keys]
    ids = [new_event_id(at, count, bytes(6)) for at, count in stamps]
    for value, (milliseconds, _) in zip(ids, keys, strict=True):
        parsed = uuid.UUID(value)
        assert parsed.int >> 80 == milliseconds
        assert (parsed.version, parsed.variant, str(parsed)) == (7, uuid.RFC_4122, value)
    assert sorted(ids) == [new_id for _, new_id in sorted(zip(keys, ids, strict=True))]


def test_two_events_alike_have_different_ids_and_salts(database: Database) -> None:
    for _ in range(2):
        with database.begin() as unit:
            unit.audit.record(event_of())
    with database.read() as connection:
        rows = connection.execute(select(audit_events.c.id, audit_events.c.salt)).all()
    assert len({row.id for row in rows}) == len({bytes(row.salt) for row in rows}) == 2
