"""What `/healthz` asks: each part of a deployment, without waiting for any of them long."""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Final, Protocol, runtime_checkable

from sqlalchemy import text

from ca.own_certificates import OwnCertificate
from ca.status.acts.watch import StatusAlarm
from hsm.provider import Health, KeyProvider
from pki.clock import Clock
from pki.errors import ErrorCode, ServiceError
from pki.instants import parse_instant
from pki.jose import json_object
from storage.engine import Database
from storage.key_uses import KeyUses
from webapp.compose import Parts
from webapp.deployment import Deployment
from webapp.health import HealthReport, PartHealth, PartState
from webapp.key_journal import custodian_name
from webapp.promises import RENEWAL_PATIENCE
from webapp.recovery_mark import recovery_part

WORKER_PATIENCE: Final = timedelta(seconds=30)
LINT_PATIENCE: Final = timedelta(seconds=60)  # how long a new certificate may wait for its verdict


def check_parts(parts: Parts) -> HealthReport:
    """Ask custodians, database, worker and linter how they are, whether a journal has a gap and a promise is late."""
    return HealthReport(
        at=parts.clock.now(),
        parts=(
            *custodian_parts(_healths(parts.keys)),
            custody(parts.database),
            _database(parts),
            recovery_part(parts.recovery_guard),
            _clock(parts),
            _room(parts),
            _worker(parts.deployment, parts.clock),
            linter_part(parts.deployment, parts.clock),
            _services(parts),
            alarms_part(parts.status_alarms.open_alarms),
            *parts.promises.parts(parts.clock.now()),
        ),
    )


@runtime_checkable
class SeveralCustodians(Protocol):
    """Keys behind several custodians, any of which signs."""

    def healths(self) -> Sequence[Health]:
        """Say of each custodian whether it can sign now; never raises HsmUnavailable."""
        ...


def _healths(keys: KeyProvider) -> Sequence[Health]:
    return keys.healths() if isinstance(keys, SeveralCustodians) else (keys.health(),)


def custodian_parts(healths: Sequence[Health]) -> tuple[PartHealth, ...]:
    """Say how the custodians are as a whole, and each one where there are several.

    Signing stops without them, verifying does not: they are not vital for care.
    """
    signing = sum(health.ok for health in healths)
    state = PartState.DOWN if not signing else PartState.OK if signing == len(healths) else PartState.DEGRADED
    whole = PartHealth(name="custodian", state=state, vital=False)
    if len(healths) == 1:
        return (whole,)
    each = (PartState.OK if health.ok else PartState.DOWN for health in healths)
    numbered = (PartHealth(name=custodian_name(i), state=one, vital=False) for i, one in enumerate(each))
    return (whole, *numbered)


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


def alarms_part(open_alarms: Callable[[], Sequence[StatusAlarm]]) -> PartHealth:
    """Say whether somebody changed so much that two officers have to look; nobody is named."""
    try:
        found = open_alarms()
    except ServiceError:
        return PartHealth(name="status-alarms", state=PartState.SILENT, vital=False)
    if not found:
        return PartHealth(name="status-alarms", state=PartState.OK, vital=False)
    note = f"{sum(alarm.changes for alarm in found)} changes of status wait for two officers' word"
    return PartHealth(name="status-alarms", state=PartState.DEGRADED, since=found[0].raised_at, note=note, vital=False)


def _database(parts: Parts) -> PartHealth:
    try:
        with parts.database.read() as connection:
            connection.execute(text("SELECT 1"))
    except ServiceError as error:
        return PartHealth(name="database", state=PartState.DOWN, note=str(error.code), vital=False)
    return PartHealth(name="database", state=PartState.OK, vital=False)


def _clock(parts: Parts) -> PartHealth:
    """Say whether the clock is believed; while it is not, nothing is issued."""
    try:
        parts.clock_guard.now()
    except ServiceError as error:
        state = PartState.DEGRADED if error.code is ErrorCode.CLOCK_SUSPECT else PartState.SILENT
        return PartHealth(name="clock", state=state, note=str(error.code), vital=False)
    return PartHealth(name="clock", state=PartState.OK, vital=False)


def _room(parts: Parts) -> PartHealth:
    """Say whether there is room for what is signed; while there is not, nothing is issued."""
    try:
        parts.room.check()
    except ServiceError as error:
        return PartHealth(name="storage", state=PartState.DEGRADED, note=str(error.code), vital=False)
    return PartHealth(name="storage", state=PartState.OK, vital=False)


def _services(parts: Parts) -> PartHealth:
    try:
        return services_part(parts.authority.own_certificates(), parts.clock.now())
    except ServiceError:
        return PartHealth(name="services", state=PartState.SILENT, vital=False)


def services_part(own: Iterable[OwnCertificate], now: datetime) -> PartHealth:
    """Say which services' certificates are a day within their window and not renewed; down once over or revoked."""
    late = [one for one in own if now >= min(one.renews_from + RENEWAL_PATIENCE, one.usable_until)]
    if not late:
        return PartHealth(name="services", state=PartState.OK, vital=False)
    said = (
        f"{one.name} until {one.usable_until:%Y-%m-%d}{_over(one, now)}"
        f"{', a new key is needed' if one.needs_new_key else ''}"
        for one in late
    )
    since = min(one.renews_from for one in late)
    state = PartState.DOWN if any(_over(one, now) for one in late) else PartState.DEGRADED
    return PartHealth(name="services", state=state, since=since, note="; ".join(said), vital=False)


def _over(one: OwnCertificate, now: datetime) -> str:
    return " (over)" if now > one.usable_until else ""


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


def linter_part(deployment: Deployment, clock: Clock) -> PartHealth:
    """Say how long the oldest certificate waits for its verdict; silent when the linter writes no heartbeat."""
    try:
        state = json_object(deployment.linter_state.read_bytes())
        beat, failing, waiting = parse_instant(str(state["at"])), state["failing"], int(state["waiting"])
        oldest = None if state["oldest"] is None else parse_instant(str(state["oldest"]))
    except (OSError, ServiceError, KeyError, TypeError, ValueError):
        return PartHealth(name="lint", state=PartState.SILENT, vital=False)
    now = clock.now()
    if now - beat > LINT_PATIENCE:
        return PartHealth(name="lint", state=PartState.SILENT, since=beat, vital=False)
    if failing:
        return PartHealth(name="lint", state=PartState.DEGRADED, note=str(failing), vital=False)
    if oldest is not None and now - oldest > LINT_PATIENCE:
        note = f"{waiting} waiting, the oldest for {int((now - oldest).total_seconds())} s"
        return PartHealth(name="lint", state=PartState.DEGRADED, since=oldest, note=note, vital=False)
    return PartHealth(name="lint", state=PartState.OK, vital=False)
