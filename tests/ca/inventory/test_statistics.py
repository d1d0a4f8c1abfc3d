"""Counts are those of the rows, sweep after sweep, and nothing but the sweep counts."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from sqlalchemy import update

from ca.inventory.statistics import StatisticsDesk
from ca.tables import certificates
from storage.engine import Database
from tests.ca.inventory.rows import insert_rows, make_rows
from tests.ca.world import START, FakeClock


def counted(rows: list[dict[str, Any]]) -> dict[str, dict[str, int]]:
    found = {
        name: Counter(row[name] for row in rows if row[name] is not None)
        for name in ("state", "profile", "profession", "province")
    }
    found["issued"] = Counter(row["issued_at"].date().isoformat() for row in rows if row["issued_at"])
    found["revoked"] = Counter(row["revoked_at"].date().isoformat() for row in rows if row["state"] == "revoked")
    return {name: dict(counts) for name, counts in found.items()}


def test_before_the_first_sweep_there_are_no_counts(fresh: Database) -> None:
    latest = StatisticsDesk(fresh, FakeClock()).latest()
    assert (latest.at, latest.counts) == (None, {})


@pytest.mark.parametrize("first", [0, 150])
def test_a_sweep_counts_what_is_there_also_after_changes(fresh: Database, first: int) -> None:
    rows = sorted(make_rows(5, 300), key=lambda row: row["intended_at"])
    desk = StatisticsDesk(fresh, FakeClock())
    insert_rows(fresh, rows[:first])
    desk.sweep()
    assert {name: dict(counts) for name, counts in desk.latest().counts.items()} == {
        name: counts for name, counts in counted(rows[:first]).items() if counts
    }
    with fresh.begin() as unit:
        unit.connection.execute(certificates.insert(), rows[first:])
        unit.connection.execute(update(certificates).where(certificates.c.state == "on_hold").values(state="revoked"))
    for row in rows:
        row["state"] = "revoked" if row["state"] == "on_hold" else row["state"]
    desk.sweep()
    latest = desk.latest()
    assert latest.at == START
    assert {name: dict(counts) for name, counts in latest.counts.items()} == counted(rows)
