"""Rows of one kind of codes, read and written on a given connection, whatever else their table holds."""

from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Column, ColumnElement, Connection, Table, func, or_, select, update

from ca.holder_codes.records import CodeDigest, DrawnCodes, DueCodes
from ca.tables import WAITING, certificates

_c = certificates.c


@dataclass(frozen=True, slots=True)
class CodeRows:
    """A table of codes with `file_id made_at salt digest tries sendings sending_since sent_at`, and its key.

    `open`: which of its rows may still be sent; `awaited`: which of these somebody has a use for.
    """

    table: Table
    name: Column[str]
    open: tuple[ColumnElement[bool], ...] = ()
    awaited: tuple[ColumnElement[bool], ...] = ()

    def unsent(self, connection: Connection, *, given_up_before: datetime, limit: int) -> list[DueCodes]:
        """List codes that are to be made and sent and that nobody is sending, oldest first."""
        c = self.table.c
        nobody = or_(c.sending_since.is_(None), c.sending_since < given_up_before)
        statement = (
            select(self.name, c.file_id, c.sendings)
            .where(c.sent_at.is_(None), *self.open, nobody, *self.awaited)
            .order_by(c.made_at, self.name)
            .limit(limit)
        )
        return [
            DueCodes(name=name, file_id=file_id, sendings=sendings)
            for name, file_id, sendings in connection.execute(statement)
        ]

    def start_sending(self, connection: Connection, drawn: DrawnCodes, now: datetime) -> bool:
        """Keep the digest of codes that are about to be sent; False when somebody else is sending others."""
        c, due = self.table.c, drawn.due
        values = {"salt": drawn.salt, "digest": drawn.digest, "tries": 0, "sendings": due.sendings + 1}
        mine = update(self.table).where(
            self.name == due.name, c.sendings == due.sendings, c.sent_at.is_(None), *self.open
        )
        return connection.execute(mine.values(**values, **drawn.columns, sending_since=now)).rowcount == 1

    def mark_sent(self, connection: Connection, drawn: DrawnCodes, now: datetime) -> bool:
        """Note that codes are under way to their holder; False when they are void already."""
        c = self.table.c
        mine = update(self.table).where(self.name == drawn.due.name, c.digest == drawn.digest, c.sent_at.is_(None))
        return connection.execute(mine.values(sent_at=now)).rowcount == 1

    def digest_of(self, connection: Connection, name: str, *, locked: bool = False) -> CodeDigest | None:
        """Return what codes are compared with, if there are any; `locked`: nobody moves them meanwhile."""
        c = self.table.c
        statement = select(c.file_id, c.salt, c.digest, c.tries).where(self.name == name)
        row: Any = connection.execute(statement.with_for_update() if locked else statement).one_or_none()
        if row is None or row.salt is None or row.digest is None:
            return None
        return CodeDigest(name=name, file_id=row.file_id, salt=row.salt, digest=row.digest, tries=row.tries)


def waiting_without(
    connection: Connection, covered: ColumnElement[bool], above: int, limit: int
) -> list[tuple[int, str]]:
    """List the lowest certificates (row, file) above a row that wait for their holder and are not covered by codes."""
    waits = (_c.id > above, _c.state == WAITING, _c.file_id.is_not(None), ~covered)
    found = connection.execute(select(_c.id, _c.file_id).where(*waits).order_by(_c.id).limit(limit))
    return [(row.id, row.file_id) for row in found]


def still_without(connection: Connection, covered: ColumnElement[bool], files: AbstractSet[str]) -> list[str]:
    """Return those of some files that have a waiting certificate and no codes for it."""
    waits = (_c.file_id.in_(sorted(files)), _c.state == WAITING, ~covered)
    return list(connection.execute(select(_c.file_id).where(*waits).distinct().order_by(_c.file_id)).scalars())


def newest_certificate(connection: Connection) -> int:
    """Return the number of the newest certificate's row, 0 where there is none."""
    return connection.execute(select(func.max(_c.id))).scalar_one() or 0
