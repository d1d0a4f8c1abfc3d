"""Rows of certificates, written on a given connection; Core, in few statements for many rows."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from hashlib import sha256
from types import MappingProxyType
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from ca.errors import IllegalTransition
from ca.issuance import PreparedCertificate
from ca.profiles import IssuerName, ProfileName
from ca.records import UNMARKED, CertificateRecord, HolderMarks
from ca.status.changes import record_changes
from ca.status.revocation import CertificateState, RevocationReason, Status, encode_crl_entry, issue_waiting
from ca.tables import ENDED, INTENDED, authority_parents, certificates, named_certificates
from pki.certificates import Certificate, serial_hex
from pki.errors import Conflict, ErrorCode

_ROUND: Final = 1000

_c = certificates.c
_INSERT: Final = insert(certificates)
_COMPLETE: Final = (
    update(certificates)
    .where(_c.serial == bindparam("of"), _c.state == CertificateState.INTENDED.value)
    .values(state=CertificateState.GOOD.value, der=bindparam("signed"), issued_at=bindparam("when"))
)
_COMPLETE_WAITING: Final = (
    update(certificates)
    .where(_c.serial == bindparam("of"), _c.state == CertificateState.INTENDED.value)
    .values(
        state=bindparam("to"),
        der=bindparam("signed"),
        issued_at=bindparam("when"),
        revoked_at=bindparam("since"),
        reason=bindparam("why"),
        crl_entry=bindparam("entry"),
    )
)

_LIST: Final = (
    update(certificates)
    .where(_c.serial == bindparam("of"), _c.status_version == bindparam("read"))
    .values(
        state=bindparam("to"),
        status_version=bindparam("version"),
        revoked_at=bindparam("since"),
        reason=bindparam("why"),
        invalidity_date=bindparam("doubted"),
        crl_entry=bindparam("entry"),
    )
)


def intent_row(
    prepared: PreparedCertificate,
    *,
    spki_sha256: bytes,
    file_id: str | None,
    holder: str,
    name: str,
    shard: int,
    actor: str,
    at: datetime,
    marks: HolderMarks = UNMARKED,
) -> dict[str, Any]:
    """Make the row that must be durable before the certificate is signed."""
    content = prepared.content
    return {
        "serial": serial_hex(content.serial),
        "issuer": content.issuer.label.value,
        "profile": str(content.profile.name),
        "profile_version": content.profile.version,
        "file_id": file_id,
        "holder": holder,
        "name": name,
        "state": CertificateState.INTENDED.value,
        "status_version": 1,
        "shard": shard,
        "unapproved": content.unapproved,
        "spki_sha256": spki_sha256,
        "tbs_sha256": prepared.tbs_sha256,
        "not_before": content.not_before,
        "not_after": content.not_after,
        "requested_by": actor,
        "intended_at": at,
        "licence": marks.licence,
        "profession": marks.profession,
        "province": marks.province,
        "siam_id": marks.siam_id,
    }


def insert_intents(connection: Connection, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write intents; Conflict when a serial number exists already."""
    try:
        connection.execute(_INSERT, rows)
    except IntegrityError as error:
        raise Conflict(ErrorCode.CONFLICT, "a serial number was drawn twice") from error


def complete(
    connection: Connection,
    signed: Mapping[str, bytes],
    at: datetime,
    *,
    waiting: Mapping[str, datetime] = MappingProxyType({}),
) -> None:
    """Put signed certificates (by serial) into their intents; IllegalTransition when one is no intent any more.

    `waiting`: the notBefore of those that their holders activate before they are good.
    """
    good, on_hold = [], []
    for serial, der in signed.items():
        row: dict[str, Any] = {"of": serial, "signed": der, "when": at}
        if serial in waiting:
            on_hold.append(row | _waiting_columns(serial, waiting[serial]))
        else:
            good.append(row)
    done = connection.execute(_COMPLETE, good).rowcount if good else 0
    done += connection.execute(_COMPLETE_WAITING, on_hold).rowcount if on_hold else 0
    if done != len(signed):
        raise IllegalTransition("an intent was abandoned before its signature came")
    record_changes(connection, [row["of"] for row in good], at, listed=False)
    record_changes(connection, [row["of"] for row in on_hold], at, listed=True, urgent=False)


def _waiting_columns(serial: str, not_before: datetime) -> dict[str, Any]:
    status = issue_waiting(not_before)
    return {
        "to": status.state.value,
        "since": status.revoked_at,
        "why": RevocationReason.CERTIFICATE_HOLD.value,
        "entry": encode_crl_entry(int(serial, 16), status),
    }


def insert_foreign(
    connection: Connection,
    certificate: Certificate,
    *,
    issuer: IssuerName,
    profile: ProfileName,
    holder: str,
    actor: str,
    at: datetime,
) -> None:
    """Write the row of a certificate that somebody else issued to us."""
    values = {
        "serial": certificate.serial_hex,
        "issuer": issuer.value,
        "profile": str(profile),
        "file_id": None,
        "holder": holder,
        "name": holder,
        "state": CertificateState.GOOD.value,
        "status_version": 1,
        "shard": 0,
        "unapproved": False,
        "spki_sha256": sha256(certificate.spki_der).digest(),
        "tbs_sha256": sha256(certificate.tbs).digest(),
        "not_before": certificate.not_before,
        "not_after": certificate.not_after,
        "requested_by": actor,
        "intended_at": at,
        "issued_at": at,
        "der": certificate.der,
    }
    connection.execute(_INSERT, [values])


def abandon(connection: Connection, serials: Iterable[str]) -> tuple[str, ...]:
    """Turn intents into abandoned ones; return those that still were intents."""
    statement = (
        update(certificates)
        .where(_c.serial.in_(list(serials)), _c.state == CertificateState.INTENDED.value)
        .values(state=CertificateState.ABANDONED.value)
        .returning(_c.serial)
    )
    return tuple(connection.execute(statement).scalars())


def change_status(
    connection: Connection,
    record: CertificateRecord,
    status: Status,
    at: datetime,
    *,
    crl_entry: bytes | None,
    released_at: datetime | None,
) -> CertificateRecord:
    """Write a new status over the one that was read; IllegalTransition when it changed in between."""
    statement = (
        update(certificates)
        .where(_c.serial == record.serial_hex, _c.status_version == record.status_version)
        .values(
            state=status.state.value,
            status_version=record.status_version + 1,
            revoked_at=status.revoked_at,
            reason=None if status.reason is None else status.reason.value,
            invalidity_date=status.invalidity_date,
            crl_entry=crl_entry,
            released_at=released_at,
        )
    )
    if connection.execute(statement).rowcount != 1:
        raise IllegalTransition("the certificate's status was changed by someone else")
    record_changes(connection, [record.serial_hex], at, listed=record.status.listed or status.listed)
    return replace(record, status=status, status_version=record.status_version + 1, released_at=released_at)


def list_all(connection: Connection, changed: Sequence[tuple[CertificateRecord, Status, bytes]], at: datetime) -> None:
    """Write new statuses, each with its entry of a list, over those that were read; errors as `change_status`.

    In two statements for all: the rows are locked.
    """
    rows = [
        {
            "of": record.serial_hex,
            "read": record.status_version,
            "to": status.state.value,
            "version": record.status_version + 1,
            "since": status.revoked_at,
            "why": None if status.reason is None else status.reason.value,
            "doubted": status.invalidity_date,
            "entry": entry,
        }
        for record, status, entry in changed
    ]
    if rows and connection.execute(_LIST, rows).rowcount != len(rows):
        raise IllegalTransition("a certificate's status was changed by someone else")
    record_changes(connection, [record.serial_hex for record, _status, _entry in changed], at, listed=True)


def keep_parents(connection: Connection, authority: str, above: Sequence[bytes]) -> None:
    """Keep the certificates (DER) above an authority's own in place of those kept before, its issuer first."""
    p = authority_parents.c
    connection.execute(delete(authority_parents).where(p.authority == authority))
    rows = [{"authority": authority, "position": at, "der": der} for at, der in enumerate(above)]
    connection.execute(insert(authority_parents), rows)


def expire(connection: Connection, now: datetime) -> tuple[str, ...]:
    """Note which certificates' validity has ended; return their serial numbers."""
    ended = select(_c.serial).where(_c.state.not_in(ENDED), _c.state != INTENDED, _c.not_after < now)
    statement = (
        update(certificates)
        # Said again of the row itself: who was revoked while its lock was waited for is no longer to end.
        .where(_c.serial.in_(ended.limit(_ROUND)), _c.state.not_in(ENDED))
        .values(state=CertificateState.EXPIRED.value)
        .returning(_c.serial)
    )
    return tuple(connection.execute(statement).scalars())


def name_certificate(connection: Connection, name: str, serial: str, key_label: str, at: datetime) -> None:
    """Say that an authority or service uses a certificate from now on."""
    n = named_certificates.c
    values = {"serial": serial, "key_label": key_label, "since": at}
    if not connection.execute(update(named_certificates).where(n.name == name).values(values)).rowcount:
        connection.execute(insert(named_certificates).values(name=name, **values))
