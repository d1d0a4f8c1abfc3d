"""What `/healthz` asks: each part of a deployment, without waiting for any of them long."""

from datetime import timedelta
from typing import Final

from sqlalchemy import text

from pki.clock import Clock
from pki.errors import ErrorCode, ServiceError
from pki.instants import parse_instant
from pki.jose import json_object
from storage.engine import Database
from storage.key_uses import KeyUses
from webapp.compose import Parts
from webapp.deployment import Deployment
from webapp.health import HealthReport, PartHealth, PartState

WORKER_PATIENCE: Final = timedelta(seconds=30)


def check_parts(parts: Parts) -> HealthReport:
    """Ask custodian, database and worker how they are."""
    return HealthReport(
        at=parts.clock.now(),
        parts=(_custodian(parts), custody(parts.database), _database(parts), _worker(parts.deployment, parts.clock)),
    )


def _custodian(parts: Parts) -> PartHealth:
    """Signing stops without it, verifying does not: it is not vital for care."""
    state = PartState.OK if parts.keys.health().ok else PartState.DOWN
    return PartHealth(name="custodian", state=state, vital=False)


def custody(database: Database) -> PartHealth:
    """Say whether a gap in a journal of key uses waits for an officer; silent when the database does not tell."""
    try:
        gaps = KeyUses(database).open_gaps()
    except ServiceError:
        return PartHealth(name="custody", state=PartState.SILENT, vital=False)
    if not gaps:
        return PartHealth(name="custody", state=PartState.OK, vital=False)
    note = f"{ErrorCode.HSM_JOURNAL_GAP}: {', '.join(sorted({gap.custodian for gap in gaps}))}"
    return PartHealth(name="custody", state=PartState.DEGRADED, since=gaps[0].at, note=note, vital=False)


def _database(parts: Parts) -> PartHealth:
    try:
        with parts.database.read() as connection:
            connection.execute(text("SELECT 1"))
    except ServiceError as error:
        return PartHealth(name="database", state=PartState.DOWN, note=str(error.code), vital=False)
    return PartHealth(name="database", state=PartState.OK, vital=False)


def _worker(deployment: Deployment, clock: Clock) -> PartHealth:
    try:
        state = json_object(deployment.worker_state.read_bytes())
        beat, failing = parse_instant(str(state["at"])), state["failing"]
    except (OSError, ServiceError, KeyError):
        return PartHealth(name="worker", state=PartState.SILENT, vital=False)
    if clock.now() - beat > WORKER_PATIENCE:
        return PartHealth(name="worker", state=PartState.SILENT, since=beat, vital=False)
    if failing:
        return PartHealth(name="worker", state=PartState.DEGRADED, note=", ".join(sorted(failing)), vital=False)
    return PartHealth(name="worker", state=PartState.OK, vital=False)
