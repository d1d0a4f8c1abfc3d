"""A deployment in small that loses its database: what it published and followed stays."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import select

from ca.issuing.orders import Issued
from ca.recovery import state
from ca.recovery.attachments import attached_rows
from ca.recovery.desk import RecoveryDesk
from ca.recovery.guard import Mark, RecoveryGuard
from ca.tables import certificates
from hsm.soft import UnsafeSoftKey
from pki.keys import SignatureAlgorithm
from pki.notes import VerifierKey, open_checkpoint, verifier_key
from storage.database_copy import SQLITE_FILE, copy_sqlite
from storage.engine import Database, open_database
from storage.ledger import Ledger
from storage.ledger_segments import LedgerSegments
from storage.ledger_sources import read_blocks
from tests.ca.conftest import WorldMaker
from tests.ca.world import World, new_csr
from tests.support.officers import EveryOfficer

ORIGIN = "log.example/recovery"
Known = tuple[str, datetime | None, str | None, datetime | None]


@dataclass(kw_only=True)
class Site:
    """A world with a ledger that is sealed and followed, whose lists and checkpoint are published."""

    world: World
    folder: Path
    key: UnsafeSoftKey = field(default_factory=lambda: UnsafeSoftKey.generate(SignatureAlgorithm.EDDSA))
    mark: Mark | None = None
    lists: dict[tuple[str, int], bytes] = field(default_factory=dict)
    opened: list[Database] = field(default_factory=list)

    @property
    def log(self) -> VerifierKey:
        return verifier_key(ORIGIN, self.key)

    def seal(self, database: Database | None = None) -> None:
        """Give events their leaves, sign and publish a checkpoint, and follow it on disk."""
        database = self.world.database if database is None else database
        ledger = Ledger(database)
        while ledger.sequence():
            continue
        note = ledger.checkpoint(self.key, ORIGIN, self.world.clock.now())
        self.mark = (note.encode(), open_checkpoint(note, self.log))
        LedgerSegments(database, self.folder / "ledger", attached_rows).follow()

    def publish(self) -> None:
        for shard in range(self.world.settings.shards_of("systems")):
            crl = self.world.authority.publish_crl("systems", shard)
            self.lists[crl.issuer, crl.shard] = crl.der

    def issue(self, file_id: str) -> Issued:
        return self.world.authority.issue("infosys", file_id, new_csr(), "clerk")

    def backup(self) -> Path:
        kept = self.folder / "backup"
        kept.mkdir()
        copy_sqlite(self.world.database, kept)
        return kept / SQLITE_FILE

    def restored(self, database: Database, make_world: WorldMaker) -> tuple[World, RecoveryDesk, RecoveryGuard]:
        """Go on with a database that came from a backup."""
        world = make_world(database)
        world.clock.time = self.world.clock.time
        guard = RecoveryGuard(database, lambda: self.mark, lambda: 0.0)
        desk = RecoveryDesk(database, world.settings, EveryOfficer(), world.clock, guard)
        return world, desk, guard

    def open(self, path: Path) -> Database:
        self.opened.append(open_database(f"sqlite:///{path}"))
        return self.opened[-1]

    def reconcile(self, desk: RecoveryDesk, **options: Any) -> dict[str, Any]:
        sources = [read_blocks(self.folder / "ledger")]
        return desk.reconcile(
            sources,
            {"/".join(map(str, place)): der for place, der in self.lists.items()},
            self.log,
            self.mark,
            "operator",
            **options,
        )

    def close(self) -> None:
        for database in self.opened:
            database.close()


def begin(database: Database, world: World) -> None:
    """Mark a database as one that was put back."""
    with database.begin() as unit:
        state.begin(unit, state.RESTORED, "", "operator", world.clock.now())


def statuses(database: Database, *, but: Sequence[str] = ()) -> dict[str, Known]:
    """Return what the rows say of every certificate."""
    c = certificates.c
    with database.read() as connection:
        rows = connection.execute(select(c.serial, c.state, c.revoked_at, c.reason, c.invalidity_date))
        return {row[0]: tuple(row[1:]) for row in rows if row[0] not in but}
