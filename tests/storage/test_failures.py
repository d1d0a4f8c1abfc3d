"""What a database says of a statement, as its callers hear it."""

from __future__ import annotations

from contextlib import suppress

from sqlalchemy import select

from pki.errors import ErrorCode, InvalidInput
from storage.engine import Database
from storage.ledger_tables import audit_events


def test_text_that_one_database_cannot_hold_is_found_by_neither_and_is_no_fault_of_the_program(
    database: Database,
) -> None:
    wanted = select(audit_events.c.id).where(audit_events.c.subject == "a\0b")
    with suppress(InvalidInput), database.read() as connection:
        assert connection.execute(wanted).first() is None
        return
    assert database.dialect == "postgresql"


def test_the_refusal_tells_no_value(database: Database) -> None:
    try:
        with database.begin() as unit:
            unit.connection.execute(select(audit_events.c.id).where(audit_events.c.subject == "secret\0"))
    except InvalidInput as refused:
        assert (refused.code, "secret" in str(refused)) == (ErrorCode.INPUT_MALFORMED, False)
