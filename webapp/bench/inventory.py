"""`inventory.*`: every kind of search over many certificates, on SQLite and on PostgreSQL; p99 of single pages."""

import random
import sqlite3
import statistics
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg
from sqlalchemy import Connection, insert

from ca.inventory import queries
from ca.inventory.search import Search
from ca.inventory.statistics import StatisticsDesk
from ca.status.revocation import CertificateState, RevocationReason
from ca.tables import certificates
from pki.identity_file import pilot_identities
from storage.engine import Database, open_database
from storage.migrate import upgrade
from webapp.bench.measure import Figure
from webapp.bench.postgres import LARGE, find_programs, started_server

SHORT: Final = 50_000
LONG: Final = 1_000_000
PAGE: Final = 100
_ROUND: Final = 10_000
_SEARCHES: Final = 60  # of each kind, each for another value
_DER_OCTETS: Final = 1100
_NOW: Final = datetime(2026, 11, 22, 9, tzinfo=UTC)
_PROVINCES: Final = tuple(f"استان {number}" for number in range(1, 32))
_PROFESSIONS: Final = tuple(pilot_identities().professions)
_SHARES: Final = (30, 10, 10, 8, 30, 8, 4)
_STATES: Final = {
    CertificateState.GOOD: 78,
    CertificateState.EXPIRED: 15,
    CertificateState.REVOKED: 5,
    CertificateState.ON_HOLD: 1,
    CertificateState.ABANDONED: 1,
}


def _holder(dice: random.Random) -> dict[str, Any]:
    kind = dice.choices(("clinician", "citizen", "centre"), (45, 25, 30))[0]
    if kind == "centre":
        number = dice.randrange(170_000)
        return {
            "issuer": "institutions",
            "profile": dice.choice(("hix-tls", "hix-seal")),
            "holder": f"c-{number}",
            "licence": None,
            "profession": None,
            "province": _PROVINCES[int(31 * dice.random() ** 2)],
            "siam_id": f"c-{number}",
        }
    number = dice.randrange(200_000)
    clinician = kind == "clinician"
    return {
        "issuer": "persons",
        "profile": dice.choice(("clin-sign", "clin-auth") if clinician else ("cit-sign", "cit-auth")),
        "holder": f"{kind[:2]}{number:08}",
        "licence": f"{number}" if clinician else None,
        "profession": dice.choices(_PROFESSIONS, _SHARES)[0] if clinician else None,
        "province": None,
        "siam_id": None,
    }


def certificate_rows(count: int) -> Iterator[dict[str, Any]]:
    """Make rows as a ministry's register holds them after four years, the same ones each time."""
    dice = random.Random(4)  # noqa: S311 - rows, no secrets
    for number in range(count):
        state = dice.choices(tuple(_STATES), tuple(_STATES.values()))[0]
        listed = state in (CertificateState.REVOKED, CertificateState.ON_HOLD)
        begin = _NOW - timedelta(days=1400 * (count - number) / count, seconds=dice.randrange(3600))
        yield {
            **_holder(dice),
            "serial": dice.randbytes(20).hex(),
            "file_id": None,
            "name": "آزمایشی",
            "state": state.value,
            "status_version": 1,
            "shard": dice.randrange(64),
            "unapproved": False,
            "spki_sha256": dice.randbytes(32),
            "tbs_sha256": dice.randbytes(32),
            "not_before": begin,
            "not_after": begin + timedelta(days=1095),
            "requested_by": "bench",
            "intended_at": begin,
            "issued_at": begin,
            "revoked_at": begin + timedelta(days=dice.randrange(300)) if listed else None,
            "reason": RevocationReason.SUPERSEDED.value if listed else None,
            "der": dice.randbytes(_DER_OCTETS),
        }


def seed(database: Database, count: int) -> float:
    """Fill an empty table; its indexes are made afterwards. Return the seconds it took."""
    began = time.perf_counter()
    with database.begin() as unit:
        for index in certificates.indexes:
            index.drop(unit.connection)
    rows: list[dict[str, Any]] = []
    for row in certificate_rows(count):
        rows.append(row)
        if len(rows) == _ROUND:
            _insert(database, rows)
            rows = []
    _insert(database, rows)
    with database.begin() as unit:
        for index in certificates.indexes:
            index.create(unit.connection)
        if database.dialect == "postgresql":
            unit.connection.exec_driver_sql("ANALYZE certificates")
    return round(time.perf_counter() - began, 1)


def _insert(database: Database, rows: list[dict[str, Any]]) -> None:
    if rows:
        with database.begin() as unit:
            unit.connection.execute(insert(certificates), rows)


def kinds(dice: random.Random, known: Mapping[str, list[str]]) -> dict[str, Search]:
    """Make one search of each kind, for values that are there unless the kind says otherwise."""
    province, profession = dice.choice(_PROVINCES), dice.choice(_PROFESSIONS)
    start = _NOW + timedelta(days=dice.randrange(900))
    week = {"expires_from": start, "expires_before": start + timedelta(days=7)}
    state = dice.choice(tuple(_STATES))
    profile = dice.choice(("clin-sign", "clin-auth", "cit-sign", "hix-tls", "hix-seal"))
    serial = dice.choice(known["serial"])
    return {
        "serial": Search(serial=serial),
        "serial-prefix": Search(serial_prefix=serial[:5]),
        "holder": Search(holder=dice.choice(known["holder"])),
        "council-number": Search(licence=dice.choice(known["licence"])),
        "centre": Search(siam_id=dice.choice(known["siam_id"])),
        "profession": Search(profession=profession),
        "province": Search(province=province),
        "state": Search(state=state),
        "profile": Search(profile=profile),
        "expiry": Search(**week),  # type: ignore[arg-type]  # two instants
        "expiry-and-state": Search(state=state, **week),  # type: ignore[arg-type]  # two instants
        "profession-and-state": Search(profession=profession, state=state),
        "province-and-state": Search(province=province, state=state),
        "profile-and-state": Search(profile=profile, state=state),
        "profession-profile-state": Search(profession=profession, profile=profile, state=state),
        "never-together": Search(profession=profession, province=province),
    }


def known_values(connection: Connection) -> dict[str, list[str]]:
    """Take values from all over the table."""
    sample = "SELECT serial, holder, licence, siam_id FROM certificates WHERE id % 97 = 0"
    rows = connection.exec_driver_sql(sample.replace("%", "%%") if connection.dialect.name == "postgresql" else sample)
    found: dict[str, list[str]] = {"serial": [], "holder": [], "licence": [], "siam_id": []}
    for row in rows:
        for name, values in found.items():
            if getattr(row, name) is not None:
                values.append(getattr(row, name))
    return found


def measure_searches(database: Database) -> dict[str, float]:
    """Return the p99 of one page of each kind, in milliseconds, second pages among them."""
    dice = random.Random(5)  # noqa: S311 - values of searches, no secrets
    with database.read() as connection:
        known = known_values(connection)
    taken: dict[str, list[float]] = {}
    for number in range(_SEARCHES):
        for kind, wanted in kinds(dice, known).items():
            after: str | None = None
            for _ in range(2):
                before = time.perf_counter()
                with database.read() as connection:
                    page = queries.search(connection, wanted, after=after, limit=PAGE)
                if number:  # the first of each kind fills caches of statements
                    taken.setdefault(kind, []).append((time.perf_counter() - before) * 1000)
                after = page.next
                if after is None:
                    break
    return {kind: round(statistics.quantiles(times, n=100)[98], 2) for kind, times in taken.items()}


def _raw_ms(act: Any) -> float:
    taken = []
    for _ in range(50):
        before = time.perf_counter()
        act()
        taken.append((time.perf_counter() - before) * 1000)
    return round(statistics.median(taken), 3)


def _sqlite_floor(path: Path) -> float:
    """Return the median of a page read by number with the bare driver."""
    query = "SELECT serial, state, profile, name, not_after FROM certificates ORDER BY id DESC LIMIT 100"
    with closing(sqlite3.connect(path)) as bare:
        return _raw_ms(lambda: bare.execute(query).fetchall())


def _postgres_floor(url: str) -> float:
    query = "SELECT serial, state, profile, name, not_after FROM certificates ORDER BY id DESC LIMIT 100"
    with closing(psycopg.connect(url)) as bare:
        return _raw_ms(lambda: bare.execute(query).fetchall())


def _figure(engine: str, database: Database, count: int, floor: float, seeded: float) -> Figure:
    began = time.perf_counter()
    StatisticsDesk(database, _Clock()).sweep()
    sweep = round(time.perf_counter() - began, 2)
    found = measure_searches(database)
    slowest = max(found, key=lambda kind: found[kind])
    rest = ", ".join(f"{kind} {value}" for kind, value in sorted(found.items(), key=lambda item: -item[1]))
    return Figure(
        name=f"inventory.{engine}",
        value=found[slowest],
        unit="ms",
        peer=None,
        peer_value=None,
        floor=f"the newest {PAGE} rows with the bare driver, median, ms",
        floor_value=floor,
        note=f"{count} certificates, p99 of the slowest kind of search ({slowest}), pages of {PAGE}, first and second; "
        f"all kinds: {rest}; counting all anew {sweep} s; seeded in {seeded} s",
    )


class _Clock:
    def now(self) -> datetime:
        return _NOW


def inventory_figures(folder: Path, *, long: bool = False) -> tuple[Figure, ...]:
    """Measure on SQLite, and on PostgreSQL where it is installed."""
    count = LONG if long else SHORT
    folder.mkdir(parents=True, exist_ok=True)
    figures = [_on_sqlite(folder / "inventory.db", count)]
    programs = find_programs()
    if programs is not None:
        with started_server(programs, LARGE) as server:
            database = open_database(server.url())
            try:
                upgrade(database)
                seeded = seed(database, count)
                figures.append(_figure("postgresql", database, count, _postgres_floor(server.url()), seeded))
            finally:
                database.close()
    return tuple(figures)


def _on_sqlite(path: Path, count: int) -> Figure:
    _remove(path)
    database = open_database(f"sqlite:///{path}")
    try:
        upgrade(database)
        seeded = seed(database, count)
        return _figure("sqlite", database, count, _sqlite_floor(path), seeded)
    finally:
        database.close()
        _remove(path)


def _remove(path: Path) -> None:
    for suffix in ("", "-wal", "-shm", "-turn"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
