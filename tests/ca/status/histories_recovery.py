"""A register that is lost in a history, put back as it was some time ago, and told what outlived it."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from ca.recovery import state
from ca.recovery.attachments import attached_rows
from ca.recovery.desk import RecoveryDesk
from ca.recovery.guard import Mark, RecoveryGuard
from hsm.soft import UnsafeSoftKey
from pki.clock import Clock
from pki.keys import SignatureAlgorithm
from pki.notes import VerifierKey, open_checkpoint, verifier_key
from storage.database_copy import SQLITE_FILE, copy_sqlite
from storage.engine import Database
from storage.ledger import Ledger
from storage.ledger_segments import LedgerSegments
from storage.ledger_sources import read_blocks
from tests.ca.status.histories_settings import SETTINGS
from tests.ca.world import FIRST, SECOND
from tests.support.officers import EveryOfficer

ORIGIN = "log.example/histories"


@dataclass(kw_only=True, repr=False)
class Outliving:
    """What is kept outside of the register: the ledger on disk, its last checkpoint, a backup."""

    folder: Path
    clock: Clock
    key: UnsafeSoftKey = field(default_factory=lambda: UnsafeSoftKey.generate(SignatureAlgorithm.EDDSA))
    mark: Mark | None = None

    @property
    def log(self) -> VerifierKey:
        return verifier_key(ORIGIN, self.key)

    @property
    def backup(self) -> Path:
        return self.folder / "backup" / SQLITE_FILE

    def guard(self, database: Database) -> RecoveryGuard:
        """Return a guard that looks anew each time, as if seconds had gone by."""
        seconds = count(step=2)
        return RecoveryGuard(database, lambda: self.mark, lambda: float(next(seconds)))

    def back_up(self, database: Database) -> None:
        self.backup.unlink(missing_ok=True)
        self.backup.parent.mkdir(exist_ok=True)
        copy_sqlite(database, self.backup.parent)

    def seal(self, database: Database) -> None:
        """Do what the worker does each second: the ledger on disk knows everything."""
        ledger = Ledger(database)
        while ledger.sequence():
            continue
        note = ledger.checkpoint(self.key, ORIGIN, self.clock.now())
        self.mark = (note.encode(), open_checkpoint(note, self.log))
        LedgerSegments(database, self.folder / "ledger", attached_rows).follow()

    def put_back(self, file: Path) -> None:
        """Put the backup in the register's place; nobody has it open."""
        for rest in file.parent.glob(f"{file.name}-*"):
            rest.unlink()
        file.write_bytes(self.backup.read_bytes())

    def reconcile(self, database: Database, lists: list[bytes]) -> str:
        """Tell the register what outlived it; return the recovery that officers are to release."""
        desk = self._desk(database)
        with database.begin() as unit:
            if state.unreleased(unit.connection) is None:
                state.begin(unit, state.RESTORED, "", "operator", self.clock.now())
        named = {str(number): der for number, der in enumerate(lists)}
        desk.reconcile([read_blocks(self.folder / "ledger")], named, self.log, self.mark, "operator")
        recovery = desk.open_recovery()
        assert recovery is not None
        return recovery.id

    def release(self, database: Database, recovery_id: str) -> None:
        desk = self._desk(database)
        desk.release(recovery_id, FIRST)
        desk.release(recovery_id, SECOND)

    def _desk(self, database: Database) -> RecoveryDesk:
        return RecoveryDesk(database, SETTINGS, EveryOfficer(), self.clock, self.guard(database))
