"""Rows of certificates as a recovery writes them: from their events, and from what stands beside these."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from hashlib import sha256
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection, bindparam, insert, select, text, update

from ca.certificate_queries import status_of
from ca.config import AuthoritySettings
from ca.issuing.key_holders import KeyHolder, claim_keys, mark_compromised
from ca.recovery.histories import UNBORN, Life, live_again, suspended, version_made
from ca.status.changes import record_changes
from ca.status.revocation import CertificateState, Status, encode_crl_entry
from ca.tables import certificates, registration_files, status_changes
from pki.certificates import Certificate
from pki.errors import ServiceError
from storage.ledger_replay import ReplayedEvent

LOST: Final = "lost"  # the profile of a certificate of which nothing but its serial number is known
FEED_JUMP: Final = 1_000_000_000  # more changes than any database can have made since its backup
VERSIONS_SKIPPED: Final = 1000  # no answer that was kept elsewhere may seem newer than what comes after
_ROUND: Final = 500
_UNISSUED: Final = (CertificateState.INTENDED, CertificateState.ABANDONED)
_c = certificates.c


class Finding(NamedTuple):
    """One thing that could not be put back as it was."""

    kind: str
    subject: str
    detail: str


CURABLE: Final = frozenset({"certificate-lost", "known-by-list", "row-differs", "not-understood", "file-lost"})
"""What another source may tell after all: these findings end when their certificate is told again."""


@dataclass(slots=True)
class Rewritten:
    """What was written: certificates that are new here, that changed, and what could not be put back."""

    inserted: int = 0
    updated: int = 0
    findings: list[Finding] = field(default_factory=list)


def leave_positions_behind(connection: Connection) -> None:
    """Let the feed of status changes go on far above every position that anybody can have read up to."""
    if connection.dialect.name == "postgresql":
        connection.execute(
            text(
                "SELECT setval(pg_get_serial_sequence('status_changes', 'id'),"
                " nextval(pg_get_serial_sequence('status_changes', 'id')) + :jump)"
            ),
            {"jump": FEED_JUMP},
        )
        return
    name = status_changes.name
    known = connection.execute(text("SELECT seq FROM sqlite_sequence WHERE name = :name"), {"name": name}).scalar()
    if known is None:
        connection.execute(text("INSERT INTO sqlite_sequence (name, seq) VALUES (:name, 0)"), {"name": name})
    jump = text("UPDATE sqlite_sequence SET seq = seq + :jump WHERE name = :name")
    connection.execute(jump, {"name": name, "jump": FEED_JUMP})


def rewrite(
    connection: Connection,
    events: Mapping[str, Sequence[ReplayedEvent]],
    attached: Mapping[str, dict[str, Any]],
    settings: AuthoritySettings,
    ends: Mapping[str, datetime],
    now: datetime,
) -> Rewritten:
    """Bring the rows of certificates, by serial number, to what their events say.

    `attached` are rows that were kept beside the events; `ends` says until when each issuer's certificates can live.
    """
    done = Rewritten()
    known = _known(connection, events)
    updates: list[dict[str, Any]] = []
    new: list[dict[str, Any]] = []
    compromised: list[str] = []
    for serial, told in events.items():
        row = known.get(serial)
        life = UNBORN if row is None else Life(status=status_of(row), released_at=row.released_at)
        if row is None:
            values = _values(serial, told, attached.get(serial), settings, ends, done.findings)
            life = live_again(life, told, values["not_before"])
            finished = _finished(values, life, told[0].at, done.findings)
            new.append(finished | {"status_version": _version(told, 1)})
        else:
            life = live_again(life, told, row.not_before)
            values = _completed(row, life, attached.get(serial), done.findings)
            if values["signed"] is None and row.state == CertificateState.INTENDED.value:
                life = replace(life, status=_unshown(life.status, told[0].at))
            place = {"of": serial, "version": _version(told, row.status_version)}
            updates.append(values | _status_values(serial, life) | place)
        if life.unknown:
            done.findings.append(Finding("not-understood", serial, life.unknown))
        if life.compromised:
            compromised.append(serial)
    _update(connection, updates)
    files = _files(connection, [row["file_id"] for row in new])
    for row in new:
        if row["file_id"] is not None and row["file_id"] not in files:
            done.findings.append(Finding("file-lost", row["serial"], row["file_id"]))
            row["file_id"] = None
    for start in range(0, len(new), _ROUND):
        connection.execute(insert(certificates), new[start : start + _ROUND])
        claim_keys(connection, [KeyHolder.of(row) for row in new[start : start + _ROUND] if row["profile"] != LOST])
    for serial in compromised:
        mark_compromised(connection, serial)
    changed = [*(row["of"] for row in updates), *(row["serial"] for row in new)]
    tell(connection, changed, now)
    done.inserted, done.updated = len(new), len(updates)
    return done


def tell(connection: Connection, serials: Sequence[str], now: datetime) -> None:
    """Put certificates into the feed: stored answers about them, and lists that named or name them, are made anew."""
    ever_listed = _c.crl_entry.is_not(None) | _c.released_at.is_not(None)
    for start in range(0, len(serials), _ROUND):
        some = serials[start : start + _ROUND]
        named = set(connection.execute(select(_c.serial).where(_c.serial.in_(some), ever_listed)).scalars())
        for listed in (True, False):  # no list has anything to say of what was always good
            told = [serial for serial in some if (serial in named) is listed]
            record_changes(connection, told, now, listed=listed)


def _known(connection: Connection, serials: Iterable[str]) -> dict[str, Any]:
    wanted, found = list(serials), {}
    for start in range(0, len(wanted), _ROUND):
        for row in connection.execute(select(certificates).where(_c.serial.in_(wanted[start : start + _ROUND]))):
            found[row.serial] = row
    return found


def _files(connection: Connection, ids: Iterable[str | None]) -> set[str]:
    wanted = sorted({name for name in ids if name is not None})
    found: set[str] = set()
    for start in range(0, len(wanted), _ROUND):
        there = select(registration_files.c.id).where(registration_files.c.id.in_(wanted[start : start + _ROUND]))
        found.update(connection.execute(there).scalars())
    return found


def _values(
    serial: str,
    told: Sequence[ReplayedEvent],
    attached: dict[str, Any] | None,
    settings: AuthoritySettings,
    ends: Mapping[str, datetime],
    findings: list[Finding],
) -> dict[str, Any]:
    """Return the columns of a certificate that the database does not know, but for its status."""
    facts: dict[str, Any] = {}
    for event in told:
        facts |= {name: value for name, value in event.facts.items() if value is not None and name not in facts}
    if attached is not None:
        sound = _sound_der(attached["der"], serial, told)
        if attached["der"] is not None and sound is None:
            findings.append(Finding("row-differs", serial, "what stands beside the ledger is another certificate"))
        return {**attached, "der": sound, "channel": attached["channel"]}
    return skeleton(
        serial,
        str(facts.get("issuer", "")),
        settings,
        ends,
        at=told[0].at,
        profile=str(facts.get("profile", LOST)),
        tbs_sha256=str(facts.get("tbs_sha256", "")),
        actor=told[0].actor,
    )


def skeleton(
    serial: str,
    issuer: str,
    settings: AuthoritySettings,
    ends: Mapping[str, datetime],
    *,
    at: datetime,
    profile: str = LOST,
    tbs_sha256: str = "",
    actor: str = "mohr",
) -> dict[str, Any]:
    """Make the columns of a certificate of which little is known; it lives as long as its issuer may."""
    return {
        "serial": serial,
        "issuer": issuer,
        "profile": profile,
        "profile_version": None,
        "file_id": None,
        "holder": "",
        "name": "",
        "shard": settings.shard_of(issuer, int(serial, 16)) if issuer in ends else 0,
        "unapproved": False,
        "spki_sha256": sha256(b"lost" + serial.encode()).digest(),  # no other certificate is for this key
        "tbs_sha256": bytes.fromhex(tbs_sha256) if tbs_sha256 else bytes(32),
        "not_before": at,
        "not_after": ends.get(issuer, at),
        "requested_by": actor,
        "intended_at": at,
        "issued_at": None,
        "licence": None,
        "profession": None,
        "province": None,
        "siam_id": None,
        "channel": None,
        "predecessor": None,
        "sign_group": None,
        "sign_position": None,
        "der": None,
    }


def _sound_der(der: bytes | None, serial: str, told: Sequence[ReplayedEvent]) -> bytes | None:
    """Return a certificate if the ledger proves that it is the one that was issued."""
    proven = {event.facts.get("sha256") for event in told}
    if der is None or sha256(der).hexdigest() not in proven:
        return None
    try:
        return der if Certificate.parse(der).serial_hex == serial else None
    except ServiceError:
        return None


def _finished(values: dict[str, Any], life: Life, since: datetime, findings: list[Finding]) -> dict[str, Any]:
    """Add the status; what was issued and cannot be shown is suspended until officers have looked."""
    status = life.status
    if values["der"] is None and status.state not in _UNISSUED:
        findings.append(Finding("certificate-lost", values["serial"], status.state.value))
        status = _unshown(status, since)
    row = values | _status_values(values["serial"], Life(status=status, released_at=life.released_at))
    row["issued_at"] = life.issued_at or values["issued_at"]
    return row | {"lint_state": "pending"}


def _version(told: Sequence[ReplayedEvent], known: int) -> int:
    """Return a version far above every one that anybody told of: no later act makes one of them again."""
    return VERSIONS_SKIPPED + max(known, *(version_made(event) or 0 for event in told))


def _unshown(status: Status, since: datetime) -> Status:
    """Suspend what was issued, since nobody can show what that is."""
    if status.state in _UNISSUED:
        return status
    if status.state is CertificateState.ISSUED:  # activation shows a certificate, which is not here
        return Status(state=CertificateState.ON_HOLD, revoked_at=status.revoked_at, reason=status.reason)
    return suspended(status, since)


def _completed(row: Any, life: Life, attached: dict[str, Any] | None, findings: list[Finding]) -> dict[str, Any]:
    """Return the certificate for an intent that was completed after the backup."""
    if row.der is not None or life.sha256 is None:
        return {"signed": row.der, "when": row.issued_at}
    der = None if attached is None else attached["der"]
    if der is None or sha256(der).hexdigest() != life.sha256:
        findings.append(Finding("certificate-lost", row.serial, life.status.state.value))
        return {"signed": None, "when": life.issued_at}
    return {"signed": der, "when": life.issued_at}


def _status_values(serial: str, life: Life) -> dict[str, Any]:
    status = life.status
    return {
        "state": status.state.value,
        "revoked_at": status.revoked_at,
        "reason": None if status.reason is None else status.reason.value,
        "invalidity_date": status.invalidity_date,
        "released_at": life.released_at,
        "crl_entry": encode_crl_entry(int(serial, 16), status) if status.listed else None,
    }


_UPDATE: Final = (
    update(certificates)
    .where(_c.serial == bindparam("of"))
    .values(
        state=bindparam("state"),
        revoked_at=bindparam("revoked_at"),
        reason=bindparam("reason"),
        invalidity_date=bindparam("invalidity_date"),
        released_at=bindparam("released_at"),
        crl_entry=bindparam("crl_entry"),
        status_version=bindparam("version"),
        der=bindparam("signed"),
        issued_at=bindparam("when"),
    )
)


def _update(connection: Connection, rows: Sequence[dict[str, Any]]) -> None:
    # What ends makes room for what comes after it: of one certificate there is one living successor.
    ordered = sorted(rows, key=lambda row: row["state"] != CertificateState.REVOKED.value)
    for start in range(0, len(ordered), _ROUND):
        connection.execute(_UPDATE, ordered[start : start + _ROUND])


def write_status(connection: Connection, serial: str, version: int, life: Life) -> None:
    """Write one certificate's status, whatever it was."""
    values = _status_values(serial, life) | {"status_version": version + VERSIONS_SKIPPED}
    connection.execute(update(certificates).where(_c.serial == serial).values(values))
