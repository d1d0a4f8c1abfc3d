"""Rows of evidence."""

from datetime import datetime
from typing import Any, Final

from sqlalchemy import Column, Connection, Row, func, insert, select, update

from ca.evidence.records import Attachment
from ca.evidence.sealing import Sealed
from ca.evidence.tables import evidence
from ca.registration import RegistrationFile
from ca.tables import UNDECIDED, approvals, registration_files

_e = evidence.c
_f = registration_files.c
_KNOWN: Final[list[Column[Any]]] = [column for column in evidence.c if column.name not in ("key_id", "sealed")]


def _attachment(row: Row[Any]) -> Attachment:
    return Attachment(
        file_id=row.file_id,
        digest=row.sha256,
        media_type=row.media_type,
        octets=row.octets,
        attached_by=row.attached_by,
        attached_at=row.attached_at,
        deleted_at=row.deleted_at,
    )


def add(connection: Connection, attachment: Attachment, sealed: Sealed) -> None:
    """Write a new scan."""
    connection.execute(
        insert(evidence).values(
            file_id=attachment.file_id,
            sha256=attachment.digest,
            media_type=attachment.media_type,
            octets=attachment.octets,
            attached_by=attachment.attached_by,
            attached_at=attachment.attached_at,
            key_id=sealed.key_id,
            sealed=sealed.data,
        )
    )


def of_file(connection: Connection, file_id: str) -> tuple[Attachment, ...]:
    """Return what was brought for a file, oldest first, deleted ones too."""
    wanted = select(*_KNOWN).where(_e.file_id == file_id).order_by(_e.attached_at, _e.sha256)
    return tuple(_attachment(row) for row in connection.execute(wanted))


def sealed(connection: Connection, file_id: str, digest: bytes) -> Sealed | None:
    """Return a scan as it is stored, None where there is none any more."""
    wanted = select(_e.key_id, _e.sealed).where(_e.file_id == file_id, _e.sha256 == digest, _e.sealed.is_not(None))
    row = connection.execute(wanted).one_or_none()
    return None if row is None else Sealed(row.key_id, row.sealed)


def missing(connection: Connection, file: RegistrationFile) -> tuple[str, ...]:
    """Name the digests of a file whose scans are not here, hexadecimal."""
    here = {found.sha256 for found in of_file(connection, file.id) if found.deleted_at is None}
    return tuple(item.sha256 for item in file.registration.evidence if item.sha256 not in here)


def decided_before(connection: Connection, instant: datetime, limit: int) -> tuple[Attachment, ...]:
    """Return scans whose files were decided at `instant` or before, locked; those that others hold are left out."""
    last_yes = select(func.max(approvals.c.at)).where(approvals.c.file_id == _f.id).scalar_subquery()
    wanted = (
        select(*_KNOWN)
        .select_from(evidence.join(registration_files, _f.id == _e.file_id))
        .where(_e.deleted_at.is_(None), _e.attached_at <= instant, _f.state.not_in(UNDECIDED))
        .where(func.coalesce(_f.refused_at, _f.ended_at, last_yes) <= instant)
        .order_by(_e.attached_at)
        .limit(limit)
        .with_for_update(of=evidence, skip_locked=True)
    )
    return tuple(_attachment(row) for row in connection.execute(wanted))


def delete(connection: Connection, attachment: Attachment, at: datetime) -> None:
    """Take the octets away; what is known of them stays."""
    mine = (_e.file_id == attachment.file_id, _e.sha256 == attachment.digest)
    connection.execute(update(evidence).where(*mine).values(sealed=None, deleted_at=at))
