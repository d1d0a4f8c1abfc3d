"""Counts of certificates, kept by a sweep so that no page ever counts.

Every sweep counts states, profiles, professions and provinces anew, from indexes alone. Days of issuing are counted
from the day before the last one that was counted; days of revocation all, as a suspension that becomes a revocation
keeps its date.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Final

from sqlalchemy import Column, Connection, delete, func, insert, select

from ca.inventory.tables import statistics
from ca.status.revocation import CertificateState
from ca.tables import certificates
from pki.clock import Clock
from storage.engine import Database
from storage.unit_of_work import take_turn

ISSUED: Final = "issued"
REVOKED: Final = "revoked"

_c = certificates.c
_s = statistics.c
_COUNTED: Final[tuple[Column[str], ...]] = (_c.state, _c.profile, _c.profession, _c.province)


@dataclass(frozen=True, slots=True, kw_only=True)
class Statistics:
    """Counts as of an instant (None before the first sweep), by name and dimension: `state` → `good` → 12."""

    at: datetime | None
    counts: Mapping[str, Mapping[str, int]]


def _by_value(connection: Connection, column: Column[str]) -> dict[str, int]:
    statement = select(column, func.count()).where(column.is_not(None)).group_by(column)
    return {row[0]: row[1] for row in connection.execute(statement)}


def _by_day(connection: Connection, column: Column[datetime], since: date | None) -> dict[str, int]:
    day = func.date(column)
    statement = select(day, func.count()).where(column.is_not(None)).group_by(day)
    if since is not None:
        statement = statement.where(column >= datetime(since.year, since.month, since.day, tzinfo=UTC))
    if column is _c.revoked_at:
        statement = statement.where(_c.state == CertificateState.REVOKED.value)
    return {str(value): count for value, count in connection.execute(statement)}


def _recount_from(connection: Connection) -> date | None:
    last = connection.execute(select(func.max(_s.dimension)).where(_s.name == ISSUED)).scalar_one_or_none()
    return None if last is None else date.fromisoformat(last) - timedelta(days=1)


class StatisticsDesk:
    """Use cases of counting."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def sweep(self) -> None:
        """Count anew; what others read meanwhile is the last count, whole."""
        now = self._clock.now()
        with self._database.read() as connection:
            since = _recount_from(connection)
            counts = {column.name: _by_value(connection, column) for column in _COUNTED}
            counts[ISSUED] = _by_day(connection, _c.issued_at, since)
            counts[REVOKED] = _by_day(connection, _c.revoked_at, None)
        with self._database.begin() as unit:
            take_turn(unit.connection, statistics)
            for name, values in counts.items():
                kept = () if name != ISSUED or since is None else (_s.dimension >= since.isoformat(),)
                unit.connection.execute(delete(statistics).where(_s.name == name, *kept))
                _insert(unit.connection, name, values.items(), now)

    def latest(self) -> Statistics:
        """Return the counts of the last sweep."""
        counts: dict[str, dict[str, int]] = {}
        at = None
        with self._database.read() as connection:
            for row in connection.execute(select(statistics).order_by(_s.name, _s.dimension)):
                counts.setdefault(row.name, {})[row.dimension] = row.value
                at = row.at if at is None else max(at, row.at)
        return Statistics(at=at, counts=counts)


def _insert(connection: Connection, name: str, values: Iterable[tuple[str, int]], at: datetime) -> None:
    rows = [{"name": name, "dimension": dimension, "value": count, "at": at} for dimension, count in values]
    if rows:
        connection.execute(insert(statistics), rows)
