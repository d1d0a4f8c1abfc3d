"""Use cases of a recovery: begin it, reconcile the database with what outlived it, let two officers release it."""

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from ca.config import AuthoritySettings
from ca.context import event
from ca.errors import FourEyesRequired, IllegalTransition
from ca.officers.gate import OfficerGate
from ca.officers.identity import Act, Officer
from ca.officers.scopes import NOTHING
from ca.recovery import state
from ca.recovery.guard import Mark, RecoveryGuard, Stage
from ca.recovery.reconciliation import (
    FORK,
    Places,
    Told,
    check_ledger,
    check_lists,
    replay,
    tell_certificates,
    tell_key_uses,
    tell_lists,
)
from ca.recovery.rows import CURABLE, Finding
from ca.recovery.signatures import KIND, unexplained
from ca.recovery.state import APPROVALS_NEEDED, Recovery
from pki.audit import AuditAction
from pki.clock import Clock
from pki.errors import Conflict, ErrorCode, NotFound, VerificationFailed
from pki.jose import canonical_json, json_object
from pki.notes import VerifierKey
from storage.engine import Database
from storage.ledger_sources import LedgerBlock
from storage.unit_of_work import UnitOfWork

_NO_RECOVERY: Final = "no recovery is open"


class RecoveryDesk:
    """Use cases of recoveries; used by one command at a time."""

    def __init__(
        self, database: Database, settings: AuthoritySettings, gate: OfficerGate, clock: Clock, guard: RecoveryGuard
    ) -> None:
        self._database, self._settings, self._gate, self._clock = database, settings, gate, clock
        self._guard = guard

    def open_recovery(self) -> Recovery | None:
        """Return the recovery that is not over."""
        with self._database.read() as connection:
            return state.unreleased(connection)

    def notice(self, actor: str) -> None:
        """Write down that what was published is newer than the database, unless a recovery is open."""
        with self._database.begin() as unit:
            if state.unreleased(unit.connection) is None:
                state.begin(unit, state.OLDER, "", actor, self._clock.now())
        self._guard.forget()

    def findings(self, recovery_id: str, limit: int) -> tuple[Finding, ...]:
        """List what a recovery could not put back."""
        with self._database.read() as connection:
            return state.findings_of(connection, recovery_id, limit)

    def reconcile(
        self,
        sources: Iterable[Iterable[LedgerBlock]],
        lists: Mapping[str, bytes],
        log: VerifierKey,
        mark: Mark | None,
        actor: str,
        *,
        accept_loss: bool = False,
    ) -> dict[str, Any]:
        """Tell the database everything that outlived it, check it, and return the report.

        `lists` are by the names that errors tell. `mark` is the last checkpoint that was published. Where the sources
        do not reach it, that is a loss which nothing is known of: VerificationFailed (`ledger-truncated`) unless
        `accept_loss`. Conflict where the database is as it should be. Nothing is kept of what fails. Done again, it
        adds to the report: officers release by all that could not be put back, not by the last round of it.
        """
        standing = self._guard.look()
        with self._database.begin() as unit:
            now = self._clock.now()
            opened = state.unreleased(unit.connection)
            if opened is None and standing.stage is Stage.WHOLE:
                raise Conflict(ErrorCode.CONFLICT, "the database knows everything that it published")
            recovery = opened or state.begin(unit, state.OLDER, "", actor, now)
            report = self._tell(unit, recovery, sources, lists, log, mark, now, accept_loss=accept_loss)
            facts = {name: value for name, value in report.items() if isinstance(value, int | str)}
            digest = sha256(canonical_json(report)).hexdigest()
            unit.audit.record(event(AuditAction.RECOVERY_RECONCILED, now, actor, recovery.id, sha256=digest, **facts))
        self._guard.forget()
        return report

    def _tell(
        self,
        unit: UnitOfWork,
        recovery: Recovery,
        sources: Iterable[Iterable[LedgerBlock]],
        lists: Mapping[str, bytes],
        log: VerifierKey,
        mark: Mark | None,
        now: datetime,
        *,
        accept_loss: bool,
    ) -> dict[str, Any]:
        connection = unit.connection
        places = Places.of(connection)
        told = replay(connection, sources, log, now)
        continues = self._continues(told, mark, accept_loss=accept_loss)
        inserted, updated = tell_certificates(connection, told, self._settings, places, now)
        tell_key_uses(connection, told)
        read, by_lists = tell_lists(connection, told, lists, self._settings, places, now)
        check_lists(connection, read)
        check_ledger(connection, told, log, mark[0].decode() if mark is not None and continues else None)
        findings = _with_earlier(told, state.findings_of(connection, recovery.id, None))
        kinds = Counter(finding.kind for finding in findings)
        earlier = {} if recovery.report is None else json_object(recovery.report)
        report: dict[str, Any] = {
            "recovery": recovery.id,
            "events": len(told.events) + int(earlier.get("events", 0)),
            "ledger_before": earlier.get("ledger_before", told.size_before),
            "ledger_after": told.size,
            "published_size": 0 if mark is None else mark[1].size,
            "published_root": "" if mark is None else mark[1].root.hex(),
            "continues": continues,
            "certificates_new": inserted + int(earlier.get("certificates_new", 0)),
            "certificates_changed": updated + by_lists + int(earlier.get("certificates_changed", 0)),
            "lists": len(read),
            "findings": dict(sorted(kinds.items())),
        }
        state.keep_findings(connection, recovery.id, findings)
        accepted = None if continues or mark is None else mark[0]
        state.reconciled(connection, recovery.id, canonical_json(report), accepted, now)
        return report

    def _continues(self, told: Told, mark: Mark | None, *, accept_loss: bool) -> bool:
        """Whether the ledger goes on from what was published; VerificationFailed where it does not, unaccepted."""
        if mark is None or (told.forked_at is None and told.size >= mark[1].size):
            return True
        detail = f"{mark[1].size} entries were published, {told.size} are known"
        if not accept_loss and told.forked_at is not None:
            what = f"entry {told.forked_at} is another than the database's; {detail}"
            raise VerificationFailed(ErrorCode.LEDGER_FORKED, what)
        if not accept_loss:
            raise VerificationFailed(ErrorCode.LEDGER_TRUNCATED, detail)
        if told.forked_at is None:
            told.findings.append(Finding(FORK, str(told.size), detail))
        return False

    def account_for_signatures(self) -> int:
        """List the certificates that custodians signed and nobody knows, once their journals were taken; how many.

        NotFound where no recovery is open.
        """
        with self._database.begin() as unit:
            recovery = state.unreleased(unit.connection)
            if recovery is None:
                raise NotFound(ErrorCode.NOT_FOUND, _NO_RECOVERY)
            found = unexplained(unit.connection, recovery.begun_at)
            state.add_findings(unit.connection, recovery.id, KIND, found)
        return len(found)

    def digest_of(self, recovery: Recovery) -> str:
        """Return the SHA-256, in hexadecimal, of the report that officers release by."""
        return sha256(recovery.report or b"").hexdigest()

    def release(self, recovery_id: str, officer: Officer) -> int:
        """Approve that issuance goes on, and let it with the second approval; return how many there are.

        NotFound, IllegalTransition before it is reconciled, FourEyesRequired for an officer who approved before.
        """
        with self._database.begin() as unit:
            recovery = state.unreleased(unit.connection)
            if recovery is None or recovery.id != recovery_id:
                raise NotFound(ErrorCode.NOT_FOUND, _NO_RECOVERY)
            digest = self.digest_of(recovery)
            self._gate.allow(officer, Act.RECOVERY_RELEASE, NOTHING, unit, subject=recovery.id, digest=digest)
            if recovery.reconciled_at is None:
                raise IllegalTransition("the database is not reconciled")
            now = self._clock.now()
            count = state.approve(unit.connection, recovery.id, officer.id, now)
            if count is None:
                raise FourEyesRequired("this officer approved before", "officer.twice")
            unit.audit.record(event(AuditAction.RECOVERY_APPROVED, now, officer.id, recovery.id, sha256=digest))
            if count >= APPROVALS_NEEDED:
                state.release(unit.connection, recovery.id, now)
                unit.audit.record(event(AuditAction.RECOVERY_RELEASED, now, officer.id, recovery.id, sha256=digest))
        self._guard.forget()
        return count


def _with_earlier(told: Told, earlier: Iterable[Finding]) -> list[Finding]:
    """Return what could not be put back by now: of what was found before, all but what was told this time."""
    cured = {event.subject for event in told.events}
    left = [found for found in earlier if found.kind not in CURABLE or found.subject not in cured]
    return list(dict.fromkeys((*left, *told.findings)))
