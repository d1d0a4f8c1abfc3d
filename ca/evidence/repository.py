"""Rows of evidence."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Connection, Row, Table, case, func, insert, select, update

from ca.evidence.records import Attachment
from ca.evidence.sealing import Sealed
from ca.evidence.tables import evidence, revocation_evidence
from ca.registration import RegistrationFile
from ca.status.acts.tables import revocation_proposals
from ca.tables import UNDECIDED, approvals, registration_files

_f = registration_files.c
_p = revocation_proposals.c
_LAST_YES: Final = select(func.max(approvals.c.at)).where(approvals.c.file_id == _f.id).scalar_subquery()


@dataclass(frozen=True, slots=True)
class ScanRows:
    """The scans of one kind of subject; `decided_at` is NULL until the decision that they are for."""

    table: Table
    subject: ColumnElement[str]
    owners: Table
    owner: ColumnElement[str]
    decided_at: ColumnElement[datetime]

    def _known(self) -> list[ColumnElement[Any]]:
        c = self.table.c
        described = (c.sha256, c.media_type, c.octets, c.attached_by, c.attached_at, c.deleted_at)
        return [self.subject.label("subject"), *described]

    def _mine(self, subject: str, digest: bytes) -> tuple[ColumnElement[bool], ...]:
        return (self.subject == subject, self.table.c.sha256 == digest)

    def add(self, connection: Connection, attachment: Attachment, sealed: Sealed) -> None:
        """Write a new scan."""
        values = {
            self.table.c.sha256: attachment.digest,
            self.subject: attachment.subject,
            self.table.c.media_type: attachment.media_type,
            self.table.c.octets: attachment.octets,
            self.table.c.attached_by: attachment.attached_by,
            self.table.c.attached_at: attachment.attached_at,
            self.table.c.key_id: sealed.key_id,
            self.table.c.sealed: sealed.data,
        }
        connection.execute(insert(self.table).values(values))

    def of(self, connection: Connection, subject: str) -> tuple[Attachment, ...]:
        """Return what was brought, oldest first, deleted ones too."""
        wanted = select(*self._known()).where(self.subject == subject)
        rows = connection.execute(wanted.order_by(self.table.c.attached_at, self.table.c.sha256))
        return tuple(map(_attachment, rows))

    def sealed(self, connection: Connection, subject: str, digest: bytes) -> Sealed | None:
        """Return a scan as it is stored, None where there is none any more."""
        c = self.table.c
        wanted = select(c.key_id, c.sealed).where(*self._mine(subject, digest), c.sealed.is_not(None))
        row = connection.execute(wanted).one_or_none()
        return None if row is None else Sealed(row.key_id, row.sealed)

    def decided_before(self, connection: Connection, instant: datetime, limit: int) -> tuple[Attachment, ...]:
        """Return scans that were decided about at `instant` or before, locked; those that others hold are left out."""
        c = self.table.c
        wanted = (
            select(*self._known())
            .select_from(self.table.join(self.owners, self.owner == self.subject))
            .where(c.deleted_at.is_(None), c.attached_at <= instant, self.decided_at <= instant)
            .order_by(c.attached_at)
            .limit(limit)
            .with_for_update(of=self.table, skip_locked=True)
        )
        return tuple(map(_attachment, connection.execute(wanted)))

    def delete(self, connection: Connection, attachment: Attachment, at: datetime) -> None:
        """Take the octets away; what is known of them stays."""
        mine = self._mine(attachment.subject, attachment.digest)
        connection.execute(update(self.table).where(*mine).values(sealed=None, deleted_at=at))


OF_FILES: Final = ScanRows(
    evidence,
    evidence.c.file_id,
    registration_files,
    _f.id,
    case((_f.state.not_in(UNDECIDED), func.coalesce(_f.refused_at, _f.ended_at, _LAST_YES))),
)
OF_REVOCATIONS: Final = ScanRows(
    revocation_evidence, revocation_evidence.c.proposal_id, revocation_proposals, _p.id, _p.decided_at
)


def _attachment(row: Row[Any]) -> Attachment:
    return Attachment(
        subject=row.subject,
        digest=row.sha256,
        media_type=row.media_type,
        octets=row.octets,
        attached_by=row.attached_by,
        attached_at=row.attached_at,
        deleted_at=row.deleted_at,
    )


def missing(connection: Connection, file: RegistrationFile) -> tuple[str, ...]:
    """Name the digests of a file whose scans are not here, hexadecimal."""
    here = {found.sha256 for found in OF_FILES.of(connection, file.id) if found.deleted_at is None}
    return tuple(item.sha256 for item in file.registration.evidence if item.sha256 not in here)
