from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import Column, MetaData, Table, insert, make_url, select
from sqlalchemy.exc import StatementError

from storage.base import UtcDateTime, metadata
from storage.engine import Database

TEHRAN = timezone(timedelta(hours=3, minutes=30))
MOMENTS = (
    datetime(2026, 11, 22, 9, 0, tzinfo=UTC),
    datetime(2026, 11, 22, 9, 0, 0, 1, tzinfo=UTC),
    datetime(1, 1, 1, tzinfo=UTC),
    datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
)


def test_instants_come_back_as_they_were_stored(database: Database) -> None:
    table = Table("moments", MetaData(), Column("at", UtcDateTime))
    with database.begin() as unit:
        table.create(unit.connection)
        unit.connection.execute(insert(table), [{"at": moment} for moment in (*MOMENTS, None)])
    with database.read() as connection:
        found = connection.execute(select(table.c.at).order_by(table.c.at)).scalars().all()
        exact = connection.execute(select(table.c.at).where(table.c.at == MOMENTS[1])).scalars().all()
    assert [moment for moment in found if moment is not None] == sorted(MOMENTS)
    assert None in found
    assert all(moment.tzinfo is UTC for moment in found if moment is not None)
    assert exact == [MOMENTS[1]]


@pytest.mark.parametrize("moment", [datetime(2026, 11, 22, 9, 0), datetime(2026, 11, 22, 9, 0, tzinfo=TEHRAN)])  # noqa: DTZ001  a naive instant is the point
def test_naive_and_foreign_zone_instants_are_refused(moment: datetime, database: Database) -> None:
    table = Table("moments", MetaData(), Column("at", UtcDateTime))
    with database.begin() as unit:
        table.create(unit.connection)
        with pytest.raises(StatementError, match="aware datetime in UTC"):
            unit.connection.execute(insert(table).values(at=moment))


@given(st.datetimes(timezones=st.just(UTC)))
def test_binding_and_reading_undo_each_other(moment: datetime) -> None:
    kind = UtcDateTime()
    for url in ("sqlite://", "postgresql://"):
        dialect = make_url(url).get_dialect()()
        bound = kind.process_bind_param(moment, dialect)
        assert kind.process_result_value(bound, dialect) == moment


def test_every_constraint_has_a_name_that_a_migration_can_use() -> None:
    for table in metadata.tables.values():
        assert all(constraint.name for constraint in table.constraints), table.name
